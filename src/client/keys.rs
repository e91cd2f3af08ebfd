//! The user's folder of key files: what is in it, and a file put into it. In: a key file. Out: the same bytes, in the
//! right place with the right mode.
//!
//! It must never overwrite another key without being told to, and never repeat a key in an error.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use zeroize::Zeroizing;

use super::{KeyFile, folders};
use crate::system::private;

/// A key file in its place.
#[derive(Debug)]
pub struct Imported {
    /// What it holds; `written` is the time of the file that was imported.
    pub key: KeyFile,
    /// Where it is.
    pub path: PathBuf,
    /// Whether it was not there before.
    pub is_new: bool,
}

/// Puts the key file at `from` into the user's folder, named after its gateway. With `over`, one that is there for the
/// same gateway is replaced.
///
/// # Errors
///
/// `from` is not a key file, another key is there already, or the folder is not writable.
pub fn import(from: &Path, over: bool) -> Result<Imported> {
    let problem = || format!("cannot read {}", from.display());
    let text = Zeroizing::new(fs::read_to_string(from).with_context(problem)?);
    let key = KeyFile::parse(from, &text)?;
    let folder = folders::keys()?;
    let path = folder.join(format!("{}.toml", key.gateway));
    let is_new = match fs::read_to_string(&path).map(Zeroizing::new) {
        Ok(there) if *there == *text => false,
        Ok(_) if !over => {
            bail!("{} is another key for {}; --replace puts the new one there", path.display(), key.gateway)
        }
        _ => true,
    };
    private::create_folders(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    // Written in any case, so that the mode is right.
    private::replace(&path, text.as_bytes())?;
    Ok(Imported { key, path, is_new })
}
