//! A third factor, for users who have SSH keys: a signature under one of them. In: the request's `sig` lines and the
//! user's file. Out: who signed, or why it does not count. It is verified while the signed lines are still in memory,
//! and judged later, at its row in the table of reader's rule 9.

use crate::config::SshFactor;
use crate::error::{Reason, Refusal};
use crate::protocol::{BadSignature, Request, SshKey, SshSignature, Touch};

/// A signature that holds.
#[derive(Debug)]
pub struct SignedBy {
    fingerprint: String,
    kind: &'static str,
    is_previous: bool,
    touch: Option<Touch>,
}

impl SignedBy {
    /// The key's fingerprint.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The key's type.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// Whether the key is one from before a rotation.
    pub fn is_previous(&self) -> bool {
        self.is_previous
    }

    /// What the key says of its user, if it is a FIDO key.
    pub fn touch(&self) -> Option<Touch> {
        self.touch
    }
}

/// What was found of a request's SSH signature.
#[derive(Debug)]
pub(super) enum Signature {
    /// There is none.
    None,
    /// It holds.
    Right(SignedBy),
    /// It does not count.
    Wrong(Reason, String),
}

impl Signature {
    /// Verifies the signature of `request` under the user's keys. Nothing is done for a request without one.
    pub(super) fn of(request: &Request, ssh: &SshFactor) -> Self {
        let Some((base64, lines)) = request.ssh_signature() else {
            return Self::None;
        };
        let wrong = |bad: BadSignature| Self::Wrong(Reason::BadSignature, bad.to_string());
        let signature = match SshSignature::from_base64(base64) {
            Ok(signature) => signature,
            Err(bad) => return wrong(bad),
        };
        if signature.is_by_certificate() {
            return wrong(BadSignature::Certificate);
        }
        let Some((key, is_previous)) = ssh.keys_at(request.time()).find(|(key, _)| signature.names(key)) else {
            let detail = format!("the signature is by {}, which is not one of your keys here", signature.fingerprint());
            return Self::Wrong(Reason::ForeignSignature, detail);
        };
        match signature.verify(key, lines) {
            Err(bad) => wrong(bad),
            Ok(touch) if ssh.require_verification && !touch.is_some_and(|touch| touch.is_verified) => {
                Self::Wrong(Reason::BadSignature, unverified(key))
            }
            Ok(touch) => Self::Right(SignedBy { fingerprint: key.fingerprint(), kind: key.kind(), is_previous, touch }),
        }
    }

    /// Who signed; `None` where nobody did, or it does not count.
    pub(super) fn signed_by(&self) -> Option<&SignedBy> {
        match self {
            Self::Right(signed_by) => Some(signed_by),
            Self::None | Self::Wrong(..) => None,
        }
    }

    /// Refuses a signature that does not count, and where one is required, a request without one. Neither says anything
    /// about the code, and neither counts to the lockout: a thief of the HMAC key learns nothing, and locks no user
    /// out.
    pub(super) fn judge(&self, is_required: bool) -> Result<(), Refusal> {
        match self {
            Self::Wrong(reason, detail) => Err(Refusal::new(*reason, detail.clone())),
            Self::None if is_required => Err(Refusal::unsigned()),
            Self::None | Self::Right(_) => Ok(()),
        }
    }
}

fn unverified(key: &SshKey) -> String {
    if key.is_fido() {
        "the key did not verify you by PIN or fingerprint, which is required here: make it with -O verify-required"
            .to_owned()
    } else {
        format!("a signature by a {} key cannot show that you gave a PIN, which is required here", key.kind())
    }
}
