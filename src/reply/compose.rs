//! Composes a reply. The outcome comes first: in the subject and in the first line.

use std::time::Duration;

use mail_builder::MessageBuilder;
use mail_builder::headers::content_type::ContentType;
use mail_builder::headers::date::Date;
use mail_builder::headers::raw::Raw;
use mail_builder::mime::MimePart;
use zeroize::Zeroizing;

use super::history::history;
use super::text::{shorten, title, visible};
use super::words::{UNANSWERED, UNKNOWN, WITHHELD, WITHHELD_TITLE, no_run, not_run, without_approval, words};
use crate::admission::{Admitted, AdmittedAction};
use crate::authenticate::Identified;
use crate::authorize::{Invocation, Person};
use crate::config::{EncryptKind, MailAddress, RunVia, Settings};
use crate::error::Refusal;
use crate::execute::Outcome;
use crate::intake::{LOOP_FIELD, Message};
use crate::ledger::{Record, StoredReply, Story};
use crate::limits::{FIRST_LINE, SUBJECT};
use crate::protocol::{ChainHead, Key, ReplyBlock, RequestId, RunResult, Timestamp, UserName};

/// Composes the replies to one request. It holds what they have in common.
#[derive(Clone)]
pub struct ReplyComposer<'p> {
    settings: &'p Settings,
    encrypt: Option<EncryptKind>,
    user: &'p UserName,
    address: &'p MailAddress,
    key: &'p Key,
    id: RequestId,
    /// The command and its arguments as a user writes them.
    title: String,
    /// The Message-ID of the mail that is answered.
    answers: Option<String>,
    /// The head of the audit chain after what is reported.
    head: Option<ChainHead>,
}

/// The parts that differ between replies.
pub(super) struct Content<'c> {
    pub(super) result: RunResult,
    pub(super) facts: Vec<(&'c str, String)>,
    pub(super) body: String,
}

impl<'p> ReplyComposer<'p> {
    /// A composer for the request `identified`, which `message` brought, with its `arguments` as they may be shown.
    pub fn new(settings: &'p Settings, identified: &'p Identified, arguments: &str, message: &'p Message) -> Self {
        Self {
            settings,
            encrypt: identified.encrypt(),
            user: identified.user(),
            address: identified.address(),
            key: identified.key(),
            id: identified.id(),
            title: title(identified.request().command().as_str(), arguments),
            answers: message.message_id().map(str::to_owned),
            head: None,
        }
    }

    /// A composer for a recorded request, whose message is not at hand, signed under its user's current key.
    pub fn of_record(settings: &'p Settings, user: &'p Person, record: &Record) -> Self {
        Self {
            settings,
            encrypt: user.user.encrypt,
            user: &user.name,
            address: &user.user.address,
            key: &user.secrets.key,
            id: record.id,
            title: title(&record.command, &record.arguments),
            answers: None,
            head: None,
        }
    }

    /// The same for the final reply to a request that waited for approval. It answers the reply that said so.
    pub fn for_requester(settings: &'p Settings, requester: &'p Person, record: &Record) -> Self {
        let answers = Some(message_id(&record.id, Some("pending"), settings));
        Self { answers, ..Self::of_record(settings, requester, record) }
    }

    /// The same, for what has led to this head of the audit chain.
    pub fn at(&self, head: Option<ChainHead>) -> Self {
        Self { head, ..self.clone() }
    }

    /// The reply to a request that was run. `more` are facts about its approval.
    pub fn outcome(
        &self,
        admitted: &Admitted<'_>,
        outcome: &Outcome,
        more: Vec<(&'static str, String)>,
        now: Timestamp,
    ) -> StoredReply {
        let mut facts = vec![("host", host())];
        facts.extend(more);
        if let AdmittedAction::Run(command) = admitted.action() {
            facts.push(("run as", self.run_as(command.invocation())));
            facts.extend(command.payload().map(|payload| ("payload", payload.to_string())));
            facts.push(("took", seconds(outcome.took())));
        }
        let body = match (outcome.refused(), outcome.result()) {
            (Some(reason), _) => not_run(reason).to_owned(),
            (None, RunResult::Unknown) => format!("{UNKNOWN}{}", output(outcome)),
            _ => output(outcome),
        };
        let body = match admitted.required().and_then(|required| required.exception()) {
            Some(role) => format!("{}{body}", without_approval(role)),
            None => body,
        };
        self.write(Content { result: outcome.result(), facts, body }, now)
    }

    /// The reply to a request that was refused.
    pub fn refusal(&self, refusal: &Refusal, now: Timestamp) -> StoredReply {
        let body = format!("{}: {}.\n", no_run(refusal.reason()), visible(refusal.detail()));
        self.write(Content { result: RunResult::Refused, facts: vec![("host", host())], body }, now)
    }

    /// The reply to a request of which the end was not seen.
    pub fn unknown(&self, record: &Record, story: &Story, now: Timestamp) -> StoredReply {
        let mut facts = vec![("host", host())];
        if let Some(started) = record.started {
            facts.push(("started", started.to_string()));
        }
        // A built-in command has no argument vector, and changes nothing.
        let body = if record.argv.is_some() { UNKNOWN } else { UNANSWERED };
        facts.extend(history(&story.votes));
        let exception = story.approval.as_ref().and_then(|approval| approval.exception.as_deref());
        let body = format!("{}{body}", exception.map(without_approval).unwrap_or_default());
        self.write(Content { result: RunResult::Unknown, facts, body }, now)
    }

    /// The whole reply. Where the user's mail is encrypted, that is its draft: the message, which is sent if it cannot
    /// be encrypted, has the outcome and nothing else.
    pub(super) fn write(&self, content: Content<'_>, now: Timestamp) -> StoredReply {
        let result = content.result;
        let plain = self.message(&self.title, content, now);
        let to = self.address.to_string();
        let Some(kind) = self.encrypt else {
            return StoredReply::finished(to, plain);
        };
        let plain = Zeroizing::new(plain);
        // `verify` finds the end of the first line by the first fact.
        let short = Content { result, facts: vec![("host", host())], body: WITHHELD.to_owned() };
        StoredReply::to_encrypt(to, self.message(WITHHELD_TITLE, short, now), &plain, kind, self.key, &self.id)
    }

    fn message(&self, title: &str, content: Content<'_>, now: Timestamp) -> Vec<u8> {
        let gateway = &self.settings.gateway;
        let outcome = words(content.result);
        let mut text = head(&outcome, title, &content.facts, gateway.as_str(), &self.id.short());
        text.push_str(&content.body);
        text.push('\n');
        let block = ReplyBlock {
            gateway: gateway.clone(),
            user: self.user.clone(),
            request: self.id,
            time: now,
            result: content.result,
            head: self.head,
        };
        text += &block.sign(&text, self.key);
        let kind = (content.result == RunResult::Pending).then_some("pending");
        let envelope = Envelope {
            to: self.address,
            subject: subject(gateway.as_str(), title, &outcome),
            // A request has one reply of each kind, so its id is unique: every copy of the reply has the same
            // Message-ID.
            id: message_id(&self.id, kind, self.settings),
            answers: self.answers.as_deref(),
        };
        message(envelope, text, self.settings, now)
    }

    pub(super) fn run_as(&self, invocation: &Invocation) -> String {
        runs_as(self.settings, invocation.run_as().to_string())
    }
}

/// As whom a command runs that names the account `named`.
pub(super) fn runs_as(settings: &Settings, named: String) -> String {
    match settings.execution.run_via {
        RunVia::Sudo => named,
        RunVia::Direct => "the gateway's own user (run_via = \"direct\")".to_owned(),
    }
}

/// The first lines of a text: outcome, command and facts.
pub(super) fn head(outcome: &str, title: &str, facts: &[(&str, String)], gateway: &str, request: &str) -> String {
    let mut text = format!("{outcome}: {}\n\n", shorten(title, FIRST_LINE));
    let last = [("gateway", gateway.to_owned()), ("request", request.to_owned())];
    for (label, value) in facts.iter().chain(&last) {
        text.push_str(&format!("{label:<8} {}\n", visible(value)));
    }
    text.push('\n');
    text
}

/// The subject that goes with [`head`].
pub(super) fn subject(gateway: &str, title: &str, outcome: &str) -> String {
    format!("[{gateway}] {}: {outcome}", shorten(title, SUBJECT))
}

/// The Message-ID of a message about the request, without angle brackets: `ID@DOMAIN`, or `ID.KIND@DOMAIN`.
pub(super) fn message_id(id: &RequestId, kind: Option<&str>, settings: &Settings) -> String {
    let kind = kind.map(|kind| format!(".{kind}")).unwrap_or_default();
    format!("{id}{kind}@{}", settings.address.domain())
}

/// The header fields that differ between messages.
pub(super) struct Envelope<'e> {
    pub(super) to: &'e MailAddress,
    pub(super) subject: String,
    /// The Message-ID without angle brackets.
    pub(super) id: String,
    /// The Message-ID that this message answers.
    pub(super) answers: Option<&'e str>,
}

/// A whole message of the gateway (RFC 5322), lines ended by LF. It is the same to the byte for the same arguments.
pub(super) fn message(envelope: Envelope<'_>, text: String, settings: &Settings, now: Timestamp) -> Vec<u8> {
    let mut builder = MessageBuilder::new()
        .from(settings.address.as_str())
        .to(envelope.to.as_str())
        .subject(envelope.subject)
        .date(Date::new(now.seconds()))
        .message_id(envelope.id);
    if let Some(id) = envelope.answers {
        builder = builder.in_reply_to(id).references(id);
    }
    let builder = if text.lines().any(is_changed_in_mbox) {
        let kind = ContentType::new("text/plain").attribute("charset", "utf-8");
        let encoded = guarded(&text);
        builder.body(MimePart::new(kind, encoded).transfer_encoding("quoted-printable"))
    } else {
        builder.text_body(text)
    };
    let message = builder
        .header("Auto-Submitted", Raw::new("auto-replied"))
        .header("X-Auto-Response-Suppress", Raw::new("All"))
        .header(LOOP_FIELD, Raw::new(settings.gateway.as_str()))
        .write_to_vec()
        // Writing to memory fails only if the allocation fails. Even a reply without text does not lose the outcome.
        .unwrap_or_default();
    without_cr(&message)
}

fn output(outcome: &Outcome) -> String {
    let text = visible(&outcome.output().text());
    if text.trim().is_empty() {
        return "It printed nothing.\n".to_owned();
    }
    format!("{}\n", text.trim_end_matches('\n'))
}

fn seconds(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}

/// The name of this host.
pub fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Whether a mailbox in mbox format changes the line: it puts `>` before `From ` (mbox(5)), or before `>From `.
fn is_changed_in_mbox(line: &str) -> bool {
    line.trim_start_matches('>').starts_with("From ")
}

/// The text in quoted-printable (RFC 2045 section 6.7), with the first character of such lines encoded too, so that no
/// mail system on the way needs to change one.
fn guarded(text: &str) -> String {
    let lines = text.split('\n').map(|line| {
        let encoded = quoted_printable::encode_to_str(line);
        match encoded.chars().next() {
            Some(first) if is_changed_in_mbox(line) => {
                format!("={:02X}{}", u32::from(first), encoded.get(first.len_utf8()..).unwrap_or_default())
            }
            _ => encoded,
        }
    });
    lines.collect::<Vec<_>>().join("\r\n")
}

/// sendmail(1) and shells need LF.
fn without_cr(message: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(message.len());
    let mut bytes = message.iter().peekable();
    while let Some(&byte) = bytes.next() {
        if byte != b'\r' || bytes.peek() != Some(&&b'\n') {
            plain.push(byte);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_mbox_would_change_is_encoded() {
        assert_eq!(guarded("a\nFrom b = c\n>From d\n"), "a\r\n=46rom b =3D c\r\n=3EFrom d\r\n");
        assert!(is_changed_in_mbox(">>From x") && !is_changed_in_mbox("From: x") && !is_changed_in_mbox(" From x"));
    }
}
