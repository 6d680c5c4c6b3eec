//! `git-gate check`: reads a config directory as `run` would, and prints what would be in force.

use std::fmt::Write as _;
use std::path::PathBuf;

use contract::gate::{GateConfig, Identity};

use super::Failure;
use crate::config::{self, ConfigError};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The config directory: gate.json
    #[arg(long, value_name = "DIR")]
    config: PathBuf,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let file = config::read(&arguments.config)?;
    let config = file.config.map_err(ConfigError::from)?;
    super::print(&describe(&config, file.sha256.as_str()))
}

fn describe(config: &GateConfig, sha256: &str) -> String {
    let mut text = format!(
        "generation {}, {} upstreams, file {sha256}, policy {}\n",
        config.generation,
        config.remotes.len(),
        config.effective_sha256()
    );
    for remote in &config.remotes {
        let identity = match &remote.identity {
            Identity::File(path) => format!("key {}", path.display()),
            Identity::Agent(path) => format!("ssh-agent {}", path.display()),
            Identity::Variable(name) if std::env::var_os(name.as_str()).is_none() => {
                format!("key in {name}, which is not set in this environment")
            }
            Identity::Variable(name) => format!("key in {name}"),
        };
        let list = |patterns: Vec<&str>| {
            if patterns.is_empty() {
                "none".to_owned()
            } else {
                patterns.join(", ")
            }
        };
        let policy = &remote.policy;
        let refs = |patterns: &[contract::gate::RefPattern]| {
            list(patterns.iter().map(contract::gate::RefPattern::as_str).collect())
        };
        let _ = writeln!(
            text,
            "{}  as /{}  {identity}\n  refs {}  force {}  delete {}  lfs {}  protected paths {}",
            remote.upstream,
            remote.upstream.route(),
            refs(&policy.refs),
            refs(&policy.force),
            refs(&policy.delete),
            if policy.lfs { "yes" } else { "no" },
            policy.protected_paths.len()
        );
    }
    for allowance in &config.allow {
        let _ = writeln!(
            text,
            "allowed until {}: {} ({})",
            allowance.expires_at,
            allowance.fingerprint,
            contract::text::harmless(&allowance.reason)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_in_force_is_printed_and_no_key() {
        let json = r#"{"schema_version": 1, "generation": 4, "fingerprint_key": "KEY", "remotes": [{
            "upstream": "ssh://git@h.example/a.git", "identity": {"file": "/keys/0"}, "known_hosts": "h.example ssh-ed25519 AAAA",
            "policy": {"force": ["refs/heads/agent/*"]}}],
            "allow": [{"fingerprint": "fp-0123456789abcdef01234567", "reason": "a test", "expires_at": "2026-11-21T10:00:00Z"}]}"#;
        let config = GateConfig::parse(json.replace("KEY", &"ab".repeat(32)).as_bytes()).unwrap();
        let text = describe(&config, "00");
        assert!(
            text.contains("ssh://git@h.example/a.git  as /h.example/a.git  key /keys/0"),
            "{text}"
        );
        assert!(text.contains("force refs/heads/agent/*  delete none"), "{text}");
        assert!(text.contains("fp-0123456789abcdef01234567 (a test)"), "{text}");
        assert!(!text.contains("abab"), "{text}");
    }
}
