//! What a sysadmin reads in the log when sudo did not start a command: what is known, sudo's own words, and a remedy
//! where the words name one cause. In: why, and what sudo printed. Out: one text for the log.
//!
//! MUST: a remedy is a command that works as printed, by root, on a host where the cause is this one
//! (tests/system/sudo_faults.rs and remedies.rs run each).

use std::path::Path;

use super::capture::Captured;
use crate::config::Settings;
use crate::remedy::{Call, LAST_SUDOERS_FILE, Remedy};
use crate::system::unit;

/// The most characters of sudo's words in the log.
const WORDS: usize = 600;

/// What keeps sudo from starting a command.
#[derive(Clone, Copy)]
enum Cause {
    /// No rule permits it, or a later rule overrides the one that does.
    Rule,
    /// A `Defaults` flag that the service user must be excepted from.
    Flag(&'static str),
    /// no_new_privs (prctl(2)) was set by a service manager.
    NoNewPrivileges,
    /// PAM does not accept the account: it has expired, or a PAM module refuses it. sudo has the same words for both.
    Account,
    /// The host's own name cannot be resolved.
    HostName,
}

/// Messages of sudo (lib/, plugins/sudoers/auth/pam.c) and sudo-rs, and what they mean. The first match counts.
const CAUSES: [(&str, Cause); 13] = [
    ("failed to run command", Cause::Flag("intercept")),
    ("Defaults log_input", Cause::Flag("log_input")),
    ("must have a tty", Cause::Flag("requiretty")),
    ("no new privileges", Cause::NoNewPrivileges),
    ("Account expired or PAM config lacks", Cause::Account),
    ("account validation failure", Cause::Account),
    ("assword expired", Cause::Account),
    ("PAM account management error", Cause::Account),
    ("password is required", Cause::Rule),
    ("authentication is required", Cause::Rule),
    ("is not allowed to execute", Cause::Rule),
    ("I'm sorry", Cause::Rule),
    ("unable to resolve host", Cause::HostName),
];

/// The text for the log.
pub(super) fn explain(why: &str, output: &Captured, settings: &Settings) -> String {
    let printed = output.text();
    let words = printed.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut text = why.to_owned();
    if !words.is_empty() {
        let cut: String = words.chars().take(WORDS).collect();
        text.push_str(&format!("; it printed: {cut}"));
    }
    match remedy(&words, settings) {
        Some(remedy) => text.push_str(&format!("; remedy, as root: {remedy}")),
        None if why.contains("cannot start it any more") => text.push_str(&format!(
            "; usual cause: the host's own name cannot be resolved; remedy for that, as root: {}",
            remedy_of(Cause::HostName, settings)
        )),
        None => {}
    }
    text
}

/// The remedy for what sudo's words mean, where they name one cause.
pub fn remedy(words: &str, settings: &Settings) -> Option<Remedy> {
    let (_, cause) = CAUSES.iter().find(|(said, _)| words.contains(said))?;
    Some(remedy_of(*cause, settings))
}

fn remedy_of(cause: Cause, settings: &Settings) -> Remedy {
    let user = settings.service_user.clone();
    match cause {
        // It names the rule that is missing, or the file that overrides it.
        Cause::Rule => Call::Check.into(),
        Cause::Flag(flag) => Remedy::SudoersFlag { user, flag, file: LAST_SUDOERS_FILE },
        Cause::NoNewPrivileges => new_privileges(Path::new("/proc/self")),
        Cause::Account => Remedy::NeverExpire(user),
        Cause::HostName => Remedy::HostName(host_name()),
    }
}

/// The remedy where a program that the process with this folder in /proc starts cannot gain privileges.
pub fn new_privileges(process: &Path) -> Remedy {
    match unit::of(process) {
        Some(unit) => Remedy::NewPrivileges(unit),
        None => {
            "start the mail server without no_new_privs (NoNewPrivileges= of systemd, --no-new-privs of setpriv)".into()
        }
    }
}

/// The host's own name (uname(2)).
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
