//! Replies. In: an outcome or a refusal, and the request. Out: an RFC 5322 message with a signed block, finished before
//! anything is stored or sent, so that every copy of it is the same to the byte; and how it is sent.

mod approval;
mod compose;
mod history;
mod notice;
mod report;
mod smtp;
mod text;
mod transport;

pub use compose::{ReplyComposer, host};
pub use history::{about, history, what_became};
pub use notice::notice;
pub use report::report_message;
pub use text::{quoted, visible};
pub use transport::ReplyTransport;

use crate::ledger::StoredReply;

/// The text of a stored reply, for showing it again.
pub fn stored_text(reply: &StoredReply) -> Option<String> {
    crate::intake::readable(&reply.message).into_iter().next()
}
