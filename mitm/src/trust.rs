//! Whom an upstream leg trusts. One configuration per trust, so that a way around the expected next hop fails
//! TLS instead of being noticed later.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

/// Why a trust could not be built.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    #[error("the CA certificates cannot be read: {0}")]
    Pem(String),
    #[error("there is no certificate in the CA file")]
    Empty,
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// Trusts the public roots, and every certificate of `extra` (PEM; may be empty).
pub fn public_roots(extra: &str) -> Result<Arc<ClientConfig>, TrustError> {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    if !extra.trim().is_empty() {
        add(&mut roots, extra)?;
    }
    config(roots)
}

/// Trusts the certificates of `authorities` (PEM) and nobody else.
pub fn only(authorities: &str) -> Result<Arc<ClientConfig>, TrustError> {
    let mut roots = RootCertStore::empty();
    add(&mut roots, authorities)?;
    config(roots)
}

fn add(roots: &mut RootCertStore, pem: &str) -> Result<(), TrustError> {
    let mut any = false;
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate.map_err(|error| TrustError::Pem(error.to_string()))?)?;
        any = true;
    }
    if any { Ok(()) } else { Err(TrustError::Empty) }
}

/// TLS 1.2 and 1.3, offering `h2` and `http/1.1`; the caller may narrow a clone's ALPN list.
fn config(roots: RootCertStore) -> Result<Arc<ClientConfig>, TrustError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".into(), b"http/1.1".into()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trust_without_certificates_is_an_error_and_not_an_empty_trust() {
        assert!(matches!(only("").unwrap_err(), TrustError::Empty));
        assert!(matches!(
            only("no certificate here").unwrap_err(),
            TrustError::Empty
        ));
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(only(broken).is_err());
        assert!(public_roots("no certificate here").is_err());
        assert!(public_roots("").is_ok());
    }
}
