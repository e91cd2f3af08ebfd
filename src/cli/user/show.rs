//! `mailsudo user list | show`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::{UserArg, known};
use crate::cli::table::Table;
use crate::cli::{GatewayArg, open_ledger, print_json, qr, when};
use crate::config::{EncryptKind, Gateway, MailAddress, User};
use crate::encryption::{About, Encryption};
use crate::enrolment::Enrolment;
use crate::ledger::{Ledger, Lockout};
use crate::limits::Timeouts;
use crate::protocol::{SshKey, Timestamp, UserName};
use crate::remedy::Call;
use crate::system::clock::{Clock, SystemClock};

/// List the users
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mailsudo user list --json")]
pub(in crate::cli) struct List {
    #[command(flatten)]
    gateway_arg: GatewayArg,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Show the data of a user, with the lockout and without secrets
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mailsudo user show alice")]
pub(in crate::cli) struct Show {
    #[command(flatten)]
    user_arg: UserArg,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl List {
    pub(super) fn run(self) -> Result<ExitCode> {
        let gateway = self.gateway_arg.open()?;
        let mut rows = Vec::new();
        for name in gateway.user_names()? {
            rows.push((gateway.user(&name)?, name));
        }
        if self.json {
            let rows = rows.iter().map(|(user, name)| {
                json!({ "name": name.as_str(), "address": user.address.as_str(), "roles": user.roles, "enabled": user.enabled })
            });
            return print_json(&rows.collect::<Vec<_>>());
        }
        let mut table = Table::new(["NAME", "ENABLED", "ADDRESS", "ROLES"]);
        for (user, name) in &rows {
            let enabled = if user.enabled { "yes" } else { "no" };
            let (name, address) = (name.to_string(), user.address.to_string());
            table.row([name.into(), enabled.into(), address.into(), user.roles.join(",").into()]);
        }
        table.print()?;
        if rows.is_empty() {
            outln!(
                "There are no users yet. To enrol one: {} --address ADDRESS --role ROLE",
                Call::AddUser("NAME".to_owned())
            )?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Show {
    pub(super) fn run(self) -> Result<ExitCode> {
        let gateway = self.user_arg.gateway_arg.open()?;
        let seen = Seen::of(&gateway, self.user_arg.name)?;
        if self.json {
            return print_json(&seen.json());
        }
        seen.print()?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What is shown of a user.
struct Seen {
    name: UserName,
    user: User,
    /// The key's fingerprint; an error where the secrets cannot be read.
    fingerprint: Result<String>,
    /// Until when the key before the last rotation is accepted.
    previous_until: Option<Timestamp>,
    certificate: Option<(EncryptKind, Result<About, String>)>,
    lockout: Result<Option<Lockout>>,
}

impl Seen {
    fn of(gateway: &Gateway, name: UserName) -> Result<Self> {
        let user = known(gateway, &name)?;
        let secrets = Enrolment::new(gateway, None).secrets(&name);
        let previous_until = secrets.as_ref().ok().and_then(|secrets| secrets.previous.as_ref()).map(|key| key.until);
        let lockout = open_ledger(gateway).and_then(|ledger| Ok(lockout(ledger.as_ref(), &name)?));
        let encryption = Encryption::new(gateway, &Timeouts::DEFAULT);
        let certificate = user.encrypt.map(|kind| (kind, encryption.about(&name, kind)));
        let fingerprint = secrets.map(|secrets| secrets.key.fingerprint());
        Ok(Self { name, user, fingerprint, previous_until, certificate, lockout })
    }

    fn from(&self) -> Vec<&str> {
        self.user.from.iter().map(MailAddress::as_str).collect()
    }

    fn json(&self) -> serde_json::Value {
        let (user, former) = (&self.user, self.user.ssh.previous.as_ref());
        let former_keys = former.map(|former| former.keys.as_slice()).unwrap_or_default();
        let lockout = self.lockout.as_ref().ok().and_then(Option::as_ref);
        json!({
            "name": self.name.as_str(),
            "address": user.address.as_str(),
            "from": self.from(),
            "roles": user.roles,
            "enabled": user.enabled,
            "secrets": self.fingerprint.is_ok(),
            "fingerprint": self.fingerprint.as_ref().ok(),
            "previous_key_until": self.previous_until.map(|until| until.to_string()),
            "ssh_keys": user.ssh.keys.iter().map(about_key).collect::<Vec<_>>(),
            "previous_ssh_keys": former_keys.iter().map(about_key).collect::<Vec<_>>(),
            "previous_ssh_keys_until": former.map(|former| former.until.to_string()),
            "require_signature": user.ssh.require_signature,
            "require_verification": user.ssh.require_verification,
            "encrypt": user.encrypt.map(|kind| kind.to_string()),
            "certificate": self.certificate.as_ref().map(about_certificate),
            "locked_out_until": lockout.map(|lockout| lockout.until.to_string()),
        })
    }

    fn print(&self) -> Result<()> {
        outln!("name     {}", self.name)?;
        outln!("address  {}", self.user.address)?;
        outln!("from     {}", self.from().join(", "))?;
        outln!("roles    {}", self.user.roles.join(", "))?;
        outln!("enabled  {}", if self.user.enabled { "yes" } else { "no" })?;
        match &self.fingerprint {
            Ok(fingerprint) => outln!("secrets  present; key {}", qr::grouped(fingerprint))?,
            Err(error) => outln!("secrets  {error:#}")?,
        }
        if let Some(until) = self.previous_until {
            outln!("old key  valid for requests signed up to {}", when(until))?;
        }
        self.print_ssh_keys()?;
        if let Some((kind, about)) = &self.certificate {
            outln!("mail     encrypted with {kind}: {}", shown_certificate(about))?;
        }
        match &self.lockout {
            Ok(Some(Lockout { until, .. })) => {
                outln!("lockout  until {}; to end it: {}", when(*until), Call::UnlockUser(self.name.to_string()))?;
            }
            Ok(None) => outln!("lockout  none")?,
            Err(error) => outln!("lockout  unknown: {error:#}")?,
        }
        Ok(())
    }

    fn print_ssh_keys(&self) -> Result<()> {
        let ssh = &self.user.ssh;
        for key in &ssh.keys {
            outln!("ssh key  {}", shown(key))?;
        }
        if let Some(former) = &ssh.previous {
            for key in &former.keys {
                outln!("old key  {}; valid for requests signed up to {}", shown(key), when(former.until))?;
            }
        }
        if !ssh.keys.is_empty() || ssh.require_signature {
            let required = if ssh.require_signature { "required" } else { "required by some commands only" };
            let how = if ssh.require_verification { ", with a PIN or fingerprint" } else { "" };
            outln!("signing  with an SSH key is {required}{how}")?;
        }
        Ok(())
    }
}

fn shown_certificate(about: &Result<About, String>) -> String {
    match about {
        Ok(About { key, expires: Some(at), .. }) => format!("{key}, expires {}", when(*at)),
        Ok(About { key, expires: None, .. }) => format!("{key}, does not expire"),
        Err(why) => format!("nothing can be encrypted: {why}"),
    }
}

fn about_certificate((_, about): &(EncryptKind, Result<About, String>)) -> serde_json::Value {
    match about {
        Ok(about) => {
            let expires = about.expires.map(|time| time.to_string());
            json!({ "usable": true, "key": about.key, "expires": expires, "weak": about.is_weak })
        }
        Err(why) => json!({ "usable": false, "reason": why }),
    }
}

/// A key as `ssh-keygen -l` names it.
fn shown(key: &SshKey) -> String {
    format!("{} {} {}", key.kind(), key.fingerprint(), key.comment()).trim_end().to_owned()
}

fn about_key(key: &SshKey) -> serde_json::Value {
    json!({ "type": key.kind(), "fingerprint": key.fingerprint(), "comment": key.comment() })
}

/// The lockout that is in force now.
fn lockout(ledger: &dyn Ledger, name: &UserName) -> Result<Option<Lockout>, crate::ledger::LedgerError> {
    let now = SystemClock.now();
    Ok(ledger.lockout(name)?.filter(|lockout| now < lockout.until))
}
