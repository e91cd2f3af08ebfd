//! `mailsudo log export`: the events of the audit chain as JSON lines, with a signed manifest.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::moment::moment;
use super::stdout::escaped;
use super::{GatewayArg, open_ledger};
use crate::check::count as number_of;
use crate::ledger::{AuditEvent, LedgerError};
use crate::ordered;
use crate::protocol::Timestamp;
use crate::system::clock::{Clock, SystemClock};
use crate::system::files::{Rights, create};

/// The namespace of the signature (ssh-keygen(1), -Y sign).
const NAMESPACE: &str = "mailsudo-export";

/// Write the events of the audit chain as JSON lines, with a manifest that an SSH key signs
///
/// Writes FILE, FILE.manifest.json, which has the SHA-256 of FILE and the heads before and after its events, and
/// FILE.manifest.json.sig. docs/audit.md says how to check them.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mailsudo log export --since 30d --sign /root/.ssh/audit audit.jsonl")]
pub(super) struct Export {
    #[command(flatten)]
    gateway_arg: GatewayArg,

    /// From the first event since this time on, as in `mailsudo log --since` [default: all]
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    since: Option<Timestamp>,

    /// Sign the manifest with this SSH key
    #[arg(long, value_name = "KEY")]
    sign: Option<PathBuf>,

    /// The new file
    file: PathBuf,
}

impl Export {
    pub(super) fn run(self) -> Result<ExitCode> {
        let gateway = self.gateway_arg.open()?;
        let manifest = with_ending(&self.file, ".manifest.json");
        for path in [&self.file, &manifest, &with_ending(&manifest, ".sig")] {
            if path.exists() {
                bail!("{} exists already; name a new file", path.display());
            }
        }
        let private = || Rights { mode: 0o600, owner: None };
        create(&self.file, b"", private())?;
        let ledger = open_ledger(&gateway)?;
        let unwritten = || format!("cannot write {}", self.file.display());
        let mut out = BufWriter::new(File::create(&self.file).with_context(unwritten)?);
        let (mut digest, mut count, mut first, mut last) = (Sha256::new(), 0_u64, None, None);
        // A pruning in between would move the beginning.
        ledger.freeze()?;
        let mut before = ledger.checkpoint()?.map(|begins| begins.head);
        ledger.events(0, &mut |row| {
            if first.is_none() && self.since.is_some_and(|since| row.at < since) {
                before = Some(row.head);
                return Ok(());
            }
            let event = AuditEvent::parse(&row.event).ok_or(LedgerError::Corrupt("event"))?;
            let values = event.values().map(|(key, value)| (key.word().to_owned(), value.into()));
            let values: serde_json::Map<_, _> = ordered::collect(values);
            let line = json!({ "number": row.number, "event": values, "head": row.head.to_string() });
            let line = format!("{}\n", escaped(&line.to_string()));
            digest.update(&line);
            out.write_all(line.as_bytes()).map_err(|error| LedgerError::Backend(error.to_string()))?;
            first = first.or(Some(row.number));
            last = Some((row.number, row.head));
            count += 1;
            Ok(())
        })?;
        ledger.thaw()?;
        out.flush().and_then(|()| out.get_ref().sync_all()).with_context(unwritten)?;
        let text = json!({
            "manifest": 1,
            "gateway": gateway.settings().gateway.as_str(),
            "made": SystemClock.now().to_string(),
            "file": self.file.file_name().map(|name| name.to_string_lossy()),
            "sha256": hex::encode(digest.finalize()),
            "events": count,
            "first": first,
            "last": last.map(|(number, _)| number),
            "head_before": before.map(|head| head.to_string()),
            "head": last.map(|(_, head)| head.to_string()),
        });
        create(&manifest, format!("{text}\n").as_bytes(), private())?;
        noteln!("{}: {}.", self.file.display(), number_of(count, "event"))?;
        if let Some(key) = &self.sign {
            sign(&manifest, key)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// ssh-keygen asks for the key's passphrase on the terminal, and writes the signature beside the file.
fn sign(file: &Path, key: &Path) -> Result<()> {
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-Y", "sign", "-n", NAMESPACE, "-f"]).arg(key).arg(file);
    let status = command.status().context("cannot start ssh-keygen; it is in the package openssh-client")?;
    if !status.success() {
        bail!("ssh-keygen did not sign {}: the files are written, and unsigned", file.display());
    }
    Ok(())
}
