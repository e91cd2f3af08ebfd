//! What setup would change, as a value. In: what is found, and the answers. Out: a [`Plan`] that can be shown and
//! applied.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use zeroize::Zeroizing;

use super::fetch::{self, Mailbox};
use super::first::FirstCommand;
use super::ledger::{DatabaseOwner, LedgerPlace, NewLedger};
use super::look::MailServer;
use super::wanted::Wanted;
use super::{exim, opensmtpd, units};
use crate::config::{DEFAULT_FOLDER, Gateway, LedgerUrl, MailAddress, Settings, Trusted};
use crate::edit::{Stage, new_command, set, settings_file, with_rules};
use crate::enrolment::{NewUser, fresh_key, fresh_totp, plan as plan_user};
use crate::postfix::{self, Postfix, plain_path};
use crate::protocol::{GatewayName, Key, UserName};
use crate::sudoers::FOLDER;
use crate::system::accounts::{self, Account};
use crate::system::changes::Changes;
use crate::system::files::Rights;

/// The settings' file of a gateway that has none yet.
const SETTINGS: &str = include_str!("../../examples/mailsudo.toml");

/// The sysadmin's answers.
#[derive(Debug, Clone)]
pub struct Answers {
    /// The gateway's folder.
    pub folder: PathBuf,
    /// The gateway's name.
    pub gateway: GatewayName,
    /// Its address.
    pub address: MailAddress,
    /// The first user, and the address for replies.
    pub user: Option<(UserName, MailAddress)>,
    /// The role of both the user and the command.
    pub role: String,
    /// The first command.
    pub command: FirstCommand,
    /// Where to write the user's key file.
    pub key_file: PathBuf,
    /// The mail server.
    pub server: MailServer,
    /// The folder of Postfix's files.
    pub postfix: PathBuf,
    /// The mailbox, where there is no mail server.
    pub mailbox: Option<Mailbox>,
    /// The ledger; `None`: what the settings say.
    pub ledger: Option<LedgerPlace>,
    /// Who makes the tables of a ledger in PostgreSQL.
    pub owner: Option<DatabaseOwner>,
}

/// A user that the plan enrols.
#[derive(Debug)]
pub struct Enrolled {
    /// The name.
    pub name: UserName,
    /// The otpauth URL for the phone.
    pub totp: Zeroizing<String>,
    /// The key file.
    pub key_file: PathBuf,
    /// The key in it.
    pub key: Key,
}

/// The changes.
#[derive(Debug)]
pub struct Plan {
    pub(super) folder: PathBuf,
    pub(super) changes: Changes,
    pub(super) postfix: Option<(Postfix, postfix::Plan)>,
    pub(super) server: MailServer,
    pub(super) postfix_folder: PathBuf,
    pub(super) mailbox: Option<Mailbox>,
    pub(super) service: Account,
    /// The ledger that is made.
    pub(super) ledger: Option<NewLedger>,
    /// The timers that are enabled.
    pub(super) timers: Vec<&'static str>,
    /// The user that is enrolled.
    pub enrolled: Option<Enrolled>,
    /// What the sysadmin should know before.
    pub notes: Vec<String>,
}

impl Plan {
    /// What `answers` change.
    ///
    /// # Errors
    ///
    /// An answer cannot be used: the gateway's own reader refuses it, the mail server would not take mail for the
    /// address, sudo cannot express the command, or a file cannot be read.
    pub fn new(answers: &Answers) -> Result<Self> {
        let folder = answers.folder.canonicalize().with_context(|| {
            format!("there is no {}: install the package, or run `make install`", answers.folder.display())
        })?;
        for name in ["users.d", "commands.d", "secrets.d"] {
            let path = folder.join(name);
            ensure!(path.is_dir(), "there is no {}: install the package, or run `make install`", path.display());
        }
        let mut changes = settings_and_command(&folder, answers)?;
        let stage = Stage::of(&folder, &changes)?;
        let (planned, _) = stage.read()?;
        let settings = planned.settings();
        let service = service(settings)?;
        let enrolled = enrol(&folder, answers, settings, service, &mut changes)?;
        let mut changes = with_rules(&folder, changes, &rules(&folder, settings))?;
        let program = settings.execution.mailsudo.display().to_string();
        let shown = folder.display().to_string();
        let wanted = Wanted {
            address: answers.address.as_str(),
            service_user: &settings.service_user,
            program: &program,
            config: (!is_default(&folder)).then_some(shown.as_str()),
            longest: settings.execution.longest.as_duration(),
        };
        let mut notes = Vec::new();
        let mut postfix = None;
        match answers.server {
            MailServer::Postfix => {
                let opened = Postfix::open(&answers.postfix)?;
                let (plan, found) = postfix::Plan::install(&opened, &postfix_wanted(&wanted, settings)?)?;
                if let Some(note) = found.iter().find(|note| note.contains("Relay access denied")) {
                    bail!("{}: {note}. Name another address with --address", answers.address);
                }
                notes = found;
                postfix = Some((opened, plan));
            }
            MailServer::Exim => changes.append(exim::plan(&wanted)?),
            MailServer::Opensmtpd => changes.append(opensmtpd::plan(&wanted)?),
            MailServer::Imap => {
                let mailbox =
                    answers.mailbox.as_ref().context("a mailbox needs --imap, --smtp, --login and --password-file")?;
                fetch::find(mailbox)?;
                changes.append(fetch::plan(&wanted, mailbox, service)?);
            }
        }
        let trusted = Trusted::caller().and(service.uid, service.gid);
        let ledger = NewLedger::missing(settings, trusted, answers.owner.as_ref())?;
        let is_shared = matches!(settings.ledger.url, LedgerUrl::Postgres(_)) && is_default(&folder);
        let timers = match answers.server {
            MailServer::Imap => vec![units::FETCH],
            _ if is_shared => vec![units::RESUME],
            _ => Vec::new(),
        };
        Ok(Self {
            changes,
            postfix,
            server: answers.server,
            postfix_folder: answers.postfix.clone(),
            mailbox: answers.mailbox.clone(),
            service,
            ledger,
            timers: timers.into_iter().filter(|timer| units::is_missing(timer)).collect(),
            enrolled,
            notes,
            folder,
        })
    }

    /// Whether everything is as it should be.
    ///
    /// # Errors
    ///
    /// Postfix's files cannot be read.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.changes.is_empty()
            && self.ledger.is_none()
            && self.timers.is_empty()
            && self.postfix_difference()?.is_empty())
    }

    /// The difference of all files, as diff(1) shows it, and the other steps.
    ///
    /// # Errors
    ///
    /// A file cannot be read.
    pub fn difference(&self) -> Result<String> {
        let mut text = self.changes.difference()?;
        text.push_str(&self.postfix_difference()?);
        text.extend(self.ledger.iter().map(NewLedger::line));
        text.push_str(match self.server {
            MailServer::Postfix => "and then: postfix reload\n",
            MailServer::Exim => "and then: update-exim4.conf && service exim4 restart\n",
            MailServer::Opensmtpd => "and then: smtpd -n && service opensmtpd restart\n",
            MailServer::Imap => "and then: one fetch\n",
        });
        if !self.timers.is_empty() {
            text.push_str(&format!("and then: systemctl enable --now {}\n", self.timers.join(" ")));
        }
        Ok(text)
    }

    fn postfix_difference(&self) -> Result<String> {
        self.postfix.as_ref().map_or_else(|| Ok(String::new()), |(postfix, plan)| plan.difference(postfix))
    }
}

fn settings_and_command(folder: &Path, answers: &Answers) -> Result<Changes> {
    let mut changes = Changes::default();
    let file = settings_file(folder);
    let now = if file.exists() {
        fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?
    } else {
        SETTINGS.to_owned()
    };
    let text = set(&now, "gateway", &format!("\"{}\"", answers.gateway))?;
    let text = set(&text, "address", &format!("\"{}\"", answers.address))?;
    let text = match &answers.ledger {
        None => text,
        Some(LedgerPlace { url, password_file }) => {
            let text = set(&text, "ledger.url", &format!("\"{url}\""))?;
            match password_file {
                Some(path) => set(&text, "ledger.password_file", &format!("\"{}\"", path.display()))?,
                None => text,
            }
        }
    };
    changes.write(&file, text, Rights::READABLE);
    if let Some((name, edit)) = answers.command.edit(&answers.role)? {
        let path = folder.join("commands.d").join(format!("{name}.toml"));
        // The sysadmin's own command of that name stays as it is.
        if !path.exists() {
            changes.write(&path, new_command(&edit)?, Rights::READABLE);
        }
    }
    Ok(changes)
}

fn enrol(
    folder: &Path,
    answers: &Answers,
    settings: &Settings,
    service: Account,
    changes: &mut Changes,
) -> Result<Option<Enrolled>> {
    let Some((name, address)) = &answers.user else {
        return Ok(None);
    };
    if folder.join("users.d").join(format!("{name}.toml")).exists() {
        return Ok(None);
    }
    let key_file = &answers.key_file;
    ensure!(!key_file.exists(), "{} exists already: move it away, or use --key-file FILE", key_file.display());
    let (key, totp) = (fresh_key()?, fresh_totp(&settings.gateway, name)?);
    let user = NewUser {
        name: name.clone(),
        address: address.clone(),
        roles: vec![answers.role.clone()],
        ssh_keys: Vec::new(),
        certificate: None,
    };
    changes.append(plan_user(folder, settings, service, &user, &key, &totp, key_file));
    Ok(Some(Enrolled { name: name.clone(), totp, key_file: key_file.clone(), key }))
}

fn service(settings: &Settings) -> Result<Account> {
    let name = &settings.service_user;
    accounts::find(name)?.with_context(|| {
        format!("there is no account {name}: useradd --system --user-group --shell /usr/sbin/nologin {name}")
    })
}

fn is_default(folder: &Path) -> bool {
    Path::new(DEFAULT_FOLDER).canonicalize().is_ok_and(|default| default == folder)
}

/// Where the fragment of the planned gateway belongs; as `sudoers::place` says of one that exists.
fn rules(folder: &Path, settings: &Settings) -> PathBuf {
    let name = if is_default(folder) {
        "mailsudo".to_owned()
    } else {
        format!("mailsudo-{}", settings.gateway.as_str().replace('.', "+"))
    };
    Path::new(FOLDER).join(name)
}

fn postfix_wanted(wanted: &Wanted<'_>, settings: &Settings) -> Result<postfix::Wanted> {
    plain_path(Path::new(wanted.program))?;
    let address = wanted.address.to_ascii_lowercase();
    let transport = match wanted.config {
        None => "mailsudo".to_owned(),
        Some(folder) => {
            plain_path(Path::new(folder))?;
            format!("mailsudo-{}", settings.gateway)
        }
    };
    Ok(postfix::Wanted {
        transport,
        address,
        others: postfix::others(settings),
        service_user: wanted.service_user.to_owned(),
        longest: wanted.longest.as_secs(),
        program: wanted.program.to_owned(),
        config: wanted.config.map(str::to_owned),
        gateway: settings.gateway.to_string(),
    })
}

/// The gateway's name and address as its file has them, where they are not the package's example. With a user, it is a
/// gateway in use, whatever its name.
pub fn configured(folder: &Path) -> Option<(GatewayName, MailAddress)> {
    let gateway = Gateway::open(folder, Trusted::caller()).ok()?;
    let settings = gateway.settings();
    let is_example = settings.gateway.as_str() == "berlin" && settings.address.as_str() == "ops@example.com";
    let is_example = is_example && gateway.user_names().is_ok_and(|names| names.is_empty());
    (!is_example).then(|| (settings.gateway.clone(), settings.address.clone()))
}
