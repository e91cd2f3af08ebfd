//! The two ways to stop, and what each means to Postfix, to the log and to the sender.
//!
//! A [`Refusal`] is final: the message is consumed (exit 0). A [`Deferral`] is for a fault that may pass: Postfix keeps
//! the mail and tries again (exit 75, EX_TEMPFAIL of sysexits(3)). There is no third way.

use std::fmt;

use crate::protocol::Unreadable;

/// Why the processing of a message stopped.
#[derive(Debug)]
pub enum Stop {
    /// Final.
    Refusal(Refusal),
    /// Temporary.
    Deferral(Deferral),
}

/// A final refusal. The log gets all of it. A user whose mac is right gets [`Refusal::detail`]. Others get nothing.
#[derive(Debug)]
pub struct Refusal {
    reason: Reason,
    detail: String,
    step: Option<u64>,
}

impl Refusal {
    /// A refusal that uses up no TOTP step.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), step: None }
    }

    /// A refusal because the SSH signature is missing.
    pub fn unsigned() -> Self {
        Self::new(
            Reason::NoSignature,
            "this needs a signature under one of your SSH keys: mailsudo sign --ssh-key FILE.pub",
        )
    }

    /// The same, with the TOTP step that it uses up.
    pub fn with_step(mut self, step: Option<u64>) -> Self {
        self.step = step;
        self
    }

    /// The rule that refuses.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// What exactly is wrong, as text for the log and for an authenticated user.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The TOTP step that this refusal uses up.
    pub fn step(&self) -> Option<u64> {
        self.step
    }
}

impl From<Unreadable> for Refusal {
    fn from(unreadable: Unreadable) -> Self {
        let reason = match unreadable {
            Unreadable::NotARequest => Reason::NotARequest,
            Unreadable::Ambiguous => Reason::Ambiguous,
            Unreadable::UnsupportedVersion(_) => Reason::UnsupportedVersion,
            Unreadable::Malformed { .. } => Reason::Malformed,
        };
        Self::new(reason, unreadable.to_string())
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(refusal)
    }
}

/// A temporary failure: a part of the gateway is broken or busy. Only the log gets the detail.
#[derive(Debug)]
pub struct Deferral {
    /// Which part cannot serve: `configuration`, `decryption`, `ledger`, `syslog`, `sendmail`, `smtp`, `busy`, `usage`,
    /// `panic`.
    pub part: &'static str,
    /// What is wrong and what to do.
    pub detail: String,
}

impl Deferral {
    /// A deferral because of `part`.
    pub fn new(part: &'static str, detail: impl fmt::Display) -> Self {
        Self { part, detail: detail.to_string() }
    }
}

impl From<Deferral> for Stop {
    fn from(deferral: Deferral) -> Self {
        Self::Deferral(deferral)
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// Every rule that can refuse a message, one by one; `code` is its word in log, ledger and metrics.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The reason's word in log, ledger and metrics.
            pub fn code(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)*
                }
            }
        }
    };
}

reasons! {
    // Intake: before anything is known about the sender.
    /// The message is larger than `limits.message`, and was not parsed; or it has more parts than a mail may have.
    TooLarge = "too-large",
    /// It is not a mail message: no header could be read.
    NotMail = "not-mail",
    /// A gateway wrote it (its own header field is there): an answer would be a loop.
    Loop = "loop",
    /// `Auto-Submitted`, a `List-*` field, `Precedence` or the null sender: no person wrote it to the gateway.
    Automatic = "automatic",
    /// A header named in `intake.reject` matches.
    Rejected = "rejected",
    /// Not exactly one From field with exactly one address.
    BadFrom = "bad-from",
    /// The Subject does not match `intake.subject`.
    WrongSubject = "wrong-subject",
    /// The envelope recipient is not in `intake.recipients`.
    WrongRecipient = "wrong-recipient",
    // Sender authentication: at intake where all senders need it, after the mac where one user needs it.
    /// The sender has not logged in, and `require_sasl` requires it.
    NoLogin = "no-login",
    /// The login is not one of the user's.
    ForeignLogin = "foreign-login",
    /// The client's address is in none of the ranges in `clients`.
    ForeignClient = "foreign-client",
    /// No trusted result confirms the From domain.
    UnconfirmedFrom = "unconfirmed-from",
    /// More than one field has the trusted authserv-id, or one field contradicts itself.
    AmbiguousResults = "ambiguous-results",
    /// It is encrypted to the gateway, and cannot be decrypted.
    NotDecrypted = "not-decrypted",
    // The block: reader's rules 4 and 5.
    /// No start line.
    NotARequest = "not-a-request",
    /// More than one start line.
    Ambiguous = "ambiguous",
    /// Another version than 1.
    UnsupportedVersion = "unsupported-version",
    /// The block breaks a rule.
    Malformed = "malformed",
    // Identity: there is no reply, and nothing is recorded.
    /// Unknown user, or the mac is wrong under the user's key; the two look the same.
    BadMac = "bad-mac",
    /// Signed for another gateway.
    WrongGateway = "wrong-gateway",
    /// The user is disabled.
    Disabled = "disabled",
    /// The From field is not one of the user's.
    ForeignFrom = "foreign-from",
    /// It is on the ledger, and its reply was sent.
    Duplicate = "duplicate",
    /// Signed at or before the newest request that the ledger has pruned.
    Forgotten = "forgotten",
    // Recorded: the mac is right and the request is new.
    /// Signed before a database server took over that may have lost what was recorded.
    FailedOver = "failed-over",
    /// The gateway is locked down, and the user is not excepted.
    LockedDown = "locked-down",
    /// Too many wrong codes; the reply to the first request in a lockout says so.
    LockedOut = "locked-out",
    /// More requests of the user than `limits.per_user` allows; the reply to the first of them in a row says so.
    TooMany = "too-many",
    /// Older than `max_age`.
    Stale = "stale",
    /// Further in the future than `max_future`.
    Future = "future",
    /// An argument that reader's rule 7 refuses.
    BadValue = "bad-value",
    /// There is no SSH signature, and the user or the command requires one; or it is an approval of such a command.
    NoSignature = "no-signature",
    /// The SSH signature is by a key that is not the user's.
    ForeignSignature = "foreign-signature",
    /// The SSH signature does not hold, or the FIDO key that made it did not see the user as required.
    BadSignature = "bad-signature",
    /// The code is not the user's at the signed time, nor one step before or after it.
    BadCode = "bad-code",
    /// The right code, but another request has used its step.
    UsedCode = "used-code",
    /// No such command, or none for this user; both look the same.
    NotPermitted = "not-permitted",
    /// A parameter is missing, unknown, not of its type, or not for this user.
    BadParameter = "bad-parameter",
    /// The payload is missing, not unique, too large or not of its type; or the command takes none.
    BadPayload = "bad-payload",
    /// Too few users could approve it.
    NoApprover = "no-approver",
    /// A vote on a request that is unknown, not shown to this user, or not with this digest: one and the same answer.
    UnknownRequest = "unknown-request",
    /// The requester's own approval, or that of the same person under another name.
    OwnRequest = "own-request",
    /// The user has approved it already.
    AlreadyApproved = "already-approved",
    /// A vote on a request that is not pending any more.
    NotPending = "not-pending",
    /// Another run held an exclusive command until this request was too old.
    Waited = "waited",
    /// It was recorded as started, and its delivery was stopped for so long that it may not begin any more.
    NotBegun = "not-begun",
    /// sudo refused what the gateway permits: the sudo rules and the configured commands differ.
    SudoRules = "sudo-rules",
}

/// What a refusal does to the ledger, and whether the user gets a reply: docs/protocol.md, reader's rule 9.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effect {
    /// The request id is recorded.
    pub recorded: bool,
    /// It counts toward the user's lockout.
    pub counts: bool,
    /// The user gets a reply.
    pub answered: bool,
}

impl Reason {
    /// The row of rule 9's table. A used TOTP step is carried by the refusal itself; `LockedOut` gets one reply
    /// for each lockout, and `TooMany` one for each row of them, which the ledger decides.
    pub fn effect(self) -> Effect {
        let effect = |recorded, counts, answered| Effect { recorded, counts, answered };
        match self {
            Self::BadCode => effect(true, true, true),
            Self::LockedDown
            | Self::LockedOut
            | Self::TooMany
            | Self::FailedOver
            | Self::Stale
            | Self::Future
            | Self::BadValue
            | Self::NoSignature
            | Self::ForeignSignature
            | Self::BadSignature
            | Self::UsedCode
            | Self::NotPermitted
            | Self::BadParameter
            | Self::BadPayload
            | Self::NoApprover
            | Self::UnknownRequest
            | Self::OwnRequest
            | Self::AlreadyApproved
            | Self::NotPending
            | Self::Waited
            | Self::NotBegun
            | Self::SudoRules => effect(true, false, true),
            _ => effect(false, false, false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_word_of_its_own() {
        let mut codes: Vec<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Reason::ALL.len());
    }
}
