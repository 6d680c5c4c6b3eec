//! The whole loop in a real bottle: a request is refused, the agent asks with the refusal's own remedy, the operator answers, and the
//! same request passes (or not). The agent is curl; it calls supervise by plain HTTP POST.

use crate::{curl, home, internet};
use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use system_tests::home::{Bottle, Home};

/// How long the loaded machine of a test may take for a step.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn what_is_refused_is_asked_for_approved_and_then_passes() {
    let internet = internet().unwrap();
    let home = home(&internet).unwrap();
    let manifest = home.path().join("bottles/box.md");
    let text = fs_err::read_to_string(&manifest).unwrap();
    let with_supervise = text.replacen("egress:\n", "supervise: true\negress:\n", 1);
    fs_err::write(&manifest, with_supervise).unwrap();
    let bottle = home.start("tester").unwrap();
    internet.reach_from(&bottle.guard("egress")).unwrap();
    let loop_ = Loop {
        home: &home,
        bottle: &bottle,
    };
    loop_.approved().unwrap();
    loop_.asked_twice_and_rejected().unwrap();
    loop_.once().unwrap();
    loop_.no_answer_from_inside().unwrap();
    loop_.audited().unwrap();
}

struct Loop<'a> {
    home: &'a Home,
    bottle: &'a Bottle<'a>,
}

const OTHER: &str = "https://api.test.example/repos/other/readme";

impl Loop<'_> {
    fn approved(&self) -> anyhow::Result<()> {
        let (status, body) = curl(self.bottle, OTHER)?;
        ensure!(status == "403", "{status} {body}");
        let denial: Value = serde_json::from_str(&body).context(body.clone())?;
        let remedy = &denial["remedy"];
        ensure!(remedy["tool"] == "egress-block", "no remedy: {denial}");
        self.call("first", &remedy["arguments"])?;
        let id = self.pending(1)?.remove(0);
        let shown = self.home.succeed(&["proposals", &id])?;
        ensure!(shown.contains("+  - /repos/other/"), "{shown}");
        let said = self.home.succeed(&["approve", &id, "--yes"])?;
        ensure!(said.contains("api.test.example is live since"), "{said}");
        let answer = self.answer("first")?;
        ensure!(answer.contains("api.test.example is live since"), "{answer}");
        let (status, body) = curl(self.bottle, OTHER)?;
        ensure!(status == "200", "after the approval: {status} {body}");
        Ok(())
    }

    fn asked_twice_and_rejected(&self) -> anyhow::Result<()> {
        let arguments = json!({"host": "closed.test.example", "justification": "once"});
        self.call("second", &arguments)?;
        let id = self.pending(1)?.remove(0);
        self.call(
            "third",
            &json!({"host": "closed.test.example", "justification": "and again"}),
        )?;
        ensure!(self.pending(1)? == [id.clone()], "asked twice gave two");
        self.home
            .succeed(&["reject", &id, "--reason", "use the mirror"])?;
        for call in ["second", "third"] {
            let answer = self.answer(call)?;
            ensure!(answer.contains("use the mirror"), "{answer}");
        }
        let (status, _) = curl(self.bottle, "https://closed.test.example/")?;
        ensure!(status == "403" || status == "000", "{status}");
        Ok(())
    }

    fn once(&self) -> anyhow::Result<()> {
        let url = "https://api.test.example/repos/once/x";
        let arguments = json!({"host": "api.test.example", "path_allowlist": ["/repos/once/"], "justification": "one look"});
        self.call("fourth", &arguments)?;
        let id = self.pending(1)?.remove(0);
        self.home.succeed(&["approve", &id, "--once", "--yes"])?;
        let statuses = [curl(self.bottle, url)?.0, curl(self.bottle, url)?.0];
        ensure!(statuses == ["200", "403"], "{statuses:?}");
        let grant = id.replacen("p-", "g-", 1);
        let events = self
            .home
            .succeed(&["logs", self.bottle.slug(), "--guard", "egress"])?;
        ensure!(events.contains(&grant), "no event carries {grant}: {events}");
        let audit = self
            .home
            .succeed(&["audit", self.bottle.slug(), "--of", &grant])?;
        ensure!(audit.contains("api.test.example closed: used"), "{audit}");
        Ok(())
    }

    fn no_answer_from_inside(&self) -> anyhow::Result<()> {
        let (found, _) = self
            .bottle
            .sh("find / -xdev -name '*.state.json' 2>/dev/null; ls /run/supervise 2>&1")?;
        ensure!(!found.contains("p-"), "the agent sees answers: {found}");
        let mounts = system_tests::docker::docker([
            "inspect",
            "--format",
            "{{range .Mounts}}{{.Destination}} {{.RW}}\n{{end}}",
            &self.bottle.guard("supervise"),
        ])?;
        ensure!(mounts.contains("/run/supervise/responses false"), "{mounts}");
        Ok(())
    }

    fn audited(&self) -> anyhow::Result<()> {
        let verified = self.home.succeed(&["audit", "--verify"])?;
        ensure!(verified.contains("whole"), "{verified}");
        Ok(())
    }

    /// Calls the tool in the background of the agent's container; the answer goes into a file.
    fn call(&self, name: &str, arguments: &Value) -> anyhow::Result<()> {
        let message = json!({"jsonrpc": "2.0", "id": name, "method": "tools/call", "params":
            {"name": "egress-block", "arguments": arguments}});
        let line = format!(
            "(curl --silent --max-time 120 -H 'Content-Type: application/json' \
             -H 'Accept: application/json, text/event-stream' -H 'MCP-Protocol-Version: 2025-11-25' \
             --data-binary '{message}' http://supervise:8931/mcp > $HOME/{name}.part 2>&1; mv $HOME/{name}.part $HOME/{name}) \
             > /dev/null 2>&1 &"
        );
        let (said, code) = self.bottle.sh(&line)?;
        ensure!(code == 0, "{said}");
        Ok(())
    }

    fn answer(&self, name: &str) -> anyhow::Result<String> {
        eventually(|| {
            let (said, code) = self.bottle.sh(&format!("cat $HOME/{name}"))?;
            Ok((code == 0).then_some(said))
        })
        .with_context(|| format!("the call {name} was not answered"))
    }

    /// The pending proposals, once there are this many.
    fn pending(&self, count: usize) -> anyhow::Result<Vec<String>> {
        eventually(|| {
            let listed: Value = serde_json::from_str(&self.home.succeed(&["proposals", "--json"])?)?;
            let ids: Vec<String> = listed
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|row| row["proposal"]["proposal_id"].as_str().map(str::to_owned))
                .collect();
            Ok((ids.len() == count).then_some(ids))
        })
        .with_context(|| format!("there are not {count} pending proposals"))
    }
}

fn eventually<T>(mut look: impl FnMut() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
    let begun = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        ensure!(begun.elapsed() < PATIENCE, "not within {} s", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(50));
    }
}
