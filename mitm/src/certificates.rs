//! Leaf certificates for intercepted hosts, minted on demand and kept ready.
//!
//! One P-256 key per process serves every leaf; it is never the authority's. A host's first connection mints,
//! whoever comes at the same time waits for that one, and everyone after gets the finished TLS configuration.
//! Nothing here decides which hosts: it is asked only for hosts that the policy admitted at CONNECT.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use moka::future::Cache;
use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
    SerialNumber,
};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::sync::OnceCell;

use crate::authority::Host;

/// How long a leaf is valid.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// When a cached leaf is minted anew: halfway, so that one in use never expires.
const RENEWAL: Duration = Duration::from_secs(12 * 3600);
/// Leeway for a clock that is behind (an agent container has the host's, a remote tool may not).
const BACKDATED: Duration = Duration::from_secs(5 * 60);
/// Bytes of a serial number: at most 20 (RFC 5280 §4.1.2.2), unpredictable from 8 on.
const SERIAL_BYTES: usize = 16;
/// The longest common name (RFC 5280, ub-common-name).
const MAX_COMMON_NAME: usize = 64;

/// Why the authority could not be used or a leaf not be minted.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("the CA certificate cannot be read: {0}")]
    Authority(String),
    #[error("the CA key cannot be read: {0}")]
    AuthorityKey(String),
    #[error("the CA certificate and the CA key do not belong together")]
    NotAPair,
    #[error("no leaf certificate could be made for {host}: {cause}")]
    Mint { host: String, cause: String },
}

/// The certificate authority that the agent trusts. Its key is never shown.
pub struct CertificateAuthority {
    issuer: Issuer<'static, KeyPair>,
}

/// What every leaf shares.
struct LeafKey {
    pair: KeyPair,
    signing: Arc<dyn SigningKey>,
}

/// The leaves.
pub(crate) struct Certificates {
    authority: CertificateAuthority,
    provider: Arc<CryptoProvider>,
    key: OnceCell<Arc<LeafKey>>,
    ready: Cache<(Host, bool), Arc<ServerConfig>>,
}

// === impl CertificateAuthority ===

impl CertificateAuthority {
    /// Reads a certificate and its private key (PKCS#8, SEC1 or PKCS#1), both PEM.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, CertificateError> {
        let unreadable = |error: &dyn fmt::Display| CertificateError::Authority(error.to_string());
        let certificate =
            CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(|error| unreadable(&error))?;
        // The key's own errors could quote it; they are replaced by what can be said safely.
        let key_error = || CertificateError::AuthorityKey("not a PEM private key of a known kind".into());
        let key_der = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| key_error())?;
        let pair = KeyPair::try_from(&key_der).map_err(|_| key_error())?;
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        CertifiedKey::from_der(vec![certificate.clone()], key_der, &provider)
            .map_err(|_| CertificateError::NotAPair)?;
        let issuer = Issuer::from_ca_cert_der(&certificate, pair).map_err(|error| unreadable(&error))?;
        Ok(Self { issuer })
    }
}

impl fmt::Debug for CertificateAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateAuthority").finish_non_exhaustive()
    }
}

// === impl Certificates ===

impl Certificates {
    pub(crate) fn new(authority: CertificateAuthority, provider: Arc<CryptoProvider>, capacity: u64) -> Self {
        let ready = Cache::builder()
            .max_capacity(capacity)
            .time_to_live(RENEWAL)
            .build();
        Self {
            authority,
            provider,
            key: OnceCell::new(),
            ready,
        }
    }

    /// Seeds the random number generator and makes the leaf key: 25–36 ms of CPU, off the runtime's threads.
    pub(crate) async fn warm_up(&self) -> Result<(), CertificateError> {
        self.key().await.map(drop)
    }

    /// The TLS configuration that presents a leaf for `host`, offering `h2` to the agent when asked to.
    pub(crate) async fn config(
        &self,
        host: &Host,
        http2: bool,
    ) -> Result<Arc<ServerConfig>, CertificateError> {
        let cache_key = (host.clone(), http2);
        if let Some(config) = self.ready.get(&cache_key).await {
            return Ok(config);
        }
        let minted = self.ready.try_get_with(cache_key, async {
            let key = self.key().await?;
            self.mint(host, http2, &key)
        });
        minted
            .await
            .map_err(|error: Arc<CertificateError>| CertificateError::clone(&error))
    }

    async fn key(&self) -> Result<Arc<LeafKey>, CertificateError> {
        let provider = Arc::clone(&self.provider);
        let key = self.key.get_or_try_init(|| async move {
            let made = tokio::task::spawn_blocking(move || LeafKey::generate(&provider)).await;
            made.map_err(|_| mint_error("any host", "key generation was stopped"))?
                .map(Arc::new)
        });
        key.await.cloned()
    }

    fn mint(&self, host: &Host, http2: bool, key: &LeafKey) -> Result<Arc<ServerConfig>, CertificateError> {
        let failed = |cause: &dyn fmt::Display| mint_error(host, &cause.to_string());
        let certificate = leaf_params(host)
            .map_err(|error| failed(&error))?
            .signed_by(&key.pair, &self.authority.issuer)
            .map_err(|error| failed(&error))?;
        let certified = CertifiedKey::new(vec![certificate.der().clone()], Arc::clone(&key.signing));
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(&error))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        // No resumption: on this leg it saves nothing, and a ticket after the handshake costs a delayed ACK
        // (44 ms) wherever TCP_NODELAY is missing on the other side.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.alpn_protocols = if http2 {
            vec![b"h2".into(), b"http/1.1".into()]
        } else {
            vec![b"http/1.1".into()]
        };
        Ok(Arc::new(config))
    }
}

impl LeafKey {
    fn generate(provider: &CryptoProvider) -> Result<Self, CertificateError> {
        let failed = |cause: &dyn fmt::Display| mint_error("any host", &cause.to_string());
        let pair = KeyPair::generate().map_err(|error| failed(&error))?;
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pair.serialize_der()));
        let signing = provider
            .key_provider
            .load_private_key(der)
            .map_err(|error| failed(&error))?;
        Ok(Self { pair, signing })
    }
}

fn leaf_params(host: &Host) -> Result<CertificateParams, Box<dyn std::error::Error>> {
    let mut params = CertificateParams::default();
    let now = SystemTime::now();
    params.not_before = (now - BACKDATED).into();
    params.not_after = (now + LIFETIME).into();
    params.serial_number = Some(random_serial()?);
    params.subject_alt_names = vec![match host {
        Host::Dns(name) => SanType::DnsName(name.as_str().try_into()?),
        Host::Ip(address) => SanType::IpAddress(IpAddr::clone(address)),
    }];
    let name = host.to_string();
    // Clients look at the alternative name only; the common name is for people who look at the certificate.
    let common_name = if name.len() <= MAX_COMMON_NAME {
        name
    } else {
        "intercepted host".into()
    };
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn random_serial() -> Result<SerialNumber, Box<dyn std::error::Error>> {
    let mut serial = [0_u8; SERIAL_BYTES];
    aws_lc_rs::rand::fill(&mut serial)?;
    // A serial is a positive integer without superfluous leading zeros (RFC 5280 §4.1.2.2).
    serial[0] = (serial[0] & 0x7f) | 0x40;
    Ok(SerialNumber::from_slice(&serial))
}

fn mint_error(host: impl fmt::Display, cause: &str) -> CertificateError {
    CertificateError::Mint {
        host: host.to_string(),
        cause: cause.to_owned(),
    }
}

#[cfg(test)]
mod tests;
