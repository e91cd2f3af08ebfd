//! `mailsudo deliver`: the program that Postfix calls once for each message.
//!
//! MUST: exit 0 or 75 and nothing else, whatever happens, a panic and a wrong command line included (pipe(8) bounces on
//! most others, to a sender that may be forged). It prints nothing, except the reply without `--reply-via`.

use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use rustix::buffer::spare_capacity;

use super::{GatewayArg, tell};
use crate::audit::Audit;
use crate::config::{DEFAULT_FOLDER, Gateway, LogTarget, RunVia, Trusted};
use crate::error::Deferral;
use crate::intake::{Envelope, Source};
use crate::limits::Timeouts;
use crate::pipeline::{self, Context, Mode, Observer, Step, guarded};
use crate::reply::ReplyTransport;
use crate::system::clock::SystemClock;
use crate::system::hardening;

/// EX_TEMPFAIL of sysexits(3): the mail server keeps the message and tries again.
const TRY_AGAIN: u8 = 75;

/// Process one message from standard input: verify it, authorize it, run the command once, record it, send the reply
///
/// This is what Postfix calls (pipe(8)). By hand, pipe a message into it: the reply goes to standard output, and where
/// [syslog] to = "stderr", the log to standard error. Exit status 0: handled or refused. 75: temporary failure;
/// the log says why, and the same message must be delivered again.
#[derive(Debug, Default, PartialEq, Eq, Parser)]
#[command(
    name = "mailsudo deliver",
    max_term_width = 100,
    override_usage = "mailsudo deliver [OPTIONS] < MESSAGE",
    after_help = "\
Example, by hand:
  mailsudo sign disk --eml --from alice@example.com | mailsudo deliver
Example, in master.cf (`mailsudo postfix install` writes it):
  mailsudo unix - n n - 4 pipe flags=Rq user=mailsudo null_sender=
    argv=/usr/bin/mailsudo deliver --reply-via /usr/sbin/sendmail
    --sender=${sender} ..."
)]
pub(super) struct Deliver {
    #[command(flatten)]
    gateway_arg: GatewayArg,

    /// Send the reply by this sendmail(1), or by the mail server of this host at smtp://127.0.0.1:25, instead of
    /// printing it
    #[arg(long, value_name = "SENDMAIL|URL")]
    reply_via: Option<PathBuf>,

    /// The envelope sender, ${sender}; empty for the null sender
    #[arg(long, value_name = "ADDRESS")]
    sender: Option<OsString>,

    /// The envelope recipient, ${recipient}
    #[arg(long, value_name = "ADDRESS")]
    recipient: Option<OsString>,

    /// The mail server's queue id, ${queue_id}. Only for a server that uses the exit status even if it could not write
    /// the whole message
    #[arg(long, value_name = "ID")]
    queue_id: Option<OsString>,

    /// The SMTP client's address, ${client_address}
    #[arg(long, value_name = "IP")]
    client_address: Option<OsString>,

    /// The SASL login, ${sasl_username}
    #[arg(long, value_name = "LOGIN")]
    sasl_username: Option<OsString>,
}

/// Runs `deliver` with its arguments, `deliver` itself first.
pub(super) fn run(words: &[OsString]) -> ExitCode {
    if let Some(deliver) = Deliver::read(words) {
        return deliver.run();
    }
    match Deliver::try_parse_from(words) {
        Ok(deliver) => deliver.run(),
        // --help is not an error.
        Err(error) if !error.use_stderr() => error.exit(),
        Err(error) => give_up(&Deferral::new("usage", error.to_string().trim_end()), None),
    }
}

impl Deliver {
    /// Reads a correct command line, once for each message. Clap's parser would cost more than all other work for a
    /// mail without a request. Any other command line is left to clap, which can say what is wrong.
    fn read(words: &[OsString]) -> Option<Self> {
        let mut deliver = Self::default();
        let (mut config, mut reply_via) = (None, None);
        let mut parser = lexopt::Parser::from_args(words.iter().skip(1));
        while let Some(word) = parser.next().ok()? {
            let lexopt::Arg::Long(name) = word else {
                return None;
            };
            let value = match name {
                "config" => &mut config,
                "reply-via" => &mut reply_via,
                "sender" => &mut deliver.sender,
                "recipient" => &mut deliver.recipient,
                "queue-id" => &mut deliver.queue_id,
                "client-address" => &mut deliver.client_address,
                "sasl-username" => &mut deliver.sasl_username,
                _ => return None,
            };
            if value.replace(parser.value().ok()?).is_some() {
                return None;
            }
        }
        if [&config, &reply_via].into_iter().flatten().any(|path| path.is_empty()) {
            return None;
        }
        deliver.gateway_arg.config = config.map_or_else(|| DEFAULT_FOLDER.into(), PathBuf::from);
        deliver.reply_via = reply_via.map(PathBuf::from);
        Some(deliver)
    }

    pub(super) fn run(self) -> ExitCode {
        std::panic::set_hook(Box::new(|_| {}));
        hardening::reset_signals();
        let queue_id = self.queue_id.clone();
        let status = guarded(|| self.attempt()).unwrap_or_else(|deferral| give_up(&deferral, queue_id.as_deref()));
        if queue_id.is_none() {
            drain();
        }
        status
    }

    /// Delivers. An error is one that is not in the gateway's own log yet.
    fn attempt(self) -> Result<ExitCode, Deferral> {
        if self.queue_id.is_some() && self.reply_via.is_none() {
            let what = "--queue-id without --reply-via: Postfix would discard the reply; add --reply-via in master.cf";
            return Err(Deferral::new("usage", what));
        }
        let trusted = Trusted::caller();
        let gateway = Gateway::open(&self.gateway_arg.config, trusted.clone());
        let gateway = gateway.map_err(|error| Deferral::new("configuration", error))?;
        // The working directory of its children. The gateway's folder is held open, and all other paths are absolute.
        let moved = std::env::set_current_dir("/");
        moved.map_err(|error| Deferral::new("configuration", format!("/: {error}")))?;
        if self.queue_id.is_some() && gateway.settings().syslog.to == LogTarget::Stderr {
            let what = "[syslog] to = \"stderr\" under Postfix: pipe(8) would put the log into bounces; use a socket";
            return Err(Deferral::new("configuration", what));
        }
        let mut audit = Audit::new(gateway.settings(), self.queue_id.as_deref());
        if gateway.settings().execution.run_via == RunVia::Sudo && rustix::process::geteuid().is_root() {
            let what = "deliver must not run as root while run_via = \"sudo\"; run it as the service user";
            return Ok(report(&Deferral::new("configuration", what), &mut audit));
        }
        let transport = match self.reply_via.map(ReplyTransport::via) {
            None => ReplyTransport::Stdout,
            Some(Ok(transport)) => transport,
            Some(Err(what)) => return Ok(report(&Deferral::new("usage", format!("--reply-via: {what}")), &mut audit)),
        };
        let envelope = Envelope {
            sender: self.sender,
            recipient: self.recipient,
            queue_id: self.queue_id,
            client_address: self.client_address,
            sasl_username: self.sasl_username,
        };
        let context = Context {
            gateway: &gateway,
            trusted,
            envelope: &envelope,
            clock: &SystemClock,
            timeouts: Timeouts::DEFAULT,
        };
        let ended = pipeline::run(&context, &mut Unbuffered, Mode::Deliver(&transport), &mut audit);
        Ok(match ended {
            Ok(_) => ExitCode::SUCCESS,
            Err(deferral) => try_again(&deferral, Observer::lost(&audit) > 0),
        })
    }
}

/// Standard input without std's buffer, in which a copy of the mail would stay after the mail is wiped. It needs no
/// descriptor of its own, so it is there in every process.
struct Unbuffered;

impl Source for Unbuffered {
    fn append(&mut self, message: &mut Vec<u8>) -> io::Result<usize> {
        Ok(rustix::io::read(rustix::stdio::stdin(), spare_capacity(message))?)
    }
}

/// Reads the unread rest. Postfix and Exim, which give a queue id, use the exit status alone. For OpenSMTPD, procmail
/// and fetchmail, a pipe that closes early is a failed delivery. They would deliver again and again a message that was
/// refused unread.
fn drain() {
    let mut stdin = io::stdin().lock();
    if !stdin.is_terminal() {
        let _ = io::copy(&mut stdin, &mut io::sink());
    }
}

/// Defers where the gateway's own log is not known.
fn give_up(deferral: &Deferral, queue_id: Option<&OsStr>) -> ExitCode {
    report(deferral, &mut Audit::without_settings(queue_id))
}

fn report(deferral: &Deferral, audit: &mut Audit) -> ExitCode {
    let lost = Observer::lost(audit);
    Observer::note(audit, Step::Deferred(deferral));
    try_again(deferral, Observer::lost(audit) > lost)
}

/// Standard error gets a line if the log got none (pipe(8) puts it into the mail log), and at a terminal. Nothing else
/// is printed there, because pipe(8) puts it into bounces too.
fn try_again(deferral: &Deferral, is_unlogged: bool) -> ExitCode {
    if is_unlogged || io::stderr().is_terminal() {
        let detail = deferral.detail.split_whitespace().collect::<Vec<_>>().join(" ");
        tell(format_args!("mailsudo: deferred ({}): {detail}", deferral.part));
    }
    ExitCode::from(TRY_AGAIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn words(words: &[&str]) -> Vec<OsString> {
        std::iter::once("deliver").chain(words.iter().copied()).map(OsString::from).collect()
    }

    /// Every option that clap describes, and none that it does not know, is read as clap reads it.
    #[test]
    fn the_short_reader_reads_every_option_as_clap_does() {
        let options: Vec<_> =
            Deliver::command().get_arguments().filter_map(|arg| arg.get_long().map(str::to_owned)).collect();
        let mut all = Vec::new();
        for name in options.iter().filter(|name| *name != "help") {
            for line in
                [vec![format!("--{name}=a b")], vec![format!("--{name}"), "x".to_owned()], vec![format!("--{name}=")]]
            {
                let line: Vec<_> = line.iter().map(String::as_str).collect();
                let read = Deliver::read(&words(&line));
                assert_eq!(read, Deliver::try_parse_from(words(&line)).ok(), "{line:?}");
            }
            assert!(Deliver::read(&words(&[&format!("--{name}=x")])).is_some(), "{name}");
            all.push(format!("--{name}=x"));
        }
        let all: Vec<_> = all.iter().map(String::as_str).collect();
        assert_eq!(Deliver::read(&words(&all)), Deliver::try_parse_from(words(&all)).ok());
        assert_eq!(Deliver::read(&words(&[])), Deliver::try_parse_from(words(&[])).ok());
        for wrong in [
            &["--nonsense=x"][..],
            &["x"],
            &["-x"],
            &["--help"],
            &["--sender"],
            &["--sender=a", "--sender=b"],
            &["--", "x"],
        ] {
            assert_eq!(Deliver::read(&words(wrong)), None, "{wrong:?}: clap explains");
        }
    }
}
