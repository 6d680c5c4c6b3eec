//! A request's body.
//!
//! A short one is held until it is whole and looked at before the request's head leaves. A longer one streams: what may be the
//! beginning of a finding is held back, so that of a secret the last byte never leaves. Either is looked at as it stands, and its
//! values put together. Compressed bodies are undone first, and released in step with what they decode to.

mod form;
mod guarded;
mod json;
mod multipart;
mod stream;

use ::guard::held::{Budget, HeldBody};
use bytes::Bytes;
use http::{HeaderMap, header};
use mitm::{BodyLength, Cut, Inspector, Released};
use secrets::inflate::Coding;

use crate::encoding::{self, Windows};
use crate::examiner::Examiner;
use crate::permit::Verdicts;
use crate::refused::{Place, Refused};
use guarded::Guarded;
use stream::BodyStream;

pub(crate) use json::JsonReader;

/// Request bodies up to this many bytes are looked at whole before the first byte leaves.
pub const HELD_WHOLE: usize = 64 * 1024;

/// What a body is said to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kind {
    /// Its codings, the outermost first.
    codings: Vec<Coding>,
    form: Form,
    /// One side of a conversation: its beginning must not wait for its end.
    conversation: bool,
}

/// How a body's content is laid out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Form {
    Json,
    JsonLines,
    /// Messages in JSON, each behind its length, which is no text.
    JsonFrames,
    Urlencoded,
    /// With its boundary.
    Multipart(Vec<u8>),
    #[default]
    Other,
}

/// The memory that all bodies of a seat share.
#[derive(Debug, Clone)]
pub struct Room {
    /// For bodies that are held until they are whole.
    pub held: Budget,
    /// For what decoders keep.
    pub windows: Windows,
}

/// Looks at one body.
pub struct RequestBody {
    examiner: Examiner,
    verdicts: Verdicts,
    kind: Kind,
    windows: Windows,
    held: Option<HeldBody>,
    stream: Option<BodyStream>,
    defers_head: bool,
}

/// Judges a whole body, as if it came in one piece.
pub fn judge(examiner: &Examiner, kind: Kind, body: Bytes) -> Result<(), Refused> {
    let length = BodyLength::Exact(u64::try_from(body.len()).unwrap_or(u64::MAX));
    let verdicts = Verdicts::new(examiner, false);
    let room = Room {
        held: Budget::new(HELD_WHOLE),
        windows: Windows::default(),
    };
    let mut looking = RequestBody::new(examiner.clone(), verdicts, kind, length, &room);
    let mut released = Released::default();
    looking.take(body, &mut released)?;
    looking.over(&mut released)
}

// === impl Kind ===

impl Kind {
    /// What the headers say.
    ///
    /// # Errors
    /// The body has a coding that cannot be undone.
    pub fn of(headers: &HeaderMap) -> Result<Self, Refused> {
        let value = headers.get(header::CONTENT_TYPE).map(http::HeaderValue::as_bytes);
        let text = String::from_utf8_lossy(value.unwrap_or_default());
        let (essence, parameters) = text.split_once(';').unwrap_or((&text, ""));
        let essence = essence.trim().to_ascii_lowercase();
        let framed = ["application/grpc", "application/connect"]
            .iter()
            .any(|one| essence.starts_with(one));
        let form = match essence.as_str() {
            "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/json-lines" => Form::JsonLines,
            "application/x-www-form-urlencoded" => Form::Urlencoded,
            essence if framed && essence.ends_with("+json") => Form::JsonFrames,
            essence if essence == "application/json" || essence.ends_with("+json") => Form::Json,
            essence if essence.starts_with("multipart/") => {
                boundary(parameters).map_or(Form::Other, Form::Multipart)
            }
            _ => Form::Other,
        };
        let conversation = framed || essence.starts_with("text/event-stream");
        Ok(Self {
            codings: encoding::codings(headers)?,
            form,
            conversation,
        })
    }
}

fn boundary(parameters: &str) -> Option<Vec<u8>> {
    let value = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("boundary")
            .then(|| value.trim().trim_matches('"'))
    })?;
    (1..=200)
        .contains(&value.len())
        .then(|| value.as_bytes().to_vec())
}

// === impl RequestBody ===

impl RequestBody {
    /// For a body of this length and kind.
    pub fn new(examiner: Examiner, verdicts: Verdicts, kind: Kind, length: BodyLength, room: &Room) -> Self {
        let known_short = matches!(length, BodyLength::Exact(length) if length <= HELD_WHOLE as u64);
        let may_be_short = length == BodyLength::Unknown && !kind.conversation;
        let held = (known_short || may_be_short).then(|| room.held.body());
        Self {
            examiner,
            verdicts,
            windows: room.windows.clone(),
            held,
            stream: None,
            defers_head: !kind.conversation,
            kind,
        }
    }

    fn take(&mut self, data: Bytes, released: &mut Released) -> Result<(), Refused> {
        if let Some(held) = &mut self.held {
            if held.len() + data.len() <= HELD_WHOLE {
                return held.push(&data).map_err(|_| Refused::HeldTooMuch);
            }
            // It is longer than what is held whole: what was held goes through the stream first.
            let held = self.held.take().map(HeldBody::into_bytes).unwrap_or_default();
            self.stream()?.push(held, released)?;
        }
        self.stream()?.push(data, released)
    }

    fn stream(&mut self) -> Result<&mut BodyStream, Refused> {
        let stream = match self.stream.take() {
            Some(stream) => stream,
            None => BodyStream::new(&self.examiner, &self.kind, &self.windows)?,
        };
        Ok(self.stream.insert(stream))
    }

    fn over(&mut self, released: &mut Released) -> Result<(), Refused> {
        if let Some(held) = self.held.take() {
            let body = held.into_bytes();
            self.look_at_whole(&body)?;
            released.push(body);
        }
        match &mut self.stream {
            Some(stream) => stream.finish(released),
            None => Ok(()),
        }
    }

    fn look_at_whole(&self, body: &Bytes) -> Result<(), Refused> {
        let mut text = Guarded::new(&self.examiner, &self.kind.form);
        if self.kind.codings.is_empty() {
            text.push(body)?;
            return text.finish();
        }
        // As it is sent, too: see the stream.
        self.examiner.whole(&Place::Body, body)?;
        let mut decoder = encoding::Decoder::new(self.kind.codings.clone(), &self.windows)?;
        decoder.push(body, &mut |bytes| text.push(bytes).map(drop))?;
        decoder.finish()?;
        text.finish()
    }
}

impl Inspector for RequestBody {
    fn push(&mut self, data: Bytes, released: &mut Released) -> Result<(), Cut> {
        self.take(data, released)
            .map_err(|refused| self.verdicts.cut(&refused))
    }

    fn finish(&mut self, released: &mut Released) -> Result<(), Cut> {
        self.over(released).map_err(|refused| self.verdicts.cut(&refused))
    }

    fn defers_head(&self) -> bool {
        self.defers_head
    }
}

#[cfg(test)]
pub(crate) mod tests;
