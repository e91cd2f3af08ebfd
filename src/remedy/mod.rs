//! What a sysadmin can do about a fault. Every remedy that the program prints is made here, so that each kind can be
//! tried (tests/system/remedies.rs). In: the kind, with its names and paths. Out: one line.
//!
//! MUST: a remedy that is a command works as printed in a shell of root, with the full path of each program. What no
//! single command does is [`Remedy::Words`].

mod call;

use std::fmt;
use std::path::{Path, PathBuf};

pub use call::Call;

use call::quoted;

/// Where programs are looked for, in this order.
const FOLDERS: [&str; 4] = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"];

/// The file of sudoers for exceptions. sudo reads files in the order of their bytes, and `~` comes after all letters:
/// so this one counts, whatever a file before it sets for all users (sudoers(5); a setting for one user does not
/// override a later one for all, docs/measurements.md#a-setting-of-defaults-for-one-user).
pub const LAST_SUDOERS_FILE: &str = "/etc/sudoers.d/~mailsudo";

/// sudo's own file. A line at its end comes after all files that it includes.
pub const SUDOERS: &str = "/etc/sudoers";

/// What to do about a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// Nothing, or what no single command does.
    Words(String),
    /// A subcommand of mailsudo.
    Call(Call),
    /// chmod(1).
    Chmod(&'static str, PathBuf),
    /// chown(1).
    Chown(String, PathBuf),
    /// chgrp(1) and chmod(1), for what only the service user and root may read.
    ForGroup(String, &'static str, PathBuf),
    /// useradd(8) for a service account.
    AddAccount(String),
    /// apt(8), where there is one.
    Install(&'static str),
    /// apt(8) for a package of which a file has been changed.
    Reinstall(&'static str),
    /// Starts a service.
    Start(&'static str),
    /// Lets systemd keep the clock right.
    SynchroniseClock,
    /// A line in hosts(5) for the host's own name.
    HostName(String),
    /// Sets a parameter of main.cf to a value.
    Postconf(String, String),
    /// Starts Postfix.
    StartPostfix,
    /// Excepts a user from a flag of `Defaults` in sudoers(5).
    SudoersFlag {
        /// The user.
        user: String,
        /// The flag.
        flag: &'static str,
        /// Where: [`LAST_SUDOERS_FILE`], or [`SUDOERS`] if the flag is set there, below the line that includes the
        /// former.
        file: &'static str,
    },
    /// Makes a service unit of systemd let its programs gain privileges.
    NewPrivileges(String),
    /// Makes an account never expire, and shows its state.
    NeverExpire(String),
    /// Mounts a file system again, with set-user-ID programs.
    AllowSetuid(PathBuf),
}

impl Remedy {
    /// Whether it is a command, and not an explanation.
    pub fn is_command(&self) -> bool {
        !matches!(self, Self::Words(_))
    }

    /// One of each kind, for tests: for a user, a command and an account of these names.
    pub fn each_kind(user: &str, command: &str, account: &str, path: &Path) -> Vec<Self> {
        let (user, command, account, path) = (user.to_owned(), command.to_owned(), account.to_owned(), path.to_owned());
        let calls = [
            Call::Check,
            Call::InstallSudoers,
            Call::InstallPostfix,
            Call::InitLedger,
            Call::ListUsers,
            Call::ListCommands,
            Call::MigrateLedger,
            Call::CheckSudoers,
            Call::LedgerNodes,
            Call::LedgerStatus,
            Call::Log,
            Call::EndLockdown,
            Call::AddUser(format!("{user}-new")),
            Call::ShowUser(user.clone()),
            Call::EnableUser(user.clone()),
            Call::UnlockUser(user.clone()),
            Call::RotateTotp(user.clone()),
            Call::RotateUser(user.clone()),
            Call::TestUser(user.clone()),
            Call::RemoveUser(user),
            Call::ShowCommand(command),
        ];
        let mut all: Vec<_> = calls.into_iter().map(Self::Call).collect();
        all.extend([
            Self::Words("correct it".to_owned()),
            Self::Chmod("0644", path.clone()),
            Self::Chown("root".to_owned(), path.clone()),
            Self::ForGroup(account.clone(), "0640", path),
            Self::AddAccount(format!("{account}-new")),
            Self::Install("rsyslog"),
            Self::Reinstall("sudo"),
            Self::Start("rsyslog"),
            Self::SynchroniseClock,
            Self::HostName("a-name".to_owned()),
            Self::Postconf("mailsudo_time_limit".to_owned(), "780s".to_owned()),
            Self::StartPostfix,
            Self::SudoersFlag { user: account.clone(), flag: "requiretty", file: LAST_SUDOERS_FILE },
            Self::SudoersFlag { user: account.clone(), flag: "intercept", file: SUDOERS },
            Self::NewPrivileges("postfix@-.service".to_owned()),
            Self::NeverExpire(account),
            Self::AllowSetuid("/".into()),
        ]);
        all
    }
}

impl From<&str> for Remedy {
    fn from(words: &str) -> Self {
        Self::Words(words.to_owned())
    }
}

impl From<String> for Remedy {
    fn from(words: String) -> Self {
        Self::Words(words)
    }
}

impl From<Call> for Remedy {
    fn from(call: Call) -> Self {
        Self::Call(call)
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Words(words) => f.write_str(words),
            Self::Call(call) => call.fmt(f),
            Self::Chmod(mode, path) => write!(f, "{} {mode} {}", program("chmod"), quoted(path)),
            Self::Chown(owner, path) => write!(f, "{} {owner} {}", program("chown"), quoted(path)),
            Self::ForGroup(group, mode, path) => {
                let path = quoted(path);
                write!(f, "{} {group} {path} && {} {mode} {path}", program("chgrp"), program("chmod"))
            }
            Self::AddAccount(name) => {
                write!(f, "{} --system --user-group --shell /usr/sbin/nologin {name}", program("useradd"))
            }
            Self::Install(package) if has("apt") => write!(f, "{} install {package}", program("apt")),
            Self::Install(package) => write!(f, "install the package {package}"),
            Self::Reinstall(package) if has("apt") => write!(f, "{} install --reinstall {package}", program("apt")),
            Self::Reinstall(package) => write!(f, "install the package {package} again"),
            Self::Start(service) => write!(f, "{} restart {service}", program("systemctl")),
            Self::SynchroniseClock => write!(f, "{} set-ntp true", program("timedatectl")),
            Self::HostName(name) => write!(f, "{}", appended(&format!("127.0.1.1 {name}"), "/etc/hosts")),
            Self::Postconf(parameter, value) => {
                write!(f, "{} -e '{parameter} = {value}' && {} reload", program("postconf"), program("postfix"))
            }
            Self::StartPostfix => write!(f, "{} start", program("postfix")),
            Self::SudoersFlag { user, flag, file } => write!(
                f,
                "{} && {} 0440 {file} && {} -c -f {file}",
                appended(&format!("Defaults:{user} !{flag}"), file),
                program("chmod"),
                program("visudo")
            ),
            Self::NewPrivileges(unit) => write!(
                f,
                "{} -p /etc/systemd/system/{unit}.d && echo '[Service]' >/etc/systemd/system/{unit}.d/mailsudo.conf && \
                 echo NoNewPrivileges=no >>/etc/systemd/system/{unit}.d/mailsudo.conf && {systemctl} daemon-reload && {systemctl} restart {unit}",
                program("mkdir"),
                systemctl = program("systemctl")
            ),
            Self::NeverExpire(account) => {
                write!(f, "{} --expiredate -1 {account} && {} --status {account}", program("chage"), program("passwd"))
            }
            Self::AllowSetuid(place) => write!(f, "{} -o remount,suid {}", program("mount"), quoted(place)),
        }
    }
}

/// Adds a line to a file. The empty line is for a file whose last line has no end.
fn appended(line: &str, file: &str) -> String {
    format!("echo >>{file} && echo '{line}' >>{file}")
}

fn found(name: &str) -> Option<String> {
    FOLDERS.iter().map(|folder| format!("{folder}/{name}")).find(|path| Path::new(path).exists())
}

/// Whether this host has a program.
pub fn has(name: &str) -> bool {
    found(name).is_some()
}

/// The full path of a program.
pub fn program(name: &str) -> String {
    found(name).unwrap_or_else(|| format!("/usr/bin/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    // They are for a gateway's shell; only this program's own path can be another system's.
    #[cfg(unix)]
    #[test]
    fn each_command_names_programs_by_their_full_path() {
        let all = Remedy::each_kind("alice", "restart", "mailsudo", Path::new("/etc/it's here"));
        for remedy in all.iter().filter(|remedy| remedy.is_command()) {
            let line = remedy.to_string();
            for command in line.split(" && ") {
                let program = command.split(' ').next().unwrap_or_default();
                assert!(program.starts_with('/') || program == "echo", "{line}");
            }
        }
        for remedy in Remedy::each_kind("alice", "restart", "mailsudo", Path::new("/etc/a file")) {
            let line = remedy.to_string();
            assert!(!line.contains(['"', '\\']), "the log would print it in another form: {line}");
        }
        assert_eq!(quoted(Path::new("/etc/it's here")), r"'/etc/it'\''s here'");
    }

    #[test]
    fn the_exceptions_are_read_last() {
        for other in ["/etc/sudoers.d/zzz", "/etc/sudoers.d/mailsudo", "/etc/sudoers.d/README"] {
            assert!(LAST_SUDOERS_FILE > other);
        }
        // sudo ignores names that end with a tilde or hold a dot (sudoers(5)).
        assert!(!LAST_SUDOERS_FILE.ends_with('~') && !LAST_SUDOERS_FILE.contains("/~mailsudo."));
    }
}
