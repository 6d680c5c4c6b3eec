//! The values of the agent's own secrets, as a guard that looks for them is given them: by environment variable.
//!
//! They come in slots, `BOTTLE_ENV_SECRET_0`, `BOTTLE_ENV_SECRET_1`, …, read once at the start. The names that the agent knows them
//! by are not told here. White space around a value is left out: what is copied on seldom has it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use zeroize::Zeroizing;

/// A slot's name begins so; a number follows.
pub const SLOT: &str = "BOTTLE_ENV_SECRET_";

/// Takes every slot out of these variables.
pub fn read(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> impl Iterator<Item = (String, Zeroizing<Vec<u8>>)> {
    variables.into_iter().filter_map(|(name, value)| {
        let value = Zeroizing::new(value.into_vec());
        let name = name.into_string().ok().filter(|name| is_slot(name))?;
        Some((name, Zeroizing::new(value.trim_ascii().to_vec())))
    })
}

fn is_slot(name: &str) -> bool {
    let number = name.strip_prefix(SLOT);
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_alone_are_read_and_white_space_around_a_value_is_none_of_it() {
        let variables = [
            ("BOTTLE_ENV_SECRET_0", "correct horse"),
            ("BOTTLE_ENV_SECRET_12", "\tanother one\r\n"),
            ("BOTTLE_ENV_SECRET_", "no number"),
            ("BOTTLE_ENV_SECRET_X", "no number"),
            ("PATH", "/usr/bin"),
        ];
        let read: Vec<_> = read(variables.map(|(name, value)| (name.into(), value.into())))
            .map(|(name, value)| (name, value.to_vec()))
            .collect();
        assert_eq!(
            read,
            [
                ("BOTTLE_ENV_SECRET_0".to_owned(), b"correct horse".to_vec()),
                ("BOTTLE_ENV_SECRET_12".to_owned(), b"another one".to_vec()),
            ]
        );
    }
}
