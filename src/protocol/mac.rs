//! HMAC-SHA-256 over a block's lines (writer's rule 5, reader's rules 6 and 8).
//! In: a key and bytes. Out: a mac, or whether it is right. Keys are wiped and never shown.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac as _};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// A user's HMAC key, 32 bytes. Wiped when dropped; its `Debug` form shows nothing. It stays where it was first
/// written, on the heap: a value that moves leaves unwiped copies of itself behind.
#[derive(Clone)]
pub struct Key(Box<Zeroizing<[u8; 32]>>);

/// What is hashed before the key, so that the fingerprint is no hash of anything else.
const FINGERPRINT: &str = "mailsudo-key-1\n";

/// The text given for a key is not 64 hex digits. It is never repeated in the error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an HMAC key is 64 hex digits (32 bytes)")]
pub struct BadKey;

impl Key {
    /// Takes 32 bytes of key material from `fill`, in the place where they stay.
    ///
    /// # Errors
    ///
    /// The error of `fill`.
    pub fn filled_by<E>(fill: impl FnOnce(&mut [u8; 32]) -> Result<(), E>) -> Result<Self, E> {
        let mut bytes = Box::new(Zeroizing::new([0; 32]));
        fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// Reads 64 hex digits of either case.
    pub fn from_hex(text: &str) -> Result<Self, BadKey> {
        Self::filled_by(|bytes| hex::decode_to_slice(text, bytes).map_err(|_| BadKey))
    }

    /// The key as 64 hex digits, for writing a secrets file and for nothing else.
    pub fn to_hex(&self) -> Zeroizing<String> {
        Zeroizing::new(hex::encode(**self.0))
    }

    /// Whether it is the same key.
    pub fn is(&self, other: &Self) -> bool {
        **self.0 == **other.0
    }

    /// The key's fingerprint: the first 16 hex digits of the SHA-256 over `mailsudo-key-1` LF and the 32 bytes. It
    /// names a key, and the key cannot be found from it.
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::new_with_prefix(FINGERPRINT).chain_update(**self.0).finalize();
        let mut digits = hex::encode(digest);
        digits.truncate(16);
        digits
    }

    /// 32 bytes for another purpose, which `text` names: HMAC-SHA-256 over it. No block begins like any such text.
    pub(super) fn derive(&self, text: &[u8]) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.hmac(text).finalize().into_bytes().into())
    }

    /// The mac over `lines`.
    pub(super) fn sign(&self, lines: &[u8]) -> Mac {
        Mac(self.hmac(lines).finalize().into_bytes().into())
    }

    /// Whether `mac` is the mac over `lines`; takes the same time for both answers (reader's rule 6).
    pub(super) fn verifies(&self, lines: &[u8], mac: &Mac) -> bool {
        self.hmac(lines).verify_slice(&mac.0).is_ok()
    }

    fn hmac(&self, lines: &[u8]) -> Hmac<Sha256> {
        // `new` takes exactly the block size and so cannot fail; a 32-byte key is padded with zeros (RFC 2104).
        let mut block = Zeroizing::new([0; 64]);
        block.iter_mut().zip(self.0.iter()).for_each(|(to, from)| *to = *from);
        let mut hmac = Hmac::<Sha256>::new((&*block).into());
        hmac.update(lines);
        hmac
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// A block's mac, 32 bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Mac([u8; 32]);

impl Mac {
    /// Reads 64 hex digits of either case (reader's rule 5).
    pub(super) fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }

    pub(super) fn to_hex(&self) -> String {
        hex::encode(self.0)
    }

    /// The request's id, which never changes (reader's rule 8).
    pub(super) fn request_id(&self) -> RequestId {
        RequestId(Sha256::digest(self.0).into())
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mac(..)")
    }
}

/// A request's full id: the SHA-256 of its mac's 32 bytes (reader's rule 8). The mac cannot be found from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId([u8; 32]);

impl RequestId {
    /// How many hex digits of the id are shown.
    pub const SHORT: usize = 12;

    /// The id from its 32 bytes, as the ledger stores it.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads 64 lower-case hex digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        (!text.bytes().any(|byte| byte.is_ascii_uppercase())).then_some(Self(bytes))
    }

    /// The short id that is shown: the first 12 hex digits.
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(Self::SHORT);
        text
    }
}

impl fmt::Display for RequestId {
    /// All 64 hex digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_shows_no_key() {
        let key = Key::from_hex(&"ab".repeat(32)).expect("a key");
        assert_eq!(format!("{key:?}"), "Key(..)");
        assert_eq!(key.to_hex().as_str(), "ab".repeat(32));
        assert_eq!(Key::from_hex(&"AB".repeat(32)).map(|key| key.to_hex()), Ok(key.to_hex()));
        for bad in ["", "ab", &"g".repeat(64), &"a".repeat(65)] {
            assert_eq!(Key::from_hex(bad).err(), Some(BadKey));
        }
    }
}
