//! How `git` is run: with an environment of ours and nothing inherited, and only with our configuration.
//!
//! The gate's own scratch directory holds that configuration, the hooks (links to this very program, so that no shell is
//! needed), the socket where they ask, and what ssh needs. It is private to the gate and gone when the gate ends.

use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use contract::gate::{GateRemote, Identity};
use contract::{EnvName, Sha256Hex};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use crate::hook::{PRE_RECEIVE, PROC_RECEIVE};
use crate::repository::packed_bytes;
use crate::ssh::{self, Limits};

/// Names the session of a push to its hooks.
pub const SESSION_VARIABLE: &str = "GIT_GATE_SESSION";
/// Names the socket to its hooks.
pub const SOCKET_VARIABLE: &str = "GIT_GATE_SOCKET";

/// What git may take in one piece of memory: a delta that claims a huge result is refused before it is made.
const ALLOC_LIMIT: &str = "256m";

/// Each with its reason: nothing is kept that the upstream does not have, so nothing needs to survive a power cut (fsync);
/// large files are hashed as a stream (bigFileThreshold). A client may send a signed push although none is offered, and git
/// would run a program on it (gpg). What an upstream sends is checked like a push, less what old tools wrote into many an honest
/// history: who made a commit, and when, is text to whoever reads it, and nobody can mend it; it is kept as one pack, which is what its size is counted by (unpackLimit).
const CONFIGURATION: &str = "\
[core]
\tfsync = none
\tbigFileThreshold = 16m
\tdeltaBaseCacheLimit = 32m
\tlogAllRefUpdates = false
[safe]
\tbareRepository = explicit
\tdirectory = *
[gc]
\tauto = 0
[maintenance]
\tauto = false
[transfer]
\thideRefs = refs/replace
\tadvertiseSID = false
[receive]
\tfsckObjects = true
\tadvertiseAtomic = true
\tadvertisePushOptions = false
\tautogc = false
\tupdateServerInfo = false
\tdenyCurrentBranch = ignore
\tdenyDeleteCurrent = ignore
\tprocReceiveRefs = refs
[uploadpack]
\tallowFilter = true
\tallowAnySHA1InWant = true
[protocol]
\tallow = never
[protocol \"ssh\"]
\tallow = always
[push]
\tdefault = nothing
\trecurseSubmodules = no
\tfollowTags = false
[fetch]
\tfsckObjects = true
\tunpackLimit = 1
\trecurseSubmodules = no
\twriteCommitGraph = false
[fetch \"fsck\"]
\tzeroPaddedFilemode = ignore
\tbadTimezone = ignore
\tmissingSpaceBeforeDate = ignore
\tmissingNameBeforeEmail = ignore
\tmissingSpaceBeforeEmail = ignore
\tmissingEmail = ignore
\tbadName = ignore
\tbadEmail = ignore
\tbadDate = ignore
\tbadDateOverflow = ignore
\tzeroPaddedDate = ignore
[pack]
\tthreads = 2
\twindowMemory = 64m
[credential]
\thelper =
[gpg]
\tprogram = gate-checks-no-signature
[gpg \"x509\"]
\tprogram = gate-checks-no-signature
[gpg \"ssh\"]
\tprogram = gate-checks-no-signature
";

/// How long ssh may take to end a connection that it keeps.
const HANGING_UP: Duration = Duration::from_secs(2);

/// Runs git.
#[derive(Debug)]
pub struct Git {
    scratch: tempfile::TempDir,
    path: std::ffi::OsString,
}

/// git and what it started; asked to end when this is dropped before [`Group::over`]. A kept connection of ssh is none of
/// them: it has a session of its own.
#[derive(Debug)]
pub struct Group(Option<Pid>);

// === impl Git ===

impl Git {
    /// Makes the scratch directory. `gate` is this program, which the hooks are links to.
    pub fn new(gate: &Path) -> io::Result<Self> {
        let scratch = tempfile::Builder::new().prefix("gate-").tempdir()?;
        let root = scratch.path();
        for directory in ["hooks", "bin", "c", "known_hosts", "home", "keys"] {
            fs_err::create_dir(root.join(directory))?;
        }
        symlink(gate, root.join("hooks").join(PRE_RECEIVE))?;
        symlink(gate, root.join("hooks").join(PROC_RECEIVE))?;
        symlink(gate, root.join("bin").join(ssh::PROGRAM))?;
        let hooks = root.join("hooks");
        // Nothing in it that git's configuration, ssh's options or ssh's tokens would read as something else.
        let plain = |path: &&str| {
            path.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte))
        };
        let hooks = hooks.to_str().filter(plain).ok_or_else(|| {
            io::Error::other(
                "the directory for temporary files has a name that git cannot be given; set TMPDIR",
            )
        })?;
        fs_err::write(
            root.join("gitconfig"),
            format!("{CONFIGURATION}[core]\n\thooksPath = \"{hooks}\"\n"),
        )?;
        Ok(Self {
            path: std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()),
            scratch,
        })
    }

    /// Where hooks ask.
    pub fn socket(&self) -> PathBuf {
        self.scratch.path().join("gate.sock")
    }

    /// `git` in a repository, with nothing to reach an upstream by.
    pub fn command(&self, repository: &Path) -> Command {
        let mut command = Command::new("git");
        command
            .env_clear()
            .env("PATH", &self.path)
            .env("HOME", self.scratch.path().join("home"))
            .env("LC_ALL", "C")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", self.scratch.path().join("gitconfig"))
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ALLOW_PROTOCOL", "ssh")
            .env("GIT_ALLOC_LIMIT", ALLOC_LIMIT)
            .env("GIT_FLUSH", "1")
            .current_dir(repository)
            .process_group(0)
            .kill_on_drop(true);
        command
    }

    /// `git --git-dir=…` with what signs in at the upstream.
    pub fn with_upstream(&self, repository: &Path, remote: &GateRemote) -> io::Result<Command> {
        let mut command = self.command(repository);
        command
            .arg("--git-dir")
            .arg(repository)
            .env("GIT_SSH", self.scratch.path().join("bin").join(ssh::PROGRAM))
            .env("GIT_SSH_VARIANT", "ssh")
            .env("GIT_PROTOCOL_FROM_USER", "0");
        let name = repository.file_name().unwrap_or(OsStr::new("upstream"));
        let known_hosts = self.scratch.path().join("known_hosts").join(name);
        let mut text = remote.known_hosts.clone();
        text.push('\n');
        if fs_err::read_to_string(&known_hosts).ok().as_ref() != Some(&text) {
            fs_err::write(&known_hosts, text)?;
        }
        let way = ssh::Way {
            destination: format!("{}@{}", remote.upstream.user(), remote.upstream.host()),
            port: remote.upstream.port(),
            known_hosts,
            control: self.control(remote),
            limits: Limits {
                most_bytes: remote.policy.caps.mirror_bytes,
                left_bytes: remote
                    .policy
                    .caps
                    .mirror_bytes
                    .saturating_sub(packed_bytes(repository)?),
                stall_seconds: remote.policy.caps.stall_seconds,
            },
            identity: match &remote.identity {
                Identity::File(path) => Some(path.clone()),
                Identity::Agent(_) => None,
                Identity::Variable(name) => Some(self.key(name)?),
            },
        };
        way.put_into(&mut command);
        if let Identity::Agent(socket) = &remote.identity {
            command.env("SSH_AUTH_SOCK", socket);
        }
        Ok(command)
    }

    /// Ends the connection that ssh keeps to an upstream, with all that runs over it.
    pub async fn hang_up(&self, remote: &GateRemote) {
        let Some(control) = self.control(remote).filter(|control| control.exists()) else {
            return;
        };
        let mut command = Command::new("ssh");
        command
            .env_clear()
            .env("PATH", &self.path)
            .args(["-F", "/dev/null", "-O", "exit", "-o"])
            .arg(format!("ControlPath={}", control.display()))
            .arg("--")
            .arg(remote.upstream.host().as_str())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        if !matches!(
            tokio::time::timeout(HANGING_UP, command.status()).await,
            Ok(Ok(status)) if status.success()
        ) {
            // The next command makes another; this one ends when its upstream does.
            let _ = fs_err::remove_file(control);
        }
    }

    /// The key of a variable, as the file that ssh wants: readable by nobody else, in the scratch directory.
    fn key(&self, name: &EnvName) -> io::Result<PathBuf> {
        let path = self.scratch.path().join("keys").join(name.as_str());
        if path.exists() {
            return Ok(path);
        }
        let missing = || io::Error::other(format!("the variable {name} with the private key is not set"));
        let mut text = std::env::var(name.as_str()).map_err(|_| missing())?;
        // An OpenSSH key without its last newline is no key to ssh.
        text = format!("{}\n", text.trim_end());
        let mut file = tempfile::Builder::new().tempfile_in(self.scratch.path().join("keys"))?;
        file.write_all(text.as_bytes())?;
        file.persist(&path).map_err(|error| error.error)?;
        Ok(path)
    }

    /// Where ssh keeps a connection for the next command: saves its whole handshake. Another host key, user or identity in the
    /// table is another connection: the kept one was checked against what is no longer said. A socket's path has at most 107
    /// bytes, and ssh appends 17 while it makes one.
    fn control(&self, remote: &GateRemote) -> Option<PathBuf> {
        let said = serde_json::to_vec(&(&remote.upstream, &remote.identity, &remote.known_hosts)).ok()?;
        let hash = Sha256Hex::of(&said);
        let path = self.scratch.path().join("c").join(hash.as_str().get(..16)?);
        (path.as_os_str().len() < 88).then_some(path)
    }
}

// === impl Group ===

impl Group {
    /// Of a child that [`Git::command`] made.
    pub fn of(child: &Child) -> Self {
        Self(
            child
                .id()
                .and_then(|id| i32::try_from(id).ok())
                .map(Pid::from_raw),
        )
    }

    /// git has ended by itself.
    pub fn over(&mut self) {
        self.0 = None;
    }

    /// Asks git to end: it takes its quarantine and its locks with it, which it cannot when it is killed.
    pub fn end(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Ends git.
    pub fn kill(&self) {
        self.signal(Signal::SIGKILL);
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // Gone already is as good.
            let _ = killpg(group, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::gate::GatePolicy;

    #[tokio::test]
    async fn git_reads_our_configuration_and_nobody_else_s() {
        let git = Git::new(Path::new("/bin/true")).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let output = git
            .command(directory.path())
            .args(["config", "--list", "--show-scope"])
            .output()
            .await
            .unwrap();
        let listed = String::from_utf8(output.stdout).unwrap();
        assert!(listed.contains("receive.fsckobjects=true"), "{listed}");
        assert!(
            listed.contains("gpg.ssh.program=gate-checks-no-signature"),
            "{listed}"
        );
        assert!(
            listed.lines().all(|line| line.starts_with("global\t")),
            "{listed}"
        );
    }

    #[test]
    fn a_kept_connection_is_not_used_once_the_table_says_another_host_key_or_identity() {
        let git = Git::new(Path::new("/bin/true")).unwrap();
        let remote = GateRemote {
            upstream: "ssh://git@h.example/a.git".parse().unwrap(),
            identity: Identity::File("/id".into()),
            known_hosts: "h.example ssh-ed25519 AAAA".to_owned(),
            policy: GatePolicy::default(),
        };
        let mut others = [remote.clone(), remote.clone(), remote.clone()];
        others[0].known_hosts.push('B');
        others[1].identity = Identity::File("/other".into());
        others[2].upstream = "ssh://me@h.example/a.git".parse().unwrap();
        let kept = git.control(&remote);
        assert!(kept.is_some() && kept == git.control(&remote));
        assert!(others.iter().all(|other| git.control(other) != kept));
    }
}
