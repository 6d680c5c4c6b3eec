//! One example of each JSON file and message that launcher and guards exchange: it reads, writes itself byte for byte, and
//! an unknown field in it is refused.

#![allow(
    clippy::unwrap_used,
    reason = "a helper of tests is not itself a test to clippy"
)]

use serde::Serialize;
use serde::de::DeserializeOwned;

fn holds<T: Serialize + DeserializeOwned>(golden: &str) {
    let value: T = serde_json::from_str(golden).unwrap();
    assert_eq!(serde_json::to_string_pretty(&value).unwrap() + "\n", golden);
    let unknown = golden.replacen('{', "{\"unknown\": 1,", 1);
    assert!(
        serde_json::from_str::<T>(&unknown).is_err(),
        "an unknown field was accepted"
    );
}

#[test]
fn denial() {
    holds::<contract::Denial>(include_str!("../golden/denial.json"));
}

#[test]
fn denial_by_the_seat() {
    holds::<contract::Denial>(include_str!("../golden/denial-pipelock.json"));
}

#[test]
fn access_event() {
    holds::<contract::AccessEvent>(include_str!("../golden/access-event.json"));
}

#[test]
fn applied() {
    holds::<contract::Applied>(include_str!("../golden/applied.json"));
}

#[test]
fn grants() {
    holds::<contract::GrantLedger>(include_str!("../golden/grants.json"));
}

#[test]
fn live_table() {
    holds::<contract::LiveTable>(include_str!("../golden/live-table.json"));
}

#[test]
fn metadata() {
    holds::<contract::Metadata>(include_str!("../golden/metadata.json"));
}

#[test]
fn proposal() {
    let golden = include_str!("../golden/proposal.json");
    holds::<contract::Proposal>(golden);
    let proposal: contract::Proposal = serde_json::from_str(golden).unwrap();
    assert_eq!(proposal.ask.dedup_key(), proposal.dedup_key);
}

#[test]
fn withdrawal() {
    holds::<contract::Withdrawal>(include_str!("../golden/withdrawal.json"));
}

#[test]
fn response() {
    holds::<contract::Response>(include_str!("../golden/response.json"));
}

#[test]
fn apply_state() {
    holds::<contract::ApplyState>(include_str!("../golden/apply-state.json"));
}

#[test]
fn audit_entry() {
    holds::<contract::AuditEntry>(include_str!("../golden/audit-entry.json"));
}
