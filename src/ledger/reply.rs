//! A stored reply, and its form in the ledger. In: a finished message, or one that is still to be encrypted. Out: one
//! value of the column `reply`.
//!
//! MUST: what stands in [`StoredReply::message`] may always be sent. So a reader that does not know of drafts, or
//! cannot open one, sends what says the outcome only.

use zeroize::Zeroizing;

use crate::config::EncryptKind;
use crate::protocol::{Key, RequestId, open_draft, seal_draft};

/// A reply as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredReply {
    /// The one address that it goes to.
    pub to: String,
    /// The whole message (RFC 5322), lines ended by LF.
    pub message: Vec<u8>,
    /// What is sent in its place, once it is encrypted.
    pub draft: Option<Draft>,
}

/// A message that is still to be encrypted by a program. Until then it is sealed under the user's key
/// ([`seal_draft`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    kind: EncryptKind,
    sealed: Vec<u8>,
}

impl StoredReply {
    /// A message that is sent as it is.
    pub fn finished(to: String, message: Vec<u8>) -> Self {
        Self { to, message, draft: None }
    }

    /// The message `plain` to the user with this `key`, which is encrypted before it is sent; `message` is sent where
    /// that fails.
    pub fn to_encrypt(
        to: String,
        message: Vec<u8>,
        plain: &[u8],
        kind: EncryptKind,
        key: &Key,
        id: &RequestId,
    ) -> Self {
        let draft = seal_draft(key, id, &bound(kind, &to), plain).map(|sealed| Draft { kind, sealed });
        Self { to, message, draft }
    }

    /// How it is to be encrypted, and the message, if one of `keys` has sealed it for the request `id`; `None` where it
    /// is sent as it is.
    pub fn open<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k Key>,
        id: &RequestId,
    ) -> Option<(EncryptKind, Option<Zeroizing<Vec<u8>>>)> {
        let draft = self.draft.as_ref()?;
        let bound = bound(draft.kind, &self.to);
        Some((draft.kind, keys.into_iter().find_map(|key| open_draft(key, id, &bound, &draft.sealed))))
    }

    /// The value of the column: the message and, where there is a draft, NUL, its kind, LF and what is sealed. No
    /// message has a NUL (RFC 5322 section 2.2).
    pub(super) fn stored(&self) -> Vec<u8> {
        let mut bytes = self.message.clone();
        if let Some(draft) = &self.draft {
            bytes.extend_from_slice(format!("\0{}\n", draft.kind).as_bytes());
            bytes.extend_from_slice(&draft.sealed);
        }
        bytes
    }

    /// The reply with this value of the column.
    pub(super) fn read(to: String, mut stored: Vec<u8>) -> Self {
        let draft = split(&stored).map(|(end, kind, sealed)| (end, Draft { kind, sealed: sealed.to_vec() }));
        let draft = draft.map(|(end, draft)| {
            stored.truncate(end);
            draft
        });
        Self { to, message: stored, draft }
    }
}

/// What a draft is bound to: nobody who can write to the ledger can have it sent in another way or to another address.
fn bound(kind: EncryptKind, to: &str) -> String {
    format!("{kind} {to}")
}

/// Where the message ends, and the draft behind it.
fn split(stored: &[u8]) -> Option<(usize, EncryptKind, &[u8])> {
    let end = stored.iter().position(|byte| *byte == 0)?;
    let rest = stored.get(end + 1..)?;
    [EncryptKind::Openpgp, EncryptKind::Smime].into_iter().find_map(|kind| {
        let sealed = rest.strip_prefix(format!("{kind}\n").as_bytes())?;
        Some((end, kind, sealed))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_reply_is_read_as_it_was() {
        let key = Key::from_hex(&"a".repeat(64)).expect("a key");
        let id = RequestId::from_bytes([1; 32]);
        let (to, short) = ("a@x".to_owned(), b"Subject: withheld\n\nok\n".to_vec());
        let plain = b"Subject: x\n\nthe output\n";
        for kind in [EncryptKind::Openpgp, EncryptKind::Smime] {
            let reply = StoredReply::to_encrypt(to.clone(), short.clone(), plain, kind, &key, &id);
            let stored = reply.stored();
            assert!(!stored.windows(10).any(|part| part == b"the output"));
            let read = StoredReply::read(to.clone(), stored);
            assert_eq!(read, reply);
            assert_eq!(read.message, short);
            let (found, opened) = read.open([&key], &id).expect("a draft");
            assert_eq!((found, opened.as_ref().map(|plain| plain.as_slice())), (kind, Some(&plain[..])));
            let elsewhere = StoredReply { to: "b@x".to_owned(), ..read };
            assert_eq!(elsewhere.open([&key], &id), Some((kind, None)), "another address");
        }
        for bytes in [&b"Subject: x\n\n\xff"[..], b"", b"\0", b"a\0openpgp", b"a\0other\nb"] {
            let read = StoredReply::read(to.clone(), bytes.to_vec());
            assert_eq!(read, StoredReply::finished(to.clone(), bytes.to_vec()));
            assert_eq!(read.stored(), bytes);
            assert_eq!(read.open([&key], &id), None);
        }
    }
}
