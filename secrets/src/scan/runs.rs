//! Runs of characters that may be bytes written as digits: found, decoded, scanned.
//!
//! A run that is there whole and short is decoded on the side first, and only scanned as a layer when something
//! in it asks for it: nearly every long identifier is a run, and nearly none holds anything. A run that reaches
//! the end of what has arrived is decoded as it comes.
//!
//! base64 has `/` in its alphabet, and paths have it between their parts, so a text that begins behind a slash is
//! decoded from there too, unless that gives the same groups. base64 in lines is read on over the line break.

use super::child::Child;
use super::dump;
use super::groups;
use super::radix::Radix;
use super::survey::find_within;
use super::text::{Text, run_end};
use super::wrapped;
use super::written::{Reader, Written};
use super::{Layer, Session};
use crate::finding::{DecodePath, Decoding};

/// A whole run of at most so many characters is looked through before it is scanned as a layer.
const SHORT: usize = 4096;
/// How many characters a run's base64 texts can be apart modulo the group of four.
const GROUPS: u64 = 4;

/// The runs of one radix in a layer.
pub(crate) struct Runs {
    radix: Radix,
    /// Everything before is settled.
    resume: u64,
    open: Option<Open>,
}

/// A run whose end has not come.
struct Open {
    start: u64,
    /// Where its current line starts.
    line: u64,
    /// Characters that line breaks took, modulo the group.
    skipped: u64,
    texts: Vec<Written>,
}

/// What stands at the end of a run.
pub(super) enum Break {
    /// The run goes on behind so many bytes.
    Line(usize),
    /// More bytes decide.
    Open,
    End,
}

// === impl Runs ===

impl Runs {
    pub(crate) fn new(radix: Radix) -> Self {
        Self {
            radix,
            resume: 0,
            open: None,
        }
    }

    /// Whether `text` has a run that would be decoded.
    pub(crate) fn is_worth_it(radix: Radix, text: Text<'_>) -> bool {
        find(radix, text, 0).is_ok()
    }

    pub(crate) fn scan(&mut self, session: &mut Session<'_>, text: Text<'_>, path: DecodePath) {
        let decoding = match self.radix {
            Radix::Base64 => Decoding::Base64,
            Radix::Base32 => Decoding::Base32,
            Radix::Hex | Radix::HexPairs => Decoding::Hex,
            Radix::HexWords | Radix::Decimal | Radix::Octal => Decoding::Numbers,
        };
        let Some(path) = path.and(decoding) else {
            self.resume = text.end();
            return;
        };
        let radix = self.radix;
        loop {
            if self.open.is_some() {
                if !self.follow(session, text, path) {
                    return;
                }
                continue;
            }
            let at = text.index(self.resume);
            match find(radix, text, at) {
                Err(start) => {
                    self.resume = text.offset(start);
                    return;
                }
                Ok(start) => {
                    let end = run_end(text.bytes, start, |byte| radix.has(byte));
                    let whole = end < text.len() || text.over;
                    let run = text.slice(start..end);
                    let line = (text.offset(start), false);
                    let alone = || matches!(self.line_break(text, end, line), Break::End);
                    let is_short = run.len() <= SHORT;
                    let is_dull = whole
                        && (self.is_poor(run) || alone() && is_short && !self.is_promising(session, run));
                    if is_dull {
                        self.resume = text.offset(end);
                    } else {
                        let start = text.offset(start);
                        self.open = Some(Open {
                            start,
                            line: start,
                            skipped: 0,
                            texts: Vec::new(),
                        });
                        self.resume = start;
                    }
                }
            }
            if session.budget.is_exceeded() {
                return;
            }
        }
    }

    /// Whether a whole run is a table rather than text. Words and octal numbers are what tools write that number their lines.
    fn is_poor(&self, run: &[u8]) -> bool {
        match self.radix {
            Radix::Base64 | Radix::Base32 | Radix::Hex | Radix::HexPairs => false,
            Radix::HexWords | Radix::Octal => !dump::has_offsets(run),
            Radix::Decimal => !groups::says_text(run),
        }
    }

    /// Whether a whole short run decodes to anything that a layer would look at.
    fn is_promising(&self, session: &mut Session<'_>, run: &[u8]) -> bool {
        let mut scratch = std::mem::take(session.scratch);
        let mut survey = session.surveys.pop().unwrap_or_default();
        let mut alignments = Alignments::default();
        let mut promising = false;
        for start in self
            .starts(run, 0)
            .filter(|&start| alignments.is_new(start as u64))
        {
            scratch.clear();
            Reader::new(self.radix).whole(run.get(start..).unwrap_or_default(), &mut scratch);
            promising = promising
                || may_say_something(&scratch) && Layer::is_worth_it(session.engine, &mut survey, &scratch)
                || session.knows(&scratch);
        }
        *session.scratch = scratch;
        session.surveys.push(survey);
        promising
    }

    /// Where texts begin in `run`, `at` bytes of which belong to what came before.
    fn starts<'a>(&self, run: &'a [u8], at: usize) -> impl Iterator<Item = usize> + use<'a> {
        let slashes = self.radix == Radix::Base64;
        let first = (at == 0).then_some(0);
        // A digit before it costs whoever wants to hide a text nothing.
        let second = (at == 0 && self.radix == Radix::Hex && run.len() > 1).then_some(1);
        let others = run
            .iter()
            .enumerate()
            .filter(move |&(_, &byte)| slashes && byte == b'/')
            .map(|(at, _)| at + 1);
        first.into_iter().chain(second).chain(others)
    }

    /// Decodes what has come of the open run; `false` when there is no more.
    fn follow(&mut self, session: &mut Session<'_>, text: Text<'_>, path: DecodePath) -> bool {
        let radix = self.radix;
        let Some(mut open) = self.open.take() else {
            return true;
        };
        let at = text.index(self.resume);
        let end = run_end(text.bytes, at, |byte| radix.has(byte));
        let run = text.slice(at..end);
        let offset = text.offset(at);
        let before = usize::from(offset > open.start);
        for start in self.starts(run, before) {
            let group = (offset + start as u64 - open.skipped) % GROUPS;
            if open.texts.iter().all(|other| other.group % GROUPS != group) {
                let mut new = Written {
                    group: GROUPS + group,
                    reader: Reader::new(radix),
                    child: Child::new(path, radix.ratio()),
                };
                // It joins the others behind this run's part.
                new.feed(
                    session,
                    run.get(start..).unwrap_or_default(),
                    offset + start as u64,
                );
                open.texts.push(new);
            }
        }
        for one in &mut open.texts {
            match one.group.checked_sub(GROUPS) {
                Some(group) => one.group = group,
                None => one.feed(session, run, offset),
            }
        }
        self.resume = text.offset(end);
        if end == text.len() && !text.over {
            self.open = Some(open);
            return false;
        }
        match self.line_break(text, end, (open.line, open.line > open.start)) {
            Break::Line(length) => {
                self.resume = text.offset(end + length);
                open.line = self.resume;
                open.skipped += length as u64;
                for one in &mut open.texts {
                    one.jump(session, self.resume);
                }
                self.open = Some(open);
                true
            }
            Break::Open => {
                self.open = Some(open);
                false
            }
            Break::End => {
                for one in &mut open.texts {
                    one.finish(session);
                }
                true
            }
        }
    }

    /// Whether a run that ends at `end` goes on in the next line. `line` is where its current one began, and whether there was one
    /// before.
    fn line_break(&self, text: Text<'_>, end: usize, line: (u64, bool)) -> Break {
        if self.radix.is_grouped() {
            return dump::goes_on(text, end, line.0);
        }
        match self.radix {
            Radix::Base64 => wrapped::goes_on(text, end, line),
            _ => Break::End,
        }
    }

    pub(crate) fn needed_from(&self) -> Option<u64> {
        Some(self.resume)
    }

    pub(crate) fn hold_from(&self) -> Option<u64> {
        let open = self.open.as_ref()?;
        let held = open
            .texts
            .iter()
            .flat_map(|one| one.child.hold_from().into_iter().chain(one.reader.open_since()));
        // What is behind the run may be its next line, and is not decoded before that is known.
        held.chain([self.resume]).min()
    }

    pub(crate) fn earliest(&self) -> Option<u64> {
        self.open
            .iter()
            .flat_map(|open| &open.texts)
            .map(|one| one.child.earliest())
            .min()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.open.is_none()
    }
}

/// Whether there is text in `decoded`, or the head of something compressed. What identifiers decode to has none:
/// every other byte is of a character outside ASCII, and of none that there is.
fn may_say_something(decoded: &[u8]) -> bool {
    /// The shortest keyword with the shortest value has as many; so many random bytes are rarely UTF-8.
    const TEXT: u32 = 8;
    let (mut text, mut missing, mut last) = (0, 0, 0u32);
    decoded.iter().any(|&byte| {
        let goes_on = missing > 0 && matches!(byte, 0x80..=0xbf);
        (text, missing) = match byte {
            _ if goes_on => (text, missing - 1),
            0x00..=0x7f if missing == 0 => (text + 1, 0),
            0x00..=0x7f => (1, 0),
            0xc2..=0xdf => (text + 1, 1),
            0xe0..=0xef => (text + 1, 2),
            0xf0..=0xf4 => (text + 1, 3),
            _ => (0, 0),
        };
        last = last << 8 | u32::from(byte);
        // The heads of gzip, zip and zstd; that of a PDF's stream is text.
        text >= TEXT || last & 0x00ff_ffff == 0x001f_8b08 || last == 0x504b_0304 || last == 0x28b5_2ffd
    })
}

/// The first run at or after `at` that is long enough, as [`super::text::find_run`] tells it.
fn find(radix: Radix, text: Text<'_>, at: usize) -> Result<usize, usize> {
    let stretches = match radix {
        Radix::Base64 | Radix::Base32 | Radix::Hex => &text.survey.tokens,
        Radix::HexPairs | Radix::HexWords | Radix::Decimal | Radix::Octal => &text.survey.pairs,
    };
    find_within(stretches, text.bytes, at, radix.shortest(), |byte| {
        radix.has(byte)
    })
}

/// The groups of four that were decoded already.
#[derive(Default)]
struct Alignments([bool; GROUPS as usize]);

impl Alignments {
    fn is_new(&mut self, start: u64) -> bool {
        let slot = self.0.get_mut((start % GROUPS) as usize);
        slot.is_some_and(|slot| !std::mem::replace(slot, true))
    }
}
