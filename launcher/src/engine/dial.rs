//! A byte stream to the engine, and why there is none.

use super::endpoint::{Address, Endpoint};
use crate::error::{Error, Result};
use std::io::ErrorKind;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// What both kinds of endpoint give.
pub(super) trait ByteStream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> ByteStream for T {}

/// Connects.
pub(super) async fn dial(endpoint: &Endpoint) -> Result<Box<dyn ByteStream>> {
    let stream: std::io::Result<Box<dyn ByteStream>> = match endpoint.address() {
        Address::Unix(path) => UnixStream::connect(path)
            .await
            .map(|stream| Box::new(stream) as _),
        Address::Loopback(authority) => TcpStream::connect(authority.as_str())
            .await
            .map(|stream| Box::new(stream) as _),
    };
    stream.map_err(|error| no_engine(endpoint, error))
}

fn no_engine(endpoint: &Endpoint, error: std::io::Error) -> Error {
    let hint = match error.kind() {
        ErrorKind::PermissionDenied => {
            "you may not use this engine; `sudo usermod --append --groups docker $USER`, then log in again"
        }
        ErrorKind::NotFound => {
            "install and start Docker (`sudo systemctl start docker`), or say where it is with DOCKER_HOST"
        }
        _ => "start it: `sudo systemctl start docker`",
    };
    Error::environment(format!(
        "no Docker engine answers at {endpoint} (chosen by {})",
        endpoint.chosen_by()
    ))
    .because(error)
    .hinted(hint)
    .hinted("`bottle doctor` checks what this machine lacks")
}
