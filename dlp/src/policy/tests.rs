use super::*;
use pipelock_config::PipelockFile;

const LEAST: &str = "mode: strict\napi_allowlist: [docs.rs, a.example]\ntls_interception: {enabled: true}\n\
                     request_body_scanning: {action: block}\n";

fn compiled(pipelock: &str, dlp: &str) -> CompiledPolicy {
    let seat = PipelockFile::parse(format!("{LEAST}{pipelock}").as_bytes())
        .unwrap()
        .seat()
        .unwrap();
    let dlp = DlpFile::parse(format!("schema_version: 1\ngeneration: 1\n{dlp}").as_bytes()).unwrap();
    CompiledPolicy::compile(seat, dlp, &KnownValues::builder().build()).unwrap()
}

#[test]
fn an_exemption_is_for_one_rule_and_one_host_until_it_ends() {
    let policy = compiled(
        "",
        "exemptions:\n\
         - {id: g-0001, rule: github-token, host: a.example}\n\
         - {id: g-0002, rule: jwt, host: a.example, expires_at: '2020-01-01T00:00:00Z'}\n\
         - {id: g-0003, rule: jwt, host: docs.rs, expires_at: '2099-01-01T00:00:00Z'}\n",
    );
    assert!(policy.is_exempt("github-token", "a.example") && !policy.is_exempt("github-token", "docs.rs"));
    assert!(!policy.is_exempt("jwt", "a.example") && policy.is_exempt("jwt", "docs.rs"));
}

#[test]
fn recovery_phrases_are_left_alone_where_the_file_says_so() {
    let on = compiled("", "");
    let off = compiled("seed_phrase_detection: {enabled: false}\n", "");
    let [rule] = on.recovery_phrase_rules.as_slice() else {
        panic!("{:?}", on.recovery_phrase_rules)
    };
    assert!(!on.is_exempt(rule, "a.example") && off.is_exempt(rule, "a.example"));
}

#[test]
fn a_pattern_of_the_operators_own_is_a_rule() {
    let policy = compiled(
        "dlp:\n  patterns:\n  - {name: Our Ticket, regex: 'ACME-[0-9]{6}', severity: high, exempt_domains: [docs.rs]}\n",
        "",
    );
    let findings = policy
        .scanner()
        .scan(b"see acme-123456 there", policy.options())
        .unwrap();
    assert_eq!(
        findings.iter().map(|finding| &*finding.rule).collect::<Vec<_>>(),
        ["our-ticket"]
    );
    assert!(policy.is_exempt("our-ticket", "docs.rs") && !policy.is_exempt("our-ticket", "a.example"));
}

#[test]
fn a_pattern_that_is_called_as_a_rule_of_ours_stands_beside_it() {
    let policy = compiled(
        "dlp:\n  patterns:\n  - {name: JWT, regex: 'ACME-[0-9]{6}', severity: high, exempt_domains: [docs.rs], action: warn}\n\
         \x20 - {name: jwt, regex: 'ACNE-[0-9]{6}', severity: high}\n",
        "",
    );
    let found = |text: &[u8]| {
        policy
            .scanner()
            .scan(text, policy.options())
            .unwrap()
            .remove(0)
            .rule
    };
    assert_eq!(&*found(b"see acme-123456 there"), "own-jwt");
    assert_eq!(&*found(b"see acne-123456 there"), "own-jwt-2");
    assert!(policy.is_exempt("own-jwt", "docs.rs") && !policy.is_exempt("jwt", "docs.rs"));
    assert!(policy.only_warns("own-jwt") && !policy.only_warns("own-jwt-2") && !policy.only_warns("jwt"));
}

#[test]
fn an_injected_credential_is_known_in_its_own_host_and_header_only() {
    let key = pipelock_config::CredentialKey::new([3; 32]);
    let digest: String = key.digest("a.example", "authorization", b"Bearer x").into();
    let key: String = key.into();
    let policy = compiled(
        "",
        &format!(
            "credential_key: '{key}'\ninjected: [{{host: a.example, header: authorization, digest: '{digest}'}}]\n"
        ),
    );
    assert!(policy.is_injected("a.example", "authorization", b"Bearer x"));
    assert!(!policy.is_injected("docs.rs", "authorization", b"Bearer x"));
    assert!(!policy.is_injected("a.example", "x-api-key", b"Bearer x"));
    assert!(!policy.is_injected("a.example", "authorization", b"Bearer y"));
}

#[test]
fn what_is_in_force_has_another_hash_whenever_it_decides_otherwise() {
    let hash = |pipelock: &str, dlp: &str| compiled(pipelock, dlp).effective_sha256().clone();
    let base = hash("", "");
    assert_eq!(base, hash("# a comment\n", ""));
    for (pipelock, dlp) in [
        ("response_scanning: {enabled: false}\n", ""),
        ("ssrf: {ip_allowlist: [10.0.0.0/8]}\n", ""),
        ("", "refused_networks: [10.0.0.0/8]\n"),
        ("", "exemptions: [{id: g-0001, rule: jwt, host: a.example}]\n"),
    ] {
        assert_ne!(base, hash(pipelock, dlp), "{pipelock}{dlp}");
    }
}

#[test]
fn a_private_network_that_is_bound_to_a_host_is_for_that_host_alone() {
    let policy = compiled(
        "ssrf: {ip_allowlist: [10.1.0.0/16, 10.2.0.0/16]}\n",
        "private_networks: [{host: a.example, network: 10.1.0.0/16}]\n",
    );
    let tls = mitm::trust::public_roots("").unwrap();
    let upstreams = Upstreams::new(tls, Arc::new(mitm::SystemResolver), vec![]);
    let shown = |host: &str| format!("{:?}", policy.upstream(host, &upstreams));
    assert!(shown("a.example").contains("10.1.0.0/16") && shown("a.example").contains("10.2.0.0/16"));
    assert!(!shown("docs.rs").contains("10.1.0.0/16") && shown("docs.rs").contains("10.2.0.0/16"));
}
