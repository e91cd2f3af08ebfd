//! TLS as a client: version 1.3 alone, and without a certificate of its own.
//!
//! The provider below names each algorithm instead of taking ring's list of all. What is not named is left out of the
//! program: TLS 1.2, QUIC's ciphers, signing with RSA and ECDSA keys, and ring's P-256 (docs/decisions/0052).

mod p256;

use std::sync::Arc;

use rustls::crypto::ring::{cipher_suite, kx_group};
use rustls::crypto::{CryptoProvider, GetRandomFailed, KeyProvider, SecureRandom, WebPkiSupportedAlgorithms};
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::SigningKey;
use rustls::{
    CipherSuiteCommon, ClientConfig, Error, RootCertStore, SignatureScheme, SupportedCipherSuite, Tls13CipherSuite,
};
use webpki::ring as algorithms;

/// A configuration that trusts servers whose certificates these authorities have signed.
///
/// # Errors
///
/// rustls has no TLS 1.3, which its features exclude.
pub fn client(roots: RootCertStore) -> Result<ClientConfig, Error> {
    Ok(ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// What TLS 1.3 servers use in practice, the preferred first.
fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: [&AES_256_GCM, &AES_128_GCM, &CHACHA20_POLY1305].map(SupportedCipherSuite::Tls13).to_vec(),
        // PostgreSQL up to version 17 takes P-256 alone, unless ssl_ecdh_curve says otherwise.
        kx_groups: vec![kx_group::X25519, &p256::Secp256r1, kx_group::SECP384R1],
        signature_verification_algorithms: SIGNATURES,
        secure_random: &Kernel,
        key_provider: &NoKeys,
    }
}

static AES_256_GCM: Tls13CipherSuite = without_quic(cipher_suite::TLS13_AES_256_GCM_SHA384);
static AES_128_GCM: Tls13CipherSuite = without_quic(cipher_suite::TLS13_AES_128_GCM_SHA256);
static CHACHA20_POLY1305: Tls13CipherSuite = without_quic(cipher_suite::TLS13_CHACHA20_POLY1305_SHA256);

const fn without_quic(suite: SupportedCipherSuite) -> Tls13CipherSuite {
    let SupportedCipherSuite::Tls13(suite) = suite;
    let CipherSuiteCommon { suite: name, hash_provider, confidentiality_limit } = suite.common;
    Tls13CipherSuite {
        common: CipherSuiteCommon { suite: name, hash_provider, confidentiality_limit },
        hkdf_provider: suite.hkdf_provider,
        aead_alg: suite.aead_alg,
        quic: None,
    }
}

/// The signatures of certificates, and those by which a server proves that it has its certificate's key. TLS 1.3 fixes
/// the curve of each ECDSA scheme (RFC 8446, section 4.2.3); in certificates each curve stands with either hash.
static SIGNATURES: WebPkiSupportedAlgorithms = WebPkiSupportedAlgorithms {
    all: &[
        &p256::ECDSA_SHA256,
        &p256::ECDSA_SHA384,
        algorithms::ECDSA_P384_SHA256,
        algorithms::ECDSA_P384_SHA384,
        algorithms::ED25519,
        algorithms::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
        algorithms::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
        algorithms::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
        algorithms::RSA_PKCS1_2048_8192_SHA256,
        algorithms::RSA_PKCS1_2048_8192_SHA384,
        algorithms::RSA_PKCS1_2048_8192_SHA512,
        algorithms::RSA_PKCS1_2048_8192_SHA256_ABSENT_PARAMS,
        algorithms::RSA_PKCS1_2048_8192_SHA384_ABSENT_PARAMS,
        algorithms::RSA_PKCS1_2048_8192_SHA512_ABSENT_PARAMS,
    ],
    mapping: &[
        (SignatureScheme::ECDSA_NISTP384_SHA384, &[algorithms::ECDSA_P384_SHA384]),
        (SignatureScheme::ECDSA_NISTP256_SHA256, &[&p256::ECDSA_SHA256]),
        (SignatureScheme::ED25519, &[algorithms::ED25519]),
        (SignatureScheme::RSA_PSS_SHA512, &[algorithms::RSA_PSS_2048_8192_SHA512_LEGACY_KEY]),
        (SignatureScheme::RSA_PSS_SHA384, &[algorithms::RSA_PSS_2048_8192_SHA384_LEGACY_KEY]),
        (SignatureScheme::RSA_PSS_SHA256, &[algorithms::RSA_PSS_2048_8192_SHA256_LEGACY_KEY]),
        (SignatureScheme::RSA_PKCS1_SHA512, &[algorithms::RSA_PKCS1_2048_8192_SHA512]),
        (SignatureScheme::RSA_PKCS1_SHA384, &[algorithms::RSA_PKCS1_2048_8192_SHA384]),
        (SignatureScheme::RSA_PKCS1_SHA256, &[algorithms::RSA_PKCS1_2048_8192_SHA256]),
    ],
};

/// The kernel's random numbers (getrandom(2)).
#[derive(Debug)]
struct Kernel;

impl SecureRandom for Kernel {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), GetRandomFailed> {
        getrandom::fill(buffer).map_err(|_| GetRandomFailed)
    }
}

/// Reads no private key: this client has none.
#[derive(Debug)]
struct NoKeys;

impl KeyProvider for NoKeys {
    fn load_private_key(&self, _: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Error> {
        Err(Error::General("this client has no certificate".to_owned()))
    }
}
