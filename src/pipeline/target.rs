//! The request that a vote is about. In: the vote. Out: that request's id, locked for this process where there are
//! effects.

use std::time::Instant;

use super::context::Context;
use crate::authorize::Ballot;
use crate::error::{Deferral, Stop};
use crate::ledger::{Ledger, RequestLock, State};
use crate::limits::EXCLUSIVE_POLL;
use crate::protocol::{Request, RequestId};

/// The request that a vote is about, and whether this process works on it alone.
pub(super) struct Target {
    /// The request.
    pub(super) id: RequestId,
    lock: Option<RequestLock>,
    /// Until when the delivery of the vote may wait, for the lock and for the command.
    pub(super) deadline: Instant,
}

impl Target {
    /// The request that `request` votes on, if it is a vote, locked for this process. While another delivery works on
    /// it, this one waits until it is decided. `explain`, which has no effects, locks nothing.
    pub(super) fn of(
        request: &Request,
        ledger: &dyn Ledger,
        context: &Context<'_>,
        has_effects: bool,
    ) -> Result<Option<Self>, Stop> {
        let arguments = request.arguments().unwrap_or_default();
        let Some(Ok(ballot)) = Ballot::read(request.command().as_str(), &arguments) else {
            return Ok(None);
        };
        let id = ballot.request();
        let deadline: Instant = context.clock.instant() + context.timeouts.exclusive_wait;
        if !has_effects {
            return Ok(Some(Self { id, lock: None, deadline }));
        }
        loop {
            let lock = ledger.lock(&id)?;
            let is_pending = || Ok::<_, Stop>(ledger.record(&id)?.is_some_and(|record| record.state == State::Pending));
            if lock.is_some() || context.clock.instant() >= deadline || !is_pending()? {
                return Ok(Some(Self { id, lock, deadline }));
            }
            context.clock.sleep(EXCLUSIVE_POLL);
        }
    }

    /// Whether this process alone works on it.
    pub(super) fn is_locked(&self) -> bool {
        self.lock.is_some()
    }

    /// Requires that this process alone works on it.
    ///
    /// # Errors
    ///
    /// A deferral: another one does.
    pub(super) fn require_lock(&self) -> Result<(), Deferral> {
        match self.lock {
            Some(_) => Ok(()),
            None => Err(Deferral::new("busy", "another delivery works on the request that this vote is about")),
        }
    }
}
