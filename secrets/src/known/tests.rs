use super::*;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use bytes::Bytes;
use proptest::prelude::*;

fn watch(values: &[&[u8]]) -> KnownValues {
    let mut builder = KnownValues::builder();
    for (index, value) in values.iter().enumerate() {
        builder
            .add(format!("v{index}"), Zeroizing::new(value.to_vec()))
            .unwrap();
    }
    builder.build()
}

/// What leaves of a stream in `chunks`, and what cut it.
fn stream<'a>(values: &KnownValues, chunks: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, Option<Hit>) {
    let mut held = values.held_stream();
    let mut left = Vec::new();
    for chunk in chunks {
        if let Err(hit) = held.push(Bytes::copy_from_slice(chunk), |piece| {
            left.extend_from_slice(&piece)
        }) {
            return (left, Some(hit));
        }
    }
    let end = held.finish(|piece| left.extend_from_slice(&piece));
    (left, end.err())
}

fn percent(value: &[u8], which: &[bool]) -> Vec<u8> {
    let mut out = Vec::new();
    for (at, &byte) in value.iter().enumerate() {
        match which.get(at % which.len()) {
            Some(true) if at % 2 == 0 => out.extend(format!("%{byte:02x}").bytes()),
            Some(true) => out.extend(format!("%{byte:02X}").bytes()),
            _ => out.push(byte),
        }
    }
    out
}

fn every_second_upper(text: &str) -> Vec<u8> {
    (0..)
        .zip(text.bytes())
        .map(|(at, b)| if at % 2 == 0 { b.to_ascii_uppercase() } else { b })
        .collect()
}

fn wrapped(text: &str, width: usize, end: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(width)
        .collect::<Vec<_>>()
        .join(end.as_bytes())
}

/// The ways of writing `value` within a longer text that `joined` is.
fn forms(value: &[u8], joined: &[u8], which: &[bool], width: usize) -> Vec<Vec<u8>> {
    let base64 = STANDARD.encode(joined);
    let escaped: String = value.iter().map(|b| format!("\\u{b:04x}")).collect();
    vec![
        value.to_vec(),
        percent(value, which),
        percent(&percent(value, which), &[true]),
        base64.clone().into_bytes(),
        URL_SAFE.encode(joined).into_bytes(),
        STANDARD_NO_PAD.encode(joined).into_bytes(),
        URL_SAFE_NO_PAD.encode(joined).into_bytes(),
        percent(base64.as_bytes(), which),
        wrapped(&base64, width, "\r\n"),
        wrapped(&base64, width, "\n"),
        wrapped(&base64, width, "\\n"),
        wrapped(&base64, width, "%0D%0A"),
        hex::encode(joined).into_bytes(),
        hex::encode_upper(joined).into_bytes(),
        every_second_upper(&hex::encode(joined)),
        wrapped(&hex::encode(joined), width, " "),
        escaped.into_bytes(),
    ]
}

/// A value as credentials are: printable, with no white space and no start of an escape.
fn credential() -> impl Strategy<Value = Vec<u8>> {
    let characters = (0x21u8..0x7f)
        .filter(|c| !b"%\\&".contains(c))
        .collect::<Vec<_>>();
    prop::collection::vec(prop::sample::select(characters), SHORTEST..40)
}

/// Text that is full of beginnings of escapes, and cannot hold a value: it has no letter or digit but two.
fn surroundings() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(b"%\\&#;=+/ \n\"{}2u".to_vec()), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_value_in_any_form_is_found_at_every_split_and_its_last_byte_stays(
        value in credential(),
        inner in (prop::collection::vec(any::<u8>(), 0..5), prop::collection::vec(any::<u8>(), 0..5)),
        outer in (surroundings(), surroundings()),
        which in prop::collection::vec(any::<bool>(), 1..9),
        width in prop::sample::select(vec![10usize, 19, 60, 76]),
    ) {
        let values = watch(&[b"another value, never there", &value]);
        let joined = [&inner.0[..], &value, &inner.1].concat();
        for form in forms(&value, &joined, &which, width) {
            // An escape that is open before the occurrence would swallow its first byte.
            let before = [&outer.0[..], b" ."].concat();
            let text = [&before, &form[..], b".", &outer.1].concat();
            let whole = values.find(&text);
            prop_assert!(whole.is_some(), "missed: {}", String::from_utf8_lossy(&text));
            let whole = whole.unwrap();
            prop_assert_eq!(&*whole.label, "v1");
            let end = usize::try_from(whole.span.end).unwrap();
            prop_assert!(whole.span.start >= before.len() as u64 && end <= before.len() + form.len());
            prop_assert!(values.find_all(&text).contains(&whole));
            prop_assert!(!values.is_plain(&text));
            for split in 0..=text.len() {
                let (left, hit) = stream(&values, [&text[..split], &text[split..]]);
                prop_assert_eq!(hit.as_ref(), Some(&whole));
                prop_assert!(text.starts_with(&left));
                // A line break after fewer than eight characters of an occurrence lets these go.
                let free = if whole.form.reading == Reading::Unwrapped { 24 } else { 0 };
                prop_assert!(left.len() as u64 <= whole.span.start + free, "split {split}: {} left", left.len());
                prop_assert!(left.len() < end);
            }
            let (left, hit) = stream(&values, text.chunks(1));
            prop_assert_eq!(hit, Some(whole));
            prop_assert!(left.len() < end);
        }
    }

    #[test]
    fn what_holds_no_value_comes_out_whole_whatever_the_chunks(
        value in credential(),
        pieces in prop::collection::vec((any::<prop::sample::Index>(), surroundings()), 0..12),
        noise in prop::collection::vec(any::<u8>(), 0..200),
        size in 1usize..40,
    ) {
        // Beginnings of the value, never all of it: its end is nowhere else.
        let value = [&value[..], b"Zq"].concat();
        let mut text = noise;
        for (cut, between) in pieces {
            let hexadecimal = hex::encode(&value);
            text.extend_from_slice(&value[..cut.index(value.len())]);
            text.extend_from_slice(&between);
            text.extend_from_slice(b"~\x07~");
            text.extend_from_slice(&hexadecimal.as_bytes()[..cut.index(value.len())]);
            text.extend_from_slice(b"~\x07~");
        }
        let values = watch(&[&value]);
        prop_assert_eq!(values.find(&text), None);
        let (left, hit) = stream(&values, text.chunks(size));
        prop_assert_eq!(hit, None);
        prop_assert_eq!(left, text);
    }

    #[test]
    fn values_of_any_bytes_are_found_raw_and_encoded(
        value in prop::collection::vec(any::<u8>(), SHORTEST..60),
        other in prop::collection::vec(any::<u8>(), SHORTEST..60),
        junk in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let values = watch(&[&value, &other]);
        for form in [value.clone(), percent(&value, &[true]), STANDARD.encode([&junk[..], &value].concat()).into_bytes()] {
            // A lone `%` of the junk before an encoded form would be read with it.
            let text = [&junk[..], b".", &form].concat();
            prop_assert!(values.find(&text).is_some());
        }
    }
}

#[test]
fn an_ordinary_event_leaves_at_once() {
    let values = watch(&[b"sk-ant-api03-abcdefghijklmnop", b"ghp_0123456789abcdefghij"]);
    let mut held = values.held_stream();
    for event in [
        "event: ping\ndata: {\"type\": \"ping\"}\n\n",
        "data: Z2hwXz\n\n",
        "data: he said \"sk-\"\n\n",
    ] {
        let mut left = 0;
        held.push(Bytes::from(event), |piece| left += piece.len())
            .unwrap();
        assert_eq!((left, held.held()), (event.len(), 0), "{event}");
    }
}

#[test]
fn only_the_live_beginning_of_a_value_is_held() {
    let values = watch(&[b"ghp_0123456789abcdefghij"]);
    let mut stream = values.stream();
    assert_eq!(stream.push(b"token: ghp_0123"), Ok(8));
    assert_eq!(stream.push(b"45!"), Ok(0));
    assert_eq!(stream.push(b"gh%70_"), Ok(6));
    assert_eq!(stream.push(b"%3"), Ok(8));
}

#[test]
fn a_stream_that_was_hit_stays_hit() {
    let values = watch(&[b"ghp_0123456789abcdefghij"]);
    let mut stream = values.stream();
    let hit = stream.push(b"x ghp_0123456789abcdefghij").unwrap_err();
    assert_eq!(hit.span, 2..26);
    assert_eq!(stream.push(b"harmless"), Err(hit.clone()));
    assert_eq!(stream.finish(), Err(hit));
}

#[test]
fn one_value_within_another_is_reported_with_it() {
    let values = watch(&[b"correct-horse-battery-staple", b"horse-battery"]);
    let hits = values.find_all(b"user:correct-horse-battery-staple correct-horse-battery-staple");
    let found: Vec<_> = hits.iter().map(|hit| (&*hit.label, hit.span.clone())).collect();
    assert_eq!(
        found,
        [("v1", 13..26), ("v0", 5..33), ("v1", 42..55), ("v0", 34..62)]
    );
}

#[test]
fn white_space_in_a_value_may_be_written_as_any_other() {
    let values = watch(&[
        b"-----BEGIN KEY-----\nabcdefgh\nijklmnop\n",
        b"purple monkey dishwasher",
    ]);
    for text in [
        "key: |\r\n  -----BEGIN KEY-----\r\n  abcdefgh\r\n  ijklmnop\r\n",
        "-----BEGIN KEY----- abcdefgh ijklmnop",
        "\"-----BEGIN KEY-----\\nabcdefgh\\nijklmnop\\n\"",
        "say purple\n    monkey\tdishwasher",
        "purplemonkeydishwasher",
    ] {
        assert_eq!(values.find_all(text.as_bytes()).len(), 1, "{text}");
    }
    assert!(values.find(b"purple dishwasher, monkey").is_none());
    // Too little would be left.
    assert!(watch(&[b"a b c d e f g h"]).find(b"abcdefgh").is_none());
}

#[test]
fn of_a_text_that_is_nothing_but_values_a_few_of_each_are_kept() {
    let values = watch(&[b"correct-horse-battery-staple", b"another-long-value"]);
    let mut text = b"correct-horse-battery-staple ".repeat(1000);
    text.extend_from_slice(b"another-long-value");
    let hits = values.find_some(&text, 3);
    let found: Vec<_> = hits.iter().map(|hit| &*hit.label).collect();
    assert_eq!(found, ["v0", "v0", "v0", "v1"]);
    assert_eq!(values.find_all(&text).len(), 1001);
}

#[test]
fn a_form_field_s_plus_stands_for_a_space() {
    let values = watch(&[b"correct horse! staple"]);
    assert!(values.find(b"p=correct+horse%21+staple&q=1").is_some());
}

#[test]
fn a_value_in_a_web_page_or_quoted_json_is_found() {
    let values = watch(&[b"a+b/c&d\"e=f+g/h"]);
    assert!(
        values
            .find(b"<td>a&#43;b/c&amp;d&quot;e=f&#x2b;g/h</td>")
            .is_some()
    );
    assert!(values.find(br#"{"x":"a\u002bb\/c\u0026d\"e=f+g\/h"}"#).is_some());
    assert!(
        values
            .find(br#"{"x":"{\"y\":\"a\\u002bb\\/c&d\\\"e=f+g/h\"}"}"#)
            .is_some()
    );
}

#[test]
fn a_hex_dump_in_pairs_is_found() {
    let values = watch(&[b"correct horse! staple"]);
    let dump: Vec<String> = b"correct horse! staple"
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    assert!(values.find(dump.join(" ").as_bytes()).is_some());
    assert!(values.find(dump.join("\r\n").to_uppercase().as_bytes()).is_some());
}

#[test]
fn a_long_value_is_found_by_its_first_bytes_and_costs_memory_in_proportion() {
    let value: Vec<u8> = (0..20_000u32)
        .map(|i| 33 + (i.wrapping_mul(i) / 7 % 90) as u8)
        .collect();
    let values = watch(&[&value]);
    let (left, hit) = stream(&values, value.chunks(100));
    assert_eq!(left, b"");
    assert_eq!(hit.unwrap().span, 0..LONGEST as u64);
}

#[test]
fn a_short_value_is_refused_and_named() {
    let refused = KnownValues::builder()
        .add("PIN", Zeroizing::new(b"12345678901".to_vec()))
        .unwrap_err();
    assert_eq!(
        refused,
        TooShort {
            label: "PIN".into(),
            length: 11
        }
    );
    assert!(refused.to_string().contains("PIN"));
}

#[test]
fn nothing_shows_a_value() {
    let mut builder = KnownValues::builder();
    builder
        .add("TOKEN", Zeroizing::new(b"ghp_0123456789abcdefghij".to_vec()))
        .unwrap();
    let mut shown = format!("{builder:?}");
    let values = builder.build();
    shown += &format!("{values:?} {:?}", values.find(b"ghp_0123456789abcdefghij"));
    assert!(shown.contains("TOKEN") && !shown.contains("ghp_"));
}

#[test]
fn no_values_find_nothing_and_hold_nothing() {
    let values = KnownValues::builder().build();
    assert!(values.is_empty());
    let (left, hit) = stream(&values, [b"anything %41 at all \\".as_slice()]);
    assert_eq!(
        (left.as_slice(), hit),
        (b"anything %41 at all \\".as_slice(), None)
    );
}

#[test]
fn ordinary_text_is_plain_without_a_second_look() {
    let values = watch(&[b"sk-live/4bF+9xQ2_tZ7", b"another value, never there"]);
    for text in [
        "",
        "/repos/acme/app?page=2",
        "application/json; charset=utf-8",
        "curl/8.5.0",
    ] {
        assert!(values.is_plain(text.as_bytes()), "{text}");
    }
    assert!(watch(&[]).is_plain(b"%%% sk-live/4bF+9xQ2_tZ7"));
}

#[test]
fn usual_forms_alone_are_what_encoders_write() {
    let value = "not-a-word-4711";
    let build = |builder: Builder| {
        let mut builder = builder;
        builder
            .add("it", Zeroizing::new(value.as_bytes().to_vec()))
            .unwrap();
        builder.build()
    };
    let (all, usual) = (
        build(Builder::default()),
        build(Builder::default().usual_forms_alone()),
    );
    let encoded = STANDARD.encode(value);
    assert!(all.find(encoded.as_bytes()).is_some() && usual.find(encoded.as_bytes()).is_some());
    let turned: String = value.chars().rev().collect();
    assert!(all.find(turned.as_bytes()).is_some() && usual.find(turned.as_bytes()).is_none());
}
