//! What every stage may ask for besides the message: the gateway, the envelope, the time and the timeouts.

use std::time::Duration;

use super::observer::Witness;
use crate::authorize::Person;
use crate::config::{ConfigError, Gateway, Trusted};
use crate::intake::{Envelope, readable};
use crate::ledger::{ChainPoint, Record, StoredReply};
use crate::limits::Timeouts;
use crate::protocol::{ChainHead, claimed_reply};
use crate::reply::{ReplyComposer, visible};
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

    /// The place of an event of this gateway, for the log.
    pub(super) fn witness(&self, point: Option<ChainPoint>) -> Option<Witness<'_>> {
        let gateway = &self.gateway.settings().gateway;
        point.map(|point| Witness { gateway, number: Some(point.number), head: point.head })
    }

    /// The head in a reply that was stored before, for the log; an encrypted one does not show it. Beside a draft
    /// stands a message with the same head.
    pub(super) fn witness_in(&self, reply: &StoredReply) -> Option<Witness<'_>> {
        let head = readable(&reply.message).first().and_then(|text| claimed_reply(text))?.head?;
        Some(Witness { gateway: &self.gateway.settings().gateway, number: None, head })
    }

    /// The message that `compose` writes to the user of `record`, who is another one than this delivery's; `None` where
    /// that user has left. `head` is the head of the audit chain that it has.
    pub(super) fn to_requester(
        &self,
        record: &Record,
        head: Option<ChainHead>,
        compose: impl FnOnce(ReplyComposer<'_>) -> StoredReply,
    ) -> Result<Option<StoredReply>, ConfigError> {
        let requester = Person::named(self.gateway, &record.user)?;
        let settings = self.gateway.settings();
        Ok(requester.map(|requester| compose(ReplyComposer::for_requester(settings, &requester, record).at(head))))
    }

    pub(super) fn longest(&self) -> Duration {
        self.gateway.settings().execution.longest.as_duration()
    }
}
