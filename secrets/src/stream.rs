//! Scans that are under way: of a stream that comes in chunks, and of the many parts of one message.
//!
//! Scanning a stream, a caller releases bytes as they come, except those that the scanner says must wait: they may
//! be part of a secret whose end has not arrived. When a finding is told, its last byte is still held.

use crate::DecodePath;
use crate::finding::{Finding, without_repeats};
use crate::scan::{Budget, Engine, Layer, Manner, Raw, Session, Survey};
use crate::scanner::{BudgetExceeded, KNOWN_VALUE, Options};
use std::collections::VecDeque;
use std::sync::Arc;

/// So many findings are remembered, to tell none twice.
const REMEMBERED: usize = 256;
/// Of a text so many bytes are looked at at once: what is noted of them takes several times as much in the worst case.
const AT_ONCE: usize = 1 << 20;
/// Of a name so many bytes are looked at: its end says what it is.
const NAME: usize = 64;
/// Parts that are no longer, most header fields and JSON values, are asked first whether they can hold anything.
const SHORT: usize = 256;

/// The scan of one stream.
pub struct Stream {
    scan: Scan,
    layer: Layer,
    /// Bytes before the stream's own: its name.
    lead: u64,
}

/// The scan of the parts of one message: the fields of a form, the keys and values of JSON, headers, frames. Each
/// part is whole and stands by itself, as the end of a part ends what is in it; the budget is one for all.
pub struct Parts {
    scan: Scan,
    buffer: Vec<u8>,
}

/// What a scan keeps besides the layer that it is in.
struct Scan {
    engine: Arc<Engine>,
    manner: Manner,
    budget: Budget,
    raw: Vec<Raw>,
    /// The latest findings, to tell none twice.
    told: VecDeque<Raw>,
    scratch: Vec<u8>,
    surveys: Vec<Survey>,
}

// === impl Stream ===

impl Stream {
    pub(crate) fn new(engine: &Arc<Engine>, options: &Options, name: &str) -> Self {
        let mut scan = Scan::new(engine, options);
        let mut layer = Layer::new(DecodePath::default());
        let lead = lead(name);
        if !lead.is_empty() {
            // Nothing can be found in a name alone, and a budget is not exceeded by so few bytes.
            let told = scan.work(&mut layer, &lead, false, 0, &mut Vec::new());
            debug_assert!(told.is_ok());
        }
        Self {
            scan,
            layer,
            lead: lead.len() as u64,
        }
    }

    /// Scans the next bytes and appends what is found to `findings` (the same secret may be told twice; see
    /// [`without_repeats`]). Gives how many of the bytes so far, counted from the last, must not leave yet: pass it
    /// to [`crate::HoldBack::release`].
    ///
    /// # Errors
    /// The budget was exceeded, now or before.
    pub fn push(&mut self, chunk: &[u8], findings: &mut Vec<Finding>) -> Result<usize, BudgetExceeded> {
        self.scan.budget.read(chunk.len());
        self.scan
            .work(&mut self.layer, chunk, false, self.lead, findings)?;
        let from = self.layer.hold_from().max(self.lead);
        Ok(usize::try_from(self.layer.position() - from).unwrap_or(usize::MAX))
    }

    /// The stream is over; nothing needs to be held any more.
    ///
    /// # Errors
    /// The budget was exceeded, now or before.
    pub fn finish(&mut self, findings: &mut Vec<Finding>) -> Result<(), BudgetExceeded> {
        self.push_all(&[], findings)
    }

    /// The last bytes of the stream, however many.
    pub(crate) fn push_all(
        &mut self,
        bytes: &[u8],
        findings: &mut Vec<Finding>,
    ) -> Result<(), BudgetExceeded> {
        self.scan.budget.read(bytes.len());
        let mut rest = bytes;
        while let Some((piece, behind)) = rest.split_at_checked(AT_ONCE) {
            self.scan
                .work(&mut self.layer, piece, false, self.lead, findings)?;
            rest = behind;
        }
        self.scan.work(&mut self.layer, rest, true, self.lead, findings)
    }
}

// === impl Parts ===

impl Parts {
    pub(crate) fn new(engine: &Arc<Engine>, options: &Options) -> Self {
        Self {
            scan: Scan::new(engine, options),
            buffer: Vec::new(),
        }
    }

    /// Scans one part that has no name: a key, a frame, an element of a list. Spans are offsets into it. Repeats
    /// are dropped.
    ///
    /// # Errors
    /// The budget of all parts was exceeded, now or before.
    pub fn scan(&mut self, part: &[u8]) -> Result<Vec<Finding>, BudgetExceeded> {
        self.scan_led(part, 0)
    }

    /// Scans the value of something called `name`: a header, a field of a form, a value of JSON with its key. The
    /// name decides whether a value without a format of its own is a credential (`password`, `X-Api-Key`); nothing
    /// is found in the name itself. Spans are offsets into `value`. Repeats are dropped.
    ///
    /// # Errors
    /// The budget of all parts was exceeded, now or before.
    pub fn scan_value(&mut self, name: &str, value: &[u8]) -> Result<Vec<Finding>, BudgetExceeded> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        buffer.extend_from_slice(&lead(name));
        let lead = buffer.len() as u64;
        buffer.extend_from_slice(value);
        let findings = self.scan_led(&buffer, lead);
        self.buffer = buffer;
        findings
    }

    fn scan_led(&mut self, text: &[u8], lead: u64) -> Result<Vec<Finding>, BudgetExceeded> {
        // What is told twice is so within a part only.
        self.scan.told.clear();
        if text.len() <= SHORT && !self.scan.is_worth_it(text) {
            self.scan.budget.read(text.len());
            return self.scan.within_budget().map(|()| Vec::new());
        }
        let mut layer = Layer::new(DecodePath::default());
        let mut findings = Vec::new();
        self.scan.budget.read(text.len());
        self.scan.work(&mut layer, text, true, lead, &mut findings)?;
        without_repeats(&mut findings);
        Ok(findings)
    }
}

/// `name` as it would stand before its value.
fn lead(name: &str) -> Vec<u8> {
    let from = (name.len().saturating_sub(NAME)..=name.len())
        .find(|&at| name.is_char_boundary(at))
        .unwrap_or(0);
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.".contains(byte);
    let mut lead: Vec<u8> = name.bytes().skip(from).filter(is_part).collect();
    if !lead.is_empty() {
        lead.push(b'=');
    }
    lead
}

// === impl Scan ===

impl Scan {
    fn new(engine: &Arc<Engine>, options: &Options) -> Self {
        Self {
            engine: Arc::clone(engine),
            manner: Manner {
                setting: options.setting,
                key: options.fingerprint_key.clone(),
                path: options.path.clone(),
                known: options.known.clone().filter(|known| !known.is_empty()),
            },
            budget: Budget::new(options.decoded_base, options.decoded_per_byte),
            raw: Vec::new(),
            told: VecDeque::new(),
            scratch: Vec::new(),
            surveys: Vec::new(),
        }
    }

    fn work(
        &mut self,
        layer: &mut Layer,
        bytes: &[u8],
        over: bool,
        lead: u64,
        findings: &mut Vec<Finding>,
    ) -> Result<(), BudgetExceeded> {
        let mut session = Session {
            engine: &self.engine,
            manner: &self.manner,
            budget: &mut self.budget,
            found: &mut self.raw,
            scratch: &mut self.scratch,
            surveys: &mut self.surveys,
        };
        layer.push(&mut session, bytes, over);
        for raw in std::mem::take(&mut self.raw) {
            if raw.span.end <= lead || self.told.iter().any(|told| is_repeat(&raw, told)) {
                continue;
            }
            if self.told.len() == REMEMBERED {
                self.told.pop_front();
            }
            self.told.push_back(raw.clone());
            findings.extend(tell(&self.engine, raw, lead));
        }
        self.within_budget()
    }

    fn within_budget(&self) -> Result<(), BudgetExceeded> {
        if self.budget.is_exceeded() {
            Err(BudgetExceeded)
        } else {
            Ok(())
        }
    }

    /// Whether `text`, all of a part, can hold anything.
    fn is_worth_it(&mut self, text: &[u8]) -> bool {
        let mut survey = self.surveys.pop().unwrap_or_default();
        let worth_it = Layer::is_worth_it(&self.engine, &mut survey, text);
        self.surveys.push(survey);
        worth_it
    }
}

/// Whether `raw` is `told` once more: the neighbourhood of an escape is read twice.
fn is_repeat(raw: &Raw, told: &Raw) -> bool {
    let overlap = raw.span.start < told.span.end && told.span.start < raw.span.end;
    raw.rule == told.rule
        && raw.hash == told.hash
        && (raw.decoded == told.decoded || raw.decoded.is_more_than(&told.decoded))
        && (overlap || raw.decoded.has_container())
}

fn tell(engine: &Engine, raw: Raw, lead: u64) -> Option<Finding> {
    let span = raw.span.start.saturating_sub(lead)..raw.span.end.saturating_sub(lead);
    if let Some(label) = raw.label {
        return Some(Finding {
            rule: KNOWN_VALUE.into(),
            description: label,
            confidence: raw.confidence,
            span,
            decoded: raw.decoded,
            fingerprint: None,
            public_prefix: "".into(),
            length: raw.length,
        });
    }
    let names = &engine.rules.get(usize::from(raw.rule))?.names;
    Some(Finding {
        rule: Arc::clone(&names.id),
        description: Arc::clone(&names.description),
        confidence: raw.confidence,
        span,
        decoded: raw.decoded,
        fingerprint: raw.fingerprint,
        public_prefix: names
            .prefixes
            .get(usize::from(raw.keyword))
            .cloned()
            .unwrap_or_else(|| "".into()),
        length: raw.length,
    })
}

#[cfg(test)]
mod tests {
    use crate::{Options, Scanner, Setting};

    #[test]
    fn a_name_decides_about_its_value_and_is_no_part_of_what_is_told() {
        let scanner = Scanner::built_in().unwrap();
        let value = b"q7Zt0KxV2mB9rLwE4nYcU6sHj3PdAf8G";
        let mut parts = scanner.parts(&Options::new(Setting::Traffic));
        assert_eq!(parts.scan(value).unwrap(), []);
        assert_eq!(parts.scan_value("checksum", value).unwrap(), []);
        let findings = parts.scan_value("X-Api-Key", value).unwrap();
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].span, 0..32);
        assert!(findings[0].blocks());
    }

    #[test]
    fn a_named_stream_holds_no_more_than_its_own_bytes() {
        let scanner = Scanner::built_in().unwrap();
        let mut stream = scanner.stream_of("password", &Options::new(Setting::Traffic));
        let mut findings = Vec::new();
        assert_eq!(stream.push(b"", &mut findings), Ok(0));
        assert_eq!(stream.push(b"tr0ub4dor", &mut findings), Ok(9));
        stream.finish(&mut findings).unwrap();
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].span, 0..9);
    }
}
