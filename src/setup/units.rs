//! The timers of systemd that setup enables. In: their names. Out: the programs that enable and disable them.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::server::run;

/// Fetches the mailbox.
pub(super) const FETCH: &str = "mailsudo-fetch.timer";

/// Sends what other mail servers with the same ledger have left unsent.
pub(super) const RESUME: &str = "mailsudo-resume.timer";

/// Whether a timer is to be enabled: systemd runs here, and does not start it yet.
pub(super) fn is_missing(timer: &str) -> bool {
    Path::new("/run/systemd/system").exists()
        && !Path::new("/etc/systemd/system/timers.target.wants").join(timer).exists()
}

/// Enables and starts the timers.
///
/// # Errors
///
/// systemctl(1)'s own words.
pub(super) fn enable<T: AsRef<str>>(timers: &[T]) -> Result<()> {
    change("enable", timers)
}

/// Disables and stops the timers.
///
/// # Errors
///
/// systemctl(1)'s own words.
pub(super) fn disable<T: AsRef<str>>(timers: &[T]) -> Result<()> {
    change("disable", timers)
}

fn change<T: AsRef<str>>(how: &str, timers: &[T]) -> Result<()> {
    if timers.is_empty() {
        return Ok(());
    }
    let mut reload = Command::new("systemctl");
    reload.arg("daemon-reload");
    let mut change = Command::new("systemctl");
    change.args([how, "--now"]).args(timers.iter().map(AsRef::as_ref));
    [reload, change].into_iter().try_for_each(run)
}
