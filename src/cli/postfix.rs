//! `mailsudo postfix`: connects the gateway to an address of this host's Postfix.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Subcommand};

use super::GatewayArg;
use super::confirm::Confirm;
use crate::config::{DEFAULT_FOLDER, Gateway};
use crate::postfix::{Plan, Postfix, Wanted, others, plain_path};
use crate::remedy::{Remedy, program};
use crate::system::accounts;

/// Connect the gateway to an address of this host's Postfix, show the state, or remove it
#[derive(Debug, Subcommand)]
pub(super) enum PostfixCommand {
    Install(Install),
    Show(Show),
    Remove(Remove),
}

/// Show what would change in Postfix's files, ask, change it with postconf(1), and reload Postfix
///
/// It sets the transport in master.cf, its limits and maps in main.cf, and its own map. It leaves correct settings
/// unchanged: a second run says "nothing to change". Each further address among recipients in mailsudo.toml gets a
/// transport of its own: a flood to one address does not delay mail to another. Run it again after a change of address,
/// recipients, service_user or of longest in mailsudo.toml.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mailsudo postfix install --dry-run")]
pub(super) struct Install {
    #[command(flatten)]
    gateway_arg: GatewayArg,

    #[command(flatten)]
    place: Place,

    /// The program [default: the running one]
    #[arg(long, value_name = "PATH")]
    bin: Option<PathBuf>,

    #[command(flatten)]
    confirm: Confirm,
}

/// Show the transport as Postfix has it, and what `install` would change
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mailsudo postfix show")]
pub(super) struct Show {
    #[command(flatten)]
    gateway_arg: GatewayArg,

    #[command(flatten)]
    place: Place,

    /// The program [default: the running one]
    #[arg(long, value_name = "PATH")]
    bin: Option<PathBuf>,
}

/// Remove what `install` has added, and leave everything else
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mailsudo postfix remove --transport mailsudo-paris")]
pub(super) struct Remove {
    #[command(flatten)]
    place: Place,

    #[command(flatten)]
    confirm: Confirm,
}

#[derive(Debug, Args)]
struct Place {
    /// The name of the transport; each gateway of a host needs its own
    #[arg(long, value_name = "NAME", default_value = "mailsudo")]
    transport: String,

    /// The folder of main.cf and master.cf
    #[arg(long, value_name = "DIR", default_value = "/etc/postfix")]
    postfix_config: PathBuf,
}

impl PostfixCommand {
    pub(super) fn run(self) -> Result<ExitCode> {
        match self {
            Self::Install(install) => install.run(),
            Self::Show(show) => show.run(),
            Self::Remove(remove) => remove.run(),
        }
    }
}

impl Install {
    fn run(self) -> Result<ExitCode> {
        let postfix = Postfix::open(&self.place.postfix_config)?;
        let (plan, notes) = Plan::install(&postfix, &wanted(&self.gateway_arg, &self.place, self.bin.as_deref())?)?;
        for note in notes {
            outln!("note: {note}")?;
        }
        change(&plan, &postfix, &self.confirm)
    }
}

impl Show {
    fn run(self) -> Result<ExitCode> {
        let postfix = Postfix::open(&self.place.postfix_config)?;
        let (plan, notes) = Plan::install(&postfix, &wanted(&self.gateway_arg, &self.place, self.bin.as_deref())?)?;
        for note in notes {
            outln!("note: {note}")?;
        }
        let difference = plan.difference(&postfix)?;
        if difference.is_empty() {
            outln!("The transport {} is installed as it should be.", self.place.transport)?;
            return Ok(ExitCode::SUCCESS);
        }
        outln!("`mailsudo postfix install` would change:\n\n{}", difference.trim_end())?;
        Ok(ExitCode::FAILURE)
    }
}

impl Remove {
    fn run(self) -> Result<ExitCode> {
        let postfix = Postfix::open(&self.place.postfix_config)?;
        let plan = Plan::remove(&postfix, &self.place.transport)?;
        change(&plan, &postfix, &self.confirm)
    }
}

fn change(plan: &Plan, postfix: &Postfix, confirm: &Confirm) -> Result<ExitCode> {
    let difference = plan.difference(postfix)?;
    if difference.is_empty() {
        noteln!("nothing to change")?;
        return Ok(ExitCode::SUCCESS);
    }
    outln!("Would be changed:\n\n{}\n", difference.trim_end())?;
    let is_running = postfix.is_running();
    let folder = postfix.folder().display();
    if is_running {
        outln!("Then would be run: {} -c {folder} reload", program("postfix"))?;
    }
    if let Some(status) = confirm.missing("Change this?")? {
        return Ok(status);
    }
    plan.apply(postfix).with_context(|| format!("nothing was changed in {folder}"))?;
    if is_running {
        postfix.reload()?;
        noteln!("done")?;
    } else {
        noteln!("done; Postfix is not running, and reads this when it starts")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn wanted(gateway_arg: &GatewayArg, place: &Place, program: Option<&Path>) -> Result<Wanted> {
    let gateway = gateway_arg.open()?;
    let settings = gateway.settings();
    let program = program.unwrap_or(&settings.execution.mailsudo);
    plain_path(program)?;
    ensure!(program.is_file(), "{} is not a program: name it with --bin PATH", program.display());
    plain_path(gateway.path())?;
    check_service_user(&gateway)?;
    // Postfix looks addresses up in lower case, so the map's key must be in lower case.
    let address = settings.address.as_str().to_ascii_lowercase();
    let others = others(settings);
    for address in others.iter().chain([&address]) {
        if address.contains(|c: char| c.is_whitespace() || c == '"') {
            bail!("address \"{address}\" is not one that a transport map can hold");
        }
    }
    let is_default = Path::new(DEFAULT_FOLDER).canonicalize().is_ok_and(|folder| folder == gateway.path());
    Ok(Wanted {
        transport: place.transport.clone(),
        address,
        others,
        service_user: settings.service_user.clone(),
        longest: settings.execution.longest.as_duration().as_secs(),
        program: program.display().to_string(),
        config: (!is_default).then(|| gateway.path().display().to_string()),
        gateway: settings.gateway.to_string(),
    })
}

/// pipe(8) refuses these accounts, and every mail would be deferred.
fn check_service_user(gateway: &Gateway) -> Result<()> {
    let name = &gateway.settings().service_user;
    let account = accounts::find(name)?
        .with_context(|| format!("service_user {name} does not exist: {}", Remedy::AddAccount(name.clone())))?;
    let owner = accounts::find("postfix")?;
    let is_refused = account.uid == 0 || account.gid == 0 || owner.is_some_and(|owner| owner.uid == account.uid);
    ensure!(!is_refused, "service_user {name} may be neither root, of group root, nor Postfix itself");
    Ok(())
}
