//! Makes a plan out of two manifests and the host: all that can be refused before anything is touched is refused here.

use super::host::{self, Problems};
use super::{
    Agent, AgentImage, ClaudeLogin, EnvValue, Fresh, Identity, Plan, Seat, SecretSource, SecretValue, Wanted,
    Workspace, routes,
};
use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::home::Home;
use crate::manifest::nearest::suggestion;
use crate::manifest::{self, AgentManifest, At, BottleManifest, Declared, ImageChoice, Manifest};
use contract::{AgentName, EnvName};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// What the operator asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// The agent.
    pub agent: AgentName,
    /// The directory to work in.
    pub cwd: Option<PathBuf>,
    /// The directory itself, not a copy.
    pub mount: bool,
}

/// Whether the host variables that a manifest names must be there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Variables {
    Needed,
    Ignored,
}

impl Plan {
    /// Reads the manifests and looks at the host. Every problem found is told at once. Writes nothing.
    pub fn make(
        request: &Request,
        home: &Home,
        environment: &Environment,
        identity: Identity,
        fresh: Fresh,
    ) -> Result<Self> {
        Self::assemble(request, home, environment, identity, fresh, Variables::Needed)
    }

    /// Whether a plan could be made of this agent's manifests, whatever the host variables are.
    pub fn check(agent: &AgentName, home: &Home, environment: &Environment) -> Result<()> {
        let request = Request {
            agent: agent.clone(),
            cwd: None,
            mount: false,
        };
        let fresh = Fresh::draw().ok_or_else(|| Error::failed("this launch cannot be given a name"))?;
        let nobody = Identity::of_operator(0, 0);
        Self::assemble(&request, home, environment, nobody, fresh, Variables::Ignored).map(drop)
    }

    fn assemble(
        request: &Request,
        home: &Home,
        environment: &Environment,
        identity: Identity,
        fresh: Fresh,
        look_at: Variables,
    ) -> Result<Self> {
        let agent = manifest::agent(home, &request.agent)?;
        let bottle = bottle_of(home, &agent)?;
        let problems = Problems::default();
        let workspace = workspace(request, home, environment, &problems)?;
        let command = command(&agent, bottle.value.supervise, &problems);
        let runs_claude = runs_claude(&agent.value.image.value, &command);
        let routes::Resolved {
            table,
            mut secrets,
            mut warnings,
        } = routes::resolve(&bottle, runs_claude)?;
        let claude = runs_claude.then(|| routes::claude_login(&table));
        if claude == Some(ClaudeLogin::None) {
            warnings.push(routes::no_login(&table));
        }
        if claude.is_some() {
            warnings.extend(routes::every_path_of_the_model_api(&table));
        }
        let injected = table.routes().iter().filter_map(|route| route.auth.as_ref());
        let injected: BTreeSet<&EnvName> = injected.map(|auth| &auth.token_ref).collect();
        let env = variables(&bottle, runs_claude, &injected, &mut secrets, &problems);
        warnings.extend(host::literal_dollars(&bottle));
        let git_remotes = match look_at {
            Variables::Needed => super::git::remotes(&bottle, environment, identity, &mut secrets, &problems),
            Variables::Ignored => Vec::new(),
        };
        if look_at == Variables::Needed {
            problems.extend(super::Secrets::missing(&secrets, environment));
            if super::Secrets::any_unset(&secrets, environment) {
                problems
                    .hint("set it with `export NAME=…`, or in front of the command: `NAME=… bottle start …`");
            }
            warnings.extend(host::credentials(&secrets, &table, environment, &problems));
        }
        warnings.extend(host::workspace_warnings(workspace.as_ref(), identity));
        let image = image(&agent, environment, &problems);
        let skills = host::skills(home, &agent, &problems);
        let extra_ca = host::extra_ca(&bottle, environment, &problems);
        if bottle.value.pipelock.image.is_some() && table.routes().is_empty() {
            problems.add(format!(
                "{}: pipelock.image: the real pipelock takes no empty allowlist; list a route under `egress.routes`, or leave `image` out",
                bottle.shown.display()
            ));
        }
        problems.into_result()?;
        Ok(Self {
            slug: fresh.slug(&request.agent),
            agent_name: request.agent.clone(),
            bottle_name: agent.value.bottle.value.clone(),
            home: home.clone(),
            launch_nonce: fresh.nonce,
            started_at: fresh.started_at,
            identity,
            agent: Agent {
                image: image.unwrap_or(AgentImage::Small),
                command,
                prompt: agent.value.prompt.clone(),
                skills,
                env,
                claude,
                workspace,
            },
            routes: table,
            secrets,
            extra_ca,
            seat: match &bottle.value.pipelock.image {
                Some(image) => Seat::Image(image.clone()),
                None => Seat::Builtin,
            },
            supervise: bottle.value.supervise,
            git_remotes,
            fingerprint_key: fresh.fingerprint_key,
            warnings,
        })
    }
}

/// The agent's bottle; one that is not there is the agent manifest's mistake.
fn bottle_of(home: &Home, agent: &Manifest<AgentManifest>) -> Result<Manifest<BottleManifest>> {
    let At {
        value: name, line, ..
    } = &agent.value.bottle;
    if home.bottle(name).exists() {
        return manifest::bottle(home, name);
    }
    let there = manifest::stems(&home.bottles())?;
    let hint = suggestion(name.as_str(), there.iter().map(String::as_str));
    Err(Error::usage(format!(
        "{}:{line}: bottle: there is no bottles/{name}.md",
        agent.shown.display()
    ))
    .hinted(hint))
}

fn workspace(
    request: &Request,
    home: &Home,
    environment: &Environment,
    problems: &Problems,
) -> Result<Option<Workspace>> {
    let Some(cwd) = &request.cwd else { return Ok(None) };
    let expanded = cwd
        .to_str()
        .map_or_else(|| cwd.clone(), |text| environment.expanded(text));
    match host::workspace(&expanded, request.mount, home, environment) {
        Ok(workspace) => Ok(Some(workspace)),
        Err(problem) => {
            problems.add(problem);
            Ok(None)
        }
    }
}

/// The longest argument that Linux passes to a program, in bytes (MAX_ARG_STRLEN, without its end mark).
const LONGEST_ARGUMENT: usize = 128 * 1024 - 1;

/// The manifest's command, else the image's own; Claude Code is handed the prompt along with it.
fn command(agent: &Manifest<AgentManifest>, supervise: bool, problems: &Problems) -> Vec<String> {
    let AgentManifest {
        command,
        image,
        prompt,
        ..
    } = &agent.value;
    let mut command = match (command, &image.value) {
        (Some(command), _) => command.clone(),
        (None, ImageChoice::Claude) => vec!["claude".to_owned()],
        (None, ImageChoice::Small | ImageChoice::Dockerfile(_)) => vec!["bash".to_owned()],
    };
    let is_claude = command.first().is_some_and(|program| super::is_claude(program));
    if is_claude && supervise {
        // With `=`: both options take any number of words after them, and would take a prompt for one. What the tools ask for, a
        // person decides; being asked twice would only stop the agent.
        command.extend([
            format!("--mcp-config={}", crate::render::inside::MCP),
            "--allowedTools=mcp__supervise".to_owned(),
        ]);
    }
    if is_claude && !prompt.is_empty() {
        if prompt.len() > LONGEST_ARGUMENT || prompt.contains('\0') {
            problems.add(format!(
                "{}: the body is handed to Claude Code as an argument, which has at most {LONGEST_ARGUMENT} bytes and no NUL; it has {} bytes",
                agent.shown.display(),
                prompt.len()
            ));
        }
        command.extend(["--append-system-prompt".to_owned(), prompt.clone()]);
    }
    command
}

fn runs_claude(image: &ImageChoice, command: &[String]) -> bool {
    *image == ImageChoice::Claude || command.first().is_some_and(|program| super::is_claude(program))
}

fn image(
    agent: &Manifest<AgentManifest>,
    environment: &Environment,
    problems: &Problems,
) -> Option<AgentImage> {
    match &agent.value.image.value {
        ImageChoice::Claude => Some(AgentImage::Claude),
        ImageChoice::Small => Some(AgentImage::Small),
        ImageChoice::Dockerfile(written) => {
            let path = agent.folder.join(environment.expanded(written));
            if path.is_file() {
                return Some(AgentImage::Dockerfile(path));
            }
            problems.add(
                host::wanted(agent, &agent.value.image).says(&format!("there is no file {}", path.display())),
            );
            None
        }
    }
}

/// Variables that hold a login of Claude Code's. It gets a placeholder, and egress the credential.
const CLAUDE_LOGINS: [&str; 3] = [
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "CLAUDE_CODE_OAUTH_TOKEN",
];

/// Variables whose values git writes into every commit: not given to the guards that let none of the agent's secrets out.
const WRITTEN_BY_GIT: [&str; 5] = [
    "GIT_AUTHOR_NAME",
    "GIT_AUTHOR_EMAIL",
    "GIT_COMMITTER_NAME",
    "GIT_COMMITTER_EMAIL",
    "EMAIL",
];

/// The agent's own variables; those that are secret get a compose variable each.
fn variables(
    bottle: &Manifest<BottleManifest>,
    runs_claude: bool,
    injected: &BTreeSet<&EnvName>,
    secrets: &mut Vec<SecretSource>,
    problems: &Problems,
) -> Vec<(EnvName, EnvValue)> {
    let mut variables = Vec::new();
    let (mut next, mut next_public) = (0_usize, 0_usize);
    for entry in &bottle.value.env {
        let wanted: Wanted = host::wanted(bottle, &entry.value);
        if runs_claude && CLAUDE_LOGINS.contains(&entry.name.as_str()) {
            problems.add(wanted.says(
                "Claude Code is never given a credential; give the route for api.anthropic.com `auth: { scheme: header:x-api-key, token_ref: ANTHROPIC_API_KEY }`",
            ));
            continue;
        }
        let value = match &entry.value.value {
            Declared::Literal(text) => {
                variables.push((entry.name.clone(), EnvValue::Literal(text.clone())));
                continue;
            }
            Declared::Host(name) if injected.contains(name) => {
                problems.add(wanted.says(&format!(
                    "{name} is a route's token_ref: egress puts it in, and the agent must not hold it; take it out of `env`"
                )));
                continue;
            }
            Declared::Host(name) => SecretValue::Host(name.clone()),
            Declared::Asked(prompt) => SecretValue::Asked(prompt.clone()),
        };
        let (kind, number) = if WRITTEN_BY_GIT.contains(&entry.name.as_str()) {
            ("PUBLIC", &mut next_public)
        } else {
            ("SECRET", &mut next)
        };
        let variable = format!("BOTTLE_ENV_{kind}_{number}");
        *number += 1;
        variables.push((entry.name.clone(), EnvValue::Secret(variable.clone())));
        secrets.push(SecretSource {
            variable,
            value,
            wanted,
        });
    }
    variables
}
