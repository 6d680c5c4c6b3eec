use super::*;
use crate::credential::CredentialKey;
use crate::dlp_file::Exemption;
use crate::pipelock_file::PipelockFile;
use crate::{OnFinding, files_sha256};
use contract::RouteTable;
use zeroize::Zeroizing;

fn model() -> Model {
    let table = RouteTable::parse(include_bytes!("../../../contract/golden/routes.yaml")).unwrap();
    let mut model = Model::of_routes(&table, CredentialKey::new([0x5a; 32]), |auth| {
        Some(Zeroizing::new(
            format!("value of {}", auth.token_ref).into_bytes(),
        ))
    });
    model.exemptions.push(Exemption {
        id: "g-1a2b3c4d".parse().unwrap(),
        rule: "generic-secret".to_owned(),
        host: "docs.rs".parse().unwrap(),
        expires_at: Some("2026-11-21T12:00:00Z".parse().unwrap()),
    });
    model.refused_hosts.push("evil.example".parse().unwrap());
    model.refused_networks.push("172.30.0.0/16".parse().unwrap());
    model
}

/// Compares with a file in `golden/`; `UPDATE_GOLDEN=1` writes it.
fn golden(name: &str, text: &str) {
    let path = format!("{}/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    #[allow(
        clippy::disallowed_methods,
        reason = "a test of one crate needs no better error"
    )]
    {
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, text).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "{name}");
    }
}

#[test]
fn each_engine_gets_the_file_that_it_needs() {
    let ours = render(&model(), Engine::Builtin);
    golden("builtin-pipelock.yaml", &ours.pipelock_yaml);
    golden("builtin-dlp.yaml", ours.dlp_yaml.as_deref().unwrap());
    assert_eq!(ours.notes, [""; 0]);
    let real = render(&model(), Engine::Pipelock);
    golden("pipelock-pipelock.yaml", &real.pipelock_yaml);
    golden("pipelock-notes.txt", &(real.notes.join("\n") + "\n"));
    assert_eq!(real.dlp_yaml, None);
}

#[test]
fn what_is_rendered_is_what_our_engine_reads() {
    let model = model();
    let rendered = render(&model, Engine::Builtin);
    let seat = PipelockFile::parse(rendered.pipelock_yaml.as_bytes())
        .unwrap()
        .seat()
        .unwrap();
    assert_eq!(seat.notes, [""; 0]);
    assert_eq!(
        (seat.action, seat.response_scanning),
        (OnFinding::Block, ResponseScanning::Off)
    );
    assert!(model.hosts.iter().all(|host| seat.admits(host.as_str())));
    assert!(seat.passes_through("api.anthropic.com") && !seat.passes_through("docs.rs"));
    assert_eq!(seat.permitted_networks, ["10.1.2.0/24".parse().unwrap()]);
    let dlp = DlpFile::parse(rendered.dlp_yaml.unwrap().as_bytes()).unwrap();
    assert_eq!(dlp, DlpFile::of(&model));
    assert_eq!(dlp.injected.len(), 2);
}

#[test]
fn no_credential_stands_in_a_file() {
    for engine in [Engine::Builtin, Engine::Pipelock] {
        let rendered = render(&model(), engine);
        let all = rendered.pipelock_yaml + rendered.dlp_yaml.as_deref().unwrap_or_default();
        assert!(!all.contains("value of"));
    }
}

#[test]
fn the_hash_of_both_files_tells_which_is_which() {
    let both = files_sha256(b"a", Some(b"b"));
    assert_ne!(both, files_sha256(b"ab", None));
    assert_ne!(both, files_sha256(b"b", Some(b"a")));
    assert_eq!(files_sha256(b"a", None), contract::Sha256Hex::of(b"a"));
}
