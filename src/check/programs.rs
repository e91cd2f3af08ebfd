//! Other programs that check runs: each within a few seconds, and all of them within the time that check has. A program
//! that hangs is ended, and counts as a program that did not answer. What several checks need is asked once. What
//! any check needs is asked before the checks, each in a thread.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::Scope;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::limits::{CHECK_PROGRAM, CHECK_PROGRAMS};
use crate::postfix::in_listing;
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
    static FOUND: Mutex<Vec<(String, Option<Account>)>> = Mutex::new(Vec::new());
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, known)) = found.iter().find(|(known, _)| known == name) {
        return Ok(*known);
    }
    ensure!(!SILENT.load(Ordering::Relaxed), "accounts were not looked up: an earlier look-up had no answer");
    let account = accounts::find(name).inspect_err(|_| SILENT.store(true, Ordering::Relaxed))?;
    found.push((name.to_owned(), account));
    Ok(account)
}

/// Asks what any check needs, beside the checks. `output` waits for an answer that is not there yet.
pub(super) fn ask_ahead<'s>(scope: &'s Scope<'s, '_>) {
    for words in [POSTFIX_SETTINGS, POSTFIX_SERVICES, POSTFIX_QUEUE, CLOCK] {
        let ask = move || output_of(words);
        // Where there is no further thread, the check that needs the answer asks.
        drop(std::thread::Builder::new().spawn_scoped(scope, ask));
    }
}

/// All parameters of Postfix as they are in force.
pub(super) const POSTFIX_SETTINGS: &[&str] = &["postconf", "-x"];

/// The services of master.cf.
pub(super) const POSTFIX_SERVICES: &[&str] = &["postconf", "-M"];

/// What waits in Postfix's queue.
pub(super) const POSTFIX_QUEUE: &[&str] = &["postqueue", "-j"];

/// Whether the clock is synchronised.
pub(super) const CLOCK: &[&str] = &["timedatectl", "show", "--property=NTPSynchronized", "--value"];

/// A parameter of main.cf as it is in force; `None` for one that Postfix does not know.
pub(super) fn parameter(name: &str) -> Option<String> {
    in_listing(&output_of(POSTFIX_SETTINGS)?, name).map(str::to_owned)
}

/// What a program prints, if it succeeds, from the first time that it was asked.
pub(super) fn output(program: &str, arguments: &[&str]) -> Option<String> {
    static ANSWERS: Mutex<Vec<(String, Arc<Answered>)>> = Mutex::new(Vec::new());
    let question = [&[program], arguments].concat().join("\0");
    let mut answers = ANSWERS.lock().unwrap_or_else(PoisonError::into_inner);
    let known = answers.iter().find(|(known, _)| *known == question).map(|(_, answer)| Arc::clone(answer));
    let answer = known.unwrap_or_else(|| {
        let new = Arc::new(Answered::new());
        answers.push((question, Arc::clone(&new)));
        new
    });
    drop(answers);
    answer.get_or_init(|| run(program, arguments)).clone()
}

/// What a program has printed. Whoever asks first makes the others wait for it.
type Answered = OnceLock<Option<String>>;

/// The same for words of which the first is the program.
pub(super) fn output_of(words: &[&str]) -> Option<String> {
    let (program, arguments) = words.split_first()?;
    output(program, arguments)
}

fn run(program: &str, arguments: &[&str]) -> Option<String> {
    // Debian keeps them in /usr/sbin, which is not on every user's PATH.
    let paths = [program.to_owned(), format!("/usr/sbin/{program}")];
    let answer = paths.iter().find_map(|path| ask(Command::new(path).args(arguments).stdin(Stdio::null())))?;
    answer.status.success().then_some(answer.out)
}
