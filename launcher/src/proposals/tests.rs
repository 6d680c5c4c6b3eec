//! What a supervise that an agent has taken over can put into its folder, and what an operator then sees and decides.

use super::notice::Notices;
use super::{Queue, decide, notes, settle};
use crate::apply::fixture::{Fixture, slug};
use contract::ProposalStatus;

fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(future)
}

#[test]
fn a_proposal_that_has_the_name_of_another_bottles_is_never_taken_for_it() {
    let fixture = Fixture::new();
    let id = fixture.propose_host("new.example");
    fixture.beside("dev-zz9zz", &id);
    let queue = Queue::of_home(&fixture.home).unwrap();
    let told = queue.find(id.as_str()).unwrap_err();
    assert_eq!(told.kind().exit_code(), 2);
    for one in ["dev-ab1cd/p-00000001", "dev-zz9zz/p-00000001"] {
        assert!(told.to_string().contains(one), "{told}");
        assert_eq!(format!("{}/{id}", queue.find(one).unwrap().slug), one);
    }
    assert!(queue.find("dev/p-00000001").is_err());
    // Nor does the one keep the operator from hearing of the other.
    let mut notices = Notices::of(&fixture.home).unwrap();
    assert_eq!(notices.fresh(&queue).len(), 2);
    assert_eq!(notices.fresh(&queue).len(), 0);
}

#[test]
fn a_flood_of_proposals_is_read_in_part_and_what_was_answered_is_read_all_the_same() {
    let fixture = Fixture::new();
    let id = fixture.propose_host("new.example");
    let item = fixture.item(&id);
    wait(decide::reject(&fixture.target, &item, "no")).unwrap();
    let text = fs_err::read_to_string(fixture.proposal_file(&id)).unwrap();
    let folder = fixture.target.state.proposals();
    for number in 0..1500 {
        let name = format!("p-0{number:07}a");
        let text = text.replace(id.as_str(), &name);
        fs_err::write(folder.join(format!("{name}.json")), text).unwrap();
        if number < 500 {
            fs_err::write(folder.join(format!("{name}.withdrawn")), "{}").unwrap();
        }
        fs_err::write(folder.join(format!("p-9{number:07}.json")), "no proposal").unwrap();
    }
    let queue = Queue::of_home(&fixture.home).unwrap();
    assert!(queue.items.len() <= 1025, "{}", queue.items.len());
    assert_eq!(queue.find(id.as_str()).unwrap().status, ProposalStatus::Rejected);
    // Those that can still be answered come first.
    assert!(queue.pending().count() >= 1000);
    assert!(queue.unreadable.len() <= 11, "{:?}", queue.unreadable.len());
}

#[test]
fn a_bottle_whose_queue_cannot_be_read_keeps_no_other_from_being_read() {
    let fixture = Fixture::new();
    let id = fixture.propose_host("new.example");
    let broken = fixture.beside("dev-zz9zz", &id);
    let folder = broken.state.proposals();
    fs_err::remove_dir_all(&folder).unwrap();
    fs_err::write(&folder, "no folder").unwrap();
    let queue = Queue::of_home(&fixture.home).unwrap();
    assert_eq!(queue.pending().count(), 1);
    assert!(
        queue.unreadable.join(" ").contains("dev-zz9zz"),
        "{:?}",
        queue.unreadable
    );
}

#[test]
fn what_was_listed_under_a_name_is_what_can_be_approved_under_it() {
    let fixture = Fixture::new();
    fixture.propose_host("new.example");
    let seen = || {
        let mut queue = Queue::of_home(&fixture.home).unwrap();
        notes::note_seen(&fixture.home, &mut queue).unwrap();
        queue
    };
    assert_eq!(seen().pending().count(), 1);
    assert_eq!(seen().pending().count(), 1);
    fixture.propose_host("evil.example");
    let queue = seen();
    assert_eq!(queue.pending().count(), 0);
    assert!(
        queue.unreadable.join(" ").contains("cannot be answered"),
        "{:?}",
        queue.unreadable
    );
    fixture.propose_host("other.example");
    assert_eq!(seen().pending().count(), 0);
}

#[test]
fn what_is_in_force_is_not_said_to_be_taken_back_because_of_a_later_file() {
    let fixture = Fixture::new();
    let _guard = fixture.guard(contract::Guard::Egress, None);
    let id = fixture.propose_host("new.example");
    let considered = fixture.consider(&id, decide::Lasts::default());
    wait(decide::approve(&fixture.context, &fixture.target, &considered)).unwrap();
    fixture.withdraw(&id);
    wait(settle::all(&fixture.context, &fixture.home));
    settle::session_over(&fixture.home, &slug()).unwrap();
    assert_eq!(fixture.item(&id).status, ProposalStatus::Applied);
    let audited = fixture.audited();
    assert!(!audited.contains(&"withdrawn".to_owned()), "{audited:?}");
    assert_eq!(audited.last().unwrap(), "outcome applied");
}

#[test]
fn the_question_says_what_for_however_long_the_difference_was() {
    let fixture = Fixture::new();
    let dockerfile = format!("FROM evil:1\n{}USER root\n", "\n".repeat(60_000));
    let arguments = serde_json::json!({"dockerfile": dockerfile, "justification": "x"});
    let id = fixture.propose(
        "p-00000001",
        serde_json::json!({"tool": "capability-block", "arguments": arguments}),
    );
    let considered = fixture.consider(&id, decide::Lasts::default());
    insta::assert_snapshot!(super::show::question(&considered), @r"
    a Dockerfile of 60002 lines
    Approve p-00000001 of dev-ab1cd (mind: from_changed, user_root)?
    ");
}

#[test]
fn a_flood_of_proposals_calls_the_operator_a_few_times_at_each_look() {
    let fixture = Fixture::new();
    for number in 0..12 {
        let id = format!("p-0000{number:04}");
        let arguments = serde_json::json!({"host": format!("h{number}.example"), "justification": "x"});
        fixture.propose(
            &id,
            serde_json::json!({"tool": "egress-block", "arguments": arguments}),
        );
    }
    let queue = Queue::of_home(&fixture.home).unwrap();
    let mut notices = Notices::of(&fixture.home).unwrap();
    let told: Vec<usize> = (0..4).map(|_| notices.fresh(&queue).len()).collect();
    assert_eq!(told, [5, 5, 2, 0]);
}
