//! `mailsudo key`: the user's own key files, each with the key's fingerprint; and a key file put in its place.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use serde_json::json;

use super::table::Table;
use super::{print_json, qr, tell, when};
use crate::client::keys::{Imported, import};
use crate::client::{KeyFile, read_private};
use crate::protocol::GatewayName;
use crate::system::clock::{Clock, SystemClock};

/// List your key files with their fingerprints, or show one as a QR code for a phone
///
/// The fingerprint names a key without revealing it. `mailsudo user show` and the page show the same one for the same
/// key.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  mailsudo key
  mailsudo key import berlin.alice.toml
  mailsudo key --qr --gateway berlin

The QR code holds the key file. Whoever sees it, or a picture of it, has the
key."
)]
pub(super) struct Keys {
    #[command(subcommand)]
    command: Option<KeyCommand>,

    #[command(flatten)]
    list: List,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    Import(Import),
    List(List),
}

/// Put a key file where `sign` and `verify` find it, with the right mode
///
/// The folder is ~/.config/mailsudo, and the file there is named after the gateway. It also says if this machine's
/// clock is behind: a request's time must be right to about 30 seconds.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mailsudo key import berlin.alice.toml && rm berlin.alice.toml")]
struct Import {
    /// The key file from your gateway's sysadmin
    file: PathBuf,

    /// Replace the key file that is there for this gateway
    #[arg(long)]
    replace: bool,
}

/// List your key files with their fingerprints, or show one as a QR code for a phone
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mailsudo key list --json")]
struct List {
    /// The key file [default: those in ~/.config/mailsudo]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,

    /// Only the key file of this gateway
    #[arg(long, value_name = "NAME", conflicts_with = "key")]
    gateway: Option<GatewayName>,

    /// Show the key file as a QR code, which the page on a phone reads
    #[arg(long)]
    qr: bool,

    /// Print JSON
    #[arg(long, conflicts_with = "qr")]
    json: bool,
}

impl Keys {
    pub(super) fn run(self) -> Result<ExitCode> {
        match self.command {
            Some(KeyCommand::Import(import)) => import.run(),
            Some(KeyCommand::List(list)) => list.run(),
            None => self.list.run(),
        }
    }
}

impl Import {
    fn run(self) -> Result<ExitCode> {
        let now = SystemClock.now();
        let Imported { key, path, is_new } = import(&self.file, self.replace)?;
        let what = if is_new { "is imported" } else { "is there already" };
        noteln!("The key of {} for {} ({}) {what}: {}", key.user, key.gateway, key.address, path.display())?;
        if let Some(written) = key.written.filter(|written| *written > now) {
            tell(format_args!(
                "This machine's clock says {}, which is before the key was made ({}): set it right, or every request is refused.",
                when(now),
                when(written)
            ));
        }
        if self.file.canonicalize().ok() != path.canonicalize().ok() {
            noteln!("Delete the copy, it is a secret: rm {}", self.file.display())?;
        }
        noteln!("Then try it: mailsudo sign help --gateway {} --send --from YOUR-ADDRESS", key.gateway)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl List {
    fn run(self) -> Result<ExitCode> {
        if self.qr {
            let file = KeyFile::choose(self.key.as_deref(), self.gateway.as_ref())?;
            qr::show(&read_private(&file.path)?)?;
            outln!("{} at {}, fingerprint {}", file.user, file.gateway, qr::grouped(&file.key.fingerprint()))?;
            return Ok(ExitCode::SUCCESS);
        }
        let files = match &self.key {
            Some(path) => vec![KeyFile::read(path)?],
            None => KeyFile::all()?,
        };
        let files: Vec<_> =
            files.into_iter().filter(|file| self.gateway.as_ref().is_none_or(|name| file.gateway == *name)).collect();
        if self.json {
            let rows = files.iter().map(|file| {
                json!({
                    "gateway": file.gateway.as_str(),
                    "address": file.address.as_str(),
                    "user": file.user.as_str(),
                    "fingerprint": file.key.fingerprint(),
                    "file": file.path.display().to_string(),
                })
            });
            return print_json(&rows.collect::<Vec<_>>());
        }
        if files.is_empty() {
            bail!(
                "there is no key file in ~/.config/mailsudo: `mailsudo key import FILE` puts it there; or give one with --key FILE"
            );
        }
        let mut table = Table::new(["FINGERPRINT", "USER", "GATEWAY", "ADDRESS", "FILE"]);
        for file in &files {
            table.row([
                qr::grouped(&file.key.fingerprint()).into(),
                file.user.to_string().into(),
                file.gateway.to_string().into(),
                file.address.to_string().into(),
                file.path.display().to_string().into(),
            ]);
        }
        table.print()?;
        Ok(ExitCode::SUCCESS)
    }
}
