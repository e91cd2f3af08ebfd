//! Parses the command line, calls the command, exits with its status.

use std::process::ExitCode;

fn main() -> ExitCode {
    mailsudo::cli::run(std::env::args_os().collect())
}
