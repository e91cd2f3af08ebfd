//! `mailsudo page`: writes the page that users sign, approve and check with.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use super::user::known;
use super::{GatewayArg, complete, stdout, tell};
use crate::config::Gateway;
use crate::page::{self, Owner};
use crate::protocol::UserName;
use crate::remedy::Call;
use crate::system::files::{Rights, replace};

/// Print the page with which a user signs, approves and checks in a browser
///
/// One HTML file that loads nothing from the network. It holds the gateway's name, its mail address and the commands
/// that the user's roles permit, and no secret: the user adds the key file to it on the device. Without --user and
/// --role it offers the built-in commands, and a form for any other.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mailsudo page --user alice > berlin.html
  mailsudo page --role web > berlin-web.html
  mailsudo page --user alice --served /var/www/html/berlin")]
pub(super) struct Page {
    #[command(flatten)]
    gateway_arg: GatewayArg,

    /// For this user
    #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(complete::users))]
    user: Option<UserName>,

    /// For every user with this role; may be given more than once
    #[arg(long = "role", value_name = "ROLE", conflicts_with = "user")]
    roles: Vec<String>,

    /// Write the files of an installable web app into this folder, which must exist, instead
    #[arg(long, value_name = "FOLDER")]
    served: Option<PathBuf>,
}

impl Page {
    pub(super) fn run(self) -> Result<ExitCode> {
        let gateway = self.gateway_arg.open()?;
        let html = if let Some(name) = &self.user {
            let user = known(&gateway, name)?;
            if user.ssh.require_signature {
                tell(format_args!(
                    "Requests of {name} need an SSH signature, which a browser cannot make: the page only checks replies. \
                     `mailsudo sign` signs."
                ));
            }
            page::html(&gateway, &Owner::of(name, &user))?
        } else {
            check_roles(&gateway, &self.roles)?;
            page::html(&gateway, &Owner::with(&self.roles))?
        };
        match &self.served {
            Some(folder) => write(folder, &html, &gateway)?,
            None => stdout::text(&html)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Refuses a role that no command allows: most often it is a typing error.
fn check_roles(gateway: &Gateway, roles: &[String]) -> Result<()> {
    let commands = super::commands(gateway)?;
    let is_known = |role: &&String| commands.iter().any(|command| command.allow.contains_key(*role));
    match roles.iter().find(|role| !is_known(role)) {
        Some(role) => bail!("no command allows the role {role}; the commands with their roles: {}", Call::ListCommands),
        None => Ok(()),
    }
}

/// Writes the files of the web app; each is replaced in one step.
fn write(folder: &Path, html: &str, gateway: &Gateway) -> Result<()> {
    if !folder.is_dir() {
        bail!("there is no folder {0}: install -d {0}", folder.display());
    }
    for file in page::served(html, gateway.settings().gateway.as_str()) {
        let path = folder.join(file.name);
        replace(&path, file.content.as_bytes(), Rights { mode: 0o644, owner: None })
            .context("the page is not whole")?;
        outln!("{}", path.display())?;
    }
    Ok(())
}
