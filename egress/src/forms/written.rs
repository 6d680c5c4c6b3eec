//! A request's body as a framework gets it that undoes `Content-Encoding` by itself.
//!
//! Express's body-parser does, for exactly one coding: gzip, deflate, and in its newer versions brotli, whose windows would let an
//! agent take 16 MiB a request here. Whatever else it is named, nobody who reads a method from a body undoes.

use std::fmt;
use std::ops::ControlFlow;

use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use secrets::inflate::{Coding, Inflater, Progress};

/// A body may decode to so many times its own size, once it is longer than [`ANY_RATIO`] bytes; as for responses.
const RATIO: u64 = 256;
const ANY_RATIO: u64 = 4 * 1024 * 1024;

/// How a body is written.
pub(super) enum Written {
    /// As it is, or so that nobody reads it.
    Plain,
    /// In what is undone here.
    Coded {
        inflater: Box<Inflater>,
        taken: u64,
        made: u64,
    },
    /// It does not decode from here on: whoever undoes it refuses it.
    Corrupt,
    /// In what is not undone here and is elsewhere.
    Unreadable,
}

impl Written {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut fields = headers.get_all(CONTENT_ENCODING).iter();
        let (Some(field), None) = (fields.next(), fields.next()) else {
            return Self::Plain;
        };
        match field.to_str().ok().and_then(Coding::from_token) {
            Some(coding @ (Coding::Gzip | Coding::Deflate)) => Self::Coded {
                inflater: Box::new(Inflater::new(coding)),
                taken: 0,
                made: 0,
            },
            Some(Coding::Brotli) => Self::Unreadable,
            _ => Self::Plain,
        }
    }

    /// Hands what `data` says to `take`, which says whether it wants more. `false`: nobody can say here what it says.
    pub(super) fn push(&mut self, data: &[u8], take: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        let (inflater, taken, made) = match self {
            Self::Plain => {
                take(data);
                return true;
            }
            Self::Corrupt => return true,
            Self::Unreadable => return data.is_empty(),
            Self::Coded {
                inflater,
                taken,
                made,
            } => (inflater, taken, made),
        };
        *taken += data.len() as u64;
        let most = ANY_RATIO.saturating_add(taken.saturating_mul(RATIO));
        let mut rest = data;
        while !rest.is_empty() {
            let progress = inflater.push(rest, &mut |piece| {
                *made += piece.len() as u64;
                if *made <= most && take(piece) {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            });
            match progress {
                Ok(Progress::Open) => break,
                // Another member may follow.
                Ok(Progress::Ended(at)) => rest = rest.get(at..).unwrap_or_default(),
                Ok(Progress::Stopped) => {
                    let swells = *made > most;
                    *self = if swells { Self::Unreadable } else { Self::Corrupt };
                    return !swells;
                }
                Err(_) => {
                    *self = Self::Corrupt;
                    break;
                }
            }
        }
        true
    }
}

impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "Plain",
            Self::Coded { .. } => "Coded",
            Self::Corrupt => "Corrupt",
            Self::Unreadable => "Unreadable",
        })
    }
}
