//! A request's payload: content that its mail carries beside the text, and that the request names by its SHA-256. In:
//! the digest of a `payload` line and the mail's decoded leaves. Out: the one content with that digest, or why there is
//! none. A leaf's name and its place mean nothing.

use std::borrow::Cow;
use std::fmt;

use sha2::{Digest, Sha256};

/// The SHA-256 of a payload, as a request's `payload` line gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadDigest([u8; 32]);

impl PayloadDigest {
    /// The digest of `content`.
    pub fn of(content: &[u8]) -> Self {
        Self(Sha256::digest(content).into())
    }

    /// The digest from its 32 bytes, as the ledger stores it.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads 64 lower-case hex digits.
    pub(super) fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        (!text.bytes().any(|byte| byte.is_ascii_uppercase())).then_some(Self(bytes))
    }
}

impl fmt::Display for PayloadDigest {
    /// All 64 hex digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// A payload that was found: its content has the digest that the request names. The `Debug` form leaves the content
/// out.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload {
    digest: PayloadDigest,
    content: Vec<u8>,
}

impl Payload {
    /// The payload with this content.
    pub fn of(content: Vec<u8>) -> Self {
        Self { digest: PayloadDigest::of(&content), content }
    }

    /// Its digest.
    pub fn digest(&self) -> PayloadDigest {
        self.digest
    }

    /// Its bytes.
    pub fn content(&self) -> &[u8] {
        &self.content
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({self})")
    }
}

impl fmt::Display for Payload {
    /// Size and digest, in words: `19 bytes, sha256 785142e8…`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes, sha256 {}", self.content.len(), self.digest)
    }
}

/// A leaf of a mail: everything that is not a multipart, and not inside `message/*`.
#[derive(Debug)]
pub struct PayloadLeaf<'m> {
    /// Whether its type is `text/*`.
    pub is_text: bool,
    /// Its bytes, with the transfer encoding decoded.
    pub content: Cow<'m, [u8]>,
}

/// A mail that does not hold exactly one payload with the digest that its request names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoPayload {
    /// No leaf has the digest.
    #[error("no part of the mail has the sha256 of the payload line; attach the file unchanged")]
    NoMatch,
    /// Several leaves have it.
    #[error("{0} parts of the mail have the sha256 of the payload line; attach the file once")]
    Several(usize),
    /// The mail has more parts than are read.
    #[error("the mail has too many parts to look for a payload")]
    TooMany,
}

/// The forms in which a leaf may match: its bytes, and for text also those bytes with every CRLF made LF.
fn forms<'l>(leaf: &'l PayloadLeaf<'_>) -> impl Iterator<Item = Cow<'l, [u8]>> {
    let with_lf = leaf.is_text.then(|| with_lf(&leaf.content)).flatten();
    std::iter::once(Cow::Borrowed(leaf.content.as_ref())).chain(with_lf.map(Cow::Owned))
}

/// `bytes` with every CRLF made LF; `None` where there is no CRLF.
fn with_lf(bytes: &[u8]) -> Option<Vec<u8>> {
    if !bytes.windows(2).any(|pair| pair == b"\r\n") {
        return None;
    }
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter().peekable();
    while let Some(&byte) = rest.next() {
        if byte != b'\r' || rest.peek() != Some(&&b'\n') {
            plain.push(byte);
        }
    }
    Some(plain)
}

/// The payload with the digest `wanted`, in the form that has it, and the place of its leaf. Exactly one leaf must
/// match.
///
/// # Errors
///
/// None matches, or more than one.
pub fn find_payload(wanted: PayloadDigest, leaves: &[PayloadLeaf<'_>]) -> Result<(usize, Payload), NoPayload> {
    let matching = |leaf| forms(leaf).find(|content| PayloadDigest::of(content) == wanted);
    let mut found = leaves.iter().enumerate().filter_map(|(at, leaf)| Some((at, matching(leaf)?)));
    match (found.next(), found.count()) {
        (None, _) => Err(NoPayload::NoMatch),
        (Some((at, content)), 0) => Ok((at, Payload { digest: wanted, content: content.into_owned() })),
        (Some(_), others) => Err(NoPayload::Several(others + 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(is_text: bool, content: &'static [u8]) -> PayloadLeaf<'static> {
        PayloadLeaf { is_text, content: Cow::Borrowed(content) }
    }

    fn found(wanted: &[u8], leaves: &[PayloadLeaf<'_>]) -> Result<(usize, Vec<u8>), NoPayload> {
        find_payload(PayloadDigest::of(wanted), leaves).map(|(at, payload)| (at, payload.content))
    }

    #[test]
    fn the_form_that_matches_is_the_payload() {
        let text = leaf(true, b"a\r\nb\rc\r\r\n");
        assert_eq!(found(b"a\r\nb\rc\r\r\n", std::slice::from_ref(&text)), Ok((0, b"a\r\nb\rc\r\r\n".to_vec())));
        assert_eq!(found(b"a\nb\rc\r\n", &[leaf(false, b"x"), text]), Ok((1, b"a\nb\rc\r\n".to_vec())));
        assert_eq!(found(b"a\n", &[leaf(false, b"a\r\n")]), Err(NoPayload::NoMatch), "only text has a second form");
    }

    #[test]
    fn exactly_one_leaf_matches() {
        assert_eq!(found(b"a", &[]), Err(NoPayload::NoMatch));
        assert_eq!(found(b"a", &[leaf(false, b"b"), leaf(true, b"ab")]), Err(NoPayload::NoMatch));
        assert_eq!(found(b"a\n", &[leaf(true, b"a\n"), leaf(true, b"a\r\n")]), Err(NoPayload::Several(2)));
        assert_eq!(found(b"", &[leaf(false, b"")]), Ok((0, Vec::new())));
    }

    #[test]
    fn a_digest_is_64_lower_case_digits() {
        let hex = PayloadDigest::of(b"").to_string();
        assert_eq!(PayloadDigest::from_hex(&hex), Some(PayloadDigest::of(b"")));
        for bad in [&hex[1..], &hex.to_uppercase(), &format!("{hex}0"), ""] {
            assert_eq!(PayloadDigest::from_hex(bad), None, "{bad}");
        }
    }
}
