//! `-v`: the programs that are run, on standard error. In: a command line. Out: `+ PROGRAM ARGUMENTS`, if enabled.
//!
//! It must never show a secret: no secret is ever an argument of a program here.

use std::io::Write;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

static ENABLED: AtomicBool = AtomicBool::new(false);

/// From now on programs are shown.
pub fn enable() {
    ENABLED.store(true, Ordering::Relaxed);
}

/// Whether programs are shown.
pub fn is_enabled() -> bool {
    ENABLED.load(Ordering::Relaxed)
}

/// Shows a program that is about to be run.
pub fn program(command: &Command) {
    if is_enabled() {
        let words: Vec<_> =
            [command.get_program()].into_iter().chain(command.get_args()).map(|word| word.to_string_lossy()).collect();
        // A reader that is gone loses nothing but this line.
        let _ = writeln!(std::io::stderr().lock(), "+ {}", words.join(" ").escape_debug());
    }
}
