//! Makes a validated newtype over `String` out of a checking function.

/// `validated_text!(/// doc … Name, check)`: `check(&str) -> Result<String, E>` returns the
/// canonical spelling. Gives `FromStr`, `TryFrom<String>`, serde both ways, `Display`, `as_str`.
macro_rules! validated_text {
    ($(#[$doc:meta])* $name:ident, $error:ty, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The canonical spelling.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = $error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $check(text).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = $error;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                $check(&text).map(Self)
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

pub(crate) use validated_text;

/// Shows text that a manifest, an agent or a peer wrote without letting it act on a terminal:
/// control, bidirectional and zero-width characters come out as `\u{…}`, and it is cut at 120
/// characters.
pub fn harmless(text: &str) -> String {
    harmless_up_to(120, text)
}

/// As [`harmless`] shows it, cut at so many characters of the text.
pub fn harmless_up_to(characters: usize, text: &str) -> String {
    let mut shown = String::new();
    for (count, character) in text.chars().enumerate() {
        if count == characters {
            shown.push('…');
            break;
        }
        if is_deceptive(character) {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Characters that change what a reader sees without being seen: C0/C1 controls, bidirectional
/// controls, zero-width and other default-ignorable format characters (Unicode 16, category Cf, plus the
/// Hangul fillers and the line separators).
pub fn is_deceptive(character: char) -> bool {
    character.is_control()
        || matches!(u32::from(character),
            0x00ad | 0x034f | 0x061c | 0x115f | 0x1160 | 0x17b4 | 0x17b5 | 0x180b..=0x180f | 0x200b..=0x200f
            | 0x2028..=0x202e | 0x2060..=0x206f | 0x3164 | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff0..=0xfffb
            | 0x1d173..=0x1d17a | 0xe0000..=0xe0fff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deceptive_characters_are_shown_escaped() {
        assert_eq!(
            harmless("a\u{1b}[2Jb\u{202e}c\u{200b}"),
            "a\\u{1b}[2Jb\\u{202e}c\\u{200b}"
        );
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(harmless(&"x".repeat(500)).chars().count(), 121);
    }
}
