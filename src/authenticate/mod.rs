//! Who sent the request? In: a [`Request`] that is not proven yet. Out, one after the other: [`MacVerified`], when the
//! mac is right; [`Identified`], when the user's requests may be accepted; and, inside the ledger's write transaction,
//! [`Authenticated`], when the SSH signature, where there is one or must be one, and the code are right too.
//!
//! MUST: the ledger is not read before the mac is verified. An unknown user costs what a known one costs. The code is
//! checked at the signed time. Only this module makes these three types, each from the one before (tests/types).

mod signature;
mod times;
mod totp;

use std::time::Duration;

pub use signature::SignedBy;
pub use totp::Factor;

use signature::Signature;
use times::{above_watermark, fresh, not_lost, not_too_many};

use crate::config::{EncryptKind, Gateway, MailAddress, Secrets, Settings};
use crate::error::{Deferral, Reason, Refusal, Stop};
use crate::intake::{Envelope, Message, PayloadFinding, SenderAuth};
use crate::ledger::{Record, Transaction};
use crate::protocol::{Arguments, Key, Request, RequestId, Timestamp, UserName};

/// A request whose mac is right under the key of a user of this gateway. It proves the user's name, and no more.
#[derive(Debug)]
pub struct MacVerified {
    request: Request,
    id: RequestId,
    is_under_previous_key: bool,
    secrets: Secrets,
}

impl MacVerified {
    /// The request's id.
    pub fn id(&self) -> RequestId {
        self.id
    }

    /// The user who has the key.
    pub fn user(&self) -> &UserName {
        self.request.user()
    }

    /// Whether the key is the one before a rotation.
    pub fn is_under_previous_key(&self) -> bool {
        self.is_under_previous_key
    }
}

/// A request for this gateway, from an enabled user, sent as the user's file allows. It proves the first factor only.
///
/// Of the secrets it keeps only the key that signs the reply, because it exists as long as the command runs.
#[derive(Debug)]
pub struct Identified {
    request: Request,
    id: RequestId,
    address: MailAddress,
    encrypt: Option<EncryptKind>,
    roles: Vec<String>,
    sender: SenderAuth,
    payload: Option<PayloadFinding>,
    key: Key,
    /// The step that the code belongs to, at the signed time; an error where the user's TOTP secret is malformed.
    step: Result<Option<u64>, &'static str>,
    signature: Signature,
    /// Whether the user must sign each request with an SSH key.
    must_sign: bool,
}

impl Identified {
    /// The request's id.
    pub fn id(&self) -> RequestId {
        self.id
    }

    /// What was requested.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// The user.
    pub fn user(&self) -> &UserName {
        self.request.user()
    }

    /// Where the reply goes.
    pub fn address(&self) -> &MailAddress {
        &self.address
    }

    /// How the reply is encrypted; `None`: it is not.
    pub fn encrypt(&self) -> Option<EncryptKind> {
        self.encrypt
    }

    /// The user's roles.
    pub fn roles(&self) -> &[String] {
        &self.roles
    }

    /// What was required of the sender besides the signature, and what was found.
    pub fn sender(&self) -> &SenderAuth {
        &self.sender
    }

    /// The SSH key that signed the request, if one did and it counts.
    pub fn signed_by(&self) -> Option<&SignedBy> {
        self.signature.signed_by()
    }

    /// What was found of the payload that the request names; `None` where it names none.
    pub fn payload(&self) -> Option<&PayloadFinding> {
        self.payload.as_ref()
    }

    /// The key that the mac is right under. It signs the reply too.
    pub fn key(&self) -> &Key {
        &self.key
    }
}

/// Finds the request whose mac is right among the possible readings of the message, and its key: the user's current key
/// or, while a rotation overlaps, the previous one.
///
/// # Errors
///
/// A refusal without a reply, the same for an unknown user; a deferral where the secrets cannot be read.
pub fn verify_mac(requests: Vec<Request>, gateway: &Gateway) -> Result<MacVerified, Stop> {
    for request in requests {
        if let Some(verified) = verified(request, gateway)? {
            return Ok(verified);
        }
    }
    Err(Refusal::new(Reason::BadMac, "unknown user, or the mac is wrong").into())
}

fn verified(request: Request, gateway: &Gateway) -> Result<Option<MacVerified>, Stop> {
    let (known, secrets) = match gateway.secrets(request.user())? {
        Some(secrets) => (true, secrets),
        None => (false, Secrets::decoy()?),
    };
    let previous = secrets.previous.as_ref().filter(|previous| request.time() <= previous.until);
    let mut keys = std::iter::once(&secrets.key).chain(previous.map(|previous| &previous.key));
    let place = keys.position(|key| request.is_signed_by(key)).filter(|_| known);
    Ok(place.map(|place| MacVerified { id: request.id(), request, is_under_previous_key: place > 0, secrets }))
}

/// Checks whether requests of this user are accepted here, from this sender. The code is compared here, so that the
/// code, the TOTP secret and the other key are wiped on return. [`authenticate`] uses the result later, at its row in
/// the table of reader's rule 9.
///
/// # Errors
///
/// Refusals without a reply; a deferral if the user's file, or what the mail server must say, cannot be read.
pub fn identify(
    verified: MacVerified,
    message: &Message,
    envelope: &Envelope,
    gateway: &Gateway,
) -> Result<Identified, Stop> {
    let MacVerified { mut request, id, is_under_previous_key, secrets } = verified;
    let settings = gateway.settings();
    if request.gateway() != &settings.gateway {
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
    let sender = message.authenticate_sender(envelope, &user.requirements(), settings)?;
    let step = Factor::from_url(&secrets.totp).map(|factor| factor.matching_step(request.code(), request.time()));
    let signature = Signature::of(&request, &user.ssh);
    request.wipe_code();
    let key = match secrets.previous {
        Some(previous) if is_under_previous_key => previous.key,
        _ => secrets.key,
    };
    let must_sign = user.ssh.require_signature;
    let payload = request.payload().map(|digest| message.payload(digest));
    let (address, encrypt, roles) = (user.address, user.encrypt, user.roles);
    Ok(Identified { request, id, address, encrypt, roles, sender, payload, key, step, signature, must_sign })
}

/// A request with all its factors right. The next thing that is recorded uses up its step.
#[derive(Debug)]
pub struct Authenticated<'p> {
    identified: &'p Identified,
    arguments: Arguments,
    step: Option<u64>,
}

impl<'p> Authenticated<'p> {
    /// The request and its user.
    pub fn identified(&self) -> &'p Identified {
        self.identified
    }

    /// The decoded arguments.
    pub fn arguments(&self) -> &Arguments {
        &self.arguments
    }

    /// The TOTP step that its code belongs to.
    pub fn step(&self) -> Option<u64> {
        self.step
    }
}

/// Checks the remaining rows of rule 9's table, in its order, inside the transaction that records the decision.
/// `waiting` is the record of a request that was checked when it was first seen, and has waited since. `max_age` is the
/// command's, where the user may run it at all, else the gateway's; `must_sign` is whether the command requires an SSH
/// signature, by the same rule.
///
/// # Errors
///
/// The row of the table that refuses it; a deferral where the ledger or a secret cannot be read.
pub fn authenticate<'p>(
    identified: &'p Identified,
    transaction: &dyn Transaction,
    waiting: Option<&Record>,
    settings: &Settings,
    max_age: Duration,
    must_sign: bool,
    now: Timestamp,
) -> Result<Authenticated<'p>, Stop> {
    if let Some(record) = waiting {
        // It may have waited no more, and run, in what a database server has lost.
        not_lost(record.signed, transaction.lost_until()?).map_err(|lost| lost.with_step(record.step))?;
        return recall(identified, record, max_age, now);
    }
    let request = identified.request();
    let max_future = settings.max_future.as_duration();
    above_watermark(request.time(), transaction.watermark()?, max_future, now)?;
    if let Some(lockout) = transaction.lockout()?
        && lockout.is_in_force(now, settings.lockout.lasts.as_duration())
    {
        let detail = format!("too many wrong codes; locked out until {}", lockout.until);
        return Err(Refusal::new(Reason::LockedOut, detail).into());
    }
    if let Some(rate) = settings.limits.per_user {
        not_too_many(transaction, rate, now)?;
    }
    fresh(request.time(), max_future, max_age, now)?;
    not_lost(request.time(), transaction.lost_until()?)?;
    let arguments = arguments(request)?;
    identified.signature.judge(must_sign || identified.must_sign)?;
    let step = identified
        .step
        .map_err(|what| Deferral::new("configuration", format!("secrets.d/{}.toml: {what}", identified.user())))?;
    let Some(step) = step else {
        return Err(Refusal::new(Reason::BadCode, "the code is not right for the signed time").into());
    };
    if transaction.is_step_used(step)? {
        let detail = "this code was used for another request; wait for the next code";
        return Err(Refusal::new(Reason::UsedCode, detail).into());
    }
    Ok(Authenticated { identified, arguments, step: Some(step) })
}

fn arguments(request: &Request) -> Result<Arguments, Refusal> {
    let bad = |(name, bad)| Refusal::new(Reason::BadValue, format!("argument {name}: {bad}"));
    request.arguments().map_err(bad)
}

/// A request whose code was checked when it was first seen, and which has waited since (docs/decisions/0011).
fn recall<'p>(
    identified: &'p Identified,
    record: &Record,
    max_age: Duration,
    now: Timestamp,
) -> Result<Authenticated<'p>, Stop> {
    if now > record.first_seen.plus(max_age) {
        let command = identified.request().command();
        let detail = format!("it has waited for another run of {command} since {}", record.first_seen);
        return Err(Refusal::new(Reason::Waited, detail).with_step(record.step).into());
    }
    Ok(Authenticated { identified, arguments: arguments(identified.request())?, step: record.step })
}
