//! `mailsudo command add | edit | remove`: changes of the commands, with the sudo rules in the same step.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use super::confirm::Confirm;
use super::failure::usage;
use super::{GatewayArg, complete, record_change, stdout};
use crate::config::Gateway;
use crate::edit::{CommandEdit, Limit, NewParameter, edit_command, new_command, with_rules};
use crate::protocol::{CommandName, ParameterName};
use crate::sudoers::place;
use crate::system::changes::Changes;
use crate::system::files::Rights;

/// Add a command: check it, show the difference, ask, and write its file and the sudo rules
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mailsudo command add disk --argv '/usr/bin/df -h --local' \\
    --run-as nobody --allow web
  mailsudo command add restart --argv '/usr/bin/systemctl restart {service}' \\
    --parameter service=one_of:nginx,php8.2-fpm --default service=nginx \\
    --run-as root --allow oncall --allow web:service=nginx
  mailsudo command add set-password \\
    --argv '/usr/local/sbin/set-password {account} {password}' \\
    --parameter 'account=pattern:^[a-z]+$:20' \\
    --parameter 'password=pattern:^[A-Za-z0-9_-]+$:40' --secret password \\
    --run-as root --allow oncall")]
pub(super) struct Add {
    #[command(flatten)]
    what: What,

    #[command(flatten)]
    values: Values,
}

/// Change a command: check it, show the difference, ask, and write its file and the sudo rules
///
/// Comments in the file stay. What is not named stays as it is.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mailsudo command edit restart --timeout 1m --allow oncall
  mailsudo command edit restart --revoke web")]
pub(super) struct Edit {
    #[command(flatten)]
    what: What,

    #[command(flatten)]
    values: Values,

    /// A role that may no longer run it; may be given more than once
    #[arg(long, value_name = "ROLE")]
    revoke: Vec<String>,

    /// A parameter to remove, with the limits on its values; may be given more than once
    #[arg(long, value_name = "NAME")]
    remove_parameter: Vec<ParameterName>,
}

/// Remove a command: show the difference, ask, and remove its file and its sudo rules
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mailsudo command remove restart --dry-run")]
pub(super) struct Remove {
    #[command(flatten)]
    what: What,
}

/// The command, and how it is changed.
#[derive(Debug, Args)]
struct What {
    #[command(flatten)]
    gateway_arg: GatewayArg,

    /// The command's name
    #[arg(add = ArgValueCompleter::new(complete::commands))]
    name: CommandName,

    /// The file of the sudo rules [default: that of `mailsudo sudoers --install`]
    #[arg(long, value_name = "FILE")]
    sudoers_file: Option<PathBuf>,

    #[command(flatten)]
    confirm: Confirm,
}

/// The keys of mailsudo-commands(5).
#[derive(Debug, Args)]
struct Values {
    /// The program and its arguments, separated by white space; {NAME} is the value of a parameter
    #[arg(long, value_name = "LINE")]
    argv: Option<String>,

    /// The account that it runs as
    #[arg(long, value_name = "USER[:GROUP]")]
    run_as: Option<String>,

    /// A role that may run it, with every value or only with these; may be given more than once
    #[arg(long, value_name = "ROLE[:NAME=A,B]", value_parser = Limit::parse)]
    allow: Vec<Limit>,

    /// One line that describes it
    #[arg(long, value_name = "TEXT")]
    summary: Option<String>,

    /// A parameter: NAME=one_of:A,B or NAME=integer:MIN..MAX or NAME=pattern:REGEX:MAX_LENGTH; may be given more than
    /// once
    #[arg(long, value_name = "SPEC", value_parser = NewParameter::parse)]
    parameter: Vec<NewParameter>,

    /// A parameter whose values are kept out of log, ledger, replies and notices, see docs/encryption.md; may be given
    /// more than once
    #[arg(long, value_name = "NAME")]
    secret: Vec<ParameterName>,

    /// The value of a parameter where a request gives none; may be given more than once
    #[arg(long, value_name = "NAME=VALUE", value_parser = super::sign::argument)]
    default: Vec<(ParameterName, String)>,

    /// Its time limit
    #[arg(long, value_name = "SPAN")]
    timeout: Option<String>,

    /// How old a request for it may be
    #[arg(long, value_name = "SPAN")]
    max_age: Option<String>,

    /// How much of its output is kept
    #[arg(long, value_name = "SIZE")]
    output: Option<String>,

    /// Whether only one run at a time is allowed
    #[arg(long, value_name = "BOOL")]
    exclusive: Option<bool>,
}

impl Values {
    fn edit(self) -> CommandEdit {
        CommandEdit {
            summary: self.summary,
            argv: self.argv,
            run_as: self.run_as,
            timeout: self.timeout,
            max_age: self.max_age,
            output: self.output,
            exclusive: self.exclusive,
            parameters: self.parameter,
            secrets: self.secret,
            defaults: self.default,
            allow: self.allow,
            ..CommandEdit::default()
        }
    }
}

impl Add {
    pub(super) fn run(self) -> Result<ExitCode> {
        let gateway = self.what.gateway_arg.open_own()?;
        let file = self.what.file(&gateway);
        if file.exists() {
            bail!("{} exists already: `mailsudo command edit {}` changes it", file.display(), self.what.name);
        }
        if self.values.argv.is_none() || self.values.run_as.is_none() {
            return Err(usage("a new command needs --argv and --run-as"));
        }
        let has_role = !self.values.allow.is_empty();
        let text = new_command(&self.values.edit()).map_err(|error| usage(format!("{error:#}")))?;
        let name = self.what.name.clone();
        let status = self.what.change(&gateway, &file, Some(&text))?;
        if !has_role {
            stdout::note(format_args!("No role may run it yet: mailsudo command edit {name} --allow ROLE"))?;
        }
        Ok(status)
    }
}

impl Edit {
    pub(super) fn run(self) -> Result<ExitCode> {
        let gateway = self.what.gateway_arg.open_own()?;
        let file = self.what.existing(&gateway)?;
        let former = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let edit = CommandEdit { revoke: self.revoke, without_parameters: self.remove_parameter, ..self.values.edit() };
        if edit == CommandEdit::default() {
            return Err(usage(
                "name what is to be changed, such as --timeout 1m; `mailsudo command edit --help` lists it",
            ));
        }
        let text = edit_command(&former, &edit).with_context(|| file.display().to_string())?;
        self.what.change(&gateway, &file, Some(&text))
    }
}

impl Remove {
    pub(super) fn run(self) -> Result<ExitCode> {
        let gateway = self.what.gateway_arg.open_own()?;
        let file = self.what.existing(&gateway)?;
        self.what.change(&gateway, &file, None)
    }
}

impl What {
    fn file(&self, gateway: &Gateway) -> PathBuf {
        gateway.path().join("commands.d").join(format!("{}.toml", self.name))
    }

    fn existing(&self, gateway: &Gateway) -> Result<PathBuf> {
        let file = self.file(gateway);
        if !file.exists() {
            bail!("there is no command {}; see `mailsudo command list`", self.name);
        }
        Ok(file)
    }

    /// Makes `text` the command's file, or removes it, and installs the sudo rules that belong to it.
    fn change(self, gateway: &Gateway, file: &Path, text: Option<&str>) -> Result<ExitCode> {
        let mut changes = Changes::default();
        match text {
            Some(text) => changes.write(file, text, Rights::READABLE),
            None => changes.remove(file),
        }
        let what = format!("command {} {}", if text.is_some() { "write" } else { "remove" }, self.name);
        let rules = self.sudoers_file.unwrap_or_else(|| place(gateway));
        apply(gateway, &what, &planned(gateway, changes, &rules)?, &self.confirm)
    }
}

/// The changes with the sudo rules that belong to them. Where the files are right without them and wrong with them, it
/// is the command line that is wrong.
pub(super) fn planned(gateway: &Gateway, changes: Changes, rules: &Path) -> Result<Changes> {
    with_rules(gateway.path(), changes, rules).map_err(|error| {
        match with_rules(gateway.path(), Changes::default(), rules) {
            Ok(_) => usage(format!("{error:#}")),
            Err(_) => error,
        }
    })
}

/// Shows the changes, asks, makes them, and records that `what` was done.
pub(super) fn apply(gateway: &Gateway, what: &str, changes: &Changes, confirm: &Confirm) -> Result<ExitCode> {
    if changes.is_empty() {
        noteln!("nothing to change")?;
        return Ok(ExitCode::SUCCESS);
    }
    stdout::text(&changes.difference()?)?;
    if let Some(status) = confirm.missing("Change this?")? {
        return Ok(status);
    }
    changes.apply()?;
    record_change(gateway, what);
    noteln!("done")?;
    Ok(ExitCode::SUCCESS)
}
