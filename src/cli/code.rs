//! Where `mailsudo sign` takes the code from, and that each code is signed with once. In: the options. Out: the code,
//! with the moment that it belongs to.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use zeroize::Zeroizing;

use super::failure::usage;
use super::tell;
use crate::authenticate::Factor;
use crate::client;
use crate::client::used_step::{self, USUAL_PERIOD, UsedStep};
use crate::protocol::{Code, Timestamp};
use crate::system::clock::Clock;

/// Options that say where the code is from.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(super) struct CodeFrom {
    /// The code itself; other users of this machine may see it in its process list
    #[arg(long, value_name = "DIGITS")]
    code: Option<String>,

    /// A shell command that prints the code
    #[arg(long, value_name = "COMMAND")]
    code_command: Option<String>,

    /// A file, mode 0600, with the otpauth URL or the base32 secret
    #[arg(long, value_name = "FILE")]
    totp_secret_file: Option<PathBuf>,
}

/// Where a code comes from.
enum Source<'s> {
    Given(&'s str),
    Command(&'s str),
    File(Factor),
    Terminal,
}

impl Source<'_> {
    /// The code, and the moment that it belongs to.
    fn code(&self, clock: &dyn Clock) -> Result<(Timestamp, Code)> {
        // The time is taken after the code, so the signed time is that at which Enter was pressed.
        let code = match self {
            Self::Given(code) => super::parse_code(code)?,
            Self::Command(command) => super::parse_code(&client::shell::printed(command, "the code")?)?,
            Self::Terminal => super::ask_code()?,
            Self::File(factor) => {
                let time = clock.now();
                return Ok((time, factor.code_at(time).context("the clock stands before 1970")?));
            }
        };
        Ok((clock.now(), code))
    }

    fn period(&self) -> Duration {
        if let Self::File(factor) = self { factor.period() } else { USUAL_PERIOD }
    }
}

impl CodeFrom {
    fn source(&self) -> Result<Source<'_>> {
        Ok(match self {
            Self { code: Some(code), .. } => Source::Given(code),
            Self { code_command: Some(command), .. } => Source::Command(command),
            Self { totp_secret_file: Some(path), .. } => Source::File(factor(path)?),
            _ if io::stdin().is_terminal() => Source::Terminal,
            _ => {
                let what = "there is no terminal to ask for the code: use --code, --code-command or --totp-secret-file";
                return Err(usage(what));
            }
        })
    }

    /// The code with the moment that it belongs to, recorded as used; `None` where the code of this step was used and
    /// the caller does not want to wait.
    pub(super) fn get(
        &self,
        step: Option<&UsedStep>,
        wait: bool,
        clock: &dyn Clock,
    ) -> Result<Option<(Timestamp, Code)>> {
        let source = self.source()?;
        let Some(step) = step else {
            return source.code(clock).map(Some);
        };
        loop {
            // Before the code is asked for, so that no user types a code that is used.
            if wait {
                step.wait(clock, |seconds| tell(format_args!("waiting {seconds} s for the next code")));
            } else if let Some(until) = step.used_until(clock.now()) {
                let seconds = used_step::seconds_to(until, clock.now());
                let how = if self.code.is_some() { "wait" } else { "wait, or use --wait" };
                let what = match source {
                    Source::File(_) => "This code was used already. The next one",
                    // It may be of the step before, which only the gateway knows.
                    _ => "A code was used in this step already. The next one",
                };
                tell(format_args!("{what} comes in {seconds} s: {how}"));
                return Ok(None);
            }
            let (time, code) = source.code(clock)?;
            match step.claim(time, source.period()) {
                // Another process has signed in this step since.
                Ok(false) => {}
                Ok(true) => return Ok(Some((time, code))),
                Err(error) => {
                    not_remembered(&error);
                    return Ok(Some((time, code)));
                }
            }
        }
    }
}

pub(super) fn not_remembered(error: &anyhow::Error) {
    tell(format_args!("the use of this code cannot be recorded ({error:#}): sign the next request with another code"));
}

fn factor(path: &Path) -> Result<Factor> {
    let text = client::read_private(path)?;
    let secret = text.trim();
    let url = if secret.starts_with("otpauth:") {
        Zeroizing::new(secret.to_owned())
    } else {
        Zeroizing::new(format!("otpauth://totp/secret?secret={}", secret.replace(' ', "")))
    };
    Factor::from_url(&url).map_err(|what| anyhow::anyhow!("{}: {what}", path.display()))
}
