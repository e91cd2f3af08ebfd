//! `mailsudo key import | list`: the user's key files.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::json;

use super::table::Table;
use super::{print_json, tell, when};
use crate::client::KeyFile;
use crate::client::keys::{Imported, import};
use crate::system::clock::{Clock, SystemClock};

/// Import and list your key files
#[derive(Debug, Subcommand)]
pub(super) enum Key {
    Import(Import),
    List(List),
}

/// Put a key file where `sign` and `verify` find it, with the right mode
///
/// The folder is ~/.config/mailsudo, and the file there is named after the gateway. It also says if this machine's clock is
/// behind: a request's time must be right to about 30 seconds.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mailsudo key import berlin.alice.toml && rm berlin.alice.toml")]
pub(super) struct Import {
    /// The key file from your gateway's sysadmin
    file: PathBuf,

    /// Replace the key file that is there for this gateway
    #[arg(long)]
    replace: bool,
}

/// List your key files
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mailsudo key list --json")]
pub(super) struct List {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Key {
    pub(super) fn run(self) -> Result<ExitCode> {
        match self {
            Self::Import(import) => import.run(),
            Self::List(list) => list.run(),
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
        let is_same = self.file.canonicalize().ok() == path.canonicalize().ok();
        if !is_same {
            noteln!("Delete the copy, it is a secret: rm {}", self.file.display())?;
        }
        noteln!("Then try it: mailsudo sign help --gateway {} --send --from {}", key.gateway, "YOUR-ADDRESS")?;
        Ok(ExitCode::SUCCESS)
    }
}

impl List {
    fn run(self) -> Result<ExitCode> {
        let files = KeyFile::all_with_paths()?;
        if self.json {
            let rows = files.iter().map(|(path, file)| match file {
                Ok(key) => json!({
                    "gateway": key.gateway.as_str(),
                    "user": key.user.as_str(),
                    "address": key.address.as_str(),
                    "written": key.written.map(|written| written.to_string()),
                    "file": path,
                }),
                Err(error) => json!({ "file": path, "error": format!("{error:#}") }),
            });
            return print_json(&rows.collect::<Vec<_>>());
        }
        let mut table = Table::new(["GATEWAY", "USER", "ADDRESS", "WRITTEN", "FILE"]);
        let mut status = ExitCode::SUCCESS;
        for (path, file) in &files {
            match file {
                Ok(key) => table.row([
                    key.gateway.to_string().into(),
                    key.user.to_string().into(),
                    key.address.to_string().into(),
                    key.written.map(when).unwrap_or_default().into(),
                    path.display().to_string().into(),
                ]),
                Err(error) => {
                    tell(format_args!("mailsudo: {error:#}"));
                    status = ExitCode::FAILURE;
                }
            }
        }
        table.print()?;
        if files.is_empty() {
            outln!(
                "There are no key files yet: `mailsudo key import FILE` imports the one that your gateway's sysadmin gave you."
            )?;
        }
        Ok(status)
    }
}
