//! Stopping, killing and starting again.

use std::process::Command;

use contract::AccessEvent;
use serde_json::json;

use crate::served::{Era, Served, ask, call, id_of, wait_for};

#[test]
fn a_killed_server_loses_no_proposal_and_doubles_none() {
    let served = Served::start();
    let params = json!({"name": "egress-block", "arguments": ask("task.example")});
    let task = served.with_tasks("tools/call", params.clone()).result();
    let id = json!({"taskId": task["taskId"]});
    let message = call(
        Era::Modern,
        "egress-block",
        ask("call.example"),
        json!({"progressToken": 1}),
    );
    let mut waiting = served.post(Era::Modern, &[], &message);
    waiting.message();
    let before = served.proposals(".json");
    assert_eq!(before.len(), 2);

    let served = Served::start_in(served.kill(), None);
    assert_eq!(
        served.with_tasks("tasks/get", id.clone()).result()["status"],
        "working"
    );
    assert_eq!(
        served.with_tasks("tools/call", params).result()["taskId"],
        task["taskId"]
    );
    let again = served.post(Era::Modern, &[], &message);
    assert_eq!(served.proposals(".json"), before);
    assert!(served.proposals(".withdrawn").is_empty());
    for proposal in &before {
        served.reject(proposal);
    }
    assert_eq!(again.result()["structuredContent"]["status"], "rejected");
    let get = || served.with_tasks("tasks/get", id.clone()).result();
    let done = wait_for(|| Some(get()).filter(|task| task["status"] != "working"));
    assert_eq!(done["result"]["structuredContent"]["status"], "rejected");
}

#[test]
fn what_was_answered_while_it_was_dead_is_delivered() {
    let served = Served::start();
    let params = json!({"name": "egress-block", "arguments": ask("a.example")});
    let task = served.with_tasks("tools/call", params).result();
    let folder = served.kill();
    let mut served = Served::start_in(folder, None);
    let proposal = served.the_proposal();
    assert_eq!(served.stop(), Some(0));
    served.reject(&proposal);
    let folder = served.kill();
    let served = Served::start_in(folder, None);
    let done = served
        .with_tasks("tasks/get", json!({"taskId": task["taskId"]}))
        .result();
    assert_eq!(done["status"], "completed");
}

#[test]
fn stopping_breaks_calls_off_and_withdraws_nothing() {
    let mut served = Served::start();
    let message = call(
        Era::Modern,
        "egress-block",
        ask("a.example"),
        json!({"progressToken": 1}),
    );
    let mut waiting = served.post(Era::Modern, &[], &message);
    waiting.message();
    assert_eq!(served.stop(), Some(0));
    assert_eq!(served.proposals(".json").len(), 1);
    assert!(served.proposals(".withdrawn").is_empty());
}

#[test]
fn a_health_check_says_whether_it_serves() {
    let served = Served::start();
    let check = |door: &str| {
        Command::new(env!("CARGO_BIN_EXE_supervise"))
            .args(["healthcheck", "--listen", &format!("unix:{door}")])
            .current_dir(served.folder.path())
            .output()
            .unwrap()
            .status
            .code()
    };
    assert_eq!(check("door.sock"), Some(0));
    assert_eq!(check("nothing.sock"), Some(1));
    let applied: contract::Applied =
        serde_json::from_slice(&fs_err::read(served.path("run/applied.json")).unwrap()).unwrap();
    assert_eq!(applied.file_sha256, contract::Sha256Hex::of(b""));
    assert_eq!(applied.error, None);
}

#[test]
fn every_call_is_one_access_event_that_its_proposal_can_be_joined_with() {
    let mut served = Served::start();
    served.call_tool(Era::Legacy, "egress-block", json!({"host": "?"}));
    let waiting = served.call(Era::Legacy, "egress-block", ask("a.example"));
    let proposal = served.the_proposal();
    served.reject(&proposal);
    waiting.result();
    served.stop();
    let text = fs_err::read_to_string(served.path("events")).unwrap();
    let events: Vec<AccessEvent> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(events.len(), 2, "{text}");
    assert_eq!(events[0].decision, contract::Decision::Denied);
    assert_eq!(events[0].proposal_id, None);
    assert_eq!(events[1].decision, contract::Decision::Allowed);
    assert_eq!(events[1].host.as_deref(), Some("a.example"));
    assert_eq!(events[1].rule.as_deref(), Some("egress-block"));
    assert_eq!(events[1].proposal_id, Some(id_of(&proposal)));
}
