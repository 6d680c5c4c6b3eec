//! Takes the values of secrets out of what compose said.

use crate::plan::Secrets;
use zeroize::Zeroizing;

/// Shorter values are left alone: taking `1` or `yes` out of a log destroys the log and tells what was in it.
const SHORTEST: usize = 4;

/// The values to take out, longest first, so that one inside of another does not leave the rest of it.
#[derive(Default)]
pub(super) struct Redactor {
    values: Vec<(String, Zeroizing<String>)>,
}

impl Redactor {
    pub(super) fn of(secrets: &Secrets) -> Self {
        let mut values: Vec<(String, Zeroizing<String>)> = secrets
            .iter()
            .filter(|(_, value)| value.len() >= SHORTEST)
            .map(|(name, value)| (name.to_owned(), Zeroizing::new(value.to_owned())))
            .collect();
        values.sort_by_key(|(_, value)| std::cmp::Reverse(value.len()));
        Self { values }
    }

    /// The text with `‹NAME›` for each value.
    pub(super) fn redacted(&self, output: &[u8]) -> String {
        let mut text = String::from_utf8_lossy(output).into_owned();
        for (name, value) in &self.values {
            text = text.replace(value.as_str(), &format!("‹{name}›"));
        }
        text
    }
}
