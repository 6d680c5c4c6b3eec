//! How an ask is delivered, answered and taken back.

use contract::OperatorDecision;
use serde_json::json;

use crate::served::{Era, Served, ask, call, id_of, wait_for};

#[test]
fn both_revisions_wait_for_one_proposal_and_get_the_same_answer() {
    let served = Served::start();
    let begin = |era, host| {
        let message = call(era, "egress-block", ask(host), json!({"progressToken": 1}));
        let mut answer = served.post(era, &[], &message);
        answer.message();
        answer
    };
    let modern = begin(Era::Modern, "a.example");
    let legacy = begin(Era::Legacy, "A.example");
    let proposal = served.the_proposal();
    served.reject(&proposal);
    for answer in [modern, legacy] {
        let outcome = &answer.result()["structuredContent"];
        assert_eq!(outcome["status"], "rejected");
        assert_eq!(outcome["proposal_id"], id_of(&proposal).as_str());
        assert!(outcome["statement"].as_str().unwrap().ends_with("use the mirror"));
    }
    assert_eq!(served.proposals(".json").len(), 1);
}

#[test]
fn a_waiting_call_hears_of_it_at_once_and_of_every_change() {
    for era in [Era::Legacy, Era::Modern] {
        let served = Served::start();
        let message = call(
            era,
            "egress-block",
            ask("a.example"),
            json!({"progressToken": "t"}),
        );
        let mut answer = served.post(era, &[], &message);
        let first = answer.message();
        assert_eq!(first["method"], "notifications/progress");
        assert_eq!(first["params"]["progressToken"], "t");
        let decision = OperatorDecision::Approved {
            modified: None,
            expires_at: None,
            once: false,
        };
        served.decide(&served.the_proposal(), decision);
        let second = answer.message();
        let told = second["params"]["message"].as_str().unwrap();
        assert!(
            told.contains("not in force yet"),
            "approved is not applied: {told}"
        );
        assert!(second["params"]["progress"].as_f64() > first["params"]["progress"].as_f64());
    }
}

#[test]
fn a_call_that_wants_no_progress_gets_the_head_of_its_answer_all_the_same() {
    let served = Served::start();
    let mut answer = served.call(Era::Modern, "egress-block", ask("a.example"));
    assert_eq!(answer.status, 200);
    assert_eq!(answer.line(), ": waiting", "and nobody has decided");
    served.reject(&served.the_proposal());
    assert_eq!(answer.result()["structuredContent"]["status"], "rejected");
}

#[test]
fn a_client_with_tasks_gets_the_proposal_as_its_task() {
    let served = Served::start();
    let params = json!({"name": "egress-block", "arguments": ask("a.example")});
    let task = served.with_tasks("tools/call", params.clone()).result();
    assert_eq!(task["resultType"], "task");
    let proposal = served.the_proposal();
    assert_eq!(task["taskId"], id_of(&proposal).as_str());
    let get = || {
        served
            .with_tasks("tasks/get", json!({"taskId": task["taskId"]}))
            .result()
    };
    assert_eq!(get()["status"], "working");
    assert_eq!(
        served.with_tasks("tools/call", params).result()["taskId"],
        task["taskId"]
    );
    served.reject(&proposal);
    let done = wait_for(|| Some(get()).filter(|task| task["status"] != "working"));
    assert_eq!(done["status"], "completed");
    assert_eq!(done["result"]["structuredContent"]["status"], "rejected");
    let missing = served
        .with_tasks("tasks/get", json!({"taskId": "p-00000000"}))
        .message();
    assert_eq!(missing["error"]["code"], -32602);
}

#[test]
fn a_cancelled_task_is_withdrawn() {
    let served = Served::start();
    let params = json!({"name": "egress-block", "arguments": ask("a.example")});
    let task = served.with_tasks("tools/call", params).result();
    let id = json!({"taskId": task["taskId"]});
    served.with_tasks("tasks/cancel", id.clone()).result();
    assert_eq!(served.with_tasks("tasks/get", id).result()["status"], "cancelled");
    assert_eq!(served.proposals(".withdrawn").len(), 1);
}

#[test]
fn closing_the_stream_cancels_on_the_newest_revision_alone() {
    let served = Served::start();
    let token = json!({"progressToken": 1});
    let mut legacy = served.post(
        Era::Legacy,
        &[],
        &call(Era::Legacy, "egress-block", ask("legacy.example"), token.clone()),
    );
    legacy.message();
    let legacy_proposal = served.the_proposal();
    drop(legacy);
    let mut modern = served.post(
        Era::Modern,
        &[],
        &call(Era::Modern, "egress-block", ask("modern.example"), token),
    );
    modern.message();
    drop(modern);
    let withdrawn = wait_for(|| served.proposals(".withdrawn").pop());
    assert_ne!(id_of(&withdrawn), id_of(&legacy_proposal));
    assert_eq!(served.proposals(".withdrawn").len(), 1);
}

#[test]
fn a_proposal_that_another_waits_for_stays() {
    let served = Served::start();
    let message = call(
        Era::Modern,
        "egress-block",
        ask("a.example"),
        json!({"progressToken": 1}),
    );
    let mut leaves = served.post(Era::Modern, &[], &message);
    let mut stays = served.post(Era::Modern, &[], &message);
    leaves.message();
    stays.message();
    drop(leaves);
    // A second one that nobody shares shows that closed streams have been noticed.
    let alone = call(
        Era::Modern,
        "egress-block",
        ask("b.example"),
        json!({"progressToken": 1}),
    );
    let mut alone = served.post(Era::Modern, &[], &alone);
    alone.message();
    drop(alone);
    wait_for(|| served.proposals(".withdrawn").pop());
    let stayed = served
        .proposals(".json")
        .into_iter()
        .find(|path| !path.with_extension("withdrawn").exists());
    served.reject(&stayed.unwrap());
    assert_eq!(stays.result()["structuredContent"]["status"], "rejected");
}

#[test]
fn a_cancellation_of_an_older_client_counts_in_its_own_session() {
    let served = Served::start();
    let initialize = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}
    }});
    let session = || {
        let answer = served.post(Era::Legacy, &[], &initialize);
        let header = answer
            .headers
            .iter()
            .find(|header| header.starts_with("mcp-session-id: "));
        header.unwrap().clone()
    };
    let (one, other) = (session(), session());
    let message = call(
        Era::Legacy,
        "egress-block",
        ask("a.example"),
        json!({"progressToken": 1}),
    );
    let mut answer = served.post(Era::Legacy, &[&one], &message);
    answer.message();
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
    assert_eq!(served.post(Era::Legacy, &[&other], &cancel).status, 202);
    assert_eq!(served.post(Era::Legacy, &[&one], &cancel).status, 202);
    assert_eq!(answer.result()["structuredContent"]["status"], "withdrawn");
}

#[test]
fn foreign_hosts_and_origins_are_refused() {
    let served = Served::start();
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let with = |header: &str| served.post(Era::Legacy, &[header], &list).status;
    assert_eq!(with("X-Nothing: 1"), 200);
    assert_eq!(with("Origin: https://evil.example"), 403);
    assert_eq!(with("Origin: null"), 403);
    assert_eq!(with("Origin: http://localhost:3000"), 200);
}
