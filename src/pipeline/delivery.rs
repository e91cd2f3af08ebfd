//! The effects of a delivery: wait, run, refuse, resume, send. Each is recorded before the next begins.

use std::time::Instant;

use super::builtin;
use super::context::Context;
use super::observer::{Observer, Step};
use crate::admission::{self, Admission, Admitted, AdmittedAction, PendingRecord};
use crate::authenticate::Identified;
use crate::error::{Deferral, Refusal, Stop};
use crate::execute;
use crate::intake::Message;
use crate::ledger::{Ledger, Record, StoredReply, Transaction};
use crate::limits::EXCLUSIVE_POLL;
use crate::protocol::{RequestId, Timestamp};
use crate::reply::{ReplyComposer, ReplyTransport};

/// A delivery whose request is identified.
pub(super) struct Delivery<'d> {
    context: &'d Context<'d>,
    identified: &'d Identified,
    composer: ReplyComposer<'d>,
    observer: &'d mut dyn Observer,
}

impl<'d> Delivery<'d> {
    pub(super) fn new(
        context: &'d Context<'d>,
        identified: &'d Identified,
        message: &'d Message,
        observer: &'d mut dyn Observer,
    ) -> Self {
        let composer = ReplyComposer::new(context.gateway.settings(), identified, message);
        Self { context, identified, composer, observer }
    }

    /// Waits for an exclusive command to be free. The request is recorded, so a delivery that stops waiting loses nothing.
    pub(super) fn wait_until_admitted<'p>(
        &mut self,
        ledger: &mut dyn Ledger,
        admission: Admission<'p>,
    ) -> Result<Admitted<'p>, Stop> {
        self.observer.note(Step::Admitted(self.identified));
        let mut waiting = match admission {
            Admission::Admitted(admitted) => return Ok(admitted),
            Admission::Waiting(waiting) => waiting,
        };
        self.observer.note(Step::Waiting(None));
        let clock = self.context.clock;
        let deadline = clock.instant() + self.context.timeouts.exclusive_wait;
        while clock.instant() < deadline {
            clock.sleep(EXCLUSIVE_POLL);
            match admission::retry(ledger, waiting, self.context.longest(), clock)? {
                Admission::Admitted(admitted) => return Ok(admitted),
                Admission::Waiting(still) => waiting = still,
            }
        }
        Err(Deferral::new("busy", "another run holds this exclusive command; the request stays recorded as waiting")
            .into())
    }

    /// Runs what was admitted, and stores its outcome with the finished reply.
    pub(super) fn execute(&mut self, ledger: &mut dyn Ledger, admitted: Admitted<'_>) -> Result<StoredReply, Stop> {
        let settings = self.context.gateway.settings();
        let limit = settings.limits.output.bytes();
        let outcome = match admitted.action() {
            AdmittedAction::Run(command) => {
                self.observer.note(Step::Started(&execute::command_line(command.invocation(), &settings.execution)));
                execute::run(&command, settings, &self.context.timeouts)
            }
            AdmittedAction::Help => {
                execute::answer(&builtin::help(self.context.gateway, self.identified.roles()), limit)
            }
            AdmittedAction::Status(short) => execute::answer(&builtin::status(ledger, self.identified, short)?, limit),
        };
        self.observer.note(Step::Finished(&outcome));
        let now = self.context.clock.now();
        let reply = self.composer.outcome(&admitted, &outcome, now);
        admission::finish(ledger, admitted, outcome.result(), reply.clone(), self.observer.lost(), now)?;
        Ok(reply)
    }

    /// Records a refusal with its finished reply, if it has one.
    pub(super) fn refuse(
        &mut self,
        transaction: Box<dyn Transaction + '_>,
        pending: PendingRecord,
        refusal: Refusal,
        now: Timestamp,
    ) -> Result<Option<StoredReply>, Stop> {
        let compose = |refusal: &Refusal| self.composer.refusal(refusal, now);
        let lockout = &self.context.gateway.settings().lockout;
        let (refusal, reply) = admission::refuse(transaction, pending, refusal, lockout, now, compose)?;
        self.observer.note(Step::Refused(&refusal));
        Ok(reply)
    }

    /// Continues where an earlier delivery of the same request died or could not send the reply. Nothing is run.
    pub(super) fn resume(
        &mut self,
        transaction: Box<dyn Transaction + '_>,
        record: Record,
    ) -> Result<Option<StoredReply>, Stop> {
        self.observer.note(Step::Resumed(&record));
        if record.reply.is_some() {
            return Ok(record.reply);
        }
        let now = self.context.clock.now();
        let reply = self.composer.unknown(&record, now);
        admission::give_up(transaction, record, reply.clone(), now)?;
        Ok(Some(reply))
    }
}

/// Sends the stored reply and records that. After that nothing may defer, because the user has the reply.
pub(super) fn send(
    context: &Context<'_>,
    transport: &ReplyTransport,
    ledger: &mut dyn Ledger,
    id: &RequestId,
    reply: &StoredReply,
    begun: Instant,
    observer: &mut dyn Observer,
) -> Result<(), Stop> {
    transport.send(reply, &context.timeouts)?;
    observer.note(Step::Replied(&reply.to));
    let retention = context.gateway.settings().retention.as_duration();
    // Nothing else waits after this. It uses what the other waits leave of the time that Postfix allows.
    let left = context.timeouts.total().saturating_sub(begun.elapsed()).max(context.timeouts.transaction);
    let now = context.clock.now();
    if let Err(error) = admission::mark_replied(ledger, id, observer.lost(), retention, left, now) {
        observer.note(Step::NotRecorded(&error));
    }
    Ok(())
}
