//! Standard output and standard error. In: text, part of which may be untrusted or come from the ledger. Out: the text with
//! every character that could act on a terminal or hide text made visible; or an error if standard output cannot be written:
//! `println!` would panic there (`mailsudo log | head -1`, a full disk).
//!
//! MUST: all output of a subcommand goes through this module, except `sign`'s block and `deliver`'s reply, which hold safe
//! characters only.

use std::fmt;
use std::io::{self, ErrorKind, Write};

use crate::protocol::is_unsafe;
use crate::reply::visible;

/// Prints a line; use it with `?`.
macro_rules! outln {
    ($($words:tt)*) => {
        $crate::cli::stdout::line(format_args!($($words)*))
    };
}

/// Standard output could not be written.
#[derive(Debug, thiserror::Error)]
#[error("standard output: {0}")]
pub(super) struct StdoutError(io::Error);

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

/// Prints text with its own line ends.
pub(super) fn text(text: &str) -> Result<(), StdoutError> {
    write(&mut io::stdout().lock(), &visible(text))
}

/// Prints a line of which the middle has a colour on a terminal.
pub(super) fn coloured(before: &str, colour: Colour, middle: &str, after: &str) -> Result<(), StdoutError> {
    let (before, middle, after) = (visible(before), visible(middle), visible(after));
    let line = format!("{before}\u{1b}[{}m{middle}\u{1b}[0m{after}\n", colour as u8);
    write(&mut anstream::stdout().lock(), &line)
}

/// Prints JSON, with such characters escaped as JSON escapes them: a program that reads it gets them, and a terminal does not.
pub(super) fn json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    let mut safe = String::new();
    for c in serde_json::to_string_pretty(value)?.chars() {
        if c != '\n' && is_unsafe(c) {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| safe.push_str(&format!("\\u{unit:04x}")));
        } else {
            safe.push(c);
        }
    }
    safe.push('\n');
    Ok(write(&mut io::stdout().lock(), &safe)?)
}

/// Prints a line on standard error. A caller that cannot read it gets the exit status.
pub(super) fn tell(words: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{}", visible(&words.to_string()));
}

fn write(out: &mut impl Write, text: &str) -> Result<(), StdoutError> {
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(StdoutError)
}
