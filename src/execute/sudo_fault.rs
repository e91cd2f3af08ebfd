//! What a sysadmin reads in the log when sudo did not start a command: what is known, sudo's own words, and a remedy where the
//! words name one cause. In: why, and what sudo printed. Out: one text for the log.
//!
//! MUST: a remedy is a command that works as printed, by root, on a host where the cause is this one
//! (tests/system/sudo_faults.rs runs each).

use super::capture::Captured;
use crate::config::Settings;

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
    /// PAM does not accept the account.
    Account,
    /// The host's own name cannot be resolved.
    HostName,
}

/// Messages of sudo and sudo-rs, and what they mean. The first match counts.
const CAUSES: [(&str, Cause); 12] = [
    ("failed to run command", Cause::Flag("intercept")),
    ("Defaults log_input", Cause::Flag("log_input")),
    ("must have a tty", Cause::Flag("requiretty")),
    ("no new privileges", Cause::NoNewPrivileges),
    ("account validation failure", Cause::Account),
    ("account has expired", Cause::Account),
    ("account or password is expired", Cause::Account),
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
    // The usual cause of a slow start is the look-up of the host's own name.
    let slow = || why.contains("cannot start it any more").then(|| remedy_of(Cause::HostName, settings));
    if let Some(remedy) = remedy(&words, settings).or_else(slow) {
        text.push_str(&format!("; remedy, as root: {remedy}"));
    }
    text
}

/// The remedy for what sudo's words mean, where they name one cause: a command for root.
pub fn remedy(words: &str, settings: &Settings) -> Option<String> {
    let (_, cause) = CAUSES.iter().find(|(said, _)| words.contains(said))?;
    Some(remedy_of(*cause, settings))
}

fn remedy_of(cause: Cause, settings: &Settings) -> String {
    let program = settings.execution.mailsudo.display();
    let user = &settings.service_user;
    match cause {
        Cause::Rule => format!("{program} check -q names the rule that is missing, or the file that overrides it"),
        // The last setting counts (sudoers(5)), and files are read in the order of their names.
        Cause::Flag(flag) => format!(
            "echo 'Defaults:{user} !{flag}' >>/etc/sudoers.d/zzz-{user}; chmod 0440 /etc/sudoers.d/zzz-{user}; visudo -c"
        ),
        Cause::NoNewPrivileges => {
            "set NoNewPrivileges=no in the service of the mail server: systemctl edit postfix".to_owned()
        }
        Cause::Account => format!("chage -l {user}; passwd -S {user}"),
        Cause::HostName => {
            "echo \"127.0.1.1 $(hostname)\" >>/etc/hosts, if the host's own name cannot be resolved".to_owned()
        }
    }
}
