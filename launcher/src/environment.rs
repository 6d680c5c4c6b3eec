//! The variables of the host environment that the program reads, declared in one place.
//!
//! [`VARIABLES`] is the documentation and the whole list: [`Environment::get`] takes only a [`Variable`]. A manifest may
//! name further ones (`${NAME}` under `env`, `token_ref`); those are read through [`Environment::named`] and nowhere else.
//! The environment is read once, at start, and passed down, so that a test can hand in its own.

use contract::EnvName;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// A variable that the program reads for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What it does, as the documentation says it.
    pub meaning: &'static str,
}

macro_rules! variables {
    ($($(#[$doc:meta])* $constant:ident = $name:literal, $meaning:literal;)*) => {
        $(
            #[doc = $meaning]
            pub const $constant: Variable = Variable { name: $name, meaning: $meaning };
        )*
        /// Every variable that the program reads for itself.
        pub const VARIABLES: &[Variable] = &[$($constant),*];
    };
}

variables! {
    BOTTLE_HOME = "BOTTLE_HOME", "The folder with agents, bottles, skills and state, instead of `~/.claude-bottle`.";
    HOME = "HOME", "Where `~` in a manifest points, and where `.claude-bottle` lies.";
    PATH = "PATH", "Where `docker` and `docker-compose` are looked for.";
    NO_COLOR = "NO_COLOR", "Set to anything but the empty text: no colour.";
    TERM = "TERM", "`dumb`: no colour. Also handed to a session.";
    COLORTERM = "COLORTERM", "Handed to a session, so that the agent shows the colours that the terminal has.";
    LANG = "LANG", "Handed to a session.";
    VISUAL = "VISUAL", "The editor for `--edit` and `routes edit`, before EDITOR.";
    EDITOR = "EDITOR", "The editor for `--edit` and `routes edit`; `vi` when neither is set.";
    SSH_AUTH_SOCK = "SSH_AUTH_SOCK", "The ssh-agent that git-gate is given for a remote with `identity_agent: true`.";
    DOCKER_HOST = "DOCKER_HOST", "The engine's endpoint, for compose and for everything else; else the docker context.";
    DOCKER_CONTEXT = "DOCKER_CONTEXT", "The docker context to use when DOCKER_HOST is not set.";
    DOCKER_CONFIG = "DOCKER_CONFIG", "The docker client's folder, instead of `~/.docker`.";
}

/// [`VARIABLES`] as a section of the program's help.
pub fn help() -> String {
    let row =
        |variable: &Variable| format!("  {:<16} {}\n", variable.name, variable.meaning.replace('`', ""));
    format!("Environment:\n{}", VARIABLES.iter().map(row).collect::<String>())
}

/// The host environment as it was at start.
#[derive(Clone, Default)]
pub struct Environment {
    values: BTreeMap<OsString, OsString>,
}

impl Environment {
    /// The process's own.
    pub fn of_process() -> Self {
        Self {
            values: std::env::vars_os().collect(),
        }
    }

    /// Just these, for tests.
    pub fn of<K: Into<OsString>, V: Into<OsString>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        Self {
            values: pairs
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        }
    }

    /// A variable of ours. Unset and empty are the same.
    pub fn get(&self, variable: Variable) -> Option<&OsString> {
        self.values
            .get(std::ffi::OsStr::new(variable.name))
            .filter(|value| !value.is_empty())
    }

    /// A variable of ours as text; not UTF-8 counts as unset.
    pub fn text(&self, variable: Variable) -> Option<&str> {
        self.get(variable).and_then(|value| value.to_str())
    }

    /// A variable that a manifest names.
    pub fn named(&self, name: &EnvName) -> Named {
        match self.values.get(std::ffi::OsStr::new(name.as_str())) {
            None => Named::Unset,
            Some(value) => match value.to_str() {
                Some(text) => Named::Set(Zeroizing::new(text.to_owned())),
                None => Named::NotUtf8,
            },
        }
    }

    /// Whether colour is welcome at all.
    pub fn colour(&self) -> bool {
        self.get(NO_COLOR).is_none() && self.text(TERM) != Some("dumb")
    }

    /// A path as a manifest or the command line writes it: a leading `~/` is the operator's home.
    pub fn expanded(&self, path: &str) -> PathBuf {
        match (path.strip_prefix("~/"), self.get(HOME)) {
            (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
            _ if path == "~" => self.get(HOME).map_or_else(|| PathBuf::from(path), PathBuf::from),
            _ => PathBuf::from(path),
        }
    }
}

/// What a manifest's variable holds. Not `Debug`: it may be a credential.
pub enum Named {
    /// Not in the environment.
    Unset,
    /// Not UTF-8; compose could not carry it.
    NotUtf8,
    /// Its value, possibly empty.
    Set(Zeroizing<String>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tilde_is_the_operators_home() {
        let environment = Environment::of([("HOME", "/home/op")]);
        assert_eq!(
            environment.expanded("~/corp.pem"),
            PathBuf::from("/home/op/corp.pem")
        );
        assert_eq!(environment.expanded("~"), PathBuf::from("/home/op"));
        assert_eq!(environment.expanded("~other/x"), PathBuf::from("~other/x"));
        assert_eq!(environment.expanded("/etc/x"), PathBuf::from("/etc/x"));
    }

    #[test]
    fn an_empty_variable_of_ours_counts_as_unset() {
        let environment = Environment::of([("NO_COLOR", ""), ("TERM", "xterm")]);
        assert!(environment.colour());
        assert!(!Environment::of([("NO_COLOR", "1")]).colour());
    }
}
