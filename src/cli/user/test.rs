//! `mailsudo user test`: checks the user's phone against this clock.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::{UserArg, known};
use crate::authenticate::Factor;
use crate::cli::ask_code;
use crate::enrolment::Enrolment;
use crate::remedy::Call;
use crate::system::clock::{Clock, SystemClock};

/// The largest clock error that this finds: the steps of an hour at 30 s, in each direction.
const REACH: i64 = 120;

/// Ask for a code, and say whether clock and secret are right, or how many steps the clock is off
///
/// It records nothing and uses up no step. Exit status 0: a request signed now would pass. 1: it would not.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mailsudo user test alice")]
pub(in crate::cli) struct Test {
    #[command(flatten)]
    user_arg: UserArg,

    /// The code, instead of asking for it
    #[arg(long, value_name = "DIGITS")]
    code: Option<String>,
}

impl Test {
    pub(super) fn run(self) -> Result<ExitCode> {
        let gateway = self.user_arg.gateway_arg.open()?;
        let name = self.user_arg.name;
        known(&gateway, &name)?;
        let secrets = Enrolment::new(&gateway, None).secrets(&name)?;
        let factor =
            Factor::from_url(&secrets.totp).map_err(|what| anyhow::anyhow!("secrets.d/{name}.toml: {what}"))?;
        let code = match self.code {
            Some(code) => super::super::parse_code(&code)?,
            None => ask_code()?,
        };
        let off = factor.steps_off(&code, SystemClock.now(), REACH);
        let (words, status) = match off {
            Some(0) => ("clock and secret agree".to_owned(), ExitCode::SUCCESS),
            Some(off @ -1..=1) => {
                (format!("they agree, {} by one step; that still passes", side(off)), ExitCode::SUCCESS)
            }
            Some(off) => (
                format!(
                    "the secret is right, but the phone's clock is {} by {} steps; correct the clock that is wrong",
                    side(off),
                    off.abs()
                ),
                ExitCode::FAILURE,
            ),
            None => (
                format!(
                    "no code of this secret within an hour: a typing error, or the phone holds another secret. For a new one: {}",
                    Call::RotateTotp(name.to_string())
                ),
                ExitCode::FAILURE,
            ),
        };
        outln!("{name}: {words}.")?;
        Ok(status)
    }
}

fn side(off: i64) -> &'static str {
    if off < 0 { "behind" } else { "ahead" }
}
