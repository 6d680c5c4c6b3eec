//! The one error of the program. Its *kind* chooses the exit code; hints say what to run next.
//!
//! A message says what happened and where. It is a single sentence without a trailing full stop and never holds the
//! value of a secret. Text that an agent, a manifest or a peer wrote goes through [`contract::text::harmless`] before
//! it gets in here.

use std::fmt;

/// What went wrong, as far as a script that runs `bottle` wants to tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The command could not do its work.
    Failed,
    /// The command line or a manifest is wrong.
    Usage,
    /// The operator rejected it.
    Rejected,
    /// Nobody has decided yet, or nobody did in time.
    Pending,
    /// Decided, but not in force.
    NotApplied,
    /// The machine lacks something: no engine, no compose, no terminal, no disk space.
    Environment,
}

impl Kind {
    /// The program's exit code, as README lists it.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Rejected => 3,
            Self::Pending => 4,
            Self::NotApplied => 5,
            Self::Environment => 6,
        }
    }
}

/// A failure on its way to the operator.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    messages: Vec<String>,
    hints: Vec<String>,
    cause: Option<anyhow::Error>,
}

/// What everything in this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of this kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            messages: vec![message.into()],
            hints: Vec::new(),
            cause: None,
        }
    }

    /// Several findings of one kind, told one per line: every error of a manifest, not just its first.
    pub fn several(kind: Kind, messages: Vec<String>) -> Self {
        Self {
            kind,
            messages,
            hints: Vec::new(),
            cause: None,
        }
    }

    /// Several failures of one command, each hint once.
    pub fn all(failures: &[Self]) -> Self {
        let mut all = Self::several(Kind::Failed, failures.iter().map(Self::to_string).collect());
        for hint in failures.iter().flat_map(Self::hints) {
            if !all.hints.contains(hint) {
                all.hints.push(hint.clone());
            }
        }
        all
    }

    /// Exit code 1.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Kind::Failed, message)
    }

    /// Exit code 2.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// Exit code 3.
    pub fn rejected(message: impl Into<String>) -> Self {
        Self::new(Kind::Rejected, message)
    }

    /// Exit code 4.
    pub fn pending(message: impl Into<String>) -> Self {
        Self::new(Kind::Pending, message)
    }

    /// Exit code 5.
    pub fn not_applied(message: impl Into<String>) -> Self {
        Self::new(Kind::NotApplied, message)
    }

    /// Exit code 6.
    pub fn environment(message: impl Into<String>) -> Self {
        Self::new(Kind::Environment, message)
    }

    /// Adds what to do next, such as ``run `bottle list` ``.
    #[must_use]
    pub fn hinted(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds what lies below, told as `cause: …`.
    #[must_use]
    pub fn because(mut self, cause: impl Into<anyhow::Error>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// What chose the exit code.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The findings, at least one.
    pub fn messages(&self) -> &[String] {
        &self.messages
    }

    /// What to do next, in the order in which it was added.
    pub fn hints(&self) -> &[String] {
        &self.hints
    }

    /// The causes from near to far, each once.
    pub fn causes(&self) -> Vec<String> {
        let mut causes: Vec<String> = Vec::new();
        for cause in self.cause.iter().flat_map(|cause| cause.chain()) {
            let text = cause.to_string();
            // Some errors repeat their source in their own message.
            if !causes.iter().any(|known| known.contains(&text)) {
                causes.push(text);
            }
        }
        causes
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.messages.join("\n"))?;
        for cause in self.causes() {
            write!(f, ": {cause}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// A file operation failed; fs_err has put the path into the message. A full disk, a full quota and a read-only file
/// system are the machine's, not the command's.
impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        let kind = match error.kind() {
            StorageFull | QuotaExceeded | ReadOnlyFilesystem => Kind::Environment,
            _ => Kind::Failed,
        };
        Self::new(kind, error.to_string())
    }
}

/// Names what was being done when something failed.
pub trait Doing<T> {
    /// Turns the error into one of exit code 1 with this message and the old error as its cause.
    fn doing(self, message: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<anyhow::Error>> Doing<T> for std::result::Result<T, E> {
    fn doing(self, message: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Error::failed(message()).because(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_chooses_the_exit_code() {
        let kinds = [
            Kind::Failed,
            Kind::Usage,
            Kind::Rejected,
            Kind::Pending,
            Kind::NotApplied,
            Kind::Environment,
        ];
        assert_eq!(kinds.map(Kind::exit_code), [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn a_full_disk_is_the_environments_fault() {
        let full: Error = std::io::Error::from(std::io::ErrorKind::StorageFull).into();
        assert_eq!(full.kind(), Kind::Environment);
        let missing: Error = std::io::Error::from(std::io::ErrorKind::NotFound).into();
        assert_eq!(missing.kind(), Kind::Failed);
    }

    #[test]
    fn a_cause_that_the_message_before_it_repeats_is_told_once() {
        let inner = anyhow::anyhow!("connection refused").context("dialling: connection refused");
        let error = Error::failed("no engine").because(inner);
        assert_eq!(error.causes(), ["dialling: connection refused"]);
    }
}
