//! A reply that is still to be encrypted by a program, as the ledger keeps it until then. In: the user's key, the
//! request and the finished message. Out: the same message, sealed under a key that is derived from both.
//!
//! Key: HMAC-SHA-256 over `mailsudo-draft-1` and the request's id, each ended by LF, under the user's key. Cipher:
//! ChaCha20-Poly1305 (RFC 8439). Nonce: the first 12 bytes of an HMAC over `mailsudo-draft-nonce-1`, the request's id,
//! what it is bound to and the message: one request may have two replies, and no two messages have the same nonce. The
//! nonce stands first.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::{Zeroize, Zeroizing};

use super::mac::{Key, RequestId};

/// `message`, sealed. It is opened only where `bound` is the same. `None` where the cipher refuses to work.
pub fn seal_draft(key: &Key, id: &RequestId, bound: &str, message: &[u8]) -> Option<Vec<u8>> {
    let start = format!("mailsudo-draft-nonce-1\n{id}\n{bound}\n");
    let text = Zeroizing::new([start.as_bytes(), message].concat());
    let digest = key.derive(&text);
    let nonce = *digest.first_chunk::<NONCE_LEN>()?;
    let mut sealed = Vec::with_capacity(NONCE_LEN + message.len() + CHACHA20_POLY1305.tag_len());
    sealed.extend_from_slice(message);
    let aad = Aad::from(bound.as_bytes());
    let done = cipher(key, id)?.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed);
    if done.is_err() {
        sealed.zeroize();
        return None;
    }
    sealed.splice(..0, nonce);
    Some(sealed)
}

/// The message that was sealed; `None` where it was not sealed under `key` for this request and `bound`.
pub fn open_draft(key: &Key, id: &RequestId, bound: &str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
    let mut bytes = Zeroizing::new(sealed.to_vec());
    let aad = Aad::from(bound.as_bytes());
    let opened = cipher(key, id)?.open_in_place(Nonce::assume_unique_for_key(*nonce), aad, &mut bytes).ok()?;
    let length = opened.len();
    bytes.truncate(length);
    Some(bytes)
}

fn cipher(key: &Key, id: &RequestId) -> Option<LessSafeKey> {
    let own = key.derive(format!("mailsudo-draft-1\n{id}\n").as_bytes());
    UnboundKey::new(&CHACHA20_POLY1305, own.as_slice()).ok().map(LessSafeKey::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_key_that_sealed_a_message_opens_it() {
        let key = |digit: &str| Key::from_hex(&digit.repeat(64)).expect("a key");
        let id = |byte| RequestId::from_bytes([byte; 32]);
        for message in [&b""[..], b"Subject: x\n\nthe output\n", &vec![0; 1 << 16]] {
            let sealed = seal_draft(&key("a"), &id(1), "openpgp a@x", message).expect("sealed");
            assert!(message.is_empty() || !sealed.windows(message.len()).any(|part| part == message));
            let open = |key: &Key, id, bound, sealed: &[u8]| open_draft(key, &id, bound, sealed).map(|m| m.to_vec());
            assert_eq!(open(&key("a"), id(1), "openpgp a@x", &sealed).as_deref(), Some(message));
            assert_eq!(open(&key("b"), id(1), "openpgp a@x", &sealed), None, "another key");
            assert_eq!(open(&key("a"), id(2), "openpgp a@x", &sealed), None, "another request");
            assert_eq!(open(&key("a"), id(1), "openpgp b@x", &sealed), None, "another address");
            for at in [0, NONCE_LEN, sealed.len() - 1] {
                let mut changed = sealed.clone();
                changed[at] ^= 1;
                assert_eq!(open(&key("a"), id(1), "openpgp a@x", &changed), None, "byte {at}");
            }
            for short in [0, NONCE_LEN - 1, NONCE_LEN, sealed.len() - 1] {
                assert_eq!(open(&key("a"), id(1), "openpgp a@x", &sealed[..short]), None, "{short} bytes");
            }
            let other = seal_draft(&key("a"), &id(1), "openpgp a@x", b"other").expect("sealed");
            assert_ne!(sealed[..NONCE_LEN], other[..NONCE_LEN], "another message has another nonce");
        }
    }
}
