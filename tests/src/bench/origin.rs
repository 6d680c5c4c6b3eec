//! The origin: answers at once and as cheaply as it can, so that what is measured is the way to it.

use crate::bench::Files;
use crate::upstream::server_config;
use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const PIECE: &[u8] = &[b'x'; 64 * 1024];

/// Size of the large bodies: 64 MiB.
pub const LARGE: usize = 64 * 1024 * 1024;

/// Size of `/megabyte`.
pub const MEGABYTE: usize = 16 * PIECE.len();

/// Serves until the process ends.
pub async fn serve(listen: SocketAddr, files: &Files) -> anyhow::Result<()> {
    let mut config = (*server_config(&files.path("origin.pem"), &files.path("origin-key.pem"))?).clone();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(std::sync::Arc::new(config));
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let service = hyper::service::service_fn(answer);
            // A peer that closes without a word is part of the measure.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
) -> Result<Response<UnsyncBoxBody<Bytes, Infallible>>, hyper::Error> {
    let path = request.uri().path().to_owned();
    let mut body = request.into_body();
    while let Some(frame) = body.frame().await {
        frame?;
    }
    let mut response = match path.as_str() {
        "/down" => {
            let pieces = futures_util::stream::iter(
                (0..LARGE / PIECE.len()).map(|_| Ok(Frame::data(Bytes::from_static(PIECE)))),
            );
            Response::new(UnsyncBoxBody::new(StreamBody::new(pieces)))
        }
        "/megabyte" => {
            let pieces = (0..MEGABYTE / PIECE.len()).map(|_| Ok(Frame::data(Bytes::from_static(PIECE))));
            Response::new(UnsyncBoxBody::new(StreamBody::new(futures_util::stream::iter(
                pieces,
            ))))
        }
        "/events" => {
            let events = futures_util::stream::unfold(0, |number: u32| async move {
                if number == 2 {
                    return None;
                }
                if number > 0 {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Some((
                    Ok(Frame::data(Bytes::from_static(b"data: an event\n\n"))),
                    number + 1,
                ))
            });
            Response::new(UnsyncBoxBody::new(StreamBody::new(events)))
        }
        _ => Response::new(
            Full::new(Bytes::from_static(
                PIECE.first_chunk::<1024>().unwrap_or(&[0; 1024]),
            ))
            .boxed_unsync(),
        ),
    };
    if path == "/events" {
        response
            .headers_mut()
            .insert("content-type", HeaderValue::from_static("text/event-stream"));
    }
    Ok(response)
}
