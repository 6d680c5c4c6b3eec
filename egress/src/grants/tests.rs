use super::*;
use contract::Timestamp;

const HOUR: i64 = 3_600_000;

fn table(fields: &str) -> RouteTable {
    let text = format!(
        "schema_version: 1\ngeneration: 1\nroutes:\n- {{host: a.example, grant_id: g-0001{fields}}}\n"
    );
    RouteTable::parse(text.as_bytes()).unwrap()
}

/// Expires one hour after the epoch; [`at`] counts from there.
fn expiring() -> RouteTable {
    table(", expires_at: 1970-01-01T01:00:00Z")
}

fn once() -> RouteTable {
    table(", once: true")
}

fn grant(table: &RouteTable) -> &Grant {
    table.routes()[0].grant.as_ref().unwrap()
}

fn at(wall: i64, boot_millis: u64) -> Now {
    Now {
        wall: Timestamp::from_millis(wall),
        boot_millis,
    }
}

fn open(directory: &Path, boot: &str) -> Grants {
    Grants::open(directory, Some(boot.to_owned())).unwrap()
}

#[test]
fn a_grant_ends_by_the_wall_clock() {
    let run = tempfile::tempdir().unwrap();
    let grants = open(run.path(), "boot-1");
    let table = expiring();
    grants.observe(&table, at(0, 5000)).unwrap();
    assert!(grants.holds(grant(&table), at(HOUR - 1, 6000)));
    assert!(!grants.holds(grant(&table), at(HOUR, 6000)));
}

#[test]
fn a_wall_clock_that_is_set_back_does_not_lengthen_a_grant() {
    let run = tempfile::tempdir().unwrap();
    let table = expiring();
    {
        let grants = open(run.path(), "boot-1");
        grants.observe(&table, at(0, 5000)).unwrap();
        assert!(!grants.holds(grant(&table), at(-HOUR, 5000 + 3_600_000)));
    }
    // Nor does a restart of the guard after it was set back.
    let grants = open(run.path(), "boot-1");
    grants.observe(&table, at(-HOUR, 5001)).unwrap();
    assert!(grants.holds(grant(&table), at(-HOUR, 5001)));
    assert!(!grants.holds(grant(&table), at(-HOUR, 5000 + 3_600_000)));
}

#[test]
fn after_a_boot_the_deadline_counts_from_that_boot() {
    let run = tempfile::tempdir().unwrap();
    let table = expiring();
    open(run.path(), "boot-1")
        .observe(&table, at(0, 90_000_000))
        .unwrap();
    let grants = open(run.path(), "boot-2");
    grants.observe(&table, at(HOUR / 2, 1000)).unwrap();
    assert!(grants.holds(grant(&table), at(HOUR / 2, 1000 + 1_799_999)));
    assert!(!grants.holds(grant(&table), at(HOUR / 2, 1000 + 1_800_000)));
}

#[test]
fn an_end_once_noted_is_final() {
    let run = tempfile::tempdir().unwrap();
    let table = expiring();
    let grants = open(run.path(), "boot-1");
    grants.observe(&table, at(0, 0)).unwrap();
    assert!(grants.end_due(&table, at(HOUR, 1)));
    assert!(!grants.end_due(&table, at(HOUR, 1)), "it ends once");
    grants.settle().unwrap();
    assert!(!grants.holds(grant(&table), at(0, 2)));
    drop(grants);
    let grants = open(run.path(), "boot-2");
    grants.observe(&table, at(0, 0)).unwrap();
    assert!(!grants.holds(grant(&table), at(0, 0)));
    let ledger: GrantLedger =
        serde_json::from_slice(&fs_err::read(run.path().join(GRANTS)).unwrap()).unwrap();
    assert_eq!(
        ledger.grants[0].end,
        Some(GrantEnd {
            at: Timestamp::from_millis(HOUR),
            cause: GrantEndCause::Expired
        })
    );
}

#[test]
fn one_use_is_one_use_whoever_races_for_it() {
    let run = tempfile::tempdir().unwrap();
    let table = once();
    let grants = open(run.path(), "boot-1");
    grants.observe(&table, at(0, 0)).unwrap();
    let won = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| grants.spend(grant(&table), at(0, 0)).is_ok()))
            .collect();
        tries
            .into_iter()
            .map(|each| each.join().unwrap())
            .filter(|won| *won)
            .count()
    });
    assert_eq!(won, 1);
    assert!(!grants.holds(grant(&table), at(0, 0)));
}

#[test]
fn a_use_survives_the_guard() {
    let run = tempfile::tempdir().unwrap();
    let table = once();
    let grants = open(run.path(), "boot-1");
    grants.observe(&table, at(0, 0)).unwrap();
    grants.spend(grant(&table), at(0, 0)).unwrap();
    drop(grants);
    let grants = open(run.path(), "boot-1");
    grants.observe(&table, at(0, 0)).unwrap();
    assert!(matches!(
        grants.spend(grant(&table), at(0, 0)),
        Err(SpendError::Ended(_))
    ));
}

#[test]
fn a_use_that_cannot_be_recorded_is_not_given() {
    let run = tempfile::tempdir().unwrap();
    let table = once();
    let grants = open(run.path(), "boot-1");
    grants.observe(&table, at(0, 0)).unwrap();
    run.close().unwrap();
    assert!(matches!(
        grants.spend(grant(&table), at(0, 0)),
        Err(SpendError::NotRecorded(..))
    ));
    assert!(!grants.holds(grant(&table), at(0, 0)));
}

#[test]
fn a_grant_that_was_never_observed_does_not_hold() {
    let run = tempfile::tempdir().unwrap();
    let grants = open(run.path(), "boot-1");
    assert!(!grants.holds(grant(&once()), at(0, 0)));
}

#[test]
fn a_ledger_that_cannot_be_understood_stops_the_start() {
    let run = tempfile::tempdir().unwrap();
    for text in ["", "{}", "{\"schema_version\": 2, \"grants\": []}"] {
        fs_err::write(run.path().join(GRANTS), text).unwrap();
        let error = Grants::open(run.path(), None).unwrap_err();
        assert!(error.to_string().contains("grants.json"), "{error}");
    }
}

#[test]
fn the_ledger_does_not_outgrow_what_its_reader_takes() {
    let run = tempfile::tempdir().unwrap();
    let grants = open(run.path(), "boot-1");
    for batch in 0..3 {
        let routes: String = (0..1000)
            .map(|n| {
                format!(
                    "- {{host: a.example, grant_id: g-{batch}{n:04}, expires_at: 1970-01-01T01:00:00Z}}\n"
                )
            })
            .collect();
        let text = format!("schema_version: 1\ngeneration: 1\nroutes:\n{routes}");
        let table = RouteTable::parse(text.as_bytes()).unwrap();
        grants.observe(&table, at(0, 0)).unwrap();
        grants.end_due(&table, at(HOUR, 0));
        grants.settle().unwrap();
        assert!(!grants.holds(grant(&table), at(0, 0)));
    }
    assert!(fs_err::metadata(run.path().join(GRANTS)).unwrap().len() < 1024 * 1024);
}
