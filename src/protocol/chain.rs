//! The head of the audit chain (docs/audit.md). In: the head before, and an event's canonical form. Out: the next head.

use std::fmt;

use sha2::{Digest, Sha256};

use super::name::GatewayName;

/// What the head before the first event is the hash of, with the gateway's name behind it.
const BEGIN: &str = "mailsudo-audit-1\n";

/// The head of the chain after an event: SHA-256 over the head before it and the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChainHead([u8; 32]);

impl ChainHead {
    /// The head before the first event of a gateway.
    pub fn first(gateway: &GatewayName) -> Self {
        Self(Sha256::new_with_prefix(BEGIN).chain_update(gateway.as_str()).chain_update("\n").finalize().into())
    }

    /// The head after the event with this canonical form.
    pub fn after(&self, canonical: &str) -> Self {
        Self(Sha256::new_with_prefix(self.0).chain_update(canonical).finalize().into())
    }

    /// The head with these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads the 64 lower-case hex digits that [`Display`](fmt::Display) writes.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        let head = Self(bytes);
        (head.to_string() == text).then_some(head)
    }
}

impl fmt::Display for ChainHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}
