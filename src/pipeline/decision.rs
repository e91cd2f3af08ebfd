//! What is decided about an identified request: authentication, then authorization. In: the request, its record and the
//! open [`Transaction`]. Out: [`Decision`].

use super::approval;
use super::context::Context;
use super::lockdown::locked_down;
use super::observer::{Observer, Step};
use super::target::Target;
use crate::admission::{Announcement, PendingRecord};
use crate::authenticate::{self, Identified};
use crate::authorize::{self, Authorized, Ballot};
use crate::config::Command;
use crate::error::{Refusal, Stop};
use crate::ledger::{Record, Transaction};
use crate::limits::MAX_AGE;
use crate::protocol::Timestamp;

/// What was decided about a request.
pub(super) enum Decision<'p> {
    /// It was admitted or refused before, and its reply was not sent.
    Resume(Record),
    /// It may run. The announcement is of an exception from approval.
    Admit(Authorized<'p>, PendingRecord, Option<Announcement>),
    /// It must wait for approval.
    Ask(Authorized<'p>, PendingRecord, Announcement),
    /// It is a vote on another request.
    Vote(Authorized<'p>, PendingRecord, &'p Target),
    /// It is refused, and the refusal is recorded.
    Refuse(Refusal, PendingRecord),
}

impl<'p> Decision<'p> {
    /// The decision about an authorized request; the `target` is what it votes on.
    pub(super) fn of(
        authorized: Authorized<'p>,
        pending: PendingRecord,
        announcement: Option<Announcement>,
        target: Option<&'p Target>,
    ) -> Self {
        match (announcement, target) {
            (Some(announcement), _) if approval::must_wait(&authorized) => Self::Ask(authorized, pending, announcement),
            (None, Some(target)) => Self::Vote(authorized, pending, target),
            (announcement, _) => Self::Admit(authorized, pending, announcement),
        }
    }
}

/// Decides about a request that is new or has waited: authentication, then authorization.
///
/// # Errors
///
/// A refusal, recorded or not as its reason says, or a deferral.
pub(super) fn decide<'p>(
    context: &Context<'_>,
    identified: &'p Identified,
    transaction: &dyn Transaction,
    pending: &PendingRecord,
    command: Option<Command>,
    now: Timestamp,
    observer: &mut dyn Observer,
) -> Result<(Authorized<'p>, Option<Announcement>), Stop> {
    let settings = context.gateway.settings();
    let max_age = match pending.waiting() {
        // How long an approved request may wait is judged with the vote.
        Some(record) if is_vote(record) => MAX_AGE,
        _ => authorize::max_age(command.as_ref(), identified.roles(), settings),
    };
    let must_sign = authorize::must_sign(command.as_ref(), identified.roles());
    observer.note(Step::Judging { identified, max_age, now });
    let waiting = pending.waiting();
    not_locked_down(context, identified, transaction)?;
    let authenticated =
        authenticate::authenticate(identified, transaction, waiting, settings, max_age, must_sign, now)?;
    observer.note(Step::Authenticated(&authenticated));
    let authorized = authorize::authorize(authenticated, command)?;
    let announcement = approval::announcement(context.gateway, &authorized, now)?;
    observer.note(Step::Authorized(&authorized, announcement.as_ref()));
    Ok((authorized, announcement))
}

/// Refuses a request that a lockdown is for, before its code is looked at. One that the ledger may have pruned is not
/// recorded again.
fn not_locked_down(context: &Context<'_>, identified: &Identified, transaction: &dyn Transaction) -> Result<(), Stop> {
    let Some(refusal) = locked_down(context, identified)? else {
        return Ok(());
    };
    let is_old = transaction.watermark()?.is_some_and(|watermark| identified.request().time() <= watermark);
    if is_old {
        return Ok(());
    }
    Err(refusal.into())
}

fn is_vote(record: &Record) -> bool {
    Ballot::read(&record.command, &Vec::new()).is_some()
}
