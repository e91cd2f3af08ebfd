//! `mailsudo setup`: from an installed package to a gateway that answers. In: what is found on the host, and the
//! sysadmin's answers. Out: a [`Plan`], which is shown as one difference, applied, and undone by [`Undo`].
//!
//! MUST: it installs and removes no package; nothing is changed before the difference was shown; a second run with the
//! same answers changes nothing; if a step fails, everything is as it was.

mod exim;
mod fetch;
mod first;
mod journal;
mod ledger;
mod look;
mod opensmtpd;
mod plan;
mod proof;
mod server;
mod units;
mod wanted;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow};

pub use fetch::{Fetcher, Mailbox};
pub use first::FirstCommand;
pub use ledger::{DatabaseOwner, LedgerPlace};
pub use look::{Found, MailServer, Missing, installed, look};
pub use plan::{Answers, Enrolled, Plan, configured};

use crate::config::{Gateway, Trusted};
use crate::postfix::Postfix;
use crate::protocol::{RequestId, UserName};
use crate::system::accounts::Account;
use crate::system::changes::{Changes, Former, restore};
use crate::system::clock::Clock;
use crate::system::files::Rights;
use journal::Journal;
use ledger::NewLedger;

impl Plan {
    /// Changes everything: the files, the mail server's configuration, the ledger; then the mail server reads its files
    /// again.
    ///
    /// # Errors
    ///
    /// A step fails; then everything is as it was.
    pub fn apply(&self, clock: &dyn Clock) -> Result<()> {
        let mut journal = Journal::read(&self.folder)?.unwrap_or_default();
        let mut done = Done { formers: self.apply_files()?, ledger: None, timers: Vec::new() };
        let made = self.apply_rest(&mut done, clock).and_then(|()| {
            journal.add(&done.formers)?;
            journal.ledger = done.ledger.clone().or(journal.ledger.take());
            journal.timers.extend(done.timers.iter().map(|timer| (*timer).to_owned()));
            if let Some(NewLedger::Database(owner)) = &self.ledger {
                journal.database = Some(owner.url.to_string());
            }
            journal.transport = self.postfix.as_ref().map(|(_, plan)| plan.transport().to_owned());
            journal.server = String::from(self.server.name());
            journal.write(&self.folder)
        });
        let Err(error) = made else {
            return Ok(());
        };
        let undone = done.undo().and_then(|()| server::reload(self.server, &self.postfix_folder));
        match undone {
            Ok(()) => Err(error.context("nothing was changed")),
            Err(second) => Err(anyhow!("{error:#}; and what was changed before could not be undone: {second:#}")),
        }
    }

    fn apply_files(&self) -> Result<Vec<Former>> {
        for (path, _) in self.changes.iter() {
            if let Some(folder) = path.parent().filter(|folder| folder.ends_with("mailsudo-fetch.service.d")) {
                fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
            }
        }
        self.changes.apply()
    }

    fn apply_rest(&self, done: &mut Done, clock: &dyn Clock) -> Result<()> {
        if let Some((postfix, plan)) = &self.postfix {
            let mut formers = Vec::new();
            for file in plan.paths(postfix) {
                formers.push(Former::of(&file)?);
            }
            plan.apply(postfix)?;
            for former in formers {
                if Former::of(&former.path)? != former {
                    done.formers.push(former);
                }
            }
        }
        match &self.ledger {
            None => {}
            Some(NewLedger::File(path)) => {
                let mut init = self.as_service(&std::env::current_exe()?);
                init.args(["ledger", "init", "-q", "--config"]).arg(&self.folder);
                server::run(init)?;
                done.ledger = Some(path.clone());
            }
            Some(NewLedger::Database(owner)) => {
                ledger::make(owner, self.gateway()?.settings(), self.trusted(), clock.now())?;
            }
        }
        server::reload(self.server, &self.postfix_folder)?;
        if self.mailbox.is_some() {
            fetch::make_folder(self.service)?;
            self.fetch().context("the login to the mailbox")?;
        }
        done.timers.clone_from(&self.timers);
        units::enable(&self.timers)
    }

    /// Fetches once what is in the mailbox, if there is one, as the service user; it is handled.
    fn fetch(&self) -> Result<()> {
        let Some(mailbox) = &self.mailbox else {
            return Ok(());
        };
        let (mut fetch, nothing) = fetch::fetch(mailbox);
        self.run_as_service(&mut fetch);
        server::run_or(fetch, nothing)
    }

    /// A program that is run as the service user.
    fn as_service(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        self.run_as_service(&mut command);
        command
    }

    fn run_as_service(&self, command: &mut Command) {
        command.uid(self.service.uid).gid(self.service.gid).current_dir("/").env("HOME", "/var/lib/mailsudo");
    }

    /// `mailsudo check` as the service user sees the gateway.
    ///
    /// # Errors
    ///
    /// This program is gone.
    pub fn check_as_service(&self) -> Result<Command> {
        let mut check = self.as_service(&std::env::current_exe()?);
        check.args(["check", "-q", "--config"]).arg(&self.folder);
        Ok(check)
    }

    /// The gateway as it is now.
    ///
    /// # Errors
    ///
    /// It cannot be used.
    pub fn gateway(&self) -> Result<Gateway> {
        Ok(Gateway::open(&self.folder, self.trusted())?)
    }

    fn trusted(&self) -> Trusted {
        let Account { uid, gid } = self.service;
        Trusted::caller().and(uid, gid)
    }

    /// Sends a signed `help` of `user` through the mail server, and returns its id.
    ///
    /// # Errors
    ///
    /// It cannot be signed or sent.
    pub fn send_proof(&self, user: &UserName, clock: &dyn Clock) -> Result<RequestId> {
        let sendmail = match &self.mailbox {
            None => Command::new("/usr/sbin/sendmail"),
            // As replies leave.
            Some(_) => self.as_service(Path::new(fetch::MSMTP_PROGRAM)),
        };
        proof::send(&self.gateway()?, user, &self.trusted(), clock, sendmail)
    }

    /// Waits until the reply to the request `id` was given to the mail server; returns its authenticated text.
    ///
    /// # Errors
    ///
    /// There is none in time, with the reason; or it is not genuine.
    pub fn wait_for_proof(&self, id: &RequestId, clock: &dyn Clock) -> Result<String> {
        // A failed fetch is tried again; if none succeeds, there is no reply.
        proof::wait(&self.gateway()?, id, &self.trusted(), clock, &mut || self.fetch())
    }
}

/// What was done up to a failure.
struct Done {
    formers: Vec<Former>,
    ledger: Option<PathBuf>,
    timers: Vec<&'static str>,
}

impl Done {
    fn undo(&self) -> Result<()> {
        let disabled = units::disable(&self.timers);
        restore(&self.formers)?;
        self.ledger.iter().for_each(|path| ledger::remove(path));
        disabled
    }
}

/// What `undo` would do.
#[derive(Debug)]
pub struct Undo {
    folder: PathBuf,
    formers: Vec<Former>,
    ledger: Option<PathBuf>,
    /// The ledger in PostgreSQL that setup has made, which stays.
    pub database: Option<String>,
    timers: Vec<String>,
    server: MailServer,
    transport: String,
    postfix: PathBuf,
    /// The files that were changed since, which stay as they are.
    pub changed: Vec<PathBuf>,
}

impl Undo {
    /// What putting back everything that setup has changed at the gateway in `folder` would do; `None` where there is
    /// nothing.
    ///
    /// # Errors
    ///
    /// The journal of setup, or a file in it, cannot be read.
    pub fn new(folder: &Path, postfix: &Path) -> Result<Option<Self>> {
        let Some(journal) = Journal::read(folder)? else {
            return Ok(None);
        };
        let (formers, changed) = journal.formers()?;
        let all = [MailServer::Postfix, MailServer::Exim, MailServer::Opensmtpd, MailServer::Imap];
        let server = all.into_iter().find(|server| server.name() == journal.server).unwrap_or(MailServer::Postfix);
        let (folder, postfix) = (folder.to_owned(), postfix.to_owned());
        let transport = journal.transport.clone().unwrap_or_else(|| "mailsudo".to_owned());
        let Journal { ledger, database, timers, .. } = journal;
        Ok(Some(Self { folder, formers, ledger, database, timers, server, transport, postfix, changed }))
    }

    /// The difference as diff(1) shows it.
    ///
    /// # Errors
    ///
    /// A file cannot be read.
    pub fn difference(&self) -> Result<String> {
        let mut changes = Changes::default();
        for former in self.formers.iter().rev() {
            match &former.state {
                None => changes.remove(&former.path),
                Some((content, mode, owner)) => {
                    changes.write(&former.path, content.clone(), Rights { mode: *mode, owner: Some(*owner) });
                }
            }
        }
        // The removed files may hold secrets, which are not shown.
        let (shown, secret): (Vec<_>, Vec<_>) =
            changes.iter().map(|(path, _)| path.to_owned()).partition(|path| !is_secret(path));
        let mut text = changes.only(&shown).difference()?;
        for path in secret {
            text.push_str(&format!("--- {} (a secret, removed)\n", path.display()));
        }
        if let Some(ledger) = &self.ledger {
            text.push_str(&format!("--- {} (the ledger, removed)\n", ledger.display()));
        }
        if !self.timers.is_empty() {
            text.push_str(&format!("and then: systemctl disable --now {}\n", self.timers.join(" ")));
        }
        Ok(text)
    }

    /// Puts everything back.
    ///
    /// # Errors
    ///
    /// A file cannot be written, or the mail server refuses to read its files again.
    pub fn apply(&self) -> Result<()> {
        // While their units are there.
        units::disable(&self.timers)?;
        restore(&self.formers)?;
        let is_postfix_changed = self.changed.iter().any(|path| path.starts_with(&self.postfix));
        if self.server == MailServer::Postfix && is_postfix_changed {
            let postfix = Postfix::open(&self.postfix)?;
            crate::postfix::Plan::remove(&postfix, &self.transport)?.apply(&postfix)?;
        }
        self.ledger.iter().for_each(|path| ledger::remove(path));
        Journal::remove(&self.folder)?;
        server::reload(self.server, &self.postfix)
    }
}

/// Files that setup writes and that hold secrets.
fn is_secret(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.parent().is_some_and(|folder| folder.ends_with("secrets.d"))
        || name.ends_with("imap-password")
        || name.ends_with("fetchmailrc")
        || !(path.starts_with("/etc") || path.starts_with("/var"))
}
