//! From a hook's start to its verdict, as git itself measures it: the process, its question to the gate, and the answer.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use serde::Deserialize;

/// A `git` that writes down what it ran (trace2, api-trace2), for a gate that clears the environment.
pub(super) struct Git(tempfile::TempDir);

#[derive(Deserialize)]
struct Event {
    event: String,
    child_id: Option<u64>,
    hook_name: Option<String>,
    t_rel: Option<f64>,
}

// === impl Git ===

impl Git {
    pub(super) fn new() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let real = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
            .map(|path| path.join("git"))
            .find(|path| path.is_file())
            .context("git is not in PATH")?;
        let traces = folder.path().join("traces");
        fs_err::create_dir(&traces)?;
        fs_err::create_dir(folder.path().join("bin"))?;
        let script = format!(
            "#!/bin/sh\nGIT_TRACE2_EVENT={} exec {} \"$@\"\n",
            traces.display(),
            real.display()
        );
        let git = folder.path().join("bin/git");
        fs_err::write(&git, script)?;
        fs_err::set_permissions(git, std::fs::Permissions::from_mode(0o755))?;
        Ok(Self(folder))
    }

    /// Where it is.
    pub(super) fn folder(&self) -> PathBuf {
        self.0.path().join("bin")
    }

    /// How long each pre-receive hook took since this was asked last.
    pub(super) fn verdicts(&self) -> anyhow::Result<Vec<Duration>> {
        let mut took = Vec::new();
        for entry in fs_err::read_dir(self.0.path().join("traces"))? {
            let path = entry?.path();
            took.extend(hook(&fs_err::read_to_string(&path)?));
            fs_err::remove_file(path)?;
        }
        Ok(took)
    }
}

fn hook(trace: &str) -> Option<Duration> {
    let events: Vec<Event> = trace
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let began = events
        .iter()
        .find(|event| event.event == "child_start" && event.hook_name.as_deref() == Some("pre-receive"))?;
    let ended = events
        .iter()
        .find(|event| event.event == "child_exit" && event.child_id == began.child_id)?;
    Duration::try_from_secs_f64(ended.t_rel?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hook_s_own_time_is_taken_and_nobody_else_s() {
        let trace = r#"{"event":"version","sid":"x"}
{"event":"child_start","child_id":0,"child_class":"?","argv":["git","index-pack"]}
{"event":"child_exit","child_id":0,"pid":1,"code":0,"t_rel":0.5}
{"event":"child_start","child_id":1,"child_class":"hook","hook_name":"pre-receive","argv":["x"]}
{"event":"child_exit","child_id":1,"pid":2,"code":0,"t_rel":0.0075}
"#;
        assert_eq!(hook(trace), Some(Duration::from_micros(7500)));
        assert_eq!(hook(""), None);
    }
}
