//! The story of `deliver`, told without living it: the same stages, with what each saw and decided, and no trace left. In:
//! a message. Out: lines for a sysadmin. It opens the ledger's page to judge by and never commits it.

use std::io::Read;

use crate::authenticate::{self, Proven};
use crate::authorize::{self, Action};
use crate::clock::Clock;
use crate::config::{Gateway, User};
use crate::error::{Refusal, Stop};
use crate::execute::{GRACE, command_line};
use crate::intake::{self, Envelope, Message, vouch};
use crate::ledger::{Ledger, State};
use crate::protocol::Request;

/// How the ledger is opened, if the message gets that far.
pub type OpenLedger<'o> = &'o dyn Fn() -> anyhow::Result<Box<dyn Ledger>>;

/// Tells `say` what would become of `mail`, line by line; returns whether its command would run now.
pub fn explain(
    gateway: &Gateway,
    envelope: &Envelope,
    mail: &mut dyn Read,
    clock: &dyn Clock,
    open: OpenLedger<'_>,
    say: &mut dyn FnMut(&str),
) -> bool {
    match stages(gateway, envelope, mail, clock, open, say) {
        Ok(would_run) => would_run,
        Err(Stop::Refusal(refusal)) => {
            tell_refusal(&refusal, say);
            false
        }
        Err(Stop::Deferral(deferral)) => {
            say(&format!("deferred: {} cannot serve: {}", deferral.part, deferral.detail));
            false
        }
    }
}

fn stages(
    gateway: &Gateway,
    envelope: &Envelope,
    mail: &mut dyn Read,
    clock: &dyn Clock,
    open: OpenLedger<'_>,
    say: &mut dyn FnMut(&str),
) -> Result<bool, Stop> {
    let message = intake::receive(mail, envelope, gateway)?;
    tell_message(&message, say);
    let request = Request::read(&message.texts()).map_err(Refusal::from)?;
    tell_request(&request, say);
    let proven = authenticate::prove(authenticate::verify(request, gateway)?, &message, envelope, gateway)?;
    say(&format!("mac: holds, under the {} key of {}", which_key(&proven), proven.user()));
    say(&format!("user: enabled, From accepted, roles: {}", proven.roles().join(", ")));
    tell_vouchers(&gateway.user(proven.user())?, &message, envelope, gateway, say)?;
    let mut ledger = match open() {
        Ok(ledger) => ledger,
        Err(error) => {
            say(&format!("deferred: ledger: {error:#}"));
            return Ok(false);
        }
    };
    let page = ledger.page(&proven.name(), proven.user())?;
    match page.record() {
        None => say("ledger: this request is new"),
        Some(record) => {
            say(&format!("ledger: on record, {}, seen at {}", record.state.word(), record.first_seen));
            if record.state != State::Waiting {
                let words =
                    if record.is_closed() { "its reply has been handed over" } else { "its reply would be sent" };
                say(&format!("duplicate: nothing is run again; {words}"));
                return Ok(false);
            }
        }
    }
    let (settings, now) = (gateway.settings(), clock.now());
    let command = gateway.command(proven.request().command())?;
    let max_age = authorize::max_age(command.as_ref(), proven.roles(), settings);
    say(&format!("age: {} s, of at most {} s", now.seconds() - proven.request().time().seconds(), max_age.as_secs()));
    let authentic = authenticate::judge(&proven, page.as_ref(), settings, max_age, now)?;
    let step = authentic.step().map_or_else(|| "its own".to_owned(), |step| step.to_string());
    say(&format!("code: right, step {step}, not used before"));
    if let Some(command) = &command
        && let Ok(values) = authorize::choose(command, proven.roles(), authentic.arguments())
        && let Some(role) = authorize::deciding_role(command, proven.roles(), &values)
    {
        say(&format!("role: {role} permits it"));
    }
    let grant = authorize::authorize(authentic, command)?;
    let Action::Run(invocation) = grant.action() else {
        say("command: built in; it would be answered");
        return Ok(true);
    };
    say(&format!("command: {} as {}", invocation.argv().join(" "), invocation.run_as()));
    say(&format!("would run: {}", command_line(invocation, &settings.execution).join(" ")));
    if invocation.is_exclusive()
        && let Some(slot) = page.slot(invocation.name().as_str())?
        && slot.is_busy(now, settings.execution.longest.as_duration() + GRACE)
    {
        say(&format!("waits: request {} holds this exclusive command until {}", slot.holder.short(), slot.until));
        return Ok(false);
    }
    Ok(true)
}

fn tell_message(message: &Message, say: &mut dyn FnMut(&str)) {
    say(&format!("message: From {}, Message-ID {}", message.from(), message.message_id().unwrap_or("none usable")));
    for (at, text) in message.texts().iter().enumerate() {
        let block = if crate::protocol::has_start_line(text) { "with a start line" } else { "without a start line" };
        say(&format!("text {}: {} characters, {block}", at + 1, text.chars().count()));
    }
}

fn tell_request(request: &Request, say: &mut dyn FnMut(&str)) {
    say("block, as the mac covers it:");
    for line in String::from_utf8_lossy(request.signed_lines()).lines() {
        // A code is a secret for as long as its step has not served.
        say(if line.starts_with("totp: ") { "  totp: (not shown)" } else { line });
    }
    say(&format!("request: {}", request.name().short()));
}

/// Who vouches, as far as anybody is asked to; each has been judged already.
fn tell_vouchers(
    user: &User,
    message: &Message,
    envelope: &Envelope,
    gateway: &Gateway,
    say: &mut dyn FnMut(&str),
) -> Result<(), Stop> {
    let intake = &gateway.settings().intake;
    let (everybody, own) = (intake.demands(), user.demands());
    if everybody.sasl || own.sasl {
        say(&format!("login: {}, one of the user's", vouch::login(envelope)?.to_string_lossy()));
    }
    for range in
        [everybody.clients, own.clients].into_iter().filter_map(|ranges| vouch::client(envelope, ranges).transpose())
    {
        say(&format!("client: in {}", range?));
    }
    if everybody.authentication_results || own.authentication_results {
        say(&format!("verdict: {}", vouch::verdict(message, intake)?));
    }
    Ok(())
}

fn which_key(proven: &Proven) -> &'static str {
    if proven.is_under_previous_key() { "previous" } else { "current" }
}

fn tell_refusal(refusal: &Refusal, say: &mut dyn FnMut(&str)) {
    let effect = refusal.reason().effect();
    let yes = |yes: bool| if yes { "yes" } else { "no" };
    say(&format!(
        "refused: {} ({}); recorded: {}, step used: {}, counts to lockout: {}, answered: {}",
        refusal.reason().code(),
        refusal.detail(),
        yes(effect.recorded),
        yes(refusal.step().is_some()),
        yes(effect.counts),
        yes(effect.answered),
    ));
}
