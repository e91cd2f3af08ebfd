//! The wire contract, pure: no I/O, no clock, no configuration.
//!
//! In: texts, keys, times. Out: a [`Request`] that is read but not proven, or a signed block.
//! Server and signer share every line of it, so they cannot differ. The contract itself is
//! `docs/protocol.md`; `tests/vectors.json` holds worked examples made by an independent program.
//!
//! Nothing in this module may read a file, ask the time or decide what a user may do.

mod block;
mod chain;
mod draft;
mod mac;
mod name;
mod notice;
mod payload;
mod reply;
mod request;
mod run_digest;
mod secret;
mod ssh;
mod time;
mod unsigned;
mod value;

pub use block::{Unreadable, has_start_line};
pub use chain::ChainHead;
pub use draft::{open_draft, seal_draft};
pub use mac::{BadKey, Key, Mac, RequestId};
pub use name::{BadName, CommandName, GatewayName, ParameterName, UserName};
pub use notice::{NoticeBlock, check_notice};
pub use payload::{NoPayload, Payload, PayloadDigest, PayloadLeaf, find_payload};
pub use reply::{CheckedText, ReplyBlock, RunResult, Verdict, check_reply, claimed_reply, verify_reply};
pub use request::{Arguments, Code, Request};
pub use run_digest::RunDigest;
pub use secret::{SECRET, is_mark, mark, seal, sealed_in, unseal, without_marks, without_seals};
pub use ssh::{BadSignature, BadSshKey, NAMESPACE, SshKey, SshSignature, Touch};
pub use time::Timestamp;
pub use unsigned::{UnsignedError, UnsignedRequest};
pub use value::{BadValue, MAX_DECODED, decode_value, encode_value, is_unsafe};
