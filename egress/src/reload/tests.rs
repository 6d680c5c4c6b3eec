use super::*;
use crate::upstream::WayOut;
use ::guard::ack::AckWriter;
use contract::place::run::APPLIED;
use contract::{Applied, Sha256Hex};

struct Fixture {
    config: tempfile::TempDir,
    run: tempfile::TempDir,
    policy: Arc<ArcSwap<CompiledPolicy>>,
    reloader: Reloader,
}

const ONE: &str = "schema_version: 1\ngeneration: 1\nroutes:\n- {host: one.example}\n";
const TWO: &str = "schema_version: 1\ngeneration: 2\nroutes:\n- {host: two.example}\n";

impl Fixture {
    fn new() -> Self {
        let (config, run) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let parts = Parts {
            credentials: CredentialStore::from_variables([(
                "EGRESS_TOKEN_0".into(),
                "hush-hush-hush".into(),
            )]),
            upstreams: Upstreams::new(WayOut::Direct { own_networks: vec![] }, "").unwrap(),
            grants: Arc::new(Grants::open(run.path(), None).unwrap()),
        };
        write(config.path(), ONE);
        let file = config::routes(config.path()).unwrap();
        let policy = parts.compile(file.table.unwrap()).unwrap();
        let policy = Arc::new(ArcSwap::from_pointee(policy));
        let ack = AckWriter::new(run.path().to_owned(), "n-0001".parse().unwrap());
        let acknowledgements = Acknowledgements::begin(ack, file.sha256, &in_force(&policy.load())).unwrap();
        // What is there from now on, the reloader has written.
        fs_err::remove_file(run.path().join(APPLIED)).unwrap();
        let reloader = Reloader::new(
            config.path().to_owned(),
            parts,
            policy.clone(),
            mitm::Changes::default(),
            acknowledgements,
        );
        Self {
            config,
            run,
            policy,
            reloader,
        }
    }

    fn generation(&self) -> u64 {
        self.policy.load().table().generation
    }

    fn applied(&self) -> Option<Applied> {
        let bytes = fs_err::read(self.run.path().join(APPLIED)).ok()?;
        Some(serde_json::from_slice(&bytes).unwrap())
    }
}

/// As the launcher writes: beside it, then renamed.
fn write(directory: &std::path::Path, text: &str) {
    ::guard::durable::replace(directory, ROUTES, text.as_bytes()).unwrap();
}

#[test]
fn a_changed_file_comes_into_force_and_is_acknowledged_by_its_hash() {
    let mut fixture = Fixture::new();
    fixture.reloader.look();
    assert_eq!((fixture.generation(), fixture.applied()), (1, None));
    write(fixture.config.path(), TWO);
    fixture.reloader.look();
    assert_eq!(fixture.generation(), 2);
    let applied = fixture.applied().unwrap();
    assert_eq!(applied.file_sha256, Sha256Hex::of(TWO.as_bytes()));
    assert_eq!(
        (applied.generation, applied.error, applied.launch_nonce.as_str()),
        (2, None, "n-0001")
    );
    assert_eq!(
        applied.effective_sha256,
        *fixture.policy.load().effective_sha256()
    );
}

#[test]
fn two_changes_within_one_tick_of_the_clock_are_both_seen() {
    let mut fixture = Fixture::new();
    let three = TWO
        .replace("generation: 2", "generation: 3")
        .replace("two", "too");
    for text in [TWO, &three, TWO, &three] {
        write(fixture.config.path(), text);
        fixture.reloader.look();
        let applied = fixture.applied().unwrap();
        assert_eq!(applied.file_sha256, Sha256Hex::of(text.as_bytes()));
    }
}

#[test]
fn a_file_that_cannot_come_into_force_leaves_the_old_policy_and_says_why() {
    let mut fixture = Fixture::new();
    for (text, says) in [
        ("nonsense", "routes.yaml"),
        (
            "schema_version: 1\ngeneration: 2\nroutes:\n- {host: 1.2.3.4}\n",
            "IP address",
        ),
        (
            "schema_version: 1\ngeneration: 2\nroutes:\n- {host: a.example, auth: {scheme: Bearer, token_ref: NEW_TOKEN, \
             token_env: EGRESS_TOKEN_1}}\n",
            "NEW_TOKEN",
        ),
    ] {
        write(fixture.config.path(), text);
        fixture.reloader.look();
        let applied = fixture.applied().unwrap();
        assert_eq!(applied.file_sha256, Sha256Hex::of(text.as_bytes()));
        assert_eq!((fixture.generation(), applied.generation), (1, 1));
        assert!(applied.error.as_ref().unwrap().contains(says), "{applied:?}");
    }
    write(fixture.config.path(), TWO);
    fixture.reloader.look();
    assert_eq!(
        (fixture.generation(), fixture.applied().unwrap().error),
        (2, None)
    );
}

#[test]
fn a_file_that_is_gone_changes_nothing() {
    let mut fixture = Fixture::new();
    fs_err::remove_file(fixture.config.path().join(ROUTES)).unwrap();
    fixture.reloader.look();
    assert_eq!((fixture.generation(), fixture.applied()), (1, None));
}

#[test]
fn an_acknowledgement_that_could_not_be_written_is_written_later() {
    let mut fixture = Fixture::new();
    let run = fixture.run.path().to_owned();
    fs_err::remove_dir(&run).unwrap();
    write(fixture.config.path(), TWO);
    fixture.reloader.look();
    assert_eq!(fixture.generation(), 2);
    fs_err::create_dir(&run).unwrap();
    fixture.reloader.look();
    assert_eq!(fixture.applied().unwrap().generation, 2);
}

#[test]
fn a_table_whose_grants_cannot_be_noted_is_not_applied() {
    let mut fixture = Fixture::new();
    fs_err::remove_dir(fixture.run.path()).unwrap();
    write(
        fixture.config.path(),
        "schema_version: 1\ngeneration: 2\nroutes:\n- {host: a.example, grant_id: g-0001, once: true}\n",
    );
    fixture.reloader.look();
    assert_eq!(fixture.generation(), 1);
    // The same bytes come into force once the reason is gone, and not without their grants on disk.
    fixture.reloader.look();
    assert_eq!(fixture.generation(), 1);
    fs_err::create_dir(fixture.run.path()).unwrap();
    fixture.reloader.look();
    let applied = fixture.applied().unwrap();
    assert_eq!(
        (fixture.generation(), applied.generation, applied.error),
        (2, 2, None)
    );
    let ledger = fs_err::read_to_string(fixture.run.path().join("grants.json")).unwrap();
    assert!(ledger.contains("g-0001"), "{ledger}");
}
