//! What happens to a message, step by step, for an observer: the log of `deliver`, the lines of `explain`.

use std::time::Duration;

use crate::admission::Announcement;
use crate::authenticate::{Authenticated, Identified, MacVerified};
use crate::authorize::Authorized;
use crate::error::{Deferral, Refusal};
use crate::execute::Outcome;
use crate::intake::{Envelope, Message};
use crate::ledger::{ExclusiveHold, Notice, Record, Story};
use crate::protocol::{ChainHead, GatewayName, Request, Timestamp};

/// A head of a gateway's audit chain, for the log, which is a witness outside the ledger.
#[derive(Debug, Clone, Copy)]
pub struct Witness<'s> {
    /// The gateway.
    pub gateway: &'s GatewayName,
    /// The number of the event, where it is known.
    pub number: Option<u64>,
    /// The head after it.
    pub head: ChainHead,
}

/// A step in the processing of a message. Each step has happened already, except [`Step::Received`] and
/// [`Step::Started`].
pub enum Step<'s> {
    /// A message arrived.
    Received(&'s Envelope),
    /// It passed the screening.
    Screened(&'s Message),
    /// It holds a well-formed request.
    Read(&'s Request),
    /// The mac is right.
    MacVerified(&'s MacVerified),
    /// The user's requests are accepted from this sender.
    Identified(&'s Identified),
    /// The request's record was read from the ledger; `explain` reads what is known of its approval too.
    Recorded(Option<&'s Record>, &'s Story),
    /// It is new or has waited; now it is checked.
    Judging {
        /// The request.
        identified: &'s Identified,
        /// How old it may be.
        max_age: Duration,
        /// The time that it is checked against.
        now: Timestamp,
    },
    /// The code is right too.
    Authenticated(&'s Authenticated<'s>),
    /// The user may do it.
    Authorized(&'s Authorized<'s>, Option<&'s Announcement>),
    /// `explain`: what the vote would change.
    Judged(&'s str),
    /// It waits for approval. The text is its arguments as they may be shown.
    Asked(&'s Identified, &'s str, &'s Announcement, Option<Witness<'s>>),
    /// It runs without approval, by this role.
    Exception(&'s str, &'s Announcement),
    /// The vote was recorded, about this request: `approved`, `denied`, `withdrew` or `cancelled`.
    Voted(&'s Identified, &'s Record, &'static str, Option<Witness<'s>>),
    /// The vote was the last one needed, and has claimed this request.
    Claimed(&'s Identified, &'s Record, Option<Witness<'s>>),
    /// This request has lapsed, and why.
    Lapsed(&'s Record, &'s str, Option<Witness<'s>>),
    /// A notice was sent to this address.
    Noticed(&'s Notice, &'s str),
    /// It is recorded as admitted. The text is its arguments as they may be shown.
    Admitted(&'s Identified, &'s str),
    /// It waits. The run that holds its exclusive command is given where it is known.
    Waiting(Option<&'s ExclusiveHold>),
    /// This command line is about to be started.
    Started(&'s [String]),
    /// The command has ended, or the gateway stopped waiting for it.
    Finished(&'s Outcome),
    /// An earlier delivery of the same request died or could not send the reply. This one continues there.
    Resumed(&'s Record),
    /// The reply was sent to this address.
    Replied(&'s str, Option<Witness<'s>>),
    /// The reply was sent, but that could not be recorded.
    NotRecorded(&'s crate::ledger::LedgerError),
    /// A message could not be encrypted, and says the outcome only. The text is why.
    Withheld(&'s str),
    /// The message is refused.
    Refused(&'s Refusal, Option<Witness<'s>>),
    /// The message is deferred.
    Deferred(&'s Deferral),
}

/// Gets each step of a message.
pub trait Observer {
    /// Gets a step that must be logged before anything else may happen, with all steps before it.
    ///
    /// # Errors
    ///
    /// A deferral: the step could not be logged.
    fn require(&mut self, step: Step<'_>) -> Result<(), Deferral>;

    /// Gets a step that has happened already.
    fn note(&mut self, step: Step<'_>);

    /// How many steps could not be logged since the request was admitted.
    fn lost(&self) -> u32 {
        0
    }
}
