//! The door: bytes from standard input become a screened message, or stop here.
//!
//! In: at most `limits.message` bytes, and what the mail server says of the envelope. Out: a [`Message`], whose
//! texts may be searched for a block. Nothing in here knows users, keys or the ledger, and what is refused here is
//! answered to nobody.

mod html;
mod results;
mod screen;
mod text;
pub mod vouch;

use std::ffi::OsString;
use std::io::Read;

use mail_parser::{HeaderName, HeaderValue, MessageParser, PartType};

use crate::config::{Gateway, Settings};
use crate::error::{Deferral, Reason, Refusal, Stop};

/// What the mail server says of the envelope (pipe(8) macros). None of it need be UTF-8 or true; it is for the log,
/// and for the screening that the sysadmin asked for.
#[derive(Debug, Default)]
pub struct Envelope {
    /// The envelope sender; empty for the null sender.
    pub sender: Option<OsString>,
    /// The envelope recipient.
    pub recipient: Option<OsString>,
    /// Postfix's name for this mail.
    pub queue_id: Option<OsString>,
    /// The address of the SMTP client that brought it.
    pub client_address: Option<OsString>,
    /// The SASL login that brought it.
    pub sasl_username: Option<OsString>,
}

/// A message that may hold a request: small enough, not automatic, from exactly one address.
pub struct Message {
    from: String,
    id: Option<String>,
    texts: Vec<String>,
    /// The Authentication-Results fields, where the configuration says whose to believe.
    verdicts: Vec<String>,
}

impl std::fmt::Debug for Message {
    /// Without its texts, which hold a code.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Message from {}", self.from)
    }
}

impl Message {
    /// The one address of the From field.
    pub fn from(&self) -> &str {
        &self.from
    }

    /// The Message-ID without its angle brackets, if it is one that can stand in a reply.
    pub fn message_id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The texts that reader's rule 2 counts.
    pub fn texts(&self) -> Vec<&str> {
        self.texts.iter().map(String::as_str).collect()
    }
}

/// The field by which a gateway knows its own replies, and every other gateway's.
pub const LOOP_FIELD: &str = "Mailsudo-Gateway";

/// Reads the message, screens it and takes its texts out.
///
/// # Errors
///
/// A refusal for what is not for us; a deferral where the gateway or its caller is set up wrongly.
pub fn receive(mail: &mut dyn Read, envelope: &Envelope, gateway: &Gateway) -> Result<Message, Stop> {
    let settings = gateway.settings();
    screen::envelope(envelope, settings)?;
    let raw = read_bounded(mail, settings)?;
    parse(&raw, settings)
}

fn read_bounded(mail: &mut dyn Read, settings: &Settings) -> Result<Vec<u8>, Stop> {
    let limit = settings.limits.message.bytes();
    let mut raw = Vec::new();
    let read = mail.take(limit + 1).read_to_end(&mut raw);
    read.map_err(|error| Deferral::new("input", format!("standard input: {error}")))?;
    if raw.len() as u64 > limit {
        let detail = format!("more than limits.message, {limit} bytes");
        return Err(Refusal::new(Reason::TooLarge, detail).into());
    }
    Ok(raw)
}

fn parse(raw: &[u8], settings: &Settings) -> Result<Message, Stop> {
    let parser = MessageParser::new()
        .with_mime_headers()
        .header_address(HeaderName::From)
        .header_text(HeaderName::Subject)
        .header_id(HeaderName::MessageId);
    let Some(parsed) = parser.parse(raw) else {
        return Err(Refusal::new(Reason::NotMail, "no header could be read").into());
    };
    let message = take(&parsed, settings);
    dismantle(parsed);
    message
}

fn take(parsed: &mail_parser::Message<'_>, settings: &Settings) -> Result<Message, Stop> {
    let (raw, headers) = (parsed.raw_message(), parsed.headers());
    let from = screen::header(raw, headers, settings)?;
    let id = headers.iter().find_map(|header| match (&header.name, &header.value) {
        (HeaderName::MessageId, HeaderValue::Text(id)) => Some(id.to_string()),
        _ => None,
    });
    let quotable = |id: &String| id.len() <= 200 && id.bytes().all(|b| b.is_ascii_graphic() && !b"<>".contains(&b));
    let verdicts = settings.intake.authserv_id.as_ref().map(|_| vouch::fields(raw, headers)).unwrap_or_default();
    let message = Message { from, id: id.filter(quotable), texts: Vec::new(), verdicts };
    if settings.intake.require_authentication_results {
        vouch::verdict(&message, &settings.intake)?;
    }
    Ok(Message { texts: text::texts(parsed), ..message })
}

/// Drops a message level by level: mail-parser's own drop recurses, and aborts the process where nested messages
/// are deep enough (FACTS.md).
fn dismantle(message: mail_parser::Message<'_>) {
    let mut levels = vec![message];
    while let Some(mut message) = levels.pop() {
        for part in message.parts.drain(..) {
            if let PartType::Message(inner) = part.body {
                levels.push(inner);
            }
        }
    }
}

/// What a reader of the message sees, for one who looks for a reply in it: all its plain texts as one, and all its HTML texts
/// as one. `None` where the input is no mail but, say, pasted text: a mail has a From field.
pub fn visible_texts(raw: &[u8]) -> Option<Vec<String>> {
    let parsed = MessageParser::new().with_mime_headers().parse(raw)?;
    let is_mail = parsed.headers().iter().any(|header| header.name == HeaderName::From);
    let texts = text::joined(&parsed);
    dismantle(parsed);
    is_mail.then_some(texts)
}

/// Every inline text of a message, plain ones first.
pub fn readable(raw: &[u8]) -> Vec<String> {
    let Some(parsed) = MessageParser::new().with_mime_headers().parse(raw) else {
        return Vec::new();
    };
    let texts = text::all(&parsed);
    dismantle(parsed);
    texts
}
