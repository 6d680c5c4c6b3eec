//! What a scan tells: where a secret is and what it is called, never what it says.

use crate::rule::Confidence;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// What was undone to see a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Decoding {
    /// base64, either alphabet
    Base64,
    /// base32
    Base32,
    /// hexadecimal
    Hex,
    /// a list of numbers, or a dump in words
    Numbers,
    /// percent-encoding, backslash escapes, character references and look-alike characters
    Escapes,
    /// UTF-16
    Wide,
    /// literals that are put together in source code
    Literals,
    /// quoted-printable
    QuotedPrintable,
    /// the order of the characters, or the place of letters in the alphabet
    Turned,
    /// gzip
    Gzip,
    /// an entry of a zip archive
    Zip,
    /// a compressed stream in a PDF file
    Pdf,
    /// Zstandard
    Zstd,
}

/// The decodings that led to a finding, the outermost first. Empty for one that stands as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct DecodePath([Option<Decoding>; crate::scan::DEPTH]);

/// A keyed digest of a secret, to recognise it again: HMAC-SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

/// One occurrence of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// the rule's name
    pub rule: Arc<str>,
    /// what the rule finds
    pub description: Arc<str>,
    /// how sure it is
    pub confidence: Confidence,
    /// Where it is, as offsets into what was scanned. For a decoded secret, the encoded text; within compressed
    /// data as near as the format allows.
    pub span: Range<u64>,
    /// what was undone to see it
    pub decoded: DecodePath,
    /// Made if [`crate::Options::fingerprint_key`] is given.
    pub fingerprint: Option<Fingerprint>,
    /// the part of the format that every such secret begins with, at most four characters
    pub public_prefix: Arc<str>,
    /// characters of the secret
    pub length: usize,
}

// === impl DecodePath ===

impl DecodePath {
    /// The decodings, the outermost first.
    pub fn steps(&self) -> impl Iterator<Item = Decoding> {
        self.0.iter().flatten().copied()
    }

    /// Whether nothing was undone.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// Whether this path is `other` with more undone: the same text may be read twice.
    pub(crate) fn is_more_than(&self, other: &Self) -> bool {
        let mut rest = self.steps();
        self.steps().count() > other.steps().count() && other.steps().all(|step| rest.any(|own| own == step))
    }

    /// Whether the last thing undone was hexadecimal that somebody wrote: in tables of bytes there is some by chance, once every
    /// other one is left out.
    pub(crate) fn is_hexadecimal(&self) -> bool {
        self.steps().last() == Some(Decoding::Hex) && !self.steps().any(|step| step == Decoding::Wide)
    }

    pub(crate) fn has_container(&self) -> bool {
        self.steps().any(|step| {
            matches!(
                step,
                Decoding::Gzip | Decoding::Zip | Decoding::Pdf | Decoding::Zstd
            )
        })
    }

    /// This path and one more step; `None` if it is as long as can be.
    pub(crate) fn and(mut self, step: Decoding) -> Option<Self> {
        *self.0.iter_mut().find(|slot| slot.is_none())? = Some(step);
        Some(self)
    }
}

impl fmt::Display for DecodePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.steps().enumerate() {
            let name = match step {
                Decoding::Base64 => "base64",
                Decoding::Base32 => "base32",
                Decoding::Hex => "hex",
                Decoding::Numbers => "numbers",
                Decoding::Escapes => "escapes",
                Decoding::Wide => "utf-16",
                Decoding::Literals => "literals",
                Decoding::QuotedPrintable => "quoted-printable",
                Decoding::Turned => "turned",
                Decoding::Gzip => "gzip",
                Decoding::Zip => "zip",
                Decoding::Pdf => "pdf",
                Decoding::Zstd => "zstd",
            };
            write!(f, "{}{name}", if index > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

// === impl Fingerprint ===

impl Fingerprint {
    /// The digest of `secret` under `key`: what a finding of it carries.
    #[must_use]
    pub fn of(key: &[u8], secret: &[u8]) -> Option<Self> {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
        mac.update(secret);
        Some(Self(mac.finalize().into_bytes().into()))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

// === impl Finding ===

impl Finding {
    /// Whether it is reason to block, not only to warn.
    #[must_use]
    pub fn blocks(&self) -> bool {
        self.confidence == Confidence::High
    }

    /// What may be shown of the secret: the beginning that is public, and the length.
    #[must_use]
    pub fn redacted(&self) -> String {
        format!("{}‹redacted:{}›", self.public_prefix, self.length)
    }

    /// The finding's line and column in `text`, which was scanned whole; both start at 1, and a column counts
    /// bytes.
    #[must_use]
    pub fn position(&self, text: &[u8]) -> (usize, usize) {
        let start = usize::try_from(self.span.start).map_or(text.len(), |start| start.min(text.len()));
        let head = text.get(..start).unwrap_or_default();
        let line = head.iter().filter(|&&byte| byte == b'\n').count() + 1;
        let column = head.iter().rev().take_while(|&&byte| byte != b'\n').count() + 1;
        (line, column)
    }
}

/// So many findings that overlap are compared with all others of them; of more, each with so many.
const COMPARED: usize = 256;

/// Drops from `findings` what another one says better: the same secret under a rule that is less sure, or seen
/// again through a decoding. The rest is in the order of the offsets. Takes time in proportion to how many there are: of findings that
/// overlap in their hundreds (a whole archive is one span), one may be told twice.
pub fn without_repeats(findings: &mut Vec<Finding>) {
    findings.sort_by_key(|finding| finding.span.start);
    let mut kept: Vec<Finding> = Vec::with_capacity(findings.len());
    let mut overlapping: Vec<Finding> = Vec::new();
    let mut end = 0;
    for finding in findings.drain(..) {
        if finding.span.start >= end {
            keep_the_better(&mut overlapping, &mut kept);
        }
        end = end.max(finding.span.end);
        overlapping.push(finding);
    }
    keep_the_better(&mut overlapping, &mut kept);
    kept.sort_by(|a, b| (a.span.start, a.span.end, &a.rule).cmp(&(b.span.start, b.span.end, &b.rule)));
    *findings = kept;
}

/// Moves to `kept` those that no other of them says better.
fn keep_the_better(overlapping: &mut Vec<Finding>, kept: &mut Vec<Finding>) {
    // The better of two that overlap: surer, then more specific (a rule by form has a prefix), then less decoded,
    // then longer.
    let rank = |finding: &Finding| {
        (
            std::cmp::Reverse(finding.confidence),
            finding.public_prefix.is_empty(),
            finding.decoded.steps().count(),
            std::cmp::Reverse(finding.span.end - finding.span.start),
            finding.span.start,
        )
    };
    overlapping.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.rule.cmp(&b.rule)));
    let before = kept.len();
    for finding in overlapping.drain(..) {
        let from = before.max(kept.len().saturating_sub(COMPARED));
        let told = kept.iter().skip(from).any(|other| {
            other.span.start < finding.span.end
                && finding.span.start < other.span.end
                // Compressed data is one span for all that is in it.
                && (other.fingerprint == finding.fingerprint || !other.decoded.has_container() || !finding.decoded.has_container())
                && (other.decoded != finding.decoded || !other.decoded.has_container() || other.span == finding.span)
                && !(other.decoded.has_container() && other.rule != finding.rule)
        });
        if !told {
            kept.push(finding);
        }
    }
}
