//! Looking for secrets in one object at a time, and remembering what was found in which.
//!
//! Nothing in the repository configures the scan: no file, no comment, no attribute. The operator's yes is applied to what was
//! found, not to what is looked for, so what is remembered stays true whatever is allowed.
//!
//! Besides what the rules know, the very values of the agent's own secrets are looked for ([`crate::environment`]).

mod zlib;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use crate::environment::{self, AgentSecrets};
use contract::gate::{FingerprintKey, GateFingerprint};
use git2::Oid;
use parking_lot::Mutex;
use secrets::{Confidence, Options, RuleSet, Scanner, Setting};

/// How many objects are remembered; about 100 bytes each.
const REMEMBERED: usize = 64 * 1024;

/// So many places of one value in one object are told: its next one says nothing new, and each costs a look at all before it.
const ALIKE: usize = 4;

/// Of what kind a text is: the same bytes may mean different things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PathClass {
    /// A file.
    File,
    /// `.gitmodules`, whose URLs are looked at besides.
    Modules,
    /// A commit, tag, file name or ref name.
    Text,
}

/// One secret in one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// The scanner's rule.
    pub rule: Arc<str>,
    /// What it finds.
    pub what: String,
    /// Whether it is sure enough to refuse.
    pub sure: bool,
    /// Byte offset in the object.
    pub offset: usize,
    /// Line in the object, from 1.
    pub line: usize,
    /// What may be shown.
    pub redacted: String,
    /// What it can be allowed by.
    pub fingerprint: Option<GateFingerprint>,
}

/// What is inside could not be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what is packed in it would take more work to unpack than is allowed")]
pub struct TooMuch;

type Remembered = HashMap<(Oid, PathClass), Arc<[Hit]>>;

/// Scans, and remembers. The rules are those that were built in: one process never changes them, so they are not part of what
/// is remembered.
pub struct Scans {
    scanner: Scanner,
    agent: AgentSecrets,
    seen: Mutex<Remembered>,
}

// === impl Scans ===

impl Scans {
    /// With the built-in rules, and the values that the agent has.
    pub fn new(agent: AgentSecrets) -> std::io::Result<Self> {
        let mut rules = RuleSet::built_in().map_err(std::io::Error::other)?;
        rules.extend(agent.rules.clone()).map_err(std::io::Error::other)?;
        Ok(Self {
            agent,
            scanner: Scanner::new(rules).map_err(std::io::Error::other)?,
            seen: Mutex::new(HashMap::new()),
        })
    }

    /// What an object was found to hold, if it was looked at before.
    pub fn remembered(&self, id: Oid, class: PathClass) -> Option<Arc<[Hit]>> {
        self.seen.lock().get(&(id, class)).cloned()
    }

    /// Scans an object.
    pub fn object(
        &self,
        id: Oid,
        class: PathClass,
        raw: &[u8],
        key: &FingerprintKey,
    ) -> Result<Arc<[Hit]>, TooMuch> {
        if let Some(known) = self.remembered(id, class) {
            return Ok(known);
        }
        let hits: Arc<[Hit]> = self.text(class, raw, key)?.into();
        let mut seen = self.seen.lock();
        if seen.len() >= REMEMBERED {
            seen.clear();
        }
        seen.insert((id, class), Arc::clone(&hits));
        Ok(hits)
    }

    /// Scans a text that is no object.
    pub fn text(&self, class: PathClass, raw: &[u8], key: &FingerprintKey) -> Result<Vec<Hit>, TooMuch> {
        let mut options = Options::new(Setting::Source);
        options.fingerprint_key = Some(Arc::from(key.as_bytes().as_slice()));
        let findings = self.scanner.scan(raw, &options).map_err(|_| TooMuch)?;
        let mut hits = self.values(raw, key);
        let values = hits.len();
        let mut lines = Lines::of(raw);
        for finding in &findings {
            if finding.confidence < Confidence::Medium {
                continue;
            }
            let hit = self.hit(finding, &mut lines, key);
            let told = |known: &Hit| {
                known.rule == hit.rule && known.line == hit.line && known.fingerprint == hit.fingerprint
            };
            if !hits.iter().take(values).any(told) {
                hits.push(hit);
            }
        }
        for finding in zlib::findings(&self.scanner, raw, &options)? {
            if finding.confidence >= Confidence::Medium {
                let hit = self.hit(&finding, &mut Lines::of(b""), key);
                let what = format!("{}, in zlib", hit.what);
                hits.push(Hit {
                    what,
                    offset: 0,
                    ..hit
                });
            }
        }
        if class == PathClass::Modules {
            hits.extend(credentials_in_modules(raw, key, &hits));
        }
        Ok(hits)
    }

    /// Where values of the agent's own stand, in any encoding; of each the first few.
    pub fn values(&self, raw: &[u8], key: &FingerprintKey) -> Vec<Hit> {
        self.found(raw, key, |_| true)
    }

    /// Values of the agent's own that begin in a folder's name and end in the last one.
    pub fn across_names(&self, path: &[u8], key: &FingerprintKey) -> Vec<Hit> {
        let Some(folder) = path.iter().rposition(|byte| *byte == b'/') else {
            return Vec::new();
        };
        let folder = u64::try_from(folder).unwrap_or(u64::MAX);
        self.found(path, key, |span| span.start < folder && folder < span.end)
    }

    /// A name that the agent chose, as it may be shown and logged: never with a value of the agent's own in it.
    pub fn shown(&self, name: &[u8]) -> String {
        self.agent.shown(name)
    }

    fn hit(&self, finding: &secrets::Finding, lines: &mut Lines<'_>, key: &FingerprintKey) -> Hit {
        let how = if finding.decoded.is_plain() {
            String::new()
        } else {
            format!(", in {}", finding.decoded)
        };
        let offset = usize::try_from(finding.span.start).unwrap_or(usize::MAX);
        let own = self.agent.value_of_rule(&finding.rule);
        let rule = match own {
            Some(_) => environment::RULE.into(),
            None => Arc::clone(&finding.rule),
        };
        // Of a long value the rule sees the beginning: it is allowed by the whole, as in any other form.
        let print = match own {
            Some(value) => secrets::Fingerprint::of(key.as_bytes(), value),
            None => finding.fingerprint,
        };
        Hit {
            rule,
            what: format!("{}{how}", finding.description),
            sure: finding.confidence == Confidence::High,
            offset,
            line: lines.at(offset),
            redacted: finding.redacted(),
            fingerprint: print.map(|print| GateFingerprint::of_digest(&print.0)),
        }
    }

    fn found(&self, raw: &[u8], key: &FingerprintKey, wanted: impl Fn(&Range<u64>) -> bool) -> Vec<Hit> {
        if self.agent.values.is_empty() || self.agent.values.is_plain(raw) {
            return Vec::new();
        }
        let found = self.agent.values.find_some(raw, ALIKE);
        found
            .iter()
            .filter(|found| wanted(&found.span))
            .map(|found| {
                let offset = usize::try_from(found.span.start).unwrap_or(usize::MAX);
                let before = raw.get(..offset).unwrap_or(raw);
                let value = self.agent.value(&found.label).unwrap_or_default();
                Hit {
                    rule: environment::RULE.into(),
                    what: format!("a value of the agent's own environment ({})", found.form),
                    sure: true,
                    offset,
                    line: before.iter().filter(|byte| **byte == b'\n').count() + 1,
                    redacted: format!("‹redacted:{}›", value.len()),
                    fingerprint: secrets::Fingerprint::of(key.as_bytes(), value)
                        .map(|print| GateFingerprint::of_digest(&print.0)),
                }
            })
            .collect()
    }
}

/// Counts lines along offsets that grow: a file can have a finding in every line.
struct Lines<'a> {
    raw: &'a [u8],
    offset: usize,
    line: usize,
}

impl<'a> Lines<'a> {
    fn of(raw: &'a [u8]) -> Self {
        Self {
            raw,
            offset: 0,
            line: 1,
        }
    }

    /// The line at `offset`, from 1.
    fn at(&mut self, offset: usize) -> usize {
        let offset = offset.min(self.raw.len());
        if offset < self.offset {
            (self.offset, self.line) = (0, 1);
        }
        let between = self.raw.get(self.offset..offset).unwrap_or_default();
        self.line += between.iter().filter(|byte| **byte == b'\n').count();
        self.offset = offset;
        self.line
    }
}

/// `url = https://user:password@host/…`: whatever the password looks like, a clone would send it.
fn credentials_in_modules(raw: &[u8], key: &FingerprintKey, known: &[Hit]) -> Vec<Hit> {
    let mut hits = Vec::new();
    let mut offset = 0;
    for (number, line) in raw.split(|byte| *byte == b'\n').enumerate() {
        let text = String::from_utf8_lossy(line);
        let password = text
            .split_once("://")
            .and_then(|(_, rest)| rest.split(['/', '?', '#']).next()?.rsplit_once('@'))
            .map(|(userinfo, _)| {
                userinfo
                    .split_once(':')
                    .map_or(userinfo, |(_, password)| password)
            })
            // `git@` names an account that everybody has.
            .filter(|password| !password.is_empty() && *password != "git");
        let Some(password) = password else {
            offset += line.len() + 1;
            continue;
        };
        let fingerprint = secrets::Fingerprint::of(key.as_bytes(), password.as_bytes())
            .map(|print| GateFingerprint::of_digest(&print.0));
        // Only the very same value is told already; another one on this line says nothing of it.
        let told = |hit: &Hit| hit.sure && hit.line == number + 1 && hit.fingerprint == fingerprint;
        if fingerprint.is_none() || !known.iter().any(told) {
            hits.push(Hit {
                rule: "submodule-url-credentials".into(),
                what: "a submodule's URL with a user name or password".to_owned(),
                sure: true,
                offset,
                line: number + 1,
                redacted: format!("‹redacted:{}›", password.chars().count()),
                fingerprint,
            });
        }
        offset += line.len() + 1;
    }
    hits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modules(url: &str) -> usize {
        let key = FingerprintKey::new([1; 32]);
        let raw = format!("[submodule \"a\"]\n\tpath = a\n\turl = {url}\n");
        credentials_in_modules(raw.as_bytes(), &key, &[]).len()
    }

    #[test]
    fn a_value_that_the_agent_has_is_found_in_any_form() {
        use base64::Engine as _;
        use std::io::Write as _;
        let value = "correct horse battery";
        let agent = AgentSecrets::read([("BOTTLE_ENV_SECRET_0".into(), value.into())]).unwrap();
        let scans = Scans::new(agent).unwrap();
        let key = FingerprintKey::new([1; 32]);
        let base64 = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        let hex: String = value.bytes().map(|byte| format!("{byte:02X}")).collect();
        let utf16: Vec<u8> = format!("say {value}\n")
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(format!("say: {value}\n").as_bytes()).unwrap();
        for text in [
            format!("let x = \"{value}\";\n").into_bytes(),
            base64(&format!("a:{value}")).into_bytes(),
            base64(&base64(&format!("user:{value} and more"))).into_bytes(),
            hex.into_bytes(),
            b"correct%20horse%20battery".to_vec(),
            b"correct\\u0020horse battery".to_vec(),
            utf16,
            gzip.finish().unwrap(),
        ] {
            let hits = scans.text(PathClass::File, &text, &key).unwrap();
            let found: Vec<_> = hits
                .iter()
                .filter(|hit| &*hit.rule == environment::RULE)
                .collect();
            assert_eq!(found.len(), 1, "{:?}: {hits:?}", String::from_utf8_lossy(&text));
            assert!(found[0].sure && !found[0].what.contains("horse"), "{found:?}");
        }
        let other = scans
            .text(PathClass::File, b"another horse battery\n", &key)
            .unwrap();
        assert_eq!(other, []);
    }

    #[test]
    fn lines_are_counted_from_wherever_one_was_asked_for_last() {
        let mut lines = Lines::of(b"a\nb\n\nc");
        assert_eq!([0, 2, 5, 2, 99].map(|offset| lines.at(offset)), [1, 2, 4, 2, 4]);
    }

    #[test]
    fn a_file_of_nothing_but_findings_is_looked_at_in_time() {
        let scans = Scans::new(AgentSecrets::read([]).unwrap()).unwrap();
        let lines: String = (0..60_000)
            .map(|number| format!("password = \"hT7{number:08}kQz9LmW2\"\n"))
            .collect();
        let hits = scans
            .text(PathClass::File, lines.as_bytes(), &FingerprintKey::new([1; 32]))
            .unwrap();
        assert!(hits.len() > 50_000);
        assert!(hits.iter().is_sorted_by_key(|hit| hit.line) && hits.last().unwrap().line == 60_000);
    }

    #[test]
    fn a_value_that_is_allowed_hides_no_other_one_on_its_line() {
        let long = "a long value, and no other; ".repeat(9);
        let agent = [
            ("BOTTLE_ENV_SECRET_0".into(), "correct horse battery".into()),
            ("BOTTLE_ENV_SECRET_1".into(), long.clone().into()),
        ];
        let scans = Scans::new(AgentSecrets::read(agent).unwrap()).unwrap();
        let key = FingerprintKey::new([1; 32]);
        let prints = |text: &[u8]| {
            let hits = scans.text(PathClass::File, text, &key).unwrap();
            hits.into_iter()
                .map(|hit| hit.fingerprint.unwrap())
                .collect::<std::collections::HashSet<_>>()
        };
        let packed = |text: &str| {
            use std::io::Write as _;
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            gzip.write_all(text.as_bytes()).unwrap();
            gzip.finish().unwrap()
        };
        let text = [b"correct horse battery ".to_vec(), packed(&long)].concat();
        assert_eq!(prints(&text).len(), 2);
        assert_eq!(prints(long.as_bytes()), prints(&packed(&long)));
    }

    #[test]
    fn what_is_in_a_loose_object_of_git_is_found() {
        use std::io::Write as _;
        let value = "correct horse battery";
        let agent = AgentSecrets::read([("BOTTLE_ENV_SECRET_0".into(), value.into())]).unwrap();
        let scans = Scans::new(agent).unwrap();
        let key = FingerprintKey::new([1; 32]);
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        zlib.write_all(format!("blob 30\0{} {value} battery horse\n", "battery horse ".repeat(9)).as_bytes())
            .unwrap();
        let hits = scans
            .text(PathClass::File, &zlib.finish().unwrap(), &key)
            .unwrap();
        assert_eq!(hits.len(), 1);
        assert!(hits[0].sure && hits[0].what.ends_with("in zlib"), "{hits:?}");
        let text = scans.text(PathClass::File, b"x^2 + y^2 = z^2\n", &key).unwrap();
        assert_eq!(text, []);
    }

    #[test]
    fn another_hit_on_the_line_does_not_hide_a_submodule_s_password() {
        let key = FingerprintKey::new([1; 32]);
        let raw = b"url = https://me:hunter@h.example/x.git?other";
        let mut hit = credentials_in_modules(raw, &key, &[]).remove(0);
        assert!(credentials_in_modules(raw, &key, std::slice::from_ref(&hit)).is_empty());
        hit.fingerprint = Some("fp-0123456789abcdef01234567".parse().unwrap());
        assert_eq!(credentials_in_modules(raw, &key, &[hit]).len(), 1);
    }

    #[test]
    fn a_password_in_a_submodule_s_url_is_found_whatever_it_looks_like() {
        assert_eq!(modules("https://me:hunter@h.example/x.git"), 1);
        assert_eq!(modules("https://tokenonly@h.example/x.git"), 1);
        assert_eq!(modules("https://h.example/a@b.git"), 0);
        assert_eq!(modules("ssh://git@h.example/x.git"), 0);
        assert_eq!(modules("../x.git"), 0);
    }
}
