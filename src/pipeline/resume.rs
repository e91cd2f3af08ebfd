//! Sends what deliveries that died have left unsent. In: the ledger, and the users' files. Out: replies, sent and
//! marked as sent. Nothing is run.
//!
//! The next delivery of the same mail does the same (docs/decisions/0003). Where the mail server that holds the mail is
//! dead, there is none, and another node does it with the ledger alone.

use std::time::{Duration, Instant};

use super::Context;
use super::interrupted::end_interrupted;
use super::observer::{Observer, Step};
use super::send::Sender;
use crate::admission::{self, PendingRecord};
use crate::audit::Audit;
use crate::authorize::{Ballot, Person};
use crate::config::Gateway;
use crate::encryption::Encryption;
use crate::error::{Deferral, Reason, Refusal, Stop};
use crate::ledger::{self, ChainPoint, Filter, LedgerQueries, Record, State, StoredReply, Transaction};
use crate::limits::{MAX_AGE, RESUME, RESUME_FAILURES};
use crate::protocol::{CommandName, ParameterName, RequestId, Timestamp, UserName};
use crate::reply::{ReplyComposer, ReplyTransport};

/// What became of the requests without a sent reply.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Resumed {
    /// How many replies were sent.
    pub sent: u32,
    /// How many requests another delivery still works on, or wait rightly.
    pub left: u32,
    /// How many replies could not be composed, because the user has no files any more.
    pub orphaned: u32,
    /// How many replies could not be sent now.
    pub failed: u32,
}

/// Sends replies that were not sent, a bounded number at a time. Which one is the first changes each minute, so that
/// those which cannot be sent or composed hold up no other.
///
/// # Errors
///
/// The ledger fails; what was sent until then is marked as sent.
pub fn resume(context: &Context<'_>, transport: &ReplyTransport, audit: &mut Audit) -> Result<Resumed, Deferral> {
    let mut resumed = Resumed::default();
    match all(context, transport, audit, &mut resumed) {
        Ok(()) => Ok(resumed),
        Err(Stop::Deferral(deferral)) => {
            Observer::note(audit, Step::Deferred(&deferral));
            Err(deferral)
        }
        Err(Stop::Refusal(refusal)) => Err(Deferral::new("ledger", refusal.detail())),
    }
}

/// A request without a sent reply: its id and user, and the request that it votes on.
type Unsent = (RequestId, String, Option<RequestId>);

fn all(
    context: &Context<'_>,
    transport: &ReplyTransport,
    audit: &mut Audit,
    resumed: &mut Resumed,
) -> Result<(), Stop> {
    let settings = context.gateway.settings();
    let mut ledger = ledger::open_for_queries(settings, context.trusted.clone(), context.timeouts.transaction)?;
    let mut unsent: Vec<Unsent> = Vec::new();
    let filter = Filter { unsent: true, ..Filter::default() };
    ledger.list(&filter, &mut |record| {
        unsent.push((record.id, record.user.clone(), voted_on(&record)));
        Ok(())
    })?;
    let minute = usize::try_from(context.clock.now().seconds() / 60).unwrap_or_default();
    let first = minute.checked_rem(unsent.len()).unwrap_or_default();
    unsent.rotate_left(first);
    for unsent in unsent {
        match one(context, transport, audit, ledger.as_mut(), unsent, resumed) {
            Ok(()) => {}
            Err(Stop::Deferral(deferral)) if deferral.part != "ledger" => {
                Observer::note(audit, Step::Deferred(&deferral));
                resumed.failed += 1;
            }
            Err(stop) => return Err(stop),
        }
        if resumed.sent >= RESUME || resumed.failed >= RESUME_FAILURES {
            break;
        }
    }
    Ok(())
}

fn one(
    context: &Context<'_>,
    transport: &ReplyTransport,
    audit: &mut Audit,
    ledger: &mut dyn LedgerQueries,
    (id, user, target): Unsent,
    resumed: &mut Resumed,
) -> Result<(), Stop> {
    let begun = Instant::now();
    let Ok(user) = UserName::try_from(user) else {
        resumed.orphaned += 1;
        return Ok(());
    };
    let Some(_lock) = ledger.lock(&id)? else {
        resumed.left += 1;
        return Ok(());
    };
    // A vote's messages about the other request are sent too.
    let target_lock = target.map(|target| ledger.lock(&target)).transpose()?;
    if matches!(target_lock, Some(None)) {
        resumed.left += 1;
        return Ok(());
    }
    let transaction = ledger.transaction(&id, &user)?;
    let Some(record) = transaction.record()?.filter(|record| !record.is_closed()) else {
        return Ok(());
    };
    audit.identify(&id, &user);
    Observer::note(audit, Step::Resumed(&record));
    let encryption = Encryption::new(context.gateway, &context.timeouts);
    match reply_to(context, transaction, record, &user)? {
        Found::Reply(reply) => {
            let mut sender = Sender::new(context, &encryption, transport, ledger, audit, begun);
            sender.send_about(&id, true)?;
            if let Some(target) = target {
                sender.send_about(&target, false)?;
            }
            sender.send_own(&id, &user, reply, None)?;
            resumed.sent += 1;
        }
        Found::Waits => resumed.left += 1,
        Found::NoUser => resumed.orphaned += 1,
    }
    Ok(())
}

enum Found {
    Reply(StoredReply),
    Waits,
    NoUser,
}

/// The reply to a request that nobody works on: the stored one, or one that is composed and stored now.
fn reply_to(
    context: &Context<'_>,
    transaction: Box<dyn Transaction + '_>,
    record: Record,
    user: &UserName,
) -> Result<Found, Stop> {
    if let Some(reply) = record.reply {
        // As in a delivery: what is sent must be on the standby.
        transaction.commit()?;
        return Ok(Found::Reply(reply));
    }
    let (gateway, now) = (context.gateway, context.clock.now());
    if record.state == State::Waiting && now <= record.first_seen.plus(max_age(gateway, &record)) {
        return Ok(Found::Waits);
    }
    let Some(person) = Person::find(gateway, user)? else {
        return Ok(Found::NoUser);
    };
    let composer = ReplyComposer::of_record(gateway.settings(), &person, &record);
    if record.state != State::Waiting {
        let (reply, _) = end_interrupted(context, transaction, record, &composer, now)?;
        return Ok(Found::Reply(reply));
    }
    let (_, reply, _) = give_up_waiting(context, transaction, record, now, &composer)?;
    Ok(reply.map_or(Found::Waits, Found::Reply))
}

/// The request that a recorded vote is about.
fn voted_on(record: &Record) -> Option<RequestId> {
    let argument = |line: &str| {
        let (name, value) = line.split_once('=')?;
        Some((ParameterName::try_from(name).ok()?, value.to_owned()))
    };
    let arguments = record.arguments.lines().filter_map(argument).collect();
    Ballot::read(&record.command, &arguments)?.ok().map(|ballot| ballot.request())
}

/// Refuses a request that has waited too long; its own delivery would do the same.
fn give_up_waiting(
    context: &Context<'_>,
    transaction: Box<dyn Transaction + '_>,
    record: Record,
    now: Timestamp,
    composer: &ReplyComposer<'_>,
) -> Result<(Refusal, Option<StoredReply>, Option<ChainPoint>), Stop> {
    let detail = format!("it has waited for another run of {} since {}", record.command, record.first_seen);
    let refusal = Refusal::new(Reason::Waited, detail).with_step(record.step);
    let lockout = &context.gateway.settings().lockout;
    let compose = |refusal: &Refusal, point: ChainPoint| composer.at(Some(point.head)).refusal(refusal, now);
    Ok(admission::refuse(transaction, PendingRecord::recorded(record), refusal, lockout, now, compose)?)
}

/// How long a request for this command may wait.
fn max_age(gateway: &Gateway, record: &Record) -> Duration {
    // How long an approved request may wait is judged with its votes.
    if voted_on(record).is_some() {
        return MAX_AGE;
    }
    let command =
        CommandName::try_from(record.command.clone()).ok().and_then(|name| gateway.command(&name).ok().flatten());
    let own = command.and_then(|command| command.max_age);
    own.unwrap_or(gateway.settings().max_age).as_duration()
}
