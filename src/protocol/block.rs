//! Lines of `key: value`, and the one block in the surrounding text (reader's rules 3 to 5).
//! In: decoded texts. Out: a block's fields in order, with exactly the bytes that its mac covers.
//! It corrects nothing except what rule 3 names, and never guesses.

use std::borrow::Cow;

use zeroize::Zeroizing;

use super::mac::Mac;

/// The longest line of a block, in octets (RFC 5322 section 2.1.1).
const MAX_LINE: usize = 998;

/// The text of a mail holds no request that could be read. The sender is not known, so there is no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// No start line: this mail is not a request.
    #[error("no line `mailsudo: 1` in its text")]
    NotARequest,
    /// More than one start line: it is not known which one is meant.
    #[error("more than one line that starts a block")]
    Ambiguous,
    /// The start line names another version than 1.
    #[error("version {0} of the protocol, where only 1 is known")]
    UnsupportedVersion(String),
    /// The block breaks the rules at its line `line` (the start line is 1, blank lines not counted).
    #[error("line {line} of the block: {why}")]
    Malformed {
        /// Where, counted from the start line.
        line: usize,
        /// What the rule requires there.
        why: &'static str,
    },
}

/// The kinds of block. Each has its own start line.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Request,
    Reply,
    Notice,
}

impl Kind {
    /// The key of the kind's start line.
    pub(super) fn start_key(self) -> &'static str {
        match self {
            Self::Request => "mailsudo",
            Self::Reply => "mailsudo-reply",
            Self::Notice => "mailsudo-notice",
        }
    }
}

/// A block of the gateway, and the text above and below it.
pub(super) struct Found<'t> {
    pub(super) above: &'t str,
    pub(super) block: Block<'t>,
    pub(super) below: &'t str,
}

/// A block between its start line and its mac.
pub(super) struct Block<'t> {
    /// Key in lower case, value untouched; start line and mac line left out.
    pub(super) fields: Vec<(Cow<'t, str>, &'t str)>,
    /// What the mac covers: every line before it, rebuilt by rule 6. A code is in it.
    pub(super) signed: Zeroizing<Vec<u8>>,
    pub(super) mac: Mac,
}

impl<'t> Block<'t> {
    /// The only block of a request in `texts` (rule 4).
    pub(super) fn only(texts: &[&'t str]) -> Result<Self, Unreadable> {
        let mut starts = texts.iter().flat_map(|text| starts(text, Kind::Request));
        let start = starts.next().ok_or(Unreadable::NotARequest)?;
        if starts.next().is_some() {
            return Err(Unreadable::Ambiguous);
        }
        Self::read(&start, Kind::Request)
    }

    /// Every readable block of this kind in `text`, in order.
    pub(super) fn all(text: &'t str, kind: Kind) -> Vec<Found<'t>> {
        let read = |start: Start<'t>| {
            let (block, length) = Self::read_to(&start, kind).ok()?;
            let below = start.rest.get(length..).unwrap_or_default();
            Some(Found { above: text.get(..start.offset).unwrap_or_default(), block, below })
        };
        starts(text, kind).filter_map(read).collect()
    }

    fn read(start: &Start<'t>, kind: Kind) -> Result<Self, Unreadable> {
        Self::read_to(start, kind).map(|(block, _)| block)
    }

    /// Reads a block. Also returns how many bytes of `start.rest` it takes.
    fn read_to(start: &Start<'t>, kind: Kind) -> Result<(Self, usize), Unreadable> {
        if start.version != "1" {
            return Err(Unreadable::UnsupportedVersion(start.version.to_owned()));
        }
        let mut fields = Vec::new();
        let mut signed = Zeroizing::new(Vec::with_capacity(USUAL_BLOCK));
        push_line(&mut signed, kind.start_key(), start.version);
        if start.too_long {
            return Err(Unreadable::Malformed { line: 1, why: TOO_LONG });
        }
        let mut count = 1;
        for (offset, raw) in lines(start.rest).filter(|(_, raw)| !trim(raw).is_empty()) {
            count += 1;
            let malformed = |why| Unreadable::Malformed { line: count, why };
            if is_too_long(raw) {
                return Err(malformed(TOO_LONG));
            }
            let (key, value) = field(raw)
                .ok_or(malformed("not `key: value` with a value of printable ASCII characters and no space"))?;
            if key == "mac" {
                let mac = Mac::from_hex(value).ok_or(malformed("a mac is 64 hex digits"))?;
                return Ok((Self { fields, signed, mac }, offset + raw.len()));
            }
            // A request's fields are bounded by its message. A reply's text may hold many imitations of a block.
            if !matches!(kind, Kind::Request) && fields.len() >= MOST_REPLY_FIELDS {
                return Err(malformed("more lines than such a block has"));
            }
            push_line(&mut signed, &key, value);
            fields.push((key, value));
        }
        Err(Unreadable::Malformed { line: count, why: "the block ends without a mac line" })
    }
}

/// Twice the size of most blocks, in octets.
const USUAL_BLOCK: usize = 1024;

/// More than the fields of any block of a gateway.
const MOST_REPLY_FIELDS: usize = 16;

const TOO_LONG: &str = "longer than 998 octets";

/// Appends one line as the mac covers it. Space is reserved here, because a vector that grows leaves an unwiped copy
/// behind.
fn push_line(lines: &mut Zeroizing<Vec<u8>>, key: &str, value: &str) {
    let parts = [key, ": ", value, "\n"];
    let more: usize = parts.iter().map(|part| part.len()).sum();
    if lines.capacity() - lines.len() < more {
        let mut wider = Zeroizing::new(Vec::with_capacity(2 * (lines.len() + more)));
        wider.extend_from_slice(lines);
        *lines = wider;
    }
    for part in parts {
        lines.extend_from_slice(part.as_bytes());
    }
}

/// One line as the mac covers it.
pub(super) fn line(key: &str, value: &str) -> String {
    format!("{key}: {value}\n")
}

/// Whether `text` has a request's start line (rule 4), whatever follows it.
pub fn has_start_line(text: &str) -> bool {
    starts(text, Kind::Request).next().is_some()
}

/// A start line, and what comes after it.
struct Start<'t> {
    /// Where the line begins in its text.
    offset: usize,
    version: &'t str,
    too_long: bool,
    rest: &'t str,
}

fn starts(text: &str, kind: Kind) -> impl Iterator<Item = Start<'_>> {
    lines(text).filter_map(move |(offset, raw)| {
        let (key, value) = field(raw)?;
        let is_start = key == kind.start_key()
            && (1..=9).contains(&value.len())
            && value.bytes().all(|byte| byte.is_ascii_digit());
        is_start.then(|| Start {
            offset,
            version: value,
            too_long: is_too_long(raw),
            rest: text.get(offset + raw.len()..).unwrap_or_default(),
        })
    })
}

/// The lines of a text with their offsets: split at LF, a leading BOM left out (rule 3).
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut offset = text.len() - body.len();
    body.split('\n').map(move |line| {
        let at = offset;
        offset += line.len() + 1;
        (at, line)
    })
}

/// A line without the one CR that may stand before its LF (rule 3).
fn without_cr(line: &str) -> &str {
    line.strip_suffix('\r').unwrap_or(line)
}

fn is_too_long(line: &str) -> bool {
    without_cr(line).len() > MAX_LINE
}

/// Spaces, tabs and no-break spaces off both ends of a line (rule 3).
fn trim(line: &str) -> &str {
    without_cr(line).trim_matches(is_blank)
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{a0}')
}

/// The key in lower case and the value of a line, if it is one of `key: value` (rule 5).
fn field(raw: &str) -> Option<(Cow<'_, str>, &str)> {
    let (key, value) = trim(raw).split_once(':')?;
    let (key, value) = (key.trim_end_matches(is_blank), value.trim_start_matches(is_blank));
    let is_key = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-');
    let is_value = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_key || !is_value {
        return None;
    }
    let lower = if key.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(key.to_ascii_lowercase())
    } else {
        Cow::Borrowed(key)
    };
    Some((lower, value))
}
