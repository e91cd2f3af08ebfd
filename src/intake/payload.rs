//! Where a mail's payload may be. In: a message as it came, and the digest that its request names. Out: the payload, or
//! why there is none, and a description of each part for `explain`.
//!
//! Every leaf counts, attachments included, but nothing inside `message/*`. A part whose header gives a field twice is
//! not decoded, because mail programs differ in how they read it.
//!
//! MUST: no work before the mac is verified (the pipeline calls this after it).

use std::borrow::Cow;

use super::mime::{Content, Entity, Kind, parts};
use super::text;
use crate::limits::{MIME_DEPTH, MIME_PARTS};
use crate::protocol::{NoPayload, Payload, PayloadDigest, PayloadLeaf, find_payload};

/// What was found of a request's payload.
#[derive(Debug)]
pub struct PayloadFinding {
    /// The payload.
    pub payload: Result<Payload, NoPayload>,
    /// Each part that was looked at, in words; the one that matched says so.
    pub parts: Vec<String>,
}

/// The most parts that are described.
const DESCRIBED: usize = 20;

/// Finds the payload with the digest `wanted` in the message `raw`.
pub(super) fn find(raw: &[u8], wanted: PayloadDigest) -> PayloadFinding {
    let mut walk = Walk { leaves: Vec::new(), words: Vec::new(), parts: 0 };
    if !walk.visit(&Entity::new(raw), false, 0) {
        return PayloadFinding { payload: Err(NoPayload::TooMany), parts: Vec::new() };
    }
    let found = find_payload(wanted, &walk.leaves);
    let matching = found.as_ref().ok().map(|(at, _)| *at);
    let parts = walk.words.iter().zip(&walk.leaves).take(DESCRIBED).enumerate().map(|(at, (words, leaf))| {
        let digest = PayloadDigest::of(&leaf.content);
        let matches = if matching == Some(at) { ", matches" } else { "" };
        format!("part {}: {words}, {} bytes, sha256 {digest}{matches}", at + 1, leaf.content.len())
    });
    let parts = parts.collect();
    PayloadFinding { payload: found.map(|(_, payload)| payload), parts }
}

struct Walk<'m> {
    leaves: Vec<PayloadLeaf<'m>>,
    /// The type and the transfer encoding of each leaf.
    words: Vec<String>,
    parts: usize,
}

impl<'m> Walk<'m> {
    /// Returns false where the message has more parts than are read.
    fn visit(&mut self, entity: &Entity<'m>, in_digest: bool, depth: usize) -> bool {
        self.parts += 1;
        if self.parts > MIME_PARTS || depth > MIME_DEPTH {
            return false;
        }
        let Some(content) = entity.content() else {
            return true;
        };
        match &content.kind {
            Kind::Multipart { boundary, is_digest } => {
                return parts(entity.body(), boundary)
                    .all(|part| self.visit(&Entity::new(part), *is_digest, depth + 1));
            }
            Kind::Message => return true,
            Kind::Unstated if in_digest => return true,
            Kind::Unstated | Kind::Plain | Kind::Html | Kind::Other => {}
        }
        let Content { media_type, is_flowed, encoding, .. } = content;
        let media_type = if media_type.is_empty() { "text/plain".to_owned() } else { media_type };
        let flowed = if is_flowed { ", format=flowed (a mail program may have changed its blanks)" } else { "" };
        self.words.push(format!("{}{flowed}, {}", media_type.escape_debug(), encoding.word()));
        let decoded: Cow<'m, [u8]> = text::bytes(encoding, entity.body());
        self.leaves.push(PayloadLeaf { is_text: media_type.starts_with("text/"), content: decoded });
        true
    }
}
