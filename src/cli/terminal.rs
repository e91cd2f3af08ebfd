//! What is asked and read at a terminal, and moments as people read them.

use std::io::{self, IsTerminal, StdinLock};

use anyhow::{Context, Result};
use zeroize::Zeroizing;

use super::failure::usage;
use super::stdout::tell;
use crate::protocol::{Code, Timestamp};

/// Asks for a code on the terminal, without echo, until it has the form of one.
pub(super) fn ask_code() -> Result<Code> {
    if !io::stdin().is_terminal() {
        return Err(usage("there is no terminal to ask for the code: use --code"));
    }
    loop {
        let text = rpassword::prompt_password("Code: ").context("cannot read the code from the terminal")?;
        match parse_code(&Zeroizing::new(text)) {
            Ok(code) => return Ok(code),
            Err(error) => tell(format_args!("{error:#}: try again, or end with Ctrl-C")),
        }
    }
}

/// A code as users type it: authenticators show `123 456`.
pub(super) fn parse_code(text: &str) -> Result<Code> {
    let digits: Zeroizing<String> = Zeroizing::new(text.chars().filter(|c| !c.is_whitespace()).collect());
    Code::parse(&digits).ok_or_else(|| usage("a code is 6 to 8 digits"))
}

/// Standard input, for a command that reads a message; at a terminal, a line says what to do.
pub(super) fn message_input() -> StdinLock<'static> {
    if io::stdin().is_terminal() {
        tell(format_args!("Paste the message and end it with Ctrl-D; or give a file: < message.eml"));
    }
    io::stdin().lock()
}

/// A moment in local time with its offset, for output.
pub(super) fn when(time: Timestamp) -> String {
    match jiff::Timestamp::from_second(time.seconds()) {
        Ok(instant) => {
            instant.to_zoned_datetime(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string()
        }
        Err(_) => time.to_string(),
    }
}
