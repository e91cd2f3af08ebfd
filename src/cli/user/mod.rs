//! `mailsudo user`: enrolment and changes of users. One file for each subcommand.

mod add;
mod change;
mod rotate;
mod show;
mod subcommands;
mod test;
mod transfer;

pub(super) use add::role;
pub(super) use subcommands::User;

use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use super::confirm::DryRun;
use super::{GatewayArg, complete, qr};
use crate::client;
use crate::config::{Gateway, User as Known};
use crate::protocol::{Key, SshKey, UserName};
use crate::remedy::Call;

/// The gateway, and one of its users.
#[derive(Debug, Args)]
struct UserArg {
    #[command(flatten)]
    gateway_arg: GatewayArg,

    /// The user's name
    #[arg(add = ArgValueCompleter::new(complete::users))]
    name: UserName,
}

/// The user `name`, who must exist.
pub(super) fn known(gateway: &Gateway, name: &UserName) -> Result<Known> {
    match gateway.user(name) {
        Err(error) if error.is_missing() => {
            Err(error).with_context(|| format!("there is no user {name}; the users: {}", Call::ListUsers))
        }
        other => Ok(other?),
    }
}

/// The SSH keys in the `.pub` files `paths`.
fn ssh_keys(paths: &[PathBuf]) -> Result<Vec<SshKey>> {
    let mut keys: Vec<SshKey> = Vec::new();
    for path in paths {
        let key = client::ssh::public_key(path)?;
        if keys.contains(&key) {
            bail!("{} holds a key that another --ssh-key gives already", path.display());
        }
        keys.push(key);
    }
    Ok(keys)
}

/// The default path of a key file: in the current folder, named after gateway and user.
fn default_key_file(gateway: &Gateway, name: &UserName) -> PathBuf {
    PathBuf::from(format!("{}.{name}.toml", gateway.settings().gateway))
}

/// Shows a TOTP secret, on a terminal as a QR code too, for a phone to read off the screen.
pub(super) fn show_totp(url: &str) -> Result<()> {
    if std::io::stdout().is_terminal() {
        qr::show(url)?;
    }
    outln!("TOTP secret, for the user's phone only: {url}")?;
    Ok(())
}

pub(super) fn say_key_file(path: &std::path::Path, key: &Key, gateway: &Gateway) -> Result<()> {
    outln!(
        "Key file: {}, fingerprint {}. Give it to the user in a way that you trust, as ~/.config/mailsudo/{}.toml, then delete it here.",
        path.display(),
        qr::grouped(&key.fingerprint()),
        gateway.settings().gateway
    )?;
    Ok(())
}
