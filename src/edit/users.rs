//! Users in one file, to take them to another host. In: names, or such a file. Out: the file, or the users' files.
//!
//! The file has every secret of these users. MUST: it is written with mode 0600, and no error repeats a part of it.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::config::{Gateway, Trusted};
use crate::enrolment::Enrolment;
use crate::protocol::UserName;
use crate::system::changes::Changes;
use crate::system::files::{Rights, Temporary, create, create_folder};

/// What the file begins with.
const HEAD: &str =
    "# Users of a mailsudo gateway with their secrets, from `mailsudo user export`. Delete it after the import.\n";

/// The file: the texts of the users' files, each by the user's name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    gateway: String,
    users: BTreeMap<UserName, String>,
    secrets: BTreeMap<UserName, Zeroizing<String>>,
}

/// The text of the file for `names`.
///
/// # Errors
///
/// A user does not exist or has no secrets.
pub fn export(gateway: &Gateway, names: &[UserName]) -> Result<Zeroizing<String>> {
    let enrolment = Enrolment::new(gateway, None);
    let mut users = toml_edit::Table::new();
    let mut secrets = toml_edit::Table::new();
    for name in names {
        // Read by the gateway's own reader first: what it does not accept is of no use elsewhere.
        gateway.user(name).with_context(|| format!("the user {name} cannot be exported"))?;
        enrolment.secrets(name)?;
        users.insert(name.as_str(), toml_edit::value(text_of(&enrolment, "users.d", name)?.as_str()));
        secrets.insert(name.as_str(), toml_edit::value(text_of(&enrolment, "secrets.d", name)?.as_str()));
    }
    let mut document = toml_edit::DocumentMut::new();
    document.insert("gateway", toml_edit::value(gateway.settings().gateway.as_str()));
    document.insert("users", toml_edit::Item::Table(users));
    document.insert("secrets", toml_edit::Item::Table(secrets));
    Ok(Zeroizing::new(format!("{HEAD}{document}")))
}

fn text_of(enrolment: &Enrolment<'_>, folder: &str, name: &UserName) -> Result<Zeroizing<String>> {
    let path = enrolment.file(folder, name);
    std::fs::read_to_string(&path).map(Zeroizing::new).with_context(|| format!("cannot read {}", path.display()))
}

/// The import as a plan.
#[derive(Debug)]
pub struct Import {
    /// The users, in the order of their names.
    pub names: Vec<UserName>,
    /// The gateway that they come from.
    pub from: String,
    /// The files.
    pub changes: Changes,
}

/// What importing `text` changes at `gateway`. With `replace`, users that exist already get the imported files.
///
/// # Errors
///
/// The text is not such a file, a user's files could not be used, or a user exists already.
pub fn import(gateway: &Gateway, enrolment: &Enrolment<'_>, text: &str, replace: bool) -> Result<Import> {
    let file: File = toml::from_str(text).map_err(|_| anyhow!("it is not a file of `mailsudo user export`"))?;
    ensure!(!file.users.is_empty(), "it has no user");
    ensure!(file.users.keys().eq(file.secrets.keys()), "not every user in it has secrets, or the other way round");
    check(gateway, &file)?;
    let mut changes = Changes::default();
    for (name, about) in &file.users {
        let paths = ["users.d", "secrets.d"].map(|folder| enrolment.file(folder, name));
        if let Some(path) = paths.iter().find(|path| path.exists())
            && !replace
        {
            bail!("{} exists already; --replace puts the imported one there", path.display());
        }
        let secrets = file.secrets.get(name).map_or("", |text| text.as_str());
        let [about_file, secrets_file] = &paths;
        changes.write(about_file, about.as_str(), Rights::READABLE);
        // The secrets come last: until they are there, the user is unknown.
        changes.write_secret(secrets_file, secrets, enrolment.secret_rights());
    }
    Ok(Import { names: file.users.into_keys().collect(), from: file.gateway, changes: changes.needed()? })
}

/// Reads the users' files by the gateway's own reader, in a folder of their own.
fn check(gateway: &Gateway, file: &File) -> Result<()> {
    let copy = Temporary::folder()?;
    for name in ["users.d", "secrets.d"] {
        create_folder(&copy.path().join(name))?;
    }
    let settings = gateway.path().join("mailsudo.toml");
    std::fs::copy(&settings, copy.path().join("mailsudo.toml"))
        .with_context(|| format!("cannot read {}", settings.display()))?;
    let private = Rights { mode: 0o600, owner: None };
    let stage = Gateway::open(copy.path(), Trusted::caller())?;
    for (name, about) in &file.users {
        create(&copy.path().join(format!("users.d/{name}.toml")), about.as_bytes(), private)?;
        let secrets = file.secrets.get(name).map_or("", |text| text.as_str());
        create(&copy.path().join(format!("secrets.d/{name}.toml")), secrets.as_bytes(), private)?;
        let read = stage.user(name).and_then(|_| stage.secrets(name)).map(drop);
        read.map_err(|error| {
            let text = error.to_string().replace(&copy.path().display().to_string(), "the imported");
            anyhow!("the user {name}: {text}")
        })?;
    }
    Ok(())
}
