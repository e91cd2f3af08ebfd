//! Is a message the gateway's own reply or notice, and nothing else? In: a message, or pasted text, and key files. Out: a [`Checked`].
//!
//! MUST: a message is genuine only where every part that a mail program may show is covered by the block and matches: one plain
//! text, or HTML that can show nothing but its text; nothing but white space below the block; and the subject that the gateway
//! wrote.

use super::KeyFile;
use crate::intake::{ShownPart, shown};
use crate::protocol::{
    CheckedText, GatewayName, Key, NoticeBlock, ReplyBlock, Timestamp, UserName, Verdict, check_notice, check_reply,
    claimed_reply,
};

/// What the gateway says in a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// It answers a request.
    Reply(ReplyBlock),
    /// It asks an approver.
    Notice(NoticeBlock),
}

impl Statement {
    /// The gateway.
    pub fn gateway(&self) -> &GatewayName {
        match self {
            Self::Reply(block) => &block.gateway,
            Self::Notice(block) => &block.gateway,
        }
    }

    /// The user whom it is for.
    pub fn user(&self) -> &UserName {
        match self {
            Self::Reply(block) => &block.user,
            Self::Notice(block) => &block.user,
        }
    }
}

/// Checks a text that may be a reply or a notice.
fn check_text<'t>(text: &'t str, key: &Key) -> CheckedText<'t, Statement> {
    let reply = check_reply(text, key);
    if reply.verdict != Verdict::NotGenuine {
        return stated(reply, Statement::Reply);
    }
    stated(check_notice(text, key), Statement::Notice)
}

fn stated<B>(checked: CheckedText<'_, B>, statement: fn(B) -> Statement) -> CheckedText<'_, Statement> {
    let verdict = match checked.verdict {
        Verdict::Genuine(block) => Verdict::Genuine(statement(block)),
        Verdict::Altered(block) => Verdict::Altered(statement(block)),
        Verdict::NotGenuine => Verdict::NotGenuine,
    };
    CheckedText { verdict, above: checked.above, below: checked.below }
}

/// The finding about a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The gateway wrote all of it.
    Genuine(Statement),
    /// It holds a text of the gateway, and other text too.
    WithMore(Statement),
    /// The gateway wrote the block, but not the text above it in this form.
    Altered(Statement),
    /// It holds a reply block for this user that was signed before the key file was written, under another key.
    OlderThanKey(ReplyBlock),
    /// No reply that one of the keys has signed.
    NotGenuine,
}

/// A checked message.
#[derive(Debug)]
pub struct Checked {
    /// The finding.
    pub finding: Finding,
    /// The authenticated text, where there is one.
    pub text: Option<String>,
    /// A description of what the message holds besides that text.
    pub outside: Vec<String>,
}

/// Checks `raw` under each of `keys`.
pub fn check(raw: &[u8], keys: &[KeyFile]) -> Checked {
    let message = shown(raw);
    let (subject, parts) = match message {
        Some(message) => (message.subject, message.parts),
        None => (None, vec![ShownPart::Plain(String::from_utf8_lossy(raw).into_owned())]),
    };
    let mut best = None;
    for (at, part) in parts.iter().enumerate() {
        for key in keys {
            best = better(best, check_part(part, at, &parts, subject.as_deref(), key));
        }
    }
    best.unwrap_or_else(|| Checked { finding: older(&parts, keys), text: None, outside: Vec::new() })
}

/// The better finding for the message.
fn better(one: Option<Checked>, other: Option<Checked>) -> Option<Checked> {
    let rank = |checked: &Checked| match checked.finding {
        Finding::Genuine(_) => 3,
        Finding::WithMore(_) => 2,
        _ => 1,
    };
    match (one, other) {
        (Some(one), Some(other)) if rank(&other) > rank(&one) => Some(other),
        (Some(one), _) => Some(one),
        (None, other) => other,
    }
}

fn check_part(
    part: &ShownPart,
    at: usize,
    parts: &[ShownPart],
    subject: Option<&str>,
    key: &KeyFile,
) -> Option<Checked> {
    let text = match part {
        ShownPart::Plain(text) | ShownPart::Html { text, .. } => text,
        ShownPart::Other(_) => return None,
    };
    let checked = check_text(text, &key.key);
    let block = match checked.verdict {
        Verdict::Genuine(block) if is_for(block.gateway(), block.user(), key) => block,
        Verdict::Altered(block) if is_for(block.gateway(), block.user(), key) => {
            return Some(Checked { finding: Finding::Altered(block), text: None, outside: Vec::new() });
        }
        _ => return None,
    };
    let mut outside = Vec::new();
    if let Some(subject) = subject
        && !is_own_subject(subject, checked.above, block.gateway())
    {
        outside.push(format!("its Subject is not the gateway's: {subject}"));
    }
    if !checked.below.trim().is_empty() {
        outside.push(format!("text below the block: {}", checked.below.trim()));
    }
    if matches!(part, ShownPart::Html { is_bare: false, .. }) {
        outside.push("it is HTML that may show other things than its text, such as images and styles".to_owned());
    }
    for (_, other) in parts.iter().enumerate().filter(|(other, _)| *other != at) {
        outside.extend(remark(other, &key.key));
    }
    let text = Some(checked.above.to_owned());
    let finding = if outside.is_empty() { Finding::Genuine(block) } else { Finding::WithMore(block) };
    Some(Checked { finding, text, outside })
}

/// What another part shows besides the authenticated text; nothing where it is empty, or that text once more.
fn remark(part: &ShownPart, key: &Key) -> Option<String> {
    let (kind, text, is_bare) = match part {
        ShownPart::Other(what) => return Some((*what).to_owned()),
        ShownPart::Plain(text) => ("another plain text", text, true),
        ShownPart::Html { text, is_bare } => ("another text, in HTML", text, *is_bare),
    };
    let checked = check_text(text, key);
    let is_same = matches!(checked.verdict, Verdict::Genuine(_)) && checked.below.trim().is_empty();
    match (text.trim(), is_bare) {
        ("", true) => None,
        (_, true) if is_same => None,
        ("", false) => Some("HTML without text, which may show images".to_owned()),
        (text, _) => Some(format!("{kind}: {text}")),
    }
}

fn is_for(gateway: &GatewayName, user: &UserName, key: &KeyFile) -> bool {
    *gateway == key.gateway && *user == key.user
}

/// Whether the gateway wrote this subject for the reply `text`: `[GATEWAY] COMMAND: OUTCOME`, where the text begins with
/// `OUTCOME: COMMAND`, longer commands cut by an ellipsis. White space is not compared, because mail systems fold it.
fn is_own_subject(subject: &str, text: &str, gateway: &GatewayName) -> bool {
    let bare = |text: &str| -> String { text.chars().filter(|c| !c.is_whitespace()).collect() };
    let (subject, text) = (bare(subject), bare(text));
    let parts = subject
        .strip_prefix(&format!("[{gateway}]"))
        .and_then(|rest| rest.rsplit_once(':'))
        .filter(|(_, outcome)| !outcome.is_empty());
    let Some((command, outcome)) = parts else {
        return false;
    };
    let Some(rest) = text.strip_prefix(&format!("{outcome}:")) else {
        return false;
    };
    match command.strip_suffix('…') {
        Some(start) => start.chars().count() >= SHORTENED && rest.starts_with(start),
        // The fields begin below the command.
        None => rest.strip_prefix(command).is_some_and(|rest| rest.starts_with(FIRST_FACT) || rest.is_empty()),
    }
}

/// A subject that was shortened has 60 characters of the command; some may be white space.
const SHORTENED: usize = 30;

/// The first label below a reply's first line.
const FIRST_FACT: &str = "host";

/// A reply for a user of `keys` that is older than the user's key file.
fn older(parts: &[ShownPart], keys: &[KeyFile]) -> Finding {
    let texts = parts.iter().filter_map(|part| match part {
        ShownPart::Plain(text) | ShownPart::Html { text, .. } => Some(text),
        ShownPart::Other(_) => None,
    });
    let is_older = |written: Option<Timestamp>, block: &ReplyBlock| written.is_some_and(|written| block.time < written);
    texts
        .filter_map(|text| claimed_reply(text))
        .find(|block| keys.iter().any(|key| is_for(&block.gateway, &block.user, key) && is_older(key.written, block)))
        .map_or(Finding::NotGenuine, Finding::OlderThanKey)
}
