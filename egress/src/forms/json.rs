//! The method that a JSON object names: what Laravel, for one, takes from a field `_method` of the outermost object.
//!
//! Only names and their values are followed, and only in the outermost object; whether the rest is JSON is not asked.

use super::{NAME, VALUE};

/// Each character of a name or a value may be written in six.
const ESCAPED: usize = 6;

/// Where in the text the next byte stands.
#[derive(Debug, Default)]
pub(super) struct Object {
    /// Objects and arrays that are open.
    depth: u64,
    text: Option<Text>,
    /// The text before this place, and whether a colon has followed it since.
    last: Option<(Vec<u8>, bool)>,
}

/// Between its quotes.
#[derive(Debug, Default)]
struct Text {
    bytes: Vec<u8>,
    escaped: bool,
}

impl Object {
    /// Some: the value of a field that `names_method`, as far as it is worth reading.
    pub(super) fn next(&mut self, byte: u8, names_method: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
        if let Some(text) = &mut self.text {
            if text.escaped || byte != b'"' {
                text.escaped = !text.escaped && byte == b'\\';
                // One byte more than any method has: it is judged, and is none.
                if text.bytes.len() <= ESCAPED * NAME.max(VALUE) {
                    text.bytes.push(byte);
                }
                return None;
            }
            let text = unescaped(&std::mem::take(&mut text.bytes));
            self.text = None;
            return match self.last.take() {
                Some((name, true)) if self.depth == 1 => names_method(&name).then_some(text),
                _ => {
                    self.last = Some((text, false));
                    None
                }
            };
        }
        match byte {
            b'"' => self.text = Some(Text::default()),
            b'{' | b'[' => {
                self.depth += 1;
                self.last = None;
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                self.last = None;
            }
            b':' => {
                if let Some((_, named)) = &mut self.last {
                    *named = true;
                }
            }
            b',' => self.last = None,
            _ => {}
        }
        None
    }
}

/// As its reader takes it; what is no JSON is taken as it stands.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let quoted = [b"\"", text, b"\""].concat();
    serde_json::from_slice::<String>(&quoted).map_or_else(|_| text.to_vec(), String::into_bytes)
}
