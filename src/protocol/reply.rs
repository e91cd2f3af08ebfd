//! The block that ends a reply to an authenticated request, and what a reader may conclude from one.
//! In: what happened and the text above the block; or a reply as it arrived. Out: a block; or a [`Verdict`].

use std::fmt;

use sha2::{Digest, Sha256};

use super::block::{Block, Kind, line};
use super::chain::ChainHead;
use super::mac::{Key, RequestId};
use super::name::{GatewayName, UserName};
use super::time::Timestamp;

/// The outcome of a request, as the reply's `result` line gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunResult {
    /// The command ended by itself with this status.
    Exit(u8),
    /// The command was ended by this signal.
    Signal(i32),
    /// The command's time limit ended it.
    TimedOut,
    /// Nothing was run.
    Refused,
    /// It was started, and its end was not seen; it is not run again.
    Unknown,
    /// It waits for approval.
    Pending,
    /// An approver denied it; nothing was run.
    Denied,
    /// It was not approved in time, or would not run any more as it was shown; nothing was run.
    Lapsed,
    /// Its user cancelled it; nothing was run.
    Cancelled,
}

impl RunResult {
    /// Reads the form that [`Display`](fmt::Display) writes.
    pub fn parse(text: &str) -> Option<Self> {
        let result = match text.split_once('-') {
            Some(("exit", status)) => Self::Exit(status.parse().ok()?),
            Some(("signal", number)) => Self::Signal(number.parse().ok()?),
            _ => match text {
                "timed-out" => Self::TimedOut,
                "refused" => Self::Refused,
                "unknown" => Self::Unknown,
                "pending" => Self::Pending,
                "denied" => Self::Denied,
                "lapsed" => Self::Lapsed,
                "cancelled" => Self::Cancelled,
                _ => return None,
            },
        };
        (result.to_string() == text).then_some(result)
    }
}

impl fmt::Display for RunResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(status) => write!(f, "exit-{status}"),
            Self::Signal(number) => write!(f, "signal-{number}"),
            Self::TimedOut => f.write_str("timed-out"),
            Self::Refused => f.write_str("refused"),
            Self::Unknown => f.write_str("unknown"),
            Self::Pending => f.write_str("pending"),
            Self::Denied => f.write_str("denied"),
            Self::Lapsed => f.write_str("lapsed"),
            Self::Cancelled => f.write_str("cancelled"),
        }
    }
}

/// A reply's block before it is signed, or after its mac was found to be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyBlock {
    /// The gateway that answers.
    pub gateway: GatewayName,
    /// The user that it is for.
    pub user: UserName,
    /// Which request it answers.
    pub request: RequestId,
    /// When it was answered.
    pub time: Timestamp,
    /// The outcome of the request.
    pub result: RunResult,
    /// The head of the gateway's audit chain after the event that the reply reports; a gateway without one gives none.
    pub head: Option<ChainHead>,
}

impl ReplyBlock {
    /// Writes and signs the block that goes below `text`, each line ended by LF.
    pub fn sign(&self, text: &str, key: &Key) -> String {
        let mut block = line(Kind::Reply.start_key(), "1");
        block += &line("gateway", self.gateway.as_str());
        block += &line("user", self.user.as_str());
        block += &line("request", &self.request.to_string());
        block += &line("time", &self.time.to_string());
        block += &line("result", &self.result.to_string());
        block += &line("output", &text_hash(text));
        if let Some(head) = &self.head {
            block += &line("head", &head.to_string());
        }
        let mac = key.sign(block.as_bytes()).to_hex();
        block += &line("mac", &mac);
        block
    }
}

/// A block that a gateway signs for one of its users.
pub(super) trait SignedBlock: Sized {
    /// Its kind.
    const KIND: Kind;

    /// Reads a block's fields; also returns the hash of the text above it.
    fn read(block: &Block<'_>) -> Option<(Self, String)>;
}

impl SignedBlock for ReplyBlock {
    const KIND: Kind = Kind::Reply;

    fn read(block: &Block<'_>) -> Option<(Self, String)> {
        let keys = ["gateway", "user", "request", "time", "result", "output", "head"];
        let found = || block.fields.iter().map(|(key, _)| key.as_ref());
        // A gateway that has no audit chain writes no head.
        if !found().eq(keys) && !found().chain(["head"]).eq(keys) {
            return None;
        }
        let head = block.fields.get(keys.len() - 1).map(|(_, value)| ChainHead::from_hex(value));
        if head == Some(None) {
            return None;
        }
        let mut values = block.fields.iter().map(|(_, value)| *value);
        let read = Self {
            head: head.flatten(),
            gateway: GatewayName::try_from(values.next()?).ok()?,
            user: UserName::try_from(values.next()?).ok()?,
            request: RequestId::from_hex(values.next()?)?,
            time: Timestamp::parse(values.next()?)?,
            result: RunResult::parse(values.next()?)?,
        };
        Some((read, values.next()?.to_owned()))
    }
}

/// What a reader may conclude about the text of a reply or a notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict<B = ReplyBlock> {
    /// The gateway wrote the block, and the text above it.
    Genuine(B),
    /// The gateway wrote the block, but not the text above it in this form.
    Altered(B),
    /// No block that this key has signed.
    NotGenuine,
}

/// The text of a reply or a notice, checked under a user's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedText<'t, B = ReplyBlock> {
    /// The conclusion.
    pub verdict: Verdict<B>,
    /// The text above the block, which the block's `output` covers if the verdict is genuine.
    pub above: &'t str,
    /// The text below the block. The block covers none of it.
    pub below: &'t str,
}

/// Checks a reply's text under the user's key. The last block that the key has signed counts: a command's output may
/// hold an imitation, and is above it.
pub fn check_reply<'t>(text: &'t str, key: &Key) -> CheckedText<'t> {
    check(text, key)
}

pub(super) fn check<'t, B: SignedBlock>(text: &'t str, key: &Key) -> CheckedText<'t, B> {
    for found in Block::all(text, B::KIND).into_iter().rev() {
        if !key.verifies(&found.block.signed, &found.block.mac) {
            continue;
        }
        let verdict = match B::read(&found.block) {
            Some((block, hash)) if hash == text_hash(found.above) => Verdict::Genuine(block),
            Some((block, _)) => Verdict::Altered(block),
            None => continue,
        };
        return CheckedText { verdict, above: found.above, below: found.below };
    }
    CheckedText { verdict: Verdict::NotGenuine, above: text, below: "" }
}

/// What the last readable reply block of a text says, whether its signature is right or not.
pub fn claimed_reply(text: &str) -> Option<ReplyBlock> {
    Block::all(text, Kind::Reply).iter().rev().find_map(|found| ReplyBlock::read(&found.block)).map(|(reply, _)| reply)
}

/// The verdict on a reply's text alone.
pub fn verify_reply(text: &str, key: &Key) -> Verdict {
    check_reply(text, key).verdict
}

/// The SHA-256 of `text` without white space (Unicode `White_Space`) and U+FEFF, which mail systems change.
pub(super) fn text_hash(text: &str) -> String {
    let bare: String = text.chars().filter(|c| !c.is_whitespace() && *c != '\u{feff}').collect();
    hex::encode(Sha256::digest(bare))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: &str) -> Key {
        Key::from_hex(&byte.repeat(32)).expect("a key")
    }

    fn block() -> Option<ReplyBlock> {
        Some(ReplyBlock {
            gateway: GatewayName::try_from("berlin").ok()?,
            user: UserName::try_from("alice").ok()?,
            request: RequestId::from_bytes([3; 32]),
            time: Timestamp::parse("2026-11-23T10:15:04Z")?,
            result: RunResult::Exit(0),
            head: Some(ChainHead::from_bytes([0xab; 32])),
        })
    }

    #[test]
    fn a_reply_has_a_head_or_none_and_a_wrong_one_is_no_block() {
        let own = key("07");
        let with = block().expect("a block");
        let without = ReplyBlock { head: None, ..with.clone() };
        for block in [&with, &without] {
            assert_eq!(verify_reply(&block.sign("", &own), &own), Verdict::Genuine((*block).clone()));
        }
        let signed = with.sign("", &own);
        let line = format!("head: {}\n", "ab".repeat(32));
        assert!(signed.contains(&format!("{line}mac: ")), "{signed}");
        for other in ["", "head: ab\n", &line.to_uppercase().replace("HEAD", "head")] {
            assert_eq!(verify_reply(&signed.replace(&line, other), &own), Verdict::NotGenuine, "the mac covers it");
        }
    }

    #[test]
    fn a_reply_survives_wrapping_and_nothing_else() {
        let own = key("07");
        let block = block().expect("a block");
        let text = "ok: restart service=nginx\n\nall is well\n";
        let reply = format!("{text}\n{}", block.sign(text, &own));
        assert_eq!(verify_reply(&reply, &own), Verdict::Genuine(block.clone()));
        let wrapped = reply.replace("all is", "\u{feff}all\r\n  is\u{a0}");
        assert_eq!(verify_reply(&wrapped, &own), Verdict::Genuine(block.clone()));
        let altered = reply.replace("all is well", "all is lost");
        assert_eq!(verify_reply(&altered, &own), Verdict::Altered(block.clone()));
        assert_eq!(verify_reply(&reply, &key("08")), Verdict::NotGenuine);
        assert_eq!(verify_reply(&reply.replace("exit-0", "exit-1"), &own), Verdict::NotGenuine);
        assert_eq!(verify_reply("no block", &own), Verdict::NotGenuine);
    }

    #[test]
    fn an_imitation_above_the_block_does_not_count() {
        let (own, foreign) = (key("07"), key("09"));
        let block = block().expect("a block");
        let imitation = block.sign("", &foreign);
        let text = format!("ok\n{imitation}\n");
        let reply = format!("{text}{}", block.sign(&text, &own));
        assert_eq!(verify_reply(&reply, &own), Verdict::Genuine(block));
    }

    #[test]
    fn results_are_read_as_they_are_written() {
        for text in [
            "exit-0",
            "exit-255",
            "signal-9",
            "timed-out",
            "refused",
            "unknown",
            "pending",
            "denied",
            "lapsed",
            "cancelled",
        ] {
            assert_eq!(RunResult::parse(text).map(|r| r.to_string()).as_deref(), Some(text));
        }
        for text in ["exit-256", "exit-00", "exit--1", "signal-+9", "ok", ""] {
            assert_eq!(RunResult::parse(text), None, "{text}");
        }
    }
}
