//! `mailsudo user rotate`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

use super::{DryRun, UserArg, default_key_file, known, say_key_file, show_totp};
use crate::cli::{service_account, when};
use crate::config::Span;
use crate::enrolment::{Enrolment, OVERLAP, fresh_key, fresh_totp};
use crate::system::clock::{Clock, SystemClock};

/// Give a user a new HMAC key or a new TOTP secret
///
/// With --hmac the old key stays valid for requests signed within the overlap, so there is time to send the new key file. With
/// --totp the old secret is invalid from the next message on, because a phone holds only one.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  mailsudo user rotate alice --hmac --overlap 2d
  mailsudo user rotate alice --totp")]
pub(in crate::cli) struct Rotate {
    #[command(flatten)]
    user_arg: UserArg,

    #[command(flatten)]
    which: Which,

    /// How long the old HMAC key stays valid [default: 7d]
    #[arg(long, value_name = "SPAN", value_parser = span, conflicts_with = "totp")]
    overlap: Option<Span>,

    /// Where to write the new key file [default: GATEWAY.NAME.toml, here]
    #[arg(long, value_name = "FILE", conflicts_with = "totp")]
    key_file: Option<PathBuf>,

    #[command(flatten)]
    dry_run: DryRun,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// The HMAC key
    #[arg(long)]
    hmac: bool,

    /// The TOTP secret
    #[arg(long)]
    totp: bool,
}

fn span(text: &str) -> Result<Span, String> {
    Span::try_from(text.to_owned())
}

impl Rotate {
    pub(super) fn run(self) -> Result<ExitCode> {
        let gateway = self.user_arg.gateway_arg.open()?;
        let name = self.user_arg.name;
        known(&gateway, &name)?;
        let which = if self.which.totp { "TOTP secret" } else { "HMAC key" };
        if self.dry_run.is_all(&format!("secrets.d/{name}.toml would have a new {which}"))? {
            return Ok(ExitCode::SUCCESS);
        }
        let enrolment = Enrolment::new(&gateway, service_account(&gateway)?);
        if self.which.totp {
            let totp = fresh_totp(&gateway, &name)?;
            enrolment.rotate_totp(&name, &totp)?;
            outln!("{name} has a new TOTP secret; the old one is no longer valid.")?;
            show_totp(&totp)?;
        } else {
            let key_file = self.key_file.unwrap_or_else(|| default_key_file(&gateway, &name));
            if key_file.exists() {
                bail!(
                    "{} exists already, and is not changed: move it away, or use --key-file FILE",
                    key_file.display()
                );
            }
            let until = SystemClock.now().plus(self.overlap.map_or(OVERLAP, Span::as_duration));
            let key = fresh_key()?;
            enrolment.rotate_key(&name, &key, until, &key_file)?;
            outln!("{name} has a new HMAC key; the old one is valid for requests signed up to {}.", when(until))?;
            say_key_file(&key_file, &key, &gateway)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
