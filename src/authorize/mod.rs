//! May this user run it, with these values? In: [`Authentic`] and the catalogue's entry. Out: [`Grant`], which holds
//! the finished argument vector.
//!
//! MUST: what no role permits is denied; an unknown command and a forbidden one look the same; one role must permit
//! all of a request's values, roles are never mixed; only this module makes a `Grant`, and only from an `Authentic`.
//!
//! ```compile_fail
//! let grant = mailsudo::authorize::Grant { authentic: todo!(), action: todo!() };
//! ```

mod invocation;
mod parameters;

use std::time::Duration;

pub use invocation::{Invocation, limiter};
pub(crate) use parameters::wanted;
pub use parameters::{Values, choose, deciding_role};

use crate::authenticate::{Authentic, Proven};
use crate::config::{Command, Settings};
use crate::error::{Reason, Refusal};
use crate::protocol::{Arguments, RequestName};

/// The right to one action, for one request, with all its values settled.
#[derive(Debug)]
pub struct Grant<'p> {
    authentic: Authentic<'p>,
    action: Action,
}

/// What a grant is for.
#[derive(Debug)]
pub enum Action {
    /// A command of the catalogue.
    Run(Invocation),
    /// The built-in `help`.
    Help,
    /// The built-in `status`: of the user's latest request, or of the one whose short id is given.
    Status(Option<[u8; RequestName::SHORT / 2]>),
}

impl<'p> Grant<'p> {
    /// The request and its user.
    pub fn proven(&self) -> &'p Proven {
        self.authentic.proven()
    }

    /// The TOTP step that the request uses.
    pub fn step(&self) -> Option<u64> {
        self.authentic.step()
    }

    /// What may be done.
    pub fn action(&self) -> &Action {
        &self.action
    }
}

/// The age that a request for `command` may have: the command's own, but only for those who may run it at all, so that
/// nobody learns from a refusal that a command exists.
pub fn max_age(command: Option<&Command>, roles: &[String], settings: &Settings) -> Duration {
    let visible = command.filter(|command| is_visible(command, roles));
    visible.and_then(|command| command.max_age).unwrap_or(settings.max_age).as_duration()
}

/// Whether any of `roles` may run `command` with some values.
pub fn is_visible(command: &Command, roles: &[String]) -> bool {
    roles.iter().any(|role| command.allow.contains_key(role))
}

/// Grants the request what its user may do. `command` is the catalogue's entry of the name asked for.
///
/// # Errors
///
/// A refusal that uses up the request's TOTP step.
pub fn authorize<'p>(authentic: Authentic<'p>, command: Option<Command>) -> Result<Grant<'p>, Refusal> {
    let arguments = authentic.arguments();
    let action = match (authentic.proven().request().command().as_str(), command) {
        ("help", _) => no_arguments(arguments).map(|()| Action::Help),
        ("status", _) => status(arguments).map(Action::Status),
        (_, Some(command)) if is_visible(&command, authentic.proven().roles()) => {
            choose(&command, authentic.proven().roles(), arguments)
                .and_then(|values| Invocation::new(&command, &values))
                .map(Action::Run)
                .map_err(|detail| Refusal::new(Reason::BadParameter, detail))
        }
        _ => Err(Refusal::new(Reason::NotPermitted, "no such command, or none for you; `help` lists yours")),
    };
    match action {
        Ok(action) => Ok(Grant { authentic, action }),
        Err(refusal) => Err(refusal.with_step(authentic.step())),
    }
}

fn no_arguments(arguments: &Arguments) -> Result<(), Refusal> {
    match arguments.first() {
        None => Ok(()),
        Some((name, _)) => Err(Refusal::new(Reason::BadParameter, format!("there is no parameter `{name}`"))),
    }
}

fn status(arguments: &Arguments) -> Result<Option<[u8; RequestName::SHORT / 2]>, Refusal> {
    let refuse = |detail: &str| Err(Refusal::new(Reason::BadParameter, detail));
    match arguments.as_slice() {
        [] => Ok(None),
        [(name, text)] if name.as_str() == "id" => {
            let mut id = [0; RequestName::SHORT / 2];
            match hex::decode_to_slice(text, &mut id) {
                Ok(()) => Ok(Some(id)),
                Err(_) => refuse("id is the 12 hex digits that a reply shows"),
            }
        }
        _ => refuse("the only parameter is `id`"),
    }
}
