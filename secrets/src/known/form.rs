//! In which form a known value was found: what a finding may say of it.

use std::fmt;

/// How the value's bytes were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// the bytes themselves
    Raw,
    /// base64 with `+` and `/`
    Base64,
    /// base64 with `-` and `_`
    Base64Url,
    /// base32 (RFC 4648 §6) in either case
    Base32,
    /// hexadecimal in any mix of cases
    Hex,
    /// four bytes in five characters: ascii85, base85 (RFC 1924), Z85
    Base85,
    /// base58, with nothing before the value and at most a line's end behind it
    Base58,
    /// the bytes, their base64 or their hexadecimal from the last to the first
    Reversed,
    /// the letters of the bytes or of their base64 moved by thirteen
    Rot13,
}

/// How the stream was read when the encoding appeared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reading {
    /// as it stands
    Plain,
    /// with percent-encoding undone
    Percent,
    /// with percent-encoding undone twice
    DoublePercent,
    /// with JSON and JavaScript escapes undone
    Escaped,
    /// with percent-encoding, escapes of any depth and HTML character references undone, and without white space
    Unwrapped,
    /// with hexadecimal digits in lower case
    CaseFolded,
}

/// The form of one finding: an encoding, and how the stream had to be read to see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Form {
    /// how the value was written
    pub encoding: Encoding,
    /// what had to be undone first
    pub reading: Reading,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.encoding {
            Encoding::Raw => "raw",
            Encoding::Base64 => "base64",
            Encoding::Base64Url => "base64url",
            Encoding::Base32 => "base32",
            Encoding::Hex => "hex",
            Encoding::Base85 => "base85",
            Encoding::Base58 => "base58",
            Encoding::Reversed => "reversed",
            Encoding::Rot13 => "rot13",
        })?;
        f.write_str(match self.reading {
            Reading::Plain | Reading::CaseFolded => "",
            Reading::Percent => ", percent-encoded",
            Reading::DoublePercent => ", percent-encoded twice",
            Reading::Escaped => ", escaped",
            Reading::Unwrapped => ", escaped or broken over lines",
        })
    }
}
