//! `bottle list`

use crate::cli::Context;
use crate::engine::Engine;
use crate::error::Result;
use crate::lifecycle::{Bottle, BottleState, observe};
use clap::Args;
use contract::{Slug, Timestamp};
use serde::Serialize;
use std::time::SystemTime;

/// List the bottles, running or not.
#[derive(Debug, Args)]
pub struct List {}

/// One bottle, as `--json` shows it.
#[derive(Serialize)]
struct Row {
    slug: Slug,
    agent: Option<String>,
    bottle: Option<String>,
    state: BottleState,
    since: Option<Timestamp>,
    /// Guards that do not run though the bottle does.
    guards_down: Vec<String>,
}

impl List {
    /// Does it.
    pub async fn run(self, context: &Context) -> Result<()> {
        let home = context.home()?;
        let engine = Engine::connect(&context.environment).await?;
        let bottles = observe::all(&engine, &home).await?;
        let printer = &context.printer;
        observe::tell_unjudged(printer, &home, &bottles);
        let rows: Vec<Row> = bottles.iter().map(row).collect();
        if printer.wants_json() {
            return printer.json(&rows);
        }
        if rows.is_empty() {
            printer.message("there are no bottles");
            printer.hint("`bottle start AGENT` starts one");
            return Ok(());
        }
        let now = Timestamp::from(SystemTime::now());
        let cells: Vec<Vec<String>> = rows.iter().map(|row| cells(row, now)).collect();
        printer.table(&["SLUG", "AGENT", "BOTTLE", "STATE", "SINCE"], &cells);
        let in_state = |state| rows.iter().any(|row| row.state == state);
        if in_state(BottleState::Crashed) || in_state(BottleState::Stopped) {
            printer.hint("`bottle cleanup` removes what crashed and stopped bottles left");
        }
        Ok(())
    }
}

fn row(bottle: &Bottle) -> Row {
    let metadata = bottle.metadata.as_ref();
    let guards_down = match bottle.state {
        BottleState::Running => bottle.guards_down().into_iter().map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    Row {
        slug: bottle.slug.clone(),
        agent: metadata.map(|metadata| metadata.agent_name.to_string()),
        bottle: metadata.map(|metadata| metadata.bottle.to_string()),
        state: bottle.state,
        since: metadata.map(|metadata| metadata.started_at),
        guards_down,
    }
}

fn cells(row: &Row, now: Timestamp) -> Vec<String> {
    let unknown = || "?".to_owned();
    let mut state = row.state.word().to_owned();
    if !row.guards_down.is_empty() {
        state.push_str(&format!(" ({} down)", row.guards_down.join(", ")));
    }
    vec![
        row.slug.to_string(),
        row.agent.clone().unwrap_or_else(unknown),
        row.bottle.clone().unwrap_or_else(unknown),
        state,
        row.since.map_or_else(unknown, |since| ago(since, now)),
    ]
}

/// How long ago, in the largest unit that is at least one.
fn ago(since: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_millis().saturating_sub(since.as_millis()) / 1000;
    let (count, unit) = match seconds {
        ..=0 => return "now".to_owned(),
        1..60 => (seconds, "second"),
        60..3600 => (seconds / 60, "minute"),
        3600..86400 => (seconds / 3600, "hour"),
        _ => (seconds / 86400, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural} ago")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_in_its_largest_unit() {
        let since = Timestamp::from_millis(0);
        for (seconds, told) in [
            (0, "now"),
            (1, "1 second ago"),
            (59, "59 seconds ago"),
            (60, "1 minute ago"),
            (7200, "2 hours ago"),
            (86400 * 3, "3 days ago"),
        ] {
            assert_eq!(ago(since, Timestamp::from_millis(seconds * 1000)), told);
        }
        assert_eq!(ago(Timestamp::from_millis(5000), since), "now");
    }
}
