use super::*;
use contract::{Application, ApplyState, OperatorDecision, ProposalStatus, Response};
use guard::look::Look as _;

struct Both {
    folder: tempfile::TempDir,
    queue: Queue,
}

impl Both {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for part in ["proposals", "responses"] {
            fs_err::create_dir(folder.path().join(part)).unwrap();
        }
        let queue = Self::open(folder.path());
        Self { folder, queue }
    }

    fn open(folder: &std::path::Path) -> Queue {
        Queue::open(folder.join("proposals"), folder.join("responses"), folder).unwrap()
    }

    /// The same folders in another life.
    fn again(self) -> Self {
        let Self { folder, queue } = self;
        drop(queue);
        let queue = Self::open(folder.path());
        Self { folder, queue }
    }

    fn ask(&self, host: &str, delivery: Delivery) -> (Found, Option<Waiting>) {
        self.queue.ask(&ask(host), None, delivery).unwrap()
    }

    fn sha256(&self, id: &ProposalId) -> Sha256Hex {
        self.queue.files().proposal_sha256(id).unwrap().unwrap()
    }

    fn respond(&self, id: &ProposalId, sha256: Sha256Hex, decision: OperatorDecision) {
        let response = Response {
            schema_version: SCHEMA_VERSION,
            proposal_id: id.clone(),
            proposal_sha256: sha256,
            decided_at: now(),
            decided_by: "operator".to_owned(),
            decision,
        };
        fs_err::write(self.queue.files().response_path(id), json(&response).unwrap()).unwrap();
    }

    fn state(&self, id: &ProposalId, sha256: Sha256Hex, application: Application) {
        let state = ApplyState {
            schema_version: SCHEMA_VERSION,
            proposal_id: id.clone(),
            proposal_sha256: sha256,
            at: now(),
            state: application,
            statement: "a.example is live".to_owned(),
            grant_id: Some(id.grant()),
        };
        let path = self.queue.files().state_path(id);
        let beside = path.with_extension("new");
        fs_err::write(&beside, json(&state).unwrap()).unwrap();
        fs_err::rename(beside, path).unwrap();
    }

    fn look(&self) {
        Poller(self.queue.clone()).look();
    }

    fn status(&self, id: &ProposalId) -> ProposalStatus {
        self.queue.standing(id).unwrap().unwrap().1.status
    }

    fn is_withdrawn(&self, id: &ProposalId) -> bool {
        self.queue.files().withdrawal(id).unwrap().is_some()
    }
}

fn ask(host: &str) -> Ask {
    serde_json::from_value(serde_json::json!({
        "tool": "egress-block",
        "arguments": {"host": host, "justification": "work"},
    }))
    .unwrap()
}

fn approved() -> OperatorDecision {
    OperatorDecision::Approved {
        modified: None,
        expires_at: None,
        once: false,
    }
}

fn rejected() -> OperatorDecision {
    OperatorDecision::Rejected {
        reason: "no".to_owned(),
    }
}

#[test]
fn the_same_ask_is_one_proposal_until_it_is_decided() {
    let both = Both::new();
    let (first, _) = both.ask("a.example", Delivery::Task);
    let (second, _) = both.ask("A.Example", Delivery::Task);
    assert_eq!((first.is_new, second.is_new), (true, false));
    assert_eq!(first.id, second.id);
    both.respond(&first.id, both.sha256(&first.id), rejected());
    let (third, _) = both.ask("a.example", Delivery::Task);
    assert!(third.is_new && third.id != first.id, "decided is decided");
}

#[test]
fn a_proposal_goes_through_its_states_and_its_waiters_hear_of_each() {
    let both = Both::new();
    let (found, waiting) = both.ask("a.example", Delivery::Blocking);
    let mut waiting = waiting.unwrap();
    let sha256 = both.sha256(&found.id);
    let mut heard = Vec::new();
    let mut hear = |both: &Both| {
        both.look();
        assert!(waiting.standing.has_changed().unwrap_or(true));
        heard.push(waiting.standing.borrow_and_update().status);
    };
    both.respond(&found.id, sha256.clone(), approved());
    hear(&both);
    both.state(&found.id, sha256.clone(), Application::Applying);
    hear(&both);
    both.state(&found.id, sha256, Application::Modified);
    hear(&both);
    let expected = [
        ProposalStatus::Approved,
        ProposalStatus::Applying,
        ProposalStatus::Modified,
    ];
    assert_eq!(heard, expected);
    assert_eq!(both.queue.undecided(), 0);
    assert_eq!(
        both.status(&found.id),
        ProposalStatus::Modified,
        "and it is found later"
    );
}

#[test]
fn an_answer_to_another_file_is_no_answer() {
    let both = Both::new();
    let (found, _) = both.ask("a.example", Delivery::Task);
    let other = Sha256Hex::of(b"another");
    both.respond(&found.id, other.clone(), approved());
    both.state(&found.id, other, Application::Applied);
    both.look();
    assert_eq!(both.status(&found.id), ProposalStatus::Pending);
    fs_err::write(both.queue.files().response_path(&found.id), "{").unwrap();
    both.look();
    assert_eq!(both.status(&found.id), ProposalStatus::Pending);
}

#[test]
fn a_link_in_place_of_an_answer_is_not_followed() {
    let both = Both::new();
    let (found, _) = both.ask("a.example", Delivery::Task);
    both.respond(&found.id, both.sha256(&found.id), rejected());
    let path = both.queue.files().response_path(&found.id);
    let elsewhere = both.folder.path().join("elsewhere");
    fs_err::rename(&path, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    both.look();
    assert_eq!(both.status(&found.id), ProposalStatus::Pending);
}

#[test]
fn what_nobody_wants_is_withdrawn_and_what_somebody_wants_stays() {
    let both = Both::new();
    let (found, first) = both.ask("a.example", Delivery::Blocking);
    let (_, second) = both.ask("a.example", Delivery::Blocking);
    first.unwrap().give_up("closed");
    assert!(!both.is_withdrawn(&found.id), "another waits");
    second.unwrap().give_up("closed");
    assert!(both.is_withdrawn(&found.id));
    assert_eq!(both.queue.undecided(), 0);

    let (found, waiting) = both.ask("b.example", Delivery::Blocking);
    both.ask("b.example", Delivery::Task);
    waiting.unwrap().give_up("closed");
    assert!(!both.is_withdrawn(&found.id), "a client holds its task");

    let (found, waiting) = both.ask("c.example", Delivery::Blocking);
    drop(waiting);
    assert!(!both.is_withdrawn(&found.id), "a lost connection wants nothing");
}

#[test]
fn applying_wins_over_a_withdrawal_and_a_withdrawal_over_a_decision() {
    let both = Both::new();
    let (found, _) = both.ask("a.example", Delivery::Task);
    let sha256 = both.sha256(&found.id);
    both.respond(&found.id, sha256.clone(), approved());
    assert_eq!(
        both.queue.withdraw(&found.id, "x").status,
        ProposalStatus::Withdrawn
    );

    let (found, _) = both.ask("b.example", Delivery::Task);
    let sha256 = both.sha256(&found.id);
    both.respond(&found.id, sha256.clone(), approved());
    both.state(&found.id, sha256.clone(), Application::Applying);
    assert_eq!(
        both.queue.withdraw(&found.id, "x").status,
        ProposalStatus::Applying
    );
    both.state(&found.id, sha256, Application::Applied);
    both.look();
    assert_eq!(both.status(&found.id), ProposalStatus::Applied);
}

#[test]
fn a_next_life_takes_up_what_is_undecided() {
    let both = Both::new();
    let (open, _) = both.ask("a.example", Delivery::Blocking);
    let (decided, _) = both.ask("b.example", Delivery::Task);
    both.respond(&decided.id, both.sha256(&decided.id), rejected());
    let both = both.again();
    assert_eq!(both.queue.undecided(), 1);
    let (found, waiting) = both.ask("a.example", Delivery::Blocking);
    assert_eq!((found.id.clone(), found.is_new), (open.id.clone(), false));
    waiting.unwrap().give_up("closed");
    assert!(!both.is_withdrawn(&open.id), "its first asker may come back");
    assert_eq!(both.status(&decided.id), ProposalStatus::Rejected);
}

#[test]
fn one_queue_has_one_server() {
    let both = Both::new();
    let folder = both.folder.path();
    let second = Queue::open(folder.join("proposals"), folder.join("responses"), folder);
    assert!(matches!(second, Err(OpenError::Locked(_))));
}

#[test]
fn a_proposal_that_was_edited_is_withdrawn() {
    for edit in [
        |text: String| text.replace("a.example", "evil.example"),
        |text: String| text.chars().take(40).collect(),
        |_| String::new(),
    ] {
        let both = Both::new();
        let (found, waiting) = both.ask("a.example", Delivery::Blocking);
        let path = both.queue.files().proposal_path(&found.id);
        let text = fs_err::read_to_string(&path).unwrap();
        fs_err::write(&path, edit(text)).unwrap();
        both.look();
        let standing = waiting.unwrap().standing.borrow().clone();
        assert_eq!(standing.status, ProposalStatus::Withdrawn);
        assert!(standing.words.unwrap().contains("changed"));
        assert!(both.is_withdrawn(&found.id));
    }
}

#[test]
fn a_proposal_that_was_damaged_between_two_lives_is_withdrawn() {
    let both = Both::new();
    let (found, _) = both.ask("a.example", Delivery::Task);
    fs_err::write(both.queue.files().proposal_path(&found.id), "{\"schema").unwrap();
    let both = both.again();
    assert!(both.is_withdrawn(&found.id));
    assert_eq!(both.queue.undecided(), 0);
    assert!(both.ask("a.example", Delivery::Task).0.is_new);
}

#[test]
fn no_more_may_be_undecided_than_a_person_reads() {
    let both = Both::new();
    for number in 0..MAX_PENDING {
        both.ask(&format!("h{number}.example"), Delivery::Task);
    }
    let error = both
        .queue
        .ask(&ask("more.example"), None, Delivery::Task)
        .unwrap_err();
    assert!(matches!(error, NotAsked::Full), "{error}");
    assert!(
        !both.ask("h7.example", Delivery::Task).0.is_new,
        "the same is no more"
    );
}

#[test]
fn a_thousand_proposals_of_earlier_lives_are_taken_up() {
    let both = Both::new();
    let folder = both.folder.path().join("proposals");
    for number in 0..1000 {
        let ask = ask(&format!("h{number}.example"));
        let id: ProposalId = format!("p-{number:08}").parse().unwrap();
        let proposal = Proposal {
            schema_version: SCHEMA_VERSION,
            proposal_id: id.clone(),
            asked_at: now(),
            dedup_key: ask.dedup_key(),
            ask,
            asked_by: None,
        };
        fs_err::write(folder.join(queue::decision(&id)), json(&proposal).unwrap()).unwrap();
    }
    let both = both.again();
    assert_eq!(both.queue.undecided(), 1000);
    both.look();
    assert!(!both.ask("h999.example", Delivery::Task).0.is_new);
    assert!(both.queue.ask(&ask("new.example"), None, Delivery::Task).is_err());
    let id = "p-00000500".parse().unwrap();
    both.respond(&id, both.sha256(&id), rejected());
    both.look();
    assert_eq!(both.status(&id), ProposalStatus::Rejected);
}

#[test]
fn what_cannot_be_written_is_not_asked() {
    let both = Both::new();
    fs_err::remove_dir(both.folder.path().join("proposals")).unwrap();
    let error = both
        .queue
        .ask(&ask("a.example"), None, Delivery::Task)
        .unwrap_err();
    assert!(error.to_string().contains("nothing was asked"), "{error}");
    assert_eq!(both.queue.undecided(), 0);
}

#[test]
fn the_agents_words_are_kept_as_they_are() {
    let both = Both::new();
    let words = "look\u{202e}here\u{1b}[2J\u{200b}\u{0}";
    let mut ask = ask("a.example");
    if let Ask::EgressBlock(asked) = &mut ask {
        asked.justification = words.to_owned();
    }
    let (found, _) = both.queue.ask(&ask, None, Delivery::Task).unwrap();
    let (proposal, _) = both.queue.files().proposal(&found.id).unwrap().unwrap();
    assert_eq!(proposal.ask.justification(), words);
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(64))]

    #[test]
    fn any_bytes_in_the_place_of_an_answer_are_no_answer(
        bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200), cut in 0_usize..400
    ) {
        let both = Both::new();
        let (found, _) = both.ask("a.example", Delivery::Task);
        let files = both.queue.files().clone();
        both.respond(&found.id, both.sha256(&found.id), approved());
        let whole = fs_err::read(files.response_path(&found.id)).unwrap();
        fs_err::write(files.response_path(&found.id), &bytes).unwrap();
        fs_err::write(files.state_path(&found.id), whole.get(..cut.min(whole.len() - 2)).unwrap()).unwrap();
        both.look();
        proptest::prop_assert_eq!(both.status(&found.id), ProposalStatus::Pending);
    }
}
