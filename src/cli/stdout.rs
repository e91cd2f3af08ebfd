//! Standard output, for people and for pipes. In: words. Out: the words, or an error that says that nobody can read them:
//! `println!` would panic there (`mailsudo log | head -1`, a full disk), and a change that should be seen first would not be.

use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind, Write};

/// Says a line; to be used with `?`.
macro_rules! outln {
    ($($words:tt)*) => {
        $crate::cli::stdout::line(format_args!($($words)*))
    };
}

/// Standard output took no more.
#[derive(Debug)]
pub(super) struct StdoutError(io::Error);

impl fmt::Display for StdoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "standard output: {}", self.0)
    }
}

impl Error for StdoutError {}

impl StdoutError {
    /// Whether the reader has gone, as `head` does when it has seen enough.
    pub(super) fn is_unread(&self) -> bool {
        self.0.kind() == ErrorKind::BrokenPipe
    }
}

pub(super) fn line(words: fmt::Arguments<'_>) -> Result<(), StdoutError> {
    let mut out = io::stdout().lock();
    writeln!(out, "{words}").and_then(|()| out.flush()).map_err(StdoutError)
}

/// A line with colours in it, which only a terminal gets to see.
pub(super) fn painted(words: fmt::Arguments<'_>) -> Result<(), StdoutError> {
    let mut out = anstream::stdout().lock();
    writeln!(out, "{words}").and_then(|()| out.flush()).map_err(StdoutError)
}

/// Text as it is.
pub(super) fn text(text: &str) -> Result<(), StdoutError> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(StdoutError)
}
