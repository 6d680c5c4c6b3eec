//! Plans for tests: the least that can be launched, and everything at once.

use crate::home::Home;
use crate::images::References;
use crate::plan::{
    Agent, AgentImage, ClaudeLogin, EnvValue, ExtraCa, HowWorkspace, Identity, Plan, Seat, SecretSource,
    SecretValue, Skill, Wanted, Workspace,
};
use contract::{Route, RouteAuth, RouteTable, Timestamp, TokenSlot};

pub(super) fn images() -> References {
    References {
        agent: "claude-bottle-agent-small:0011".to_owned(),
        guards: [
            ("egress", "claude-bottle-egress:2233"),
            ("dlp", "claude-bottle-dlp:4455"),
            ("supervise", "claude-bottle-supervise:4455"),
            ("git-gate", "claude-bottle-git-gate:6677"),
        ]
        .map(|(program, image)| (program.to_owned(), image.to_owned()))
        .into(),
    }
}

/// The least that can be launched.
pub(super) fn least() -> Plan {
    Plan {
        slug: "dev-ab1cd".parse().unwrap(),
        agent_name: "dev".parse().unwrap(),
        bottle_name: "box".parse().unwrap(),
        home: Home::at("/home/op/.claude-bottle".into()),
        launch_nonce: "n-0011".parse().unwrap(),
        started_at: Timestamp::from_millis(1_795_000_000_000),
        identity: Identity::of_operator(1000, 50),
        agent: Agent {
            image: AgentImage::Small,
            command: vec!["bash".to_owned()],
            prompt: String::new(),
            skills: Vec::new(),
            env: Vec::new(),
            claude: None,
            workspace: None,
        },
        routes: RouteTable::new(1, Vec::new()).unwrap(),
        secrets: Vec::new(),
        extra_ca: None,
        seat: Seat::Builtin,
        supervise: false,
        git_remotes: Vec::new(),
        fingerprint_key: contract::gate::FingerprintKey::new([7; 32]),
        warnings: Vec::new(),
    }
}

pub(super) fn secret(variable: &str) -> SecretSource {
    SecretSource {
        variable: variable.to_owned(),
        value: SecretValue::Host("HOST_NAME".parse().unwrap()),
        wanted: Wanted {
            file: "bottles/box.md".into(),
            line: 1,
            field: "x".to_owned(),
        },
    }
}

/// Everything at once.
pub(super) fn most() -> Plan {
    let mut plan = least();
    plan.identity = Identity::of_operator(0, 0);
    plan.agent.claude = Some(ClaudeLogin::ApiKey);
    plan.agent.prompt = "Write code.".to_owned();
    plan.agent.skills = vec![Skill {
        name: "review".parse().unwrap(),
        folder: "/home/op/.claude-bottle/skills/review".into(),
    }];
    let env = |name: &str, value: EnvValue| (name.parse().unwrap(), value);
    plan.agent.env = vec![
        env("PRICE", EnvValue::Literal("5$ ${HOME} $$".to_owned())),
        env("DATE", EnvValue::Literal("2001-01-01".to_owned())),
        env("EMPTY", EnvValue::Literal(String::new())),
        env("LINES", EnvValue::Literal("a\n\"b\"\u{2028}".to_owned())),
        env("DB_PASSWORD", EnvValue::Secret("BOTTLE_ENV_SECRET_0".to_owned())),
    ];
    plan.agent.workspace = Some(Workspace {
        directory: "/src/app".into(),
        how: HowWorkspace::Mount,
        guarded: vec![".git/hooks", ".git/config"],
    });
    let auth = |slot: u16| {
        Some(RouteAuth {
            scheme: "Bearer".parse().unwrap(),
            token_ref: "HOST_NAME".parse().unwrap(),
            token_env: TokenSlot::new(slot),
        })
    };
    let route = |host: &str, slot| Route {
        auth: auth(slot),
        ..Route::bare(host.parse().unwrap())
    };
    plan.routes = RouteTable::new(1, vec![route("a.example", 0), route("b.example", 1)]).unwrap();
    plan.secrets = ["EGRESS_TOKEN_0", "EGRESS_TOKEN_1", "BOTTLE_ENV_SECRET_0"]
        .map(secret)
        .into();
    plan.extra_ca = Some(ExtraCa {
        path: "/corp.pem".into(),
        pem: "corp".to_owned(),
    });
    plan
}
