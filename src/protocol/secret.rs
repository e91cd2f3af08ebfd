//! What stands for the value of a secret parameter: in the ledger, in the log, in replies and notices. In: the user's
//! key, the request and the value. Out: a mark, which is a keyed digest; for a request that waits for approval a sealed
//! mark, from which the same key can read the value again. Nothing without the key finds the value, and equal values of
//! two requests have different marks.
//!
//! ```text
//! [secret:DIGEST]           32 hex digits: the first half of HMAC-SHA-256 over `mailsudo-secret-1`, the request's id, the
//!                           parameter's name and the value, each ended by LF, under the user's key
//! [secret:DIGEST:SEALED]    the hex of ChaCha20-Poly1305 (RFC 8439) over the value. Key: HMAC-SHA-256 over `mailsudo-seal-1` and the
//!                           request's id, each ended by LF, under the user's key. Nonce: the first 12 bytes of the digest. The
//!                           parameter's name is authenticated with it
//! ```

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use zeroize::{Zeroize, Zeroizing};

use super::mac::{Key, RequestId};
use super::name::ParameterName;

/// What stands for a secret value where nobody compares it.
pub const SECRET: &str = "[secret]";

/// How a mark begins.
const START: &str = "[secret:";

/// How many bytes of the digest a mark has.
const DIGEST: usize = 16;

/// The mark of `value`.
pub fn mark(key: &Key, id: &RequestId, name: &ParameterName, value: &str) -> String {
    format!("{START}{}]", hex::encode(digest(key, id, name, value)))
}

/// The sealed mark of `value`; `None` where the cipher refuses to work.
pub fn seal(key: &Key, id: &RequestId, name: &ParameterName, value: &str) -> Option<String> {
    let digest = digest(key, id, name, value);
    let mut sealed = value.as_bytes().to_vec();
    let done = cipher(key, id)?.seal_in_place_append_tag(nonce(&digest)?, Aad::from(name.as_str()), &mut sealed);
    if done.is_err() {
        sealed.zeroize();
        return None;
    }
    Some(format!("{START}{}:{}]", hex::encode(digest), hex::encode(sealed)))
}

/// The sealed mark in `text` that belongs to `mark`; `None` where there is none.
pub fn sealed_in<'t>(text: &'t str, mark: &str) -> Option<&'t str> {
    let start = format!("{}:", mark.strip_suffix(']')?);
    let found = text.get(text.find(&start)?..)?;
    found.get(..=found.find(']')?)
}

/// Whether `text` is a mark.
pub fn is_mark(text: &str) -> bool {
    parts(text).is_some()
}

/// The value that is sealed in the mark `text`; `None` where it was not sealed under `key` for this request and
/// parameter.
pub fn unseal(key: &Key, id: &RequestId, name: &ParameterName, text: &str) -> Option<Zeroizing<String>> {
    let (written, sealed) = parts(text)?;
    let mut bytes = Zeroizing::new(hex::decode(sealed?).ok()?);
    let opened = cipher(key, id)?.open_in_place(nonce(&written)?, Aad::from(name.as_str()), &mut bytes).ok()?;
    let value = Zeroizing::new(std::str::from_utf8(opened).ok()?.to_owned());
    (digest(key, id, name, &value) == written).then_some(value)
}

/// `text` without what is sealed in its marks.
pub fn without_seals(text: &str) -> String {
    let mut rest = text;
    let mut shown = String::with_capacity(text.len());
    while let Some((before, after)) = rest.split_once(START) {
        shown.push_str(before);
        shown.push_str(START);
        rest = after;
        let mark = after.split_once(']').filter(|(inner, _)| parts(&format!("{START}{inner}]")).is_some());
        if let Some((inner, behind)) = mark {
            shown.push_str(inner.get(..2 * DIGEST).unwrap_or_default());
            shown.push(']');
            rest = behind;
        }
    }
    shown + rest
}

/// The same arguments (`name=value`, one on a line) with [`SECRET`] for each mark.
pub fn without_marks(arguments: &str) -> String {
    if !arguments.contains(START) {
        return arguments.to_owned();
    }
    let line = |line: &str| match line.split_once('=') {
        Some((name, value)) if is_mark(value) => format!("{name}={SECRET}"),
        _ => line.to_owned(),
    };
    arguments.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// The digest of the mark `text`, and what is sealed in it.
fn parts(text: &str) -> Option<([u8; DIGEST], Option<&str>)> {
    let inner = text.strip_prefix(START)?.strip_suffix(']')?;
    let (digits, sealed) = match inner.split_once(':') {
        Some((digits, sealed)) => (digits, Some(sealed)),
        None => (inner, None),
    };
    let mut digest = [0; DIGEST];
    hex::decode_to_slice(digits, &mut digest).ok()?;
    let is_hex = sealed.is_none_or(|sealed| !sealed.is_empty() && sealed.bytes().all(|byte| byte.is_ascii_hexdigit()));
    is_hex.then_some((digest, sealed))
}

fn digest(key: &Key, id: &RequestId, name: &ParameterName, value: &str) -> [u8; DIGEST] {
    let text = Zeroizing::new(format!("mailsudo-secret-1\n{id}\n{name}\n{value}\n"));
    let mut half = [0; DIGEST];
    half.iter_mut().zip(key.derive(text.as_bytes()).iter()).for_each(|(to, from)| *to = *from);
    half
}

fn nonce(digest: &[u8; DIGEST]) -> Option<Nonce> {
    Nonce::try_assume_unique_for_key(digest.get(..12)?).ok()
}

fn cipher(key: &Key, id: &RequestId) -> Option<LessSafeKey> {
    let own = key.derive(format!("mailsudo-seal-1\n{id}\n").as_bytes());
    UnboundKey::new(&CHACHA20_POLY1305, own.as_slice()).ok().map(LessSafeKey::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_key_that_sealed_a_value_reads_it() {
        let key = |digit: &str| Key::from_hex(&digit.repeat(64)).expect("a key");
        let id = |byte| RequestId::from_bytes([byte; 32]);
        let name = |name: &str| ParameterName::try_from(name).expect("a name");
        let (pin, other) = (name("pin"), name("other"));
        for value in ["", "4711", "[secret]", "ä b=c"] {
            let sealed = seal(&key("a"), &id(1), &pin, value).expect("sealed");
            assert!(!sealed.contains("4711"), "{sealed}");
            let read = |key: &Key, id, name: &_| unseal(key, &id, name, &sealed).map(|value| value.to_string());
            assert_eq!(read(&key("a"), id(1), &pin).as_deref(), Some(value));
            assert_eq!(read(&key("b"), id(1), &pin), None, "another key");
            assert_eq!(read(&key("a"), id(2), &pin), None, "another request");
            assert_eq!(read(&key("a"), id(1), &other), None, "another parameter");
            let mark = mark(&key("a"), &id(1), &pin, value);
            let text = format!("/bin/x\n[secret:0]--pin={sealed}\n{mark}]");
            assert_eq!(sealed_in(&text, &mark), Some(sealed.as_str()));
            assert_eq!(without_seals(&text), format!("/bin/x\n[secret:0]--pin={mark}\n{mark}]"));
            assert_eq!(without_marks(&format!("pin={mark}\na=b")), "pin=[secret]\na=b");
            assert!(is_mark(&mark) && unseal(&key("a"), &id(1), &pin, &mark).is_none());
            assert_eq!(sealed_in(&mark, &mark), None);
        }
        assert_ne!(mark(&key("a"), &id(1), &pin, "x"), mark(&key("a"), &id(2), &pin, "x"));
        for text in ["[secret:]", "[secret:00]", "[secret:00112233445566778899aabbccddeeff:]", "x"] {
            assert_eq!(without_marks(&format!("pin={text}")), format!("pin={text}"));
            assert!(!is_mark(text) && unseal(&key("a"), &id(1), &pin, text).is_none());
        }
    }
}
