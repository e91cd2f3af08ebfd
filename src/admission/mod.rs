//! What is recorded about a request, and when: before its command starts, when it has ended, when it is refused, when
//! its reply was sent. In: an [`Authorized`](crate::authorize::Authorized) request or a refusal, and the open
//! [`Transaction`](crate::ledger::Transaction). Out: [`Admitted`].
//!
//! MUST: nothing runs without an `Admitted`. It is made only in `admitted.rs`, only from an `Authorized`, and only
//! after its admission is on stable storage (tests/types checks it).

mod admit;
mod admitted;
mod announcement;
mod approval;
mod counted;
mod hold;
mod outcome;
mod pending_record;
mod refusal;

pub use admit::{Admission, Waiting, admit, retry, still_waiting};
pub use admitted::{Admitted, AdmittedAction, AdmittedCommand, Claimed};
pub use announcement::Announcement;
pub use approval::{Claim, Conclusion, FullyApproved, VoteEvent, ask, asking, claim, conclude, voting};
pub use hold::held_by;
pub use outcome::{Replies, RunEnd, end_event, finish, give_up, give_up_claimed, mark_concluded, mark_replied};
pub use pending_record::PendingRecord;
pub use refusal::refuse;
