//! The values of the agent's own secrets ([`guard::agent_secrets`]): what no format gives away.

use std::ffi::OsString;

use guard::agent_secrets;
use secrets::known::KnownValues;

/// What was found in the environment.
#[derive(Debug, Clone)]
pub struct EnvironmentSecrets {
    /// The values.
    pub values: KnownValues,
    /// Slots whose value is too short to be looked for, and why.
    pub too_short: Vec<String>,
}

/// Takes every slot out of these variables.
pub fn read(variables: impl IntoIterator<Item = (OsString, OsString)>) -> EnvironmentSecrets {
    let mut builder = KnownValues::builder();
    let mut too_short = Vec::new();
    for (name, value) in agent_secrets::read(variables) {
        if let Err(error) = builder.add(name, value) {
            too_short.push(error.to_string());
        }
    }
    too_short.sort();
    EnvironmentSecrets {
        values: builder.build(),
        too_short,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_read_and_short_values_are_named() {
        let variables = [
            ("BOTTLE_ENV_SECRET_0", "correct horse battery"),
            ("BOTTLE_ENV_SECRET_1", "short"),
            ("BOTTLE_ENV_SECRET_X", "another long enough value"),
            ("PATH", "/usr/bin:/usr/local/bin"),
        ];
        let read = read(variables.map(|(name, value)| (name.into(), value.into())));
        assert!(read.values.find(b"x correct horse battery y").is_some());
        assert!(
            read.values
                .find(b"another long enough value /usr/bin:/usr/local/bin")
                .is_none()
        );
        assert_eq!(read.too_short.len(), 1);
        assert!(read.too_short[0].contains("BOTTLE_ENV_SECRET_1") && !read.too_short[0].contains("short "));
    }
}
