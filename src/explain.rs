//! The story of `deliver`, told without living it: the same stages, with what each saw and decided, and no trace left. In:
//! a message. Out: lines for a sysadmin. It opens the ledger's page to judge by and never commits it.

use std::io::Read;

use crate::authenticate::{self, Signed};
use crate::authorize::{self, Action};
use crate::clock::Clock;
use crate::config::{Gateway, User};
use crate::error::{Reason, Refusal, Stop};
use crate::execute::{GRACE, command_line};
use crate::intake::{self, Envelope, Message, vouch};
use crate::ledger::{Ledger, State};
use crate::protocol::{CommandName, Request, UserName};

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
    let mut asked = None;
    match stages(gateway, envelope, mail, clock, open, &mut asked, say) {
        Ok(would_run) => would_run,
        Err(Stop::Refusal(refusal)) => {
            tell_refusal(&refusal, say);
            if let Some(advice) = asked.and_then(|(user, command)| advice(&refusal, gateway, &user, &command)) {
                say(&format!("next: {advice}"));
            }
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
    asked: &mut Option<(UserName, CommandName)>,
    say: &mut dyn FnMut(&str),
) -> Result<bool, Stop> {
    let message = intake::receive(mail, envelope, gateway)?;
    tell_message(&message, say);
    let request = Request::read(&message.texts()).map_err(Refusal::from)?;
    tell_request(&request, say);
    *asked = Some((request.user().clone(), request.command().clone()));
    let signed = authenticate::verify(request, gateway)?;
    say(&format!("mac: holds, under the {} key of {}", which_key(&signed), signed.user()));
    let proven = authenticate::prove(signed, &message, envelope, gateway)?;
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
    let record = page.record()?;
    match &record {
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
    match now.seconds() - proven.request().time().seconds() {
        age @ 0.. => say(&format!("age: {age} s, of at most {} s", max_age.as_secs())),
        age => say(&format!("age: {} s ahead of this clock", age.unsigned_abs())),
    }
    let authentic = authenticate::judge(&proven, page.as_ref(), record.as_ref(), settings, max_age, now)?;
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
        && let Some(slot) = page
            .slots(invocation.name().as_str())?
            .iter()
            .find(|slot| slot.is_busy(now, settings.execution.longest.as_duration() + GRACE))
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
        let shown = if line.starts_with("totp: ") { "totp: (not shown)" } else { line };
        say(&format!("  {shown}"));
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

fn which_key(signed: &Signed) -> &'static str {
    if signed.is_under_previous_key() { "previous" } else { "current" }
}

fn tell_refusal(refusal: &Refusal, say: &mut dyn FnMut(&str)) {
    let effect = refusal.reason().effect();
    let yes = |yes: bool| if yes { "yes" } else { "no" };
    say(&format!("refused: {} ({})", refusal.reason().code(), refusal.detail()));
    say(&format!(
        "on delivery: recorded: {}, step used: {}, counts to lockout: {}, answered: {}",
        yes(effect.recorded),
        yes(refusal.step().is_some()),
        yes(effect.counts),
        yes(effect.answered),
    ));
}

/// What the sysadmin may look at or do next. (The refusal's own words are for the user, who must not learn as much.)
fn advice(refusal: &Refusal, gateway: &Gateway, user: &UserName, command: &CommandName) -> Option<String> {
    Some(match refusal.reason() {
        Reason::BadMac if matches!(gateway.secrets(user), Ok(None)) => {
            format!("there are no secrets of {user} here; `mailsudo user list` shows who there is")
        }
        Reason::BadMac => format!(
            "{user} is known, so the block was changed on its way or signed under another key; `mailsudo user show {user}` \
             tells of a rotation"
        ),
        Reason::Disabled => format!("mailsudo user enable {user}"),
        Reason::ForeignFrom => format!("if it is his, add it to `from` in users.d/{user}.toml"),
        Reason::BadCode => format!("`mailsudo user test {user}` tells a wrong clock from a wrong secret"),
        Reason::LockedOut => format!("mailsudo user unlock {user}"),
        Reason::Stale | Reason::Future => {
            "compare the clocks, look how long the mail was under way; sign it anew".to_owned()
        }
        Reason::NotPermitted | Reason::BadParameter => {
            format!("`mailsudo command show {command}` and `mailsudo may {user} {command} ...` show the rules")
        }
        _ => return None,
    })
}
