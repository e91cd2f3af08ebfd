//! The effects of a delivery: wait, run, refuse, resume, send. Each is recorded before the next begins.

use std::time::Instant;

use super::builtin;
use super::context::Context;
use super::interrupted::end_interrupted;
use super::lockdown::locked_down;
use super::observer::{Observer, Step};
use super::target::Target;
use crate::admission::{self, Admission, Admitted, AdmittedAction, PendingRecord, RunEnd};
use crate::authenticate::Identified;
use crate::error::{Deferral, Refusal, Stop};
use crate::execute;
use crate::intake::Message;
use crate::ledger::{ChainPoint, Ledger, Record, StoredReply, Transaction};
use crate::limits::EXCLUSIVE_POLL;
use crate::protocol::Timestamp;
use crate::reply::{ReplyComposer, about, history};

/// How a wait for an exclusive command has ended.
pub(super) enum Waited<'p> {
    /// It may run.
    Run(Box<Admitted<'p>>),
    /// It is refused, with this reply.
    Refused(Option<StoredReply>),
}

/// A delivery whose request is identified.
pub(super) struct Delivery<'d> {
    pub(super) context: &'d Context<'d>,
    pub(super) identified: &'d Identified,
    /// The request's arguments, `name=value`, one on a line, with marks for secret values.
    pub(super) arguments: &'d str,
    pub(super) composer: ReplyComposer<'d>,
    pub(super) observer: &'d mut dyn Observer,
    /// When the delivery began.
    pub(super) begun: Instant,
    /// The place in the audit chain of what the reply reports.
    pub(super) point: Option<ChainPoint>,
}

impl<'d> Delivery<'d> {
    pub(super) fn new(
        context: &'d Context<'d>,
        identified: &'d Identified,
        arguments: &'d str,
        message: &'d Message,
        observer: &'d mut dyn Observer,
        begun: Instant,
    ) -> Self {
        let composer = ReplyComposer::new(context.gateway.settings(), identified, arguments, message);
        Self { context, identified, arguments, composer, observer, begun, point: None }
    }

    /// The composer of replies that report what `self.point` is the event of.
    pub(super) fn composer(&self) -> ReplyComposer<'d> {
        self.composer.at(self.point.map(|point| point.head))
    }

    /// Waits for an exclusive command to be free. The request is recorded, so a delivery that stops waiting loses
    /// nothing. A lockdown that begins meanwhile ends the wait.
    pub(super) fn wait_until_admitted<'p>(
        &mut self,
        ledger: &mut dyn Ledger,
        admission: Admission<'p>,
    ) -> Result<Waited<'p>, Stop> {
        self.observer.note(Step::Admitted(self.identified, self.arguments));
        let mut waiting = match admission {
            Admission::Admitted(admitted) => return Ok(Waited::Run(admitted)),
            Admission::Waiting(waiting) => waiting,
        };
        self.observer.note(Step::Waiting(None));
        let clock = self.context.clock;
        let deadline = clock.instant() + self.context.timeouts.exclusive_wait;
        while clock.instant() < deadline {
            clock.sleep(EXCLUSIVE_POLL);
            if let Some(refusal) = locked_down(self.context, self.identified)? {
                let reply = self.stop_waiting(ledger, waiting.into_pending(), refusal)?;
                return Ok(Waited::Refused(reply));
            }
            match admission::retry(ledger, waiting, self.context.longest(), clock)? {
                Admission::Admitted(admitted) => return Ok(Waited::Run(admitted)),
                Admission::Waiting(still) => waiting = still,
            }
        }
        Err(Deferral::new("busy", "another run holds this exclusive command; the request stays recorded as waiting")
            .into())
    }

    /// Refuses a request that has waited in this delivery.
    pub(super) fn stop_waiting(
        &mut self,
        ledger: &mut dyn Ledger,
        pending: PendingRecord,
        refusal: Refusal,
    ) -> Result<Option<StoredReply>, Stop> {
        let transaction = ledger.transaction(&self.identified.id(), self.identified.user())?;
        admission::still_waiting(transaction.as_ref())?;
        let refusal = refusal.with_step(pending.waiting().and_then(|record| record.step));
        self.refuse(transaction, pending, refusal, self.context.clock.now())
    }

    /// Runs what was admitted, and stores its outcome with the finished reply.
    pub(super) fn execute(&mut self, ledger: &mut dyn Ledger, admitted: Admitted<'_>) -> Result<StoredReply, Stop> {
        let settings = self.context.gateway.settings();
        let limit = settings.limits.output.bytes();
        let is_late = admitted.is_late(self.context.clock.now());
        let outcome = match admitted.action() {
            // Only this delivery knows that nothing was run: the next one would have to say that it may have.
            _ if is_late => execute::not_begun(),
            AdmittedAction::Run(command) => {
                self.observer.note(Step::Started(&execute::shown_line(command.invocation(), &settings.execution)));
                execute::run(&command, settings, &self.context.timeouts)
            }
            AdmittedAction::Help => {
                execute::answer(&builtin::help(self.context.gateway, self.identified.roles()), limit)
            }
            AdmittedAction::Status(short) => execute::answer(&builtin::status(ledger, self.identified, short)?, limit),
            AdmittedAction::Pending => {
                let now = self.context.clock.now();
                execute::answer(&builtin::pending(ledger, self.context.gateway, self.identified, now)?, limit)
            }
        };
        self.observer.note(Step::Finished(&outcome));
        let now = self.context.clock.now();
        let end =
            RunEnd { result: outcome.result(), refused: outcome.refused(), at: now, audit_lost: self.observer.lost() };
        let used = self.begun.elapsed().saturating_sub(outcome.took());
        let (timeout, clock) = (self.context.timeouts.outcome_left(used), self.context.clock);
        admission::finish(ledger, admitted, end, timeout, clock, |admitted, point| {
            self.point = Some(point);
            self.replies(admitted, &outcome, now)
        })
    }

    /// The reply to this request and, where it is the vote that ran another one, the final reply to that.
    fn replies(
        &self,
        admitted: &Admitted<'_>,
        outcome: &execute::Outcome,
        now: Timestamp,
    ) -> Result<(StoredReply, Option<StoredReply>), Stop> {
        let Some(claimed) = admitted.claimed() else {
            return Ok((self.composer().outcome(admitted, outcome, Vec::new(), now), None));
        };
        let asked = claimed.record();
        let votes = history(claimed.votes());
        let own = if claimed.shows_output() {
            self.composer().outcome(admitted, outcome, vec![about(asked)], now)
        } else {
            self.composer().unseen(asked, outcome, now)
        };
        let compose = |composer: ReplyComposer<'_>| composer.outcome(admitted, outcome, votes, now);
        let head = self.point.map(|point| point.head);
        Ok((own, self.context.to_requester(asked, head, compose)?))
    }

    /// Records a refusal with its finished reply, if it has one.
    pub(super) fn refuse(
        &mut self,
        transaction: Box<dyn Transaction + '_>,
        pending: PendingRecord,
        refusal: Refusal,
        now: Timestamp,
    ) -> Result<Option<StoredReply>, Stop> {
        let composer = &self.composer;
        let compose = |refusal: &Refusal, point: ChainPoint| composer.at(Some(point.head)).refusal(refusal, now);
        let lockout = &self.context.gateway.settings().lockout;
        let (refusal, reply, point) = admission::refuse(transaction, pending, refusal, lockout, now, compose)?;
        self.point = point;
        self.observer.note(Step::Refused(&refusal, self.context.witness(point)));
        Ok(reply)
    }

    /// Continues where an earlier delivery of the same request died or could not send the reply. Nothing is run.
    pub(super) fn resume(
        &mut self,
        transaction: Box<dyn Transaction + '_>,
        record: Record,
        target: Option<&Target>,
    ) -> Result<Option<StoredReply>, Stop> {
        self.observer.note(Step::Resumed(&record));
        // Its messages about the other request are sent too.
        target.map_or(Ok(()), Target::require_lock)?;
        if record.reply.is_some() {
            // It may be on this database server alone. What is committed now waits for the standby, and all before it
            // does.
            transaction.commit()?;
            return Ok(record.reply);
        }
        let now = self.context.clock.now();
        let (reply, point) = end_interrupted(self.context, transaction, record, &self.composer, now)?;
        self.point = Some(point);
        Ok(Some(reply))
    }
}
