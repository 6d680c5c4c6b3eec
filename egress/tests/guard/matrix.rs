//! Every rule on every way in: what is let through on one way and refused on another is a hole.

use contract::{Decision, DenialReason, PLACEHOLDER_CREDENTIAL};
use http::StatusCode;

use crate::agent::{self, Ask, EVERY_WAY, Way, ask, get};
use crate::bottle::{Bottle, TOKEN};

pub(crate) const ROUTES: &str = "
- {host: api.example, path_allowlist: [/repos/acme/, /@acme/], methods: [GET, POST, PUT],
   auth: {scheme: Bearer, token_ref: API_TOKEN, token_env: EGRESS_TOKEN_0}}
- {host: basic.example, auth: {scheme: Basic, token_ref: BASIC, token_env: EGRESS_TOKEN_1}}
- {host: h2.example, auth: {scheme: 'header:x-corp-key', token_ref: API_TOKEN, token_env: EGRESS_TOKEN_0}}
- {host: open.example}
- {host: filtered.example, path_allowlist: [/ok/], methods: [GET, POST]}
- {host: login.example, agent_credentials: allow}
";

pub(crate) enum Expect {
    Forwarded,
    Refused(DenialReason),
    /// Refused before the guard's own policy has a say, with this status.
    Malformed(u16, DenialReason),
}

use Expect::{Forwarded, Malformed, Refused};

pub(crate) fn cases() -> Vec<(Ask, Expect)> {
    let placeholder = PLACEHOLDER_CREDENTIAL;
    let lfs = |operation: &str| {
        ask("POST", "open.example", "/acme/app.git/info/lfs/objects/batch")
            .header("content-type", "application/vnd.git-lfs+json")
            .body(format!("{{\"operation\":\"{operation}\",\"objects\":[]}}"))
    };
    vec![
        // host
        (get("open.example", "/anything?at=all"), Forwarded),
        (get("other.example", "/"), Refused(DenialReason::HostNotAllowed)),
        (
            get("sub.open.example", "/"),
            Refused(DenialReason::HostNotAllowed),
        ),
        (
            get("open.example.evil.example", "/"),
            Refused(DenialReason::HostNotAllowed),
        ),
        (get("notopen.example", "/"), Refused(DenialReason::HostNotAllowed)),
        (get("192.0.2.1", "/"), Refused(DenialReason::IpLiteral)),
        (get("OPEN.example", "/case"), Forwarded),
        // method
        (ask("DELETE", "open.example", "/x"), Forwarded),
        (
            ask("DELETE", "filtered.example", "/ok/x"),
            Refused(DenialReason::MethodNotAllowed),
        ),
        (
            ask("get", "filtered.example", "/ok/x"),
            Refused(DenialReason::MethodNotAllowed),
        ),
        (
            ask("POST", "filtered.example", "/ok/x").header("x-http-method-override", "DELETE"),
            Refused(DenialReason::MethodNotAllowed),
        ),
        (
            ask("POST", "filtered.example", "/ok/x?_method=DELETE"),
            Refused(DenialReason::MethodNotAllowed),
        ),
        (
            ask("POST", "filtered.example", "/ok/x")
                .header("content-type", "application/x-www-form-urlencoded")
                .body("x=1&_method=DELETE"),
            Refused(DenialReason::MethodNotAllowed),
        ),
        (
            ask("POST", "filtered.example", "/ok/x")
                .header("content-type", "application/x-www-form-urlencoded")
                .body("x=1&_method=POST"),
            Forwarded,
        ),
        // path
        (get("filtered.example", "/ok/x"), Forwarded),
        (get("filtered.example", "/ok/a%2Fb"), Forwarded),
        (
            get("filtered.example", "/"),
            Refused(DenialReason::PathNotAllowed),
        ),
        (
            get("filtered.example", "/okay"),
            Refused(DenialReason::PathNotAllowed),
        ),
        (
            get("filtered.example", "/ok/../admin"),
            Refused(DenialReason::PathNotAllowed),
        ),
        (
            get("filtered.example", "/ok/%2e%2e/admin"),
            Refused(DenialReason::PathNotAllowed),
        ),
        (
            get("filtered.example", "/ok/..%2fadmin"),
            Refused(DenialReason::PathNotAllowed),
        ),
        (
            get("filtered.example", "/ok/%252e%252e/admin"),
            Refused(DenialReason::PathNotAllowed),
        ),
        (
            get("filtered.example", "/ok/..;/admin"),
            Refused(DenialReason::PathNotAllowed),
        ),
        (
            get("filtered.example", "/ok/..%5cadmin"),
            Refused(DenialReason::PathNotAllowed),
        ),
        (
            get("filtered.example", "//ok/x"),
            Refused(DenialReason::PathNotAllowed),
        ),
        (
            get("filtered.example", "/ok/x").header("x-original-url", "/admin"),
            Refused(DenialReason::PathNotAllowed),
        ),
        (
            get("open.example", "/a%00b"),
            Refused(DenialReason::PathMalformed),
        ),
        (
            get("open.example", "/a%0d%0ab"),
            Refused(DenialReason::PathMalformed),
        ),
        (get("open.example", "/a%"), Refused(DenialReason::PathMalformed)),
        (get("open.example", "/a%zz"), Refused(DenialReason::PathMalformed)),
        // credentials of the agent's own
        (
            get("open.example", "/x").header("authorization", "Bearer attackers-own"),
            Refused(DenialReason::AgentCredentials),
        ),
        (
            get("open.example", "/x").header("x-api-key", "attackers-own"),
            Refused(DenialReason::AgentCredentials),
        ),
        (
            get("open.example", "/x").header("private-token", "attackers-own"),
            Refused(DenialReason::AgentCredentials),
        ),
        (
            get("open.example", "/x").header("proxy-authorization", "Basic eDp5"),
            Refused(DenialReason::AgentCredentials),
        ),
        (
            get("login.example", "/x")
                .header("authorization", "Bearer agents-own")
                .header("proxy-authorization", "Basic eDp5"),
            Forwarded,
        ),
        // credentials that egress puts in
        (get("api.example", "/repos/acme/app"), Forwarded),
        (
            get("api.example", "/repos/acme/app")
                .header("authorization", format!("Bearer {placeholder}"))
                .header("x-api-key", placeholder),
            Forwarded,
        ),
        (
            get("api.example", "/repos/acme/app").header("authorization", "Bearer attackers-own"),
            Refused(DenialReason::AgentCredentials),
        ),
        (
            get("h2.example", "/x").header("x-corp-key", "attackers-own"),
            Refused(DenialReason::AgentCredentials),
        ),
        (get("basic.example", "/x"), Forwarded),
        (get("h2.example", "/x"), Forwarded),
        // tripwire
        (
            get("open.example", &format!("/x?q={TOKEN}")),
            Refused(DenialReason::CredentialInRequest),
        ),
        (
            get("open.example", &format!("/x/{TOKEN}/y")),
            Refused(DenialReason::CredentialInRequest),
        ),
        (
            get("open.example", "/x").header("x-note", hex::encode(TOKEN)),
            Refused(DenialReason::CredentialInRequest),
        ),
        (
            ask("POST", "open.example", "/x").body(format!("note={TOKEN}")),
            Refused(DenialReason::CredentialInRequest),
        ),
        (
            ask("POST", "open.example", "/x")
                .body(format!("note={TOKEN}-basic"))
                .in_pieces(),
            Refused(DenialReason::CredentialInRequest),
        ),
        (ask("POST", "open.example", "/x").body("note=nothing"), Forwarded),
        // git
        (
            get("open.example", "/acme/app.git/info/refs?service=git-receive-pack"),
            Refused(DenialReason::UseGitGate),
        ),
        (
            get(
                "open.example",
                "/acme/app.git/info/refs?a=b&service=git%2Dreceive-pack",
            ),
            Refused(DenialReason::UseGitGate),
        ),
        (
            get("open.example", "/acme/app.git/info/refs?service=git-upload-pack"),
            Forwarded,
        ),
        (
            ask("POST", "open.example", "/acme/app.git/git-receive-pack").body("0000"),
            Refused(DenialReason::UseGitGate),
        ),
        (
            ask("POST", "filtered.example", "/acme/app.git/git-receive-pack").body("0000"),
            Refused(DenialReason::UseGitGate),
        ),
        (
            ask("PUT", "open.example", "/acme/app.git/info/lfs/objects/0123").body("0000"),
            Refused(DenialReason::UseGitGate),
        ),
        (lfs("upload"), Refused(DenialReason::UseGitGate)),
        (lfs("upload").in_pieces(), Refused(DenialReason::UseGitGate)),
        (lfs("download"), Forwarded),
        // what the core refuses
        (
            get("open.example", "/x").header("expect", "something"),
            Malformed(417, DenialReason::ProtocolNotSupported),
        ),
    ]
}

#[tokio::test]
async fn every_rule_holds_on_every_way_in() {
    for way in EVERY_WAY {
        let bottle = Bottle::start(ROUTES);
        let mut events = 0;
        for (ask, expect) in cases() {
            let what = format!("{way:?} {ask:?}");
            let before = bottle.seat.seen().len();
            let got = bottle.send(way, &ask).await;
            let expect = match expect {
                Forwarded if way == Way::AbsoluteForm && injects(&ask.host) => {
                    Refused(DenialReason::PlainHttpWithAuth)
                }
                // Plain HTTP with a credential of the agent's own is refused for the one or the other.
                Refused(DenialReason::AgentCredentials) if way == Way::AbsoluteForm && injects(&ask.host) => {
                    Refused(DenialReason::PlainHttpWithAuth)
                }
                other => other,
            };
            let seen = bottle.seat.seen();
            events += 1;
            let event = bottle.events(events).await[events - 1].clone();
            match expect {
                Forwarded => {
                    assert_eq!(
                        (got.status, got.text().as_str()),
                        (StatusCode::OK, "upstream"),
                        "{what}"
                    );
                    assert_eq!(seen.len(), before + 1, "{what}");
                    judge_arrival(&ask, &seen[before], &what);
                    assert_eq!(
                        (event.decision, event.reason),
                        (Decision::Allowed, None),
                        "{what}"
                    );
                }
                Refused(reason) | Malformed(_, reason) => {
                    let status = if let Malformed(status, _) = expect {
                        status
                    } else {
                        403
                    };
                    assert_eq!(got.status.as_u16(), status, "{what}: {}", got.text());
                    let denial = got.denial();
                    assert_eq!(denial.reason, reason, "{what}: {denial:?}");
                    assert!(
                        denial.message.starts_with("egress: ") && denial.remedy.is_none(),
                        "{denial:?}"
                    );
                    assert!(
                        seen[before..]
                            .iter()
                            .all(|seen| !seen.whole && in_pieces_began(&ask, &seen.body)),
                        "{what} arrived: {seen:?}"
                    );
                    assert_eq!(
                        (event.decision, event.reason),
                        (Decision::Denied, Some(reason)),
                        "{what}"
                    );
                    assert_eq!(event.status, Some(status), "{what}");
                }
            }
            let host = ask.host.to_ascii_lowercase();
            assert!(event.host.is_none_or(|named| named == host), "{what}");
        }
        let log = bottle.log_text();
        for secret in [TOKEN, "attackers-own", "agents-own", "note=", "at=all"] {
            assert!(!log.contains(secret), "{secret} is in the log");
        }
    }
}

fn injects(host: &str) -> bool {
    ["api.example", "basic.example", "h2.example"].contains(&host)
}

/// Of a body without a length, the beginning may have left before the credential came; never its last byte.
fn in_pieces_began(ask: &Ask, arrived: &[u8]) -> bool {
    ask.in_pieces
        && ask.body.as_bytes().starts_with(arrived)
        && arrived.len() < ask.body.find(TOKEN).unwrap_or(0) + TOKEN.len()
}

pub(crate) fn judge_arrival(ask: &Ask, seen: &crate::seat::Seen, what: &str) {
    assert!(seen.whole && seen.body == ask.body, "{what}");
    assert_eq!(seen.method, ask.method, "{what}");
    assert!(seen.target.ends_with(&ask.target), "{what}: {}", seen.target);
    assert!(!seen.headers.contains_key("proxy-authorization"), "{what}");
    let held = |name: &str| -> Vec<String> {
        seen.headers
            .get_all(name)
            .iter()
            .map(|value| value.to_str().unwrap().to_owned())
            .collect()
    };
    for name in ["authorization", "x-api-key", "x-corp-key"] {
        assert!(
            !held(name)
                .iter()
                .any(|value| value.contains(PLACEHOLDER_CREDENTIAL)),
            "{what}"
        );
    }
    match ask.host.as_str() {
        "api.example" => assert_eq!(held("authorization"), [format!("Bearer {TOKEN}")], "{what}"),
        "h2.example" => assert_eq!(held("x-corp-key"), [TOKEN], "{what}"),
        "basic.example" => {
            use base64::Engine as _;
            let pair = base64::engine::general_purpose::STANDARD.encode(format!("deploy:{TOKEN}-basic"));
            assert_eq!(held("authorization"), [format!("Basic {pair}")], "{what}");
        }
        "login.example" => assert_eq!(held("authorization"), ["Bearer agents-own"], "{what}"),
        _ => assert!(held("authorization").is_empty(), "{what}"),
    }
    if injects(&ask.host) {
        assert_eq!(held("accept-encoding"), ["identity"], "{what}");
    }
}

#[tokio::test]
async fn a_refused_request_does_not_spoil_the_next_one_on_its_connection() {
    let bottle = Bottle::start(ROUTES);
    for way in EVERY_WAY {
        let mut connection =
            agent::Connection::open(&bottle.socket, &bottle.authority, way, "filtered.example")
                .await
                .unwrap();
        assert_eq!(
            connection.send(&get("filtered.example", "/no")).await.status,
            StatusCode::FORBIDDEN,
            "{way:?}"
        );
        assert_eq!(
            connection.send(&get("filtered.example", "/ok/x")).await.status,
            StatusCode::OK,
            "{way:?}"
        );
    }
}

#[tokio::test]
async fn with_supervise_a_denial_holds_the_call_that_asks_for_it() {
    let bottle = Bottle::start_with(ROUTES, true);
    let got = bottle
        .send(
            Way::TunnelHttp1,
            &ask("DELETE", "filtered.example", "/ok/x?token=hush"),
        )
        .await;
    let remedy = serde_json::to_value(got.denial().remedy.unwrap()).unwrap();
    let event = bottle.events(1).await[0].clone();
    assert_eq!(
        remedy,
        serde_json::json!({
            "tool": "egress-block",
            "arguments": {
                "host": "filtered.example",
                "methods": ["DELETE"],
                "justification": "DELETE https://filtered.example/ was refused",
                "denial_id": event.event_id,
            },
        })
    );
    let refused = agent::connect(&bottle.socket, "new.example:443", "")
        .await
        .unwrap_err();
    let remedy = serde_json::to_value(refused.denial().remedy.unwrap()).unwrap();
    assert_eq!(remedy["arguments"]["host"], "new.example");
    let event = bottle.events(2).await[1].clone();
    assert_eq!(
        remedy["arguments"]["denial_id"],
        serde_json::json!(event.event_id)
    );
}
