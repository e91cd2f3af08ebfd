//! `mailsudo sign`: makes a signed request.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use super::code::{CodeFrom, not_remembered};
use super::failure::usage;
use super::{Progress, complete, stdout, tell, verify};
use crate::client::mailbox::Mailbox;
use crate::client::used_step::UsedStep;
use crate::client::verify::Finding;
use crate::client::{self, Attachment, KeyFile};
use crate::config::{MailAddress, Span};
use crate::protocol::{CommandName, GatewayName, ParameterName, PayloadDigest, Request, RequestId, UnsignedRequest};
use crate::system::clock::SystemClock;

/// Sign a request and print it, send it, or make a mailto: link
///
/// The key file is the one in ~/.config/mailsudo, mode 0600. The code is asked for on the terminal unless one of the
/// --code options gives its source.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mailsudo sign restart service=nginx           print the block
  mailsudo sign restart service=nginx --send    send the mail by sendmail
  mailsudo sign disk --send --wait-reply        wait for the reply, verify it
  mailsudo sign help --eml --from alice@example.com
  mailsudo sign status --code-command \"pass otp ops\"
  mailsudo sign firewall --payload rules.nft --send
  mailsudo sign reboot --ssh-key ~/.ssh/id_ed25519_sk.pub --send
  mailsudo sign disk --totp-secret-file code --wait

The block can be pasted into any mail. A command reads a payload on standard
input.

A gateway accepts each code once. ~/.local/state/mailsudo has the end of the
step in which you signed last. Until then `sign` makes no request: it says how
long to wait and exits with status 75, or waits with --wait.

--totp-secret-file keeps both factors on one machine: access to that machine
gives both. It is for automation on a host that you trust as much as the phone
it replaces.")]
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

    /// Sign with this SSH key too: its .pub file. ssh-keygen asks ssh-agent or the FIDO key
    #[arg(long, value_name = "FILE")]
    ssh_key: Option<PathBuf>,

    /// The ssh-keygen that --ssh-key calls
    #[arg(long, value_name = "PROGRAM", default_value = "ssh-keygen")]
    ssh_keygen: PathBuf,

    /// The gateway, if there are several key files
    #[arg(long, value_name = "NAME", conflicts_with = "key")]
    gateway: Option<GatewayName>,

    /// Attach this file as the command's standard input; needs --send or --eml
    #[arg(long, value_name = "FILE")]
    payload: Option<PathBuf>,

    #[command(flatten)]
    code: CodeFrom,

    /// Wait for the next code if the one of this moment was used
    #[arg(long, conflicts_with = "code")]
    wait: bool,

    #[command(flatten)]
    form: Form,

    #[command(flatten)]
    reply: ReplyArg,

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
struct ReplyArg {
    /// With --send: wait for the reply in your mailbox, verify it, and print its authenticated text
    #[arg(long, requires = "send")]
    wait_reply: bool,

    /// How long to wait for the reply
    #[arg(long, value_name = "SPAN", default_value = "10m", value_parser = span)]
    reply_within: Span,

    /// The Maildir or mbox file where replies come [default: what ~/.config/mailsudo/client.conf names, see
    /// mailsudo(7)]
    #[arg(long, value_name = "PATH", requires = "wait_reply")]
    mailbox: Option<PathBuf>,

    /// The shell command that decrypts an encrypted reply, such as `gpg --decrypt` [default: decrypt_command in
    /// client.conf]
    #[arg(long, value_name = "COMMAND", requires = "wait_reply")]
    decrypt_command: Option<String>,
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

fn span(text: &str) -> Result<Span, String> {
    Span::try_from(text.to_owned())
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
        if self.payload.is_some() && !self.form.eml && !self.form.send {
            return Err(usage("a payload goes into the mail as an attachment: add --send or --eml"));
        }
        let attachment = self.payload.as_deref().map(Attachment::read).transpose()?;
        // Read before the code is asked for, because a code does not wait.
        let ssh_key = self.ssh_key.as_deref().map(client::ssh::public_key).transpose()?;
        let mailbox = self.reply.mailbox()?;
        let step = UsedStep::of(&keys.gateway, &keys.user).map_err(|error| not_remembered(&error)).ok();
        let Some((time, code)) = self.code.get(step.as_ref(), self.wait, &SystemClock)? else {
            return Ok(ExitCode::from(TEMPORARY));
        };
        let unsigned = UnsignedRequest {
            gateway: keys.gateway.clone(),
            user: keys.user.clone(),
            time,
            code,
            command: self.command,
            arguments: self.arguments,
            payload: attachment.as_ref().map(|file| PayloadDigest::of(&file.content)),
        };
        let signed = match self.ssh_key.as_deref().zip(ssh_key) {
            None => unsigned.sign(&keys.key).map_err(|error| usage(error.to_string())),
            Some((path, ssh_key)) => {
                unsigned.sign_with_ssh(&keys.key, |lines| client::ssh::sign(&self.ssh_keygen, path, &ssh_key, lines))
            }
        };
        // There is no request then, so the code is not used.
        let block = signed.inspect_err(|_| step.iter().for_each(UsedStep::forget))?;
        let from = match self.from {
            Some(from) => Some(from),
            None => std::env::var("EMAIL").ok().and_then(|email| MailAddress::try_from(email).ok()),
        };
        if self.form.mailto {
            outln!("{}", client::mailto(&block, &keys.address, &self.subject))?;
        } else if self.form.eml {
            let from = from
                .ok_or_else(|| usage("a message needs a From field that the gateway knows: --from you@example.com"))?;
            let (from, file) = (Some(&from), attachment.as_ref());
            stdout::text(&client::message(&block, &keys.address, from, &self.subject, file, time))?;
        } else if self.form.send {
            let file = attachment.as_ref();
            let message = client::message(&block, &keys.address, from.as_ref(), &self.subject, file, time);
            send(&self.sendmail, &keys.address, from.as_ref(), &message, step.as_ref())?;
            let (program, id) = (self.sendmail.display(), Request::read(&[&block])?.id());
            tell(format_args!(
                "request {} was sent by {program}; the reply goes to the address that the gateway knows",
                id.short()
            ));
            if from.is_none() {
                tell(format_args!(
                    "The mail system fills in the From field. If it is not one that the gateway knows for you, the gateway \
                     refuses the request, and does not answer: use --from, or set EMAIL."
                ));
            }
            if let Some(mut mailbox) = mailbox {
                return self.reply.wait(&mut mailbox, &id, &keys);
            }
        } else {
            stdout::text(&block)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// EX_TEMPFAIL of sysexits(3): the code was used already; the next one comes soon.
const TEMPORARY: u8 = 75;

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
    let mut child = spawned.inspect_err(|_| forget()).with_context(|| {
        format!("cannot run {}: use --mailto or --eml, or name another program with --sendmail", program.display())
    })?;
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

impl ReplyArg {
    /// The mailbox where the reply is waited for, as it is before the request is sent.
    fn mailbox(&self) -> Result<Option<Mailbox>> {
        self.wait_reply.then(|| Mailbox::open(self.mailbox.as_deref())).transpose()
    }

    /// Waits for the reply, and prints it as `verify` does.
    fn wait(&self, mailbox: &mut Mailbox, id: &RequestId, key: &KeyFile) -> Result<ExitCode> {
        let progress = Progress::show("waiting for the reply");
        let decrypt = self.decrypt_command.as_deref();
        let found = mailbox.wait(id, key, decrypt, self.reply_within.as_duration(), &SystemClock);
        drop(progress);
        let Some(checked) = found? else {
            bail!(
                "no reply came to {} within {}; `mailsudo verify` checks it when it comes",
                mailbox.name(),
                self.reply_within
            );
        };
        verify::print(&checked)?;
        Ok(if matches!(checked.finding, Finding::Genuine(_)) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
