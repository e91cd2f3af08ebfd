//! `mailsudo user`: the people.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

use super::At;
use super::sign::address;
use crate::config::MailAddress;
use crate::enrol::{self, Fresh, NewUser};
use crate::protocol::UserName;

/// Enrol people
#[derive(Debug, Subcommand)]
pub(super) enum User {
    Add(Add),
}

/// Enrol somebody: make the secrets, write the gateway's two files and the user's key file
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mailsudo user add alice --address alice@example.com --role web")]
pub(super) struct Add {
    #[command(flatten)]
    at: At,

    /// The name for requests to use
    name: UserName,

    /// Where replies go, and the From that is accepted
    #[arg(long, value_parser = address)]
    address: MailAddress,

    /// A role; may be given more than once
    #[arg(long = "role", value_name = "ROLE", value_parser = role)]
    roles: Vec<String>,

    /// Where to write the key file for the user [default: GATEWAY.NAME.toml, here]
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

fn role(text: &str) -> Result<String, String> {
    match UserName::try_from(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("a role is 1 to 60 characters of a-z, 0-9, `.`, `_` and `-`".to_owned()),
    }
}

impl User {
    pub(super) fn run(self) -> Result<ExitCode> {
        match self {
            Self::Add(add) => add.run(),
        }
    }
}

impl Add {
    fn run(self) -> Result<ExitCode> {
        let gateway = self.at.open()?;
        let service = super::service_account(&gateway)?;
        let name = &gateway.settings().gateway;
        let key_file = self.key_file.unwrap_or_else(|| PathBuf::from(format!("{name}.{}.toml", self.name)));
        let fresh = Fresh::draw(&gateway, &self.name)?;
        let user = NewUser { name: self.name, address: self.address, roles: self.roles };
        enrol::write(&gateway, &user, &fresh, &key_file, service)?;
        println!("{} is enrolled at {name}.", user.name);
        println!("Key file, to be handed over and then deleted here: {}", key_file.display());
        println!("TOTP secret, for the user's phone and for nobody else: {}", fresh.totp.as_str());
        Ok(ExitCode::SUCCESS)
    }
}
