//! Other programs that check runs: each within a few seconds, and all of them within the time that check has. A program that
//! hangs is ended, and counts as a program that did not answer.

use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::system::child::{Answer, output_within};

/// How long one program may take.
const EACH: Duration = Duration::from_secs(5);

/// How long all of them may take.
const ALL: Duration = Duration::from_secs(15);

static DEADLINE: OnceLock<Instant> = OnceLock::new();

/// Starts the time that all programs have.
pub(super) fn begin() {
    let _ = DEADLINE.set(Instant::now() + ALL);
}

/// How `command` ends and what it prints; `None` where it cannot be run or does not end in time.
pub(super) fn ask(command: &mut Command) -> Option<Answer> {
    let deadline = DEADLINE.get_or_init(|| Instant::now() + ALL);
    let left = deadline.saturating_duration_since(Instant::now());
    output_within(command, left.min(EACH)).ok().flatten()
}

/// What a command of Postfix prints, if it succeeds.
pub(super) fn output(program: &str, arguments: &[&str]) -> Option<String> {
    // Debian keeps them in /usr/sbin, which is not on every user's PATH.
    let paths = [program.to_owned(), format!("/usr/sbin/{program}")];
    let answer = paths.iter().find_map(|path| ask(Command::new(path).args(arguments).stdin(Stdio::null())))?;
    answer.status.success().then_some(answer.out)
}
