//! Characters outside ASCII that a reader, or a service that normalises its input, takes for ASCII.
//!
//! Compatibility decomposition (NFKC's) knows the formal ones: full-width, mathematical, circled and
//! super-script letters. It does not know letters of other scripts that look the same, nor characters that are
//! not seen at all; these are listed here. Text in its own script is read as look-alikes too: nothing is
//! decided by it, a scanner only looks at it a second time.

/// Letters that look like an ASCII one, from Unicode's list of confusables (UTS #39): those that fonts in use do
/// not tell apart.
const LOOK_ALIKES: [(&str, &str); 4] = [
    ("авеѕіјкмнорстухѡһԁԛԝӏ", "abesijkmhopctyxwhdqwl"),
    ("АВЕЅІЈКМНОРСТУХԌԚԜҮ", "ABESIJKMHOPCTYXGQWY"),
    ("αγικνορτυχϲϳΑΒΕΖΗΙΚΜΝΟΡΤΥΧϹ", "ayiknoptuxcjABEZHIKMNOPTYXC"),
    ("ıȷɑɡɩʋօոսհցԍ‐‑‒–—−∕⁄", "ijagivonuhgg------//"),
];

/// The first and the last of each range of characters that are not seen: soft hyphen, combining marks, zero-width
/// characters, direction marks, invisible operators, variation selectors, byte-order mark, tags.
const UNSEEN: [(char, char); 10] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{300}', '\u{36f}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{202a}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{e0000}', '\u{e01ef}'),
];

/// The ASCII bytes that `c`, outside ASCII, is taken for, and their number (0 for a character that is not seen).
/// `None` for a character that stands for itself.
pub(crate) fn ascii(c: char) -> Option<([u8; 4], usize)> {
    if UNSEEN.iter().any(|&(first, last)| (first..=last).contains(&c)) {
        return Some(([0; 4], 0));
    }
    if let Some(byte) = look_alike(c) {
        return Some(([byte, 0, 0, 0], 1));
    }
    let (mut bytes, mut count, mut fits) = ([0; 4], 0, true);
    unicode_normalization::char::decompose_compatible(c, |part| match bytes.get_mut(count) {
        Some(slot) if part.is_ascii() => {
            *slot = u8::try_from(part).unwrap_or(0);
            count += 1;
        }
        _ => fits = false,
    });
    (fits && count > 0).then_some((bytes, count))
}

fn look_alike(c: char) -> Option<u8> {
    LOOK_ALIKES.iter().find_map(|(from, to)| {
        from.chars()
            .zip(to.bytes())
            .find_map(|(known, byte)| (known == c).then_some(byte))
    })
}

/// The UTF-8 forms of characters whose sight is reason to read a text a second time, as prefixes: whole blocks
/// for the formal ones, single characters where a block is somebody's script.
pub(crate) fn triggers() -> Vec<Vec<u8>> {
    let mut triggers: Vec<Vec<u8>> = vec![
        // Full-width forms, mathematical and enclosed letters, tags and variation selectors.
        b"\xef\xbc".to_vec(),
        b"\xef\xbd".to_vec(),
        b"\xf0\x9d".to_vec(),
        b"\xf0\x9f\x84".to_vec(),
        b"\xe2\x92".to_vec(),
        b"\xe2\x93".to_vec(),
        b"\xf3\xa0".to_vec(),
        b"\xcc".to_vec(),
        b"\xe2\x81\xa0".to_vec(),
        b"\xe2\x81\xa1".to_vec(),
        b"\xe2\x81\xa2".to_vec(),
        b"\xe2\x81\xa3".to_vec(),
        b"\xe2\x81\xa4".to_vec(),
    ];
    let letters = LOOK_ALIKES
        .iter()
        .flat_map(|(from, _)| from.chars())
        .filter(|c| c.is_alphabetic());
    let unseen = ['\u{ad}', '\u{feff}', '\u{180e}']
        .into_iter()
        .chain('\u{200b}'..='\u{200f}');
    for c in letters.chain(unseen).chain('\u{202a}'..='\u{202e}') {
        triggers.push(c.to_string().into_bytes());
    }
    triggers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_look_alike_has_its_letter() {
        for (from, to) in LOOK_ALIKES {
            assert_eq!(from.chars().count(), to.len(), "{from}");
            assert!(!from.is_ascii() && to.is_ascii());
        }
    }

    #[test]
    fn letters_of_words_in_other_scripts_that_look_like_nothing_here_stay() {
        assert_eq!(ascii('ж'), None);
        assert_eq!(ascii('字'), None);
        assert_eq!(ascii('é'), None);
        assert_eq!(ascii('Ａ'), Some(([b'A', 0, 0, 0], 1)));
        assert_eq!(ascii('ﬁ'), Some((*b"fi\0\0", 2)));
    }
}
