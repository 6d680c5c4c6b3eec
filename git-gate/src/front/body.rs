//! What a client sends, as git's standard input: plain or out of gzip, bounded, and never waiting for ever.

use std::ops::ControlFlow;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use secrets::inflate::{Coding, Inflater};
use tokio::io::AsyncWriteExt as _;
use tokio::process::ChildStdin;

/// How long a client may send nothing.
const IDLE: Duration = Duration::from_secs(120);

/// So much gzip is undone at a time, in bytes: at its best it holds a thousand times as much.
const PACKED_PIECE: usize = 4 * 1024;

/// Why a body was not taken whole.
#[derive(Debug, thiserror::Error)]
pub(super) enum Cut {
    #[error("the client went away")]
    Gone,
    #[error("the client sent nothing for 120 s")]
    Idle,
    #[error("the body is longer than {0} bytes")]
    TooLong(u64),
    #[error("the body is not valid gzip")]
    Corrupt,
}

/// Feeds git. When git wants no more (it refuses, and says so on its output), the rest is read and dropped: a client that is
/// still sending would not read the answer.
pub(super) async fn feed(
    mut body: Incoming,
    mut stdin: ChildStdin,
    gzip: bool,
    limit: u64,
) -> Result<(), Cut> {
    let mut inflater = gzip.then(|| Inflater::new(Coding::Gzip));
    let (mut sent, mut wanted) = (0, true);
    loop {
        let frame = match tokio::time::timeout(IDLE, body.frame()).await {
            Err(_) => return Err(Cut::Idle),
            Ok(None) => break,
            Ok(Some(Err(_))) => return Err(Cut::Gone),
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(data) = frame.into_data() else { continue };
        let packed = inflater.is_some();
        for part in data.chunks(if packed { PACKED_PIECE } else { data.len().max(1) }) {
            let pieces = match &mut inflater {
                None => vec![data.slice_ref(part)],
                Some(inflater) => inflate(inflater, part, limit.saturating_sub(sent))?,
            };
            for piece in pieces {
                sent += u64::try_from(piece.len()).unwrap_or(u64::MAX);
                if sent > limit {
                    return Err(Cut::TooLong(limit));
                }
                wanted = wanted && stdin.write_all(&piece).await.is_ok();
            }
        }
    }
    if inflater.is_some_and(|inflater| !inflater.at_boundary()) {
        return Err(Cut::Corrupt);
    }
    // git sees the end of its input only now: after the whole of the body was good.
    drop(stdin);
    Ok(())
}

fn inflate(inflater: &mut Inflater, data: &[u8], room: u64) -> Result<Vec<Bytes>, Cut> {
    let (mut pieces, mut total) = (Vec::new(), 0);
    inflater
        .push(data, &mut |piece| {
            total += u64::try_from(piece.len()).unwrap_or(u64::MAX);
            pieces.push(Bytes::copy_from_slice(piece));
            if total > room {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .map_err(|_| Cut::Corrupt)?;
    Ok(pieces)
}
