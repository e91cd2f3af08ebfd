//! May this user run the command with these values? In: [`Authenticated`] and the command's file. Out: [`Authorized`],
//! which holds the finished argument vector.
//!
//! MUST: what no role permits is denied. An unknown command and a forbidden one look the same. One role must permit all
//! of a request's values; roles are never mixed. Only this module makes an `Authorized`, and only from an
//! `Authenticated`.

mod approval;
mod invocation;
mod parameters;
mod person;
mod secrets;

use std::time::Duration;

pub use approval::{Approved, Ballot, Requested, Required, reauthorize, split_reason};
pub use invocation::{Invocation, conceal, prefix};
pub(crate) use parameters::wanted;
pub use parameters::{Choice, Values, choose, is_visible};
pub use person::{MustSign, Person, approvers, shares_address, terms_of};
pub use secrets::{may_show, shown_arguments};

use crate::authenticate::{Authenticated, Identified};
use crate::config::{Command, PayloadRule, Settings};
use crate::error::{Reason, Refusal};
use crate::protocol::{Arguments, Payload, RequestId};

/// A request that may be carried out, once, with all its values fixed.
#[derive(Debug)]
pub struct Authorized<'p> {
    authenticated: Authenticated<'p>,
    action: Action,
    role: Option<&'p str>,
    required: Option<Required>,
}

/// What an authorized request is for.
#[derive(Debug)]
pub enum Action {
    /// A configured command.
    Run(Invocation),
    /// The built-in `help`.
    Help,
    /// The built-in `status`: of the user's latest request, or of the request with the given short id.
    Status(Option<[u8; RequestId::SHORT / 2]>),
    /// The built-in `pending`.
    Pending,
    /// The built-in `approve`, `deny` or `cancel`.
    Vote(Ballot),
}

impl<'p> Authorized<'p> {
    /// The request and its user.
    pub fn identified(&self) -> &'p Identified {
        self.authenticated.identified()
    }

    /// The TOTP step that the request uses.
    pub fn step(&self) -> Option<u64> {
        self.authenticated.step()
    }

    /// What may be done.
    pub fn action(&self) -> &Action {
        &self.action
    }

    /// What it needs before it runs, or the exception by which it runs at once; `None` where it needs nothing.
    pub fn required(&self) -> Option<&Required> {
        self.required.as_ref()
    }

    /// What the command gets on standard input.
    pub fn payload(&self) -> Option<&Payload> {
        self.identified().payload().and_then(|found| found.payload.as_ref().ok())
    }

    /// The role that permits it; `None` for a built-in command, which every user may run.
    pub fn role(&self) -> Option<&str> {
        self.role
    }
}

/// The age that a request for `command` may have: the command's own, but only for those who may run it at all, so
/// that a refusal does not reveal that a command exists.
pub fn max_age(command: Option<&Command>, roles: &[String], settings: &Settings) -> Duration {
    let visible = command.filter(|command| is_visible(command, roles));
    visible.and_then(|command| command.max_age).unwrap_or(settings.max_age).as_duration()
}

/// Whether a request for `command` must have an SSH signature. As with [`max_age`], only for those who may run it at
/// all.
pub fn must_sign(command: Option<&Command>, roles: &[String]) -> bool {
    command.is_some_and(|command| command.require_signature && is_visible(command, roles))
}

/// Authorizes what the user may do. `command` is the configured command of the name that was requested, if there is
/// one.
///
/// # Errors
///
/// A refusal that uses up the request's TOTP step.
pub fn authorize(authenticated: Authenticated<'_>, command: Option<Command>) -> Result<Authorized<'_>, Refusal> {
    let identified = authenticated.identified();
    let arguments = authenticated.arguments();
    let decided = match command {
        Some(command) if is_visible(&command, identified.roles()) => configured(&command, identified, arguments),
        _ => built_in(identified.request().command().as_str(), arguments)
            .and_then(|action| payload(None, identified).map(|()| (action, None, None))),
    };
    match decided {
        Ok((action, role, required)) => Ok(Authorized { authenticated, action, role, required }),
        Err(refusal) => Err(refusal.with_step(authenticated.step())),
    }
}

type Decided<'p> = (Action, Option<&'p str>, Option<Required>);

fn configured<'p>(
    command: &Command,
    identified: &'p Identified,
    arguments: &Arguments,
) -> Result<Decided<'p>, Refusal> {
    let (arguments, reason) = split_reason(command, arguments);
    let bad = |detail| Refusal::new(Reason::BadParameter, detail);
    let choice = choose(command, identified.roles(), &arguments).map_err(bad)?;
    let (key, id) = (identified.key(), identified.id());
    let invocation = Invocation::of_request(command, &choice.values, key, &id).map_err(bad)?;
    payload(command.payload.as_ref(), identified)?;
    let payload = identified.payload().and_then(|found| found.payload.as_ref().ok());
    let digest = invocation.digest(identified.request().gateway(), &id, payload);
    let required = Required::of(command, identified.roles(), reason, digest)?;
    Ok((Action::Run(invocation), Some(choice.role), required))
}

fn built_in(name: &str, arguments: &Arguments) -> Result<Action, Refusal> {
    if let Some(ballot) = Ballot::read(name, arguments) {
        return ballot.map(Action::Vote).map_err(|detail| Refusal::new(Reason::BadParameter, detail));
    }
    match name {
        "help" => no_arguments(arguments).map(|()| Action::Help),
        "pending" => no_arguments(arguments).map(|()| Action::Pending),
        "status" => status(arguments).map(Action::Status),
        _ => Err(Refusal::new(Reason::NotPermitted, "no such command, or none for you; `help` lists yours")),
    }
}

/// Whether the request's payload is what the command takes: `rule`, or none.
fn payload(rule: Option<&PayloadRule>, identified: &Identified) -> Result<(), Refusal> {
    let checked = match (rule, identified.payload().map(|found| &found.payload)) {
        (None, Some(_)) => Err("this command takes no payload".to_owned()),
        (Some(rule), None) if rule.required => {
            Err("this command needs a payload: `mailsudo sign --payload FILE`".to_owned())
        }
        (None | Some(_), None) => Ok(()),
        (Some(_), Some(Err(none))) => Err(none.to_string()),
        (Some(rule), Some(Ok(payload))) => rule.check(payload.content()),
    };
    checked.map_err(|detail| Refusal::new(Reason::BadPayload, detail))
}

fn no_arguments(arguments: &Arguments) -> Result<(), Refusal> {
    match arguments.first() {
        None => Ok(()),
        Some((name, _)) => Err(Refusal::new(Reason::BadParameter, format!("there is no parameter `{name}`"))),
    }
}

fn status(arguments: &Arguments) -> Result<Option<[u8; RequestId::SHORT / 2]>, Refusal> {
    let refuse = |detail: &str| Err(Refusal::new(Reason::BadParameter, detail));
    match arguments.as_slice() {
        [] => Ok(None),
        [(name, text)] if name.as_str() == "id" => {
            let mut id = [0; RequestId::SHORT / 2];
            match hex::decode_to_slice(text, &mut id) {
                Ok(()) => Ok(Some(id)),
                Err(_) => refuse("id is the 12 hex digits that a reply shows"),
            }
        }
        _ => refuse("the only parameter is `id`"),
    }
}
