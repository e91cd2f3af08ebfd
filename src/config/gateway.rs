//! The gateway's folder: `mailsudo.toml`, and the users' and commands' files beside it. Each is opened by its name when
//! it is needed.

use std::path::Path;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{Command, ConfigError, Distrust, EncryptKind, Folder, Lockdown, Secrets, Settings, Source, Trusted, User};
use crate::protocol::{BadName, CommandName, UserName};

/// The gateway's folder, with its settings read; the rest is read when needed.
#[derive(Debug)]
pub struct Gateway {
    folder: Folder,
    settings: Settings,
}

const FILE: &str = "mailsudo.toml";

/// The file that is there during a lockdown.
pub const LOCKDOWN: &str = "lockdown.toml";

/// The folder with the certificates that mail to users is encrypted to.
const CERTIFICATES: &str = "certs.d";

impl Gateway {
    /// Opens the folder and reads `mailsudo.toml`.
    ///
    /// # Errors
    ///
    /// The folder or file is missing, is not `trusted`, or breaks the rules.
    pub fn open(folder: &Path, trusted: Trusted) -> Result<Self, ConfigError> {
        let folder = Folder::open(folder, trusted)?;
        let text = folder.read(FILE)?;
        let file = folder.path().join(FILE);
        let settings = Settings::parse(&Source { file: &file, text: &text })?;
        Ok(Self { folder, settings })
    }

    /// What `mailsudo.toml` says.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The keys of `mailsudo.toml` that have a newer name, each with its replacement. For `check`.
    pub fn old_keys(&self) -> Result<Vec<(String, String)>, ConfigError> {
        let text = self.folder.read(FILE)?;
        let file = self.folder.path().join(FILE);
        let table: toml::Table = Source { file: &file, text: &text }.parse()?;
        let old_value =
            table.get("execution").and_then(|execution| execution.get("fence")).and_then(toml::Value::as_str);
        Ok(old_value
            .map(|value| {
                let run_via = if value == "none" { "direct" } else { value };
                (format!("[execution] fence = \"{value}\""), format!("run_via = \"{run_via}\""))
            })
            .into_iter()
            .collect())
    }

    /// A digest of what must be the same on all mail servers with one ledger: `mailsudo.toml` without `[ledger]`,
    /// `[syslog]` and `[execution]`, which name what is around each; all users, secrets, commands and certificates; the
    /// lockdown; and the keys that `[decryption]` names.
    ///
    /// # Errors
    ///
    /// A file cannot be read.
    pub fn digest(&self) -> Result<String, ConfigError> {
        let text = self.folder.read(FILE)?;
        let file = self.folder.path().join(FILE);
        let mut table: toml::Table = Source { file: &file, text: &text }.parse()?;
        table.retain(|key, _| !["ledger", "syslog", "execution"].contains(&key));
        let mut digest = Sha256::new();
        digest.update(format!("{table:?}"));
        let mut add = |name: &str, text: &str| {
            digest.update(format!("\n{name} {}\n", text.len()));
            digest.update(text.as_bytes());
        };
        for name in ["users.d", "secrets.d", "commands.d"] {
            let folder = self.folder.folder(name)?;
            for stem in folder.stems()? {
                let file = format!("{stem}.toml");
                let text = if name == "secrets.d" { folder.read_secret(&file)? } else { folder.read(&file)? };
                add(&format!("{name}/{file}"), &text);
            }
        }
        if let Some(folder) = present(self.folder.folder(CERTIFICATES))? {
            let is_certificate = |file: &String| {
                let endings = [EncryptKind::Openpgp, EncryptKind::Smime].map(EncryptKind::ending);
                endings.iter().any(|ending| file.ends_with(&format!(".{ending}")))
            };
            for file in folder.files()?.into_iter().filter(is_certificate) {
                add(&format!("{CERTIFICATES}/{file}"), &folder.read(&file)?);
            }
        }
        if let Some(text) = present(self.folder.read(LOCKDOWN))? {
            add(LOCKDOWN, &text);
        }
        let keys = [EncryptKind::Openpgp, EncryptKind::Smime].map(|kind| self.settings.decryption.files(kind));
        for key in keys.into_iter().flatten().flatten() {
            add(&key.to_string_lossy(), &self.own_key(key)?);
        }
        Ok(hex::encode(digest.finalize()))
    }

    /// The lockdown, while there is one.
    ///
    /// # Errors
    ///
    /// Its file cannot be used.
    pub fn lockdown(&self) -> Result<Option<Lockdown>, ConfigError> {
        let file = self.folder.path().join(LOCKDOWN);
        let read = self.folder.read(LOCKDOWN).map_err(ConfigError::from);
        optional(read.and_then(|text| Lockdown::parse(&Source { file: &file, text: &text })))
    }

    /// The folder, for messages.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The file that describes `name`.
    pub fn user(&self, name: &UserName) -> Result<User, ConfigError> {
        self.read("users.d", name.as_str(), false, User::parse)
    }

    /// The keys of `name`; `None` where there is no such file.
    pub fn secrets(&self, name: &UserName) -> Result<Option<Secrets>, ConfigError> {
        optional(self.read("secrets.d", name.as_str(), true, Secrets::parse))
    }

    /// The certificate that mail to `name` is encrypted to.
    ///
    /// # Errors
    ///
    /// There is no such file, or it is not trusted.
    pub fn certificate(&self, name: &UserName, kind: EncryptKind) -> Result<Zeroizing<String>, ConfigError> {
        Ok(self.folder.folder(CERTIFICATES)?.read(&format!("{name}.{}", kind.ending()))?)
    }

    /// The text of one of the gateway's own keys or certificates, which `[decryption]` names.
    ///
    /// # Errors
    ///
    /// There is no such file, or it is not trusted.
    pub fn own_key(&self, path: &Path) -> Result<Zeroizing<String>, ConfigError> {
        Ok(self.folder.read_secret_elsewhere(path)?)
    }

    /// The command `name`; `None` where there is no such file.
    pub fn command(&self, name: &CommandName) -> Result<Option<Command>, ConfigError> {
        optional(self.read("commands.d", name.as_str(), false, |source| Command::parse(name, source, &self.settings)))
    }

    /// The names of all commands, sorted. For sysadmins and for `help`; `deliver` opens one file by its name.
    pub fn command_names(&self) -> Result<Vec<CommandName>, ConfigError> {
        self.names("commands.d")
    }

    /// The names that are valid, for `help`: a command file with another name cannot be run.
    pub fn readable_command_names(&self) -> Vec<CommandName> {
        let stems = self.folder.folder("commands.d").and_then(|folder| folder.stems()).unwrap_or_default();
        stems.into_iter().filter_map(|stem| CommandName::try_from(stem).ok()).collect()
    }

    /// The names of all users, sorted.
    pub fn user_names(&self) -> Result<Vec<UserName>, ConfigError> {
        self.names("users.d")
    }

    /// The names of all users with secrets, sorted.
    pub fn secret_names(&self) -> Result<Vec<UserName>, ConfigError> {
        self.names("secrets.d")
    }

    fn names<N: TryFrom<String, Error = BadName>>(&self, folder: &str) -> Result<Vec<N>, ConfigError> {
        let folder = self.folder.folder(folder)?;
        let name = |stem: String| {
            let file = folder.path().join(format!("{stem}.toml"));
            let what =
                |bad: BadName| ConfigError::Content { file, line: None, what: format!("{bad}; rename the file") };
            N::try_from(stem).map_err(what)
        };
        folder.stems()?.into_iter().map(name).collect()
    }

    fn read<T>(
        &self,
        folder: &str,
        stem: &str,
        secret: bool,
        parse: impl FnOnce(&Source<'_>) -> Result<T, ConfigError>,
    ) -> Result<T, ConfigError> {
        let folder = self.folder.folder(folder)?;
        let name = format!("{stem}.toml");
        let text = if secret { folder.read_secret(&name)? } else { folder.read(&name)? };
        let file = folder.path().join(&name);
        parse(&Source { file: &file, text: &text })
    }
}

/// What a gateway may lack.
fn present<T>(read: Result<T, Distrust>) -> Result<Option<T>, ConfigError> {
    match read {
        Ok(found) => Ok(Some(found)),
        Err(Distrust::Missing(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn optional<T>(read: Result<T, ConfigError>) -> Result<Option<T>, ConfigError> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(ConfigError::Distrust(Distrust::Missing(path)))
            if path.extension().is_some_and(|ending| ending == "toml") =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
