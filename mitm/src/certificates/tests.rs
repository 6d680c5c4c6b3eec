use super::*;
use rcgen::{BasicConstraints, CertifiedIssuer};
use x509_parser::prelude::*;

fn authority_pem() -> (String, String) {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "test CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    (issuer.pem(), issuer.key().serialize_pem())
}

fn certificates() -> Certificates {
    let (certificate, key) = authority_pem();
    let authority = CertificateAuthority::from_pem(&certificate, &key).unwrap();
    Certificates::new(
        authority,
        Arc::new(rustls::crypto::aws_lc_rs::default_provider()),
        8,
    )
}

fn host(text: &str) -> Host {
    Host::parse(text.as_bytes()).unwrap()
}

async fn leaf_for(certificates: &Certificates, name: &str) -> Vec<u8> {
    let key = certificates.key().await.unwrap();
    let params = leaf_params(&host(name)).unwrap();
    params
        .signed_by(&key.pair, &certificates.authority.issuer)
        .unwrap()
        .der()
        .to_vec()
}

#[tokio::test]
async fn a_leaf_names_its_host_is_young_and_is_not_an_authority() {
    let certificates = certificates();
    let der = leaf_for(&certificates, "api.test").await;
    let (_, leaf) = X509Certificate::from_der(&der).unwrap();
    let names = leaf.subject_alternative_name().unwrap().unwrap();
    assert_eq!(names.value.general_names, vec![GeneralName::DNSName("api.test")]);
    let validity = leaf.validity();
    let now = ASN1Time::now();
    assert!(validity.is_valid());
    assert!((now - validity.not_before).unwrap() >= BACKDATED);
    assert!((validity.not_after - now).unwrap() <= LIFETIME);
    assert!(!leaf.basic_constraints().unwrap().unwrap().value.ca);
    assert!(leaf.extended_key_usage().unwrap().unwrap().value.server_auth);
    assert!(leaf.iter_extensions().any(|extension| {
        matches!(
            extension.parsed_extension(),
            ParsedExtension::AuthorityKeyIdentifier(_)
        )
    }));
}

#[tokio::test]
async fn an_address_is_named_as_an_address() {
    let certificates = certificates();
    for (name, bytes) in [
        ("192.0.2.1", vec![192, 0, 2, 1]),
        ("[::1]", [vec![0; 15], vec![1]].concat()),
    ] {
        let der = leaf_for(&certificates, name).await;
        let (_, leaf) = X509Certificate::from_der(&der).unwrap();
        let names = leaf.subject_alternative_name().unwrap().unwrap();
        assert_eq!(names.value.general_names, vec![GeneralName::IPAddress(&bytes)]);
    }
}

#[tokio::test]
async fn serial_numbers_are_random_positive_and_short_enough() {
    let certificates = certificates();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..20 {
        let der = leaf_for(&certificates, "api.test").await;
        let (_, leaf) = X509Certificate::from_der(&der).unwrap();
        let serial = leaf.raw_serial().to_vec();
        assert_eq!((serial.len(), serial[0] & 0x80), (SERIAL_BYTES, 0));
        assert!(seen.insert(serial));
    }
}

#[tokio::test]
async fn the_leaf_key_is_not_the_authoritys() {
    let certificates = certificates();
    let key = certificates.key().await.unwrap();
    assert_ne!(
        key.pair.public_key_raw(),
        certificates.authority.issuer.key().public_key_raw()
    );
}

#[tokio::test]
async fn who_asks_at_the_same_time_gets_the_same_leaf() {
    let certificates = Arc::new(certificates());
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let certificates = Arc::clone(&certificates);
        asking.spawn(async move { certificates.config(&host("api.test"), true).await.unwrap() });
    }
    let configs = asking.join_all().await;
    assert!(configs.iter().all(|config| Arc::ptr_eq(config, &configs[0])));
    let without = certificates.config(&host("api.test"), false).await.unwrap();
    assert_eq!(without.alpn_protocols, vec![b"http/1.1".to_vec()]);
}

#[tokio::test]
async fn long_names_get_leaves_too() {
    let name = format!("{}.test", ["abcdefghij"; 20].join("."));
    certificates().config(&host(&name), true).await.unwrap();
}

#[test]
fn the_authority_is_checked_and_never_printed() {
    let (certificate, key) = authority_pem();
    let (other_certificate, _) = authority_pem();
    let authority = CertificateAuthority::from_pem(&certificate, &key).unwrap();
    assert_eq!(format!("{authority:?}"), "CertificateAuthority { .. }");
    let error = CertificateAuthority::from_pem(&other_certificate, &key).unwrap_err();
    assert!(matches!(error, CertificateError::NotAPair), "{error}");
    for (certificate, key) in [
        ("", &*key),
        (&*certificate, ""),
        (&*certificate, "secret words"),
        (&*key, &*key),
    ] {
        let error = CertificateAuthority::from_pem(certificate, key)
            .unwrap_err()
            .to_string();
        assert!(!error.contains("secret words"), "{error}");
    }
}

#[test]
fn a_sec1_key_is_read_as_well() {
    let (certificate, key) = authority_pem();
    let pkcs8 = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    // The SEC1 structure is the octet string at the end of the PKCS#8 one (RFC 5958 §2).
    let (_, info) = x509_parser::der_parser::parse_der(pkcs8.secret_der()).unwrap();
    let sec1 = info.as_sequence().unwrap()[2].as_slice().unwrap();
    let encoded = pem_of("EC PRIVATE KEY", sec1);
    CertificateAuthority::from_pem(&certificate, &encoded).unwrap();
}

fn pem_of(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<_> = body.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}
