//! Texts that look like secrets, made when they are needed: none is written down anywhere.

#![allow(dead_code, reason = "each test binary uses its part")]

use sha2::{Digest, Sha256};

pub(crate) const BASE62: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const BECH32: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/// A small generator (SplitMix64): the same seed makes the same texts.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn text(&mut self, alphabet: &str, length: usize) -> String {
        let alphabet: Vec<char> = alphabet.chars().collect();
        (0..length)
            .map(|_| alphabet[self.number() as usize % alphabet.len()])
            .collect()
    }

    /// Characters of `alphabet`, the first and last of which are letters or digits.
    fn edged(&mut self, alphabet: &str, length: usize) -> String {
        let plain: String = alphabet.chars().filter(char::is_ascii_alphanumeric).collect();
        let edge = length.min(1);
        let middle = length.saturating_sub(2);
        let last = length - edge - middle;
        self.text(&plain, edge) + &self.text(alphabet, middle) + &self.text(&plain, last)
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.number() as u8).collect()
    }
}

/// GitHub's format: thirty characters and their CRC-32 in base62.
pub(crate) fn github(random: &mut Random) -> String {
    let body = random.text(BASE62, 30);
    let mut crc = u32::MAX;
    for byte in body.bytes() {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                crc >> 1 ^ 0xedb8_8320
            } else {
                crc >> 1
            };
        }
    }
    let mut number = !crc;
    let digits = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut check = Vec::new();
    for _ in 0..6 {
        check.insert(0, digits[number as usize % 62]);
        number /= 62;
    }
    body + &String::from_utf8(check).unwrap()
}

fn bech32(random: &mut Random, prefix: &str, length: usize) -> String {
    let data: Vec<u32> = (0..length - 6).map(|_| random.number() as u32 % 32).collect();
    let step = |sum: u32, value: u32| {
        let generators = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
        let mixed = (sum & 0x1ff_ffff) << 5 ^ value;
        (0..5).fold(mixed, |mixed, bit| {
            if sum >> (25 + bit) & 1 == 1 {
                mixed ^ generators[bit]
            } else {
                mixed
            }
        })
    };
    let prefix = prefix.to_ascii_lowercase();
    let high = prefix.bytes().map(|byte| u32::from(byte >> 5));
    let low = prefix.bytes().map(|byte| u32::from(byte & 31));
    let all = high
        .chain([0])
        .chain(low)
        .chain(data.iter().copied())
        .chain([0; 6]);
    let sum = all.fold(1, step) ^ 1;
    let check = (0..6).map(|index| sum >> (5 * (5 - index)) & 31);
    data.iter()
        .copied()
        .chain(check)
        .map(|value| char::from(BECH32[value as usize]))
        .collect()
}

fn wif(random: &mut Random) -> String {
    let mut payload = vec![0x80];
    payload.extend(random.bytes(32));
    let check = Sha256::digest(Sha256::digest(&payload));
    payload.extend_from_slice(&check[..4]);
    bs58::encode(payload).into_string()
}

fn stellar(random: &mut Random) -> String {
    let mut payload = vec![18 << 3];
    payload.extend(random.bytes(32));
    let crc = payload.iter().fold(0u16, |crc, &byte| {
        (0..8).fold(crc ^ u16::from(byte) << 8, |crc, _| {
            if crc & 0x8000 == 0 {
                crc << 1
            } else {
                crc << 1 ^ 0x1021
            }
        })
    });
    payload.extend_from_slice(&crc.to_le_bytes());
    base32(&payload)
}

pub(crate) fn base32(bytes: &[u8]) -> String {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let bits: Vec<u8> = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1))
        .collect();
    let value =
        |five: &[u8]| five.iter().fold(0, |sum, bit| sum << 1 | usize::from(*bit)) << (5 - five.len());
    bits.chunks(5)
        .map(|five| char::from(alphabet[value(five)]))
        .collect()
}

fn pem(random: &mut Random, kind: &str, line: &str) -> String {
    let body: Vec<String> = (0..6)
        .map(|_| random.text(&(BASE62.to_owned() + "+/"), 64))
        .collect();
    let (dashes, word) = ("-----", "KEY");
    [
        format!("{dashes}BEGIN {kind} {word}{dashes}"),
        body.join(line),
        format!("{dashes}END {kind} {word}{dashes}"),
    ]
    .join(line)
}

fn phrase(random: &mut Random, words: usize) -> String {
    bip39::Mnemonic::from_entropy(&random.bytes(words * 4 / 3))
        .unwrap()
        .words()
        .collect::<Vec<_>>()
        .join(" ")
}

fn one(random: &mut Random, name: &str, argument: &str) -> String {
    let length = argument.parse().unwrap_or(0);
    match name {
        "base62" => random.text(BASE62, length),
        "hex" => random.text("0123456789abcdef", length),
        "hexof" => {
            let text = random.text("BDFHJLNPRTVXZbdfhjlnprtvxz0123456789/+", length - 3) + "xQ7";
            text.bytes().map(|byte| format!("{byte:02x}")).collect()
        }
        "HEX" => random.text("0123456789ABCDEF", length),
        "base32" => random.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", length),
        "base32l" => random.text("abcdefghijklmnopqrstuvwxyz234567", length),
        "lower" => random.text("abcdefghijklmnopqrstuvwxyz0123456789", length),
        "UPPER" => random.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", length),
        "digits" => random.text("123456789", 1) + &random.text("0123456789", length - 1),
        "b64" => random.edged(&(BASE62.to_owned() + "+/"), length),
        "b64url" => random.edged(&(BASE62.to_owned() + "-_"), length),
        "base58" => random.text(
            "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz",
            length,
        ),
        "uuid" => [8, 4, 4, 4, 12]
            .map(|part| random.text("0123456789abcdef", part))
            .join("-"),
        "github" => github(random),
        "bech32" => bech32(random, argument, 58).to_ascii_uppercase(),
        "bech32l" => bech32(random, argument, 58),
        "wif" => wif(random),
        "stellar" => stellar(random),
        "pem" => pem(random, argument, "\n"),
        "pemjson" => pem(random, argument, "\\n"),
        "pemempty" => format!("{0}BEGIN {argument} KEY{0}\n{0}END {argument} KEY{0}", "-----"),
        "phrase" => phrase(random, length),
        "words" => vec!["about"; length].join(" "),
        _ => panic!("no template is called {name}"),
    }
}

/// `template` with every `{name}` and `{name:argument}` filled in. A `$` or a space before the brace, or
/// something else within, keeps it as it is.
pub(crate) fn fill(template: &str, random: &mut Random) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        let (head, tail) = rest.split_at(at);
        out += head;
        let inner = tail[1..].split_once('}').map(|(inner, _)| inner);
        let is_template = |inner: &&str| {
            let name = inner.split(':').next().unwrap_or("");
            !name.is_empty()
                && name.chars().all(|c| c.is_ascii_alphanumeric())
                && name != "TOKEN"
                && name != "PASS"
                && name != "PASSWORD"
        };
        match inner.filter(is_template) {
            Some(inner) => {
                let (name, argument) = inner.split_once(':').unwrap_or((inner, ""));
                out += &one(random, name, argument);
                rest = &tail[inner.len() + 2..];
            }
            None => {
                out.push('{');
                rest = &tail[1..];
            }
        }
    }
    out + rest
}
