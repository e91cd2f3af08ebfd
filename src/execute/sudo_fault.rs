//! What a sysadmin reads in the log when sudo did not start a command: what is known, sudo's own words, and a remedy
//! where the words name one cause. In: why, and what sudo printed. Out: one text for the log.
//!
//! MUST: a remedy is a command that works as printed, by root, on a host where the cause is this one
//! (tests/system/sudo_faults.rs and remedies.rs run each).

use std::path::{Path, PathBuf};

use super::capture::Captured;
use crate::config::Settings;
use crate::limits::LOG_VALUE;
use crate::remedy::{Call, Remedy, SUDOERS};
use crate::system::unit;

/// The most characters of sudo's words in the log.
const WORDS: usize = 600;

/// What stands before them.
const PRINTED: &str = "; it printed: ";

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
const CAUSES: [(&str, Cause); 17] = [
    ("failed to run command", Cause::Flag("intercept")),
    ("Defaults log_input", Cause::Flag("log_input")),
    ("must have a tty", Cause::Flag("requiretty")),
    ("no new privileges", Cause::NoNewPrivileges),
    ("Account expired or PAM config lacks", Cause::Account),
    // Of sudo-rs with a capital letter.
    ("ccount validation failure", Cause::Account),
    ("assword expired", Cause::Account),
    ("PAM account management error", Cause::Account),
    ("password is required", Cause::Rule),
    ("authentication is required", Cause::Rule),
    ("is not allowed to execute", Cause::Rule),
    ("I'm sorry", Cause::Rule),
    ("no valid sudoers sources", Cause::Rule),
    ("invalid configuration", Cause::Rule),
    ("unknown user", Cause::Rule),
    ("unknown group", Cause::Rule),
    ("unable to resolve host", Cause::HostName),
];

/// The text for the log.
pub(super) fn explain(why: &str, output: &Captured, settings: &Settings) -> String {
    let printed = output.text();
    let words = printed.split_whitespace().collect::<Vec<_>>().join(" ");
    let advice = match remedy(&words, settings) {
        Some(remedy @ Remedy::SudoersFlag { flag, .. }) => format!(
            "; which line sets {flag}, and what to do if it is set for a command: {}; remedy, as root: {remedy}",
            Call::Check
        ),
        Some(remedy) => format!("; remedy, as root: {remedy}"),
        None if why.contains("cannot start it any more") => format!(
            "; usual cause: the host's own name cannot be resolved; remedy for that, as root: {}",
            remedy_of(Cause::HostName, settings)
        ),
        None => String::new(),
    };
    if words.is_empty() {
        return format!("{why}{advice}");
    }
    // The log cuts a value at its end, where the remedy is.
    let left = LOG_VALUE.saturating_sub(why.chars().count() + PRINTED.len() + advice.chars().count());
    let cut: String = words.chars().take(left.min(WORDS)).collect();
    format!("{why}{PRINTED}{cut}{advice}")
}

/// The remedy for what sudo's words mean, where they name one cause.
pub fn remedy(words: &str, settings: &Settings) -> Option<Remedy> {
    if let Some(remedy) = of_file(words) {
        return Some(remedy);
    }
    let (_, cause) = CAUSES.iter().find(|(said, _)| words.contains(said))?;
    Some(remedy_of(*cause, settings))
}

/// The remedy where sudo or sudo-rs does not read a file of sudoers(5) because of its owner or mode.
fn of_file(words: &str) -> Option<Remedy> {
    let file = |before: &str| {
        let (before, _) = words.split_once(before)?;
        let word = before.rsplit(' ').next()?;
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._~-".contains(c);
        (word.starts_with(SUDOERS) && word.chars().all(is_plain)).then(|| PathBuf::from(word))
    };
    let is_open =
        [" is world writable", " is group writable", " cannot be world-writable", " cannot be group-writable"];
    if let Some(path) = is_open.iter().find_map(|said| file(said)) {
        return Some(Remedy::Chmod("0440", path));
    }
    let is_owned = [" is owned by uid", " must be owned by root"];
    is_owned.iter().find_map(|said| file(said)).map(|path| Remedy::Chown("root".to_owned(), path))
}

fn remedy_of(cause: Cause, settings: &Settings) -> Remedy {
    let user = settings.service_user.clone();
    match cause {
        // It names the rule that is missing, or the file that overrides it.
        Cause::Rule => Call::Check.into(),
        // The service user cannot read where it is set. The end of sudo's own file comes after all that it includes.
        Cause::Flag(flag) => Remedy::SudoersFlag { user, flag, file: SUDOERS },
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_sudo_does_not_read_is_named() {
        let path = |name: &str| PathBuf::from(name);
        for (words, remedy) in [
            (
                "sudo: /etc/sudoers.d/mailsudo is world writable sudo: a password is required",
                Remedy::Chmod("0440", path("/etc/sudoers.d/mailsudo")),
            ),
            (
                "/etc/sudoers:4:2: /etc/sudoers.d/x cannot be world-writable",
                Remedy::Chmod("0440", path("/etc/sudoers.d/x")),
            ),
            (
                "sudo: invalid configuration: /etc/sudoers cannot be group-writable",
                Remedy::Chmod("0440", path("/etc/sudoers")),
            ),
            (
                "sudo: /etc/sudoers is owned by uid 1, should be 0",
                Remedy::Chown("root".to_owned(), path("/etc/sudoers")),
            ),
            (
                "sudo: invalid configuration: /etc/sudoers must be owned by root",
                Remedy::Chown("root".to_owned(), path("/etc/sudoers")),
            ),
        ] {
            assert_eq!(of_file(words), Some(remedy), "{words}");
        }
        // A command's own output, or a name with a line of its own in it, is no file.
        for words in ["/srv/x is world writable", "/etc/sudoers.d/$(id) is world writable", "is world writable"] {
            assert_eq!(of_file(words), None, "{words}");
        }
    }
}
