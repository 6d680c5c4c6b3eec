//! The name before a value, and whether it is a credential's.
//!
//! `token=…`, `"apiKey": "…"`, `X-Auth-Token: …`, `Bearer …`, `<password>…`, `\"secret\":\"…\"`, `token%3D…`: a
//! value is looked back from, over quotes and an operator, to an identifier.

/// How far it is looked back, in bytes.
pub(crate) const REACH: usize = 96;

/// Parts of names whose value opens something.
const SECRET: [&str; 19] = [
    "token",
    "secret",
    "passw",
    "passphrase",
    "pwd",
    "apikey",
    "api_key",
    "api-key",
    "access",
    "auth",
    "cred",
    "private",
    "bearer",
    "signing",
    "webhook",
    "session",
    "dsn",
    "license",
    "key",
];
/// Parts of names that have one of those and whose value opens nothing.
const HARMLESS: [&str; 58] = [
    "public",
    "pubkey",
    "csrf",
    "xsrf",
    "page",
    "next",
    "prev",
    "cursor",
    "continu",
    "sync",
    "author",
    "accessib",
    "accessor",
    "primary",
    "foreign",
    "partition",
    "sort_key",
    "sortkey",
    "cache",
    "idempot",
    "keyboard",
    "keycode",
    "keyframe",
    "keyname",
    "key_name",
    "key-name",
    "keyword",
    "keyring",
    "keypath",
    "key_id",
    "keyid",
    "key-id",
    "key_type",
    "keytype",
    "keyusage",
    "monkey",
    "turkey",
    "hockey",
    "tokenizer",
    "token_type",
    "tokentype",
    "max_tok",
    "token_count",
    "tokens",
    "count",
    "length",
    "size",
    "expir",
    "hash",
    "digest",
    "checksum",
    "fingerprint",
    "uri",
    "endpoint",
    "file",
    "path",
    "_dir",
    "version",
];

/// The identifier that names the value which begins at `at`.
pub(crate) fn before(text: &[u8], at: usize) -> Option<&[u8]> {
    let text = text.get(at.saturating_sub(REACH)..at)?;
    let mut end = skip_back(text, text.len(), |byte| b"\"'`\\ \t([{".contains(&byte));
    if let Some(scheme) = scheme(text, end) {
        return Some(scheme);
    }
    let operator = [
        &b"=>"[..],
        b":=",
        b"=",
        b":",
        b">",
        b"%3d",
        b"%3D",
        b"%3a",
        b"%3A",
    ];
    let length = operator
        .iter()
        .find(|operator| text.get(..end).is_some_and(|head| head.ends_with(operator)))?
        .len();
    end = skip_back(text, end - length, |byte| b"\"'`\\ \t)]}=?".contains(&byte));
    let start = skip_back(text, end, |byte| {
        byte.is_ascii_alphanumeric() || b"_-.".contains(&byte)
    });
    text.get(start..end).filter(|name| !name.is_empty())
}

/// `Bearer` and its like, which name the credential that follows.
fn scheme(text: &[u8], end: usize) -> Option<&[u8]> {
    let start = skip_back(text, end, |byte| byte.is_ascii_alphabetic());
    let word = text.get(start..end)?;
    let schemes = ["bearer", "basic", "token", "apikey", "bot", "negotiate"];
    schemes
        .iter()
        .any(|scheme| word.eq_ignore_ascii_case(scheme.as_bytes()))
        .then_some(word)
}

fn skip_back(text: &[u8], end: usize, is: impl Fn(u8) -> bool) -> usize {
    text.get(..end)
        .and_then(|head| head.iter().rposition(|&byte| !is(byte)))
        .map_or(0, |last| last + 1)
}

/// Whether a thing of this name opens something.
pub(crate) fn is_credential(name: &[u8]) -> bool {
    // An authorization is not an author's.
    let name = String::from_utf8_lossy(name)
        .to_ascii_lowercase()
        .replace("authori", "auth");
    let schemes = ["basic", "bot", "negotiate"];
    (SECRET.iter().any(|part| name.contains(part)) || schemes.contains(&name.as_str()))
        && !HARMLESS.iter().any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Option<&str> {
        before(text.as_bytes(), text.len()).map(|name| std::str::from_utf8(name).unwrap())
    }

    #[test]
    fn names_are_found_in_every_notation() {
        for text in [
            "token=",
            "token: ",
            "'token' => \"",
            "{\"token\":\"",
            "{\\\"token\\\": \\\"",
            "<token>",
            "token := `",
            "?a=b&token=",
            "a=1%26token%3D",
        ] {
            assert!(name(text).is_some_and(|name| name.ends_with("token")), "{text}");
        }
        assert_eq!(name("Authorization: Bearer "), Some("Bearer"));
        assert_eq!(name("see the "), None);
        assert_eq!(name(""), None);
    }

    #[test]
    fn names_of_credentials_are_told_from_names_like_them() {
        for credential in [
            "API_KEY",
            "x-auth-token",
            "dbPassword",
            "client_secret",
            "Bearer",
            "bot",
        ] {
            assert!(is_credential(credential.as_bytes()), "{credential}");
        }
        for other in [
            "primary_key",
            "csrf_token",
            "next_page_token",
            "publicKey",
            "max_tokens",
            "robot",
            "name",
            "author",
        ] {
            assert!(!is_credential(other.as_bytes()), "{other}");
        }
    }
}
