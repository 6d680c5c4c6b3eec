//! What a log line may show of a request's path.
//!
//! A path can carry a credential: a webhook's key, a download token, a bot's token. [`path`] replaces a segment
//! that looks like one by `‹redacted:N›`, N being its length in characters, and leaves ordinary words, numbers,
//! UUIDs and slugs readable.
//!
//! Looks like one: a segment of 32 characters or more that mostly consists of random ones. A hexadecimal segment
//! cannot be told from a token by its form, so it goes too, unless the segment before it says that it names
//! content (`/commit/<sha>`, `/blobs/sha256:<digest>`): the log rather loses a digest than keeps a token.

use crate::rarity;
use std::borrow::Cow;

/// The shortest segment that is redacted for its looks.
const SHORTEST: usize = 32;
/// The shortest piece between separators that can be called random by itself.
const PIECE: usize = 8;
/// Between words (at most 5.5) and random hexadecimal digits (from 6.4 for 32 of them).
const RANDOM_BITS: f32 = 5.9;
/// Segments after which a hexadecimal segment is the name of public content.
const CONTENT: [&str; 12] = [
    "archive",
    "blob",
    "blobs",
    "commit",
    "commits",
    "compare",
    "git",
    "manifests",
    "objects",
    "sha256",
    "tree",
    "trees",
];

/// `path` as a log may show it. Only segments are touched, never the slashes; a query is the caller's to drop.
#[must_use]
pub fn path(path: &str) -> Cow<'_, str> {
    if !judged(path).any(|(_, secret)| secret) {
        return Cow::Borrowed(path);
    }
    let shown: Vec<Cow<'_, str>> = judged(path)
        .map(|(segment, secret)| match secret {
            true => Cow::Owned(format!("‹redacted:{}›", segment.chars().count())),
            false => Cow::Borrowed(segment),
        })
        .collect();
    Cow::Owned(shown.join("/"))
}

/// The segments of `path`, each with whether it is to be hidden.
fn judged(path: &str) -> impl Iterator<Item = (&str, bool)> {
    let mut before = "";
    path.split('/').map(move |segment| {
        let names_content = CONTENT.contains(&before) && is_digest(segment);
        before = segment;
        (segment, !names_content && is_secret_like(segment))
    })
}

/// Whether a segment (or a header's value, or a host's label) looks random enough to be a credential.
#[must_use]
pub fn is_secret_like(segment: &str) -> bool {
    let text = percent_decoded(segment.as_bytes());
    if text.len() < SHORTEST || is_uuid(&text) {
        return false;
    }
    // Random base64url may have separators anywhere; words run together stay words.
    let squeezed: Vec<u8> = text
        .iter()
        .copied()
        .filter(|byte| !b"-_".contains(byte))
        .collect();
    if squeezed.iter().all(u8::is_ascii_alphanumeric) && rarity::bits_per_character(&squeezed) >= RANDOM_BITS
    {
        return true;
    }
    let random: usize = text
        .split(|byte| !byte.is_ascii_alphanumeric())
        .filter(|piece| piece.len() >= PIECE && rarity::bits_per_character(piece) >= RANDOM_BITS)
        .map(<[u8]>::len)
        .sum();
    random >= SHORTEST || random * 4 >= text.len() * 3
}

fn is_uuid(text: &[u8]) -> bool {
    let groups = text.split(|&byte| byte == b'-').map(<[u8]>::len);
    text.len() == 36
        && groups.eq([8, 4, 4, 4, 12])
        && text.iter().all(|b| *b == b'-' || b.is_ascii_hexdigit())
}

/// A git object id, a SHA-256, or such a one with its algorithm before it.
fn is_digest(segment: &str) -> bool {
    let digits = segment.strip_prefix("sha256:").unwrap_or(segment);
    matches!(digits.len(), 40 | 64) && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn percent_decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'%') {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        let pair = tail.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        match pair
            .and_then(|pair| u8::from_str_radix(pair, 16).ok())
            .filter(|_| byte == b'%')
        {
            Some(decoded) => {
                out.push(decoded);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                out.push(byte);
                rest = tail;
            }
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ordinary_paths_stay_readable() {
        for ordinary in [
            "/",
            "/repos/acme/app/pulls/1234/files",
            "/v1/objects/123e4567-e89b-12d3-a456-426614174000",
            "/blog/how-to-build-a-static-binary-with-rust-and-musl-in-2026",
            "/acme/app/commit/de9f2c7fd25e1b3afad3e85a0bd17d9b100db4b3",
            "/v2/library/debian/blobs/sha256:9f86d081884c7d659a2feaa0c55ad0159f86d081884c7d659a2feaa0c55ad015",
            "/npm/@types/eslint-plugin-react-hooks-typescript-definitions/-/x-1.2.3.tgz",
            "/crates/serde_json/1.0.149/download",
            "/com/google/guava/listenablefuture/9999.0-empty-to-avoid-conflict-with-guava",
        ] {
            assert_eq!(path(ordinary), ordinary);
        }
    }

    #[test]
    fn a_segment_that_looks_like_a_token_becomes_its_length() {
        let token = "q7Zt0KxV2mB9rLwE4nYcU6sHj3PdAf8G";
        assert_eq!(path(&format!("/hooks/T0/{token}/x")), "/hooks/T0/‹redacted:32›/x");
        assert_eq!(
            path(&format!("/bot12345678:{token}-x/send")),
            "/‹redacted:46›/send"
        );
        assert_eq!(path("/u/9f86d081884c7d659a2feaa0c55ad015"), "/u/‹redacted:32›");
        assert_eq!(
            path("/raw/de9f2c7fd25e1b3afad3e85a0bd17d9b100db4b3/f"),
            "/raw/‹redacted:40›/f"
        );
        let encoded: String = token.bytes().map(|b| format!("%{b:02X}")).collect();
        assert_eq!(path(&format!("/{encoded}")), "/‹redacted:96›");
    }

    proptest! {
        #[test]
        fn random_base64url_of_24_bytes_or_more_never_reaches_a_log(seed in any::<u64>(), length in 24usize..60) {
            use base64::Engine;
            let mut state = seed;
            let bytes: Vec<u8> = (0..length)
                .map(|_| {
                    // SplitMix64: proptest's own bytes shrink to what is not random.
                    state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                    (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb).to_be_bytes()[0]
                })
                .collect();
            let token = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(&bytes);
            let shown = path(&token);
            prop_assert!(shown.starts_with('‹'), "{}", token);
        }

        #[test]
        fn any_text_is_taken_and_slashes_stay(text in "\\PC{0,80}") {
            let shown = path(&text);
            prop_assert_eq!(shown.matches('/').count(), text.matches('/').count());
        }
    }
}
