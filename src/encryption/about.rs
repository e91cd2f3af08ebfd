//! What is said of a certificate. In: what its reader finds. Out: words and times for `check` and `user show`.

use crate::config::EncryptKind;
use crate::protocol::Timestamp;

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Algorithm and, for RSA and EC, the bits of the key that is encrypted to.
    pub key: String,
    /// When it expires; `None`: never.
    pub expires: Option<Timestamp>,
    /// Whether the key is weaker than it should be.
    pub is_weak: bool,
}

/// The least bits of an RSA key that is not weak.
pub(super) const RSA_BITS: u32 = 2048;

/// The least bits of an EC key that is not weak.
pub(super) const EC_BITS: u32 = 224;

/// What kind of certificate `text` is.
///
/// # Errors
///
/// It is none, or it holds a private key, which does not belong on the gateway.
pub fn kind_of(text: &str) -> Result<EncryptKind, &'static str> {
    if text.contains("PRIVATE KEY") {
        return Err("it holds a private key, which only the user may have: give the certificate alone");
    }
    if text.contains("-----BEGIN PGP PUBLIC KEY BLOCK-----") {
        return Ok(EncryptKind::Openpgp);
    }
    if text.contains("-----BEGIN CERTIFICATE-----") {
        return Ok(EncryptKind::Smime);
    }
    Err("it is neither an armored OpenPGP certificate nor an X.509 certificate in PEM")
}
