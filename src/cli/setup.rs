//! `mailsudo setup`: asks, shows, does, and proves that the gateway answers.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;

use super::confirm::Confirm;
use super::failure::usage;
use super::setup_args::{LedgerArg, MailboxArg};
use super::setup_words::{ask_line, check, hand_over, show};
use super::sign::address;
use super::stdout;
use super::user::show_totp;
use super::{GatewayArg, Progress, ask_code, record_change, tell};
use crate::authenticate::Factor;
use crate::config::MailAddress;
use crate::protocol::{GatewayName, UserName};
use crate::setup::{Answers, Enrolled, FirstCommand, Found, MailServer, Plan, Undo, configured, look};
use crate::system::clock::{Clock, SystemClock};

/// Set up the gateway: ask, show one difference of all files, do it, and prove it by a signed request
///
/// It looks at the mail server, sudo, syslog and the clock, and names what is missing; it installs and removes no
/// package. It asks for the gateway's name and address, the first user and the first command; each answer is also an
/// option, and --yes takes the defaults. It shows one difference, asks once, writes all files or none, and has the mail
/// server read its files again. Then it checks the gateway as the service user, shows the QR code, and sends a signed
/// `help` of the user through the real mail server. A second run with the same answers changes nothing. --undo puts
/// everything back.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mailsudo setup
  mailsudo setup --yes --user alice --user-address alice@example.com
  mailsudo setup --dry-run
  mailsudo setup --ledger 'postgresql:///mailsudo?host=/run/postgresql' \\
    --owner-url 'postgresql://mailsudo_owner@/mailsudo'
  mailsudo setup --server imap --imap imap.example.com \\
    --smtp smtp.example.com --password-file app-password
  mailsudo setup --undo")]
pub(super) struct Setup {
    #[command(flatten)]
    gateway_arg: GatewayArg,

    /// Put back everything that setup has changed
    #[arg(long)]
    undo: bool,

    /// The gateway's name [default: that in mailsudo.toml, or the host's]
    #[arg(long, value_name = "NAME")]
    gateway: Option<GatewayName>,

    /// The gateway's address [default: that in mailsudo.toml, or `ops` in the mail server's first domain]
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    address: Option<MailAddress>,

    /// The first user
    #[arg(long, value_name = "NAME", requires = "user_address")]
    user: Option<UserName>,

    /// Where the user's replies go, and the From that is accepted
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    user_address: Option<MailAddress>,

    /// Where to write the user's key file [default: GATEWAY.USER.toml, here]
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,

    /// The first command: disk, restart:SERVICE, script:/PATH or none [default: disk]
    #[arg(long, value_name = "WHICH")]
    command: Option<FirstCommand>,

    /// The role of the first user, which may run the first command [default: ops]
    #[arg(long, value_name = "ROLE", value_parser = super::user::role)]
    role: Option<String>,

    /// The mail server [default: the installed one]
    #[arg(long, value_enum)]
    server: Option<MailServer>,

    /// The folder of Postfix's main.cf and master.cf
    #[arg(long, value_name = "DIR", default_value = "/etc/postfix")]
    postfix_config: PathBuf,

    #[command(flatten)]
    mailbox: MailboxArg,

    #[command(flatten)]
    ledger: LedgerArg,

    /// Send no request through the mail server
    #[arg(long)]
    no_test: bool,

    #[command(flatten)]
    confirm: Confirm,
}

/// The role where none is named.
const ROLE: &str = "ops";

impl Setup {
    pub(super) fn run(self) -> Result<ExitCode> {
        if self.undo {
            return self.undo();
        }
        if !rustix::process::geteuid().is_root() {
            bail!("only root may change the gateway, sudo and the mail server: run it as root");
        }
        let found = look(self.server, &self.postfix_config);
        show(&found)?;
        let needed: Vec<_> = found.missing.iter().filter(|missing| missing.is_needed).collect();
        if !needed.is_empty() {
            let remedies: Vec<_> = needed.iter().map(|missing| missing.remedy.as_str()).collect();
            bail!("install what is missing, then run this again: {}", remedies.join(" && "));
        }
        let (server, is_running) = found.server.context("there is no mail server")?;
        let answers = self.answers(&found, server)?;
        let plan = Plan::new(&answers)?;
        for note in &plan.notes {
            outln!("note: {note}")?;
        }
        if plan.is_empty()? {
            noteln!("nothing to change")?;
            return Ok(ExitCode::SUCCESS);
        }
        stdout::text(&plan.difference()?)?;
        if let Some(status) = self.confirm.missing("Change this?")? {
            return Ok(status);
        }
        plan.apply(&SystemClock)?;
        self.record("setup");
        noteln!("done; `mailsudo setup --undo` would put everything back")?;
        check(&plan)?;
        let status = self.prove(&plan, is_running)?;
        hand_over(&plan, &answers)?;
        Ok(status)
    }

    fn answers(&self, found: &Found, server: MailServer) -> Result<Answers> {
        let folder = &self.gateway_arg.config;
        let (known_gateway, known_address) = configured(folder).unzip();
        let gateway = match (&self.gateway, known_gateway) {
            (Some(given), _) => given.clone(),
            (None, known) => {
                let host = GatewayName::try_from(found.host.as_str()).ok();
                self.ask("The gateway's name", known.or(host), |text| Ok(GatewayName::try_from(text)?))?
            }
        };
        let address = match (&self.address, known_address) {
            (Some(given), _) => given.clone(),
            (None, known) => {
                let first = found.domain.as_ref().and_then(|domain| address(&format!("ops@{domain}")).ok());
                self.ask("The address for requests", known.or(first), |text| address(text).map_err(usage))?
            }
        };
        let user = self.user(address.domain())?;
        let command = match (&self.command, user.is_some() || self.confirm.is_interactive()) {
            (Some(given), _) => given.clone(),
            (None, false) => FirstCommand::None,
            (None, true) => self.ask(
                "The first command (disk, restart:SERVICE, script:/PATH or none)",
                Some(FirstCommand::Disk),
                |text| text.parse().map_err(|what: String| usage(what)),
            )?,
        };
        let role = match (&self.role, command == FirstCommand::None) {
            (Some(given), _) => given.clone(),
            (None, true) => ROLE.to_owned(),
            (None, false) => self.ask("The role that may run it", Some(ROLE.to_owned()), |text| {
                super::user::role(text).map_err(usage)
            })?,
        };
        let name = user.as_ref().map_or_else(|| "user".to_owned(), |(name, _)| name.to_string());
        let key_file = self.key_file.clone().unwrap_or_else(|| PathBuf::from(format!("{gateway}.{name}.toml")));
        let key_file = std::path::absolute(&key_file).with_context(|| key_file.display().to_string())?;
        Ok(Answers {
            folder: folder.clone(),
            mailbox: self.mailbox.mailbox(server, &address)?,
            ledger: self.ledger.place(),
            owner: self.ledger.owner(),
            gateway,
            address,
            user,
            role,
            command,
            key_file,
            server,
            postfix: self.postfix_config.clone(),
        })
    }

    fn user(&self, domain: &str) -> Result<Option<(UserName, MailAddress)>> {
        if let Some(name) = &self.user {
            let address = self.user_address.clone();
            return address
                .map(|address| Some((name.clone(), address)))
                .ok_or_else(|| usage("--user needs --user-address"));
        }
        if !self.confirm.is_interactive() {
            return Ok(None);
        }
        let name = loop {
            let name = ask_line("The first user (empty for none): ")?;
            if name.is_empty() {
                return Ok(None);
            }
            match UserName::try_from(name.as_str()) {
                Ok(name) => break name,
                Err(bad) => tell(format_args!("{bad}")),
            }
        };
        let default = address(&format!("{name}@{domain}")).ok();
        let to = self.ask("Where replies to this user go", default, |text| address(text).map_err(usage))?;
        Ok(Some((name, to)))
    }

    /// The answer to a question, or the default without a question where nobody is to be asked.
    fn ask<T: std::fmt::Display>(
        &self,
        question: &str,
        default: Option<T>,
        read: impl Fn(&str) -> Result<T>,
    ) -> Result<T> {
        if !self.confirm.is_interactive() {
            return default.ok_or_else(|| usage(format!("{question}: there is no default here; give it as an option")));
        }
        let shown = default.as_ref().map(|default| format!(" [{default}]")).unwrap_or_default();
        loop {
            let line = ask_line(&format!("{question}{shown}: "))?;
            if line.is_empty()
                && let Some(default) = default
            {
                return Ok(default);
            }
            match read(&line) {
                Ok(answer) => return Ok(answer),
                Err(error) => tell(format_args!("{error:#}")),
            }
        }
    }

    /// Has the phone tested, and sends a request of the new user.
    fn prove(&self, plan: &Plan, is_running: bool) -> Result<ExitCode> {
        let Some(Enrolled { name, totp, .. }) = &plan.enrolled else {
            return Ok(ExitCode::SUCCESS);
        };
        show_totp(totp)?;
        if self.confirm.is_interactive() {
            let factor = Factor::from_url(totp).map_err(|what| anyhow::anyhow!("the new secret: {what}"))?;
            tell(format_args!("Scan it, then type the code that the phone shows (Ctrl-C leaves it out)."));
            match factor.steps_off(&ask_code()?, SystemClock.now(), 120) {
                Some(0) => outln!("The phone and this clock agree.")?,
                Some(off) => outln!("The phone is right, but its clock is off by {off} steps of 30 s: set it right.")?,
                None => outln!("That is no code of this secret: scan it again, then `mailsudo user test {name}`.")?,
            }
        }
        if self.no_test {
            return Ok(ExitCode::SUCCESS);
        }
        if !is_running {
            outln!("The mail server is not running: start it, then try `mailsudo sign help --send` as {name}.")?;
            return Ok(ExitCode::SUCCESS);
        }
        let id = plan.send_proof(name, &SystemClock)?;
        let progress = Progress::show("a signed request is on its way");
        let reply = plan.wait_for_proof(&id, &SystemClock);
        drop(progress);
        match reply {
            Ok(text) => {
                noteln!(
                    "A signed `help` of {name} went through the mail server. The reply, genuine, is on its way to {name}:"
                )?;
                for line in text.trim_end().lines() {
                    noteln!("| {line}")?;
                }
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => {
                tell(format_args!("mailsudo: a signed `help` of {name} was sent, and got {error:#}"));
                Ok(ExitCode::FAILURE)
            }
        }
    }

    /// Writes into the audit chain what was done, if there is a gateway and a ledger then.
    fn record(&self, change: &str) {
        if let Ok(gateway) = self.gateway_arg.open() {
            record_change(&gateway, change);
        }
    }

    fn undo(&self) -> Result<ExitCode> {
        let folder = &self.gateway_arg.config;
        let Some(undo) = Undo::new(folder, &self.postfix_config)? else {
            noteln!("nothing to undo")?;
            return Ok(ExitCode::SUCCESS);
        };
        stdout::text(&undo.difference()?)?;
        if let Some(database) = &undo.database {
            outln!(
                "note: the ledger at {database} stays, as other mail servers may use it; what is in it goes with DROP SCHEMA mailsudo CASCADE"
            )?;
        }
        for path in &undo.changed {
            outln!("note: {} was changed since, and stays", path.display())?;
        }
        if let Some(status) = self.confirm.missing("Put this back?")? {
            return Ok(status);
        }
        undo.apply()?;
        self.record("setup --undo");
        noteln!("done")?;
        Ok(ExitCode::SUCCESS)
    }
}
