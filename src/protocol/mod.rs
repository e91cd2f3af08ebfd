//! The wire contract, pure: no I/O, no clock, no configuration.
//!
//! In: texts, keys, times. Out: a [`Request`] that has been read but not believed, or a signed block.
//! Server and signer share every line of it, so that they cannot drift apart. The contract itself is
//! `docs/protocol.md`; `tests/vectors.json` holds worked examples made by an independent program.
//!
//! Nothing in here may read a file, ask the time or decide whether somebody is permitted anything.

mod block;
mod mac;
mod name;
mod reply;
mod request;
mod time;
mod unsigned;
mod value;

pub use block::{Unreadable, has_start_line};
pub use mac::{BadKey, Key, Mac, RequestId};
pub use name::{BadName, CommandName, GatewayName, ParameterName, UserName};
pub use reply::{CheckedText, ReplyBlock, RunResult, Verdict, check_reply, claimed_reply, verify_reply};
pub use request::{Arguments, Code, Request};
pub use time::Timestamp;
pub use unsigned::{DraftError, UnsignedRequest};
pub use value::{BadValue, MAX_DECODED, is_treacherous};
