//! Changes of the gateway's own files without an editor. In: what is to be different. Out: [`Changes`] of the files,
//! comments kept, with the sudo rules that belong to them.
//!
//! MUST: the changed files are read by the gateway's own reader before anything is written; a change of what may run
//! brings the sudo rules with it; visudo(8) has accepted them.

mod command;
mod settings;
mod show;
mod stage;
mod users;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

pub use command::{CommandEdit, Limit, NewParameter, edit_command, new_command};
pub use settings::{set, settings_file, unset};
pub use show::{Shown, in_force, is_setting};
pub use stage::Stage;
pub use users::{Import, export, import};

use crate::config::{Command, Gateway, RunVia};
use crate::limits::SUDO_ANSWER;
use crate::sudoers::{Tools, fragment};
use crate::system::changes::Changes;
use crate::system::files::Rights;

/// A fragment of sudoers(5).
const FRAGMENT: Rights = Rights { mode: 0o440, owner: None };

/// `changes` of the gateway in `folder`, checked, with the sudo rules in the file `rules` that belong to them. Only
/// what differs from the files as they are.
///
/// # Errors
///
/// The changed gateway could not be used; or sudo cannot express a command; or visudo refuses the rules.
pub fn with_rules(folder: &Path, changes: Changes, rules: &Path) -> Result<Changes> {
    let stage = Stage::of(folder, &changes)?;
    let (gateway, commands) = stage.read()?;
    let mut all = changes;
    if gateway.settings().execution.run_via == RunVia::Sudo {
        all.append(rules_of(&gateway, &commands, rules, stage.path())?);
    }
    all.needed()
}

/// The change of the sudo rules in the file `rules`; the former ones are kept beside it with a ~.
fn rules_of(gateway: &Gateway, commands: &[Command], rules: &Path, scratch: &Path) -> Result<Changes> {
    let tools = Tools::find(&gateway.settings().execution, SUDO_ANSWER)?;
    let wanted = fragment(commands, gateway.settings(), tools.dialect)?;
    let mut changes = Changes::default();
    let former = match fs::read(rules) {
        Ok(former) => Some(former),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", rules.display())),
    };
    if former.as_deref() == Some(wanted.as_bytes()) {
        return Ok(changes);
    }
    tools.check(&wanted, &scratch.join("fragment"))?;
    if let Some(former) = former {
        changes.write(&kept(rules), former, FRAGMENT);
    }
    changes.write(rules, wanted, FRAGMENT);
    Ok(changes)
}

/// Where the former rules are kept; sudo ignores such a name.
fn kept(rules: &Path) -> PathBuf {
    let mut kept = rules.as_os_str().to_owned();
    kept.push("~");
    kept.into()
}
