//! The operator's editor on a copy of a text.
//!
//! The copy lies in a folder that only the operator gets into, and is gone afterwards. The editor is run as a program with words, never
//! as a shell string.

use crate::environment::{self, Environment};
use crate::error::{Error, Result};
use std::process::Command;

/// What became of the text; `None` when it was left as it is.
pub fn edit(environment: &Environment, name: &str, text: &str) -> Result<Option<String>> {
    let words = environment
        .text(environment::VISUAL)
        .or(environment.text(environment::EDITOR))
        .unwrap_or("vi");
    let mut words = words.split_whitespace();
    let program = words.next().unwrap_or("vi");
    let folder = tempfile::Builder::new().prefix("bottle-edit-").tempdir()?;
    let path = folder.path().join(name);
    fs_err::write(&path, text)?;
    let status = Command::new(program)
        .args(words)
        .arg(&path)
        .status()
        .map_err(|error| {
            Error::environment(format!("the editor `{program}` cannot be run"))
                .because(error)
                .hinted("say which one in VISUAL or EDITOR")
        })?;
    if !status.success() {
        return Err(Error::failed(format!(
            "the editor `{program}` ended with {status}, so nothing was changed"
        )));
    }
    let edited = fs_err::read_to_string(&path)?;
    Ok((edited != text).then_some(edited))
}
