//! What containers logged.

use super::{Engine, words};
use crate::error::{Error, Result};
use bollard::query_parameters::LogsOptions;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};

/// How much of a log to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Everything there is.
    All,
    /// The last lines.
    Last(u32),
    /// Everything there is, and what comes.
    Follow,
}

impl Engine {
    /// A container's log, line by line, each with the engine's own time before it: `2026-11-21T09:30:00.123456789Z text`.
    pub fn log_lines(&self, container: &str, part: Part) -> impl Stream<Item = Result<String>> + use<> {
        let options = LogsOptions {
            stdout: true,
            stderr: true,
            timestamps: true,
            follow: part == Part::Follow,
            tail: match part {
                Part::Last(lines) => lines.to_string(),
                Part::All | Part::Follow => "all".to_owned(),
            },
            ..Default::default()
        };
        let name = container.to_owned();
        self.docker()
            .logs(container, Some(options))
            .map(move |frame| match frame {
                Ok(frame) => {
                    let text = String::from_utf8_lossy(&frame.into_bytes()).into_owned();
                    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
                }
                Err(error) => Err(Error::failed(format!("the log of {name} cannot be read"))
                    .because(anyhow::anyhow!(words(error)))),
            })
    }

    /// The last lines of a container's log without times, for an error message; empty when there is none.
    pub async fn log_tail(&self, container: &str, lines: u32) -> Vec<String> {
        let lines: Result<Vec<String>> = self
            .log_lines(container, Part::Last(lines))
            .map_ok(|line| match line.split_once(' ') {
                Some((_, text)) => text.to_owned(),
                None => line,
            })
            .try_collect()
            .await;
        lines.unwrap_or_default()
    }
}
