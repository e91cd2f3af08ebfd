//! `mailsudo sudoers`: the sudo rules, as text and on disk.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::confirm::Confirm;
use super::failure::{self, Caller};
use super::{GatewayArg, is_service_user, record_change, stdout, tell};
use crate::limits::SUDO_ANSWER;
use crate::remedy::Call;
use crate::sudoers::{Dialect, Tools, drift, drift_in_force, fragment, install, place};

/// Print, compare or install the sudoers fragment that permits exactly the configured commands
///
/// Print it with no option. --check shows how the installed one differs; the service user, who may not read it, gets
/// what sudo -l lists instead. Only that user and root get an answer. Exit status 0: it is correct. 1: it differs. 2:
/// that is not known. --install shows the difference too, asks, has visudo check the new one, replaces the old one in
/// one step and keeps it with a ~ after its name. Each gateway has a fragment of its own.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mailsudo sudoers --check
  mailsudo sudoers --install
  mailsudo sudoers --for sudo-rs")]
pub(super) struct Sudoers {
    #[command(flatten)]
    gateway_arg: GatewayArg,

    /// The dialect of sudoers(5) [default: that of the installed sudo]
    #[arg(long = "for", value_enum)]
    dialect: Option<Dialect>,

    /// Show how the installed fragment differs
    #[arg(long, conflicts_with = "install")]
    check: bool,

    /// Install the fragment
    #[arg(long)]
    install: bool,

    /// Where the fragment is installed [default: /etc/sudoers.d/mailsudo, or mailsudo-GATEWAY there where --config is
    /// another folder than /etc/mailsudo]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,

    #[command(flatten)]
    confirm: Confirm,
}

impl Sudoers {
    pub(super) fn run(self) -> Result<ExitCode> {
        // The service user may own commands for its own use; but none of its files becomes a rule that lets it become
        // root.
        let gateway = self.gateway_arg.open_own()?;
        let settings = gateway.settings();
        let tools = Tools::find(&settings.execution, SUDO_ANSWER);
        let dialect = match (self.dialect, &tools) {
            (Some(dialect), _) => dialect,
            (None, Ok(tools)) => tools.dialect,
            // Nothing is installed here that could differ.
            (None, Err(_)) => Dialect::Sudo,
        };
        let wanted = fragment(&super::commands(&gateway)?, settings, dialect)?;
        if !self.check && !self.install {
            stdout::text(&wanted)?;
            return Ok(ExitCode::SUCCESS);
        }
        let own = place(&gateway);
        let file = self.file.unwrap_or_else(|| own.clone());
        let installed = file.display().to_string();
        let (looked_at, difference) = match (drift(&file, &wanted), self.check) {
            (Err(_), true) if file == own && is_service_user(settings) => {
                ("what sudo -l lists", drift_in_force(&settings.execution.sudo, dialect, &wanted, SUDO_ANSWER))
            }
            (difference, _) => (installed.as_str(), difference),
        };
        let difference = match difference {
            Err(error) if self.check => {
                tell(format_args!("mailsudo: {}", failure::words(&error, Caller::Sysadmin)));
                return Ok(ExitCode::from(UNKNOWN));
            }
            difference => difference?,
        };
        let Some(difference) = difference else {
            noteln!("{looked_at} permits exactly what the commands need.")?;
            return Ok(ExitCode::SUCCESS);
        };
        if self.check {
            stdout::text(&difference)?;
            tell(format_args!("{looked_at} differs. To correct it: {}", Call::InstallSudoers));
            return Ok(ExitCode::FAILURE);
        }
        outln!("{installed} would be changed:\n\n{}\n", difference.trim_end())?;
        if let Some(status) = self.confirm.missing(&format!("Install this as {installed}?"))? {
            return Ok(status);
        }
        install(&file, &wanted, &tools?)?;
        record_change(&gateway, &format!("sudoers --install --file {installed}"));
        noteln!("{installed} is installed.")?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The exit status of `--check` if the answer is not known.
const UNKNOWN: u8 = 2;
