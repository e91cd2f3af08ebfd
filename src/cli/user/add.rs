//! `mailsudo user add`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

use super::{UserArg, default_key_file, say_key_file, show_totp};
use crate::cli::{service_account, sign::address};
use crate::config::{Command, Gateway, MailAddress};
use crate::enrolment::{Enrolment, NewUser, fresh_key, fresh_totp};
use crate::protocol::UserName;

/// Enrol a user: make the secrets, write the gateway's two files and the user's key file
///
/// Prints the TOTP secret once, on a terminal as a QR code for the user's phone too. It overwrites no existing file.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mailsudo user add alice --address alice@example.com --role web")]
pub(in crate::cli) struct Add {
    #[command(flatten)]
    user_arg: UserArg,

    /// Where replies go, and the From that is accepted
    #[arg(long, value_parser = address)]
    address: MailAddress,

    /// A role; may be given more than once
    #[arg(long = "role", value_name = "ROLE", value_parser = role)]
    roles: Vec<String>,

    /// Where to write the key file for the user [default: GATEWAY.NAME.toml, here]
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,

    /// Accept a role that no command allows yet
    #[arg(long)]
    allow_unknown_role: bool,

    /// Print what would be written, and write nothing
    #[arg(long)]
    dry_run: bool,
}

fn role(text: &str) -> Result<String, String> {
    match UserName::try_from(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("a role is 1 to 60 characters of a-z, 0-9, `.`, `_` and `-`".to_owned()),
    }
}

/// Refuses a role that no command allows, where there are commands: most often it is a typing error.
fn check_roles(gateway: &Gateway, roles: &[String]) -> Result<()> {
    let commands = super::super::commands(gateway)?;
    let known: BTreeSet<&str> = commands.iter().flat_map(Command::roles).collect();
    let unknown = roles.iter().find(|role| !known.contains(role.as_str()));
    match unknown {
        Some(role) if !known.is_empty() => bail!(
            "no command allows the role {role}; known roles: {}; --allow-unknown-role accepts it",
            known.into_iter().collect::<Vec<_>>().join(", ")
        ),
        _ => Ok(()),
    }
}

impl Add {
    pub(super) fn run(self) -> Result<ExitCode> {
        let gateway = self.user_arg.gateway_arg.open()?;
        let enrolment = Enrolment::new(&gateway, service_account(&gateway)?);
        let name = self.user_arg.name;
        let key_file = self.key_file.unwrap_or_else(|| default_key_file(&gateway, &name));
        if !self.allow_unknown_role {
            check_roles(&gateway, &self.roles)?;
        }
        if self.dry_run {
            for path in [key_file, enrolment.file("users.d", &name), enrolment.file("secrets.d", &name)] {
                let fate = if path.exists() { "exists already" } else { "would be written" };
                outln!("{} {fate}", path.display())?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        if enrolment.file("users.d", &name).exists() {
            bail!(
                "{name} exists already: `mailsudo user rotate {name}` makes new secrets, `mailsudo user show {name}` shows the rest"
            );
        }
        if key_file.exists() {
            bail!("{} exists already, and is not changed: move it away, or use --key-file FILE", key_file.display());
        }
        let (key, totp) = (fresh_key()?, fresh_totp(&gateway, &name)?);
        let user = NewUser { name, address: self.address, roles: self.roles };
        enrolment.add(&user, &key, &totp, &key_file)?;
        outln!("{} is enrolled at {}.", user.name, gateway.settings().gateway)?;
        show_totp(&totp)?;
        say_key_file(&key_file, &gateway)?;
        Ok(ExitCode::SUCCESS)
    }
}
