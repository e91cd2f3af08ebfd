//! Standard output and standard error. In: text, part of which may be untrusted or come from the ledger. Out: the text
//! with every character that could act on a terminal or hide text made visible; or an error if standard output cannot
//! be written: `println!` would panic there (`mailsudo log | head -1`, a full disk).
//!
//! MUST: all output of a subcommand goes through this module, except `sign`'s block and `deliver`'s reply, which hold
//! safe characters only.

use crate::protocol::is_unsafe;
use crate::reply::visible;
use std::fmt;
#[cfg(feature = "gateway")]
use std::io::IsTerminal;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

/// Prints a line; use it with `?`.
macro_rules! outln {
    ($($words:tt)*) => {
        $crate::cli::stdout::line(format_args!($($words)*))
    };
}

/// Prints a line that only confirms, unless `--quiet` is given; use it with `?`.
macro_rules! noteln {
    ($($words:tt)*) => {
        $crate::cli::stdout::note(format_args!($($words)*))
    };
}

static QUIET: AtomicBool = AtomicBool::new(false);

/// Whether to leave out what only confirms.
pub(super) fn set_quiet(quiet: bool) {
    QUIET.store(quiet, Ordering::Relaxed);
}

/// Whether to leave out what only confirms.
pub(super) fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// Standard output could not be written.
#[derive(Debug, thiserror::Error)]
#[error("standard output: {0}")]
pub(super) struct StdoutError(pub(super) io::Error);

impl StdoutError {
    /// Whether the reader has closed it, as `head` does after its last line.
    pub(super) fn is_unread(&self) -> bool {
        self.0.kind() == ErrorKind::BrokenPipe
    }
}

/// A colour of a terminal (ECMA-48, SGR).
#[derive(Clone, Copy)]
pub(super) enum Colour {
    Red = 31,
    Green = 32,
    Yellow = 33,
    Cyan = 36,
}

/// Prints a line.
pub(super) fn line(words: fmt::Arguments<'_>) -> Result<(), StdoutError> {
    text(&format!("{words}\n"))
}

/// Prints a line that only confirms.
pub(super) fn note(words: fmt::Arguments<'_>) -> Result<(), StdoutError> {
    if is_quiet() { Ok(()) } else { line(words) }
}

/// Prints text with its own line ends.
pub(super) fn text(text: &str) -> Result<(), StdoutError> {
    write(&mut io::stdout().lock(), &visible(text))
}

/// Prints a line of which the middle has a colour on a terminal.
pub(super) fn coloured(before: &str, colour: Colour, middle: &str, after: &str) -> Result<(), StdoutError> {
    parts(&[(None, before), (Some(colour), middle), (None, after)])
}

/// Prints a line of parts, some of which have a colour on a terminal.
pub(super) fn parts(parts: &[(Option<Colour>, &str)]) -> Result<(), StdoutError> {
    let mut line = String::new();
    for (colour, text) in parts {
        match colour {
            Some(colour) => line.push_str(&format!("\u{1b}[{}m{}\u{1b}[0m", *colour as u8, visible(text))),
            None => line.push_str(&visible(text)),
        }
    }
    line.push('\n');
    write(&mut anstream::stdout().lock(), &line)
}

/// The width of the terminal that standard output is.
#[cfg(feature = "gateway")]
pub(super) fn width() -> Option<usize> {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(&stdout).ok()?;
    Some(usize::from(size.ws_col)).filter(|width| *width > 0)
}

/// On other systems. It knows no width where it knows no height.
#[cfg(not(feature = "gateway"))]
pub(super) fn width() -> Option<usize> {
    let (terminal_size::Width(width), _) = terminal_size::terminal_size_of(io::stdout())?;
    Some(usize::from(width))
}

/// Prints a script of our own, unchanged.
pub(super) fn script(script: &[u8]) -> Result<(), StdoutError> {
    let mut out = io::stdout().lock();
    out.write_all(script).and_then(|()| out.flush()).map_err(StdoutError)
}

/// Prints JSON, with such characters escaped as JSON escapes them: a program that reads it gets them, and a terminal
/// does not.
pub(super) fn json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    let safe = escaped(&serde_json::to_string_pretty(value)?);
    Ok(write(&mut io::stdout().lock(), &format!("{safe}\n"))?)
}

/// Prints JSON as all that a subcommand has to say.
pub(super) fn print_json(value: &impl serde::Serialize) -> anyhow::Result<ExitCode> {
    json(value)?;
    Ok(ExitCode::SUCCESS)
}

/// The same on one line, for a stream of values.
pub(super) fn json_line(value: &serde_json::Value) -> Result<(), StdoutError> {
    write(&mut io::stdout().lock(), &format!("{}\n", escaped(&value.to_string())))
}

/// Prints JSON on one line on standard error.
pub(super) fn tell_json(value: &serde_json::Value) {
    let _ = writeln!(io::stderr().lock(), "{}", escaped(&value.to_string()));
}

/// JSON with such characters escaped.
pub(super) fn escaped(json: &str) -> String {
    let mut safe = String::new();
    for c in json.chars() {
        if c != '\n' && is_unsafe(c) {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| safe.push_str(&format!("\\u{unit:04x}")));
        } else {
            safe.push(c);
        }
    }
    safe
}

/// Prints a line on standard error. A caller that cannot read it gets the exit status.
pub(super) fn tell(words: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{}", visible(&words.to_string()));
}

fn write(out: &mut impl Write, text: &str) -> Result<(), StdoutError> {
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(StdoutError)
}
