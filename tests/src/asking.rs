//! Asking in a bottle, and answering outside: what tests and demo of supervise have in common. The agent is curl; it calls supervise
//! by plain HTTP POST.

use crate::home::{Bottle, Home};
use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How long the loaded machine of a test may take for a step.
const PATIENCE: Duration = Duration::from_secs(30);

/// A bottle with supervise, and its operator.
pub struct Asking<'a> {
    /// The operator's.
    pub home: &'a Home,
    /// The agent's.
    pub bottle: &'a Bottle<'a>,
}

impl Asking<'_> {
    /// Calls the tool in the background of the agent's container; the answer goes into a file. Comes back when it waits.
    pub fn call(&self, name: &str, arguments: &Value) -> anyhow::Result<()> {
        let message = json!({"jsonrpc": "2.0", "id": name, "method": "tools/call", "params":
            {"name": "egress-block", "arguments": arguments, "_meta": {"progressToken": name}}});
        let line = format!(
            "(curl --silent --no-buffer --max-time 120 -H 'Content-Type: application/json' \
             -H 'Accept: application/json, text/event-stream' -H 'MCP-Protocol-Version: 2025-11-25' \
             --data-binary '{message}' http://supervise:8931/mcp > $HOME/{name}.part 2>&1; mv $HOME/{name}.part $HOME/{name}) \
             > /dev/null 2>&1 &"
        );
        let (said, code) = self.bottle.sh(&line)?;
        ensure!(code == 0, "{said}");
        // The first progress says that it hangs on a proposal: whatever is decided from here on reaches it.
        eventually(|| {
            let (_, code) = self
                .bottle
                .sh(&format!("test -s $HOME/{name}.part || test -s $HOME/{name}"))?;
            Ok((code == 0).then_some(()))
        })
        .with_context(|| format!("the call {name} was not heard"))
    }

    /// What the call was answered, once it was.
    pub fn answer(&self, name: &str) -> anyhow::Result<String> {
        eventually(|| {
            let (said, code) = self.bottle.sh(&format!("cat $HOME/{name}"))?;
            Ok((code == 0).then_some(said))
        })
        .with_context(|| format!("the call {name} was not answered"))
    }

    /// The pending proposals, once there are this many.
    pub fn pending(&self, count: usize) -> anyhow::Result<Vec<String>> {
        eventually(|| {
            let listed: Value = serde_json::from_str(&self.home.succeed(&["proposals", "--json"])?)?;
            let ids: Vec<String> = listed
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|row| row.pointer("/proposal/proposal_id")?.as_str().map(str::to_owned))
                .collect();
            Ok((ids.len() == count).then_some(ids))
        })
        .with_context(|| format!("there are not {count} pending proposals"))
    }

    /// Status and body of one request of the agent's.
    pub fn curl(&self, url: &str) -> anyhow::Result<(String, String)> {
        let line = format!("curl --silent --max-time 20 --write-out '\\n%{{http_code}}' {url}");
        let (said, _) = self.bottle.sh(&line)?;
        let (body, status) = said.rsplit_once('\n').context("curl said nothing")?;
        Ok((status.to_owned(), body.to_owned()))
    }
}

/// Looks until there is something to see.
pub fn eventually<T>(look: impl FnMut() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
    eventually_within(PATIENCE, look)
}

/// The same, for so long.
pub fn eventually_within<T>(
    patience: Duration,
    mut look: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let begun = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        ensure!(begun.elapsed() < patience, "not within {} s", patience.as_secs());
        std::thread::sleep(Duration::from_millis(50));
    }
}
