//! The answer. In: an outcome or a refusal, and whom it is for. Out: an RFC 5322 message with a signed block, finished
//! before anything is stored or sent, so that whatever is sent again is the same to the byte.

mod hand_over;
mod letter;
mod smtp;
mod text;

pub use hand_over::Road;
pub use letter::Desk;
pub use text::visible;

/// A finished reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The one address it goes to.
    pub to: String,
    /// The whole message, lines ended by LF.
    pub message: Vec<u8>,
}

/// The text of a stored reply, for showing it again.
pub fn stored_text(reply: &Reply) -> Option<String> {
    crate::intake::readable(&reply.message).into_iter().next()
}
