//! TLS as a client: version 1.3 alone, and without a certificate of its own. Code that never runs is left out of the
//! program: TLS 1.2, and signing with RSA and ECDSA keys.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, KeyProvider, ring};
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::SigningKey;
use rustls::{ClientConfig, Error, RootCertStore};

/// A configuration that trusts servers whose certificates these authorities have signed.
///
/// # Errors
///
/// rustls has no TLS 1.3, which its features exclude.
pub fn client(roots: RootCertStore) -> Result<ClientConfig, Error> {
    let provider = CryptoProvider { key_provider: &NoKeys, ..ring::default_provider() };
    Ok(ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// Reads no private key: this client has none.
#[derive(Debug)]
struct NoKeys;

impl KeyProvider for NoKeys {
    fn load_private_key(&self, _: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Error> {
        Err(Error::General("this client has no certificate".to_owned()))
    }
}
