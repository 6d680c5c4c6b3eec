//! Kills a process that asks and withdraws, at every numbered point, and looks at what a next life finds.

use std::path::Path;
use std::process::Command;

use contract::{Ask, ProposalStatus};

use super::{DIE_AT, Point, WITHDRAWAL};
use crate::queue::{Delivery, Queue};

/// Where the killed process has its queue.
const FOLDER: &str = "SUPERVISE_TEST_FOLDER";

fn ask() -> Ask {
    serde_json::from_value(serde_json::json!({
        "tool": "egress-block",
        "arguments": {"host": "pypi.org", "justification": "pip needs it"},
    }))
    .unwrap()
}

fn open(folder: &Path) -> Queue {
    Queue::open(folder.join("proposals"), folder.join("responses"), folder).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs_err::read_dir(folder.join("proposals"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
#[ignore = "this is the process that the test below kills"]
fn killed_process() {
    let folder = std::env::var(FOLDER).unwrap();
    let queue = open(Path::new(&folder));
    let (found, _) = queue.ask(&ask(), None, Delivery::Task).unwrap();
    fs_err::write(Path::new(&folder).join("told"), found.id.as_str()).unwrap();
    queue.withdraw(&found.id, "cancelled by the client");
    fs_err::write(Path::new(&folder).join("told"), "withdrawn").unwrap();
}

/// Runs the process above in this folder; says whether it was killed.
fn run(folder: &Path, die_at: Option<Point>) -> bool {
    for part in ["proposals", "responses"] {
        fs_err::create_dir_all(folder.join(part)).unwrap();
    }
    let module = module_path!().split_once("::").unwrap().1;
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--ignored", "--exact", &format!("{module}::killed_process")])
        .env(FOLDER, folder);
    if let Some(point) = die_at {
        command.env(DIE_AT, (point as u8).to_string());
    }
    let output = command.output().unwrap();
    let killed = std::os::unix::process::ExitStatusExt::signal(&output.status) == Some(9);
    assert!(killed || output.status.success(), "{output:?}");
    killed
}

#[test]
fn killed_at_any_point_no_proposal_is_lost_and_none_is_doubled() {
    for point in super::PROPOSAL {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        assert!(run(folder, Some(point)), "{point:?} was not reached");
        assert!(
            !folder.join("told").exists(),
            "{point:?}: told before it was durable"
        );
        let linked = names(folder).iter().any(|name| name.ends_with(".json"));
        let queue = open(folder);
        assert_eq!(queue.undecided(), usize::from(linked), "{point:?}");
        let (found, _) = queue.ask(&ask(), None, Delivery::Task).unwrap();
        assert_eq!(found.is_new, !linked, "{point:?}");
        assert_eq!(names(folder), [format!("{}.json", found.id)], "{point:?}");
    }
}

#[test]
fn killed_at_any_point_of_a_withdrawal_it_is_withdrawn_or_not_and_everybody_agrees() {
    for point in WITHDRAWAL {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        assert!(run(folder, Some(point)), "{point:?} was not reached");
        let told = fs_err::read_to_string(folder.join("told")).unwrap();
        let id = told.parse().expect("not told that it is withdrawn");
        let withdrawn = names(folder).contains(&format!("{told}.withdrawn"));
        let queue = open(folder);
        let (_, standing) = queue.standing(&id).unwrap().expect("the proposal is there");
        let expected = if withdrawn {
            ProposalStatus::Withdrawn
        } else {
            ProposalStatus::Pending
        };
        assert_eq!(standing.status, expected, "{point:?}");
        assert_eq!(queue.undecided(), usize::from(!withdrawn), "{point:?}");
        let unfinished = names(folder).into_iter().find(|name| name.starts_with('.'));
        assert_eq!(unfinished, None, "{point:?}");
        let after = queue.withdraw(&id, "cancelled by the client");
        assert_eq!(after.status, ProposalStatus::Withdrawn, "{point:?}");
    }
}

#[test]
fn without_a_point_the_process_ends_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    assert!(!run(folder.path(), None));
    let told = fs_err::read_to_string(folder.path().join("told")).unwrap();
    assert_eq!(told, "withdrawn");
}
