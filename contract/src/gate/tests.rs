use super::*;

fn remote(upstream: &str) -> GateRemote {
    GateRemote {
        upstream: upstream.parse().unwrap(),
        identity: Identity::File("/etc/bottle/identities/0".into()),
        known_hosts: "github.com ssh-ed25519 AAAA".to_owned(),
        policy: GatePolicy::default(),
    }
}

fn config(remotes: Vec<GateRemote>) -> GateConfig {
    GateConfig {
        generation: 3,
        fingerprint_key: FingerprintKey::new([7; 32]),
        remotes,
        allow: vec![Allowance {
            fingerprint: "fp-0123456789abcdef01234567".parse().unwrap(),
            reason: "a test vector".to_owned(),
            expires_at: crate::Timestamp::from_millis(1_000),
        }],
    }
}

#[test]
fn what_is_written_is_read_back() {
    let config = config(vec![remote("ssh://git@github.com/acme/app.git")]);
    assert_eq!(GateConfig::parse(config.to_json().as_bytes()).unwrap(), config);
}

#[test]
fn the_hash_of_the_policy_is_not_that_of_the_file() {
    let one = config(vec![remote("ssh://git@github.com/acme/app.git")]);
    let mut next = one.clone();
    next.generation += 1;
    assert_eq!(one.effective_sha256(), next.effective_sha256());
    next.allow.clear();
    assert_ne!(one.effective_sha256(), next.effective_sha256());
}

#[test]
fn one_repository_under_two_spellings_is_refused() {
    let twice = config(vec![
        remote("ssh://git@github.com/acme/app.git"),
        remote("ssh://other@GitHub.com:22/acme/app"),
    ]);
    assert!(matches!(
        GateConfig::parse(twice.to_json().as_bytes()),
        Err(GateConfigError::TwoUpstreams(_))
    ));
}

#[test]
fn a_host_without_keys_is_refused() {
    let mut bare = remote("ssh://git@github.com/acme/app.git");
    bare.known_hosts = "# nothing\n\n".to_owned();
    assert!(matches!(
        GateConfig::parse(config(vec![bare]).to_json().as_bytes()),
        Err(GateConfigError::NoHostKeys(_))
    ));
}

#[test]
fn unknown_fields_and_other_versions_are_refused() {
    let json = config(Vec::new()).to_json();
    let more = json.replacen('{', "{\"more\": 1,", 1);
    assert!(GateConfig::parse(more.as_bytes()).is_err());
    let other = json.replacen("\"schema_version\": 1", "\"schema_version\": 9", 1);
    assert_eq!(
        GateConfig::parse(other.as_bytes()),
        Err(GateConfigError::SchemaVersion(9))
    );
}

#[test]
fn the_key_is_never_shown() {
    assert!(!format!("{:?}", config(Vec::new())).contains("0707"));
}
