//! How a subcommand fails. In: an error. Out: what is wrong and what to do, on standard error, as text or with `--json`
//! as one JSON object; and the exit status.
//!
//! MUST: an error of the operating system never stands alone: the file is named by the error itself, the remedy is
//! added here.

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use serde_json::json;

use super::stdout::{self, StdoutError, tell};
use crate::system::trace;

/// EX_USAGE of sysexits(3): the command line is wrong.
const USAGE: u8 = 64;

/// 128 and SIGPIPE's number: the reader of standard output has closed it.
const UNREAD: u8 = 141;

/// A command line that clap accepts and the subcommand does not.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

/// The error for a command line that is wrong; it says what is right.
pub(super) fn usage(what: impl Into<String>) -> anyhow::Error {
    Usage(what.into()).into()
}

/// For whom a subcommand is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caller {
    /// The sysadmin of a gateway.
    Sysadmin,
    /// A user, who is not root.
    User,
}

/// Whether the command line asks for JSON. No option takes a value that begins with a dash.
pub(super) fn is_json(words: &[OsString]) -> bool {
    words.iter().take_while(|word| *word != "--").any(|word| word == "--json")
}

/// Prints why a subcommand failed.
pub(super) fn of(error: &anyhow::Error, caller: Caller, as_json: bool) -> ExitCode {
    if error.downcast_ref().is_some_and(StdoutError::is_unread) {
        return ExitCode::from(UNREAD);
    }
    let status = if error.is::<Usage>() { USAGE } else { 1 };
    print(&words(error, caller), status, as_json);
    if trace::is_enabled() && !as_json {
        for cause in error.chain().skip(1) {
            tell(format_args!("  because: {cause}"));
        }
    }
    ExitCode::from(status)
}

/// Prints what is wrong with a command line, or the help that it asks for.
pub(super) fn of_line(error: &clap::Error, as_json: bool) -> ExitCode {
    if !error.use_stderr() {
        return match error.print() {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::from(UNREAD),
            Err(_) => ExitCode::FAILURE,
            Ok(()) => ExitCode::SUCCESS,
        };
    }
    if as_json {
        let text = error.to_string();
        let end = ["\n\nUsage: ", "\n\nFor more information"].iter().filter_map(|after| text.find(after)).min();
        let text = text.get(..end.unwrap_or(text.len())).unwrap_or_default();
        print(text.strip_prefix("error: ").unwrap_or(text).trim(), USAGE, true);
    } else {
        // It repeats the caller's words, which may be pasted from a mail.
        tell(format_args!("{}", error.render().to_string().trim_end()));
    }
    ExitCode::from(USAGE)
}

/// What is wrong and what to do, as a line.
pub(super) fn words(error: &anyhow::Error, caller: Caller) -> String {
    let text = without_number(&format!("{error:#}"));
    format!("{text}{}", hint(error, caller))
}

fn print(text: &str, status: u8, as_json: bool) {
    if as_json {
        stdout::tell_json(&json!({ "error": text, "exit_status": status }));
    } else {
        tell(format_args!("mailsudo: {text}"));
    }
}

/// The text of an error of the operating system ends with its number, which says nothing that the text does not.
fn without_number(text: &str) -> String {
    let mut left = text;
    let mut kept = String::with_capacity(text.len());
    while let Some((before, after)) = left.split_once(" (os error ") {
        kept.push_str(before);
        left = after.trim_start_matches(|c: char| c.is_ascii_digit());
        left = left.strip_prefix(')').unwrap_or(left);
    }
    kept.push_str(left);
    kept
}

fn hint(error: &anyhow::Error, caller: Caller) -> &'static str {
    let kinds: Vec<_> =
        error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind).collect();
    if kinds.contains(&io::ErrorKind::StorageFull) || kinds.contains(&io::ErrorKind::QuotaExceeded) {
        "; free space there and try again"
    } else if kinds.contains(&io::ErrorKind::ReadOnlyFilesystem) {
        "; make that file system writable and try again"
    } else if caller == Caller::Sysadmin
        && !is_root()
        && (kinds.contains(&io::ErrorKind::PermissionDenied) || error.chain().any(is_closed))
    {
        "; run it as root"
    } else if kinds.contains(&io::ErrorKind::PermissionDenied) {
        "; make it readable and writable for the account that runs this (ls -l shows its owner)"
    } else {
        ""
    }
}

/// Whether a file of the gateway is closed to the caller.
#[cfg(feature = "gateway")]
fn is_closed(cause: &(dyn std::error::Error + 'static)) -> bool {
    use crate::config::ConfigError;
    use crate::ledger::LedgerError;

    cause.downcast_ref().is_some_and(ConfigError::is_closed) || cause.downcast_ref().is_some_and(LedgerError::is_closed)
}

#[cfg(feature = "gateway")]
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A client alone has no file of a gateway.
#[cfg(not(feature = "gateway"))]
fn is_closed(_cause: &(dyn std::error::Error + 'static)) -> bool {
    false
}

/// It has no command for root.
#[cfg(not(feature = "gateway"))]
fn is_root() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_errors_are_left_out() {
        let text = "cannot read /a: No such file or directory (os error 2); and: Not a directory (os error 20)";
        assert_eq!(without_number(text), "cannot read /a: No such file or directory; and: Not a directory");
        assert_eq!(without_number("plain"), "plain");
        assert_eq!(without_number("x (os error "), "x");
    }
}
