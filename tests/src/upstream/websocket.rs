//! A WebSocket that sends every message back.
//!
//! Text goes back in two fragments, binary whole. Each message that arrives is told as a line of its own, so that what
//! never arrived can be told, too.

use super::Seen;
use super::answer::{Body, full};
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Error, Message};

/// The method under which a message is told.
pub const MESSAGE: &str = "(message)";

/// The text that is answered with the credential that the upgrade came with: an upstream that a tripwire is for.
pub const TELL_AUTHORIZATION: &str = "tell me the authorization";

pub(super) fn is_asked_for(headers: &HeaderMap) -> bool {
    headers
        .get(UPGRADE)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Answers the upgrade, and the messages after it.
pub(super) fn accept(mut request: Request<Incoming>, seen: Seen) -> Response<Body> {
    let key = request
        .headers()
        .get(SEC_WEBSOCKET_KEY)
        .map(|key| derive_accept_key(key.as_bytes()));
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        if let Ok(upgraded) = upgraded.await {
            let stream = TokioIo::new(upgraded);
            let socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
            // A peer that breaks off is what some tests are about.
            let _ = echo(socket, &seen).await;
        }
    });
    let mut response = Response::new(full(Bytes::new()));
    let accept = key.and_then(|key| HeaderValue::from_str(&key).ok());
    let Some(accept) = accept else {
        *response.status_mut() = StatusCode::BAD_REQUEST;
        return response;
    };
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    response
}

async fn echo<S>(mut socket: WebSocketStream<S>, seen: &Seen) -> Result<(), Error>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    while let Some(message) = socket.next().await {
        match message? {
            Message::Text(text) => {
                seen.message(MESSAGE, text.as_bytes()).report();
                let answer = match text.as_str() {
                    TELL_AUTHORIZATION => seen.headers.get("authorization").cloned().unwrap_or_default(),
                    text => text.to_owned(),
                };
                for frame in fragments(answer.as_bytes()) {
                    socket.send(Message::Frame(frame)).await?;
                }
            }
            Message::Binary(bytes) => {
                seen.message(MESSAGE, &bytes).report();
                socket.send(Message::Binary(bytes)).await?;
            }
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => {}
        }
    }
    Ok(())
}

/// A text message in two frames, cut anywhere.
fn fragments(text: &[u8]) -> [Frame; 2] {
    let (first, second) = text.split_at(text.len() / 2);
    [
        Frame::message(Bytes::copy_from_slice(first), OpCode::Data(Data::Text), false),
        Frame::message(Bytes::copy_from_slice(second), OpCode::Data(Data::Continue), true),
    ]
}
