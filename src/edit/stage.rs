//! A copy of the gateway's folder with planned changes in it, to be read before anything is changed. It has no secrets.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};

use crate::config::{Command, Gateway, Trusted};
use crate::system::changes::Changes;
use crate::system::files::Temporary;

/// The copy; it is removed when this is dropped.
#[derive(Debug)]
pub struct Stage {
    copy: Temporary,
    folder: PathBuf,
}

/// What is copied: what decides about commands, and not one file for each user.
const COPIED: &str = "commands.d";

impl Stage {
    /// A copy of the settings and commands in `folder`, and of nothing else, with `changes` below it.
    ///
    /// # Errors
    ///
    /// A file cannot be read or written.
    pub fn of(folder: &Path, changes: &Changes) -> Result<Self> {
        let stage = Self { copy: Temporary::folder()?, folder: folder.to_owned() };
        for name in [COPIED, "users.d"] {
            fs::create_dir(stage.path().join(name)).context("cannot copy the gateway's files")?;
        }
        stage.copy_file(Path::new("mailsudo.toml"))?;
        let from = folder.join(COPIED);
        for entry in fs::read_dir(&from).with_context(|| format!("cannot read {}", from.display()))? {
            let name = entry?.file_name();
            if Path::new(&name).extension().is_some_and(|ending| ending == "toml") {
                stage.copy_file(&Path::new(COPIED).join(name))?;
            }
        }
        for (path, content) in changes.iter() {
            let Ok(below) = path.strip_prefix(folder) else {
                continue;
            };
            let to = stage.path().join(below);
            match content {
                Some(content) => {
                    fs::create_dir_all(to.parent().unwrap_or(&to))?;
                    fs::write(&to, content)?;
                }
                None if to.exists() => fs::remove_file(&to)?,
                None => {}
            }
        }
        Ok(stage)
    }

    /// The folder of the copy.
    pub fn path(&self) -> &Path {
        self.copy.path()
    }

    /// Reads the settings and every command.
    ///
    /// # Errors
    ///
    /// One of them breaks the rules; the error names the file that would be wrong.
    pub fn read(&self) -> Result<(Gateway, Vec<Command>)> {
        self.try_read().map_err(|error| {
            let text = format!("{error:#}");
            anyhow!("{}", text.replace(&self.path().display().to_string(), &self.folder.display().to_string()))
        })
    }

    fn try_read(&self) -> Result<(Gateway, Vec<Command>)> {
        let gateway = Gateway::open(self.path(), Trusted::caller())?;
        let mut commands = Vec::new();
        for name in gateway.command_names()? {
            commands.extend(gateway.command(&name)?);
        }
        Ok((gateway, commands))
    }

    fn copy_file(&self, name: &Path) -> Result<()> {
        let from = self.folder.join(name);
        if !from.exists() {
            return Ok(());
        }
        let content = fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
        fs::write(self.path().join(name), content).context("cannot copy the gateway's files")
    }
}
