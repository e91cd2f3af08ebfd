//! What a request for a command with `[approval]` needs, how a vote names what it is about, and what may run once
//! enough users have approved. In: the configuration of now and what was asked. Out: [`Required`], [`Ballot`],
//! [`Approved`].
//!
//! MUST: approval narrows and never widens (docs/decisions/0015). Only [`reauthorize`] makes an [`Approved`]: the
//! requester may still do it, and every byte is what the approvers were shown.

use super::secrets::unsealed;
use super::{Invocation, choose, is_visible};
use crate::config::{Approval, Command, REASON, built_in_parameters};
use crate::error::{Reason, Refusal};
use crate::protocol::{Arguments, GatewayName, Key, Payload, RequestId, RunDigest};

/// What a request needs before it runs, or the exception by which it runs at once.
#[derive(Debug)]
pub struct Required {
    terms: Approval,
    digest: RunDigest,
    reason: Option<String>,
    exception: Option<String>,
}

impl Required {
    /// `[approval]` of the command.
    pub fn terms(&self) -> &Approval {
        &self.terms
    }

    /// What approvers agree to.
    pub fn digest(&self) -> RunDigest {
        self.digest
    }

    /// The requester's reason.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// The requester's role that needs no approval.
    pub fn exception(&self) -> Option<&str> {
        self.exception.as_deref()
    }

    /// What a request of a user with `roles` needs; `None` where its command has no `[approval]`.
    ///
    /// # Errors
    ///
    /// A refusal: the reason is missing.
    pub(super) fn of(
        command: &Command,
        roles: &[String],
        reason: Option<String>,
        digest: RunDigest,
    ) -> Result<Option<Self>, Refusal> {
        let Some(terms) = command.approval.clone() else {
            return Ok(None);
        };
        let reason = reason.filter(|reason| !reason.trim().is_empty());
        if terms.reason && reason.is_none() {
            let detail = format!("`{REASON}` is missing: say why, for the approvers");
            return Err(Refusal::new(Reason::BadParameter, detail));
        }
        let exception = terms.exception(roles).cloned();
        Ok(Some(Self { terms, digest, reason, exception }))
    }
}

/// The arguments for the command, and the requester's reason, which is none of them.
pub fn split_reason(command: &Command, arguments: &Arguments) -> (Arguments, Option<String>) {
    if command.approval.is_none() {
        return (arguments.clone(), None);
    }
    let (reason, others): (Arguments, Arguments) =
        arguments.iter().cloned().partition(|(name, _)| name.as_str() == REASON);
    (others, reason.into_iter().next().map(|(_, reason)| reason))
}

/// What a vote says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ballot {
    /// It may run.
    Approve(RequestId, RunDigest),
    /// It must not run, with the reason.
    Deny(RequestId, RunDigest, String),
    /// The requester, or an approver for an approval of their own, takes it back.
    Cancel(RequestId),
}

impl Ballot {
    /// The request that it is about.
    pub fn request(&self) -> RequestId {
        match self {
            Self::Approve(id, _) | Self::Deny(id, _, _) | Self::Cancel(id) => *id,
        }
    }

    /// Reads the arguments of the built-in command `command`, if it is one of the three.
    pub fn read(command: &str, arguments: &Arguments) -> Option<Result<Self, String>> {
        let known = built_in_parameters(command).filter(|_| matches!(command, "approve" | "deny" | "cancel"))?;
        let value = |wanted: &str| {
            let given = arguments.iter().find(|(name, _)| name.as_str() == wanted).map(|(_, value)| value.as_str());
            given.ok_or_else(|| format!("`{wanted}` is missing"))
        };
        let read = || {
            if let Some((name, _)) = arguments.iter().find(|(name, _)| !known.contains(&name.as_str())) {
                return Err(format!("there is no parameter `{name}`"));
            }
            let id = RequestId::from_hex(value("id")?)
                .ok_or("`id` is the request's whole id, 64 hex digits; the notice has it, and `pending`")?;
            if command == "cancel" {
                return Ok(Self::Cancel(id));
            }
            let digest = RunDigest::parse(value("digest")?).ok_or("`digest` is the 64 hex digits of the notice")?;
            if command == "approve" {
                return Ok(Self::Approve(id, digest));
            }
            let reason = value(REASON)?;
            if reason.trim().is_empty() {
                return Err(format!("`{REASON}` is empty: say why"));
            }
            Ok(Self::Deny(id, digest, reason.to_owned()))
        };
        Some(read())
    }
}

/// What was asked, as the ledger has it, for [`reauthorize`].
pub struct Requested<'r> {
    /// The request.
    pub id: RequestId,
    /// The gateway.
    pub gateway: &'r GatewayName,
    /// The requester's roles now.
    pub roles: &'r [String],
    /// The arguments, with marks for secret values.
    pub arguments: Arguments,
    /// The argument vector, with the secret values sealed in it.
    pub argv: &'r str,
    /// The requester's keys, the current one first.
    pub keys: &'r [&'r Key],
    /// The payload.
    pub payload: Option<Payload>,
    /// What was shown to the approvers.
    pub digest: RunDigest,
}

/// A run that may start: enough users have approved it, and it is still what they approved.
#[derive(Debug)]
pub struct Approved {
    request: RequestId,
    invocation: Invocation,
    payload: Option<Payload>,
    shows_output: bool,
}

impl Approved {
    /// The request that runs.
    pub fn request(&self) -> RequestId {
        self.request
    }

    /// Whether its approvers get the output.
    pub fn shows_output(&self) -> bool {
        self.shows_output
    }

    /// Its command line.
    pub fn invocation(&self) -> &Invocation {
        &self.invocation
    }

    /// Its standard input.
    pub fn payload(&self) -> Option<&Payload> {
        self.payload.as_ref()
    }
}

/// Authorizes an approved request once more, under the configuration of now.
///
/// # Errors
///
/// Why it would not run as it was shown, for requester and approvers.
pub fn reauthorize(requested: Requested<'_>, command: Option<&Command>) -> Result<Approved, String> {
    let changed = "the gateway's configuration has changed since";
    let Some(command) = command.filter(|command| is_visible(command, requested.roles)) else {
        return Err(format!("{changed}: the requester may not run this command any more"));
    };
    let (arguments, key) = unsealed(command, &requested.id, requested.keys, &requested.arguments, requested.argv)?;
    let (arguments, reason) = split_reason(command, &arguments);
    let choice = choose(command, requested.roles, &arguments).map_err(|what| format!("{changed}: {what}"))?;
    let invocation = match key {
        Some(key) => Invocation::of_request(command, &choice.values, key, &requested.id),
        None => Invocation::new(command, &choice.values),
    };
    let invocation = invocation.map_err(|what| format!("{changed}: {what}"))?;
    let digest = invocation.digest(requested.gateway, &requested.id, requested.payload.as_ref());
    if digest != requested.digest {
        return Err(format!("{changed}: another command line would run than the one that was shown"));
    }
    let rule = command.payload.as_ref();
    if let Some(payload) = &requested.payload {
        let checked =
            rule.ok_or("the command takes no payload".to_owned()).and_then(|rule| rule.check(payload.content()));
        checked.map_err(|what| format!("{changed}: {what}"))?;
    } else if rule.is_some_and(|rule| rule.required) {
        return Err(format!("{changed}: the command needs a payload"));
    }
    if command.approval.as_ref().is_some_and(|terms| terms.reason && reason.is_none()) {
        return Err(format!("{changed}: the requester must give a reason"));
    }
    let shows_output = command.approval.as_ref().is_some_and(|terms| terms.show_output);
    Ok(Approved { request: requested.id, invocation, payload: requested.payload, shows_output })
}
