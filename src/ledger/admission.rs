//! What is written about a request, and when: before its command starts, when it has ended, when it is refused.
//! In: a [`Grant`] or a refusal, and the request's open [`Page`]. Out: [`Started`], without which nothing runs.
//!
//! MUST: a `Started` is made only here, only from a `Grant`, and only after its admission is on stable storage.

use std::time::Duration;

use super::{Ledger, LedgerError, Lockout, Page, Record, State};
use crate::authenticate::Proven;
use crate::authorize::{Action, Grant};
use crate::clock::Clock;
use crate::config;
use crate::error::{Reason, Refusal};
use crate::execute::GRACE;
use crate::protocol::{RunResult, Timestamp};
use crate::reply::Reply;

/// A request whose admission is durable: its command may run, here and now, once.
///
/// ```compile_fail
/// // Only the ledger makes one: its fields are private.
/// let started = mailsudo::ledger::Started { grant: todo!(), record: todo!() };
/// ```
#[derive(Debug)]
pub struct Started<'p> {
    grant: Grant<'p>,
    record: Record,
}

impl<'p> Started<'p> {
    /// What may run.
    pub fn grant(&self) -> &Grant<'p> {
        &self.grant
    }
}

/// A request whose name and step are claimed, and whose exclusive command another run holds.
#[derive(Debug)]
pub struct Waiting<'p> {
    grant: Grant<'p>,
}

/// What a grant has come to.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one is made in a process's life")]
pub enum Admission<'p> {
    /// It may run.
    Started(Started<'p>),
    /// It must wait.
    Waiting(Waiting<'p>),
}

/// Admits a grant: durably recorded as started or, while another run holds its exclusive command, as waiting.
pub fn admit<'p>(
    mut page: Box<dyn Page + '_>,
    grant: Grant<'p>,
    queue_id: Option<&str>,
    longest: Duration,
    clock: &dyn Clock,
) -> Result<Admission<'p>, LedgerError> {
    // Asked only now: opening the page may have taken its time.
    let now = clock.now();
    let mut record = match page.record() {
        Some(waiting) => waiting.clone(),
        None => Record { step: grant.step(), queue_id: queue_id.map(str::to_owned), ..blank(grant.proven(), now) },
    };
    if let Action::Run(invocation) = grant.action() {
        record.run_as = Some(invocation.run_as().to_string());
        record.argv = Some(invocation.argv().join("\n"));
        if invocation.is_exclusive() {
            let command = invocation.name().as_str();
            if page.slot(command)?.is_some_and(|slot| slot.is_busy(now, longest + GRACE)) {
                // Once is enough: a request that waits looks again five times a second.
                if record.state != State::Waiting {
                    page.write(&Record { state: State::Waiting, ..record })?;
                    page.commit()?;
                }
                return Ok(Admission::Waiting(Waiting { grant }));
            }
            page.take_slot(command, now.plus(invocation.timeout()).plus(GRACE))?;
        }
    }
    record.state = State::Started;
    record.started = Some(now);
    page.write(&record)?;
    page.commit()?;
    Ok(Admission::Started(Started { grant, record }))
}

/// Tries again to admit a request that waits.
pub fn retry<'p>(
    ledger: &mut dyn Ledger,
    waiting: Waiting<'p>,
    longest: Duration,
    clock: &dyn Clock,
) -> Result<Admission<'p>, LedgerError> {
    let proven = waiting.grant.proven();
    let page = ledger.page(&proven.name(), proven.user())?;
    admit(page, waiting.grant, None, longest, clock)
}

/// Records how a run ended, with its finished reply, and frees its command, unless the run may still be going on.
pub fn finish(
    ledger: &mut dyn Ledger,
    started: Started<'_>,
    result: RunResult,
    reply: Reply,
    audit_lost: u32,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let Started { grant, record } = started;
    let mut page = ledger.page(&record.name, grant.proven().user())?;
    if let Action::Run(invocation) = grant.action()
        && result != RunResult::Unknown
    {
        page.free_slot(invocation.name().as_str())?;
    }
    let reason = (result == RunResult::Refused).then(|| Reason::Fence.code().to_owned());
    page.write(&Record {
        state: State::Finished,
        finished: Some(now),
        result: Some(result),
        reply: Some(reply),
        reason,
        audit_lost,
        ..record
    })?;
    page.commit()
}

/// Records a refusal as rule 9's table wants it, and gives back the reply to hand over, if there is one.
/// `compose` writes the reply, from the refusal as it ends up: the wrong code that brings a lockout says so.
pub fn refuse(
    mut page: Box<dyn Page + '_>,
    proven: &Proven,
    refusal: Refusal,
    limits: &config::Lockout,
    queue_id: Option<&str>,
    now: Timestamp,
    compose: impl FnOnce(&Refusal) -> Reply,
) -> Result<(Refusal, Option<Reply>), LedgerError> {
    let effect = refusal.reason().effect();
    if !effect.recorded {
        return Ok((refusal, None));
    }
    let mut refusal = refusal;
    let mut answered = effect.answered;
    if effect.counts {
        refusal = count(page.as_mut(), refusal, limits, now)?;
    }
    if refusal.reason() == Reason::LockedOut
        && let Some(lockout) = page.lockout()?
    {
        answered = !lockout.told;
        page.set_lockout(&Lockout { told: true, ..lockout })?;
    }
    let reply = answered.then(|| compose(&refusal));
    let record = match page.record() {
        Some(waiting) => waiting.clone(),
        None => Record { queue_id: queue_id.map(str::to_owned), ..blank(proven, now) },
    };
    page.write(&Record {
        state: State::Refused,
        reason: Some(refusal.reason().code().to_owned()),
        step: refusal.step(),
        result: Some(RunResult::Refused),
        finished: Some(now),
        reply: reply.clone(),
        handed_over: if answered { None } else { Some(now) },
        ..record
    })?;
    page.commit()?;
    Ok((refusal, reply))
}

/// Counts a wrong code; the one that reaches the limit locks the user out.
fn count(
    page: &mut dyn Page,
    refusal: Refusal,
    limits: &config::Lockout,
    now: Timestamp,
) -> Result<Refusal, LedgerError> {
    // One that ends in the future was set while the clock was wrong; until then nothing would be counted.
    let counted_to = page.lockout()?.map(|lockout| lockout.counted_to).filter(|counted| *counted <= now);
    let window = now.minus(limits.within.as_duration());
    let since = counted_to.map_or(window, |counted| counted.max(window));
    let count = page.wrong_codes(since, now)?.saturating_add(1);
    if count < limits.wrong_codes.get() {
        return Ok(refusal);
    }
    let until = now.plus(limits.lasts.as_duration());
    page.set_lockout(&Lockout { until, told: false, counted_to: now })?;
    let detail = format!("{}; that makes {count}, so you are locked out until {until}", refusal.detail());
    Ok(Refusal::new(refusal.reason(), detail))
}

/// A record of a request about which nothing is decided yet.
fn blank(proven: &Proven, now: Timestamp) -> Record {
    let request = proven.request();
    let arguments = request.arguments().unwrap_or_default();
    let arguments: Vec<_> = arguments.iter().map(|(name, value)| format!("{name}={value}")).collect();
    Record {
        name: proven.name(),
        user: proven.user().to_string(),
        command: request.command().to_string(),
        arguments: arguments.join("\n"),
        signed: request.time(),
        first_seen: now,
        state: State::Refused,
        reason: None,
        step: None,
        run_as: None,
        argv: None,
        started: None,
        finished: None,
        result: None,
        reply: None,
        handed_over: None,
        queue_id: None,
        audit_lost: 0,
    }
}
