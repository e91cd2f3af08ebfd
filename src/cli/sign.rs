//! `mailsudo sign`: makes a signed request.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use zeroize::Zeroizing;

use super::{complete, stdout, tell};
use crate::authenticate::Factor;
use crate::client::used_step::{self, USUAL_PERIOD, UsedStep};
use crate::client::{self, KeyFile};
use crate::config::MailAddress;
use crate::protocol::{Code, CommandName, GatewayName, ParameterName, Request, Timestamp, UnsignedRequest};
use crate::system::clock::{Clock, SystemClock};

/// Sign a request and print it, send it, or make a mailto: link
///
/// The key file is the one in ~/.config/mailsudo, mode 0600. The code is asked for on the terminal unless one of the
/// --code options gives its source.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mailsudo sign restart service=nginx                 print the block, to paste into any mail
  mailsudo sign restart service=nginx --send          send the mail by sendmail
  mailsudo sign help --eml --from alice@example.com   print a whole message
  mailsudo sign status --code-command 'pass otp ops'  take the code from a program
  mailsudo sign disk --totp-secret-file code --wait   wait, if the code of this moment was used

A gateway accepts each code once. ~/.local/state/mailsudo has the end of the step in which you signed last. Until then
`sign` makes no request: it says how long to wait and exits with status 75, or waits with --wait.

--totp-secret-file keeps both factors on one machine: access to that machine gives both. It is for automation on a host
that you trust as much as the phone it replaces.")]
pub(super) struct Sign {
    /// The command to request
    #[arg(add = ArgValueCompleter::new(complete::commands))]
    command: CommandName,

    /// Its arguments
    #[arg(value_name = "NAME=VALUE", value_parser = argument, add = ArgValueCompleter::new(complete::arguments))]
    arguments: Vec<(ParameterName, String)>,

    /// The key file [default: the one in ~/.config/mailsudo]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,

    /// The gateway, if there are several key files
    #[arg(long, value_name = "NAME", conflicts_with = "key")]
    gateway: Option<GatewayName>,

    #[command(flatten)]
    code: CodeFrom,

    /// Wait for the next code if the one of this moment was used
    #[arg(long, conflicts_with = "code")]
    wait: bool,

    #[command(flatten)]
    form: Form,

    /// The From field of a message [default: $EMAIL]
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    from: Option<MailAddress>,

    /// The Subject field of a message
    #[arg(long, value_name = "TEXT", default_value = "mailsudo request")]
    subject: String,

    /// The sendmail that --send calls
    #[arg(long, value_name = "PROGRAM", default_value = "/usr/sbin/sendmail")]
    sendmail: PathBuf,
}

#[derive(Debug, Args)]
#[group(multiple = false)]
struct CodeFrom {
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

#[derive(Debug, Args)]
#[group(multiple = false)]
struct Form {
    /// Print a whole message
    #[arg(long)]
    eml: bool,

    /// Send the message by sendmail
    #[arg(long)]
    send: bool,

    /// Print a mailto: link
    #[arg(long)]
    mailto: bool,
}

pub(super) fn argument(text: &str) -> Result<(ParameterName, String)> {
    let (name, value) = text.split_once('=').context("write it as name=value")?;
    Ok((ParameterName::try_from(name)?, value.to_owned()))
}

pub(super) fn address(text: &str) -> Result<MailAddress, String> {
    MailAddress::try_from(text.to_owned())
}

impl Sign {
    pub(super) fn run(self) -> Result<ExitCode> {
        let keys = KeyFile::choose(self.key.as_deref(), self.gateway.as_ref())?;
        let step = UsedStep::of(&keys.gateway, &keys.user).map_err(|error| not_remembered(&error)).ok();
        let Some((time, code)) = self.code.get(step.as_ref(), self.wait, &SystemClock)? else {
            return Ok(ExitCode::from(TEMPORARY));
        };
        let unsigned = UnsignedRequest {
            gateway: keys.gateway,
            user: keys.user,
            time,
            code,
            command: self.command,
            arguments: self.arguments,
        };
        let block = unsigned.sign(&keys.key)?;
        let from = match self.from {
            Some(from) => Some(from),
            None => std::env::var("EMAIL").ok().and_then(|email| MailAddress::try_from(email).ok()),
        };
        if self.form.mailto {
            outln!("{}", client::mailto(&block, &keys.address, &self.subject))?;
        } else if self.form.eml {
            let from = from.context("a message needs a From field that the gateway knows: --from you@example.com")?;
            stdout::text(&client::message(&block, &keys.address, Some(&from), &self.subject, time))?;
        } else if self.form.send {
            let message = client::message(&block, &keys.address, from.as_ref(), &self.subject, time);
            send(&self.sendmail, &keys.address, from.as_ref(), &message, step.as_ref())?;
            let (program, id) = (self.sendmail.display(), Request::read(&[&block])?.id().short());
            tell(format_args!(
                "request {id} was sent by {program}; the reply goes to the address that the gateway knows"
            ));
            if from.is_none() {
                tell(format_args!(
                    "The mail system fills in the From field. If it is not one that the gateway knows for you, nothing will \
                     come of this: say --from, or set EMAIL."
                ));
            }
        } else {
            stdout::text(&block)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// EX_TEMPFAIL of sysexits(3): the code was used already; the next one comes soon.
const TEMPORARY: u8 = 75;

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
            Self::Command(command) => super::parse_code(&output(command)?)?,
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
            _ => bail!("there is no terminal to ask for the code: use --code, --code-command or --totp-secret-file"),
        })
    }

    /// The code with the moment that it belongs to, recorded as used; `None` where the code of this step was used and the
    /// caller does not want to wait.
    fn get(&self, step: Option<&UsedStep>, wait: bool, clock: &dyn Clock) -> Result<Option<(Timestamp, Code)>> {
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

fn not_remembered(error: &anyhow::Error) {
    tell(format_args!("the use of this code cannot be recorded ({error:#}): sign the next request with another code"));
}

/// The first line that the user's own command prints. It runs in the user's own shell.
fn output(command: &str) -> Result<Zeroizing<String>> {
    let output = Command::new("sh").args(["-c", command]).stderr(Stdio::inherit()).output();
    let output = output.context("cannot run sh")?;
    if !output.status.success() {
        bail!("the command for the code failed: {}", output.status);
    }
    Ok(Zeroizing::new(String::from_utf8_lossy(&output.stdout).trim().to_owned()))
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

fn send(
    program: &Path,
    to: &MailAddress,
    from: Option<&MailAddress>,
    message: &str,
    step: Option<&UsedStep>,
) -> Result<()> {
    let mut command = Command::new(program);
    command.arg("-i");
    if let Some(from) = from {
        command.args(["-f", from.as_str()]);
    }
    // The gateway gets nothing then, so the code is not used.
    let forget = || step.into_iter().for_each(UsedStep::forget);
    let spawned = command.args(["--", to.as_str()]).stdin(Stdio::piped()).spawn();
    let mut child = spawned.inspect_err(|_| forget()).with_context(|| format!("cannot run {}", program.display()))?;
    let written = match child.stdin.take() {
        Some(mut pipe) => pipe.write_all(message.as_bytes()),
        None => Ok(()),
    };
    let status = child.wait()?;
    if !status.success() {
        forget();
        bail!("{} failed: {status}; nothing was sent", program.display());
    }
    written.with_context(|| format!("{} did not take the whole message", program.display()))
}
