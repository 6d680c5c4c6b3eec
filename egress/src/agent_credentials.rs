//! Credentials that the agent itself sends.
//!
//! An agent with somebody else's key for an allowed host could carry data into that account, so a credential of its own
//! is refused unless the route says otherwise. A route with auth knows one value besides: the placeholder, which agent
//! programs are given where they insist on having something; it is taken out and the real credential put in.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use contract::{AgentCredentials, PLACEHOLDER_CREDENTIAL, Route};
use http::header::{AUTHORIZATION, PROXY_AUTHORIZATION};
use http::{HeaderMap, HeaderName};

/// Headers in which a credential travels whatever the host, beside the route's own.
pub const CREDENTIAL_HEADERS: [HeaderName; 4] = [
    AUTHORIZATION,
    PROXY_AUTHORIZATION,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("private-token"),
];

/// The agent sent a credential in this header, and the route does not let it through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignCredential {
    /// The header's name: one of ours, never text of the agent's choosing.
    pub header: HeaderName,
    /// The route replaces credentials: the placeholder would have been accepted.
    pub placeholder_accepted: bool,
}

/// Judges the credentials that came along and, on a route with auth, takes the placeholders out.
///
/// `own` is the header in which the route injects.
pub fn judge(
    route: &Route,
    own: Option<&HeaderName>,
    headers: &mut HeaderMap,
) -> Result<(), ForeignCredential> {
    let injects = route.auth.is_some();
    if injects || route.agent_credentials == AgentCredentials::Refuse {
        for name in CREDENTIAL_HEADERS.iter().chain(own) {
            let foreign = headers
                .get_all(name)
                .iter()
                .any(|value| !injects || !is_placeholder(value.as_bytes()));
            if foreign {
                return Err(ForeignCredential {
                    header: name.clone(),
                    placeholder_accepted: injects,
                });
            }
        }
    }
    headers.remove(PROXY_AUTHORIZATION);
    if injects {
        for name in CREDENTIAL_HEADERS.iter().chain(own) {
            headers.remove(name);
        }
    }
    Ok(())
}

/// Whether a header value is the placeholder in one of the forms that programs write: bare, `Bearer …`, `token …`, or
/// Basic with the placeholder as password (or as user without a password, as `curl -u key:` does).
pub fn is_placeholder(value: &[u8]) -> bool {
    let placeholder = PLACEHOLDER_CREDENTIAL.as_bytes();
    if value == placeholder {
        return true;
    }
    let Some(space) = value.iter().position(|byte| *byte == b' ') else {
        return false;
    };
    let (scheme, rest) = value.split_at(space);
    let rest = rest.trim_ascii_start();
    if scheme.eq_ignore_ascii_case(b"bearer") || scheme.eq_ignore_ascii_case(b"token") {
        rest == placeholder
    } else if scheme.eq_ignore_ascii_case(b"basic") {
        basic_placeholder(rest, placeholder)
    } else {
        false
    }
}

fn basic_placeholder(encoded: &[u8], placeholder: &[u8]) -> bool {
    let decoded = STANDARD
        .decode(encoded)
        .or_else(|_| STANDARD_NO_PAD.decode(encoded));
    let Ok(pair) = decoded else {
        return false;
    };
    let Some(colon) = pair.iter().position(|byte| *byte == b':') else {
        return false;
    };
    let (user, password) = pair.split_at(colon);
    let password = password.get(1..).unwrap_or_default();
    password == placeholder || (user == placeholder && password.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::RouteTable;
    use http::HeaderValue;
    use proptest::prelude::*;

    const P: &str = PLACEHOLDER_CREDENTIAL;

    fn route(fields: &str) -> Route {
        let table = format!("schema_version: 1\ngeneration: 1\nroutes:\n- {{host: a.example{fields}}}\n");
        RouteTable::parse(table.as_bytes()).unwrap().routes()[0].clone()
    }

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        map
    }

    const AUTH: &str = ", auth: {scheme: Bearer, token_ref: T, token_env: EGRESS_TOKEN_0}";

    #[test]
    fn a_credential_of_the_agents_own_is_refused_in_every_header_that_carries_one() {
        for name in [
            "Authorization",
            "Proxy-Authorization",
            "X-Api-Key",
            "Private-Token",
        ] {
            for fields in ["", AUTH] {
                let mut sent = headers(&[(name, "Bearer attackers-own")]);
                let refused = judge(&route(fields), None, &mut sent).unwrap_err();
                assert!(refused.header.as_str().eq_ignore_ascii_case(name));
            }
        }
        let own = HeaderName::from_static("x-corp-key");
        assert!(judge(&route(AUTH), Some(&own), &mut headers(&[("x-corp-key", "k")])).is_err());
    }

    #[test]
    fn a_route_that_allows_them_forwards_all_but_proxy_authorization() {
        let mut sent = headers(&[
            ("authorization", "Bearer mine"),
            ("proxy-authorization", "Basic eA=="),
        ]);
        judge(&route(", agent_credentials: allow"), None, &mut sent).unwrap();
        assert_eq!(sent.get("authorization").unwrap(), "Bearer mine");
        assert!(!sent.contains_key("proxy-authorization"));
    }

    #[test]
    fn on_a_route_with_auth_the_placeholder_is_taken_out_wherever_it_stands() {
        let own = HeaderName::from_static("x-corp-key");
        let mut sent = headers(&[
            ("authorization", &format!("Bearer {P}")),
            ("x-api-key", P),
            ("x-corp-key", P),
        ]);
        judge(&route(AUTH), Some(&own), &mut sent).unwrap();
        assert!(sent.is_empty());
    }

    #[test]
    fn one_placeholder_does_not_excuse_a_second_value() {
        let mut sent = headers(&[
            ("authorization", &format!("Bearer {P}")),
            ("authorization", "Bearer attackers-own"),
        ]);
        assert!(judge(&route(AUTH), None, &mut sent).is_err());
    }

    #[test]
    fn the_placeholder_is_no_credential_without_auth() {
        let mut sent = headers(&[("authorization", &format!("Bearer {P}"))]);
        let refused = judge(&route(""), None, &mut sent).unwrap_err();
        assert!(!refused.placeholder_accepted);
    }

    #[test]
    fn the_placeholder_is_known_in_the_forms_that_programs_write() {
        let basic = |pair: String| format!("Basic {}", STANDARD.encode(pair));
        for value in [
            P.to_owned(),
            format!("Bearer {P}"),
            format!("bearer  {P}"),
            format!("token {P}"),
            basic(format!("me:{P}")),
            basic(format!("x-access-token:{P}")),
            basic(format!("{P}:")),
            basic(format!("me:{P}")).trim_end_matches('=').to_owned(),
        ] {
            assert!(is_placeholder(value.as_bytes()), "{value}");
        }
        for value in [
            String::new(),
            format!("{P}x"),
            format!("Bearer {P}, Bearer x"),
            format!("Bearer x{P}"),
            format!("Digest {P}"),
            basic(format!("{P}:x")),
            basic(P.to_owned()),
            format!("Basic {P}"),
        ] {
            assert!(!is_placeholder(value.as_bytes()), "{value}");
        }
    }

    proptest! {
        #[test]
        fn no_value_panics(value: Vec<u8>) {
            let _ = is_placeholder(&value);
            let mut basic = b"Basic ".to_vec();
            basic.extend(&value);
            let _ = is_placeholder(&basic);
        }
    }
}
