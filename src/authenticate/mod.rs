//! Who is it really? In: a [`Request`] that nobody has believed. Out: [`Signed`], when the mac holds; [`Proven`],
//! when the user may be heard; then, inside the ledger's one write transaction, [`Authentic`], when the code does too.
//!
//! MUST: the ledger is not consulted before the mac holds; an unknown user costs what a known one costs; the code is
//! judged at the signed time; only this module makes a `Signed`, a `Proven` or an `Authentic`, each only from the one
//! before.
//!
//! ```compile_fail
//! // Nobody outside can make one: the fields are private and there is no other door.
//! let proven: mailsudo::authenticate::Proven = todo!();
//! let authentic = mailsudo::authenticate::Authentic { proven: &proven, arguments: vec![], step: None };
//! ```

mod code;
mod vouched;

use std::time::Duration;

pub use code::Factor;

use crate::config::{Gateway, MailAddress, Secrets, Settings};
use crate::error::{Deferral, Reason, Refusal, Stop};
use crate::intake::{Envelope, Message};
use crate::ledger::{Page, Record};
use crate::protocol::{Arguments, Key, Request, RequestName, Timestamp, UserName};

/// A request whose mac holds, for this gateway, from a user who may be heard. It proves the first factor only.
///
/// Of the secrets it keeps the key alone, under which the reply is signed: it lives for as long as the command runs.
#[derive(Debug)]
pub struct Proven {
    request: Request,
    name: RequestName,
    address: MailAddress,
    roles: Vec<String>,
    key: Key,
    /// The step that the code is of, by the signed time; an error where the user's TOTP secret is not right.
    step: Result<Option<u64>, &'static str>,
}

impl Proven {
    /// The request's name for good.
    pub fn name(&self) -> RequestName {
        self.name
    }

    /// What was asked.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// Who asked.
    pub fn user(&self) -> &UserName {
        self.request.user()
    }

    /// Where the reply goes.
    pub fn address(&self) -> &MailAddress {
        &self.address
    }

    /// The roles of the user.
    pub fn roles(&self) -> &[String] {
        &self.roles
    }

    /// The key under which the mac held; the reply is signed with it too.
    pub fn key(&self) -> &Key {
        &self.key
    }
}

/// A request whose mac holds under the key of a user whom this gateway has: his name is proven, and no more.
#[derive(Debug)]
pub struct Signed {
    request: Request,
    name: RequestName,
    is_under_previous_key: bool,
    secrets: Secrets,
}

impl Signed {
    /// The request's name for good.
    pub fn name(&self) -> RequestName {
        self.name
    }

    /// Whose key it is.
    pub fn user(&self) -> &UserName {
        self.request.user()
    }

    /// Whether his key here is the one before the one in force.
    pub fn is_under_previous_key(&self) -> bool {
        self.is_under_previous_key
    }
}

/// Finds the key under which the mac holds: the user's, or while a rotation overlaps the one before it.
///
/// # Errors
///
/// A refusal that nobody hears of, the same for an unknown user; a deferral where the secrets cannot be read.
pub fn verify(request: Request, gateway: &Gateway) -> Result<Signed, Stop> {
    let (known, secrets) = match gateway.secrets(request.user())? {
        Some(secrets) => (true, secrets),
        None => (false, Secrets::decoy()?),
    };
    let previous = secrets.previous.as_ref().filter(|former| request.time() <= former.until);
    let mut keys = std::iter::once(&secrets.key).chain(previous.map(|former| &former.key));
    match keys.position(|key| request.is_signed_by(key)) {
        Some(place) if known => Ok(Signed { name: request.name(), request, is_under_previous_key: place > 0, secrets }),
        _ => Err(Refusal::new(Reason::BadMac, "unknown user, or the mac does not hold").into()),
    }
}

/// Finds out whether the user may be heard here. What becomes of the code is known from here on and told to nobody: [`judge`]
/// says it, at its place in rule 9's table. So the code, the TOTP secret and the other key are wiped with the return.
///
/// # Errors
///
/// Refusals that nobody hears of; a deferral where the user's file cannot be read, or the mail server leaves unsaid what it
/// asks for.
pub fn prove(signed: Signed, message: &Message, envelope: &Envelope, gateway: &Gateway) -> Result<Proven, Stop> {
    let Signed { mut request, name, is_under_previous_key, secrets } = signed;
    if request.gateway() != &gateway.settings().gateway {
        let detail = format!("signed for the gateway {}", request.gateway());
        return Err(Refusal::new(Reason::WrongGateway, detail).into());
    }
    let user = gateway.user(request.user())?;
    if !user.enabled {
        return Err(Refusal::new(Reason::Disabled, "the user is disabled").into());
    }
    if !user.from.iter().any(|address| address.is(message.from())) {
        let detail = format!("From {} is not one of the user's", message.from());
        return Err(Refusal::new(Reason::ForeignFrom, detail).into());
    }
    vouched::check(&user, message, envelope, &gateway.settings().intake)?;
    let step = Factor::from_url(&secrets.totp).map(|factor| factor.matching_step(request.code(), request.time()));
    request.forget_code();
    let key = match secrets.previous {
        Some(former) if is_under_previous_key => former.key,
        _ => secrets.key,
    };
    Ok(Proven { request, name, address: user.address, roles: user.roles, key, step })
}

/// A request both of whose factors hold. Its step is used up by whatever is recorded next.
#[derive(Debug)]
pub struct Authentic<'p> {
    proven: &'p Proven,
    arguments: Arguments,
    step: Option<u64>,
}

impl<'p> Authentic<'p> {
    /// The request and its user.
    pub fn proven(&self) -> &'p Proven {
        self.proven
    }

    /// The decoded arguments.
    pub fn arguments(&self) -> &Arguments {
        &self.arguments
    }

    /// The TOTP step that its code is of.
    pub fn step(&self) -> Option<u64> {
        self.step
    }
}

/// Judges what remains of rule 9's table, in its order, inside the transaction that will record the verdict.
/// `waiting` is the record of a request that was judged when it was first seen, and has waited since; `max_age` is the command's,
/// where the user may run it at all, else the gateway's.
///
/// # Errors
///
/// The row of the table that says no; a deferral where the ledger or a secret cannot be read.
pub fn judge<'p>(
    proven: &'p Proven,
    page: &dyn Page,
    waiting: Option<&Record>,
    settings: &Settings,
    max_age: Duration,
    now: Timestamp,
) -> Result<Authentic<'p>, Stop> {
    if let Some(record) = waiting {
        return recall(proven, record.first_seen, record.step, max_age, now);
    }
    let request = proven.request();
    let (floor, max_future) = (page.floor()?, settings.max_future.as_duration());
    if let Some(floor) = floor
        && floor > now.plus(max_future)
    {
        let what = format!(
            "it has forgotten what was signed up to {floor}, which is yet to come: set the clock right, or, if it was wrong \
             when the ledger was made, move that away and run `mailsudo ledger init`"
        );
        return Err(Deferral::new("ledger", what).into());
    }
    if floor.is_some_and(|floor| request.time() <= floor) {
        let detail = "signed at or before what the ledger has already forgotten";
        return Err(Refusal::new(Reason::Forgotten, detail).into());
    }
    if let Some(lockout) = page.lockout()?
        && lockout.is_in_force(now, settings.lockout.lasts.as_duration())
    {
        let detail = format!("too many wrong codes; locked out until {}", lockout.until);
        return Err(Refusal::new(Reason::LockedOut, detail).into());
    }
    fresh(request.time(), max_future, max_age, now)?;
    let arguments = arguments(request)?;
    let step = proven
        .step
        .map_err(|what| Deferral::new("configuration", format!("secrets.d/{}.toml: {what}", proven.user())))?;
    let Some(step) = step else {
        return Err(Refusal::new(Reason::BadCode, "the code is not right for the signed time").into());
    };
    if page.is_step_used(step)? {
        let detail = "this code has served another request; wait for the next one";
        return Err(Refusal::new(Reason::UsedCode, detail).into());
    }
    Ok(Authentic { proven, arguments, step: Some(step) })
}

fn fresh(time: Timestamp, max_future: Duration, max_age: Duration, now: Timestamp) -> Result<(), Refusal> {
    if time < now.minus(max_age) {
        let detail = format!("signed at {time}, which is more than {} s ago", max_age.as_secs());
        return Err(Refusal::new(Reason::Stale, detail));
    }
    if time > now.plus(max_future) {
        let detail = format!("signed at {time}, which is yet to come: compare the clocks");
        return Err(Refusal::new(Reason::Future, detail));
    }
    Ok(())
}

fn arguments(request: &Request) -> Result<Arguments, Refusal> {
    let bad = |(name, bad)| Refusal::new(Reason::BadValue, format!("argument {name}: {bad}"));
    request.arguments().map_err(bad)
}

/// A request whose code was judged when it was first seen, and which has waited since (DESIGN.md, decision 11).
fn recall<'p>(
    proven: &'p Proven,
    first_seen: Timestamp,
    step: Option<u64>,
    max_age: Duration,
    now: Timestamp,
) -> Result<Authentic<'p>, Stop> {
    if now > first_seen.plus(max_age) {
        let detail = format!("another run of {} held it up since {first_seen}", proven.request().command());
        return Err(Refusal::new(Reason::Waited, detail).with_step(step).into());
    }
    Ok(Authentic { proven, arguments: arguments(proven.request())?, step })
}
