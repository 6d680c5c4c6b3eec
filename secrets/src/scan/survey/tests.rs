use super::*;
use crate::byte_class;
use proptest::prelude::*;

/// The runs of `text` of at least `shortest`, and the one at its end.
fn runs(text: &[u8], from: usize, shortest: usize, is: impl Fn(usize) -> bool) -> Vec<Range<usize>> {
    let (mut all, mut start) = (Vec::new(), from);
    for at in from..=text.len() {
        if at == text.len() || !is(at) {
            if at - start >= shortest || at == text.len() && start < at {
                all.push(start..at);
            }
            start = at + 1;
        }
    }
    all
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        "[a-z]{1,10}".prop_map(String::into_bytes),
        "[ -]{1,3}".prop_map(String::into_bytes),
        "[0-9]{1,12}".prop_map(String::into_bytes),
        "[\"'`=+ .\\\\0a\n]{1,9}".prop_map(String::into_bytes),
        "[0-9a-fx:,. \n]{1,40}".prop_map(String::into_bytes),
        "[A-Za-z0-9+/_.-]{1,70}".prop_map(String::into_bytes),
        "([a-z]{3,8} ){1,20}".prop_map(String::into_bytes),
        "([a-z]\0){1,9}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..5),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

#[test]
fn every_byte_is_of_the_classes_that_the_detectors_know_at_every_place_of_a_block() {
    for byte in 0..=u8::MAX {
        for length in [40, BLOCK, BLOCK + 40, 3 * BLOCK] {
            for before in [0, 1, 63, 64, 65] {
                let mut text = vec![b'!'; before];
                text.extend(std::iter::repeat_n(byte, length));
                text.push(b'!');
                let mut survey = Survey::default();
                survey.look(&text, 0, 0);
                let run = [Range {
                    start: before,
                    end: before + length,
                }];
                let expected = |class| {
                    if byte_class::is(byte, class) {
                        &run[..]
                    } else {
                        &[]
                    }
                };
                let tokens = expected(byte_class::BASE64 | byte_class::BARE);
                assert_eq!(survey.tokens, tokens, "{byte} {length} {before}");
                assert_eq!(
                    survey.pairs,
                    if byte.is_ascii_hexdigit() {
                        expected(byte_class::HEX_PAIRS)
                    } else {
                        &[]
                    },
                    "{byte} {length} {before}"
                );
                let is_letter = byte.is_ascii_alphabetic();
                let words = if is_letter || length < WORDS {
                    &[]
                } else {
                    expected(byte_class::WORDS)
                };
                assert_eq!(survey.words, words, "{byte} {length} {before}");
            }
        }
    }
}

proptest! {
    #[test]
    fn every_run_is_told_from_its_start_to_its_end(text in text(), from in 0usize..100) {
        let from = from.min(text.len());
        let mut survey = Survey::default();
        survey.look(&text, from, from);
        let is = |class| { let text = &text; move |at: usize| byte_class::is(text[at], class) };
        let tokens = runs(&text, from, TOKENS, is(byte_class::BASE64 | byte_class::BARE));
        prop_assert_eq!(&survey.tokens, &tokens);
        let mut pairs = runs(&text, from, PAIRS, is(byte_class::HEX_PAIRS));
        pairs.retain(|run| run.end == text.len() || has_digits(&text[run.clone()]));
        prop_assert_eq!(&survey.pairs, &pairs);
        let numbers = runs(&text, from, NUMBERS, |at| is_of_number(&text, at));
        prop_assert_eq!(&survey.numbers, &numbers);
        let (marks, others): (Vec<usize>, Vec<usize>) = survey
            .escapes
            .iter()
            .partition(|&&at| matches!(text[at], b'"' | b'\'' | b'`' | b'='));
        let escapes: Vec<usize> = (from..text.len())
            .filter(|&at| matches!(text[at], b'%' | b'\\' | b'&' | 0xc2..=0xf4))
            .collect();
        prop_assert_eq!(&others, &escapes);
        // Between two literals that are put together there is a quotation mark, and it begins the second.
        let opening = |at: usize| {
            let before = at.checked_sub(1).filter(|&before| before >= from).map(|before| text[before]);
            let behind = text.get(at + 1).is_some_and(|byte| byte.is_ascii_alphanumeric() || b"+/-_.".contains(byte));
            b"\"'`".contains(&text[at]) && behind && before.is_none_or(|byte| b" \t\r\n+.&\\\"'".contains(&byte))
        };
        let written = |at: usize| {
            let behind = text.get(at + 1).is_some_and(|byte| byte.is_ascii_digit() || b"\r\n\\".contains(byte));
            text[at] == b'=' && behind
        };
        for at in (from..text.len()).filter(|&at| opening(at) || written(at)) {
            prop_assert!(marks.contains(&at), "{}", at);
        }
        let wide: Vec<usize> = (from..text.len())
            .filter(|&at| {
                let pairs = text.get(at..at + WIDE * 2).map(|text| text.as_chunks::<2>().0);
                pairs.is_some_and(|pairs| pairs.iter().all(|&[byte, nul]| nul == 0 && is_seen(byte)))
            })
            .collect();
        prop_assert_eq!(&survey.wide, &wide);
    }

    #[test]
    fn words_of_the_list_are_within_a_run(
        before in "[a-z ,.]{0,70}",
        words in prop::collection::vec("[a-z]{3,8}", 12..20),
        behind in "[a-z ,.]{0,70}",
    ) {
        let phrase = words.join(" ");
        let text = format!("{before}.{phrase}.{behind}");
        let start = before.len() + 1;
        let mut survey = Survey::default();
        survey.look(text.as_bytes(), 0, 0);
        let covered = survey.words.iter().any(|run| run.start <= start && start + phrase.len() <= run.end);
        prop_assert!(phrase.len() < WORDS || covered);
    }
}
