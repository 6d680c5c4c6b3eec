//! Doors to the private parsers for the fuzz targets beside this crate. Each panics when a promise is broken,
//! which is what a fuzzer looks for; nothing else calls them.

use bytes::BytesMut;

use crate::authority::Authority;
use crate::chunk::{ChunkFollower, Followed};
use crate::detect::{Detected, detect};
use crate::head::{self, Leg};
use crate::websocket::frame::{Event, FrameReader, Origin, ProtocolError};

/// A head that is judged has one reading: cut anywhere, it ends at the same place, and `Host`, target and
/// authority survive the types that they are forwarded in.
pub fn head(bytes: &[u8], cut: usize) {
    let whole = head::find_end(bytes, 0).ok();
    let first = bytes.get(..cut).unwrap_or(bytes);
    if let (Some(whole), Ok(None)) = (whole, head::find_end(first, 0)) {
        assert_eq!(head::find_end(bytes, first.len()).ok().flatten(), whole);
    }
    let Some(length) = whole.flatten() else { return };
    let (head, _) = bytes.split_at(length);
    for leg in [Leg::Plain, Leg::Tunnel] {
        if let Ok(head::Head::Connect(connect)) = head::judge(head, leg) {
            let text = connect.authority.to_string();
            assert_eq!(Authority::parse_connect(text.as_bytes()), Ok(connect.authority));
        }
    }
}

/// A chunked body ends at the same place however it arrives.
pub fn chunked(bytes: &[u8], cut: usize) {
    let whole = ChunkFollower::new(1024).follow(bytes);
    let (first, rest) = bytes.split_at(cut.min(bytes.len()));
    let mut follower = ChunkFollower::new(1024);
    let parted = match follower.follow(first) {
        Ok(Followed::More) => follower.follow(rest).map(|followed| match followed {
            Followed::End(at) => Followed::End(first.len() + at),
            Followed::More => Followed::More,
        }),
        decided => decided,
    };
    assert_eq!(parted, whole);
}

/// What an agent speaks after CONNECT is decided soon, and for good.
pub fn detected(bytes: &[u8]) {
    let decided = detect(bytes);
    assert!(decided != Detected::Undecided || bytes.len() <= 16);
    for length in 0..bytes.len() {
        let early = detect(bytes.get(..length).unwrap_or_default());
        assert!(early == Detected::Undecided || early == decided);
    }
}

/// Frames have one reading, however they arrive; payload is the same bytes, unmasked once.
pub fn frames(bytes: &[u8], cut: usize, client: bool) {
    let origin = if client { Origin::Client } else { Origin::Server };
    let whole = read_frames(origin, &[bytes]);
    let (first, rest) = bytes.split_at(cut.min(bytes.len()));
    assert_eq!(read_frames(origin, &[first, rest]), whole);
}

type Frames = (Vec<Event>, Vec<u8>, Option<ProtocolError>);

fn read_frames(origin: Origin, pieces: &[&[u8]]) -> Frames {
    let mut reader = FrameReader::new(origin);
    let mut buffer = BytesMut::new();
    let (mut events, mut payload) = (Vec::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match reader.next(&mut buffer) {
                Ok(Some(Event::Payload(data))) => {
                    assert!(!data.is_empty());
                    payload.extend_from_slice(&data);
                }
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => return (events, payload, Some(error)),
            }
        }
    }
    (events, payload, None)
}
