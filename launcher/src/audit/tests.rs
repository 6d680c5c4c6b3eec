use super::*;
use contract::audit::{AuditEntry, AuditEvent};

fn log() -> (tempfile::TempDir, AuditLog) {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::at(folder.path().to_owned());
    let log = AuditLog::of(&home, &"dev-ab1cd".parse().unwrap());
    (folder, log)
}

fn filled(count: usize) -> (tempfile::TempDir, AuditLog) {
    let (folder, log) = log();
    for _ in 0..count {
        log.append([Note::operator(AuditEvent::Withdrawn)]).unwrap();
    }
    (folder, log)
}

fn text(log: &AuditLog) -> Vec<String> {
    let text = fs_err::read_to_string(&log.path).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn rewrite(log: &AuditLog, lines: &[String]) {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    fs_err::write(&log.path, text).unwrap();
}

fn problems(log: &AuditLog) -> Vec<Finding> {
    verify(log).unwrap().1
}

#[test]
fn entries_are_counted_and_each_names_the_one_before_it() {
    let (_folder, log) = filled(1);
    log.append([
        Note::operator(AuditEvent::Withdrawn),
        Note::launcher(AuditEvent::Expired),
    ])
    .unwrap();
    let entries: Vec<AuditEntry> = read(&log).unwrap();
    let numbers: Vec<u64> = entries.iter().map(|entry| entry.sequence).collect();
    assert_eq!(numbers, [1, 2, 3]);
    let lines = text(&log);
    assert_eq!(entries[0].previous_sha256, AuditEntry::beginning());
    assert_eq!(entries[2].previous_sha256, Sha256Hex::of(lines[1].as_bytes()));
    assert_eq!(verify(&log).unwrap(), (3, Vec::new()));
}

#[test]
fn an_edited_a_removed_and_a_moved_line_are_found_the_last_one_too() {
    type Tamper = fn(&mut Vec<String>);
    let tamper: [(&str, Tamper); 6] = [
        ("edited", |lines| {
            lines[1] = lines[1].replace("withdrawn", "expired")
        }),
        ("last edited", |lines| {
            lines[3] = lines[3].replace("withdrawn", "expired");
        }),
        ("removed", |lines| drop(lines.remove(1))),
        ("last removed", |lines| drop(lines.pop())),
        ("moved", |lines| lines.swap(1, 2)),
        ("all removed", Vec::clear),
    ];
    for (what, tamper) in tamper {
        let (_folder, log) = filled(4);
        let mut lines = text(&log);
        tamper(&mut lines);
        rewrite(&log, &lines);
        assert_ne!(problems(&log), Vec::new(), "{what}");
    }
}

#[test]
fn a_line_torn_by_a_crash_is_no_entry_and_the_next_one_says_so() {
    let (_folder, log) = filled(2);
    let whole = fs_err::read_to_string(&log.path).unwrap();
    fs_err::write(&log.path, format!("{whole}{{\"schema_ver")).unwrap();
    assert_eq!(read(&log).unwrap().len(), 2);
    assert_eq!(verify(&log).unwrap(), (2, Vec::new()));
    log.append([Note::operator(AuditEvent::Expired)]).unwrap();
    let entries = read(&log).unwrap();
    assert!(
        matches!(entries[2].event, AuditEvent::TornLine { bytes: 12, .. }),
        "{entries:?}"
    );
    assert_eq!(entries[3].event, AuditEvent::Expired);
    assert_eq!(verify(&log).unwrap(), (4, Vec::new()));
}

#[test]
fn a_log_that_was_torn_in_its_first_line_begins_anew() {
    let (_folder, log) = filled(1);
    fs_err::write(&log.path, "{\"sch").unwrap();
    fs_err::remove_file(&log.head).unwrap();
    log.append([Note::operator(AuditEvent::Expired)]).unwrap();
    assert_eq!(verify(&log).unwrap(), (2, Vec::new()));
}

#[test]
fn a_last_line_longer_than_what_is_read_at_once_is_found() {
    let (_folder, log) = log();
    let long = AuditEvent::Outcome {
        outcome: contract::audit::Outcome::Failed,
        now: "x".repeat(300_000),
    };
    for _ in 0..3 {
        log.append([Note::launcher(long.clone())]).unwrap();
    }
    assert_eq!(verify(&log).unwrap(), (3, Vec::new()));
}

#[test]
fn many_writers_make_one_chain() {
    let (_folder, log) = log();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5 {
                    log.append([Note::operator(AuditEvent::Withdrawn)]).unwrap();
                }
            });
        }
    });
    assert_eq!(verify(&log).unwrap(), (20, Vec::new()));
}

#[test]
fn a_full_disk_leaves_the_log_as_it_was() {
    let (_folder, log) = filled(2);
    let before = text(&log);
    let refused = crate::kill_points::failing("audit written", || {
        log.append([Note::operator(AuditEvent::Expired)])
    });
    assert_eq!(refused.unwrap_err().kind().exit_code(), 6);
    assert_eq!(text(&log), before);
    assert_eq!(problems(&log), Vec::new());
}

#[test]
fn a_link_in_the_place_of_the_log_is_not_followed() {
    let (folder, log) = filled(1);
    let elsewhere = folder.path().join("elsewhere");
    fs_err::rename(&log.path, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &log.path).unwrap();
    assert!(log.append([Note::operator(AuditEvent::Expired)]).is_err());
}
