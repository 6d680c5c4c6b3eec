//! What a hook asks and what the gate answers: JSON, one value per line. Any number of [`Answer::Say`], then one other.

use git2::Oid;
use serde::{Deserialize, Serialize};

/// Which hook asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// May this come in?
    PreReceive,
    /// Send it on.
    ProcReceive,
}

/// One ref to be moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Update {
    /// Where the client believes it to be; 40 hex digits, all zero when it is new.
    pub old: String,
    /// Where it should go; all zero to delete it.
    pub new: String,
    /// Its full name.
    pub reference: String,
}

/// A hook's question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The push, as the gate named it to git.
    pub session: String,
    /// Which hook.
    pub kind: Kind,
    /// Where the new objects are.
    pub quarantine: Option<String>,
    /// All refs or none.
    pub atomic: bool,
    /// The refs.
    pub updates: Vec<Update>,
}

/// What became of one ref.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefResult {
    /// Its full name.
    pub reference: String,
    /// Why not; `None` when the upstream took it.
    pub refused: Option<String>,
}

/// One line of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "answer", deny_unknown_fields)]
pub enum Answer {
    /// Text for the client.
    Say {
        /// Whole lines.
        text: String,
    },
    /// To `pre-receive`.
    Verdict {
        /// Whether it may come in.
        accept: bool,
    },
    /// To `proc-receive`.
    Results {
        /// Of each ref.
        results: Vec<RefResult>,
    },
}

impl Update {
    /// `old SP new SP ref`; none if it is anything else or not UTF-8.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let line = std::str::from_utf8(line).ok()?;
        let mut words = line.split(' ');
        let (old, new, reference) = (words.next()?, words.next()?, words.next()?);
        if words.next().is_some() || reference.is_empty() {
            return None;
        }
        let update = Self {
            old: old.to_owned(),
            new: new.to_owned(),
            reference: reference.to_owned(),
        };
        update.ids().map(|_| update)
    }

    /// Both ids, `None` for the zero id each; `None` altogether if they are none.
    pub fn ids(&self) -> Option<(Option<Oid>, Option<Oid>)> {
        let one = |text: &str| {
            let id = (text.len() == 40).then(|| Oid::from_str(text).ok()).flatten()?;
            Some((!id.is_zero()).then_some(id))
        };
        Some((one(&self.old)?, one(&self.new)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_update_is_two_ids_and_a_ref() {
        let (zero, one) = ("0".repeat(40), "1".repeat(40));
        let update = Update::parse(format!("{zero} {one} refs/heads/main").as_bytes()).unwrap();
        let (old, new) = update.ids().unwrap();
        assert!(old.is_none() && new.unwrap().to_string() == one);
        for bad in [
            String::new(),
            format!("{zero} {one}"),
            format!("{zero} {one} "),
            format!("{zero} {one} a b"),
            format!("{zero} 11 refs/heads/a"),
            format!("{zero} {} refs/heads/a", "g".repeat(40)),
        ] {
            assert!(Update::parse(bad.as_bytes()).is_none(), "{bad}");
        }
        assert!(Update::parse(b"\xff \xff \xff").is_none());
    }

    proptest! {
        #[test]
        fn no_line_panics(line in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = Update::parse(&line);
        }
    }
}
