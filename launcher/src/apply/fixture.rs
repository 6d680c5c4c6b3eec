//! A bottle on disk with guards that answer: what the tests of deciding and applying work on. No engine, no container.

mod engine;

use super::Target;
use crate::cli::Context;
use crate::environment::Environment;
use crate::home::Home;
use crate::printer::{Captured, Printer};
use crate::proposals::decide::{self, Considered, Lasts};
use crate::proposals::{Item, Queue};
use contract::place::{config, queue, run};
use contract::{
    Applied, Ask, Guard, Metadata, Proposal, ProposalId, RouteTable, SCHEMA_VERSION, Sha256Hex, Slug,
    Timestamp,
};
use pipelock_config::{CredentialKey, Engine, Model, files_sha256, place, render};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

pub(crate) use engine::FakeEngine;

pub(crate) const ROUTES: &str = "schema_version: 1\ngeneration: 1\nroutes:\n- host: api.example\n  path_allowlist:\n  - /x/\n  methods:\n  - GET\n";

pub(crate) struct Fixture {
    folder: tempfile::TempDir,
    pub(crate) home: Home,
    pub(crate) target: Target,
    pub(crate) context: Context,
    pub(crate) captured: Captured,
}

/// A guard that reads its files and acknowledges, until it is dropped.
pub(crate) struct FakeGuard {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// Runs what an asynchronous command does, to its end.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(future)
}

impl Drop for FakeGuard {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Fixture {
    /// A bottle with egress and supervise.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path().to_owned());
        lay_out(&home, &slug());
        let (context, captured) = context(&home);
        let mut target = Target::of(&home, &slug()).unwrap();
        target.patience = Duration::from_secs(10);
        Self {
            folder,
            home,
            target,
            context,
            captured,
        }
    }

    /// The same with a seat.
    pub(crate) fn with_seat() -> Self {
        let fixture = Self::new();
        let state = &fixture.target.state;
        let table = RouteTable::parse(ROUTES.as_bytes()).unwrap();
        let model = Model::of_routes(&table, CredentialKey::new([7; 32]), |_| None);
        let rendered = render(&model, Engine::Builtin);
        for folder in [state.pipelock(), state.pipelock_config(), state.pipelock_run()] {
            fs_err::create_dir(folder).unwrap();
        }
        let write =
            |name: &str, text: String| fs_err::write(state.pipelock_config().join(name), text).unwrap();
        write(place::PIPELOCK, rendered.pipelock_yaml);
        write(place::DLP, rendered.dlp_yaml.unwrap());
        fixture
    }

    /// Another bottle of the same home, with an agent that asks the same.
    pub(crate) fn beside(&self, other: &str, id: &ProposalId) -> Target {
        let other: Slug = other.parse().unwrap();
        lay_out(&self.home, &other);
        let target = Target::of(&self.home, &other).unwrap();
        let proposal = target.state.proposals().join(queue::decision(id));
        fs_err::copy(self.proposal_file(id), proposal).unwrap();
        target
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    /// Starts a guard; it refuses a file in which `refuses` stands.
    pub(crate) fn guard(&self, guard: Guard, refuses: Option<&'static str>) -> FakeGuard {
        let stop = Arc::new(AtomicBool::new(false));
        let (target, stopped) = (self.target.clone(), Arc::clone(&stop));
        // A start is acknowledged before anybody waits.
        let mut last = acknowledge(&target, guard, refuses, None);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                last = acknowledge(&target, guard, refuses, last);
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        FakeGuard {
            stop,
            thread: Some(thread),
        }
    }

    pub(crate) fn both_guards(&self) -> [FakeGuard; 2] {
        [self.guard(Guard::Egress, None), self.guard(Guard::Pipelock, None)]
    }

    /// What supervise does when an agent asks.
    pub(crate) fn propose(&self, id: &str, ask: serde_json::Value) -> ProposalId {
        let ask: Ask = serde_json::from_value(ask).unwrap();
        let id: ProposalId = id.parse().unwrap();
        let proposal = Proposal {
            schema_version: SCHEMA_VERSION,
            proposal_id: id.clone(),
            asked_at: Timestamp::from(SystemTime::now()),
            dedup_key: ask.dedup_key(),
            ask,
            asked_by: None,
        };
        let json = serde_json::to_string(&proposal).unwrap();
        fs_err::write(self.proposal_file(&id), json).unwrap();
        id
    }

    pub(crate) fn propose_host(&self, host: &str) -> ProposalId {
        let arguments = serde_json::json!({"host": host, "methods": ["GET"], "justification": "I need it"});
        self.propose(
            "p-00000001",
            serde_json::json!({"tool": "egress-block", "arguments": arguments}),
        )
    }

    pub(crate) fn proposal_file(&self, id: &ProposalId) -> PathBuf {
        self.target.state.proposals().join(queue::decision(id))
    }

    pub(crate) fn withdraw(&self, id: &ProposalId) {
        fs_err::write(self.target.state.proposals().join(queue::withdrawn(id)), "{}").unwrap();
    }

    pub(crate) fn item(&self, id: &ProposalId) -> Item {
        let queue = Queue::of_home(&self.home).unwrap();
        queue.find(id.as_str()).unwrap().clone()
    }

    pub(crate) fn consider(&self, id: &ProposalId, lasts: Lasts) -> Considered {
        decide::consider(&self.context, &self.target, &self.item(id), None, lasts).unwrap()
    }

    pub(crate) fn routes(&self) -> String {
        fs_err::read_to_string(self.target.state.egress_config().join(config::ROUTES)).unwrap()
    }

    pub(crate) fn pipelock(&self) -> String {
        fs_err::read_to_string(self.target.state.pipelock_config().join(place::PIPELOCK)).unwrap()
    }

    /// The kinds of the audit's entries, in order; it must be whole.
    pub(crate) fn audited(&self) -> Vec<String> {
        let log = self.target.audit();
        assert_eq!(crate::audit::verify(&log).unwrap().1, Vec::new());
        let told = |entry: &contract::AuditEntry| {
            let event = serde_json::to_value(&entry.event).unwrap();
            let word = |name: &str| {
                event[name]
                    .as_str()
                    .map(|word| format!(" {word}"))
                    .unwrap_or_default()
            };
            let kind = event["kind"].as_str().unwrap();
            format!("{kind}{}{}{}", word("verdict"), word("guard"), word("outcome"))
        };
        crate::audit::read(&log).unwrap().iter().map(told).collect()
    }
}

fn lay_out(home: &Home, slug: &Slug) {
    let state = home.state(slug);
    for folder in [
        state.root().to_owned(),
        state.agent(),
        state.egress(),
        state.egress_config(),
        state.egress_run(),
        state.supervise(),
        state.proposals(),
        state.responses(),
    ] {
        fs_err::create_dir_all(folder).unwrap();
    }
    let metadata = Metadata {
        schema_version: SCHEMA_VERSION,
        agent_name: "dev".parse().unwrap(),
        bottle: "box".parse().unwrap(),
        cwd: None,
        copy_cwd: false,
        started_at: Timestamp::from_millis(0),
        compose_project: "claude-bottle-dev-ab1cd".to_owned(),
        launch_nonce: "n-0011".parse().unwrap(),
    };
    fs_err::write(state.metadata(), serde_json::to_string(&metadata).unwrap()).unwrap();
    fs_err::write(state.egress_config().join(config::ROUTES), ROUTES).unwrap();
    for empty in [state.lock(), state.ready()] {
        fs_err::write(empty, "").unwrap();
    }
}

pub(crate) fn slug() -> Slug {
    "dev-ab1cd".parse().unwrap()
}

/// What a command of this home is given.
pub(crate) fn context(home: &Home) -> (Context, Captured) {
    let (printer, captured) = Printer::captured(false);
    let environment = Environment::of([("BOTTLE_HOME", home.root())]);
    (Context { environment, printer }, captured)
}

fn acknowledge(
    target: &Target,
    guard: Guard,
    refuses: Option<&str>,
    last: Option<Sha256Hex>,
) -> Option<Sha256Hex> {
    let state = &target.state;
    let (text, hash, run) = match guard {
        Guard::Egress => {
            let text = fs_err::read(state.egress_config().join(config::ROUTES)).unwrap();
            let hash = Sha256Hex::of(&text);
            (text, hash, state.egress_run())
        }
        _ => {
            let read = |name: &str| fs_err::read(state.pipelock_config().join(name)).unwrap();
            let (pipelock, dlp) = (read(place::PIPELOCK), read(place::DLP));
            let hash = files_sha256(&pipelock, Some(&dlp));
            ([pipelock, dlp].concat(), hash, state.pipelock_run())
        }
    };
    if last.as_ref() == Some(&hash) {
        return last;
    }
    let text = String::from_utf8(text).unwrap();
    let applied = Applied {
        schema_version: SCHEMA_VERSION,
        file_sha256: hash.clone(),
        effective_sha256: hash.clone(),
        generation: 1,
        launch_nonce: target.nonce.clone(),
        at: Timestamp::from_millis(0),
        error: refuses
            .filter(|word| text.contains(word))
            .map(|_| "it will not have that".to_owned()),
    };
    let temporary = run.join(".applied");
    fs_err::write(&temporary, serde_json::to_string(&applied).unwrap()).unwrap();
    fs_err::rename(&temporary, run.join(run::APPLIED)).unwrap();
    Some(hash)
}
