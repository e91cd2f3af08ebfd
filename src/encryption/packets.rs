//! What an OpenPGP certificate says of itself (RFC 9580): whether its owner has revoked it, when it expires, and how
//! strong its key for encryption is. In: its armored text. Out: [`About`].
//!
//! No signature is verified here: whether the certificate can be used is the tool's word. But sqop 0.27 encrypts to a
//! certificate that was revoked (docs/measurements.md#revoked-and-expired-certificates), so a revocation that is there
//! counts, whoever made it.

use super::about::{About, RSA_BITS};
use crate::protocol::Timestamp;

/// Public-key algorithms (section 9.1).
const ALGORITHMS: [(u8, &str); 6] =
    [(1, "RSA"), (2, "RSA"), (16, "Elgamal"), (18, "ECDH"), (25, "X25519"), (26, "X448")];

/// A key packet, with what the newest of its signatures says.
#[derive(Default)]
struct Key {
    algorithm: u8,
    bits: u32,
    created: i64,
    /// When the signature was made, and how many seconds after its creation the key expires.
    signed: Option<(i64, Option<i64>)>,
    flags: Option<u8>,
    is_revoked: bool,
}

impl Key {
    fn expires(&self) -> Option<i64> {
        let after = self.signed.and_then(|(_, after)| after).filter(|after| *after > 0)?;
        Some(self.created.saturating_add(after))
    }

    /// By its flags (section 5.2.3.29) or, without any, by its algorithm.
    fn encrypts(&self) -> bool {
        let may = self
            .flags
            .map_or_else(|| ALGORITHMS.iter().any(|(number, _)| *number == self.algorithm), |flags| flags & 0x0c != 0);
        may && !self.is_revoked
    }
}

/// Reads the armored certificate `text`.
///
/// # Errors
///
/// It is none, it was revoked, or it has no key for encryption.
pub(super) fn read(text: &str) -> Result<About, &'static str> {
    let bytes = dearmored(text).ok_or("it is no OpenPGP certificate")?;
    let mut keys: Vec<Key> = Vec::new();
    let mut rest = bytes.as_slice();
    while let Some((tag, body, after)) = packet(rest) {
        rest = after;
        match tag {
            6 | 14 => keys.push(key(body).unwrap_or_default()),
            2 => signature(body).into_iter().for_each(|(kind, signature)| take(&mut keys, kind, signature)),
            _ => {}
        }
    }
    let (primary, others) = keys.split_first().ok_or("it is no OpenPGP certificate")?;
    if primary.is_revoked {
        return Err("the certificate was revoked by its owner");
    }
    let end = |key: &&Key| [key.expires(), primary.expires()].into_iter().flatten().min();
    // The last one that expires counts; one that never does is the last.
    let able = others.iter().chain([primary]).filter(|key| key.encrypts());
    let best =
        able.max_by_key(|key| end(key).unwrap_or(i64::MAX)).ok_or("the certificate has no key for encryption")?;
    let name = ALGORITHMS.iter().find(|(number, _)| *number == best.algorithm).map_or("unknown", |(_, name)| name);
    let is_rsa = name == "RSA";
    Ok(About {
        key: if is_rsa { format!("RSA {}", best.bits) } else { name.to_owned() },
        expires: end(&best).map(Timestamp::from_seconds),
        is_weak: is_rsa && best.bits < RSA_BITS || name == "Elgamal",
    })
}

/// Takes a signature (section 5.2.1) to the key that it is about: a binding or revocation of a subkey to the one before
/// it, any other to the primary key.
fn take(keys: &mut [Key], kind: u8, signature: Signature) {
    let key = if matches!(kind, 0x18 | 0x28) { keys.last_mut() } else { keys.first_mut() };
    match (key, kind) {
        (Some(key), 0x20 | 0x28) => key.is_revoked = true,
        (Some(key), 0x10..=0x13 | 0x18 | 0x1f) => key.take(signature),
        _ => {}
    }
}

impl Key {
    fn take(&mut self, signature: Signature) {
        if self.signed.is_none_or(|(made, _)| signature.made >= made) {
            self.signed = Some((signature.made, signature.expires_after));
            self.flags = signature.flags;
        }
    }
}

struct Signature {
    made: i64,
    expires_after: Option<i64>,
    flags: Option<u8>,
}

/// The bytes of an armored text (section 6.2), without the check of its CRC, which RFC 9580 no longer wants.
fn dearmored(text: &str) -> Option<Vec<u8>> {
    let (_, rest) = text.split_once("-----BEGIN PGP PUBLIC KEY BLOCK-----")?;
    let (inner, _) = rest.split_once("-----END PGP PUBLIC KEY BLOCK-----")?;
    let is_data = |line: &&str| !line.is_empty() && !line.contains(':') && !line.starts_with('=');
    let data: String = inner.lines().map(str::trim).filter(is_data).collect();
    mail_parser::decoders::base64::base64_decode(data.as_bytes())
}

/// The first packet: its type, its body, and what follows (section 4.2).
fn packet(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let (tag, length, rest) = if first & 0x40 != 0 {
        let (length, rest) = length(rest)?;
        (first & 0x3f, length, rest)
    } else {
        let size = 1_usize << (first & 3);
        ((first & 0x3c) >> 2, number(rest.get(..size)?)?, rest.get(size..)?)
    };
    Some((tag, rest.get(..length)?, rest.get(length..)?))
}

/// A length of a packet or subpacket (sections 4.2.1 and 5.2.3.7).
fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    match bytes {
        [one @ 0..=191, rest @ ..] => Some((usize::from(*one), rest)),
        [one @ 192..=223, two, rest @ ..] => Some((((usize::from(*one) - 192) << 8) + usize::from(*two) + 192, rest)),
        [255, rest @ ..] => Some((number(rest.get(..4)?)?, rest.get(4..)?)),
        _ => None,
    }
}

fn number(bytes: &[u8]) -> Option<usize> {
    let value = bytes.iter().fold(0_u64, |value, &byte| value << 8 | u64::from(byte));
    usize::try_from(value).ok().filter(|_| bytes.len() <= 4)
}

fn seconds(bytes: &[u8]) -> Option<i64> {
    number(bytes).and_then(|value| i64::try_from(value).ok())
}

/// A key packet of version 4 or 6 (section 5.5.2).
fn key(body: &[u8]) -> Option<Key> {
    let created = seconds(body.get(1..5)?)?;
    let algorithm = *body.get(5)?;
    let material = if *body.first()? == 6 { body.get(10..)? } else { body.get(6..)? };
    // The first number of an RSA key is its modulus, with its length in bits in front.
    let bits = material.get(..2).and_then(number).and_then(|bits| u32::try_from(bits).ok()).unwrap_or_default();
    Some(Key { algorithm, bits, created, ..Key::default() })
}

/// The type of a signature of version 4 or 6 (section 5.2.3) on a key, and what its hashed subpackets say.
fn signature(body: &[u8]) -> Option<(u8, Signature)> {
    let (version, kind) = (*body.first()?, *body.get(1)?);
    let size = if version == 6 { 4 } else { 2 };
    let end = 4 + size;
    let hashed = body.get(end..end + number(body.get(4..end)?)?)?;
    let mut signature = Signature { made: 0, expires_after: None, flags: None };
    let mut rest = hashed;
    while let Some((length, after)) = length(rest) {
        let (&tag, value) = after.get(..length)?.split_first()?;
        match tag & 0x7f {
            2 => signature.made = seconds(value)?,
            9 => signature.expires_after = Some(seconds(value)?),
            27 => signature.flags = value.first().copied(),
            _ => {}
        }
        rest = after.get(length..)?;
    }
    Some((kind, signature))
}
