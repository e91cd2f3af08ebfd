//! `mailsudo.toml`: one key set or removed, the sysadmin's comments kept. In: a key such as `execution.longest`. Out:
//! the text.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use toml_edit::{DocumentMut, Item, Table, Value};

use super::command::put;

/// The file that has the settings of the gateway in `folder`.
pub fn settings_file(folder: &Path) -> PathBuf {
    folder.join("mailsudo.toml")
}

/// `text` with `key` set. The value is TOML, or else a string.
///
/// # Errors
///
/// `text` is not TOML, or the key cannot be one.
pub fn set(text: &str, key: &str, new: &str) -> Result<String> {
    let mut document: DocumentMut = text.parse().context("it is not TOML")?;
    let (section, name) = parts(key)?;
    let table = match section {
        None => document.as_table_mut(),
        Some(section) => {
            let item = document.entry(section).or_insert_with(|| Item::Table(Table::new()));
            item.as_table_mut().with_context(|| format!("{section} is not a section of the file"))?
        }
    };
    let new = new.parse::<Value>().unwrap_or_else(|_| Value::from(new));
    put(table, name, new);
    Ok(document.to_string())
}

/// `text` without `key`, so that its default is in force.
///
/// # Errors
///
/// `text` is not TOML, or does not set the key.
pub fn unset(text: &str, key: &str) -> Result<String> {
    let mut document: DocumentMut = text.parse().context("it is not TOML")?;
    let (section, name) = parts(key)?;
    let table = match section {
        None => Some(document.as_table_mut()),
        Some(section) => document.get_mut(section).and_then(Item::as_table_mut),
    };
    table.and_then(|table| table.remove(name)).with_context(|| format!("the file does not set {key}"))?;
    Ok(document.to_string())
}

fn parts(key: &str) -> Result<(Option<&str>, &str)> {
    let (section, name) = match key.split_once('.') {
        Some((section, name)) => (Some(section), name),
        None => (None, key),
    };
    let is_plain = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    ensure!(
        section.is_none_or(is_plain) && is_plain(name),
        "{key} is not a key such as max_age or execution.longest; `mailsudo config show` lists them"
    );
    Ok((section, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# Ours.\ngateway = \"berlin\" # short\n\n[execution]\nlongest = \"10m\" # long\n";

    #[test]
    fn one_key_changes_and_comments_stay() {
        assert_eq!(set(TEXT, "gateway", "paris").expect("set"), TEXT.replace("\"berlin\"", "\"paris\""));
        assert_eq!(set(TEXT, "execution.longest", "5m").expect("set"), TEXT.replace("10m", "5m"));
        let with = set(TEXT, "lockout.wrong_codes", "3").expect("set");
        assert_eq!(with, format!("{TEXT}\n[lockout]\nwrong_codes = 3\n"));
        assert_eq!(unset(&with, "lockout.wrong_codes").expect("unset"), format!("{TEXT}\n[lockout]\n"));
        let list = set(TEXT, "intake.recipients", "[\"a@x\"]").expect("set");
        assert!(list.ends_with("[intake]\nrecipients = [\"a@x\"]\n"), "{list}");
        for key in ["", "a.b.c", "Gateway", "a b", ".a"] {
            assert!(set(TEXT, key, "x").is_err(), "{key}");
        }
        assert!(unset(TEXT, "max_age").is_err());
    }
}
