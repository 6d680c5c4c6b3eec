//! Answers written straight to a connection: to a CONNECT, and to what never became a request.

use std::io;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use http::header;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::policy::LocalResponse;

/// How long, and over how many bytes, a closing connection is read from, so that what the agent still sends
/// does not reset the connection before it has read its answer.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 256 * 1024;
/// How long an answer may take that is not waited for.
const AT_ONCE: Duration = Duration::from_millis(50);

/// The answer to an admitted CONNECT.
pub(crate) const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// A fatal TLS alert `unrecognized_name` (RFC 6066 §3), sent in the clear before a handshake began.
pub(crate) const ALERT_UNRECOGNIZED_NAME: &[u8] = &[0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x70];

/// A fatal `access_denied` (RFC 8446 §6.2), sent likewise: the policy said no past CONNECT's answer.
pub(crate) const ALERT_ACCESS_DENIED: &[u8] = &[0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x31];

/// A fatal `internal_error`, sent likewise: the upstream cannot be reached.
pub(crate) const ALERT_INTERNAL_ERROR: &[u8] = &[0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x50];

/// Writes the whole answer and closes.
pub(crate) async fn answer_and_close<IO>(io: &mut IO, answer: &LocalResponse)
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    write_and_close(io, &encode(answer)).await;
}

/// Writes the answer and closes, without reading what the agent sends. A connection that was just accepted takes it at once.
pub(crate) async fn answer_at_once<IO>(mut io: IO, answer: &LocalResponse)
where
    IO: AsyncWrite + Unpin,
{
    let _ = tokio::time::timeout(AT_ONCE, async {
        io.write_all(&encode(answer)).await?;
        io.shutdown().await
    })
    .await;
}

/// Writes `last` and closes. The agent may be gone already; there is no one to tell then.
pub(crate) async fn write_and_close<IO>(io: &mut IO, last: &[u8])
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let _ = tokio::time::timeout(LINGER, async {
        io.write_all(last).await?;
        io.shutdown().await?;
        let mut unread = LINGER_BYTES;
        let mut scratch = BytesMut::with_capacity(8 * 1024);
        while unread > 0 {
            scratch.clear();
            let read = io.read_buf(&mut scratch).await?;
            if read == 0 {
                break;
            }
            unread = unread.saturating_sub(read);
        }
        io::Result::Ok(())
    })
    .await;
}

/// The bytes of an answer after which the connection closes.
fn encode(answer: &LocalResponse) -> BytesMut {
    let status = answer.status();
    let mut bytes = BytesMut::with_capacity(256 + answer.body().len());
    bytes.put_slice(b"HTTP/1.1 ");
    bytes.put_slice(status.as_str().as_bytes());
    bytes.put_u8(b' ');
    bytes.put_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    bytes.put_slice(b"\r\n");
    for (name, value) in answer.headers() {
        if matches!(
            *name,
            header::CONTENT_LENGTH | header::CONNECTION | header::TRANSFER_ENCODING
        ) {
            continue;
        }
        bytes.put_slice(name.as_str().as_bytes());
        bytes.put_slice(b": ");
        bytes.put_slice(value.as_bytes());
        bytes.put_slice(b"\r\n");
    }
    bytes.put_slice(
        format!(
            "content-length: {}\r\nconnection: close\r\n\r\n",
            answer.body().len()
        )
        .as_bytes(),
    );
    bytes.put_slice(answer.body());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn an_answer_says_its_length_once_and_that_the_connection_closes() {
        let answer = http::Response::builder()
            .status(403)
            .header("content-type", "application/json")
            .header("content-length", "999")
            .header("connection", "keep-alive")
            .body(Bytes::from_static(b"{}"))
            .unwrap();
        let expected = "HTTP/1.1 403 Forbidden\r\ncontent-type: application/json\r\n\
                        content-length: 2\r\nconnection: close\r\n\r\n{}";
        assert_eq!(String::from_utf8_lossy(&encode(&answer)), expected);
    }
}
