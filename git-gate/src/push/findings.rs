//! What is wrong with a push, as the agent, the log and the operator are told.

use contract::DenialReason;
use contract::gate::GateFingerprint;
use git2::Oid;

/// Where in a push something was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a file, first committed here.
    File {
        /// The commit.
        commit: Option<Oid>,
        /// Names joined by `/`, shown harmlessly, parts that may be secret redacted.
        path: String,
        /// From 1; none where lines mean nothing.
        line: Option<usize>,
    },
    /// In the name of a file or folder.
    Name {
        /// The commit.
        commit: Option<Oid>,
        /// Its folder.
        folder: String,
    },
    /// In the head of a commit: author, committer, other headers.
    CommitHead(Oid),
    /// In its message.
    CommitMessage(Oid, usize),
    /// In a tag object.
    Tag(Oid),
    /// In the name of a ref, or about a ref.
    Reference(String),
}

/// What becomes of a push because of one finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Weight {
    /// It is refused.
    Refuse,
    /// It is told, and goes on.
    Warn,
    /// The operator has said yes to this value.
    Allowed(String),
}

/// One thing found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// For programs.
    pub reason: DenialReason,
    /// The rule: a scanner's, or a policy's.
    pub rule: String,
    /// What it is, in a few words.
    pub what: String,
    /// Where.
    pub place: Place,
    /// What may be shown of a value.
    pub redacted: Option<String>,
    /// What the operator can allow it by.
    pub fingerprint: Option<GateFingerprint>,
    /// What becomes of the push.
    pub weight: Weight,
}

impl Finding {
    /// A refusal that is about a ref itself.
    pub fn of_ref(reason: DenialReason, rule: &str, reference: &str, what: impl Into<String>) -> Self {
        Self {
            reason,
            rule: rule.to_owned(),
            what: what.into(),
            place: Place::Reference(shown(reference)),
            redacted: None,
            fingerprint: None,
            weight: Weight::Refuse,
        }
    }
}

/// A name that the agent chose, as it may be shown: harmless to a terminal, without segments that may be secret.
pub fn shown(name: &str) -> String {
    let harmless: String = name
        .chars()
        .flat_map(|character| {
            let escaped = contract::text::is_deceptive(character);
            let plain = (!escaped).then_some(character);
            plain
                .into_iter()
                .chain(escaped.then(|| character.escape_unicode()).into_iter().flatten())
        })
        .take(400)
        .collect();
    secrets::redact::path(&harmless).into_owned()
}

/// A short id, as git shows it.
pub fn short(id: Oid) -> String {
    id.to_string().get(..10).unwrap_or_default().to_owned()
}
