//! Where the client's files are: on Unix by the XDG Base Directory Specification, on Windows in the user's profile.

use std::path::PathBuf;

use anyhow::{Context, Result};

/// The folder of key files: `$XDG_CONFIG_HOME/mailsudo` or `~/.config/mailsudo`; on Windows `mailsudo` in `%APPDATA%`.
///
/// # Errors
///
/// None of these variables is set.
pub(super) fn keys() -> Result<PathBuf> {
    let base = if cfg!(windows) {
        set("APPDATA").context("APPDATA is not set; use --key FILE")?
    } else {
        match set("XDG_CONFIG_HOME") {
            Some(base) => base,
            None => set("HOME").context("HOME is not set; use --key FILE")?.join(".config"),
        }
    };
    Ok(base.join("mailsudo"))
}

/// The folder of what the client remembers: `$XDG_STATE_HOME/mailsudo` or `~/.local/state/mailsudo`; on Windows
/// `mailsudo` in `%LOCALAPPDATA%`.
///
/// # Errors
///
/// None of these variables is set.
pub(super) fn state() -> Result<PathBuf> {
    let base = if cfg!(windows) {
        set("LOCALAPPDATA").context("LOCALAPPDATA is not set")?
    } else {
        // A relative path is invalid by the specification, and ignored.
        match set("XDG_STATE_HOME").filter(|path| path.is_absolute()) {
            Some(base) => base,
            None => set("HOME").context("HOME is not set")?.join(".local/state"),
        }
    };
    Ok(base.join("mailsudo"))
}

fn set(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}
