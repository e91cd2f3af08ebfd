//! A user's public SSH key. In: `TYPE BASE64 COMMENT`, as in a `.pub` file. Out: a key of an accepted type and size.
//! No error repeats the text, because a private key may have been given by mistake.

use ed25519_dalek::VerifyingKey;
use ssh_key::public::{Ed25519PublicKey, KeyData, RsaPublicKey};
use ssh_key::{Algorithm, EcdsaCurve, HashAlg, PublicKey};

use super::super::value::is_unsafe;

/// The accepted types, by the name that the key itself has.
const KINDS: [&str; 5] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ssh-rsa",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

/// The fewest bits of an RSA modulus (NIST SP 800-57 part 1, table 2: 128 bits of strength).
const RSA_LEAST: usize = 3072;

/// The most bits of an RSA modulus: what the crate rsa verifies. A longer signature would not fit into 64 lines either.
const RSA_MOST: usize = 8192;

/// The longest RSA exponent, in bytes. Nearly every key has 65537; the crate rsa refuses those of 2^33 and above.
const RSA_EXPONENT: usize = 4;

/// A public key that is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSshKey {
    /// It is not one line of type, base64 and perhaps a comment, or the base64 is not a key of that type.
    #[error("an SSH key is given as in its .pub file, on one line: TYPE BASE64 COMMENT, without options")]
    NotAKey,
    /// It is a private key.
    #[error("this is a private key, which belongs to its user alone: give the .pub file beside it")]
    Private,
    /// It is a certificate.
    #[error("certificates are not accepted: give the key itself, from the .pub file without -cert in its name")]
    Certificate,
    /// It is of another type.
    #[error("a key of this type is not accepted; accepted are {}", KINDS.join(", "))]
    OtherType,
    /// An RSA key of the wrong size; its bits.
    #[error(
        "an RSA key has {RSA_LEAST} to {RSA_MOST} bits, and this one has {0}: make another, best ssh-keygen -t ed25519-sk"
    )]
    RsaSize(usize),
    /// Anyone could sign under it.
    #[error("the key is weak, so that others could sign under it: make another")]
    Weak,
    /// The comment holds a character that nobody sees.
    #[error("the key's comment holds an invisible or control character: remove the comment")]
    Comment,
}

/// A public SSH key of an accepted type and size.
#[derive(Debug, Clone)]
pub struct SshKey {
    data: KeyData,
    kind: &'static str,
    comment: String,
}

impl SshKey {
    /// Reads `TYPE BASE64 COMMENT`.
    ///
    /// # Errors
    ///
    /// Why the key is not accepted.
    pub fn parse(text: &str) -> Result<Self, BadSshKey> {
        if text.contains("PRIVATE KEY") {
            return Err(BadSshKey::Private);
        }
        let mut words = text.trim().splitn(3, ' ');
        let (Some(name), Some(base64)) = (words.next(), words.next()) else {
            return Err(BadSshKey::NotAKey);
        };
        let Some(kind) = KINDS.into_iter().find(|kind| *kind == name) else {
            return Err(match name {
                _ if name.ends_with("-cert-v01@openssh.com") => BadSshKey::Certificate,
                _ if PublicKey::from_openssh(&format!("{name} {base64}")).is_ok() => BadSshKey::OtherType,
                _ => BadSshKey::NotAKey,
            });
        };
        let key = PublicKey::from_openssh(&format!("{kind} {base64}")).map_err(|_| BadSshKey::NotAKey)?;
        // Each key has one text only: with a second one, two users could have the same key unnoticed.
        if key.to_openssh().map_err(|_| BadSshKey::NotAKey)? != format!("{kind} {base64}") {
            return Err(BadSshKey::NotAKey);
        }
        let data = key.key_data().clone();
        check(&data)?;
        let comment = words.next().unwrap_or_default().trim().to_owned();
        if comment.chars().any(is_unsafe) {
            return Err(BadSshKey::Comment);
        }
        Ok(Self { data, kind, comment })
    }

    /// The name of its type, such as `ssh-ed25519`.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// Its SHA-256 fingerprint, as `ssh-keygen -l` prints it.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.data)
    }

    /// The comment, perhaps empty.
    pub fn comment(&self) -> &str {
        &self.comment
    }

    /// Whether it is a FIDO key, whose signatures say whether its user was present and verified.
    pub fn is_fido(&self) -> bool {
        matches!(self.data, KeyData::SkEd25519(_) | KeyData::SkEcdsaSha2NistP256(_))
    }

    pub(super) fn data(&self) -> &KeyData {
        &self.data
    }

    /// The algorithm of its signatures. RSA has one of three: RFC 8332's with SHA-512.
    pub(super) fn signs_by(&self) -> Algorithm {
        match &self.data {
            KeyData::Rsa(_) => Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
            other => other.algorithm(),
        }
    }
}

/// Two keys are the same whatever their comments say.
impl PartialEq for SshKey {
    fn eq(&self, other: &Self) -> bool {
        self.data == other.data
    }
}

impl Eq for SshKey {}

impl std::fmt::Display for SshKey {
    /// As in a `.pub` file.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = PublicKey::from(self.data.clone()).to_openssh().map_err(|_| std::fmt::Error)?;
        f.write_str(&text)?;
        if self.comment.is_empty() { Ok(()) } else { write!(f, " {}", self.comment) }
    }
}

pub(super) fn fingerprint(data: &KeyData) -> String {
    data.fingerprint(HashAlg::Sha256).to_string()
}

fn check(data: &KeyData) -> Result<(), BadSshKey> {
    match data {
        KeyData::Ed25519(key) => check_ed25519(key),
        KeyData::SkEd25519(key) => check_ed25519(key.public_key()),
        KeyData::Rsa(key) => check_rsa(key),
        // OpenSSH writes points uncompressed only (RFC 5656 section 3.1), and so the key in a signature.
        KeyData::Ecdsa(key) if matches!(key.curve(), EcdsaCurve::NistP256) && is_uncompressed(key.as_sec1_bytes()) => {
            Ok(())
        }
        KeyData::SkEcdsaSha2NistP256(key) if is_uncompressed(key.ec_point().as_bytes()) => Ok(()),
        KeyData::Ecdsa(_) | KeyData::SkEcdsaSha2NistP256(_) => Err(BadSshKey::NotAKey),
        _ => Err(BadSshKey::OtherType),
    }
}

/// Whether a point is uncompressed (SEC 1 section 2.3.3).
fn is_uncompressed(point: &[u8]) -> bool {
    point.first() == Some(&4)
}

/// Under a key of small order, a signature can be made that holds for nearly every message.
fn check_ed25519(key: &Ed25519PublicKey) -> Result<(), BadSshKey> {
    let key = VerifyingKey::try_from(key).map_err(|_| BadSshKey::NotAKey)?;
    if key.is_weak() { Err(BadSshKey::Weak) } else { Ok(()) }
}

fn check_rsa(key: &RsaPublicKey) -> Result<(), BadSshKey> {
    let (Some(modulus), Some(exponent)) = (key.n().as_positive_bytes(), key.e().as_positive_bytes()) else {
        return Err(BadSshKey::NotAKey);
    };
    // `RsaPublicKey::key_size` counts whole bytes.
    let unused = modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
    let bits = (8 * modulus.len()).saturating_sub(unused);
    if !(RSA_LEAST..=RSA_MOST).contains(&bits) {
        return Err(BadSshKey::RsaSize(bits));
    }
    let is_odd = |bytes: &[u8]| bytes.last().is_some_and(|byte| byte % 2 == 1);
    if !is_odd(modulus) || !is_odd(exponent) || exponent == [1] {
        return Err(BadSshKey::Weak);
    }
    if exponent.len() > RSA_EXPONENT { Err(BadSshKey::NotAKey) } else { Ok(()) }
}
