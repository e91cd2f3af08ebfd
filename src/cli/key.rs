//! `mailsudo key`: the user's own key files, each with the key's fingerprint.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;

use super::{print_json, qr};
use crate::client::{KeyFile, read_private};
use crate::protocol::GatewayName;

/// List your key files with their fingerprints, or show one as a QR code for a phone
///
/// The fingerprint names a key without revealing it. `mailsudo user show` and the page show the same one for the same key.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mailsudo key
  mailsudo key --qr --gateway berlin

The QR code holds the key file. Whoever sees it, or a picture of it, has the key.")]
pub(super) struct Keys {
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
            bail!("there is no key file in ~/.config/mailsudo; give one with --key FILE");
        }
        for file in &files {
            let fingerprint = qr::grouped(&file.key.fingerprint());
            outln!("{fingerprint}  {} at {}  {}", file.user, file.gateway, file.path.display())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
