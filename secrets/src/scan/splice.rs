//! Texts that are put together in source code: `"ghp_" + "q7Zt…"`, `'a' . 'b'`, `"a" "b"`, `gh""p_`, lines that go on behind a
//! backslash.
//!
//! Between the end of one literal and the beginning of the next there is nothing but white space, an operator that puts texts
//! together, and the backslashes and `\n` of a text that is quoted itself. A [`Splice`] drops that, so that what is left reads as the
//! program would make it. It does not compute: what stands in variables, and lists that are joined elsewhere, stay apart.

use crate::unescape::Seen;

/// The longest way from one literal to the next: a line's end and a deep indent.
const LONGEST: usize = 64;

/// The state of one reading.
#[derive(Default)]
pub(super) struct Splice {
    /// What may be between two literals, up to where it is known.
    open: Vec<Seen>,
    /// The last byte that was handed out.
    last: u8,
}

// === impl Splice ===

impl Splice {
    pub(super) fn push(&mut self, seen: Seen, out: &mut impl FnMut(Seen)) {
        let inside = !self.open.is_empty();
        let may_begin = begins(seen.byte) && is_text(self.last);
        if !inside && !may_begin {
            self.tell(seen, out);
        } else if is_between(seen.byte, self.open.last().map(|seen| seen.byte)) && self.open.len() < LONGEST {
            self.open.push(seen);
        } else {
            self.settle(is_text(seen.byte), out);
            // What ended one literal too many may be the beginning of the next way.
            if begins(seen.byte) && is_text(self.last) {
                self.open.push(seen);
            } else {
                self.tell(seen, out);
            }
        }
    }

    pub(super) fn finish(&mut self, out: &mut impl FnMut(Seen)) {
        self.settle(false, out);
    }

    pub(super) fn open_since(&self) -> Option<u64> {
        self.open.first().map(|seen| seen.start)
    }

    fn settle(&mut self, text_follows: bool, out: &mut impl FnMut(Seen)) {
        let between: Vec<u8> = self.open.iter().map(|seen| seen.byte).collect();
        if text_follows && is_joint(&between) {
            self.open.clear();
            return;
        }
        for seen in std::mem::take(&mut self.open) {
            self.tell(seen, out);
        }
    }

    fn tell(&mut self, seen: Seen, out: &mut impl FnMut(Seen)) {
        self.last = seen.byte;
        out(seen);
    }
}

/// Where `text`, from `at` on, begins a literal that goes on with the one before: how many bytes before `at` that one ends.
pub(super) fn joint_before(text: &[u8], at: usize) -> Option<usize> {
    let head = text.get(at.saturating_sub(LONGEST)..at + 1)?;
    // From behind, as far as it may be between two texts.
    let mut length = 0;
    for (index, &byte) in head.iter().enumerate().rev() {
        let before = index.checked_sub(1).and_then(|index| head.get(index)).copied();
        if !is_between(byte, before) {
            break;
        }
        length += 1;
    }
    let between = head.get(head.len() - length..)?;
    let last = head
        .len()
        .checked_sub(length + 1)
        .and_then(|index| head.get(index))?;
    let joint = is_text(*last) && is_joint(between);
    (joint && !begins_word(text.get(at + 1..).unwrap_or_default())).then_some(length - 1)
}

/// Whether `text` begins with a word, which is no part of a token: most literals are words, and reading them again takes time.
fn begins_word(text: &[u8]) -> bool {
    let (first, rest) = text.split_first().unwrap_or((&0, &[]));
    let small = rest.iter().take_while(|byte| byte.is_ascii_lowercase()).count();
    first.is_ascii_alphabetic() && small > 0 && rest.get(small).is_some_and(|&byte| !is_text(byte))
}

/// Whether the backslash at `at` of `text` goes on with a word in the next line, and the length that says so.
pub(super) fn continued(text: &[u8], at: usize) -> Option<usize> {
    let rest = text.get(at..).unwrap_or_default();
    let before = at.checked_sub(1).and_then(|at| text.get(at)).copied();
    if !before.is_some_and(is_text) {
        return None;
    }
    let ends: [&[u8]; 4] = [b"\\\n", b"\\\r\n", b"\\\\\\n", b"\\\\\\r\\n"];
    let length = ends.into_iter().find(|end| rest.starts_with(end))?.len();
    rest.get(length)
        .copied()
        .is_some_and(is_text)
        .then_some(length + 1)
}

/// A character of a token.
#[inline]
fn is_text(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/=_-.".contains(&byte)
}

#[inline]
pub(super) fn is_quote(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'' | b'`')
}

fn begins(byte: u8) -> bool {
    is_quote(byte) || byte == b'\\'
}

/// Whether `byte` may be between two literals, behind `before`.
#[inline]
fn is_between(byte: u8, before: Option<u8>) -> bool {
    match byte {
        b'n' | b'r' | b't' => before == Some(b'\\'),
        b'"' | b'\'' | b'`' | b'\\' | b' ' | b'\t' | b'\r' | b'\n' => true,
        b'+' | b'.' | b'&' | b'|' | b'~' | b'<' | b'>' => {
            before.is_some_and(|byte| !is_text(byte) || is_operator(byte))
        }
        _ => false,
    }
}

fn is_operator(byte: u8) -> bool {
    b"+.&|~<>".contains(&byte)
}

/// Whether `between`, all of it from behind one text up to the next, is nothing to whoever runs it.
fn is_joint(between: &[u8]) -> bool {
    let quotes = between.iter().filter(|&&byte| is_quote(byte)).count();
    if quotes == 0 {
        is_continued(between)
    } else {
        // Each literal that ends is followed by one that begins, and operators are outside.
        let mut outside = false;
        let sound = between.iter().enumerate().all(|(at, &byte)| {
            let escaped = at > 0 && between.get(at - 1) == Some(&b'\\') && byte.is_ascii_alphabetic();
            if is_quote(byte) {
                outside = !outside;
                true
            } else {
                outside || byte == b'\\' || escaped
            }
        });
        let operators: Vec<u8> = between
            .iter()
            .copied()
            .filter(|&byte| is_operator(byte))
            .collect();
        let lines = between.iter().filter(|&&byte| byte == b'\n').count();
        sound && lines <= 1 && quotes % 2 == 0 && is_known(&operators, quotes / 2)
    }
}

/// Whether these are what puts texts together in some language, `most` times at most.
fn is_known(operators: &[u8], most: usize) -> bool {
    match operators {
        [] => true,
        [b'+' | b'.' | b'&' | b'~', rest @ ..] if most > 0 && rest.first() != operators.first() => {
            is_known(rest, most - 1)
        }
        [b'+', b'+', rest @ ..]
        | [b'.', b'.', rest @ ..]
        | [b'|', b'|', rest @ ..]
        | [b'<', b'>', rest @ ..]
            if most > 0 =>
        {
            is_known(rest, most - 1)
        }
        _ => false,
    }
}

/// A backslash, however often it was quoted, and a line's end in any writing.
fn is_continued(between: &[u8]) -> bool {
    let slashes = between.iter().take_while(|&&byte| byte == b'\\').count();
    let rest = between.get(slashes..).unwrap_or_default();
    match rest {
        b"\n" | b"\r\n" => slashes == 1,
        b"n" => slashes >= 3,
        b"r\\n" => slashes >= 3,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        let (mut splice, mut read) = (Splice::default(), Vec::new());
        let mut out = |seen: Seen| read.push(seen.byte);
        for (start, byte) in (0..).zip(text.bytes()) {
            let seen = Seen {
                byte,
                start,
                end: start + 1,
                literal: true,
            };
            splice.push(seen, &mut out);
        }
        splice.finish(&mut out);
        String::from_utf8(read).unwrap()
    }

    #[test]
    fn literals_that_are_put_together_are_one() {
        for between in [
            "\" + \"",
            "'+'",
            "' . '",
            "\" \"",
            "\"\n    \"",
            "'\r\n  + '",
            "\" || \"",
            "\" <> \"",
            "\" ++ \"",
            "\" & \"",
            "\" .. \"",
            "\" \\\n  \"",
            "\"\"",
            "\"'",
            "` + `",
            "\\\" + \\\"",
            "\\\" +\\n  \\\"",
            "\\n",
            "\\\\\\n",
        ] {
            let joint = between != "\\n";
            let text = format!("x = \"gh{between}p_\";");
            let expected = if joint { "x = \"ghp_\";" } else { &text };
            assert_eq!(read(&text), expected, "{between}");
        }
        assert_eq!(read("\"ghp\\\n_\""), "\"ghp_\"");
        assert_eq!(read("gh\"\"p\"\"_"), "ghp_");
    }

    #[test]
    fn what_is_not_put_together_stays() {
        for text in [
            "[\"a\", \"b\"]",
            "a(\"b\") + \"c\"",
            "'a' => 'b'",
            "\"a\" == \"b\"",
            "b'a' | b'b'",
            "x = \"a\"; y = \"b\"",
            "it's a 'word'",
            "\"a\" < \"b\"",
            "a \\ b",
            "\"a\".b(\"c\")",
        ] {
            assert_eq!(read(text), text);
        }
    }

    #[test]
    fn a_joint_is_known_at_the_first_character_behind_it() {
        let text = b"x = \"ghp_\" + \"q7\"";
        let at = text.iter().rposition(|&byte| byte == b'q').unwrap() - 1;
        assert_eq!(joint_before(text, at), Some(4));
        let text = b"x = \\\"ghp_\\\" +\\n  \\\"q7\\\"";
        let at = text.iter().rposition(|&byte| byte == b'q').unwrap() - 1;
        assert!(joint_before(text, at).is_some());
        assert_eq!(joint_before(b"(\"a\", \"b\")", 6), None);
        assert_eq!(joint_before(b"\"b\"", 0), None);
        assert_eq!(joint_before(b"\"user32.dll\" \"system\"", 13), None);
    }
}
