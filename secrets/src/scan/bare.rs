//! Tokens that begin with nothing that could be a keyword: tried at the start of every long run of their
//! characters, of which ordinary text has few.

use super::Session;
use super::attempts::Attempts;
use super::text::{Text, find_run, run_end};
use crate::byte_class;
use crate::finding::DecodePath;

/// The shortest such token has 34 characters.
const SHORTEST: usize = 34;

/// How far a layer is settled.
#[derive(Default)]
pub(crate) struct Bare {
    resume: u64,
    /// `resume` lies within a run whose start was tried.
    tried: bool,
}

fn is_part(byte: u8) -> bool {
    byte_class::is(byte, byte_class::BARE)
}

// === impl Bare ===

impl Bare {
    pub(crate) fn is_worth_it(text: &[u8]) -> bool {
        find_run(text, 0, SHORTEST, is_part).is_ok()
    }

    pub(crate) fn scan(
        &mut self,
        session: &mut Session<'_>,
        text: Text<'_>,
        path: DecodePath,
        attempts: &mut Attempts,
    ) {
        loop {
            let at = text.index(self.resume);
            if self.tried {
                let end = run_end(text.bytes, at, is_part);
                self.resume = text.offset(end);
                if end == text.len() {
                    return;
                }
                self.tried = false;
                continue;
            }
            match find_run(text.bytes, at, SHORTEST, is_part) {
                Err(start) => {
                    self.resume = text.offset(start);
                    return;
                }
                Ok(start) => {
                    let first = start + escaped(text.slice(start.saturating_sub(1)..start + 2));
                    for &rule in &session.engine.at_runs {
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
fn escaped(text: &[u8]) -> usize {
    match *text {
        [b'\\', b'n' | b'r' | b't', ..] => 1,
        [b'%', a, b] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => 2,
        _ => 0,
    }
}
