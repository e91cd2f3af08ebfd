//! The stages that one message goes through.
//!
//! ```text
//! stdin → Message → Request → MacVerified → Identified → Authenticated → Authorized → Admitted → Outcome → reply
//!         intake    protocol  authenticate ────────────────────────────  authorize    admission  execute   reply
//! ```
//!
//! Each stage's output is the next stage's input, and only that stage makes it. A request that is recorded already is
//! resumed and never run again. A message ends in one of three ways: handled, refused (both consume it) or deferred.
//!
//! `deliver` and `explain` are this same function. `deliver` has effects and an observer that writes the log; `explain`
//! has no effect and an observer that collects what to print ([`Trace`]).

mod approval;
mod builtin;
mod context;
mod decision;
mod delivery;
mod end;
mod guard;
mod interrupted;
mod judge;
mod lockdown;
mod log;
mod observer;
mod predict;
mod resume;
mod send;
mod target;
mod trace;

use std::time::Instant;

pub use context::Context;
pub use end::End;
pub use guard::guarded;
pub use observer::{Observer, Step};
pub use resume::{Resumed, resume};
pub use trace::Trace;

use approval::Voted;
use decision::{Decision, decide};
use delivery::{Delivery, Waited};
use predict::predict;
use send::Sender;
use target::Target;

use crate::admission::{self, PendingRecord};
use crate::authenticate::{self, Identified};
use crate::authorize;
use crate::encryption::Encryption;
use crate::error::{Deferral, Reason, Refusal, Stop};
use crate::intake::{self, Message, Source};
use crate::ledger::{self, Counts, Ledger, LedgerQueries, Record, RequestLock, Series, State, Story};
use crate::limits::DEFERRAL_COUNT;
use crate::protocol::{Request, RequestId};
use crate::reply::ReplyTransport;

/// Whether a message has effects.
#[derive(Debug, Clone, Copy)]
pub enum Mode<'m> {
    /// It is delivered, and its reply is sent this way.
    Deliver(&'m ReplyTransport),
    /// Nothing is run, recorded or sent.
    Explain,
}

/// Processes `mail` in every stage. Unless it is a deferral, the message is consumed.
///
/// # Errors
///
/// A deferral: the message must be delivered again.
pub fn run(
    context: &Context<'_>,
    mail: &mut dyn Source,
    mode: Mode<'_>,
    observer: &mut dyn Observer,
) -> Result<End, Deferral> {
    let ended = match observer.require(Step::Received(context.envelope)) {
        Ok(()) => guarded(|| stages(context, mail, mode, observer)),
        Err(deferral) => Err(deferral.into()),
    };
    let logged = match ended {
        Ok(end) => return Ok(end),
        Err(Stop::Refusal(refusal)) => observer.require(Step::Refused(&refusal, None)).map(|()| End::Refused),
        Err(Stop::Deferral(deferral)) => Err(deferral),
    };
    logged.inspect_err(|deferral| observer.note(Step::Deferred(deferral)))
}

fn stages(
    context: &Context<'_>,
    mail: &mut dyn Source,
    mode: Mode<'_>,
    observer: &mut dyn Observer,
) -> Result<End, Stop> {
    let begun = Instant::now();
    let (gateway, envelope) = (context.gateway, context.envelope);
    let encryption = Encryption::new(gateway, &context.timeouts);
    let mut message = intake::receive(mail, envelope, gateway, &encryption)?;
    observer.note(Step::Screened(&message));
    let requests = requests(&message)?;
    message.wipe_texts();
    requests.iter().take(1).for_each(|request| observer.note(Step::Read(request)));
    let verified = authenticate::verify_mac(requests, gateway)?;
    observer.require(Step::MacVerified(&verified))?;
    let identified = authenticate::identify(verified, &message, envelope, gateway)?;
    message.wipe_raw();
    observer.note(Step::Identified(&identified));

    let mut ledger = ledger::open(gateway.settings(), context.trusted.clone(), context.timeouts.transaction)?;
    let run = Run { context, encryption: &encryption, message: &message, mode, begun };
    let ended = on_the_ledger(&run, identified, ledger.as_mut(), observer);
    if let (Err(Stop::Deferral(deferral)), Mode::Deliver(_)) = (&ended, mode) {
        count(ledger.as_mut(), deferral, context);
    }
    ended
}

/// Counts a deferral, if the ledger can be told at once. It is in the log in any case.
fn count(ledger: &mut dyn Ledger, deferral: &Deferral, context: &Context<'_>) {
    let mut counts = Counts::default();
    counts.one(Series::Deferred(deferral.part));
    if deferral.part != "ledger" {
        let _ = ledger.count(&counts, context.clock.now(), DEFERRAL_COUNT.min(context.timeouts.transaction));
    }
}

/// One call of [`run`], besides its request, its ledger and its observer.
struct Run<'r> {
    context: &'r Context<'r>,
    encryption: &'r Encryption<'r>,
    message: &'r Message,
    mode: Mode<'r>,
    begun: Instant,
}

/// The stages from the ledger on.
fn on_the_ledger(
    run: &Run<'_>,
    identified: Identified,
    ledger: &mut dyn LedgerQueries,
    observer: &mut dyn Observer,
) -> Result<End, Stop> {
    let &Run { context, encryption, message, mode, begun } = run;
    let gateway = context.gateway;
    let _lock = lock(ledger, &identified.id(), mode)?;
    let has_effects = matches!(mode, Mode::Deliver(_));
    let target = Target::of(identified.request(), ledger, context, has_effects)?;
    // Read before the transaction begins, so that a slow disk delays no other delivery. Used only where something is
    // decided.
    let command = gateway.command(identified.request().command());
    let transaction = ledger.transaction(&identified.id(), identified.user())?;
    let record = transaction.record()?;
    let story = match (mode, &record) {
        (Mode::Explain, Some(_)) => transaction.story_of(&identified.id())?,
        _ => Story::default(),
    };
    observer.note(Step::Recorded(record.as_ref(), &story));
    if record.as_ref().is_some_and(Record::is_closed) {
        return Err(Refusal::new(Reason::Duplicate, "this request has been answered").into());
    }

    let now = context.clock.now();
    // Once recorded, they are shown as they were then.
    let arguments = match &record {
        Some(record) => record.arguments.clone(),
        None => authorize::shown_arguments(&identified, command.as_ref().ok().and_then(Option::as_ref)),
    };
    let decision = match record {
        Some(record) if record.state != State::Waiting => Decision::Resume(record),
        new_or_waiting => {
            let pending = PendingRecord::of(new_or_waiting, &identified, arguments.clone(), context.queue_id(), now);
            match decide(context, &identified, transaction.as_ref(), &pending, command?, now, observer) {
                Ok((authorized, announcement)) => Decision::of(authorized, pending, announcement, target.as_ref()),
                Err(Stop::Refusal(refusal)) if refusal.reason().effect().recorded => Decision::Refuse(refusal, pending),
                Err(stop) => return Err(stop),
            }
        }
    };
    let Mode::Deliver(transport) = mode else {
        return predict(context, transaction.as_ref(), decision, now, observer);
    };

    let mut delivery = Delivery::new(context, &identified, &arguments, message, observer, begun);
    let may_have_notices = matches!(decision, Decision::Resume(_) | Decision::Ask(..) | Decision::Admit(_, _, Some(_)));
    let reply = match decision {
        Decision::Resume(record) => delivery.resume(transaction, record, target.as_ref())?,
        Decision::Refuse(refusal, pending) => delivery.refuse(transaction, pending, refusal, now)?,
        Decision::Ask(authorized, pending, announcement) => {
            delivery.ask(transaction, &authorized, pending, &announcement, now)?
        }
        Decision::Vote(authorized, pending, target) => {
            let voted = delivery.vote(transaction, authorized, pending, target, now)?;
            match delivery.vote_until_decided(ledger, voted, target)? {
                Voted::Done(reply) => reply,
                Voted::Run(admitted) => Some(delivery.execute(ledger, *admitted)?),
                Voted::Held(..) => None,
            }
        }
        Decision::Admit(authorized, pending, announcement) => {
            delivery.exception(authorized.required(), announcement.as_ref())?;
            let admission = admission::admit(transaction, authorized, pending, announcement, context.longest(), now)?;
            match delivery.wait_until_admitted(ledger, admission)? {
                Waited::Run(admitted) => Some(delivery.execute(ledger, *admitted)?),
                Waited::Refused(reply) => reply,
            }
        }
    };
    let (id, user) = (identified.id(), identified.user().clone());
    let witness = context.witness(delivery.point);
    // The key has signed the reply. A sendmail that hangs must leave no key in this process's memory.
    drop(identified);
    let mut sender = Sender::new(context, encryption, transport, ledger, observer, begun);
    if may_have_notices {
        sender.send_about(&id, true)?;
    }
    if let Some(target) = target.as_ref().filter(|target| target.is_locked()) {
        sender.send_about(&target.id, false)?;
    }
    if let Some(reply) = reply {
        sender.send_own(&id, &user, reply, witness)?;
    }
    Ok(End::Handled)
}

/// The request in the message, or the two that it may be read as.
fn requests(message: &Message) -> Result<Vec<Request>, Refusal> {
    let mut read = Vec::new();
    let mut unreadable = None;
    for texts in message.readings() {
        match Request::read(&texts) {
            Ok(request) => read.push(request),
            Err(why) => unreadable = unreadable.or(Some(why)),
        }
    }
    match unreadable {
        Some(why) if read.is_empty() => Err(why.into()),
        _ => Ok(read),
    }
}

/// Locks the request for this process; `explain` only checks whether another process has the lock.
fn lock(ledger: &dyn Ledger, id: &RequestId, mode: Mode<'_>) -> Result<Option<RequestLock>, Stop> {
    let busy = || Deferral::new("busy", "another delivery of the same request is under way").into();
    match mode {
        Mode::Deliver(_) => ledger.lock(id)?.map(Some).ok_or_else(busy),
        Mode::Explain if ledger.is_locked(id)? => Err(busy()),
        Mode::Explain => Ok(None),
    }
}
