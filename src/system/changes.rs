//! Changes of several files as one. In: the planned content of each file. Out: the difference as diff(1) shows it; then
//! the changed files, or all files as they were.
//!
//! MUST: each file changes in one step; if one cannot be written, those before it are restored; a secret is never
//! shown.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::files::{Rights, Temporary, replace};
use super::permissions::Permissions;

/// The planned state of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Change {
    path: PathBuf,
    /// `None`: the file is removed.
    content: Option<Vec<u8>>,
    /// For a new file; an existing one keeps its own.
    mode: u32,
    owner: Option<(u32, u32)>,
    is_secret: bool,
}

/// Planned changes, in the order in which they are made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes(Vec<Change>);

/// A file as it was before it was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Former {
    /// The file.
    pub path: PathBuf,
    /// Its content, mode and owner; `None` where it did not exist.
    pub state: Option<(Vec<u8>, u32, (u32, u32))>,
}

impl Former {
    /// The state of the file at `path` now.
    ///
    /// # Errors
    ///
    /// It exists and cannot be read.
    pub fn of(path: &Path) -> Result<Self> {
        let problem = || format!("cannot read {}", path.display());
        let state = match fs::metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(problem),
            Ok(about) => {
                let content = fs::read(path).with_context(problem)?;
                let found = Permissions::from(&about);
                Some((content, found.mode(), (found.uid(), found.gid())))
            }
        };
        Ok(Self { path: path.to_owned(), state })
    }

    /// Puts the file back into this state.
    ///
    /// # Errors
    ///
    /// It cannot be written or removed.
    pub fn restore(&self) -> Result<()> {
        let Some((content, mode, owner)) = &self.state else {
            return remove(&self.path);
        };
        replace(&self.path, content, Rights { mode: *mode, owner: Some(*owner) })
    }
}

impl Changes {
    /// Plans `content` for the file at `path`; `rights` are for a new file.
    pub fn write(&mut self, path: &Path, content: impl Into<Vec<u8>>, rights: Rights) {
        self.add(path, Some(content.into()), rights, false);
    }

    /// The same for a file with a secret, of which no content is shown.
    pub fn write_secret(&mut self, path: &Path, content: impl Into<Vec<u8>>, rights: Rights) {
        self.add(path, Some(content.into()), rights, true);
    }

    /// Plans that the file at `path` is removed.
    pub fn remove(&mut self, path: &Path) {
        self.add(path, None, Rights { mode: 0, owner: None }, false);
    }

    fn add(&mut self, path: &Path, content: Option<Vec<u8>>, rights: Rights, is_secret: bool) {
        self.0.retain(|change| change.path != path);
        self.0.push(Change { path: path.to_owned(), content, mode: rights.mode, owner: rights.owner, is_secret });
    }

    /// Adds the changes of `other`, which come after these.
    pub fn append(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// The planned content of the files, in order; `None` for a file that is removed.
    pub fn iter(&self) -> impl Iterator<Item = (&Path, Option<&[u8]>)> {
        self.0.iter().map(|change| (change.path.as_path(), change.content.as_deref()))
    }

    /// Only the changes of the files at `paths`.
    pub fn only(&self, paths: &[PathBuf]) -> Self {
        Self(self.0.iter().filter(|change| paths.contains(&change.path)).cloned().collect())
    }

    /// Only what differs from the files as they are.
    ///
    /// # Errors
    ///
    /// A file cannot be read.
    pub fn needed(&self) -> Result<Self> {
        let mut needed = Vec::new();
        for change in &self.0 {
            let now = Former::of(&change.path)?.state.map(|(content, ..)| content);
            if now != change.content {
                needed.push(change.clone());
            }
        }
        Ok(Self(needed))
    }

    /// Whether there is no change.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The difference between the files and the planned ones, as diff(1) shows it.
    ///
    /// # Errors
    ///
    /// A file cannot be read, or diff(1) is missing.
    pub fn difference(&self) -> Result<String> {
        let mut text = String::new();
        for change in &self.0 {
            let shown = change.path.display();
            if change.is_secret {
                text.push_str(&format!("+++ {shown} (a secret, not shown)\n"));
                continue;
            }
            let planned = match &change.content {
                None => None,
                Some(content) => Some(Temporary::with(content)?),
            };
            let new = planned.as_ref().map_or(Path::new("/dev/null"), Temporary::path);
            let old = if change.path.exists() { &change.path } else { Path::new("/dev/null") };
            let label = if change.content.is_some() { "changed" } else { "removed" };
            let output = Command::new("diff")
                .args(["-u", "--label"])
                .arg(&change.path)
                .args(["--label", &format!("{shown}, {label}"), "--"])
                .args([old, new])
                .stdin(Stdio::null())
                .output()
                .context("cannot run diff (package diffutils)")?;
            text.push_str(&String::from_utf8_lossy(&output.stdout));
        }
        Ok(text)
    }

    /// Changes the files; returns what they were.
    ///
    /// # Errors
    ///
    /// A file cannot be written; then all are as they were.
    pub fn apply(&self) -> Result<Vec<Former>> {
        let mut done: Vec<Former> = Vec::with_capacity(self.0.len());
        for change in &self.0 {
            let made = Former::of(&change.path).and_then(|former| {
                let rights = match &former.state {
                    Some((_, mode, owner)) => Rights { mode: *mode, owner: Some(*owner) },
                    None => Rights { mode: change.mode, owner: change.owner },
                };
                match &change.content {
                    Some(content) => replace(&change.path, content, rights)?,
                    None => remove(&change.path)?,
                }
                Ok(former)
            });
            match made {
                Ok(former) => done.push(former),
                Err(error) => {
                    restore(&done).with_context(|| format!("and the files before it are changed, after: {error:#}"))?;
                    return Err(error.context("nothing was changed"));
                }
            }
        }
        Ok(done)
    }
}

/// Puts files back into their former states, the last one first.
///
/// # Errors
///
/// One cannot be restored; the others are.
pub fn restore(done: &[Former]) -> Result<()> {
    let mut failed = Ok(());
    for former in done.iter().rev() {
        if let Err(error) = former.restore() {
            failed = Err(error.context("not everything could be restored"));
        }
    }
    failed
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHTS: Rights = Rights { mode: 0o644, owner: None };

    #[test]
    fn all_files_change_or_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        fs::write(path("a"), "old\n").expect("a file");
        fs::write(path("gone"), "x\n").expect("a file");
        let mut changes = Changes::default();
        changes.write(&path("a"), "new\n", RIGHTS);
        changes.remove(&path("gone"));
        changes.write_secret(&path("s"), "hidden\n", Rights { mode: 0o600, owner: None });
        let shown = changes.difference().expect("a difference");
        assert!(shown.contains("-old\n+new\n") && shown.contains("-x\n") && !shown.contains("hidden"), "{shown}");
        let mut failing = changes.clone();
        failing.write(&path("missing/b"), "b", RIGHTS);
        let error = failing.apply().expect_err("there is no such folder");
        assert!(format!("{error:#}").starts_with("nothing was changed: "), "{error:#}");
        let text = |name: &str| fs::read_to_string(path(name)).ok();
        assert_eq!((text("a"), text("gone"), text("s")), (Some("old\n".into()), Some("x\n".into()), None));
        let former = changes.apply().expect("applied");
        assert_eq!((text("a"), text("gone"), text("s")), (Some("new\n".into()), None, Some("hidden\n".into())));
        assert!(changes.needed().expect("read").is_empty());
        restore(&former).expect("restored");
        assert_eq!((text("a"), text("gone"), text("s")), (Some("old\n".into()), Some("x\n".into()), None));
    }
}
