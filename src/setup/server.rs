//! Programs that setup runs. In: a mail server, or a command line. Out: nothing, or what the program says.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::look::MailServer;
use super::{exim, opensmtpd};
use crate::limits::SETUP_PROGRAM;
use crate::system::child::output_within;
use crate::system::trace;

/// Makes a mail server read its files again.
///
/// # Errors
///
/// The mail server's own words.
pub(super) fn reload(server: MailServer, postfix: &Path) -> Result<()> {
    let commands = match server {
        MailServer::Postfix => {
            let postfix = crate::postfix::Postfix::open(postfix)?;
            if postfix.is_running() {
                postfix.reload()?;
            }
            return Ok(());
        }
        MailServer::Exim => exim::reload(),
        MailServer::Opensmtpd => opensmtpd::reload(),
        MailServer::Imap => return Ok(()),
    };
    commands.into_iter().try_for_each(run)
}

/// Runs a program that must succeed.
///
/// # Errors
///
/// What it says.
pub(super) fn run(command: Command) -> Result<()> {
    run_or(command, None)
}

/// The same for a program that has another exit status for success.
///
/// # Errors
///
/// What it says.
pub(super) fn run_or(mut command: Command, success: Option<i32>) -> Result<()> {
    trace::program(&command);
    let name = command.get_program().to_string_lossy().into_owned();
    let answer = output_within(&mut command, SETUP_PROGRAM).with_context(|| format!("cannot run {name}"))?;
    let answer = answer.with_context(|| format!("{name} did not end within {} s", SETUP_PROGRAM.as_secs()))?;
    if !answer.status.success() && (success.is_none() || answer.status.code() != success) {
        bail!("{name}: {}", [answer.err.trim(), answer.out.trim()].join(" ").trim());
    }
    Ok(())
}
