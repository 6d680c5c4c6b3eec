//! What nobody should send, and what nobody should have done to the files.

use std::process::Command;

use serde_json::json;

use crate::served::{Era, Served, ask, call};

#[test]
fn wrong_arguments_are_a_tool_error_and_leave_no_file() {
    let served = Served::start();
    for era in [Era::Legacy, Era::Modern] {
        for arguments in [
            json!({}),
            json!({"host": "*.example", "justification": "x"}),
            json!({"host": "a.example", "justification": "x", "all": true}),
            json!({"host": "a.example", "justification": "x".repeat(9000)}),
        ] {
            let result = served.call_tool(era, "egress-block", arguments);
            assert_eq!(result["isError"], true);
            let text = result["content"][0]["text"].as_str().unwrap();
            assert!(text.contains("Nothing was asked"), "{text}");
        }
        let result = served.call_tool(era, "list-egress-routes", json!({"host": "x"}));
        assert_eq!(result["isError"], true);
    }
    assert!(served.proposals("").is_empty());
    let mut unknown = served.call(Era::Legacy, "allow-all", json!({}));
    assert_eq!(unknown.message()["error"]["code"], -32602);
}

#[test]
fn a_request_of_ten_megabytes_is_refused_in_words() {
    let served = Served::start();
    let long = json!({"host": "a.example", "justification": "x".repeat(10 << 20)});
    for era in [Era::Legacy, Era::Modern] {
        let answer = served.call(era, "egress-block", long.clone());
        assert_eq!(answer.status, 413);
        let body = answer.body();
        assert!(body.contains("Shorten the justification"), "{body}");
    }
    let wrong = served.post_bytes(
        Era::Legacy,
        &[],
        &json!({"method": "tools/call"}),
        b"{\"jsonrpc\":",
    );
    assert!((400..500).contains(&wrong.status), "{}", wrong.status);
    assert!(served.proposals("").is_empty());
    let after = served.call_tool(Era::Legacy, "egress-block", json!({}));
    assert_eq!(after["isError"], true, "and it goes on serving");
}

#[test]
fn deceptive_words_are_kept_in_the_file_and_shown_escaped() {
    let served = Served::start();
    let words = "harmless\u{202e}\u{1b}[2J\u{200b}";
    let arguments = json!({"host": "a.example", "justification": words});
    let message = call(
        Era::Legacy,
        "egress-block",
        arguments,
        json!({"progressToken": 1}),
    );
    let mut answer = served.post(Era::Legacy, &[], &message);
    answer.message();
    let text = fs_err::read_to_string(served.the_proposal()).unwrap();
    let proposal: contract::Proposal = serde_json::from_str(&text).unwrap();
    assert_eq!(proposal.ask.justification(), words);
    let check = Command::new(env!("CARGO_BIN_EXE_supervise"))
        .args(["check", "--proposals"])
        .arg(served.path("proposals"))
        .arg("--responses")
        .arg(served.path("responses"))
        .output()
        .unwrap();
    let shown = String::from_utf8(check.stdout).unwrap();
    assert!(check.status.success() && shown.contains("pending"), "{shown}");
    for shown in [shown, served.log()] {
        assert!(!shown.contains(['\u{202e}', '\u{1b}', '\u{200b}']), "{shown:?}");
    }
}

#[test]
fn a_full_disk_is_told_and_nothing_is_asked() {
    // One block: enough for its own files, and for no long proposal.
    let served = Served::start_in(tempfile::tempdir().unwrap(), Some(1));
    let arguments = json!({"host": "a.example", "justification": "x".repeat(8000)});
    let result = served.call_tool(Era::Legacy, "egress-block", arguments);
    assert_eq!(result["isError"], true);
    let text = result["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("nothing was asked"), "{text}");
    assert!(served.proposals("").is_empty(), "nothing is left over");
}

#[test]
fn a_proposal_that_is_edited_while_it_is_waited_for_ends_withdrawn() {
    let served = Served::start();
    let answer = served.call(Era::Legacy, "egress-block", ask("a.example"));
    let proposal = served.the_proposal();
    let text = fs_err::read_to_string(&proposal).unwrap();
    fs_err::write(&proposal, text.replace("a.example", "evil.example")).unwrap();
    let outcome = &answer.result()["structuredContent"];
    assert_eq!(outcome["status"], "withdrawn");
    assert!(
        outcome["statement"].as_str().unwrap().contains("changed"),
        "{outcome}"
    );
}

#[test]
fn an_unreachable_egress_is_told() {
    let served = Served::start();
    let result = served.call_tool(Era::Modern, "list-egress-routes", json!({}));
    assert_eq!(result["isError"], true);
    let text = result["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("egress cannot be reached"), "{text}");
}
