//! How an upstream is reached: ssh with strict host keys, run by git through this program.
//!
//! git is given a program without arguments (`GIT_SSH`), which is a link to this one: so no shell is involved, no
//! configuration file is read, and what git asks for is checked against the table once more.
//!
//! What an upstream is asked for passes through this program ([`fetch`]), which counts it and does not wait for ever. A push is
//! left to ssh alone: the upstream's own checks may take their time.

mod fetch;

use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::process::ExitCode;

use tokio::process::Command;

/// The name under which this program is ssh to git.
pub const PROGRAM: &str = "gate-ssh";

const DESTINATION: &str = "GIT_GATE_SSH_DESTINATION";
const PORT: &str = "GIT_GATE_SSH_PORT";
const KNOWN_HOSTS: &str = "GIT_GATE_SSH_KNOWN_HOSTS";
const CONTROL: &str = "GIT_GATE_SSH_CONTROL";
const IDENTITY: &str = "GIT_GATE_SSH_IDENTITY";

const MOST_BYTES: &str = "GIT_GATE_SSH_MOST_BYTES";
const LEFT_BYTES: &str = "GIT_GATE_SSH_LEFT_BYTES";
const STALL_SECONDS: &str = "GIT_GATE_SSH_STALL_SECONDS";

/// How long a connection is kept for the next command, in seconds.
const KEPT: u32 = 60;

/// The way to one upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// `user@host`
    pub destination: String,
    /// Its port.
    pub port: u16,
    /// The host keys.
    pub known_hosts: PathBuf,
    /// The socket of a kept connection.
    pub control: Option<PathBuf>,
    /// The key; without one, the agent at `SSH_AUTH_SOCK`.
    pub identity: Option<PathBuf>,
    /// What may come from there.
    pub limits: Limits,
}

/// What an upstream may send when it is asked for refs and objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that the policy lets the mirror hold.
    pub most_bytes: u64,
    /// Bytes of them that are left.
    pub left_bytes: u64,
    /// Seconds for which nothing may come.
    pub stall_seconds: u64,
}

/// What git asked for is not what the table says.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("git asked ssh for something else than the upstream")]
pub struct NotTheUpstream;

// === impl Way ===

impl Way {
    /// Hands the way on to git's child.
    pub fn put_into(&self, command: &mut Command) {
        command
            .env(DESTINATION, &self.destination)
            .env(PORT, self.port.to_string())
            .env(KNOWN_HOSTS, &self.known_hosts)
            .env(MOST_BYTES, self.limits.most_bytes.to_string())
            .env(LEFT_BYTES, self.limits.left_bytes.to_string())
            .env(STALL_SECONDS, self.limits.stall_seconds.to_string());
        if let Some(control) = &self.control {
            command.env(CONTROL, control);
        }
        if let Some(identity) = &self.identity {
            command.env(IDENTITY, identity);
        }
    }

    fn from_environment() -> Option<Self> {
        Some(Self {
            destination: std::env::var(DESTINATION).ok()?,
            port: std::env::var(PORT).ok()?.parse().ok()?,
            known_hosts: std::env::var_os(KNOWN_HOSTS)?.into(),
            control: std::env::var_os(CONTROL).map(PathBuf::from),
            identity: std::env::var_os(IDENTITY).map(PathBuf::from),
            limits: Limits {
                most_bytes: number(MOST_BYTES)?,
                left_bytes: number(LEFT_BYTES)?,
                stall_seconds: number(STALL_SECONDS)?,
            },
        })
    }

    /// ssh's arguments for what git asked: `[-o SendEnv=GIT_PROTOCOL] -p PORT user@host "git-…-pack '…'"`.
    pub fn arguments(&self, asked: &[OsString]) -> Result<Vec<OsString>, NotTheUpstream> {
        let mut rest = asked;
        if let [flag, value, more @ ..] = rest
            && flag == "-o"
            && value == "SendEnv=GIT_PROTOCOL"
        {
            rest = more;
        }
        let [flag, port, destination, wanted] = rest else {
            return Err(NotTheUpstream);
        };
        let service = wanted.as_bytes();
        let known = flag == "-p"
            && port.to_str() == Some(self.port.to_string().as_str())
            && destination.to_str() == Some(self.destination.as_str())
            && (service.starts_with(b"git-upload-pack '") || service.starts_with(b"git-receive-pack '"));
        if !known {
            return Err(NotTheUpstream);
        }
        Ok(self.ssh(destination, wanted))
    }

    fn ssh(&self, destination: &OsString, wanted: &OsString) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = ["ssh", "-F", "/dev/null", "-T"].map(OsString::from).to_vec();
        let mut option = |name: &str, value: OsString| {
            let mut text = OsString::from(format!("{name}="));
            text.push(value);
            arguments.push("-o".into());
            arguments.push(text);
        };
        for (name, value) in [
            ("BatchMode", "yes"),
            ("StrictHostKeyChecking", "yes"),
            ("GlobalKnownHostsFile", "/dev/null"),
            ("UpdateHostKeys", "no"),
            ("CheckHostIP", "no"),
            ("VerifyHostKeyDNS", "no"),
            (
                "IdentitiesOnly",
                if self.identity.is_some() { "yes" } else { "no" },
            ),
            ("PreferredAuthentications", "publickey"),
            ("ForwardAgent", "no"),
            ("ForwardX11", "no"),
            ("ClearAllForwardings", "yes"),
            ("PermitLocalCommand", "no"),
            ("ProxyCommand", "none"),
            ("ConnectTimeout", "10"),
            ("ServerAliveInterval", "15"),
            ("ServerAliveCountMax", "3"),
            ("LogLevel", "ERROR"),
            ("SendEnv", "GIT_PROTOCOL"),
        ] {
            option(name, value.into());
        }
        // A blank would begin a second file and `%` a token: `Git` has seen to it that there are none.
        option("UserKnownHostsFile", self.known_hosts.clone().into());
        match &self.identity {
            Some(identity) => {
                option("IdentityAgent", "none".into());
                option("IdentityFile", quoted(identity));
            }
            None => option("IdentityFile", "none".into()),
        }
        if let Some(control) = &self.control {
            option("ControlMaster", "auto".into());
            option("ControlPersist", KEPT.to_string().into());
            option("ControlPath", control.clone().into());
        }
        arguments.extend(["-p".into(), self.port.to_string().into(), "--".into()]);
        arguments.extend([destination.clone(), wanted.clone()]);
        arguments
    }
}

/// As one word of ssh's configuration, without tokens.
fn quoted(path: &std::path::Path) -> OsString {
    format!("\"{}\"", path.display()).replace('%', "%%").into()
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Becomes ssh, or runs it and looks at what comes.
pub fn main(asked: &[OsString]) -> ExitCode {
    let way = Way::from_environment().ok_or(NotTheUpstream);
    let arguments = way.and_then(|way| Ok((way.arguments(asked)?, way)));
    match arguments {
        Ok((arguments, way)) if asks_for_objects(asked) => return fetch::run(&arguments, &way),
        Ok((arguments, _)) => {
            let arguments: Result<Vec<CString>, _> = arguments
                .iter()
                .map(|text| CString::new(text.as_bytes()))
                .collect();
            if let Ok(arguments) = arguments {
                let failed = nix::unistd::execvp(c"ssh", &arguments);
                complain(&format!("ssh cannot be run: {failed:?}"));
            }
        }
        Err(error) => complain(&error.to_string()),
    }
    ExitCode::from(255)
}

fn asks_for_objects(asked: &[OsString]) -> bool {
    asked
        .last()
        .is_some_and(|wanted| wanted.as_bytes().starts_with(b"git-upload-pack "))
}

fn complain(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "git-gate: {text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way() -> Way {
        Way {
            destination: "git@github.com".to_owned(),
            port: 22,
            known_hosts: "/tmp/k".into(),
            control: None,
            identity: Some("/id".into()),
            limits: Limits {
                most_bytes: 1,
                left_bytes: 1,
                stall_seconds: 1,
            },
        }
    }

    fn asked(text: &[&str]) -> Vec<OsString> {
        text.iter().map(OsString::from).collect()
    }

    #[test]
    fn what_git_asks_for_becomes_strict_ssh() {
        let arguments = way()
            .arguments(&asked(&[
                "-o",
                "SendEnv=GIT_PROTOCOL",
                "-p",
                "22",
                "git@github.com",
                "git-upload-pack '/a.git'",
            ]))
            .unwrap();
        for wanted in [
            "StrictHostKeyChecking=yes",
            "UserKnownHostsFile=/tmp/k",
            "IdentityFile=\"/id\"",
            "IdentityAgent=none",
            "IdentitiesOnly=yes",
        ] {
            assert!(arguments.iter().any(|text| text == wanted), "{wanted}");
        }
        let tail: Vec<_> = arguments.iter().rev().take(3).collect();
        assert_eq!(tail, ["git-upload-pack '/a.git'", "git@github.com", "--"]);
    }

    #[test]
    fn anything_but_the_upstream_is_refused() {
        for other in [
            &["-p", "22", "git@evil.example", "git-upload-pack '/a.git'"][..],
            &["-p", "23", "git@github.com", "git-upload-pack '/a.git'"],
            &["-p", "22", "git@github.com", "sh"],
            &["-oProxyCommand=id", "git@github.com", "git-upload-pack '/a.git'"],
            &["-p", "22", "git@github.com"],
            &[],
        ] {
            assert_eq!(way().arguments(&asked(other)), Err(NotTheUpstream), "{other:?}");
        }
    }
}
