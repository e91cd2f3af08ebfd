//! `mailsudo ledger init` and `mailsudo ledger migrate`.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::cli::confirm::DryRun;
use crate::cli::{GatewayArg, service_account, trusted_for};
use crate::config::{Gateway, LedgerUrl, PostgresUrl, Trusted};
use crate::ledger::Owner;
use crate::system::clock::{Clock, SystemClock};

/// Make an empty ledger where mailsudo.toml says; an existing one stays unchanged
///
/// A new ledger refuses all requests that were signed before it was made. It may replace a lost ledger, and must not
/// run again what that one recorded. In PostgreSQL, it also lets the role of `[ledger] url` do what deliver needs.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mailsudo ledger init
  mailsudo ledger init \\
    --owner-url 'postgresql://mailsudo_owner@/mailsudo?host=/run/postgresql'")]
pub(in crate::cli) struct Init {
    #[command(flatten)]
    gateway_arg: GatewayArg,

    #[command(flatten)]
    owner_arg: OwnerArg,

    #[command(flatten)]
    dry_run: DryRun,
}

/// Bring the tables of a ledger in PostgreSQL up to date, after mailsudo was upgraded
///
/// Migrations are numbered and only go forward. A ledger that a newer mailsudo has migrated beyond what this one can
/// use is not touched.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mailsudo ledger migrate --owner-url 'postgresql://mailsudo_owner@/mailsudo'")]
pub(in crate::cli) struct Migrate {
    #[command(flatten)]
    gateway_arg: GatewayArg,

    #[command(flatten)]
    owner_arg: OwnerArg,

    #[command(flatten)]
    dry_run: DryRun,
}

/// As which role the tables of a ledger in PostgreSQL are made or changed.
#[derive(Debug, Args)]
pub(super) struct OwnerArg {
    /// PostgreSQL: the role that owns the tables, and the server, as in `[ledger] url`; without it, those of `[ledger]
    /// url`
    #[arg(long, value_name = "URL", value_parser = postgres_url)]
    owner_url: Option<PostgresUrl>,

    /// The file with that role's password
    #[arg(long, value_name = "FILE", requires = "owner_url")]
    owner_password_file: Option<PathBuf>,
}

pub(in crate::cli) fn postgres_url(text: &str) -> Result<PostgresUrl, String> {
    match LedgerUrl::try_from(text.to_owned())? {
        LedgerUrl::Postgres(url) => Ok(url),
        LedgerUrl::Sqlite(_) => Err("it must begin with postgresql://".to_owned()),
    }
}

impl OwnerArg {
    /// The owner of the tables at `url`.
    pub(super) fn owner<'o>(&'o self, gateway: &'o Gateway, url: &'o PostgresUrl) -> Result<Owner<'o>> {
        let settings = gateway.settings();
        Ok(Owner {
            url: self.owner_url.as_ref().unwrap_or(url),
            password_file: match &self.owner_url {
                Some(_) => self.owner_password_file.as_deref(),
                None => settings.ledger.password_file.as_deref(),
            },
            settings,
            trusted: trusted_for(gateway)?,
        })
    }
}

impl Init {
    pub(super) fn run(self) -> Result<ExitCode> {
        let gateway = self.gateway_arg.open()?;
        let url = &gateway.settings().ledger.url;
        if self.dry_run.is_all(&format!("{url} would be made, if it does not exist"))? {
            return Ok(ExitCode::SUCCESS);
        }
        let was_made = match url {
            LedgerUrl::Sqlite(_) if self.owner_arg.owner_url.is_some() => {
                bail!("--owner-url is for a ledger in PostgreSQL, and [ledger] url is {url}")
            }
            LedgerUrl::Sqlite(path) => match init_file(&gateway, path)? {
                Some(was_made) => was_made,
                None => return Ok(ExitCode::SUCCESS),
            },
            // A new ledger may replace a lost one: what was signed before now could have run already.
            LedgerUrl::Postgres(url) => {
                crate::ledger::init_database(&self.owner_arg.owner(&gateway, url)?, Some(SystemClock.now()))?
            }
        };
        let state = if was_made { "is made" } else { "exists already, and is unchanged" };
        outln!("The ledger {url} {state}.")?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Makes the ledger's file. Returns whether it was made; `None` where another process has done it and has said so.
fn init_file(gateway: &Gateway, path: &Path) -> Result<Option<bool>> {
    if let Some(folder) = path.parent()
        && folder.try_exists().is_ok_and(|exists| !exists)
    {
        let (user, shown) = (&gateway.settings().service_user, folder.display());
        bail!(
            "there is no folder {shown}: mount the missing file system, or install -d -m 0700 -o {user} -g {user} {shown}"
        );
    }
    // Root would follow links that the service user puts into its folder, so the service user makes it.
    if let Some(account) = service_account(gateway)? {
        let status = Command::new(std::env::current_exe()?)
            .args(["ledger", "init", "--config"])
            .arg(gateway.path())
            .uid(account.uid)
            .gid(account.gid)
            .current_dir("/")
            .status()
            .context("cannot act as the service user")?;
        if !status.success() {
            bail!("the service user could not make the ledger");
        }
        return Ok(None);
    }
    let was_there = path.exists();
    crate::ledger::init(path, Trusted::caller(), Some(SystemClock.now()))?;
    Ok(Some(!was_there))
}

impl Migrate {
    pub(super) fn run(self) -> Result<ExitCode> {
        let gateway = self.gateway_arg.open()?;
        let LedgerUrl::Postgres(url) = &gateway.settings().ledger.url else {
            bail!("a ledger in SQLite needs no migration; [ledger] url is {}", gateway.settings().ledger.url);
        };
        if self.dry_run.is_all("the tables would be brought up to date")? {
            return Ok(ExitCode::SUCCESS);
        }
        let (before, after) = crate::ledger::migrate(&self.owner_arg.owner(&gateway, url)?)?;
        if before == after {
            outln!("The ledger has schema {after} already.")?;
        } else {
            outln!("The ledger had schema {before} and has schema {after} now.")?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
