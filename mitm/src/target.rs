//! The request target: `http://host/path` in the clear, `/path` in a tunnel.
//!
//! The path that a policy judges must be the path that leaves, byte for byte. `http::Uri` drops a fragment and
//! refuses a few characters without a word, so whatever would not survive it is refused here by name.

use std::borrow::Cow;

use crate::authority::Authority;
use crate::head::Leg;
use crate::refusal::Reason;

/// The longest target that `http::Uri` takes, bytes.
const MAX_TARGET: usize = u16::MAX as usize - 1;

/// Why a target is refused, and what the agent is told.
pub(crate) type TargetError = (Reason, Cow<'static, str>);

/// Checks the form that a target has on this leg, and its bytes. Which host it names is compared later.
pub(crate) fn check(target: &[u8], leg: Leg) -> Result<(), TargetError> {
    let refuse = |reason, what| Err((reason, Cow::Borrowed(what)));
    let path = match target {
        b"*" if leg == Leg::Tunnel => return Ok(()),
        [b'/', ..] if leg == Leg::Tunnel => target,
        b"*" | [b'/', ..] => {
            return refuse(
                Reason::NotAProxyRequest,
                "this is a forward proxy: send \"GET http://host/path\" or CONNECT, not a bare path",
            );
        }
        _ => match split_absolute(target)? {
            (Scheme::Https, _) if leg == Leg::Plain => {
                return refuse(
                    Reason::SchemeNotSupported,
                    "https:// through this proxy goes by CONNECT host:443, not in absolute form",
                );
            }
            (_, path) => path,
        },
    };
    match odd_bytes(path) {
        Some(what) => refuse(Reason::BadTarget, what),
        None => Ok(()),
    }
}

enum Scheme {
    Http,
    Https,
}

/// Splits `http[s]://authority/path`, checks the authority and returns the rest.
fn split_absolute(target: &[u8]) -> Result<(Scheme, &[u8]), TargetError> {
    let starts = |prefix: &[u8]| {
        target
            .split_at_checked(prefix.len())
            .filter(|(head, _)| head.eq_ignore_ascii_case(prefix))
    };
    let (scheme, rest) = if let Some((_, rest)) = starts(b"http://") {
        (Scheme::Http, rest)
    } else if let Some((_, rest)) = starts(b"https://") {
        (Scheme::Https, rest)
    } else {
        return Err((
            Reason::SchemeNotSupported,
            "the target must be http://host/path, or a path inside CONNECT".into(),
        ));
    };
    let end = rest
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?' | b'#'))
        .unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    Authority::parse(authority, 80)
        .map_err(|error| (Reason::BadAuthority, format!("target: {error}").into()))?;
    match path.first() {
        None => Ok((scheme, b"/")),
        Some(b'/') => Ok((scheme, path)),
        Some(_) => Err((
            Reason::BadTarget,
            "the path is empty: write a / after the host".into(),
        )),
    }
}

/// What is odd about path and query, if anything. What passes survives `http::Uri` byte for byte.
pub(crate) fn odd_bytes(target: &[u8]) -> Option<&'static str> {
    if target.len() > MAX_TARGET {
        return Some("the target is longer than 65534 bytes");
    }
    let mut in_query = false;
    for &byte in target {
        match byte {
            b'?' => in_query = true,
            b'#' => return Some("a fragment (#…) is never sent to a server"),
            0..=0x20 | 0x7f => return Some("the target contains a control byte or a space"),
            0x80.. => return Some("the target contains bytes beyond ASCII: percent-encode them"),
            b'<' | b'>' => return Some("the target contains < or >: percent-encode it"),
            b'`' if !in_query => return Some("the path contains `: percent-encode it"),
            b'"' if in_query => return Some("the query contains a quotation mark: percent-encode it"),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::uri::PathAndQuery;
    use proptest::prelude::*;

    #[test]
    fn a_target_has_the_form_of_its_leg() {
        use Reason as R;
        for (leg, target, outcome) in [
            (Leg::Plain, "http://a.com/x?y#", Err(R::BadTarget)),
            (Leg::Plain, "http://a.com/x?y", Ok(())),
            (Leg::Plain, "HTTP://a.com", Ok(())),
            (Leg::Plain, "http://a.com?y", Err(R::BadTarget)),
            (Leg::Plain, "http://u@a.com/", Err(R::BadAuthority)),
            (Leg::Plain, "http://a.com:0/", Err(R::BadAuthority)),
            (Leg::Plain, "http:///x", Err(R::BadAuthority)),
            (Leg::Plain, "https://a.com/", Err(R::SchemeNotSupported)),
            (Leg::Plain, "ftp://a.com/", Err(R::SchemeNotSupported)),
            (Leg::Plain, "a.com:80", Err(R::SchemeNotSupported)),
            (Leg::Plain, "/x", Err(R::NotAProxyRequest)),
            (Leg::Plain, "*", Err(R::NotAProxyRequest)),
            (Leg::Tunnel, "/x", Ok(())),
            (Leg::Tunnel, "//x/../%2e%00", Ok(())),
            (Leg::Tunnel, "*", Ok(())),
            (Leg::Tunnel, "https://a.com/x", Ok(())),
            (Leg::Tunnel, "x", Err(R::SchemeNotSupported)),
            (Leg::Tunnel, "/x#y", Err(R::BadTarget)),
            (Leg::Tunnel, "/\u{e9}", Err(R::BadTarget)),
        ] {
            let checked = check(target.as_bytes(), leg).map_err(|(reason, _)| reason);
            assert_eq!(checked, outcome, "{leg:?} {target:?}");
        }
    }

    #[test]
    fn every_byte_that_passes_as_target_survives_the_uri_type_and_every_other_is_refused() {
        for byte in 0..=255u8 {
            for target in [vec![b'/', byte, b'x'], vec![b'/', b'?', byte, b'x']] {
                let kept = PathAndQuery::from_maybe_shared(target.clone())
                    .is_ok_and(|uri| uri.as_str().as_bytes() == target);
                // Bytes beyond ASCII are the one thing that the type would keep and we do not.
                let passes = odd_bytes(&target).is_none();
                assert_eq!(passes, kept && byte.is_ascii(), "{target:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = check(&bytes, Leg::Plain);
            let _ = check(&bytes, Leg::Tunnel);
        }

        #[test]
        fn what_passes_is_forwarded_as_the_same_path(
            path in "/[ -~]{0,24}",
        ) {
            if check(path.as_bytes(), Leg::Tunnel).is_ok() {
                let uri: http::Uri = path.parse().unwrap();
                let forwarded = uri.path_and_query().unwrap().as_str();
                prop_assert_eq!(forwarded, path.as_str());
            }
        }
    }
}
