//! What approvers agree to, as one number: the digest of account, argument vector and payload of one request. In: the
//! finished command. Out: a [`RunDigest`]. Two commands have the same digest only if every byte of them is the same.

use std::fmt;

use sha2::{Digest, Sha256};

use super::mac::RequestId;
use super::name::GatewayName;
use super::payload::PayloadDigest;

/// The first line of what is digested: it keeps this digest apart from others, and has the version.
const START: &str = "mailsudo-run-1\n";

/// The SHA-256 over gateway, request, account, argument vector and payload (docs/protocol.md, Approval).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunDigest([u8; 32]);

impl RunDigest {
    /// The digest of one run of `argv` as `run_as` (`user` or `user:group`).
    pub fn of(
        gateway: &GatewayName,
        request: &RequestId,
        run_as: &str,
        argv: &[String],
        payload: Option<PayloadDigest>,
    ) -> Self {
        let mut digest = Sha256::new();
        digest.update(START);
        digest.update(format!("{gateway}\n{request}\n{run_as}\n{}\n", argv.len()));
        for argument in argv {
            digest.update(format!("{}\n", argument.len()));
            digest.update(argument);
            digest.update("\n");
        }
        digest.update(payload.map_or_else(|| "-".to_owned(), |payload| payload.to_string()));
        digest.update("\n");
        Self(digest.finalize().into())
    }

    /// The digest from its 32 bytes, as the ledger stores it.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads 64 lower-case hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        (!text.bytes().any(|byte| byte.is_ascii_uppercase())).then_some(Self(bytes))
    }
}

impl fmt::Display for RunDigest {
    /// All 64 hex digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_cannot_be_shifted_into_each_other() {
        let gateway = GatewayName::try_from("berlin").expect("a name");
        let id = RequestId::from_bytes([7; 32]);
        let digest = |run_as: &str, argv: &[&str], payload: Option<&[u8]>| {
            let argv: Vec<_> = argv.iter().map(|&argument| argument.to_owned()).collect();
            RunDigest::of(&gateway, &id, run_as, &argv, payload.map(PayloadDigest::of))
        };
        let all = [
            digest("root", &["/bin/x", "a", "b"], None),
            digest("root", &["/bin/x", "a b"], None),
            digest("root", &["/bin/x", "ab", ""], None),
            digest("root", &["/bin/x", "a\n1\nb"], None),
            digest("root:adm", &["/bin/x", "a", "b"], None),
            digest("root", &["/bin/x", "a", "b"], Some(b"")),
            digest("root", &["/bin/x", "a", "b"], Some(b"x")),
        ];
        for (at, one) in all.iter().enumerate() {
            assert_eq!(all.iter().position(|other| other == one), Some(at));
            assert_eq!(RunDigest::parse(&one.to_string()), Some(*one));
        }
    }
}
