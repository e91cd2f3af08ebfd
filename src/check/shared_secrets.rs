//! TOTP secrets that more than one user has, here or at another gateway of this host. In: the secrets' files. Out: a
//! warning for each. A code that one of them types can then be used by another, and a step that is used up here is not
//! used up there.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::gateway::CheckedGateway;
use super::report::Report;
use crate::config::Gateway;
use crate::protocol::UserName;
use crate::remedy::Call;

/// A digest of the secret in a TOTP URL, so that no secret is kept. Base32 has no case, and `=` at its end means
/// nothing (RFC 4648).
fn digest(url: &str) -> Option<[u8; 32]> {
    let query = url.split_once('?')?.1;
    let secret = query.split('&').find_map(|pair| pair.strip_prefix("secret="))?;
    Some(Sha256::digest(secret.trim_end_matches('=').to_ascii_uppercase()).into())
}

/// The digests of the secrets of `users` at `gateway`; what cannot be read is another finding.
fn digests<'u>(
    gateway: &'u Gateway,
    users: impl Iterator<Item = UserName> + 'u,
) -> impl Iterator<Item = ([u8; 32], UserName)> + 'u {
    users.filter_map(|user| {
        let secrets = gateway.secrets(&user).ok().flatten()?;
        digest(&secrets.totp).map(|digest| (digest, user))
    })
}

/// Compares the users' secrets with each other, and with those of `others`.
pub(super) fn check(gateway: &CheckedGateway<'_>, others: &[Gateway], report: &mut Report) {
    let mut known: BTreeMap<[u8; 32], UserName> = BTreeMap::new();
    let names = gateway.users.iter().map(|(name, _)| name.clone());
    for (digest, user) in digests(gateway.gateway, names) {
        if let Some(first) = known.get(&digest) {
            let what = format!("{first} and {user} have the same TOTP secret: each can use the other's codes");
            report.warning("totp", what, Call::RotateTotp(user.to_string()));
        } else {
            known.insert(digest, user);
        }
    }
    for other in others {
        let Ok(names) = other.user_names() else {
            continue;
        };
        for (digest, user) in digests(other, names.into_iter()) {
            if let Some(first) = known.get(&digest) {
                let what = format!(
                    "{first} has the TOTP secret of {user} in {} too: a code that was used there can be used here",
                    other.path().display()
                );
                report.warning("totp", what, Call::RotateTotp(first.to_string()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_the_same_in_any_form() {
        let url = |secret: &str| digest(&format!("otpauth://totp/x?issuer=y&secret={secret}"));
        assert_eq!(url("JBSWY3DPEHPK3PXP"), url("jbswy3dpehpk3pxp===="));
        assert_ne!(url("JBSWY3DPEHPK3PXP"), url("JBSWY3DPEHPK3PXQ"));
        assert_eq!(digest("otpauth://totp/x?issuer=y"), None);
    }
}
