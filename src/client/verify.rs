//! Is a message the gateway's own reply or notice, and nothing else? In: a message, or pasted text, and key files. Out:
//! a [`Checked`].
//!
//! MUST: a message is genuine only where every part that a mail program may show is covered by the block and matches:
//! one plain text, or HTML that can show nothing but its text; nothing but white space below the block; and the subject
//! that the gateway wrote.

use super::KeyFile;
use crate::config::EncryptKind;
use crate::intake::{Shown, ShownPart, encrypted_as, shown};
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
    /// It is encrypted: what is inside can be checked, and this cannot.
    Encrypted(EncryptKind),
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
    let message = shown(raw).unwrap_or_else(|| Shown {
        subject: None,
        parts: vec![ShownPart::Plain(String::from_utf8_lossy(raw).into_owned())],
        unclear: Vec::new(),
    });
    let best = keys.iter().filter_map(|key| Candidate::best(&message.parts, key)).max_by_key(Candidate::rank);
    match (best, encrypted_as(raw)) {
        (_, Some(kind)) => Checked { finding: Finding::Encrypted(kind), text: None, outside: Vec::new() },
        (Some(candidate), None) => candidate.finding(&message),
        (None, None) => Checked { finding: older(&message.parts, keys), text: None, outside: Vec::new() },
    }
}

/// The part of a message that holds a block for the user of a key.
struct Candidate<'m> {
    /// Which of the parts it is.
    at: usize,
    is_plain: bool,
    /// The text above the one that the block covers: a banner.
    banner: &'m str,
    checked: CheckedText<'m, Statement>,
    key: &'m KeyFile,
}

impl<'m> Candidate<'m> {
    /// The best of the parts for this key.
    fn best(parts: &'m [ShownPart], key: &'m KeyFile) -> Option<Self> {
        let found = parts.iter().enumerate().filter_map(|(at, part)| Self::of(part, at, key));
        // The first of the best.
        found.rev().max_by_key(Self::rank)
    }

    fn of(part: &'m ShownPart, at: usize, key: &'m KeyFile) -> Option<Self> {
        let text = part.text()?;
        let checked = check_text(text, &key.key);
        let is_own = |block: &Statement| *block.gateway() == key.gateway && *block.user() == key.user;
        let is_genuine = match &checked.verdict {
            Verdict::Genuine(block) if is_own(block) => true,
            Verdict::Altered(block) if is_own(block) => false,
            _ => return None,
        };
        let is_plain = matches!(part, ShownPart::Plain(_));
        let below_a_banner = if is_genuine { None } else { below_a_banner(text, checked.above, &key.key) };
        let (banner, checked) = below_a_banner.unwrap_or(("", checked));
        Some(Self { at, is_plain, banner, checked, key })
    }

    fn rank(&self) -> (bool, bool, bool) {
        (matches!(self.checked.verdict, Verdict::Genuine(_)), self.banner.is_empty(), self.is_plain)
    }

    fn finding(self, message: &Shown) -> Checked {
        let block = match self.checked.verdict {
            Verdict::Genuine(block) => block,
            Verdict::Altered(block) => {
                return Checked { finding: Finding::Altered(block), text: None, outside: Vec::new() };
            }
            Verdict::NotGenuine => return Checked { finding: Finding::NotGenuine, text: None, outside: Vec::new() },
        };
        let CheckedText { above, below, .. } = self.checked;
        let mut outside = Vec::new();
        if let Some(subject) = &message.subject
            && !is_own_subject(subject, above, block.gateway())
        {
            outside.push(format!("its Subject is not the gateway's: {subject}"));
        }
        if !self.banner.trim().is_empty() {
            outside.push(format!("text above the gateway's: {}", self.banner.trim()));
        }
        if !below.trim().is_empty() {
            outside.push(format!("text below the block: {}", below.trim()));
        }
        for (at, part) in message.parts.iter().enumerate() {
            outside.extend(if at == self.at { own_remark(part) } else { remark(part, &block, self.key) });
        }
        outside.extend(message.unclear.iter().cloned());
        let finding = if outside.is_empty() { Finding::Genuine(block) } else { Finding::WithMore(block) };
        Checked { finding, text: Some(above.to_owned()), outside }
    }
}

/// How many lines a banner above a text may have.
const BANNER: usize = 60;

/// The same check without the first lines, where a mail system has put a banner above the text: the text that is left
/// has the digest that the gateway signed. Also returns the banner.
fn below_a_banner<'t>(text: &'t str, above: &str, key: &Key) -> Option<(&'t str, CheckedText<'t, Statement>)> {
    let starts = above.match_indices('\n').map(|(at, _)| at + 1).take(BANNER);
    starts.filter_map(|start| text.split_at_checked(start)).find_map(|(banner, rest)| {
        let checked = check_text(rest, key);
        matches!(checked.verdict, Verdict::Genuine(_)).then_some((banner, checked))
    })
}

/// What the part that holds the block may show besides its text.
fn own_remark(part: &ShownPart) -> Option<String> {
    matches!(part, ShownPart::Html { is_bare: false, .. }).then(|| HTML.to_owned())
}

const HTML: &str = "it is HTML that may show other things than its text, such as images and styles";

/// What another part shows besides the authenticated text; nothing where it is empty, or that text once more. A text
/// that the gateway has signed for another request is another text.
fn remark(part: &ShownPart, block: &Statement, key: &KeyFile) -> Option<String> {
    let (kind, text, is_bare) = match part {
        ShownPart::Other(what) => return Some((*what).to_owned()),
        ShownPart::Plain(text) => ("another plain text", text, true),
        ShownPart::Html { text, is_bare } => ("another text, in HTML", text, *is_bare),
    };
    let text = text.trim();
    if text.is_empty() {
        return (!is_bare).then(|| "HTML without text, which may show images".to_owned());
    }
    let checked = check_text(text, &key.key);
    let is_same =
        matches!(&checked.verdict, Verdict::Genuine(same) if same == block) && checked.below.trim().is_empty();
    match (is_same, is_bare) {
        (true, true) => None,
        (true, false) => Some(format!("{kind}, the same, but {HTML}")),
        (false, _) => Some(format!("{kind}: {text}")),
    }
}

/// Whether the gateway wrote this subject for the reply `text`: `[GATEWAY] COMMAND: OUTCOME`, where the text begins
/// with `OUTCOME: COMMAND`, longer commands cut by an ellipsis. White space and U+FEFF are not compared, because mail
/// systems change them.
fn is_own_subject(subject: &str, text: &str, gateway: &GatewayName) -> bool {
    let bare = |text: &str| -> String { text.chars().filter(|c| !c.is_whitespace() && *c != '\u{feff}').collect() };
    let subject = bare(subject);
    let parts = subject
        .strip_prefix(&format!("[{gateway}]"))
        .and_then(|rest| rest.rsplit_once(':'))
        .filter(|(command, outcome)| !command.is_empty() && !outcome.is_empty());
    let Some((command, outcome)) = parts else {
        return false;
    };
    first_lines(text).any(|line| {
        let line = bare(line);
        let written = line.strip_prefix(outcome).and_then(|rest| rest.strip_prefix(':'));
        match command.strip_suffix('…') {
            Some(start) if start.chars().count() >= SHORTENED => written.is_some_and(|line| line.starts_with(start)),
            _ => written == Some(command),
        }
    })
}

/// A subject that was shortened has 60 characters of the command; some may be white space.
const SHORTENED: usize = 30;

/// What may be the first line of a text, which mail systems wrap or join with the next: it ends where the facts begin,
/// the first of which is a host name. Or it is all of the text.
fn first_lines(text: &str) -> impl Iterator<Item = &str> {
    let is_end = |at: &usize| {
        let before = text.get(..*at).unwrap_or_default();
        let mut words = text.get(*at + FIRST_FACT.len()..).unwrap_or_default().split_whitespace();
        let is_word = before.ends_with(char::is_whitespace)
            && text.get(*at + FIRST_FACT.len()..).is_some_and(|rest| rest.starts_with(char::is_whitespace));
        is_word && words.nth(1).is_some_and(|word| SECOND_FACTS.contains(&word))
    };
    let ends = text.match_indices(FIRST_FACT).map(|(at, _)| at).filter(is_end).take(MOST_FIRST_LINES);
    ends.chain([text.len()]).filter_map(|end| text.get(..end))
}

/// The first label below a reply's first line.
const FIRST_FACT: &str = "host";

/// The first words of the labels that may follow the host's name.
const SECOND_FACTS: [&str; 12] = [
    "run",
    "took",
    "gateway",
    "started",
    "needed",
    "until",
    "from",
    "asked",
    "approved",
    "denied",
    "withdrew",
    "cancelled",
];

/// Output may hold such words too, any number of times.
const MOST_FIRST_LINES: usize = 4;

/// A reply for a user of `keys` that is older than the user's key file.
fn older(parts: &[ShownPart], keys: &[KeyFile]) -> Finding {
    let is_older = |written: Option<Timestamp>, block: &ReplyBlock| written.is_some_and(|written| block.time < written);
    let is_for = |key: &KeyFile, block: &ReplyBlock| block.gateway == key.gateway && block.user == key.user;
    parts
        .iter()
        .filter_map(|part| claimed_reply(part.text()?))
        .find(|block| keys.iter().any(|key| is_for(key, block) && is_older(key.written, block)))
        .map_or(Finding::NotGenuine, Finding::OlderThanKey)
}
