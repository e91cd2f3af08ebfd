//! Composes a reply. The outcome comes first: in the subject and in the first line.

use std::time::Duration;

use mail_builder::MessageBuilder;
use mail_builder::headers::content_type::ContentType;
use mail_builder::headers::date::Date;
use mail_builder::headers::raw::Raw;
use mail_builder::mime::MimePart;

use super::text::{shorten, visible};
use crate::admission::{Admitted, AdmittedAction};
use crate::authenticate::Identified;
use crate::authorize::Invocation;
use crate::config::{MailAddress, RunVia, Settings};
use crate::error::{Reason, Refusal};
use crate::execute::Outcome;
use crate::intake::{LOOP_FIELD, Message};
use crate::ledger::{Record, StoredReply};
use crate::limits::{FIRST_LINE, SUBJECT};
use crate::protocol::{Key, ReplyBlock, RequestId, RunResult, Timestamp, UserName};

/// Composes the replies to one request. It holds what they have in common.
pub struct ReplyComposer<'p> {
    settings: &'p Settings,
    id: RequestId,
    user: UserName,
    address: &'p MailAddress,
    key: &'p Key,
    title: String,
    message_id: Option<&'p str>,
}

/// The parts that differ between replies.
struct Content<'c> {
    result: RunResult,
    facts: Vec<(&'c str, String)>,
    body: String,
}

impl<'p> ReplyComposer<'p> {
    /// A composer for the request `identified`, which `message` brought.
    pub fn new(settings: &'p Settings, identified: &'p Identified, message: &'p Message) -> Self {
        let request = identified.request();
        let arguments = request.arguments().unwrap_or_default();
        let arguments = arguments.iter().map(|(name, value)| format!("{name}={value}"));
        Self {
            settings,
            id: identified.id(),
            user: identified.user().clone(),
            address: identified.address(),
            key: identified.key(),
            title: title(request.command().as_str(), arguments),
            message_id: message.message_id(),
        }
    }

    /// A composer for a recorded request, whose message is not at hand. `key` is the user's.
    pub fn of_record(
        settings: &'p Settings,
        record: &Record,
        user: UserName,
        address: &'p MailAddress,
        key: &'p Key,
    ) -> Self {
        let title = title(&record.command, record.arguments.lines().map(str::to_owned));
        Self { settings, id: record.id, user, address, key, title, message_id: None }
    }

    /// The reply to a request that was run.
    pub fn outcome(&self, admitted: &Admitted<'_>, outcome: &Outcome, now: Timestamp) -> StoredReply {
        let mut facts = vec![("host", host())];
        if let AdmittedAction::Run(command) = admitted.action() {
            facts.push(("run as", self.run_as(command.invocation())));
            facts.extend(command.payload().map(|payload| ("payload", payload.to_string())));
            facts.push(("took", seconds(outcome.took())));
        }
        let body = match outcome.result() {
            RunResult::Refused => {
                "The gateway could not run this command: its sysadmin must correct it, and the log says \
                                   what is wrong. Nothing was run.\n"
                    .to_owned()
            }
            RunResult::Unknown => format!("{UNKNOWN}{}", output(outcome)),
            _ => output(outcome),
        };
        self.write(Content { result: outcome.result(), facts, body }, now)
    }

    /// The reply to a request that was refused.
    pub fn refusal(&self, refusal: &Refusal, now: Timestamp) -> StoredReply {
        // An earlier delivery, which the database has lost, may have run it.
        let known = if refusal.reason() == Reason::FailedOver { "It is not run now" } else { "Nothing was run" };
        let body = format!("{known}: {}.\n", visible(refusal.detail()));
        self.write(Content { result: RunResult::Refused, facts: vec![("host", host())], body }, now)
    }

    /// The reply to a request of which the end was not seen.
    pub fn unknown(&self, record: &Record, now: Timestamp) -> StoredReply {
        let mut facts = vec![("host", host())];
        if let Some(started) = record.started {
            facts.push(("started", started.to_string()));
        }
        // A built-in command has no argument vector, and changes nothing.
        let body =
            if record.argv.is_some() { UNKNOWN } else { "The gateway stopped while it wrote its answer. Ask again.\n" };
        self.write(Content { result: RunResult::Unknown, facts, body: body.to_owned() }, now)
    }

    fn write(&self, content: Content<'_>, now: Timestamp) -> StoredReply {
        let gateway = &self.settings.gateway;
        let title = &self.title;
        let outcome = words(content.result);
        let mut text = format!("{outcome}: {}\n\n", shorten(title, FIRST_LINE));
        let request = [("gateway", gateway.to_string()), ("request", self.id.short())];
        for (label, value) in content.facts.iter().chain(&request) {
            text.push_str(&format!("{label:<8} {}\n", visible(value)));
        }
        text.push('\n');
        text.push_str(&content.body);
        text.push('\n');
        let block = ReplyBlock {
            gateway: gateway.clone(),
            user: self.user.clone(),
            request: self.id,
            time: now,
            result: content.result,
        };
        text += &block.sign(&text, self.key);
        let subject = format!("[{gateway}] {}: {outcome}", shorten(title, SUBJECT));
        StoredReply { to: self.address.to_string(), message: self.message(subject, text, now) }
    }

    fn message(&self, subject: String, text: String, now: Timestamp) -> Vec<u8> {
        let address = &self.settings.address;
        let mut builder = MessageBuilder::new()
            .from(address.as_str())
            .to(self.address.as_str())
            .subject(subject)
            .date(Date::new(now.seconds()))
            // A request has one reply, so its id is unique: every copy of the reply bears the same Message-ID.
            .message_id(format!("{}@{}", self.id, address.domain()));
        if let Some(id) = self.message_id {
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
            .header(LOOP_FIELD, Raw::new(self.settings.gateway.as_str()))
            .write_to_vec()
            // Writing to memory fails only if the allocation fails. Even a reply without text does not lose the outcome.
            .unwrap_or_default();
        without_cr(&message)
    }

    fn run_as(&self, invocation: &Invocation) -> String {
        match self.settings.execution.run_via {
            RunVia::Sudo => invocation.run_as().to_string(),
            RunVia::Direct => "the gateway's own user (run_via = \"direct\")".to_owned(),
        }
    }
}

/// The command and its arguments as a user writes them.
fn title(command: &str, arguments: impl Iterator<Item = String>) -> String {
    let mut title = command.to_owned();
    for argument in arguments {
        title.push_str(&format!(" {}", visible(&argument)));
    }
    title
}

const UNKNOWN: &str = "The command was started, and the gateway did not see it end. It may have done all, some or none of \
                       its work; it is not run again. Look at what it changes before you send a new request.\n";

fn words(result: RunResult) -> String {
    match result {
        RunResult::Exit(0) => "ok".to_owned(),
        RunResult::Exit(status) => format!("failed (exit {status})"),
        RunResult::Signal(number) => format!("killed (signal {number})"),
        RunResult::TimedOut => "timed out".to_owned(),
        RunResult::Refused => "refused".to_owned(),
        RunResult::Unknown => "outcome unknown".to_owned(),
    }
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

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Whether a mailbox in mbox format changes the line: it puts `>` before `From ` (mbox(5)), or before `>From `.
fn is_changed_in_mbox(line: &str) -> bool {
    line.trim_start_matches('>').starts_with("From ")
}

/// The text in quoted-printable (RFC 2045 section 6.7), with the first character of such lines encoded too, so that no mail
/// system on the way needs to change one.
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
