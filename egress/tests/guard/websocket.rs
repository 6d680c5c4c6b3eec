//! WebSocket as a way in: every rule of the matrix, and the tripwire over messages.

use contract::{Decision, DenialReason};
use futures_util::{SinkExt as _, StreamExt as _};
use http::StatusCode;
use tokio_tungstenite::tungstenite::Message;

use crate::agent::{Ask, Opened, get, open_websocket};
use crate::bottle::{Bottle, TOKEN};
use crate::matrix::Expect::{Forwarded, Malformed, Refused};
use crate::matrix::{ROUTES, cases, judge_arrival};

async fn open(bottle: &Bottle, ask: &Ask) -> Opened {
    open_websocket(&bottle.socket, &bottle.authority, ask).await
}

/// Sends the messages, then a close; gives what came back, and what the close says.
async fn converse(opened: Opened, messages: Vec<Message>) -> (Vec<Message>, Option<(u16, String)>) {
    let mut socket = opened.expect("an upgrade");
    for message in messages {
        // A cut may close it before the last one.
        let _ = socket.send(message).await;
    }
    let _ = socket.close(None).await;
    let mut received = Vec::new();
    while let Some(Ok(message)) = socket.next().await {
        match message {
            Message::Close(frame) => {
                let said = frame.map(|frame| (frame.code.into(), frame.reason.to_string()));
                return (received, said);
            }
            other => received.push(other),
        }
    }
    (received, None)
}

/// What the agent is told when it sent a credential.
fn cut() -> (u16, String) {
    (1008, "egress: credential_in_request".to_owned())
}

/// A body as messages: whole, or a byte each.
fn as_messages(ask: &Ask) -> Vec<Message> {
    let length = if ask.in_pieces { 1 } else { ask.body.len().max(1) };
    let pieces = ask.body.as_bytes().chunks(length);
    pieces
        .map(|piece| Message::text(String::from_utf8(piece.to_vec()).unwrap()))
        .collect()
}

#[tokio::test]
async fn every_rule_of_the_matrix_holds_for_an_upgrade() {
    let bottle = Bottle::start(ROUTES);
    let mut ended = 0;
    for (number, (mut ask, mut expect)) in cases().into_iter().enumerate() {
        let mut messages = Vec::new();
        if ask.body.starts_with("note=") {
            // What would be a body goes as messages.
            messages = as_messages(&ask);
            ask.method = "GET".to_owned();
            ask.body.clear();
        } else if ask.method != "GET" && matches!(expect, Forwarded | Refused(_)) {
            expect = Malformed(400, DenialReason::MalformedRequest);
        }
        let what = format!("{ask:?} {messages:?}");
        let before = bottle.seat.seen().len();
        let opened = open(&bottle, &ask).await;
        let (mut status, mut reason) = (101, None);
        match expect {
            Refused(DenialReason::CredentialInRequest) if !messages.is_empty() => {
                reason = Some(DenialReason::CredentialInRequest);
                let (_, said) = converse(opened, messages).await;
                assert_eq!(said, Some(cut()), "{what}");
                ended += 1;
                let arrived = bottle.seat.messages(ended).await.concat();
                let text = String::from_utf8(arrived).unwrap();
                assert!(!text.contains(TOKEN), "{what}: {text}");
            }
            Forwarded => {
                let (received, _) = converse(opened, messages.clone()).await;
                assert_eq!(received.len(), messages.len(), "{what}");
                ended += 1;
                bottle.seat.messages(ended).await;
                judge_arrival(&ask, &bottle.seat.seen()[before], &what);
            }
            Refused(_) | Malformed(..) => {
                let (expected_status, why) = match expect {
                    Malformed(status, why) => (status, why),
                    Refused(why) => (403, why),
                    Forwarded => unreachable!(),
                };
                let got = opened.map(|_| ()).expect_err(&what);
                assert_eq!(got.status.as_u16(), expected_status, "{what}: {}", got.text());
                assert_eq!(got.denial().reason, why, "{what}");
                assert_eq!(bottle.seat.seen().len(), before, "{what} arrived");
                (status, reason) = (expected_status, Some(why));
            }
        }
        let event = bottle.events(number + 1).await[number].clone();
        let decision = if reason.is_some() {
            Decision::Denied
        } else {
            Decision::Allowed
        };
        assert_eq!((event.decision, event.reason), (decision, reason), "{what}");
        assert_eq!(event.status, Some(status), "{what}");
        if status == 101 {
            assert_eq!(event.way_in, "websocket", "{what}");
        }
    }
    let log = bottle.log_text();
    for secret in [TOKEN, "attackers-own", "agents-own", "note=", "at=all"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[tokio::test]
async fn a_credential_does_not_leave_in_messages_however_it_is_written_and_split() {
    use base64::Engine as _;
    let base64 = base64::engine::general_purpose::STANDARD.encode(format!("x{TOKEN}"));
    let (first, rest) = TOKEN.split_at(9);
    for messages in [
        vec![Message::binary(format!("x{TOKEN}"))],
        vec![Message::text(base64)],
        vec![Message::text(first), Message::text(rest)],
        vec![Message::Ping(TOKEN.into())],
        vec![
            Message::Ping(first.to_owned().into()),
            Message::Ping(rest.to_owned().into()),
        ],
    ] {
        let bottle = Bottle::start(ROUTES);
        let what = format!("{messages:?}");
        let opened = open(&bottle, &get("open.example", "/x")).await;
        assert_eq!(converse(opened, messages).await.1, Some(cut()), "{what}");
        let arrived = bottle.seat.messages(1).await.concat();
        assert!(!String::from_utf8(arrived).unwrap().contains(rest), "{what}");
        let event = bottle.events(1).await[0].clone();
        assert_eq!(
            (event.decision, event.reason, event.status),
            (
                Decision::Denied,
                Some(DenialReason::CredentialInRequest),
                Some(101)
            ),
            "{what}"
        );
    }
}

#[tokio::test]
async fn a_credential_does_not_come_back_in_messages() {
    for path in ["/repos/acme/echo-message", "/repos/acme/echo-messages"] {
        let bottle = Bottle::start(ROUTES);
        let mut socket = open(&bottle, &get("api.example", path)).await.unwrap();
        let mut received = Vec::new();
        let mut code = None;
        while let Some(Ok(message)) = socket.next().await {
            match message {
                Message::Close(frame) => code = frame.map(|frame| u16::from(frame.code)),
                other => received.extend_from_slice(&other.into_data()),
            }
        }
        assert_eq!(code, Some(1008), "{path}");
        assert!(received.len() <= "you sent ".len(), "{path}: {received:?}");
        let event = bottle.events(1).await[0].clone();
        assert_eq!(
            (event.decision, event.reason),
            (Decision::Failed, Some(DenialReason::CredentialInResponse))
        );
    }
}

#[tokio::test]
async fn an_upstream_without_websocket_answers_for_itself() {
    let bottle = Bottle::start(ROUTES);
    let got = open(&bottle, &get("open.example", "/no-websocket"))
        .await
        .unwrap_err();
    assert_eq!((got.status, got.text().as_str()), (StatusCode::OK, "upstream"));
}
