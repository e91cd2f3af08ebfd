//! Making a user: two fresh secrets, the two files of the gateway, and the one that the user takes away.

use std::path::Path;

use anyhow::{Context, Result};
use zeroize::Zeroizing;

use crate::accounts::Account;
use crate::config::{Gateway, MailAddress};
use crate::files::{Rights, create};
use crate::protocol::{Key, UserName};

/// What a new user is to be.
#[derive(Debug)]
pub struct NewUser {
    /// His name.
    pub name: UserName,
    /// Where replies go, and the only From accepted.
    pub address: MailAddress,
    /// His roles.
    pub roles: Vec<String>,
}

/// The secrets of one user, before they are written.
pub struct Fresh {
    key: Key,
    /// The otpauth URL for the user's phone.
    pub totp: Zeroizing<String>,
}

/// Bytes of a fresh TOTP secret: 160 bits (RFC 4226, requirement R6).
const TOTP_BYTES: usize = 20;

impl Fresh {
    /// Draws both secrets from the kernel.
    ///
    /// # Errors
    ///
    /// The kernel has no randomness to give.
    pub fn draw(gateway: &Gateway, user: &UserName) -> Result<Self> {
        let mut key = Zeroizing::new([0; 32]);
        let mut totp = Zeroizing::new([0; TOTP_BYTES]);
        getrandom::fill(&mut *key).context("the kernel gives no random bytes")?;
        getrandom::fill(&mut *totp).context("the kernel gives no random bytes")?;
        let secret = totp_rs::Secret::from(totp.to_vec());
        let base32 = Zeroizing::new(secret.to_base32());
        let gateway = &gateway.settings().gateway;
        let url = format!(
            "otpauth://totp/mailsudo%20{gateway}:{user}?secret={}&issuer=mailsudo%20{gateway}",
            base32.as_str()
        );
        Ok(Self { key: Key::from_bytes(*key), totp: Zeroizing::new(url) })
    }
}

/// Writes the gateway's two files and the user's key file, none over another. The secrets file comes last of the
/// gateway's: until it is there, the user is unknown.
///
/// # Errors
///
/// A file exists already or cannot be written; what was written before it stands, and is named.
pub fn write(
    gateway: &Gateway,
    user: &NewUser,
    fresh: &Fresh,
    key_file: &Path,
    service: Option<Account>,
) -> Result<()> {
    let name = &user.name;
    let file = |folder: &str| gateway.path().join(folder).join(format!("{name}.toml"));
    let hex = fresh.key.to_hex();
    let settings = gateway.settings();
    let roles: Vec<_> = user.roles.iter().map(|role| format!("\"{role}\"")).collect();
    let about = format!("address = \"{}\"\nroles   = [{}]\n", user.address, roles.join(", "));
    let secrets = Zeroizing::new(format!("hmac_key = \"{}\"\ntotp     = \"{}\"\n", hex.as_str(), fresh.totp.as_str()));
    let key = Zeroizing::new(format!(
        "gateway  = \"{}\"\naddress  = \"{}\"\nuser     = \"{name}\"\nhmac_key = \"{}\"\n",
        settings.gateway,
        settings.address,
        hex.as_str()
    ));
    // Root writes for the service group to read; anybody else is the service user, trying things out.
    let secret_rights = match service {
        Some(account) => Rights { mode: 0o640, owner: Some((0, account.gid)) },
        None => Rights { mode: 0o600, owner: None },
    };
    create(key_file, key.as_bytes(), Rights { mode: 0o600, owner: None })?;
    create(&file("users.d"), about.as_bytes(), Rights { mode: 0o644, owner: None })?;
    create(&file("secrets.d"), secrets.as_bytes(), secret_rights)
}
