//! The bottle's own certificate authorities, minted per launch: that of egress, which this launch's agent alone trusts, and that of
//! the pipelock seat, which its egress alone trusts.
//!
//! ECDSA P-256, valid from a day ago (a container's clock may lag) for [`VALID_DAYS`]. Each signs leaves only (path length 0). Its key
//! lies in its guard's config directory, mode 0600, and nowhere else. What this module refuses to do: reuse a key.

use crate::agent_environment::TRUST_STORE_PASSWORD;
use crate::error::{Doing as _, Error, Result};
use base64::Engine as _;
use contract::{Slug, Timestamp};
use p12_keystore::{KeyStore, KeyStoreEntry};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};
use zeroize::Zeroizing;

/// How long a CA is valid. A bottle lives for hours or days; the longest that anyone kept one is weeks.
pub const VALID_DAYS: i64 = 365;
const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;

/// The authorities of one launch.
pub struct Authorities {
    /// Egress signs with it; the agent trusts it.
    pub egress: Authority,
    /// The pipelock seat signs with it; egress trusts it.
    pub seat: Authority,
}

impl Authorities {
    /// Two fresh ones.
    pub fn mint(slug: &Slug, now: Timestamp) -> Result<Self> {
        Ok(Self {
            egress: Authority::mint(&format!("bottle {slug}"), now)?,
            seat: Authority::mint(&format!("bottle {slug} pipelock"), now)?,
        })
    }
}

/// One CA.
pub struct Authority {
    /// The certificate, one PEM block.
    pub certificate_pem: String,
    /// The key, PKCS#8 PEM.
    pub key_pem: Zeroizing<String>,
    certificate_der: Vec<u8>,
}

impl Authority {
    /// A fresh key and its certificate with this common name.
    fn mint(name: &str, now: Timestamp) -> Result<Self> {
        Self::try_mint(name, now).doing(|| "the bottle's certificate authority cannot be made".to_owned())
    }

    fn try_mint(name: &str, now: Timestamp) -> std::result::Result<Self, rcgen::Error> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.distinguished_name.push(DnType::OrganizationName, "bottle");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        validity(&mut params, now);
        let certificate = params.self_signed(&key)?;
        Ok(Self {
            certificate_pem: pem_block("CERTIFICATE", certificate.der()),
            key_pem: Zeroizing::new(key.serialize_pem()),
            certificate_der: certificate.der().to_vec(),
        })
    }

    /// The certificate as a PKCS#12 trust store that Java reads.
    pub fn trust_store(&self) -> Result<Vec<u8>> {
        let certificate = p12_keystore::Certificate::from_der(&self.certificate_der);
        let mut store = KeyStore::new();
        let written = certificate.and_then(|certificate| {
            store.add_entry("bottle", KeyStoreEntry::Certificate(certificate));
            // The password is public, so there is nothing that rounds of hashing could protect.
            let writer = store.writer(TRUST_STORE_PASSWORD);
            writer.encryption_iterations(1).mac_iterations(1).write()
        });
        written.map_err(|error| Error::failed("the Java trust store cannot be made").because(error))
    }
}

/// Whole days, in UTC: the day before `now`, and the one after which no leaf is trusted any more.
fn validity(certificate: &mut CertificateParams, now: Timestamp) {
    let at = |offset: i64| {
        let time = jiff::Timestamp::from_millisecond(now.as_millis().saturating_add(offset * DAY_MILLIS));
        let date = time
            .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
            .to_zoned(jiff::tz::TimeZone::UTC)
            .date();
        let (month, day) = (date.month().unsigned_abs(), date.day().unsigned_abs());
        rcgen::date_time_ymd(i32::from(date.year()), month, day)
    };
    (certificate.not_before, certificate.not_after) = (at(-1), at(VALID_DAYS));
}

/// One PEM block (RFC 7468: lines of 64).
pub fn pem_block(label: &str, der: &[u8]) -> String {
    let base64 = base64::engine::general_purpose::STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for (index, character) in base64.chars().enumerate() {
        if index > 0 && index % 64 == 0 {
            pem.push('\n');
        }
        pem.push(character);
    }
    pem.push_str(&format!("\n-----END {label}-----\n"));
    pem
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority() -> Authority {
        Authority::mint("bottle dev-ab1cd", "2026-11-21T09:30:00.000Z".parse().unwrap()).unwrap()
    }

    #[test]
    fn a_ca_is_pem_with_a_pkcs8_key_and_no_two_are_alike() {
        let (one, other) = (authority(), authority());
        assert!(one.certificate_pem.starts_with("-----BEGIN CERTIFICATE-----\n"));
        assert!(one.key_pem.starts_with("-----BEGIN PRIVATE KEY-----"));
        assert_ne!(*one.key_pem, *other.key_pem);
        assert!(one.certificate_pem.lines().all(|line| line.len() <= 64));
        let key = KeyPair::from_pem(&one.key_pem).unwrap();
        rcgen::Issuer::from_ca_cert_pem(&one.certificate_pem, key).unwrap();
    }

    #[test]
    fn the_trust_store_holds_the_certificate_and_nothing_else() {
        let authority = authority();
        let store = KeyStore::from_pkcs12(&authority.trust_store().unwrap(), TRUST_STORE_PASSWORD).unwrap();
        assert_eq!(store.entries_count(), 1);
        let KeyStoreEntry::Certificate(found) = store.entry("bottle").unwrap() else {
            panic!("not a certificate")
        };
        assert_eq!(found.as_der(), authority.certificate_der);
    }

    /// Asks Java itself where there is one: it wants an attribute on a trusted certificate that no standard names.
    #[test]
    fn java_trusts_the_certificate() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("truststore.p12");
        fs_err::write(&path, authority().trust_store().unwrap()).unwrap();
        let keytool = std::process::Command::new("keytool")
            .args([
                "-list",
                "-storetype",
                "PKCS12",
                "-storepass",
                TRUST_STORE_PASSWORD,
                "-keystore",
            ])
            .arg(&path)
            .output();
        let Ok(output) = keytool else { return };
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            said.contains("bottle, ") && said.contains("trustedCertEntry"),
            "{said}"
        );
    }
}
