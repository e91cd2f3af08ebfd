//! What others hold of a gateway's chain. In: the bytes of a reply or of a log. Out: the heads in it; and whether the
//! chain has them.

use std::io::{self, BufRead};

use super::line_time::line_time;
use super::verify::Verified;
use crate::config::Gateway;
use crate::intake::{ShownPart, mbox, shown};
use crate::limits::TIME_ZONES;
use crate::protocol::{ChainHead, GatewayName, Key, ReplyBlock, Timestamp, Verdict, claimed_reply, verify_reply};

/// A head that was seen outside the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// Where it stands.
    pub place: String,
    /// Whose chain it is.
    pub gateway: GatewayName,
    /// The head.
    pub head: ChainHead,
    /// The number of its event, where that is said.
    pub number: Option<u64>,
    /// When it was written, where that is said.
    pub time: Option<Timestamp>,
    /// Whether it is a log line.
    pub is_log: bool,
    /// Whether it is signed under a key that the gateway has; a log line is not signed.
    pub is_signed: bool,
}

/// What became of what was witnessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The chain has it, as this event.
    Held(u64),
    /// By its number and time it is older than what pruning has left.
    Pruned,
    /// It is of another gateway.
    Foreign,
    /// The chain has it not: what led to it was changed or removed.
    Missing,
}

/// Whether the chain has what was witnessed.
pub fn against(verified: &Verified, gateway: &GatewayName, witness: &Witness) -> Found {
    if witness.gateway != *gateway {
        return Found::Foreign;
    }
    if let Some(number) = verified.heads.get(&witness.head) {
        return Found::Held(*number);
    }
    let Some(begins) = &verified.checkpoint else {
        return Found::Missing;
    };
    // Who writes the ledger chooses the number, and the time no nearer than the least retention. Of a log line's time
    // the zone may not be known.
    let by_number = witness.number.is_none_or(|number| number < begins.number);
    let by_time = match (witness.time, begins.until) {
        (Some(time), Some(until)) => time <= if witness.is_log { until.plus(TIME_ZONES) } else { until },
        (None, _) => witness.number.is_some(),
        (Some(_), None) => false,
    };
    let is_pruned = by_number && by_time;
    if is_pruned { Found::Pruned } else { Found::Missing }
}

/// The heads in `from`, which is named `place`: a reply, as a message or as pasted text, a mailbox of replies in mbox
/// format, or a log. A log line without a year is taken to be of the twelve months up to `now`.
///
/// # Errors
///
/// It cannot be read.
pub fn read_witnesses(
    place: &str,
    from: &mut dyn BufRead,
    gateway: &Gateway,
    now: Timestamp,
) -> io::Result<Vec<Witness>> {
    let mut raw = Vec::new();
    from.read_to_end(&mut raw)?;
    let messages = if raw.starts_with(b"From ") { mbox(&raw) } else { vec![raw] };
    let texts: Vec<String> = messages.iter().flat_map(|message| texts(message)).collect();
    let mut witnesses: Vec<Witness> = texts.iter().filter_map(|text| reply(place, text, gateway)).collect();
    if witnesses.is_empty() {
        let lines = texts.iter().flat_map(|text| text.lines().enumerate());
        witnesses.extend(lines.filter_map(|(at, line)| log_line(&format!("{place}:{}", at + 1), line, now)));
    }
    Ok(witnesses)
}

fn texts(raw: &[u8]) -> Vec<String> {
    match shown(raw) {
        Some(message) => message.parts.into_iter().filter_map(text_of).collect(),
        None => vec![String::from_utf8_lossy(raw).into_owned()],
    }
}

fn text_of(part: ShownPart) -> Option<String> {
    match part {
        ShownPart::Plain(text) | ShownPart::Html { text, .. } => Some(text),
        ShownPart::Other(_) => None,
    }
}

/// The head of a reply: from the block that the gateway's keys have signed, or else from the last one.
fn reply(place: &str, text: &str, gateway: &Gateway) -> Option<Witness> {
    let claimed = claimed_reply(text)?;
    let secrets = gateway.secrets(&claimed.user).ok().flatten();
    let mut keys = secrets.iter().flat_map(|secrets| {
        let former = secrets.previous.as_ref().map(|previous| &previous.key);
        std::iter::once(&secrets.key).chain(former)
    });
    let signed = keys.find_map(|key| signed_block(text, key));
    let is_signed = signed.is_some();
    let block = signed.unwrap_or(claimed);
    Some(Witness {
        place: format!("{place} ({})", block.request.short()),
        gateway: block.gateway,
        head: block.head?,
        number: None,
        time: Some(block.time),
        is_log: false,
        is_signed,
    })
}

fn signed_block(text: &str, key: &Key) -> Option<ReplyBlock> {
    match verify_reply(text, key) {
        Verdict::Genuine(block) | Verdict::Altered(block) => Some(block),
        Verdict::NotGenuine => None,
    }
}

/// The head in a line of the log: `gateway=NAME chain=NUMBER head=HEX`, without `chain` where the number was not known.
fn log_line(place: &str, line: &str, now: Timestamp) -> Option<Witness> {
    // What a user can put into a line never has a head: 64 hex digits in a value are masked (src/audit).
    line.match_indices(" gateway=").find_map(|(at, name)| {
        let rest = line.get(at + name.len()..)?;
        let found = head_at(place, rest)?;
        Some(Witness { time: line_time(line, now), ..found })
    })
}

fn head_at(place: &str, rest: &str) -> Option<Witness> {
    let mut words = rest.split(' ');
    let gateway = GatewayName::try_from(words.next()?).ok()?;
    let mut word = words.next()?;
    let number = word.strip_prefix("chain=").map(str::parse).transpose().ok()?;
    if number.is_some() {
        word = words.next()?;
    }
    let head = ChainHead::from_hex(word.strip_prefix("head=")?.trim_end())?;
    Some(Witness { place: place.to_owned(), gateway, head, number, time: None, is_log: true, is_signed: false })
}
