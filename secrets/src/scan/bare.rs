//! Tokens that begin with nothing that could be a keyword: tried at the start of every long run of their
//! characters, of which ordinary text has few.

use super::Session;
use super::attempts::Attempts;
use super::survey::find_within;
use super::text::{Text, run_end};
use crate::byte_class;
use crate::finding::DecodePath;

/// Which runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Letters, digits, `_`, `.` and `-`; the shortest such token has 34 characters.
    Token,
    /// base64, in what was hexadecimal.
    Hidden,
}

/// How far a layer is settled.
pub(crate) struct Bare {
    kind: Kind,
    resume: u64,
    /// `resume` lies within a run whose start was tried.
    tried: bool,
}

impl Kind {
    fn shortest(self) -> usize {
        match self {
            Self::Token => 34,
            Self::Hidden => 40,
        }
    }

    fn has(self, byte: u8) -> bool {
        let class = match self {
            Self::Token => byte_class::BARE,
            Self::Hidden => byte_class::BASE64,
        };
        byte_class::is(byte, class)
    }

    fn find(self, text: Text<'_>, at: usize) -> Result<usize, usize> {
        find_within(&text.survey.tokens, text.bytes, at, self.shortest(), |byte| {
            self.has(byte)
        })
    }
}

// === impl Bare ===

impl Bare {
    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            kind,
            resume: 0,
            tried: false,
        }
    }

    pub(crate) fn is_worth_it(text: Text<'_>) -> bool {
        [Kind::Token, Kind::Hidden]
            .iter()
            .any(|kind| kind.find(text, 0).is_ok())
    }

    pub(crate) fn scan(
        &mut self,
        session: &mut Session<'_>,
        text: Text<'_>,
        path: DecodePath,
        attempts: &mut Attempts,
    ) {
        let kind = self.kind;
        if kind == Kind::Hidden && !path.is_hexadecimal() {
            self.resume = text.end();
            return;
        }
        loop {
            let at = text.index(self.resume);
            if self.tried {
                let end = run_end(text.bytes, at, |byte| kind.has(byte));
                self.resume = text.offset(end);
                if end == text.len() {
                    return;
                }
                self.tried = false;
                continue;
            }
            match kind.find(text, at) {
                Err(start) => {
                    self.resume = text.offset(start);
                    return;
                }
                Ok(start) => {
                    let first = start + escaped(text.slice(start.saturating_sub(1)..start + 2));
                    let rules = match kind {
                        Kind::Token => &session.engine.at_runs,
                        Kind::Hidden => &session.engine.at_hidden_runs,
                    };
                    for &rule in rules {
                        attempts.begin(session, text, path, (rule, 0), first..first);
                    }
                    self.resume = text.offset(start);
                    self.tried = true;
                }
            }
        }
    }

    pub(crate) fn needed_from(&self) -> Option<u64> {
        Some(self.resume)
    }
}

/// How many characters at the start of a run belong to an escape before it; `text` begins with the byte before.
pub(super) fn escaped(text: &[u8]) -> usize {
    match *text {
        [b'\\', b'n' | b'r' | b't', ..] => 1,
        [b'%', a, b] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => 2,
        _ => 0,
    }
}
