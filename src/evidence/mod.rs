//! What the audit chain proves (docs/audit.md). In: a ledger, and what others hold of its chain: replies, log lines.
//! Out: what does not fit.
//!
//! MUST: it changes nothing, and says that something was changed only where that is certain.

mod line_time;
mod seen;
mod verify;
mod witness;

pub use verify::{Fault, Verified, verify};
pub use witness::{Found, Witness, against, read_witnesses};
