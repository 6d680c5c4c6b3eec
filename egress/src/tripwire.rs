//! Knows every credential that egress injects, wherever it turns up: in a request it must not leave, in a response it must
//! not come back.
//!
//! The work is done by [`secrets::known`]; here is which values are looked for. Credentials under
//! [`secrets::known::SHORTEST`] bytes are not: chance would find them. (Preflight tells the operator.)

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use contract::{AuthScheme, RouteTable};
use guard::shown::Hides;
use http::HeaderMap;
use mitm::Released;
use secrets::known::{Builder, HeldStream, KnownValues, SHORTEST};
use zeroize::Zeroizing;

use crate::credential::CredentialStore;
use crate::encoded::{Decoder, EncodedTripwire};
use crate::messages::MessageTripwire;

/// The credentials of one policy.
pub struct Tripwire {
    values: KnownValues,
    /// The same as they look in a field's name, where every letter is a small one.
    names: KnownValues,
    /// Values too short to be looked for in traffic; in a log line even chance is reason enough to leave a segment out.
    short: Vec<Zeroizing<Vec<u8>>>,
}

/// A credential is there. Says nothing more, so that nothing more can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tripped;

/// The tripwire over one body.
pub struct BodyTripwire {
    stream: HeldStream,
    values: KnownValues,
    names: KnownValues,
}

// === impl Tripwire ===

impl Tripwire {
    /// Looks for every credential that this guard was given, whether or not the table names it now, and for the
    /// password alone where the scheme is Basic.
    pub fn for_policy(table: &RouteTable, credentials: &CredentialStore) -> Self {
        let whole = credentials.values().map(|credential| credential.expose());
        let passwords = table.routes().iter().filter_map(|route| {
            let auth = route.auth.as_ref()?;
            if auth.scheme != AuthScheme::Basic {
                return None;
            }
            credentials.get(auth).ok()?.password()
        });
        Self::of(whole.chain(passwords))
    }

    /// Looks for these values.
    pub fn of<'v>(values: impl IntoIterator<Item = &'v [u8]>) -> Self {
        // With the others it would take twice the time to start.
        let [mut builder, mut names] = [(); 2].map(|()| Builder::default().usual_forms_alone());
        let mut short = Vec::new();
        for value in values.into_iter().filter(|value| !value.is_empty()) {
            let value = Zeroizing::new(value.to_vec());
            for form in in_names(&value) {
                // One that is too short for names is too short by itself, or a piece of it.
                let _ = names.add("credential", form);
            }
            if builder.add("credential", value.clone()).is_err() {
                short.push(value);
            }
        }
        Self {
            values: builder.build(),
            names: names.build(),
            short,
        }
    }

    /// Whether there is nothing to look for.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Whether a credential stands in these bytes, in any form.
    pub fn finds(&self, bytes: &[u8]) -> bool {
        bytes.len() >= SHORTEST && !self.values.is_empty() && self.values.find(bytes).is_some()
    }

    /// Whether a credential stands in the name or a value of one of these fields.
    pub fn finds_in_fields(&self, fields: &HeaderMap) -> bool {
        finds_in_fields(&self.values, &self.names, fields)
    }

    /// Whether a credential stands in one of these texts, each by itself.
    pub fn finds_in_any<'t>(&self, texts: impl IntoIterator<Item = &'t [u8]>) -> bool {
        texts.into_iter().any(|text| self.finds(text))
    }

    /// Looks at one direction of a WebSocket; none when there is nothing to look for.
    pub fn messages(&self) -> Option<MessageTripwire> {
        (!self.values.is_empty()).then(|| MessageTripwire::new(&self.values))
    }

    /// Looks at one compressed body.
    pub fn encoded(&self, decoder: Decoder) -> EncodedTripwire {
        EncodedTripwire::new(decoder, &self.values)
    }

    /// Looks at one body; none when there is nothing to look for.
    pub fn body(&self) -> Option<BodyTripwire> {
        (!self.values.is_empty()).then(|| BodyTripwire {
            stream: self.values.held_stream(),
            values: self.values.clone(),
            names: self.names.clone(),
        })
    }
}

impl Hides for Tripwire {
    /// Like [`Tripwire::finds`], and credentials of any length as they stand or percent-encoded.
    fn hides(&self, bytes: &[u8]) -> bool {
        let holds = |text: &[u8]| {
            self.short
                .iter()
                .any(|value| text.windows(value.len()).any(|window| window == value.as_slice()))
        };
        let short =
            !self.short.is_empty() && (holds(bytes) || holds(&contract::reading::percent_decode(bytes)));
        short || self.finds(bytes)
    }
}

impl fmt::Debug for Tripwire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tripwire(…)")
    }
}

// === impl BodyTripwire ===

impl BodyTripwire {
    /// The next piece: lets through what cannot be part of a credential.
    pub fn push(&mut self, data: Bytes, released: &mut Released) -> Result<(), Tripped> {
        self.stream
            .push(data, |piece| released.push(piece))
            .map_err(|_| Tripped)
    }

    /// The body is complete.
    pub fn finish(&mut self, released: &mut Released) -> Result<(), Tripped> {
        self.stream
            .finish(|piece| released.push(piece))
            .map_err(|_| Tripped)
    }

    /// Whether a credential stands in these fields, which are no part of the stream (trailers).
    pub fn finds_in_fields(&self, fields: &HeaderMap) -> bool {
        finds_in_fields(&self.values, &self.names, fields)
    }
}

fn finds_in_fields(values: &KnownValues, names: &KnownValues, fields: &HeaderMap) -> bool {
    let finds = |known: &KnownValues, bytes: &[u8]| bytes.len() >= SHORTEST && known.find(bytes).is_some();
    if values.is_empty() {
        return false;
    }
    fields.iter().any(|(name, value)| {
        let name = name.as_str().as_bytes();
        finds(values, value.as_bytes()) || finds(values, name) || finds(names, name)
    })
}

/// A value as it stands in a field's name, which HTTP writes in small letters: itself, and its base64 at each alignment without
/// the characters that it shares with its neighbours. (Hexadecimal and percent-encoding are known in any case.)
fn in_names(value: &[u8]) -> Vec<Zeroizing<Vec<u8>>> {
    let mut forms = vec![Zeroizing::new(value.to_ascii_lowercase())];
    for before in 0..3_usize {
        let mut text = Zeroizing::new(vec![0; before]);
        text.extend_from_slice(value);
        // So many characters hold bits of what comes before, and the last may hold some of what comes after.
        let first = (before * 8).div_ceil(6);
        let last = text.len() * 8 / 6;
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            let encoded = Zeroizing::new(engine.encode(&*text).to_ascii_lowercase());
            if let Some(form) = encoded.as_bytes().get(first..last) {
                forms.push(Zeroizing::new(form.to_vec()));
            }
        }
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;
    use std::sync::LazyLock;

    const VALUE: &str = "sk-live/4bF+9xQ2_tZ7";
    // Takes long to make, in a build without optimization.
    static TRIPWIRE: LazyLock<Tripwire> = LazyLock::new(|| Tripwire::of([VALUE.as_bytes()]));

    fn store(variables: &[(&str, &str)]) -> CredentialStore {
        CredentialStore::from_variables(
            variables
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into())),
        )
    }

    fn basic_table() -> RouteTable {
        RouteTable::parse(
            b"schema_version: 1
generation: 1
routes:
- {host: a.example, auth: {scheme: Basic, token_ref: T, token_env: EGRESS_TOKEN_0}}
",
        )
        .unwrap()
    }

    #[test]
    fn a_credential_is_known_in_every_form_that_the_design_names() {
        let tripwire = &*TRIPWIRE;
        let percent: String = VALUE.bytes().map(|byte| format!("%{byte:02x}")).collect();
        for text in [
            format!("x{VALUE}y"),
            percent,
            STANDARD.encode(format!("a{VALUE}b")),
            STANDARD.encode(format!("ab{VALUE}")),
            URL_SAFE_NO_PAD.encode(format!("abc{VALUE}")),
            hex::encode(VALUE),
            hex::encode_upper(VALUE),
        ] {
            assert!(tripwire.finds(text.as_bytes()), "{text}");
        }
        assert!(!tripwire.finds(&VALUE.as_bytes()[1..]));
    }

    #[test]
    fn a_credential_is_known_in_a_fields_name_though_its_letters_are_small_there() {
        let tripwire = &*TRIPWIRE;
        let fields = |name: &str| {
            let mut fields = HeaderMap::new();
            let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
            fields.insert(name, "x".parse().unwrap());
            fields
        };
        let percent: String = VALUE.bytes().map(|byte| format!("%{byte:02x}")).collect();
        for name in [
            percent,
            hex::encode_upper(VALUE),
            URL_SAFE_NO_PAD.encode(VALUE),
            URL_SAFE_NO_PAD.encode(format!("a{VALUE}b")),
            URL_SAFE_NO_PAD.encode(format!("ab{VALUE}cd")),
        ] {
            let fields = fields(&format!("x-{name}-y"));
            assert!(tripwire.finds_in_fields(&fields), "{name}");
            assert!(tripwire.body().unwrap().finds_in_fields(&fields), "{name}");
        }
        let plain = Tripwire::of([b"Live-Zk3vR8pQ2wX7tB5n".as_slice()]);
        assert!(plain.finds_in_fields(&fields("x-Live-Zk3vR8pQ2wX7tB5n")));
        assert!(!plain.finds_in_fields(&fields("x-live-zk3vr8pq2wx7tb5")));
    }

    #[test]
    fn texts_side_by_side_are_not_one_text() {
        let tripwire = &*TRIPWIRE;
        let (first, second) = VALUE.as_bytes().split_at(9);
        assert!(!tripwire.finds_in_any([first, second]));
        assert!(tripwire.finds_in_any([b"x".as_slice(), VALUE.as_bytes(), b"y"]));
        assert!(tripwire.finds_in_any([VALUE.as_bytes()]));
        assert!(!Tripwire::of([]).finds_in_any([VALUE.as_bytes()]));
    }

    #[test]
    fn of_a_basic_credential_the_password_alone_is_one_too() {
        let store = store(&[("EGRESS_TOKEN_0", "deploy:correct-horse-battery")]);
        let tripwire = Tripwire::for_policy(&basic_table(), &store);
        assert!(tripwire.finds(b"correct-horse-battery"));
        assert!(tripwire.finds(STANDARD.encode("deploy:correct-horse-battery").as_bytes()));
        assert!(!tripwire.finds(b"deploy"));
    }

    #[test]
    fn a_short_credential_is_hidden_though_not_looked_for() {
        let store = store(&[("EGRESS_TOKEN_3", "hunter2")]);
        let tripwire = Tripwire::for_policy(&RouteTable::default(), &store);
        assert!(tripwire.is_empty() && tripwire.body().is_none());
        assert!(tripwire.hides(b"/a/hunter2") && tripwire.hides(b"/a/%68unter2"));
        assert!(!tripwire.hides(b"/a/hunter3"));
    }

    #[test]
    fn nothing_prints_a_value() {
        assert!(!format!("{:?}", Tripwire::of([VALUE.as_bytes()])).contains("sk-"));
    }

    proptest! {
        #[test]
        fn no_last_byte_of_a_credential_leaves_however_the_body_is_cut(
            before in "[ -~]{0,20}",
            cuts in proptest::collection::vec(1_usize..8, 1..12),
        ) {
            let body = format!("{before}{VALUE}after");
            let tripwire = &*TRIPWIRE;
            let (mut stream, mut released, mut out) = (tripwire.body().unwrap(), Released::default(), Vec::new());
            let mut rest = Bytes::from(body);
            let mut tripped = false;
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let piece = rest.split_to((*cut).min(rest.len()));
                tripped = stream.push(piece, &mut released).is_err();
                out.extend(released.by_ref().flatten());
                if tripped {
                    break;
                }
            }
            prop_assert!(tripped);
            let sent = String::from_utf8(out).unwrap();
            prop_assert!(before.starts_with(&sent), "{} left", sent);
        }

        #[test]
        fn what_holds_no_credential_leaves_as_it_came(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let tripwire = &*TRIPWIRE;
            let (mut stream, mut released) = (tripwire.body().unwrap(), Released::default());
            for piece in body.chunks(7) {
                stream.push(Bytes::copy_from_slice(piece), &mut released).unwrap();
            }
            stream.finish(&mut released).unwrap();
            prop_assert_eq!(released.flatten().collect::<Vec<u8>>(), body);
        }
    }
}
