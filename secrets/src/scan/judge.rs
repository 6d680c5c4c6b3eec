//! Whether a match is a finding, and how sure.
//!
//! The form alone decides little: documentation is full of well-formed examples. A checksum that is part of the
//! format decides; else the value must not read like a mask, an example or words, and what is not quite of the
//! form must stand behind a credential's name.

use super::attempts::starts_word;
use super::likeness::{self, Likeness};
use super::text::Text;
use super::{Session, context::Compiled, name};
use crate::allow::Candidate;
use crate::byte_class;
use crate::finding::DecodePath;
use crate::rarity;
use crate::rule::{Confidence, Judge, Setting};
use crate::unescape::{Seen, Undo, Unescape};
use std::borrow::Cow;
use std::ops::Range;

/// A token of unknown form must be as unlike words as this, in bits per character ([`rarity`]).
const TOKEN_BITS: f32 = 5.8;
/// and have at least so many characters.
const TOKEN_LENGTH: usize = 16;

/// Judges a match of a rule's own pattern; whether it was told.
pub(crate) fn anchored(
    session: &mut Session<'_>,
    text: Text<'_>,
    path: DecodePath,
    (rule, keyword): (u16, u16),
    range: Range<usize>,
    loose: bool,
) -> bool {
    let Some(compiled) = session.rule(rule) else {
        return false;
    };
    let anchor = compiled
        .loose
        .as_ref()
        .filter(|_| loose)
        .unwrap_or(&compiled.strict);
    let group = anchor.group(text.bytes, range.start, range.end);
    let secret = group.map_or(range.clone(), |group| group.range());
    let value = text.slice(secret.clone());
    if is_allowed(session, compiled, text, value, &range, range.end) {
        return false;
    }
    if !is_named(compiled, text.slice(range.start..secret.start)) {
        return false;
    }
    let setting = session.setting();
    let sure = compiled.rule.confidence.of(setting);
    let confidence = match compiled.rule.judge {
        Judge::Form => form(compiled, setting, text, &range, value, loose),
        Judge::Token => token(text, &range, value).then_some(sure),
        Judge::Password => password(setting, sure, text, &range, &secret),
        Judge::Hidden => is_hidden(text, &range, value).then_some(sure),
        Judge::PrivateKey => is_private_key(value).then_some(sure),
        Judge::UrlPassword => url_password(setting, sure, value),
    };
    let Some(confidence) = confidence else {
        return false;
    };
    let span = text.offset(secret.start)..text.offset(secret.end);
    session.report((rule, keyword), confidence, span, path, value);
    true
}

/// Judges the matches of a rule from elsewhere within a stretch of lines.
pub(crate) fn around(
    session: &mut Session<'_>,
    text: Text<'_>,
    path: DecodePath,
    (rule, keyword): (u16, u16),
    range: Range<usize>,
) {
    let Some(compiled) = session.rule(rule) else {
        return;
    };
    let compile = || crate::pattern::searcher(&compiled.rule.regex).ok();
    let Some(regex) = compiled.around.get_or_init(compile) else {
        return;
    };
    let window = text.slice(range.clone());
    let mut told = Vec::new();
    for captures in regex.captures_iter(window) {
        let Some(whole) = captures.get_match() else {
            continue;
        };
        let group = match compiled.rule.secret_group {
            Some(group) => captures.get_group(group),
            None => (1..regex.captures_len()).find_map(|group| captures.get_group(group)),
        };
        let secret = group.map_or(whole.range(), |group| group.range());
        let value = window.get(secret.clone()).unwrap_or_default();
        let matched = range.start + whole.start()..range.start + whole.end();
        let dull = compiled
            .rule
            .entropy
            .is_some_and(|least| rarity::shannon(value) <= least);
        if !value.is_empty() && !dull && !is_allowed(session, compiled, text, value, &matched, range.end) {
            told.push(range.start + secret.start..range.start + secret.end);
        }
    }
    let confidence = compiled.rule.confidence.of(session.setting());
    for secret in told {
        let span = text.offset(secret.start)..text.offset(secret.end);
        session.report((rule, keyword), confidence, span, path, text.slice(secret));
    }
}

fn form(
    compiled: &Compiled,
    setting: Setting,
    text: Text<'_>,
    range: &Range<usize>,
    value: &[u8],
    loose: bool,
) -> Option<Confidence> {
    let sure = compiled.rule.confidence.of(setting);
    let glued = !starts_word(text.bytes, range.start);
    if let Some(checksum) = compiled.rule.checksum {
        if checksum.holds(value) {
            return Some(sure);
        }
        if glued || checksum.refutes() {
            return None;
        }
    }
    let prefix = compiled.rule.keywords.iter().map(String::len).filter(|&length| {
        let head = value.get(..length);
        head.is_some_and(|head| {
            compiled
                .rule
                .keywords
                .iter()
                .any(|word| head.eq_ignore_ascii_case(word.as_bytes()))
        })
    });
    let body = value.get(prefix.max().unwrap_or(0)..).unwrap_or(value);
    let dull = compiled
        .rule
        .entropy
        .is_some_and(|least| rarity::shannon(body) < least);
    let likeness = if dull { Likeness::Mask } else { likeness::of(body) };
    // Behind a vendor's name stand settings too, and these are words.
    if value.len() < range.len() && likeness::is_wordy(value) {
        return None;
    }
    if glued && (loose || likeness != Likeness::Real || likeness::is_wordy(body)) {
        return None;
    }
    if loose && !name::before(text.bytes, range.start).is_some_and(name::is_credential) {
        return None;
    }
    match (setting, likeness) {
        (_, Likeness::Mask) => (!loose).then_some(Confidence::Low),
        // What may be one is one behind a credential's name.
        (Setting::Traffic, Likeness::Real)
            if name::before(text.bytes, range.start).is_some_and(name::is_credential) =>
        {
            Some(Confidence::High)
        }
        (Setting::Traffic, _) => Some(sure),
        (Setting::Source, Likeness::Example) => (!loose).then_some(Confidence::Low),
        // Made up by somebody: the format's own check says so, or it is not quite the format.
        (Setting::Source, Likeness::Real) if loose || compiled.rule.checksum.is_some() => {
            Some(sure.min(Confidence::Medium))
        }
        (Setting::Source, Likeness::Real) => Some(sure),
    }
}

/// The identifier that the match begins in or with.
fn identifier<'a>(text: Text<'a>, range: &Range<usize>) -> &'a [u8] {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    let head = text.slice(range.start.saturating_sub(name::REACH)..range.start);
    let before = head.iter().rev().take_while(|&&byte| is_part(byte)).count();
    let found = text.slice(range.clone());
    let skipped = found.iter().take_while(|&&byte| !is_part(byte)).count();
    let behind = found
        .iter()
        .skip(skipped)
        .take_while(|&&byte| is_part(byte))
        .count();
    text.slice(range.start - before..range.start + skipped + behind)
}

fn token(text: Text<'_>, range: &Range<usize>, value: &[u8]) -> bool {
    let random = rarity::bits_per_character(value) >= TOKEN_BITS || is_hexadecimal(value);
    value.len() >= TOKEN_LENGTH
        && random
        && value.iter().any(u8::is_ascii_digit)
        && value.iter().any(u8::is_ascii_alphabetic)
        && likeness::of(value) == Likeness::Real
        && !likeness::is_name(value)
        && !is_uuid(value)
        && name::is_credential(identifier(text, range))
}

/// Whether `value` is all of a run and random, with letters of both cases and digits.
fn is_hidden(text: Text<'_>, range: &Range<usize>, value: &[u8]) -> bool {
    let goes_on = text
        .get(range.end)
        .is_some_and(|byte| byte_class::is(byte, byte_class::BASE64) || byte == b'=');
    let kinds: [fn(&u8) -> bool; 3] = [u8::is_ascii_lowercase, u8::is_ascii_uppercase, u8::is_ascii_digit];
    // Written in decimal digits alone it is a list of numbers.
    let in_letters = value.iter().any(|byte| byte & 15 > 9);
    !goes_on
        && in_letters
        && kinds.iter().all(|is| value.iter().any(is))
        && rarity::bits_per_character(value) >= TOKEN_BITS
}

fn is_hexadecimal(value: &[u8]) -> bool {
    value.len() >= 32 && value.iter().all(u8::is_ascii_hexdigit)
}

fn is_uuid(value: &[u8]) -> bool {
    value.len() == 36
        && value
            .split(|&byte| byte == b'-')
            .map(<[u8]>::len)
            .eq([8, 4, 4, 4, 12])
}

/// A password that people chose cannot be told from a word: in source it must be a quoted text of mixed
/// characters, in traffic it only must not be code or a mask.
fn password(
    setting: Setting,
    sure: Confidence,
    text: Text<'_>,
    range: &Range<usize>,
    secret: &Range<usize>,
) -> Option<Confidence> {
    // The digits of an escape are nobody's choice.
    let value = &*without_percent(text.slice(secret.clone()));
    let likeness = likeness::of(value);
    if likeness == Likeness::Mask
        || !name::is_credential(identifier(text, range))
        || is_code(value)
        || is_link(value)
        || is_listed(text.slice(range.start..secret.start), value)
        || is_option(text.slice(range.start..secret.start))
        || is_name_again(identifier(text, range), value)
    {
        return None;
    }
    let kinds: [fn(&u8) -> bool; 4] = [
        u8::is_ascii_lowercase,
        u8::is_ascii_uppercase,
        u8::is_ascii_digit,
        u8::is_ascii_punctuation,
    ];
    let mixed = kinds.iter().filter(|is| value.iter().any(is)).count();
    let quoted = secret
        .start
        .checked_sub(1)
        .and_then(|at| text.get(at))
        .is_some_and(|byte| b"\"'`".contains(&byte));
    match setting {
        // Letters of one case with a hyphen are an example's password as often as somebody's.
        Setting::Traffic if mixed >= 3 || value.iter().any(u8::is_ascii_digit) => {
            (mixed >= 2).then_some(sure)
        }
        Setting::Traffic => (mixed >= 2).then_some(sure.min(Confidence::Medium)),
        Setting::Source => (quoted && mixed >= 3 && likeness == Likeness::Real).then_some(sure),
    }
}

/// Percent-encoding undone, where there is some.
fn without_percent(value: &[u8]) -> Cow<'_, [u8]> {
    if !value.contains(&b'%') {
        return Cow::Borrowed(value);
    }
    let mut unescape = Unescape::new(Undo::Percent);
    let mut plain = Vec::with_capacity(value.len());
    for (&byte, start) in value.iter().zip(0..) {
        let seen = Seen {
            byte,
            start,
            end: start + 1,
            literal: true,
        };
        unescape.push(seen, |seen| plain.push(seen.byte));
    }
    unescape.finish(|seen| plain.push(seen.byte));
    Cow::Owned(plain)
}

/// Whether what stands between a name and a text is a comma alone, and the text may be a name: then it is the next of a list, as
/// of parameters, and not the first one's value.
fn is_listed(before: &[u8], value: &[u8]) -> bool {
    before.trim_ascii_end().ends_with(b",")
        && value
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

/// Whether between a name and a value a command's next option stands: the value is that one's.
fn is_option(between: &[u8]) -> bool {
    between
        .windows(3)
        .any(|here| matches!(here, [b' ', b'-', last] if last.is_ascii_alphabetic() || *last == b'-'))
}

/// Whether a value is its own name in other letters, as in tables of names.
fn is_name_again(name: &[u8], value: &[u8]) -> bool {
    let plain = |text: &[u8]| {
        let kept = text.iter().filter(|byte| byte.is_ascii_alphanumeric());
        kept.map(u8::to_ascii_lowercase).collect::<Vec<u8>>()
    };
    let value = plain(value);
    !value.is_empty() && plain(name).ends_with(&value)
}

/// Whether a text is the address of a page. One that carries a password is another rule's, and one with a token in it does
/// not read like words.
fn is_link(value: &[u8]) -> bool {
    value.windows(3).any(|here| here == b"://") && likeness::is_wordy(value)
}

/// Whether a text is an expression rather than a value.
fn is_code(value: &[u8]) -> bool {
    let has = |parts: &[&[u8]]| {
        parts
            .iter()
            .any(|part| value.windows(part.len()).any(|here| here == *part))
    };
    let identifier = value
        .iter()
        .all(|byte| byte.is_ascii_alphanumeric() || b"_.".contains(byte))
        && likeness::is_wordy(value);
    has(&[b"(", b"[", b"{", b"::", b"->", b"=>", b"..", b"%s", b"%v", b"$"])
        || identifier
        || value.starts_with(b"/")
}

fn is_named(compiled: &Compiled, before: &[u8]) -> bool {
    let before = before.to_ascii_lowercase();
    let names = &compiled.rule.named;
    names.is_empty()
        || names
            .iter()
            .any(|name| before.windows(name.len()).any(|part| part == name.as_bytes()))
}

/// Whether there are enough characters of a key behind the head: base64 that does not read like words. Line
/// breaks, quotes and escapes between them are a matter of where the key is kept.
fn is_private_key(found: &[u8]) -> bool {
    /// The shortest key, of curve 25519, has 64.
    const SHORTEST: usize = 40;
    let text = String::from_utf8_lossy(found);
    let Some((_, body)) = text
        .split_once("KEY")
        .and_then(|(_, tail)| tail.split_once("-----"))
    else {
        return false;
    };
    let body = body.split("-----").next().unwrap_or("");
    let body = body
        .replace("\\r", "\n")
        .replace("\\n", "\n")
        .replace("\\t", "\n");
    let is_key =
        |piece: &&str| piece.len() >= 16 && rarity::bits_per_character(piece.as_bytes()) >= TOKEN_BITS;
    let pieces = body.split(|c: char| !c.is_ascii_alphanumeric() && !"+/=".contains(c));
    pieces.filter(is_key).map(str::len).sum::<usize>() >= SHORTEST
}

fn url_password(setting: Setting, sure: Confidence, value: &[u8]) -> Option<Confidence> {
    let common: [&[u8]; 9] = [
        b"pass",
        b"password",
        b"pwd",
        b"user",
        b"secret",
        b"postgres",
        b"guest",
        b"root",
        b"admin",
    ];
    match (setting, likeness::of(value)) {
        (_, Likeness::Mask) => None,
        _ if is_code(value) && !value.iter().all(u8::is_ascii_alphabetic) => None,
        _ if common.contains(&value) => None,
        // As of any password: letters of one case that read like words are an example's as often as somebody's.
        (Setting::Traffic, Likeness::Example)
            if value.iter().all(u8::is_ascii_lowercase) && likeness::is_wordy(value) =>
        {
            Some(sure.min(Confidence::Medium))
        }
        (Setting::Traffic, _) => Some(sure),
        (Setting::Source, Likeness::Real) => Some(sure),
        (Setting::Source, _) => Some(Confidence::Low),
    }
}

/// `seen` is how far a line may reach: what is behind a match may not have arrived yet.
fn is_allowed(
    session: &Session<'_>,
    compiled: &Compiled,
    text: Text<'_>,
    value: &[u8],
    range: &Range<usize>,
    seen: usize,
) -> bool {
    let lists = || compiled.rule.allowed.iter().chain(&session.engine.allowed);
    if lists().next().is_none() {
        return false;
    }
    let from = range.start.saturating_sub(256);
    let start = text
        .slice(from..range.start)
        .iter()
        .rposition(|&byte| byte == b'\n')
        .map_or(from, |at| from + at + 1);
    let behind = text.slice(range.end..seen);
    let end = range.end
        + behind
            .iter()
            .position(|&byte| byte == b'\n')
            .unwrap_or(behind.len());
    let candidate = Candidate {
        rule: &compiled.rule.id,
        secret: value,
        whole: text.slice(range.clone()),
        line: text.slice(start..end),
        path: session.manner.path.as_deref(),
    };
    lists().any(|list| list.allows(candidate))
}
