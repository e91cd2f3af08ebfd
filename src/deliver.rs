//! The story of one message.
//!
//! ```text
//! stdin -> Message -> Request -> Proven -> Authentic -> Grant -> Started -> Outcome -> Reply -> stdout | sendmail
//!          intake     protocol   authenticate           authorize ledger    execute    reply
//! ```
//!
//! Each step's output is the next one's input, and each can be had in one place only. What is already on the ledger is
//! resumed and never run again. A message ends in one of three ways: handled, refused (both consume it) or deferred.

use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::audit::{Audit, Event, Line};
use crate::authenticate::{self, Proven};
use crate::authorize::{self, Action};
use crate::builtin;
use crate::clock::Clock;
use crate::config::{Command, Gateway, Trusted};
use crate::error::{Deferral, Reason, Refusal, Stop};
use crate::execute::{self, Outcome};
use crate::intake::{self, Envelope};
use crate::ledger::{self, Admission, Case, Ledger, Page, Record, Started, State, Waiting};
use crate::patience::Patience;
use crate::protocol::{Request, RequestName};
use crate::reply::{Desk, Reply, Road, visible};

/// How often a request that waits for an exclusive command looks whether it is free.
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

/// Does `work`, and makes a deferral of a panic anywhere in it: pipe(8) would bounce Rust's exit status 101 to a sender
/// who may be forged. What was admitted before the panic is resumed by the next delivery.
///
/// # Errors
///
/// The error of `work`, or a deferral that says what the panic said.
pub fn guarded<T, E: From<Deferral>>(work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        Err(Deferral::new("panic", format!("a fault in mailsudo itself: {text}")).into())
    })
}

/// One delivery: the gateway, and what is known of this message from outside.
pub struct Delivery<'d> {
    /// The gateway's files.
    pub gateway: &'d Gateway,
    /// What the mail server says of the envelope.
    pub envelope: &'d Envelope,
    /// How the reply leaves.
    pub road: &'d Road,
    /// What time it is.
    pub clock: &'d dyn Clock,
    /// How long its neighbours may take.
    pub patience: Patience,
}

impl Delivery<'_> {
    /// Delivers `mail`, and writes down what became of it. An `Ok` or a refusal consumes the message.
    ///
    /// # Errors
    ///
    /// A deferral: the message must be delivered again.
    pub fn deliver(&self, mail: &mut dyn Read, audit: &mut Audit) -> Result<(), Deferral> {
        let stop = match audit.require(self.received()) {
            Ok(()) => guarded(|| self.pass(mail, audit)),
            Err(deferral) => Err(deferral.into()),
        };
        match stop {
            Ok(()) => Ok(()),
            Err(Stop::Refusal(refusal)) => audit.require(refused(&refusal)),
            Err(Stop::Deferral(deferral)) => {
                audit.note(deferred(&deferral));
                Err(deferral)
            }
        }
    }

    fn pass(&self, mail: &mut dyn Read, audit: &mut Audit) -> Result<(), Stop> {
        let mut message = intake::receive(mail, self.envelope, self.gateway)?;
        let request = Request::read(&message.texts()).map_err(Refusal::from)?;
        message.forget_texts();
        let signed = authenticate::verify(request, self.gateway)?;
        audit.identify(&signed.name(), signed.user());
        let proven = authenticate::prove(signed, &message, self.envelope, self.gateway)?;

        let mut ledger = ledger::open(self.gateway.settings(), Trusted::caller(), self.patience.page)?;
        let Some(_claim) = ledger.claim(&proven.name())? else {
            return Err(Deferral::new("busy", "another delivery of the same request is under way").into());
        };
        let desk = Desk::new(self.gateway.settings(), &proven, &message);
        // Read before the page is opened, so that a slow disk holds up nobody else; needed only where something is decided.
        let command = self.gateway.command(proven.request().command());
        let page = ledger.page(&proven.name(), proven.user())?;
        let reply = match page.record()? {
            Some(record) if record.is_closed() => {
                return Err(Refusal::new(Reason::Duplicate, "this request has been answered").into());
            }
            Some(record) if record.state != State::Waiting => self.resume(page, record, desk, audit)?,
            waiting => match self.decide(page, &proven, waiting, command?, desk, audit)? {
                Decision::Refused(reply) => reply,
                Decision::Admitted(Admission::Started(started)) => Some(self.run(&mut ledger, started, desk, audit)?),
                Decision::Admitted(Admission::Waiting(waiting)) => {
                    let started = self.wait(&mut ledger, waiting, audit)?;
                    Some(self.run(&mut ledger, started, desk, audit)?)
                }
            },
        };
        let name = proven.name();
        // The key has signed the reply; a sendmail that hangs finds none to be read.
        drop(proven);
        match reply {
            Some(reply) => self.answer(&mut ledger, &name, &reply, audit),
            None => Ok(()),
        }
    }

    /// Judges a new or waiting request on its open page, and records the verdict before the page is closed.
    fn decide<'p>(
        &self,
        page: Box<dyn Page + '_>,
        proven: &'p Proven,
        waiting: Option<Record>,
        command: Option<Command>,
        desk: Desk<'_>,
        audit: &mut Audit,
    ) -> Result<Decision<'p>, Stop> {
        let (settings, now) = (self.gateway.settings(), self.clock.now());
        let max_age = authorize::max_age(command.as_ref(), proven.roles(), settings);
        let case = Case::of(waiting, proven, self.queue_id(), now);
        let verdict = authenticate::judge(proven, page.as_ref(), case.waiting(), settings, max_age, now)
            .and_then(|authentic| Ok(authorize::authorize(authentic, command)?));
        match verdict {
            Ok(grant) => {
                let longest = settings.execution.longest.as_duration();
                let admission = ledger::admit(page, grant, case, longest, now)?;
                audit.note(admitted(proven));
                Ok(Decision::Admitted(admission))
            }
            Err(Stop::Refusal(refusal)) if refusal.reason().effect().recorded => {
                let compose = |refusal: &Refusal| desk.refusal(refusal, now);
                let limits = &settings.lockout;
                let (refusal, reply) = ledger::refuse(page, case, refusal, limits, now, compose)?;
                audit.note(refused(&refusal));
                Ok(Decision::Refused(reply))
            }
            Err(stop) => Err(stop),
        }
    }

    /// Waits for an exclusive command to be free; its request is recorded, so nothing is lost by giving up.
    fn wait<'p>(&self, ledger: &mut dyn Ledger, waiting: Waiting<'p>, audit: &mut Audit) -> Result<Started<'p>, Stop> {
        audit.note(Line::new(Event::Waiting));
        let mut waiting = waiting;
        let longest = self.gateway.settings().execution.longest.as_duration();
        let deadline = self.clock.instant() + self.patience.turn;
        while self.clock.instant() < deadline {
            self.clock.sleep(BETWEEN_LOOKS);
            match ledger::retry(ledger, waiting, longest, self.clock)? {
                Admission::Started(started) => return Ok(started),
                Admission::Waiting(still) => waiting = still,
            }
        }
        Err(Deferral::new("busy", "another run holds this exclusive command; the request keeps its place").into())
    }

    /// Runs what was admitted and stores its outcome with the finished reply.
    fn run(
        &self,
        ledger: &mut dyn Ledger,
        started: Started<'_>,
        desk: Desk<'_>,
        audit: &mut Audit,
    ) -> Result<Reply, Stop> {
        let settings = self.gateway.settings();
        let limit = settings.limits.output.bytes();
        let proven = started.grant().proven();
        let outcome = match started.grant().action() {
            Action::Run(invocation) => {
                let line = execute::command_line(invocation, &settings.execution).join(" ");
                audit.note(Line::new(Event::Started).field("command", line));
                execute::run(&started, &settings.execution, limit, &self.patience)
            }
            Action::Help => {
                let text = builtin::help(self.gateway, proven.roles());
                execute::answer(&started, &text, limit)
            }
            Action::Status(short) => {
                let text = builtin::status(ledger, proven, short.as_ref())?;
                execute::answer(&started, &text, limit)
            }
        };
        audit.note(finished(&outcome));
        let now = self.clock.now();
        let reply = desk.outcome(&started, &outcome, now);
        ledger::finish(ledger, started, outcome.result(), reply.clone(), audit.lost(), now)?;
        Ok(reply)
    }

    /// Goes on where an earlier delivery of the same request died or could not reply. Nothing is run.
    fn resume(
        &self,
        mut page: Box<dyn Page + '_>,
        record: Record,
        desk: Desk<'_>,
        audit: &mut Audit,
    ) -> Result<Option<Reply>, Stop> {
        audit.note(Line::new(Event::Resumed).field("state", record.state.word()));
        if record.reply.is_some() {
            return Ok(record.reply);
        }
        let now = self.clock.now();
        let reply = desk.unknown(&record, now);
        page.update(&Record::unknown(record, reply.clone(), now))?;
        page.commit()?;
        Ok(Some(reply))
    }

    /// Hands the stored reply over and closes the case. From here on nothing may defer: the user has his answer.
    fn answer(
        &self,
        ledger: &mut dyn Ledger,
        name: &RequestName,
        reply: &Reply,
        audit: &mut Audit,
    ) -> Result<(), Stop> {
        self.road.hand_over(reply, &self.patience)?;
        audit.note(Line::new(Event::Replied).field("to", &reply.to));
        let retention = self.gateway.settings().retention;
        if let Err(error) = ledger.close_case(name, self.clock.now(), audit.lost(), retention) {
            let detail = format!("the reply was handed over, but that could not be recorded: {error}");
            audit.note(Line::new(Event::Deferred).field("part", "ledger").field("detail", detail));
        }
        Ok(())
    }

    fn received(&self) -> Line {
        let envelope = self.envelope;
        Line::new(Event::Received)
            .raw_field("sender", envelope.sender.as_deref())
            .raw_field("recipient", envelope.recipient.as_deref())
            .raw_field("client", envelope.client_address.as_deref())
            .raw_field("sasl", envelope.sasl_username.as_deref())
    }

    fn queue_id(&self) -> Option<String> {
        self.envelope.queue_id.as_ref().map(|id| visible(&id.to_string_lossy()))
    }
}

/// What was decided about a request, on record already.
#[expect(clippy::large_enum_variant, reason = "one is made in a process's life")]
enum Decision<'p> {
    /// It may run, now or later.
    Admitted(Admission<'p>),
    /// It may not; perhaps with a reply.
    Refused(Option<Reply>),
}

fn admitted(proven: &Proven) -> Line {
    let request = proven.request();
    let mut line = Line::new(Event::Admitted).field("command", request.command());
    let arguments = request.arguments().unwrap_or_default();
    if !arguments.is_empty() {
        let arguments: Vec<_> = arguments.iter().map(|(name, value)| format!("{name}={value}")).collect();
        line = line.field("arguments", arguments.join(" "));
    }
    line
}

fn refused(refusal: &Refusal) -> Line {
    Line::new(Event::Refused).field("reason", refusal.reason().code()).field("detail", refusal.detail())
}

/// The line about a deferral, for this module and for whoever cannot even begin a delivery.
pub fn deferred(deferral: &Deferral) -> Line {
    Line::new(Event::Deferred).field("part", deferral.part).field("detail", &deferral.detail)
}

fn finished(outcome: &Outcome) -> Line {
    let line = Line::new(Event::Finished)
        .field("result", outcome.result())
        .field("took", format!("{:.3}s", outcome.took().as_secs_f64()))
        .field("output", outcome.output().size());
    match outcome.fault() {
        Some(fault) => line.field("fault", fault),
        None => line,
    }
}
