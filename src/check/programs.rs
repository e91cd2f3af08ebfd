//! Other programs that check runs: each within a few seconds, and all of them within the time that check has. A program
//! that hangs is ended, and counts as a program that did not answer.

use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::limits::{CHECK_PROGRAM, CHECK_PROGRAMS};
use crate::system::accounts::{self, Account};
use crate::system::child::{Answer, output_within};

static DEADLINE: OnceLock<Instant> = OnceLock::new();

/// Starts the time that all programs have.
pub(super) fn begin() {
    let _ = DEADLINE.set(Instant::now() + CHECK_PROGRAMS);
}

/// How `command` ends and what it prints; `None` where it cannot be run or does not end in time.
pub(super) fn ask(command: &mut Command) -> Option<Answer> {
    output_within(command, left()).ok().flatten()
}

/// How long the next program may take.
pub(super) fn left() -> Duration {
    let deadline = DEADLINE.get_or_init(|| Instant::now() + CHECK_PROGRAMS);
    deadline.saturating_duration_since(Instant::now()).min(CHECK_PROGRAM)
}

/// The account `name`. After one look-up without an answer no other is tried: each may wait for the same service.
pub(super) fn account(name: &str) -> Result<Option<Account>> {
    static SILENT: AtomicBool = AtomicBool::new(false);
    ensure!(!SILENT.load(Ordering::Relaxed), "accounts were not looked up: an earlier look-up had no answer");
    accounts::find(name).inspect_err(|_| SILENT.store(true, Ordering::Relaxed))
}

/// What a command of Postfix prints, if it succeeds.
pub(super) fn output(program: &str, arguments: &[&str]) -> Option<String> {
    // Debian keeps them in /usr/sbin, which is not on every user's PATH.
    let paths = [program.to_owned(), format!("/usr/sbin/{program}")];
    let answer = paths.iter().find_map(|path| ask(Command::new(path).args(arguments).stdin(Stdio::null())))?;
    answer.status.success().then_some(answer.out)
}
