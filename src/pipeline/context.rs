//! What every stage may ask for besides the message: the gateway, the envelope, the time and the timeouts.

use std::time::Duration;

use crate::config::{Gateway, Trusted};
use crate::intake::Envelope;
use crate::limits::Timeouts;
use crate::reply::visible;
use crate::system::clock::Clock;

/// The gateway, and what the caller knows of this message.
pub struct Context<'c> {
    /// The gateway's files.
    pub gateway: &'c Gateway,
    /// Who may own the ledger's files.
    pub trusted: Trusted,
    /// What the mail server says of the envelope.
    pub envelope: &'c Envelope,
    /// The time.
    pub clock: &'c dyn Clock,
    /// How long each service may take.
    pub timeouts: Timeouts,
}

impl Context<'_> {
    pub(super) fn queue_id(&self) -> Option<String> {
        self.envelope.queue_id.as_ref().map(|id| visible(&id.to_string_lossy()))
    }

    pub(super) fn longest(&self) -> Duration {
        self.gateway.settings().execution.longest.as_duration()
    }
}
