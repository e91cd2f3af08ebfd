//! Mail that is encrypted as a whole: PGP/MIME (RFC 3156 section 4) or S/MIME (RFC 8551 section 3.3). In: a message.
//! Out: how it is encrypted, and the encrypted data. Nothing is decrypted here.

use std::borrow::Cow;

use super::mime::{Entity, Kind, parts};
use super::text;
use crate::config::EncryptKind;

/// The contents of CMS that are encrypted, by their object identifiers in DER: EnvelopedData (RFC 5652) and
/// AuthEnvelopedData (RFC 5083).
const ENVELOPED: [&[u8]; 2] = [
    &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x03],
    &[0x06, 0x0b, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01, 0x17],
];

/// SignedData (RFC 5652), whose content is inside it.
const SIGNED: [&[u8]; 1] = [&[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02]];

/// How `raw` is encrypted, a message or pasted text; `None` where it is not.
pub fn encrypted_as(raw: &[u8]) -> Option<EncryptKind> {
    if raw.trim_ascii_start().starts_with(b"-----BEGIN PGP MESSAGE-----") {
        return Some(EncryptKind::Openpgp);
    }
    find(&Entity::new(raw)).map(|(kind, _)| kind)
}

/// The data of a message that is encrypted with OpenPGP, or a whole message that is encrypted with S/MIME; `None` for
/// any other.
pub fn encrypted_data(raw: &[u8]) -> Option<Cow<'_, [u8]>> {
    match find(&Entity::new(raw)) {
        Some((EncryptKind::Openpgp, data)) => Some(Cow::Owned(data.into_owned())),
        Some((EncryptKind::Smime, _)) => Some(Cow::Borrowed(raw)),
        None => None,
    }
}

/// How `message` is encrypted, and the data: armored or binary OpenPGP, or CMS in DER.
pub(super) fn find<'m>(message: &Entity<'m>) -> Option<(EncryptKind, Cow<'m, [u8]>)> {
    let content = message.content()?;
    match (&content.kind, content.media_type.as_str()) {
        (Kind::Multipart { boundary, .. }, "multipart/encrypted") => {
            let data = parts(message.body(), boundary).map(Entity::new).find_map(|part| {
                let content = part.content()?;
                let is_data = content.media_type == "application/octet-stream";
                is_data.then(|| text::bytes(content.encoding, part.body()))
            })?;
            Some((EncryptKind::Openpgp, data))
        }
        _ => cms(message, &ENVELOPED).map(|data| (EncryptKind::Smime, data)),
    }
}

/// The data of a part that is signed with S/MIME, and opaque: its content is inside the data (RFC 8551 section 3.5.2).
pub(super) fn opaque<'m>(message: &Entity<'m>) -> Option<Cow<'m, [u8]>> {
    cms(message, &SIGNED)
}

/// The CMS data of a part, in DER, if its content is of one of these `types`.
fn cms<'m>(message: &Entity<'m>, types: &[&[u8]]) -> Option<Cow<'m, [u8]>> {
    let content = message.content()?;
    if !["application/pkcs7-mime", "application/x-pkcs7-mime"].contains(&content.media_type.as_str()) {
        return None;
    }
    let data = text::bytes(content.encoding, message.body());
    let start = data.get(..data.len().min(32))?;
    let is_wanted = types.iter().any(|wanted| start.windows(wanted.len()).any(|found| found == *wanted));
    is_wanted.then_some(data)
}
