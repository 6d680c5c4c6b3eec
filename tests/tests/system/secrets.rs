//! Invariant 3: no credential that a guard injects or holds is in the agent container, in a file under the state
//! directory, in a log, in `docker inspect` of another container, or in an error.

use crate::{TOKEN, curl, home, internet};
use system_tests::docker::{docker, output};

/// The spellings in which a credential could lie about.
fn spellings() -> Vec<String> {
    let hex: String = TOKEN.bytes().map(|byte| format!("{byte:02x}")).collect();
    // Base64 of the token, and of `user:` before it at the other two alignments, less the characters that depend on neighbours.
    let base64 = "c3lzdGVtLXRlc3QtdG9rZW4tNWIxYzBlNWQ5YTdmNGUwYw".to_owned();
    vec![TOKEN.to_owned(), hex, base64]
}

fn holds_none(what: &str, text: &str) {
    for spelling in spellings() {
        assert!(!text.contains(&spelling), "the credential is in {what}");
    }
}

#[test]
fn the_credential_is_nowhere_but_in_egress() {
    let internet = internet().unwrap();
    let home = home(&internet).unwrap();
    let bottle = home.start("tester").unwrap();
    internet.reach_from(&bottle.guard("pipelock")).unwrap();
    // It is in use, so that its absence elsewhere says something.
    assert_eq!(
        curl(&bottle, "https://api.test.example/repos/acme/app")
            .unwrap()
            .0,
        "200"
    );
    let seen = internet.seen_at("/repos/acme/app").unwrap();
    assert_eq!(seen[0].headers["authorization"], format!("Bearer {TOKEN}"));
    // Refusals of every kind, so that their messages are in the logs too.
    for arguments in [
        format!("-H 'Authorization: Bearer {TOKEN}' https://api.test.example/repos/acme/app"),
        format!("https://api.test.example/repos/acme/{TOKEN}"),
        format!("'https://open.test.example/?q={TOKEN}'"),
        format!("-d '{TOKEN}' https://open.test.example/post"),
        "https://api.test.example/other".to_owned(),
    ] {
        let (status, body) = curl(&bottle, &arguments).unwrap();
        assert_ne!(status, "200", "{arguments} was let through");
        holds_none("a denial", &body);
    }
    assert_eq!(
        internet.seen().unwrap().len(),
        1,
        "a refused request arrived upstream"
    );

    holds_none(
        "docker inspect of the agent",
        &docker(["inspect", &bottle.agent()]).unwrap(),
    );
    let egress = output(&["logs", &bottle.guard("egress")]).unwrap();
    holds_none("the log of egress", &String::from_utf8_lossy(&egress.stdout));
    holds_none("the log of egress", &String::from_utf8_lossy(&egress.stderr));
    holds_none(
        "the log of the agent",
        &docker(["logs", &bottle.agent()]).unwrap(),
    );
    let (environment, _) = bottle
        .sh("cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'")
        .unwrap();
    assert!(environment.contains("HTTPS_PROXY="), "{environment}");
    holds_none("the agent's environment", &environment);

    let state = bottle.state();
    let grep = |text: &str| {
        std::process::Command::new("grep")
            .args(["-rlaF", text])
            .arg(&state)
            .output()
            .unwrap()
            .stdout
    };
    for spelling in spellings() {
        assert_eq!(
            String::from_utf8_lossy(&grep(&spelling)),
            "",
            "the credential is under the state directory"
        );
    }
    assert!(!grep("test.example").is_empty(), "the search itself works");
}

#[test]
fn private_keys_are_readable_by_nobody_else() {
    use std::os::unix::fs::PermissionsExt as _;
    let internet = internet().unwrap();
    let home = home(&internet).unwrap();
    let bottle = home.start("tester").unwrap();
    let mode = |path: std::path::PathBuf| fs_err::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(bottle.state()), 0o700);
    assert_eq!(mode(bottle.state().join("egress/config/ca-key.pem")), 0o600);
    let (found, _) = bottle
        .sh("grep -rls 'PRIVATE KEY' / --exclude-dir=proc --exclude-dir=sys --exclude-dir=usr 2>/dev/null")
        .unwrap();
    assert_eq!(found, "", "a private key is in the agent container");
}
