//! The ways of writing a text that an agent may choose, by itself or because it was told to.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

type Write = fn(&str) -> Vec<u8>;

/// Those that are looked for of known values alone: nothing in them shows a token's form.
pub(super) const KNOWN_ALONE: &[&str] = &["ascii85", "base85", "z85", "base58"];

/// What gets through, by the beginning of `name / kind: places`.
pub(super) const LIMITS: &[&str] = &[
    "array join /",
    "concat! /",
    "base64 16 lf /",
    "base64 10 lf /",
    "od -c /",
    "decimal, lines /",
    "spaced /",
    "dashed /",
    "css, six /",
];

pub(super) const WRITINGS: [(&str, Write); 68] = [
    ("plain", |s| s.into()),
    // Put together in source code.
    ("a + b", |s| pieces(s, 9, "\"", "\" + \"", "\"")),
    ("a+b", |s| pieces(s, 5, "x = \"", "\"+\"", "\";")),
    ("'a' . 'b'", |s| pieces(s, 9, "$x = '", "' . '", "';")),
    ("a b", |s| pieces(s, 9, "(\"", "\" \"", "\")")),
    ("a newline b", |s| pieces(s, 9, "x = (\"", "\"\n     \"", "\")")),
    ("a + newline b", |s| pieces(s, 7, "const x = '", "' +\n  '", "';")),
    ("a newline + b", |s| {
        pieces(s, 7, "const x = '", "'\r\n    + '", "';")
    }),
    ("a || b", |s| pieces(s, 9, "select '", "' || '", "'")),
    ("a <> b", |s| pieces(s, 9, "\"", "\" <> \"", "\"")),
    ("a ++ b", |s| pieces(s, 9, "\"", "\" ++ \"", "\"")),
    ("a & b", |s| pieces(s, 9, "\"", "\" & \"", "\"")),
    ("a \\ newline b", |s| {
        pieces(s, 9, "x = \"", "\" \\\n    \"", "\"")
    }),
    ("shell quotes", |s| pieces(s, 3, "echo ", "\"\"", "")),
    ("shell mixed quotes", |s| pieces(s, 9, "echo \"", "\"'", "")),
    ("backtick + b", |s| pieces(s, 9, "`", "` + `", "`")),
    ("continued line", |s| pieces(s, 9, "x = \"", "\\\n", "\"")),
    ("array join", |s| pieces(s, 6, "[\"", "\", \"", "\"].join(\"\")")),
    ("concat!", |s| pieces(s, 9, "concat!(\"", "\", \"", "\")")),
    // Mail.
    ("quoted-printable, soft breaks", |s| {
        pieces(s, 9, "key: ", "=\r\n", "")
    }),
    ("quoted-printable, soft breaks, lf", |s| {
        pieces(s, 9, "key: ", "=\n", "")
    }),
    ("quoted-printable, all", |s| each(s, "", |b| format!("={b:02X}"))),
    ("quoted-printable, some", |s| {
        s.replace('_', "=5F").replace('-', "=2D").into()
    }),
    // base64 in lines.
    ("base64", |s| base64(s).into()),
    ("base64 20 lf", |s| lines(s, 20, "\n")),
    ("base64 20 crlf", |s| lines(s, 20, "\r\n")),
    ("base64 20 space", |s| lines(s, 20, " ")),
    ("base64 20 quoted", |s| lines(s, 20, "\n> ")),
    ("base64 20 indented", |s| lines(s, 20, "\n    ")),
    ("base64 20 escaped", |s| lines(s, 20, "\\n")),
    ("base64 32 lf", |s| lines(s, 32, "\n")),
    ("base64 literals", |s| lines(s, 20, "\" +\n  \"")),
    ("base64 16 lf", |s| lines(s, 16, "\n")),
    ("base64 10 lf", |s| lines(s, 10, "\n")),
    // Dumps.
    ("xxd", |s| {
        dump(s, |at, b, c| format!("{at:08x}: {:<40} {c}\n", grouped(b, 2)))
    }),
    ("xxd -p", |s| each(s, "", |b| format!("{b:02x}"))),
    ("xxd -i", |s| each(s, ", ", |b| format!("0x{b:02x}"))),
    ("hexdump -C", |s| {
        dump(s, |at, b, c| format!("{at:08x}  {:<49} |{c}|\n", grouped(b, 1)))
    }),
    ("hexdump", |s| {
        dump(s, |at, b, _| {
            format!("{at:07x} {}\n", words(b, |w| format!("{w:04x}")))
        })
    }),
    ("od -x", |s| {
        dump(s, |at, b, _| {
            format!("{at:07o} {}\n", words(b, |w| format!("{w:04x}")))
        })
    }),
    ("od", |s| {
        dump(s, |at, b, _| {
            format!("{at:07o} {}\n", words(b, |w| format!("{w:06o}")))
        })
    }),
    ("od -t x1", |s| {
        dump(s, |at, b, _| format!("{at:07o} {}\n", grouped(b, 1)))
    }),
    ("od -b", |s| {
        dump(s, |at, b, _| {
            format!("{at:07o} {}\n", list(b, " ", |b| format!("{b:03o}")))
        })
    }),
    ("od -t u1", |s| {
        dump(s, |at, b, _| {
            format!("{at:07o} {}\n", list(b, "", |b| format!(" {b:3}")))
        })
    }),
    ("od -c", |s| {
        dump(s, |at, b, _| {
            format!("{at:07o} {}\n", list(b, "", |b| format!("   {}", char::from(b))))
        })
    }),
    ("hex, spaces", |s| each(s, " ", |b| format!("{b:02X}"))),
    ("hex, colons", |s| each(s, ":", |b| format!("{b:02x}"))),
    ("decimal", |s| {
        [b"[", &*each(s, ",", |b| format!("{b}")), b"]"].concat()
    }),
    ("decimal, spaces", |s| each(s, " ", |b| format!("{b}"))),
    ("decimal, lines", |s| each(s, ",\n  ", |b| format!("{b}"))),
    ("binary", |s| each(s, " ", |b| format!("{b:08b}"))),
    // Letters.
    ("reversed", |s| s.chars().rev().collect::<String>().into()),
    ("rot13", |s| s.bytes().map(rot13).collect()),
    ("spaced", |s| pieces(s, 1, "", " ", "")),
    ("dashed", |s| pieces(s, 1, "", "-", "")),
    ("ascii85", |s| base85(s, |digit| digit + b'!')),
    ("base85", |s| {
        base85(s, |digit| RFC_1924.as_bytes()[usize::from(digit)])
    }),
    ("z85", |s| base85(s, |digit| Z85.as_bytes()[usize::from(digit)])),
    ("base58", base58),
    // Characters of more bytes, or in other signs.
    ("utf-16", |s| {
        s.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }),
    ("utf-32 le", |s| {
        s.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect()
    }),
    ("utf-32 be", |s| {
        s.chars().flat_map(|c| u32::from(c).to_be_bytes()).collect()
    }),
    ("entities", |s| each(s, "", |b| format!("&#{b};"))),
    ("entities, hex", |s| each(s, "", |b| format!("&#x{b:X};"))),
    ("entities, open", |s| each(s, "", |b| format!("&#{b}"))),
    ("css", |s| each(s, "", |b| format!("\\{b:x} "))),
    ("css, six", |s| each(s, "", |b| format!("\\{b:06x}"))),
    ("powershell", |s| {
        let wide: Vec<u8> = s.encode_utf16().flat_map(u16::to_le_bytes).collect();
        STANDARD.encode(wide).into()
    }),
];

const RFC_1924: &str =
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~";
const Z85: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";
const BASE58: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

fn pieces(text: &str, size: usize, before: &str, between: &str, after: &str) -> Vec<u8> {
    let all: Vec<&str> = text
        .as_bytes()
        .chunks(size)
        .map(|piece| std::str::from_utf8(piece).unwrap())
        .collect();
    format!("{before}{}{after}", all.join(between)).into()
}

fn each(text: &str, between: &str, write: impl Fn(u8) -> String) -> Vec<u8> {
    list(text.as_bytes(), between, write).into()
}

fn list(bytes: &[u8], between: &str, write: impl Fn(u8) -> String) -> String {
    bytes
        .iter()
        .map(|&byte| write(byte))
        .collect::<Vec<_>>()
        .join(between)
}

fn base64(text: &str) -> String {
    STANDARD.encode(format!("the key is {text} as you asked"))
}

fn lines(text: &str, width: usize, between: &str) -> Vec<u8> {
    pieces(&base64(text), width, "", between, "")
}

/// Sixteen bytes a line: the offset, the bytes, and what can be printed of them.
fn dump(text: &str, line: impl Fn(usize, &[u8], String) -> String) -> Vec<u8> {
    let text = format!("token={text}\n");
    let shown = |bytes: &[u8]| {
        list(bytes, "", |b| {
            char::from(if b.is_ascii_graphic() { b } else { b'.' }).to_string()
        })
    };
    text.as_bytes()
        .chunks(16)
        .enumerate()
        .map(|(at, bytes)| line(at * 16, bytes, shown(bytes)))
        .collect::<String>()
        .into()
}

fn grouped(bytes: &[u8], size: usize) -> String {
    let groups: Vec<String> = bytes
        .chunks(size)
        .map(|group| list(group, "", |b| format!("{b:02x}")))
        .collect();
    groups.join(" ")
}

/// Words of two bytes, the lower one first.
fn words(bytes: &[u8], write: impl Fn(u16) -> String) -> String {
    let word = |pair: &[u8]| write(u16::from_le_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    bytes.chunks(2).map(word).collect::<Vec<_>>().join(" ")
}

fn rot13(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' => (byte - b'a' + 13) % 26 + b'a',
        b'A'..=b'Z' => (byte - b'A' + 13) % 26 + b'A',
        other => other,
    }
}

fn base85(text: &str, digit: impl Fn(u8) -> u8) -> Vec<u8> {
    let mut out = Vec::new();
    for group in text.as_bytes().chunks(4) {
        let mut four = [0; 4];
        four[..group.len()].copy_from_slice(group);
        let mut number = u32::from_be_bytes(four);
        let mut digits = [0; 5];
        for slot in digits.iter_mut().rev() {
            *slot = digit((number % 85) as u8);
            number /= 85;
        }
        out.extend_from_slice(&digits[..group.len() + 1]);
    }
    out
}

fn base58(text: &str) -> Vec<u8> {
    let mut digits: Vec<u8> = Vec::new();
    for &byte in text.as_bytes() {
        let mut carry = u32::from(byte);
        for digit in &mut digits {
            carry += u32::from(*digit) << 8;
            *digit = (carry % 58) as u8;
            carry /= 58;
        }
        while carry > 0 {
            digits.push((carry % 58) as u8);
            carry /= 58;
        }
    }
    digits
        .iter()
        .rev()
        .map(|&digit| BASE58[usize::from(digit)])
        .collect()
}
