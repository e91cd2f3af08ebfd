//! Which messages are processed at all. In: envelope and header. Out: the one From address, or a refusal, which
//! only the log gets. Cheap and stateless: a mail loop or a newsletter must stop here.

use mail_parser::{Address, HeaderValue};

use super::envelope::Envelope;
use super::header::{Field, Form};
use super::mime::Entity;
use super::sender_auth::SenderAuth;
use crate::config::Settings;
use crate::error::{Deferral, Reason, Refusal, Stop};

/// The field by which a gateway recognises replies, its own and those of other gateways.
pub const LOOP_FIELD: &str = "Mailsudo-Gateway";

/// Checks what needs the envelope only; returns what was required of the sender.
pub(super) fn envelope(envelope: &Envelope, settings: &Settings) -> Result<SenderAuth, Stop> {
    let sender = envelope.sender.as_ref().map(|sender| sender.to_string_lossy());
    // MAILER-DAEMON is how pipe(8) writes the null sender where master.cf lacks `null_sender=`.
    if sender.is_some_and(|sender| matches!(&*sender, "" | "<>" | "MAILER-DAEMON")) {
        return refuse(Reason::Automatic, "the null sender: a bounce or an automatic reply");
    }
    let mut sender = SenderAuth::default();
    sender.check_envelope(envelope, &settings.intake.requirements())?;
    recipient(envelope, settings)?;
    Ok(sender)
}

fn recipient(envelope: &Envelope, settings: &Settings) -> Result<(), Stop> {
    let served = &settings.intake.recipients;
    if served.is_empty() {
        return Ok(());
    }
    let Some(recipient) = &envelope.recipient else {
        return Err(Deferral::new(
            "configuration",
            "intake.recipients is set, but the recipient was not given: add --recipient=${recipient} in master.cf",
        )
        .into());
    };
    let recipient = recipient.to_string_lossy();
    if served.iter().any(|address| address.is(&recipient)) {
        Ok(())
    } else {
        refuse(Reason::WrongRecipient, "the recipient is not in intake.recipients")
    }
}

/// Checks the header; returns the one From address.
pub(super) fn header(message: &Entity<'_>, settings: &Settings) -> Result<String, Stop> {
    for field in message.fields() {
        screen_field(&field, settings)?;
    }
    if let Some(expression) = &settings.intake.subject {
        let subject = message.fields().find(|field| field.is("Subject"));
        let subject = subject.map(|field| field.read(Form::Words));
        let subject = subject.as_ref().and_then(HeaderValue::as_text).unwrap_or_default();
        if !matches(expression, "intake.subject", subject)? {
            return refuse(Reason::WrongSubject, "the Subject does not match intake.subject");
        }
    }
    only_from(message)
}

/// Checks one raw field. Most fields do not matter here, and are not read.
fn screen_field(field: &Field<'_>, settings: &Settings) -> Result<(), Stop> {
    if field.is(LOOP_FIELD) {
        return refuse(Reason::Loop, "it is a gateway's own reply");
    }
    if field.is("Auto-Submitted") && !field.first_word().eq_ignore_ascii_case("no") {
        return refuse(Reason::Automatic, "Auto-Submitted says that no person sent it (RFC 3834)");
    }
    if field.begins("List-") {
        return refuse(Reason::Automatic, "a List-* field: it came through a mailing list (RFC 2369)");
    }
    if field.is("Precedence")
        && ["bulk", "list", "junk"].iter().any(|word| field.first_word().eq_ignore_ascii_case(word))
    {
        return refuse(Reason::Automatic, "Precedence says that it is bulk mail");
    }
    if field.is("Return-Path") && field.text() == "<>" {
        return refuse(Reason::Automatic, "the null Return-Path: a bounce or an automatic reply");
    }
    for (name, expression) in &settings.intake.reject {
        if field.is(name) && matches(expression, "intake.reject", &field.text())? {
            return refuse(Reason::Rejected, format!("{name} matches intake.reject"));
        }
    }
    Ok(())
}

fn matches(expression: &crate::config::Expression, key: &str, text: &str) -> Result<bool, Stop> {
    let result = expression.matches(text);
    result.map_err(|error| Deferral::new("configuration", format!("{key}: {error}")).into())
}

fn only_from(message: &Entity<'_>) -> Result<String, Stop> {
    let mut fields = message.fields().filter(|field| field.is("From"));
    let (Some(field), None) = (fields.next(), fields.next()) else {
        return refuse(Reason::BadFrom, "not exactly one From field (RFC 5322 section 3.6.2)");
    };
    let value = field.read(Form::Addresses);
    let addresses = match &value {
        HeaderValue::Address(Address::List(list)) => list.as_slice(),
        _ => &[],
    };
    match addresses {
        [only] if only.address.is_some() => Ok(only.address.as_deref().unwrap_or_default().to_owned()),
        _ => refuse(Reason::BadFrom, "not exactly one address in the From field"),
    }
}

fn refuse<T>(reason: Reason, detail: impl Into<String>) -> Result<T, Stop> {
    Err(Refusal::new(reason, detail).into())
}
