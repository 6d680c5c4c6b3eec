//! The values of a form in the URL's manner (`application/x-www-form-urlencoded`) while it comes.

use crate::joined::{Name, Values};

/// How far a form has come.
#[derive(Debug, Default)]
pub(super) struct FormReader {
    /// Behind the `=` of a pair.
    in_value: bool,
    /// Of the pair's name, what has come.
    name: Name,
}

// === impl FormReader ===

impl FormReader {
    /// Reads the next bytes; hands each value, as it is written, to `values`. A pair without `=` is a value.
    pub(super) fn push(&mut self, mut rest: &[u8], values: &mut Values) {
        loop {
            let found = if self.in_value {
                memchr::memchr(b'&', rest)
            } else {
                memchr::memchr2(b'&', b'=', rest)
            };
            let before = rest.get(..found.unwrap_or(rest.len())).unwrap_or_default();
            if !self.in_value {
                self.name.push(before);
            }
            let Some(at) = found else {
                values.push(rest);
                return;
            };
            let (before, behind) = rest.split_at(at);
            if behind.first() == Some(&b'=') {
                values.forget_piece();
                values.name(std::mem::take(&mut self.name));
                self.in_value = true;
            } else {
                values.push(before);
                values.end();
                self.name = Name::new();
                self.in_value = false;
            }
            rest = behind.get(1..).unwrap_or_default();
        }
    }
}
