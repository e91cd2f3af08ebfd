//! The mail server's side of a plan: what leads the address to the gateway. In: the gateway's planned settings. Out: changes.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::look::MailServer;
use super::{exim, opensmtpd};
use crate::limits::{POSTFIX_MARGIN, SETUP_PROGRAM};
use crate::system::child::output_within;
use crate::system::trace;

/// The gateway to connect.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'s> {
    /// Its address.
    pub(super) address: &'s str,
    /// The account that runs `deliver`.
    pub(super) service_user: &'s str,
    /// The program.
    pub(super) program: &'s str,
    /// Its folder, where that is not the default one.
    pub(super) config: Option<&'s str>,
    /// The longest time limit of a command.
    pub(super) longest: Duration,
}

impl Wanted<'_> {
    /// The local part and the domain of the address.
    pub(super) fn parts(&self) -> (&str, &str) {
        self.address.rsplit_once('@').unwrap_or((self.address, ""))
    }

    /// How long a delivery may take.
    pub(super) fn limit(&self) -> Duration {
        self.longest + POSTFIX_MARGIN
    }

    #[cfg(test)]
    pub(super) fn example() -> Wanted<'static> {
        Wanted {
            address: "root-ops@mail.example",
            service_user: "ms",
            program: "/opt/mailsudo",
            config: None,
            longest: Duration::from_mins(5),
        }
    }
}

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
pub(super) fn run(mut command: Command) -> Result<()> {
    trace::program(&command);
    let name = command.get_program().to_string_lossy().into_owned();
    let answer = output_within(&mut command, SETUP_PROGRAM).with_context(|| format!("cannot run {name}"))?;
    let answer = answer.with_context(|| format!("{name} did not end within {} s", SETUP_PROGRAM.as_secs()))?;
    if !answer.status.success() {
        bail!("{name}: {}", [answer.err.trim(), answer.out.trim()].join(" ").trim());
    }
    Ok(())
}
