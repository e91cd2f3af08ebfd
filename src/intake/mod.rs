//! Intake: reads a message from standard input, screens it and extracts its texts.
//!
//! In: at most `limits.message` bytes, and what the mail server says about the envelope. Out: a [`Message`], whose
//! texts may be searched for a block. Nothing in here knows users, keys or the ledger, and what is refused here
//! gets no reply.

mod authentication_results;
mod encrypted;
mod envelope;
mod header;
mod html;
mod mbox;
mod mime;
mod payload;
mod raw;
mod screen;
mod sender_auth;
mod shown;
mod structured;
mod text;
mod unclear;
mod utf7;

pub use encrypted::{encrypted_as, encrypted_data};
pub use envelope::Envelope;
pub use html::{HtmlToken, html_tokens};
pub use mbox::mbox;
pub use payload::PayloadFinding;
pub use raw::Source;
pub use screen::LOOP_FIELD;
pub use sender_auth::{SenderAuth, Verdict};
pub use shown::{Shown, ShownPart, shown};

use header::Form;
use mime::Entity;
use raw::Raw;
use zeroize::{Zeroize, Zeroizing};

use crate::config::{Gateway, SenderRequirements, Settings};
use crate::encryption::Encryption;
use crate::error::{Reason, Refusal, Stop};
use crate::limits::MESSAGE_BUFFER;
use crate::protocol::PayloadDigest;

/// A message that may hold a request: small enough, not automatic, from exactly one address. Its texts, which may hold
/// a code, are wiped when dropped, and so is the message as it came.
pub struct Message {
    raw: Raw,
    from: String,
    id: Option<String>,
    readings: Zeroizing<Vec<Vec<String>>>,
    /// The Authentication-Results fields, where an authserv-id is configured.
    results: Vec<String>,
    sender: SenderAuth,
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

    /// The Message-ID without its angle brackets, if a reply can hold it.
    pub fn message_id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// What is known of the sender when the user's `required` is met too. What `[intake]` requires was checked on
    /// receipt.
    ///
    /// # Errors
    ///
    /// A refusal; a deferral where the mail server or the configuration does not say what is required.
    pub fn authenticate_sender(
        &self,
        envelope: &Envelope,
        required: &SenderRequirements<'_>,
        settings: &Settings,
    ) -> Result<SenderAuth, Stop> {
        let mut sender = self.sender.clone();
        sender.check_envelope(envelope, required)?;
        sender.check_header(&self.from, &self.results, required, &settings.intake)?;
        Ok(sender)
    }

    /// The texts that reader's rule 2 counts, in their most likely reading.
    pub fn texts(&self) -> Vec<&str> {
        self.readings().next().unwrap_or_default()
    }

    /// The possible readings of the texts, the likeliest first. There is more than one if a part may not be encoded as
    /// it says.
    pub fn readings(&self) -> impl Iterator<Item = Vec<&str>> {
        self.readings.iter().map(|texts| texts.iter().map(String::as_str).collect())
    }

    /// Wipes the texts, after the request in them is read.
    pub fn wipe_texts(&mut self) {
        self.readings.zeroize();
    }

    /// Looks for the payload with this digest. Call it only after the mac is verified: decoding every part is work.
    pub fn payload(&self, digest: PayloadDigest) -> PayloadFinding {
        payload::find(&self.raw.0, digest)
    }

    /// Wipes the message as it came, after a payload is found in it.
    pub fn wipe_raw(&mut self) {
        self.raw.0.as_mut_slice().zeroize();
        // A small buffer stays: what is allocated later would be cut out of it, piece by piece.
        if self.raw.0.capacity() > MESSAGE_BUFFER {
            self.raw = Raw(Vec::new());
        } else {
            self.raw.0.clear();
        }
    }
}

/// Reads the message, screens it and extracts its texts.
///
/// # Errors
///
/// A refusal for what is not a request; a deferral if the gateway or its caller is configured wrongly.
pub fn receive(
    mail: &mut dyn Source,
    envelope: &Envelope,
    gateway: &Gateway,
    encryption: &Encryption<'_>,
) -> Result<Message, Stop> {
    let settings = gateway.settings();
    let sender = screen::envelope(envelope, settings)?;
    let raw = Raw::read(mail, settings.limits.message.bytes())?;
    parse(raw, sender, settings, encryption)
}

fn parse(
    mut raw: Raw,
    mut sender: SenderAuth,
    settings: &Settings,
    encryption: &Encryption<'_>,
) -> Result<Message, Stop> {
    let message = Entity::new(&raw.0);
    if message.fields().next().is_none() {
        return Err(Refusal::new(Reason::NotMail, "no header could be read").into());
    }
    let from = screen::header(&message, settings)?;
    let id = message.fields().find(|field| field.is("Message-ID")).and_then(|field| {
        let id = field.read(Form::Id);
        id.as_text().map(str::to_owned)
    });
    let quotable = |id: &String| id.len() <= 200 && id.bytes().all(|b| b.is_ascii_graphic() && !b"<>".contains(&b));
    let results = settings.intake.authserv_id.as_ref().map(|_| sender_auth::fields(&message)).unwrap_or_default();
    sender.check_header(&from, &results, &settings.intake.requirements(), &settings.intake)?;
    // What is inside counts, and nothing outside it but the header.
    let found = encrypted::find(&message).filter(|(kind, _)| settings.decryption.files(*kind).is_some());
    if let Some((kind, data)) = found {
        let most = settings.limits.message.bytes();
        let mut inside = encryption.decrypt(kind, &data, most)?;
        // Signed first and then encrypted (RFC 8551 section 3.7). The signature is not looked at: the block has its
        // own.
        if let Some(signed) = encrypted::opaque(&Entity::new(&inside)) {
            inside = encryption.unpack(&signed, most)?;
        }
        raw = Raw(std::mem::take(&mut *inside));
    }
    let readings = Zeroizing::new(text::readings(&mime::leaves(&Entity::new(&raw.0))?));
    let id = id.filter(quotable);
    Ok(Message { raw, from, id, readings, results, sender })
}

/// Every inline text of a message, plain ones first.
pub fn readable(raw: &[u8]) -> Vec<String> {
    text::all(&mime::leaves(&Entity::new(raw)).unwrap_or_default())
}
