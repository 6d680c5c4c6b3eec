//! Where everything lies on the host. Only this module joins these paths.
//!
//! Knows paths, makes no folder and reads no file.

use crate::environment::{self, Environment};
use crate::error::{Error, Result};
use contract::{AgentName, BottleName, Sha256Hex, SkillName, Slug};
use std::path::{Path, PathBuf};

/// The operator's folder: `~/.claude-bottle`, or what `BOTTLE_HOME` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    root: PathBuf,
}

impl Home {
    /// From the environment; the path is made absolute, and resolved where it exists, so that two spellings of one
    /// folder have one hash.
    pub fn of(environment: &Environment) -> Result<Self> {
        let root = match (
            environment.get(environment::BOTTLE_HOME),
            environment.get(environment::HOME),
        ) {
            (Some(root), _) => PathBuf::from(root),
            (None, Some(home)) => PathBuf::from(home).join(".claude-bottle"),
            (None, None) => {
                return Err(Error::environment(
                    "neither BOTTLE_HOME nor HOME is set, so there is no folder to work in",
                )
                .hinted("set BOTTLE_HOME to the folder with your agents and bottles"));
            }
        };
        let absolute = std::path::absolute(&root)?;
        let root = fs_err::canonicalize(&absolute).unwrap_or(absolute);
        if root.to_str().is_none() {
            return Err(Error::environment(format!(
                "the folder {} has a name that is not UTF-8, which compose needs",
                root.display()
            ))
            .hinted("set BOTTLE_HOME to another folder for your agents and bottles"));
        }
        Ok(Self::at(root))
    }

    /// At this absolute path.
    pub fn at(root: PathBuf) -> Self {
        Self { root }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// 12 hex digits of the SHA-256 of the path: the `home` label on every resource.
    pub fn hash(&self) -> String {
        let digest = Sha256Hex::of(self.root.as_os_str().as_encoded_bytes());
        digest.as_str().chars().take(12).collect()
    }

    /// `agents/`
    pub fn agents(&self) -> PathBuf {
        self.root.join("agents")
    }

    /// `agents/<agent>.md`
    pub fn agent(&self, name: &AgentName) -> PathBuf {
        self.agents().join(format!("{name}.md"))
    }

    /// `bottles/`
    pub fn bottles(&self) -> PathBuf {
        self.root.join("bottles")
    }

    /// `bottles/<bottle>.md`
    pub fn bottle(&self, name: &BottleName) -> PathBuf {
        self.bottles().join(format!("{name}.md"))
    }

    /// `skills/`
    pub fn skills(&self) -> PathBuf {
        self.root.join("skills")
    }

    /// `skills/<skill>/`
    pub fn skill(&self, name: &SkillName) -> PathBuf {
        self.skills().join(name.as_str())
    }

    /// `config.yaml`: what holds for every bottle; need not be there.
    pub fn config(&self) -> PathBuf {
        self.root.join("config.yaml")
    }

    /// `state/`
    pub fn states(&self) -> PathBuf {
        self.root.join("state")
    }

    /// `state/<slug>/`
    pub fn state(&self, slug: &Slug) -> State {
        State {
            root: self.states().join(slug.as_str()),
        }
    }

    /// Held by whoever ends a bottle that has no lock of its own any more.
    pub fn salvage_lock(&self) -> PathBuf {
        self.root.join(".salvage.lock")
    }

    /// Held shared by whoever is about to use an image, alone by whoever makes or removes one.
    pub fn images_lock(&self) -> PathBuf {
        self.root.join(".images.lock")
    }

    /// `audit/`
    pub fn audits(&self) -> PathBuf {
        self.root.join("audit")
    }

    /// `audit/<slug>.jsonl`, outlives the state.
    pub fn audit(&self, slug: &Slug) -> PathBuf {
        self.audits().join(format!("{slug}.jsonl"))
    }

    /// `events/<slug>.jsonl.zst`, a finished bottle's access events.
    pub fn events(&self, slug: &Slug) -> PathBuf {
        self.root.join("events").join(format!("{slug}.jsonl.zst"))
    }
}

/// One launched bottle's folder, mode 0700.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    root: PathBuf,
}

macro_rules! places {
    ($($(#[$doc:meta])* $method:ident = $path:literal;)*) => {
        impl State {
            $($(#[$doc])* #[doc = concat!("`", $path, "`")] pub fn $method(&self) -> PathBuf { self.root.join($path) })*
        }
    };
}

impl State {
    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }
}

places! {
    /// Held with flock while a launcher changes anything:
    lock = ".lock";
    /// [`contract::Metadata`]:
    metadata = "metadata.json";
    /// Names of secrets, never values:
    compose_file = "docker-compose.yml";
    /// `compose logs`, written before teardown:
    compose_log = "compose.log";
    /// What compose said at `up`:
    bringup_log = "bringup.log";
    /// What compose said at `down`:
    teardown_log = "teardown.log";
    /// The docker client's folder that compose is given:
    compose_client = ".compose";
    /// Held with flock by the launcher that answers for this bottle, as long as it does:
    launcher = ".launcher";
    /// What a session runs ([`crate::session::Recipe`]):
    session = "session.json";
    /// Present: this bottle has been up, guarded and proven isolated:
    ready = ".ready";
    /// Present: session end and cleanup keep the folder:
    preserve = ".preserve";
    /// Our seccomp profile, as both compose services name it:
    seccomp = "seccomp.json";
    /// What is mounted into the agent container:
    agent = "agent";
    /// The agent's writable home:
    agent_home = "agent/home";
    /// The copy of the operator's directory, or an empty folder:
    workspace = "agent/workspace";
    /// Certificates that the agent trusts; mounted as a directory:
    agent_ca = "agent/ca";
    /// `passwd`, `group`, `gitconfig`; mounted as single files:
    agent_etc = "agent/etc";
    /// The shim and the probe:
    agent_bin = "agent/bin";
    /// PID 1 of the agent container:
    shim = "agent/bin/shim";
    /// Proves the isolation from inside:
    probe = "agent/bin/probe";
    /// The manifest's body:
    prompt = "agent/prompt.md";
    /// Copies of the manifest's skills:
    skills = "agent/skills";
    /// The transcript, snapshot at every settlement:
    transcript = "agent/transcript.tar.zst";
    /// Everything of the guard:
    egress = "egress";
    /// Mounted read-only into egress, as a directory:
    egress_config = "egress/config";
    /// Written by egress:
    egress_run = "egress/run";
    /// Everything of the pipelock seat:
    pipelock = "pipelock";
    /// Mounted read-only into the seat, as a directory:
    pipelock_config = "pipelock/config";
    /// Written by the seat:
    pipelock_run = "pipelock/run";
    /// Everything of git-gate:
    git_gate = "git-gate";
    /// Mounted read-only into git-gate, as a directory:
    git_gate_config = "git-gate/config";
    /// Written by git-gate:
    git_gate_run = "git-gate/run";
    /// Its mirrors of the upstreams:
    git_gate_repositories = "git-gate/repos";
    /// Everything of supervise:
    supervise = "supervise";
    /// Questions, written by supervise:
    proposals = "supervise/proposals";
    /// Answers, written by the launcher; supervise can only read them, and nobody else sees them:
    responses = "supervise/responses";
    /// Written by supervise:
    supervise_run = "supervise/run";
    /// The Dockerfile of the agent's image, mounted read-only into the agent container:
    current_config = "supervise/current-config";
    /// The same file:
    current_dockerfile = "supervise/current-config/Dockerfile";
    /// The Dockerfile that an approved `capability-block` asked for:
    approved_dockerfile = "agent/Dockerfile";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bottle_home_overrides_the_home_folder() {
        let both = Environment::of([("BOTTLE_HOME", "/no/such/bottles"), ("HOME", "/no/such/op")]);
        assert_eq!(Home::of(&both).unwrap().root(), Path::new("/no/such/bottles"));
        let home = Environment::of([("HOME", "/no/such/op")]);
        assert_eq!(
            Home::of(&home).unwrap().root(),
            Path::new("/no/such/op/.claude-bottle")
        );
        let neither = Home::of(&Environment::default()).unwrap_err();
        assert_eq!(neither.kind().exit_code(), 6);
    }

    #[test]
    fn two_spellings_of_one_folder_have_one_hash() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        let real = folder.path().join("real");
        fs_err::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let hash = |path: &Path| {
            Home::of(&Environment::of([("BOTTLE_HOME", path)]))
                .unwrap()
                .hash()
        };
        assert_eq!(hash(&real), hash(&link));
        assert_eq!(hash(&real).len(), 12);
        assert_ne!(hash(&real), hash(folder.path()));
    }
}
