//! The values of a form in the URL's manner (`application/x-www-form-urlencoded`) while it comes.

use crate::joined::Joined;

/// How far a form has come.
#[derive(Debug, Default)]
pub(super) struct FormReader {
    /// Behind the `=` of a pair.
    in_value: bool,
}

// === impl FormReader ===

impl FormReader {
    /// Reads the next bytes; hands each value, as it is written, to `values`. A pair without `=` is a value.
    pub(super) fn push(&mut self, mut rest: &[u8], values: &mut Joined) {
        loop {
            let found = if self.in_value {
                memchr::memchr(b'&', rest)
            } else {
                memchr::memchr2(b'&', b'=', rest)
            };
            let Some(at) = found else {
                values.push(rest);
                return;
            };
            let (before, behind) = rest.split_at(at);
            if behind.first() == Some(&b'=') {
                values.forget_piece();
                self.in_value = true;
            } else {
                values.push(before);
                values.end();
                self.in_value = false;
            }
            rest = behind.get(1..).unwrap_or_default();
        }
    }
}
