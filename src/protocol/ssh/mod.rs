//! A further factor: a signature under one of the user's own SSH keys, which may be in hardware. In: a public key as a
//! `.pub` file has it, the base64 of an SSHSIG (OpenSSH's PROTOCOL.sshsig) and the lines that it signs. Out: whether it
//! holds, and what a FIDO key says about its user (PROTOCOL.u2f).
//!
//! The crate ssh-key knows the formats and verifies. What is accepted is decided here: five types of key, one
//! namespace, one hash, one encoding of each signature, a user who was present (docs/decisions/0039).
//!
//! MUST: nothing here runs for a user without SSH keys, and no signature is read before the mac holds.

mod key;
mod signature;

pub use key::{BadSshKey, SshKey};
pub use signature::{BadSignature, NAMESPACE, SshSignature, Touch};
pub(super) use signature::{MAX_LINE, MAX_LINES, is_base64};
