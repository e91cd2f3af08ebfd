//! The door: bytes from standard input become a screened message, or stop here.
//!
//! In: at most `limits.message` bytes, and what the mail server says of the envelope. Out: a [`Message`], whose
//! texts may be searched for a block. Nothing in here knows users, keys or the ledger, and what is refused here is
//! answered to nobody.

mod header;
mod html;
mod mime;
mod screen;
mod text;

use std::ffi::OsString;
use std::io::Read;

use header::Form;
use mime::Entity;

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
    let message = Entity::new(raw);
    if message.fields().next().is_none() {
        return Err(Refusal::new(Reason::NotMail, "no header could be read").into());
    }
    let from = screen::header(&message, settings)?;
    let id = message.fields().find(|field| field.is("Message-ID")).and_then(|field| {
        let id = field.read(Form::Id);
        id.as_text().map(str::to_owned)
    });
    let quotable = |id: &String| id.len() <= 200 && id.bytes().all(|b| b.is_ascii_graphic() && !b"<>".contains(&b));
    Ok(Message { from, id: id.filter(quotable), texts: text::texts(&mime::leaves(&message)?) })
}

/// What a reader of the message sees, for one who looks for a reply in it: all its plain texts as one, and all its HTML texts
/// as one. `None` where the input is no mail but, say, pasted text: a mail has a From field.
pub fn visible_texts(raw: &[u8]) -> Option<Vec<String>> {
    let message = Entity::new(raw);
    let is_mail = message.fields().any(|field| field.is("From"));
    is_mail.then(|| text::joined(&mime::leaves(&message).unwrap_or_default()))
}

/// Every inline text of a message, plain ones first.
pub fn readable(raw: &[u8]) -> Vec<String> {
    text::all(&mime::leaves(&Entity::new(raw)).unwrap_or_default())
}
