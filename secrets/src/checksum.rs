//! The checks that are part of a secret's public format.
//!
//! A right checksum makes a finding certain. A wrong one means different things: a card number with a wrong
//! digit is no card number, a GitHub token with a wrong tail was made up by somebody. [`Checksum::refutes`] tells
//! which.

use sha2::{Digest, Sha256};

/// A check over the characters of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Checksum {
    /// GitHub's: behind the last `_`, the last six characters are the CRC-32 of the others in base62.
    Github,
    /// Eight hexadecimal digits behind the last `_` are the CRC-32 of what is before (Grafana service accounts).
    Crc32Hex,
    /// A card number: the issuer's range, its length, and the Luhn digit (ISO/IEC 7812).
    Card,
    /// An account number: the country's length and ISO 7064 mod 97-10 (ISO 13616).
    Iban,
    /// Base58 with four bytes of double SHA-256 (Bitcoin keys).
    Base58Check,
    /// The six characters at the end of a bech32 text (age, Nostr; BIP 173).
    Bech32,
    /// A Stellar key: base32, whose last two bytes are a CRC-16 (XMODEM) of the others.
    Stellar,
    /// The ISO 7064 nine-digit weights of a US bank's routing number.
    Aba,
}

// === impl Checksum ===

impl Checksum {
    /// Whether `secret` passes.
    #[must_use]
    pub fn holds(self, secret: &[u8]) -> bool {
        match self {
            Self::Github => github(secret).unwrap_or(false),
            Self::Crc32Hex => crc32_hex(secret).unwrap_or(false),
            Self::Card => card(secret),
            Self::Iban => iban(secret),
            Self::Base58Check => base58_check(secret),
            Self::Bech32 => bech32(secret),
            Self::Stellar => stellar(secret),
            Self::Aba => aba(secret),
        }
    }

    /// Whether a text that does not pass is no secret of the kind at all; otherwise it is an imitation, or of a
    /// newer format.
    #[must_use]
    pub fn refutes(self) -> bool {
        !matches!(self, Self::Github | Self::Crc32Hex)
    }
}

fn base62(mut number: u32) -> [u8; 6] {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut text = [b'0'; 6];
    for slot in text.iter_mut().rev() {
        *slot = DIGITS.get(number as usize % 62).copied().unwrap_or(b'0');
        number /= 62;
    }
    text
}

fn github(secret: &[u8]) -> Option<bool> {
    let body = secret.rsplit(|&byte| byte == b'_').next()?;
    let (random, check) = body.split_at_checked(body.len().checked_sub(6)?)?;
    Some(check == base62(crc32fast::hash(random)))
}

fn crc32_hex(secret: &[u8]) -> Option<bool> {
    let (random, check) = secret.split_at_checked(secret.len().checked_sub(9)?)?;
    let check = std::str::from_utf8(check.strip_prefix(b"_")?).ok()?;
    Some(u32::from_str_radix(check, 16).ok()? == crc32fast::hash(random))
}

fn digits(text: &[u8]) -> Vec<u32> {
    text.iter()
        .filter(|byte| byte.is_ascii_digit())
        .map(|byte| u32::from(byte - b'0'))
        .collect()
}

/// Issuer ranges (first digits, as numbers of as many digits as the bounds have) and their lengths.
const ISSUERS: [(u32, u32, &[usize]); 11] = [
    (4, 4, &[16, 19]),
    (51, 55, &[16]),
    (2221, 2720, &[16]),
    (34, 34, &[15]),
    (37, 37, &[15]),
    (6011, 6011, &[16, 19]),
    (644, 659, &[16, 19]),
    (3528, 3589, &[16, 19]),
    (300, 305, &[14]),
    (36, 36, &[14]),
    (62, 62, &[16, 17, 18, 19]),
];

fn card(text: &[u8]) -> bool {
    let digits = digits(text);
    let issued = ISSUERS.iter().any(|&(first, last, lengths)| {
        let count = first.to_string().len();
        let head = digits.iter().take(count).fold(0, |sum, digit| sum * 10 + digit);
        (first..=last).contains(&head) && lengths.contains(&digits.len())
    });
    issued && luhn(&digits)
}

fn luhn(digits: &[u32]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(index, &digit)| match (index % 2, digit * 2) {
            (0, _) => digit,
            (_, double) => double / 10 + double % 10,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// The countries of the IBAN registry with their lengths.
const IBAN_LENGTHS: &str = "AD24AE23AL28AT20AZ28BA20BE16BG22BH22BI27BR29BY28CH21CR22CY28CZ24DE22DJ27DK18DO28EE20EG29\
    ES24FI18FK18FO18FR27GB22GE22GI23GL18GR27GT28HN28HR21HU28IE22IL23IQ23IS26IT27JO30KW30KZ20LB28LC32LI21LT20LU20LV21\
    LY25MC27MD24ME22MK19MN20MR27MT31MU30NI28NL18NO15OM23PK24PL28PS29PT25QA29RO24RS22RU33SA24SC31SD18SE24SI19SK24SM27\
    SO23ST25SV28TL23TN24TR26UA29VA22VG24XK20YE30";

/// The length of an account number of the country that the two letters name.
pub(crate) fn iban_length(country: &[u8]) -> Option<usize> {
    let entry = IBAN_LENGTHS
        .as_bytes()
        .chunks(4)
        .find(|entry| entry.get(..2) == Some(country))?;
    std::str::from_utf8(entry.get(2..)?).ok()?.parse().ok()
}

fn iban(text: &[u8]) -> bool {
    let compact: Vec<u8> = text
        .iter()
        .filter(|byte| byte.is_ascii_alphanumeric())
        .map(u8::to_ascii_uppercase)
        .collect();
    let Some((head, tail)) = compact.split_at_checked(4) else {
        return false;
    };
    if head.get(..2).and_then(iban_length) != Some(compact.len()) {
        return false;
    }
    let rest = tail
        .iter()
        .chain(head)
        .filter_map(|&byte| char::from(byte).to_digit(36))
        .fold(0, |sum, value| {
            let shift = if value < 10 { 10 } else { 100 };
            (sum * shift + value) % 97
        });
    rest == 1
}

fn base58_check(text: &[u8]) -> bool {
    let Ok(bytes) = bs58::decode(text).into_vec() else {
        return false;
    };
    let Some((payload, check)) = bytes
        .len()
        .checked_sub(4)
        .and_then(|at| bytes.split_at_checked(at))
    else {
        return false;
    };
    payload.len() > 16 && Sha256::digest(Sha256::digest(payload)).get(..4) == Some(check)
}

/// BIP 173's polymod over the text; 1 is bech32, the other constant bech32m.
fn bech32(text: &[u8]) -> bool {
    const CHARSET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    const GENERATORS: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    let text = text.to_ascii_lowercase();
    let Some(at) = text.iter().rposition(|&byte| byte == b'1') else {
        return false;
    };
    let (prefix, data) = text.split_at(at);
    let values: Option<Vec<u32>> = data
        .iter()
        .skip(1)
        .map(|byte| {
            CHARSET
                .iter()
                .position(|known| known == byte)
                .and_then(|value| u32::try_from(value).ok())
        })
        .collect();
    let Some(values) = values.filter(|values| values.len() > 6) else {
        return false;
    };
    let high = prefix.iter().map(|byte| u32::from(byte >> 5));
    let low = prefix.iter().map(|byte| u32::from(byte & 31));
    let sum = high.chain([0]).chain(low).chain(values).fold(1u32, |sum, value| {
        let mixed = (sum & 0x1ff_ffff) << 5 ^ value;
        GENERATORS
            .iter()
            .enumerate()
            .fold(mixed, |mixed, (bit, generator)| {
                if sum >> (25 + bit) & 1 == 1 {
                    mixed ^ generator
                } else {
                    mixed
                }
            })
    });
    matches!(sum, 1 | 0x2bc8_30a3)
}

fn stellar(text: &[u8]) -> bool {
    let Some(bytes) = crate::scan::radix::base32(text) else {
        return false;
    };
    let Some((payload, check)) = bytes
        .len()
        .checked_sub(2)
        .and_then(|at| bytes.split_at_checked(at))
    else {
        return false;
    };
    let crc = payload.iter().fold(0u16, |crc, &byte| {
        (0..8).fold(crc ^ u16::from(byte) << 8, |crc, _| {
            if crc & 0x8000 == 0 {
                crc << 1
            } else {
                crc << 1 ^ 0x1021
            }
        })
    });
    check == crc.to_le_bytes()
}

fn aba(text: &[u8]) -> bool {
    let digits = digits(text);
    let sum: u32 = digits
        .iter()
        .zip([3, 7, 1].iter().cycle())
        .map(|(digit, weight)| digit * weight)
        .sum();
    digits.len() == 9 && sum > 0 && sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn github_s_own_published_example_passes_and_a_changed_one_does_not() {
        let example = ["gh", "p_zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq17"].concat();
        assert!(Checksum::Github.holds(example.as_bytes()));
        assert!(!Checksum::Github.holds(example.replace("zQ", "zR").as_bytes()));
        assert!(!Checksum::Github.holds(b"x_1"));
    }

    #[test]
    fn card_numbers_need_an_issuer_a_length_and_a_right_digit() {
        for good in [
            "4111 1111 1111 1111",
            "5555-5555-5555-4444",
            "378282246310005",
            "6011111111111117",
        ] {
            assert!(Checksum::Card.holds(good.as_bytes()), "{good}");
        }
        for bad in [
            "4111 1111 1111 1112",
            "1234567812345670",
            "0000000000000000",
            "411111111111111",
        ] {
            assert!(!Checksum::Card.holds(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn account_numbers_need_their_country_s_length_and_a_right_remainder() {
        for good in [
            "GB82 WEST 1234 5698 7654 32",
            "DE89370400440532013000",
            "NO9386011117947",
        ] {
            assert!(Checksum::Iban.holds(good.as_bytes()), "{good}");
        }
        for bad in [
            "GB82 WEST 1234 5698 7654 33",
            "DE8937040044053201300",
            "XX89370400440532013000",
        ] {
            assert!(!Checksum::Iban.holds(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn keys_of_currencies_are_told_by_their_checksums() {
        let wif = ["5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4", "dZ1jvhTVqvbTLvyTJ"].concat();
        assert!(Checksum::Base58Check.holds(wif.as_bytes()));
        assert!(!Checksum::Base58Check.holds(wif.replace('5', "6").as_bytes()));
        let bech32 = "A12UEL5L";
        assert!(!Checksum::Bech32.holds(bech32.as_bytes()), "no data");
        assert!(Checksum::Bech32.holds(b"abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw"));
        assert!(!Checksum::Bech32.holds(b"abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxx"));
        assert!(Checksum::Aba.holds(b"021000021") && !Checksum::Aba.holds(b"021000022"));
    }
}
