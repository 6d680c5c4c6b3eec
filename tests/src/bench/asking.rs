//! Asking: how long an approval takes to be enforced, what the waiting costs supervise, and how fast an operator sees a long queue. In a
//! real bottle on the engine; every figure is one that an operator or an agent would take with a clock of their own.

use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, ensure};
use contract::audit::AuditEvent;
use contract::{Ask, AuditEntry, Guard, Proposal, ProposalId, SCHEMA_VERSION, Timestamp};
use serde_json::{Value, json};

use super::bars::Bar;
use crate::asking::{Asking, eventually};
use crate::home::{Bottle, Home};
use crate::internet::Internet;
use crate::prefix::Prefix;

const HOST: &str = "asked.bench.example";
/// Calls that wait at a time.
const WAITING: usize = 100;
/// Proposals in the queue.
const QUEUE: usize = 1000;
/// Calls of `list-egress-routes`.
const LISTINGS: usize = 200;
/// Looks at the long queue.
const LOOKS: usize = 11;

/// Measures everything, prints the bars, and writes them as JSON.
pub fn run(approvals: usize, results: &std::path::Path, say: &mut dyn FnMut(&str)) -> anyhow::Result<()> {
    let prefix = Prefix::find()?;
    let internet = Internet::start(&prefix, &[HOST])?;
    let home = Home::new(&prefix)?;
    home.agent(
        "asker",
        "bottle: asking\nimage: small\ncommand: [bash, -c, 'read -r _ || true']\n",
    )?;
    let cidr = internet.cidr();
    home.bottle(
        "asking",
        &format!("supervise: true\negress:\n  routes:\n    - host: {HOST}\n      path_allowlist: [/known/]\n      private_cidr: {cidr}"),
    )?;
    let bottle = home.start("asker")?;
    let asking = Asking {
        home: &home,
        bottle: &bottle,
    };
    let approved = sorted(self::approvals(&asking, approvals)?);
    let listed = sorted(listings(&bottle)?);
    let idle = resident(&bottle)?;
    let waiting = waiting(&asking)?;
    let (first, looks) = queue(&asking)?;
    let looks = sorted(looks);
    let bar = |what, value: f64, most| Bar {
        what,
        value: Some(value),
        most,
    };
    let bars = [
        bar(
            "approve to both acknowledgements, p50, ms",
            percentile(&approved, 50),
            200.0,
        ),
        bar(
            "approve to both acknowledgements, p99, ms",
            percentile(&approved, 99),
            400.0,
        ),
        bar(
            "list-egress-routes from the agent, p50, ms",
            percentile(&listed, 50),
            5.0,
        ),
        bar("RSS of supervise with 100 waiting calls, MiB", waiting, 10.0),
        bar(
            "bottle proposals with 1,000 pending, p50, ms",
            percentile(&looks, 50),
            100.0,
        ),
    ];
    let mut rows = Vec::new();
    for bar in &bars {
        let met = if bar.met() == Some(true) { "met" } else { "MISSED" };
        let value = bar.value.unwrap_or_default();
        say(&format!(
            "{:48} {value:8.1}  at most {:5.0}  {met}",
            bar.what, bar.most
        ));
        rows.push(json!({"what": bar.what, "value": bar.value, "at_most": bar.most, "met": bar.met()}));
    }
    say(&format!(
        "RSS of supervise before anybody waits, MiB {idle:.1}; first look at 1,000 new proposals (noted in the audit) {first:.0} ms"
    ));
    let told = json!({
        "schema_version": 1, "bars": rows, "approvals_ms": approved, "listings_ms": listed, "looks_ms": looks,
        "first_look_ms": first, "idle_rss_mib": idle,
    });
    if let Some(folder) = results.parent() {
        fs_err::create_dir_all(folder)?;
    }
    fs_err::write(results, serde_json::to_string_pretty(&told)? + "\n")?;
    Ok(())
}

/// From the operator's answer to the later of the two acknowledgements, as the files tell, in ms.
fn approvals(asking: &Asking<'_>, count: usize) -> anyhow::Result<Vec<f64>> {
    let mut took = Vec::new();
    for number in 0..count {
        let id = propose(asking.bottle, number)?;
        asking.home.succeed(&["approve", id.as_str(), "--yes"])?;
        let response = asking
            .bottle
            .state()
            .join(format!("supervise/responses/{id}.json"));
        let response: contract::Response = serde_json::from_slice(&fs_err::read(response)?)?;
        let log = asking
            .home
            .path()
            .join("audit")
            .join(format!("{}.jsonl", asking.bottle.slug()));
        let log = fs_err::read_to_string(log)?;
        let of_it = log
            .lines()
            .rev()
            .filter_map(|line| serde_json::from_str::<AuditEntry>(line).ok())
            .take_while(|entry| entry.proposal_id.as_ref() == Some(&id));
        let mut guards = Vec::new();
        let mut last = response.decided_at;
        for entry in of_it {
            if let AuditEvent::Acknowledged { guard, .. } = entry.event {
                guards.push(guard);
                last = last.max(entry.time);
            }
        }
        ensure!(
            guards.contains(&Guard::Egress) && guards.contains(&Guard::Pipelock),
            "{id} was acknowledged by {guards:?} alone"
        );
        let millis = last.as_millis() - response.decided_at.as_millis();
        took.push(u32::try_from(millis).map(f64::from)?);
    }
    Ok(took)
}

/// As supervise would write it.
fn propose(bottle: &Bottle<'_>, number: usize) -> anyhow::Result<ProposalId> {
    let id: ProposalId = format!("p-{number:08}").parse()?;
    let ask: Ask = serde_json::from_value(json!({"tool": "egress-block", "arguments": {"host": HOST,
        "path_allowlist": [format!("/asked/{number}/")], "methods": [], "justification": "the benchmark needs it"}}))?;
    let proposal = Proposal {
        schema_version: SCHEMA_VERSION,
        proposal_id: id.clone(),
        asked_at: Timestamp::from(SystemTime::now()),
        dedup_key: ask.dedup_key(),
        ask,
        asked_by: None,
    };
    let path = bottle.state().join(format!("supervise/proposals/{id}.json"));
    let fresh = path.with_extension("new");
    fs_err::write(&fresh, serde_json::to_string(&proposal)?)?;
    fs_err::rename(fresh, path)?;
    Ok(id)
}

/// From inside the agent's container, through the shim, in ms.
fn listings(bottle: &Bottle<'_>) -> anyhow::Result<Vec<f64>> {
    let message = call("list-egress-routes", &json!({}), 1);
    let line = format!(
        "for i in $(seq {LISTINGS}); do curl --silent --output /dev/null --write-out '%{{time_total}}\\n' {HEADERS} \
         --data-binary '{message}' http://supervise:8931/mcp; done"
    );
    let (said, code) = bottle.sh(&line)?;
    ensure!(code == 0, "{said}");
    let times: Vec<f64> = said
        .lines()
        .filter_map(|seconds| seconds.parse::<f64>().ok())
        .map(|seconds| seconds * 1e3)
        .collect();
    ensure!(times.len() == LISTINGS, "{said}");
    Ok(times)
}

const HEADERS: &str = "-H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' \
                       -H 'MCP-Protocol-Version: 2025-11-25'";

fn call(tool: &str, arguments: &Value, id: usize) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params":
        {"name": tool, "arguments": arguments, "_meta": {"progressToken": id}}})
}

/// What supervise holds while they wait, in MiB.
fn waiting(asking: &Asking<'_>) -> anyhow::Result<f64> {
    let why = "x".repeat(500);
    for number in 0..WAITING {
        let arguments = json!({"host": format!("h{number}.bench.example"), "justification": why});
        let message = call("egress-block", &arguments, number);
        let line = format!(
            "(curl --silent --no-buffer --max-time 600 {HEADERS} --data-binary '{message}' http://supervise:8931/mcp \
             > $HOME/w{number}) > /dev/null 2>&1 &"
        );
        let (said, code) = asking.bottle.sh(&line)?;
        ensure!(code == 0, "{said}");
    }
    eventually(|| {
        let (said, _) = asking
            .bottle
            .sh("grep -l notifications/progress $HOME/w* | wc -l")?;
        Ok((said.trim() == WAITING.to_string()).then_some(()))
    })
    .with_context(|| format!("{WAITING} calls do not wait"))?;
    asking.pending(WAITING)?;
    resident(asking.bottle)
}

/// Resident memory of supervise, in MiB.
fn resident(bottle: &Bottle<'_>) -> anyhow::Result<f64> {
    let format = "{{.State.Pid}}";
    let pid = crate::docker::docker(["inspect", "--format", format, &bottle.guard("supervise")])?;
    let status = fs_err::read_to_string(format!("/proc/{}/status", pid.trim()))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    let kib: f64 = line
        .and_then(|line| line.split_whitespace().nth(1))
        .context("no VmRSS")?
        .parse()?;
    Ok(kib / 1024.0)
}

/// The first look at the long queue, and the ones after it, in ms.
fn queue(asking: &Asking<'_>) -> anyhow::Result<(f64, Vec<f64>)> {
    for number in WAITING..QUEUE {
        propose(asking.bottle, 10_000 + number)?;
    }
    let first = look(asking)?;
    eventually(|| {
        let listed: Value = serde_json::from_str(&asking.home.succeed(&["proposals", "--json"])?)?;
        Ok((listed.as_array().map(Vec::len) == Some(QUEUE)).then_some(()))
    })?;
    let looks = (0..LOOKS).map(|_| look(asking)).collect::<anyhow::Result<_>>()?;
    Ok((first, looks))
}

fn look(asking: &Asking<'_>) -> anyhow::Result<f64> {
    let mut command = asking.home.command(&["proposals"]);
    command.stdin(Stdio::null()).stderr(Stdio::null());
    let began = Instant::now();
    let output = command.output()?;
    let took: Duration = began.elapsed();
    ensure!(
        output.status.success(),
        "bottle proposals ended with {}",
        output.status
    );
    Ok(took.as_secs_f64() * 1e3)
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

/// Of values in order; the nearest rank.
fn percentile(values: &[f64], of: usize) -> f64 {
    let rank = (values.len() * of).div_ceil(100).max(1);
    values.get(rank - 1).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_nearest_rank() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!((percentile(&values, 50), percentile(&values, 99)), (50.0, 99.0));
        assert_eq!(percentile(&[7.0], 99), 7.0);
        assert!(percentile(&[], 50).is_nan());
    }
}
