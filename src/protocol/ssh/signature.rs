//! An SSHSIG over a request. In: its base64, from `sig` lines or from `ssh-keygen -Y sign`. Out: whether it holds under
//! a key.
//!
//! MUST: each signature has one encoding only. What ssh-key reads is written again and compared, so nothing that
//! follows the blob, and no other base64 of the same bytes, passes.

use ssh_key::encoding::base64::{Base64, Encoding};
use ssh_key::encoding::{Decode, Encode};
use ssh_key::public::KeyData;
use ssh_key::{Algorithm, HashAlg, PublicKey, SshSig};

use super::key::{SshKey, fingerprint};

/// The namespace of every signature, which keeps a signature over a file or a git commit from being one over a request.
pub const NAMESPACE: &str = "mailsudo@v1";

/// The most `sig` lines of a request (writer's rule 1). An SSHSIG under an RSA key of 8192 bits needs 45.
pub(in crate::protocol) const MAX_LINES: usize = 64;

/// The most characters of a `sig` line.
pub(in crate::protocol) const MAX_LINE: usize = 64;

/// The bytes behind a FIDO signature: one of flags, four of a counter (PROTOCOL.u2f).
const FIDO_TRAILER: usize = 5;

/// The flag for a user who touched the key (W3C Web Authentication, authenticator data).
const PRESENT: u8 = 0x01;

/// The flag for a user who gave the key a PIN or a fingerprint.
const VERIFIED: u8 = 0x04;

/// A signature that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadSignature {
    /// It is not the base64 of one SSHSIG of version 1.
    #[error(
        "the sig lines are not one signature as `ssh-keygen -Y sign` makes it, in base64 without its first and last line"
    )]
    Unreadable,
    /// It is made under a certificate.
    #[error("the signature is made with a certificate, which is not accepted: sign with the key itself")]
    Certificate,
    /// It is made for another purpose.
    #[error("the signature has another namespace than {NAMESPACE}: sign with `ssh-keygen -Y sign -n {NAMESPACE}`")]
    Namespace,
    /// Its hash is another than SHA-512.
    #[error("the signature has another hash than sha512, or RSA with another than rsa-sha2-512")]
    Hash,
    /// The key has not signed these lines.
    #[error("the signature does not belong to these lines: they were changed, or signed under another key")]
    Wrong,
    /// The FIDO key does not say that its user was present.
    #[error("the key signed without a touch: use a key that was made without the option no-touch-required")]
    NotPresent,
}

/// What a FIDO key says about its user, who was present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Touch {
    /// Whether the key verified the user, by a PIN or a fingerprint.
    pub is_verified: bool,
    /// How many signatures the key has made; some keys always say 0.
    pub counter: u32,
}

/// An SSHSIG that was read, and holds for nothing yet.
#[derive(Debug)]
pub struct SshSignature(SshSig);

/// Whether `text` is made of base64's characters.
pub(in crate::protocol) fn is_base64(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte))
}

impl SshSignature {
    /// Reads the base64 of one SSHSIG: of `sig` lines, joined.
    ///
    /// # Errors
    ///
    /// [`BadSignature::Unreadable`].
    pub fn from_base64(text: &str) -> Result<Self, BadSignature> {
        let read = || {
            let bytes = Base64::decode_vec(text).ok()?;
            let signature = SshSig::decode(&mut bytes.as_slice()).ok()?;
            let same = signature.encode_vec().ok()? == bytes && Base64::encode_string(&bytes) == text;
            (same && signature.version() == SshSig::VERSION && signature.reserved().is_empty())
                .then_some(Self(signature))
        };
        read().ok_or(BadSignature::Unreadable)
    }

    /// Reads what `ssh-keygen -Y sign` writes.
    ///
    /// # Errors
    ///
    /// [`BadSignature::Unreadable`].
    pub fn from_armor(text: &str) -> Result<Self, BadSignature> {
        let body = text.trim().strip_prefix("-----BEGIN SSH SIGNATURE-----");
        let body = body.and_then(|body| body.strip_suffix("-----END SSH SIGNATURE-----"));
        let base64: String = body.ok_or(BadSignature::Unreadable)?.split_ascii_whitespace().collect();
        Self::from_base64(&base64)
    }

    /// The values of its `sig` lines.
    ///
    /// # Errors
    ///
    /// [`BadSignature::Unreadable`]: it needs more than 64 lines.
    pub(in crate::protocol) fn lines(&self) -> Result<Vec<String>, BadSignature> {
        let bytes = self.0.encode_vec().map_err(|_| BadSignature::Unreadable)?;
        let text: Vec<_> = Base64::encode_string(&bytes).chars().collect();
        let lines: Vec<String> = text.chunks(MAX_LINE).map(|line| line.iter().collect()).collect();
        if lines.len() > MAX_LINES { Err(BadSignature::Unreadable) } else { Ok(lines) }
    }

    /// The fingerprint of the key that it says made it.
    pub fn fingerprint(&self) -> String {
        fingerprint(self.0.public_key())
    }

    /// Whether it says that `key` made it.
    pub fn names(&self, key: &SshKey) -> bool {
        self.0.public_key() == key.data()
    }

    /// Whether it says that a certificate made it.
    pub fn is_by_certificate(&self) -> bool {
        matches!(self.0.public_key(), KeyData::Certificate(_))
    }

    /// Whether `key` signed `lines`, with its user present. A key that is no FIDO key says nothing of its user.
    ///
    /// # Errors
    ///
    /// Why it does not hold.
    pub fn verify(&self, key: &SshKey, lines: &[u8]) -> Result<Option<Touch>, BadSignature> {
        let signature = self.0.signature();
        if self.is_by_certificate() {
            return Err(BadSignature::Certificate);
        }
        if self.0.namespace() != NAMESPACE {
            return Err(BadSignature::Namespace);
        }
        let by = signature.algorithm();
        let is_other_rsa = matches!(by, Algorithm::Rsa { .. }) && by != key.signs_by();
        if self.0.hash_alg() != HashAlg::Sha512 || (is_other_rsa && matches!(key.data(), KeyData::Rsa(_))) {
            return Err(BadSignature::Hash);
        }
        if by != key.signs_by() {
            return Err(BadSignature::Wrong);
        }
        // It compares the key and the namespace too.
        PublicKey::from(key.data().clone()).verify(NAMESPACE, lines, &self.0).map_err(|_| BadSignature::Wrong)?;
        if !key.is_fido() {
            return Ok(None);
        }
        let bytes = signature.as_bytes();
        let trailer = bytes.len().checked_sub(FIDO_TRAILER).and_then(|start| bytes.get(start..));
        let Some([flags, counter @ ..]) = trailer.and_then(|trailer| <[u8; FIDO_TRAILER]>::try_from(trailer).ok())
        else {
            return Err(BadSignature::Unreadable);
        };
        if flags & PRESENT == 0 {
            return Err(BadSignature::NotPresent);
        }
        Ok(Some(Touch { is_verified: flags & VERIFIED != 0, counter: u32::from_be_bytes(counter) }))
    }
}
