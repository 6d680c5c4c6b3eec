//! What an agent speaks after CONNECT: TLS, clear-text HTTP (which is answered with a refusal that it can
//! read), or something else (which is closed). There is no fourth way: nothing is tunnelled unread.

/// The longest method that is worth waiting for ("VERSION-CONTROL" is the longest registered one).
const LONGEST_METHOD: usize = 16;

/// The content type of a TLS handshake record (RFC 8446 §5.1), in which a ClientHello travels.
const TLS_HANDSHAKE: u8 = 0x16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detected {
    /// Not decidable yet.
    Undecided,
    /// A handshake record; whether it holds a ClientHello is for the TLS library to say.
    Tls,
    /// A request line in the clear.
    Http,
    Other,
}

/// Decides on the first bytes.
pub(crate) fn detect(bytes: &[u8]) -> Detected {
    if bytes.first() == Some(&TLS_HANDSHAKE) {
        return Detected::Tls;
    }
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' if at < LONGEST_METHOD => {}
            b'-' | b'_' | b'0'..=b'9' if at > 0 && at < LONGEST_METHOD => {}
            b' ' if at > 0 => return Detected::Http,
            _ => return Detected::Other,
        }
    }
    Detected::Undecided
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_bytes_decide() {
        for (bytes, detected) in [
            (&b""[..], Detected::Undecided),
            (b"\x16", Detected::Tls),
            (b"\x16\x03\x01", Detected::Tls),
            (b"G", Detected::Undecided),
            (b"GET", Detected::Undecided),
            (b"GET ", Detected::Http),
            (b"PRI * HTTP/2.0\r\n", Detected::Http),
            (b"VERSION-CONTROL ", Detected::Http),
            (b"SSH-2.0-OpenSSH_9.6\r\n", Detected::Other),
            (b"SSH-2", Detected::Undecided),
            (b"\x15\x03\x01", Detected::Other),
            (b"\x80\x2e\x01", Detected::Other),
            (b"\0\0\0\x08", Detected::Other),
            (b" GET /", Detected::Other),
            (b"\r\nGET /", Detected::Other),
            (b"averyveryverylongword", Detected::Other),
        ] {
            assert_eq!(detect(bytes), detected, "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    proptest! {
        #[test]
        fn a_decision_never_changes_when_more_arrives(bytes: Vec<u8>, more: Vec<u8>) {
            let first = detect(&bytes);
            let whole: Vec<u8> = bytes.iter().chain(&more).copied().collect();
            prop_assert!(first == Detected::Undecided || detect(&whole) == first);
        }

        #[test]
        fn a_decision_comes_within_a_few_bytes(bytes in prop::collection::vec(any::<u8>(), 17..40)) {
            prop_assert_ne!(detect(&bytes), Detected::Undecided);
        }
    }
}
