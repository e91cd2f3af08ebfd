//! Applies a [`Plan`]: to a copy of the files, to show the difference, and to the files themselves.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::Plan;
use super::settings::{Postfix, done};
use crate::system::files::{Rights, Temporary, replace, rewrite};

impl Plan {
    /// The difference between the current files and the planned ones, as diff(1) shows it; empty where there is none.
    ///
    /// # Errors
    ///
    /// The files cannot be copied, or postconf(1) fails.
    pub fn difference(&self, postfix: &Postfix) -> Result<String> {
        let copy = Temporary::folder()?;
        for file in self.files() {
            let from = postfix.folder().join(&file);
            if from.exists() {
                fs::copy(&from, copy.path().join(&file)).with_context(|| format!("cannot copy {}", from.display()))?;
            }
        }
        self.change(&Postfix::open(copy.path())?)?;
        let mut text = String::new();
        for file in self.files() {
            text.push_str(&difference(&postfix.folder().join(&file), &copy.path().join(&file))?);
        }
        Ok(text)
    }

    /// Changes the files. If a step fails, they are restored.
    ///
    /// # Errors
    ///
    /// A file cannot be written: only root may; or postconf(1) fails.
    pub fn apply(&self, postfix: &Postfix) -> Result<()> {
        let files: Vec<_> = self.files().map(|file| postfix.folder().join(file)).collect();
        let before: Vec<_> = files.iter().map(|file| fs::read(file).ok()).collect();
        let Err(error) = self.change(postfix) else {
            return Ok(());
        };
        for (file, before) in files.iter().zip(&before) {
            match before {
                Some(content) => rewrite(file, content).with_context(|| format!("cannot restore after: {error:#}"))?,
                None => drop(fs::remove_file(file)),
            }
        }
        Err(error)
    }

    /// The files that it may change.
    pub fn paths(&self, postfix: &Postfix) -> Vec<PathBuf> {
        self.files().map(|file| postfix.folder().join(file)).collect()
    }

    fn files(&self) -> impl Iterator<Item = String> {
        ["master.cf".to_owned(), "main.cf".to_owned(), format!("{}_transport", self.transport)].into_iter()
    }

    fn change(&self, postfix: &Postfix) -> Result<()> {
        let map_file = postfix.map_file(&self.transport);
        // What other lines refer to comes first: Postfix's daemons may start at any moment.
        if let Some(map) = &self.map {
            replace(&map_file, map.as_bytes(), Rights { mode: 0o644, owner: None })?;
        }
        for (transport, line) in &self.services {
            done(postfix.postconf(&["-M", &format!("{transport}/unix={line}")])?, "postconf")?;
        }
        // One at a time: given several, postconf adds them in an order that changes from run to run.
        for (parameter, value) in &self.settings {
            done(postfix.postconf(&["-e", &format!("{parameter} = {value}")])?, "postconf")?;
        }
        if !self.dropped.is_empty() {
            let words: Vec<_> = ["-X"].into_iter().chain(self.dropped.iter().map(String::as_str)).collect();
            done(postfix.postconf(&words)?, "postconf")?;
        }
        for transport in &self.dropped_services {
            done(postfix.postconf(&["-MX", &format!("{transport}/unix")])?, "postconf")?;
        }
        if self.map.is_none() && map_file.exists() {
            fs::remove_file(&map_file).with_context(|| format!("cannot remove {}", map_file.display()))?;
        }
        Ok(())
    }
}

fn difference(now: &Path, planned: &Path) -> Result<String> {
    if !now.exists() && !planned.exists() {
        return Ok(String::new());
    }
    let output = Command::new("diff")
        .args(["-uN", "--label"])
        .arg(now)
        .args(["--label", &format!("{}, changed", now.display()), "--"])
        .args([now, planned])
        .stdin(Stdio::null())
        .output()
        .context("cannot run diff (package diffutils)")?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
