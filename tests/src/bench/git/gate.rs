//! A gate as shipped, in front of one repository of a host.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use contract::AccessEvent;
use contract::gate::{FingerprintKey, GateConfig};

use super::host::{Host, Process, free_port, wait_for};
use crate::bench::bare;
use crate::prefix::Prefix;

/// A running gate.
pub(super) struct Gate {
    place: tempfile::TempDir,
    port: u16,
    route: String,
    process: Process,
}

// === impl Gate ===

impl Gate {
    /// In front of `name`; it finds git in `programs`, if given, before anywhere else.
    pub(super) fn start(host: &Host, name: &str, programs: Option<&Path>) -> anyhow::Result<Self> {
        let place = tempfile::tempdir()?;
        let path = place.path();
        for folder in ["config", "run", "repos", "tmp"] {
            fs_err::create_dir(path.join(folder))?;
        }
        let remote = host.remote(name)?;
        let route = remote.upstream.route();
        let config = GateConfig {
            generation: 1,
            fingerprint_key: FingerprintKey::new([9; 32]),
            remotes: vec![remote],
            allow: Vec::new(),
        };
        fs_err::write(path.join("config/gate.json"), config.to_json())?;
        let port = free_port()?;
        let mut command = bare(&Prefix::find()?.libexec("git-gate"));
        command.args(["run", "--launch-nonce", "n-benchmark", "--log-level", "warn"]);
        command.args(["--listen", &format!("127.0.0.1:{port}")]);
        for (option, folder) in [("--config", "config"), ("--run", "run"), ("--repos", "repos")] {
            command.arg(option).arg(path.join(folder));
        }
        command.env("TMPDIR", path.join("tmp"));
        if let Some(programs) = programs {
            let others = std::env::var("PATH").unwrap_or_default();
            command.env("PATH", format!("{}:{others}", programs.display()));
        }
        let events = std::fs::File::create(path.join("events"))?;
        command
            .stdin(Stdio::null())
            .stdout(events)
            .stderr(Stdio::inherit());
        let process = Process::spawn(&mut command)?;
        wait_for(port)?;
        Ok(Self {
            place,
            port,
            route,
            process,
        })
    }

    /// The repository's URL.
    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/{}", self.port, self.route)
    }

    /// Its process id.
    pub(super) fn process(&self) -> u32 {
        self.process.0.id()
    }

    /// How long each judgement so far took, from the hook's question on: the gate's own figure.
    pub(super) fn decisions(&self) -> anyhow::Result<Vec<Duration>> {
        let events = fs_err::read_to_string(self.place.path().join("events"))?;
        let events = events.lines().map(serde_json::from_str::<AccessEvent>);
        let events = events.collect::<Result<Vec<_>, _>>()?;
        let judged = events
            .iter()
            .filter(|event| event.method.as_deref() == Some("pre-receive"));
        Ok(judged
            .map(|event| Duration::from_micros(event.microseconds))
            .collect())
    }
}
