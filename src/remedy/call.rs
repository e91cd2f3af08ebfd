//! Subcommands of mailsudo, as remedies print them. In: the subcommand with its names. Out: a command line.

use std::fmt;
use std::path::{Path, PathBuf};

/// A subcommand of mailsudo. It works on the gateway that this process works on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// `check --quiet`
    Check,
    /// `sudoers --install`
    InstallSudoers,
    /// `postfix install`
    InstallPostfix,
    /// `ledger init`
    InitLedger,
    /// `user list`
    ListUsers,
    /// `user add NAME`, which needs `--address ADDRESS` too
    AddUser(String),
    /// `user show NAME`
    ShowUser(String),
    /// `user enable NAME`
    EnableUser(String),
    /// `user unlock NAME`
    UnlockUser(String),
    /// `user remove NAME`
    RemoveUser(String),
    /// `user rotate NAME`, which needs an option that says what
    RotateUser(String),
    /// `user rotate NAME --totp`
    RotateTotp(String),
    /// `user test NAME`
    TestUser(String),
    /// `command list`
    ListCommands,
    /// `ledger migrate`
    MigrateLedger,
    /// `sudoers --check`
    CheckSudoers,
    /// `ledger nodes`
    LedgerNodes,
    /// `ledger status`
    LedgerStatus,
    /// `log`
    Log,
    /// `lockdown --end`
    EndLockdown,
    /// `command show NAME`
    ShowCommand(String),
}

impl Call {
    /// The arguments.
    pub fn words(&self) -> Vec<&str> {
        match self {
            Self::Check => vec!["check", "--quiet"],
            Self::InstallSudoers => vec!["sudoers", "--install"],
            Self::InstallPostfix => vec!["postfix", "install"],
            Self::InitLedger => vec!["ledger", "init"],
            Self::ListCommands => vec!["command", "list"],
            Self::MigrateLedger => vec!["ledger", "migrate"],
            Self::CheckSudoers => vec!["sudoers", "--check"],
            Self::LedgerNodes => vec!["ledger", "nodes"],
            Self::LedgerStatus => vec!["ledger", "status"],
            Self::Log => vec!["log"],
            Self::EndLockdown => vec!["lockdown", "--end"],
            Self::ListUsers => vec!["user", "list"],
            Self::AddUser(name) => vec!["user", "add", name],
            Self::ShowUser(name) => vec!["user", "show", name],
            Self::EnableUser(name) => vec!["user", "enable", name],
            Self::UnlockUser(name) => vec!["user", "unlock", name],
            Self::RemoveUser(name) => vec!["user", "remove", name],
            Self::RotateUser(name) => vec!["user", "rotate", name],
            Self::RotateTotp(name) => vec!["user", "rotate", name, "--totp"],
            Self::TestUser(name) => vec!["user", "test", name],
            Self::ShowCommand(name) => vec!["command", "show", name],
        }
    }

    /// The command line without `--config`, for another gateway.
    pub fn words_only(&self) -> String {
        format!("{} {}", own_program(), self.words().join(" "))
    }
}

impl fmt::Display for Call {
    /// The command line, with this program's full path and this process's `--config`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words_only())?;
        match own_folder() {
            Some(folder) => write!(f, " --config {}", quoted(&folder)),
            None => Ok(()),
        }
    }
}

fn own_program() -> String {
    quoted(&std::env::current_exe().unwrap_or_else(|_| "/usr/bin/mailsudo".into()))
}

/// The gateway's folder, where this process was started with `--config`.
fn own_folder() -> Option<PathBuf> {
    let mut words = std::env::args_os().skip(1);
    let folder = loop {
        let word = words.next()?;
        if word == "--config" {
            break PathBuf::from(words.next()?);
        }
        if let Some(folder) = word.to_str().and_then(|word| word.strip_prefix("--config=")) {
            break folder.into();
        }
    };
    Some(folder.canonicalize().unwrap_or(folder))
}

/// A path as a word of sh(1).
pub(super) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+,:@%".contains(c);
    if text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}
