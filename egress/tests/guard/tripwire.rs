//! What egress injected does not come back.

use contract::{Decision, DenialReason};
use http::StatusCode;

use crate::agent::{Connection, TUNNELS, collect, get};
use crate::bottle::{Bottle, TOKEN};

const ROUTES: &str = "
- {host: api.example, auth: {scheme: Bearer, token_ref: T, token_env: EGRESS_TOKEN_0}}
- {host: h2.example, auth: {scheme: Bearer, token_ref: T, token_env: EGRESS_TOKEN_0}}
- {host: open.example}
";

/// What a reader makes of a body that broke off.
fn decoded(body: &[u8], path: &str) -> Vec<u8> {
    use std::io::Read as _;
    if path != "/echo-gzip" {
        return body.to_vec();
    }
    let mut text = Vec::new();
    let _ = flate2::read::GzDecoder::new(body).read_to_end(&mut text);
    text
}

#[tokio::test]
async fn a_response_that_repeats_the_credential_is_cut_before_its_last_byte() {
    for way in TUNNELS {
        for host in ["api.example", "h2.example"] {
            for path in ["/echo-body", "/echo-base64", "/echo-gzip"] {
                let bottle = Bottle::start(ROUTES);
                let mut connection = Connection::open(&bottle.socket, &bottle.authority, way, host)
                    .await
                    .unwrap();
                // The break may come before the head has left, or after.
                let text = match connection.begin(&get(host, path)).await {
                    Err(_) => String::new(),
                    Ok(response) => {
                        let got = collect(response).await;
                        assert!(!got.whole, "{way:?} {host} {path}: {:?}", got.body);
                        String::from_utf8_lossy(&decoded(&got.body, path)).into_owned()
                    }
                };
                assert!(text.len() <= "you sent ".len(), "{way:?} {host} {path}: {text}");
                let event = bottle.events(1).await[0].clone();
                assert_eq!(
                    (event.decision, event.reason),
                    (Decision::Failed, Some(DenialReason::CredentialInResponse))
                );
                assert!(!bottle.log_text().contains(TOKEN));
            }
        }
    }
}

#[tokio::test]
async fn a_response_header_that_repeats_the_credential_is_not_passed_on() {
    for way in TUNNELS {
        let bottle = Bottle::start(ROUTES);
        for path in ["/echo-header", "/echo-name"] {
            let got = bottle.send(way, &get("api.example", path)).await;
            assert_eq!(
                (got.status, got.denial().reason),
                (StatusCode::FORBIDDEN, DenialReason::CredentialInResponse)
            );
            assert!(!format!("{got:?}").to_lowercase().contains(&TOKEN.to_lowercase()));
        }
    }
}

#[tokio::test]
async fn a_response_that_cannot_be_looked_into_is_refused_where_a_credential_went() {
    for way in TUNNELS {
        let bottle = Bottle::start(ROUTES);
        let got = bottle.send(way, &get("api.example", "/zstd")).await;
        assert_eq!(got.denial().reason, DenialReason::ContentEncoding);
        assert_eq!(
            bottle.send(way, &get("open.example", "/zstd")).await.status,
            StatusCode::OK
        );
    }
}

#[tokio::test]
async fn a_compressed_response_is_looked_into_and_passed_on_as_it_came() {
    use std::io::Read as _;
    for way in TUNNELS {
        let bottle = Bottle::start(ROUTES);
        for host in ["api.example", "h2.example", "open.example"] {
            let ask = get(host, "/gzip").header("accept-encoding", "zstd, br;q=0.5, gzip, *;q=0.1");
            let got = bottle.send(way, &ask).await;
            assert_eq!(got.headers["content-encoding"], "gzip");
            let mut text = String::new();
            flate2::read::GzDecoder::new(&got.body[..])
                .read_to_string(&mut text)
                .unwrap();
            assert_eq!(text, "upstream", "{way:?} {host}");
        }
        let offered: Vec<_> = bottle
            .seat
            .seen()
            .iter()
            .map(|seen| seen.headers["accept-encoding"].to_str().unwrap().to_owned())
            .collect();
        let narrowed = "br;q=0.5, gzip";
        assert_eq!(offered, [narrowed, narrowed, "zstd, br;q=0.5, gzip, *;q=0.1"]);
    }
}

#[tokio::test]
async fn where_a_credential_goes_no_part_of_a_response_can_be_asked_for() {
    for way in TUNNELS {
        let bottle = Bottle::start(ROUTES);
        for host in ["api.example", "open.example"] {
            let part = get(host, "/x")
                .header("range", "bytes=0-7")
                .header("if-range", "\"a\"");
            assert_eq!(bottle.send(way, &part).await.status, StatusCode::OK);
        }
        let seen = bottle.seat.seen();
        for name in ["range", "if-range"] {
            assert!(!seen[0].headers.contains_key(name), "{way:?} {name}");
            assert!(seen[1].headers.contains_key(name), "{way:?} {name}");
        }
    }
}
