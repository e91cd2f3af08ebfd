//! A report to a sysadmin as a mail of the gateway. In: its text. Out: a message.

use super::compose::{Envelope, message};
use crate::config::{MailAddress, Settings};
use crate::ledger::StoredReply;
use crate::protocol::Timestamp;

/// A message to `to` with this subject and text.
pub fn report_message(
    settings: &Settings,
    to: &MailAddress,
    subject: String,
    text: String,
    now: Timestamp,
) -> StoredReply {
    let id = format!("report.{}@{}", now.seconds(), settings.address.domain());
    let envelope = Envelope { to, subject, id, answers: None };
    StoredReply::finished(to.to_string(), message(envelope, text, settings, now))
}
