//! Secrets: by name in the plan, by value only here, on their way into compose's environment.

use crate::environment::{Environment, Named};
use crate::error::{Error, Kind, Result};
use contract::EnvName;
use std::fmt;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// One secret of a launch, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretSource {
    /// The variable in compose's environment: `EGRESS_TOKEN_<n>`, `BOTTLE_ENV_SECRET_<n>`, `BOTTLE_ENV_PUBLIC_<n>` or
    /// `BOTTLE_GIT_KEY_<n>`.
    pub variable: String,
    /// Where its value comes from.
    pub value: SecretValue,
    /// Who wants it.
    pub wanted: Wanted,
}

/// Where a secret's value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretValue {
    /// A variable of the host environment.
    Host(EnvName),
    /// Asked for at launch, with this prompt.
    Asked(String),
    /// A private key in a file of the operator's.
    File(PathBuf),
}

/// The line of a manifest that wants a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The manifest.
    pub file: PathBuf,
    /// Counted from 1.
    pub line: usize,
    /// The field, such as `egress.routes[1].auth.token_ref`.
    pub field: String,
}

impl Wanted {
    /// A problem with what is wanted here.
    pub fn says(&self, problem: &str) -> String {
        format!("{self}: {problem}")
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.field)
    }
}

/// The values, by the variable that carries each into compose. Wiped from memory when dropped; never `Debug`, `Display`
/// or `Serialize`.
#[derive(Default)]
pub struct Secrets {
    values: Vec<(String, Zeroizing<String>)>,
}

impl Secrets {
    /// Finds every value. `ask` is called for what is asked at launch; it fails without a terminal. All missing variables are
    /// told at once, each with the line that wants it.
    pub fn resolve(
        sources: &[SecretSource],
        environment: &Environment,
        mut ask: impl FnMut(&str) -> Result<Zeroizing<String>>,
    ) -> Result<Self> {
        let missing = Self::missing(sources, environment);
        if !missing.is_empty() {
            return Err(Error::several(Kind::Usage, missing)
                .hinted("export the variable in the shell that runs `bottle start`"));
        }
        let mut values = Vec::with_capacity(sources.len());
        for source in sources {
            let value = match &source.value {
                SecretValue::Asked(prompt) => ask(prompt)?,
                SecretValue::File(path) => {
                    super::git::key(path).map_err(|problem| Error::usage(source.wanted.says(&problem)))?
                }
                SecretValue::Host(name) => match environment.named(name) {
                    Named::Set(value) => value,
                    Named::Unset | Named::NotUtf8 => continue,
                },
            };
            values.push((source.variable.clone(), value));
        }
        Ok(Self { values })
    }

    /// One message per host variable that cannot be passed on.
    pub fn missing(sources: &[SecretSource], environment: &Environment) -> Vec<String> {
        let problem = |source: &SecretSource| match &source.value {
            SecretValue::Asked(_) => None,
            SecretValue::File(path) => super::git::key(path)
                .err()
                .map(|problem| source.wanted.says(&problem)),
            SecretValue::Host(name) => {
                let problem = match environment.named(name) {
                    Named::Unset => "is not set",
                    Named::NotUtf8 => "is not UTF-8",
                    Named::Set(value) if value.is_empty() => "is empty",
                    Named::Set(value) if value.contains('\0') => "holds a NUL byte",
                    Named::Set(_) => return None,
                };
                Some(source.wanted.says(&format!("the host variable {name} {problem}")))
            }
        };
        sources.iter().filter_map(problem).collect()
    }

    /// Whether a host variable is not there at all.
    pub fn any_unset(sources: &[SecretSource], environment: &Environment) -> bool {
        sources.iter().any(|source| {
            matches!(&source.value, SecretValue::Host(name) if matches!(environment.named(name), Named::Unset))
        })
    }

    /// The value that this variable carries.
    pub fn get(&self, variable: &str) -> Option<&str> {
        self.iter()
            .find(|(name, _)| *name == variable)
            .map(|(_, value)| value)
    }

    /// Each variable and its value, for the environment of the compose process and nothing else.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values
            .iter()
            .map(|(variable, value)| (variable.as_str(), value.as_str()))
    }
}
