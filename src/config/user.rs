//! `users.d/NAME.toml` and `secrets.d/NAME.toml`: the data of a user, and the user's secrets.

use std::fmt;

use serde::Deserialize;
use zeroize::Zeroizing;

use super::{AddressRange, ConfigError, EncryptKind, MailAddress, SenderRequirements, Source, SshFactor, ssh};
use crate::protocol::{Key, Timestamp};

/// A user and the user's roles.
#[derive(Debug)]
pub struct User {
    /// The only address that replies go to.
    pub address: MailAddress,
    /// The accepted From addresses.
    pub from: Vec<MailAddress>,
    /// The roles. Without a role, only the built-in commands are allowed.
    pub roles: Vec<String>,
    /// Whether requests of the user are accepted at all.
    pub enabled: bool,
    /// The user's SASL logins.
    pub logins: Vec<String>,
    /// Whether mail must be submitted under one of them.
    pub require_sasl: bool,
    /// Whether a result of the gateway's `authserv_id` must confirm the From domain.
    pub require_authentication_results: bool,
    /// The address ranges that the mail may come from; none: any.
    pub clients: Vec<AddressRange>,
    /// The SSH keys that the user may sign with, and when the user must.
    pub ssh: SshFactor,
    /// How mail to the user is encrypted; `None`: it is not.
    pub encrypt: Option<EncryptKind>,
}

impl User {
    pub(super) fn parse(source: &Source<'_>) -> Result<Self, ConfigError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            address: MailAddress,
            from: Option<Vec<MailAddress>>,
            roles: Vec<String>,
            enabled: Option<bool>,
            #[serde(default)]
            logins: Vec<String>,
            #[serde(default)]
            require_sasl: bool,
            #[serde(default)]
            require_authentication_results: bool,
            #[serde(default)]
            clients: Vec<AddressRange>,
            #[serde(default)]
            ssh_keys: Vec<String>,
            require_signature: Option<bool>,
            require_verification: Option<bool>,
            previous: Option<ssh::Former>,
            encrypt: Option<EncryptKind>,
        }
        let file: File = source.parse()?;
        // An empty login must match no user: pipe(8) writes an empty login for a client that has not logged in.
        if file.logins.iter().any(String::is_empty) {
            return Err(source.error_at("logins", "logins holds an empty login, which no user has"));
        }
        let ssh = SshFactor {
            keys: ssh::keys(source, &file.ssh_keys)?,
            previous: ssh::previous(source, file.previous)?,
            require_signature: file.require_signature.unwrap_or(false),
            require_verification: file.require_verification.unwrap_or(false),
        };
        Ok(Self {
            from: file.from.unwrap_or_else(|| vec![file.address.clone()]),
            address: file.address,
            roles: file.roles,
            enabled: file.enabled.unwrap_or(true),
            logins: file.logins,
            require_sasl: file.require_sasl,
            require_authentication_results: file.require_authentication_results,
            clients: file.clients,
            ssh,
            encrypt: file.encrypt,
        })
    }

    /// What is required of the sender besides what `[intake]` requires.
    pub fn requirements(&self) -> SenderRequirements<'_> {
        SenderRequirements {
            sasl: self.require_sasl,
            logins: Some(&self.logins),
            authentication_results: self.require_authentication_results,
            clients: &self.clients,
        }
    }
}

/// A user's two factors. Wiped when dropped; shown by no `Debug` form.
pub struct Secrets {
    /// The current HMAC key.
    pub key: Key,
    /// The previous key, while a rotation overlaps.
    pub previous: Option<Previous>,
    /// The otpauth URL of the TOTP secret.
    pub totp: Zeroizing<String>,
}

/// The previous HMAC key.
pub struct Previous {
    /// The key.
    pub key: Key,
    /// The last signed time for which it is valid.
    pub until: Timestamp,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(..)")
    }
}

/// Secrets of no user. An unknown user is verified against them, so that it costs what a known user costs.
/// A mac that is right under this published key still belongs to no user; `authenticate` refuses it.
const DECOY: &str = r#"
hmac_key = "0000000000000000000000000000000000000000000000000000000000000000"
totp     = "otpauth://totp/mailsudo%20gateway:nobody?secret=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA&issuer=mailsudo%20gateway"
"#;

impl Secrets {
    pub(super) fn parse(source: &Source<'_>) -> Result<Self, ConfigError> {
        // Borrowed from the wiped text of the file, so that no copy of a secret remains.
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File<'t> {
            hmac_key: &'t str,
            totp: &'t str,
            #[serde(borrow)]
            previous: Option<Former<'t>>,
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Former<'t> {
            hmac_key: &'t str,
            until: toml::value::Datetime,
        }
        let file: File<'_> = source.parse_secret(
            "a secrets file holds hmac_key and totp, both quoted, and while a rotation overlaps [previous] with \
             hmac_key and until (mailsudo-users(5))",
        )?;
        let key = |hex| Key::from_hex(hex).map_err(|bad| source.error_at("hmac_key", format!("hmac_key: {bad}")));
        let previous = match file.previous {
            None => None,
            Some(former) => Some(Previous { key: key(former.hmac_key)?, until: source.until(&former.until)? }),
        };
        Ok(Self { key: key(file.hmac_key)?, previous, totp: Zeroizing::new(file.totp.to_owned()) })
    }

    /// The secrets of no user, made by the same work as those of a user, including the wiping of their text.
    pub fn decoy() -> Result<Self, ConfigError> {
        let text = Zeroizing::new(DECOY.to_owned());
        Self::parse(&Source { file: "decoy".as_ref(), text: &text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn secrets(text: &str) -> Result<Secrets, String> {
        Secrets::parse(&Source { file: Path::new("alice.toml"), text }).map_err(|error| error.to_string())
    }

    #[test]
    fn an_error_in_a_secrets_file_repeats_no_secret() {
        let key = "8f1d2c3b4a5968778695a4b3c2d1e0f00f1e2d3c4b5a69788796a5b4c3d2e1f0";
        let url = "otpauth://totp/x:alice?secret=JBSWY3DPEHPK3PXP";
        let good = format!("hmac_key = \"{key}\"\ntotp = \"{url}\"\n");
        assert!(secrets(&good).is_ok());
        let rotating = format!("{good}[previous]\nhmac_key = \"{key}\"\nuntil = 2026-12-01T00:00:00Z\n");
        let until = secrets(&rotating).expect("secrets").previous.map(|previous| previous.until);
        assert_eq!(until, Timestamp::parse("2026-12-01T00:00:00Z"));
        for bad in [
            format!("hmac_key = \"{key}\"\ntotp = {url}\n"),
            format!("hmac_key = {key}\n"),
            format!("hmac_key = \"{key}0\"\ntotp = \"{url}\"\n"),
            format!("{good}{key} = 1\n"),
            format!("{good}[previous]\nhmac_key = \"{key}\"\nuntil = 2026-12-01\n"),
        ] {
            let error = secrets(&bad).expect_err("an error");
            assert!(error.starts_with("alice.toml"), "{error}");
            assert!(!error.contains(&key[2..]) && !error.contains("JBSWY"), "{error}");
        }
        assert!(Secrets::decoy().is_ok());
        assert_eq!(format!("{:?}", secrets(&good)), "Ok(Secrets(..))");
    }

    #[test]
    fn a_users_from_is_his_address_unless_said() {
        let parse = |text| User::parse(&Source { file: Path::new("u"), text });
        let user = parse("address = \"a@x\"\nroles = []\n").expect("a user");
        assert_eq!(user.from.as_slice(), std::slice::from_ref(&user.address));
        assert!(user.enabled);
        assert!(user.logins.is_empty() && !user.requirements().sasl && user.requirements().clients.is_empty());
        let error = parse("address = \"a@x\"\nroles = []\nlogins = [\"\"]\n").map(|_| ()).expect_err("an empty login");
        assert_eq!(error.to_string(), "u:3: logins holds an empty login, which no user has");
        assert!(parse("address = \"a@x\"\n").is_err(), "roles must be given, if only as []");
    }
}
