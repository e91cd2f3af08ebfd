//! The fragment on disk: its comparison with the configured commands, and its installation. A fragment that visudo(8)
//! refuses never gets into sudo's folder. The former fragment stays beside it under a name that sudo ignores.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::dialect::Dialect;
use crate::config::{DEFAULT_FOLDER, Execution, Gateway};
use crate::system::child::output_within;
use crate::system::files::{Rights, replace};
use crate::system::permissions::Permissions;
use crate::system::trace;

/// Where sudo looks for fragments.
pub const FOLDER: &str = "/etc/sudoers.d";

/// Where the fragment of a gateway belongs: `mailsudo` for the one in the default folder, `mailsudo-NAME` for any
/// other, so that no gateway of a host overwrites the rules of another.
pub fn place(gateway: &Gateway) -> PathBuf {
    let is_default = Path::new(DEFAULT_FOLDER).canonicalize().is_ok_and(|folder| folder == gateway.path());
    let file = if is_default {
        "mailsudo".to_owned()
    } else {
        // sudo ignores names with a dot in them (sudoers(5)); no gateway's name has a plus sign.
        format!("mailsudo-{}", gateway.settings().gateway.as_str().replace('.', "+"))
    };
    Path::new(FOLDER).join(file)
}

/// The gateway that a fragment belongs to, by its first line.
pub fn owner(fragment: &str) -> Option<&str> {
    fragment.strip_prefix(OPENING)?.split_once('`').map(|(name, _)| name)
}

/// How a fragment begins, up to the gateway's name.
pub(super) const OPENING: &str = "# What the mailsudo gateway `";

/// The sudo that is installed, and its visudo.
#[derive(Debug)]
pub struct Tools {
    /// The sudoers(5) dialect that it reads.
    pub dialect: Dialect,
    /// The program that checks a fragment.
    visudo: PathBuf,
}

impl Tools {
    /// Finds out which sudo `execution` names. It may take as long as `within`.
    ///
    /// # Errors
    ///
    /// It is missing, does not answer in time, or does not say which one it is.
    pub fn find(execution: &Execution, within: Duration) -> Result<Self> {
        let sudo = &execution.sudo;
        let answer = output_within(Command::new(sudo).arg("--version").stdin(Stdio::null()), within);
        let answer = answer.with_context(|| format!("cannot run {}; is sudo installed?", sudo.display()))?;
        let said = answer.with_context(|| format!("{} --version did not end in time", sudo.display()))?.out;
        let dialect = if said.starts_with("sudo-rs") {
            Dialect::SudoRs
        } else if said.starts_with("Sudo version") {
            Dialect::Sudo
        } else {
            bail!("{} does not say whether it is sudo or sudo-rs; choose with --for", sudo.display());
        };
        Ok(Self { dialect, visudo: visudo(sudo) })
    }

    /// Whether visudo accepts `fragment`. It is written to a separate file beside its destination.
    ///
    /// # Errors
    ///
    /// What visudo says, or it cannot be run.
    pub fn check(&self, fragment: &str, beside: &Path) -> Result<()> {
        // sudo ignores names with a dot in them (sudoers(5), "Including other files").
        let candidate = beside.with_file_name(format!(".mailsudo.{}", std::process::id()));
        replace(&candidate, fragment.as_bytes(), RIGHTS)?;
        let mut visudo = Command::new(&self.visudo);
        visudo.args(["-c", "-f"]).arg(&candidate);
        trace::program(&visudo);
        let output = visudo.output();
        let _ = fs::remove_file(&candidate);
        let output = output.with_context(|| format!("cannot run {}", self.visudo.display()))?;
        if !output.status.success() {
            let said = [output.stdout, output.stderr].concat();
            bail!("visudo refuses the fragment: {}", String::from_utf8_lossy(&said).trim());
        }
        Ok(())
    }
}

/// The visudo beside `sudo`, or the usual one: Debian keeps them in /usr/bin and /usr/sbin.
fn visudo(sudo: &Path) -> PathBuf {
    let folder = sudo.parent().unwrap_or(Path::new("/usr/bin"));
    let near = [folder.join("visudo"), folder.join("../sbin/visudo")];
    near.into_iter().find(|path| path.exists()).unwrap_or_else(|| "/usr/sbin/visudo".into())
}

const RIGHTS: Rights = Rights { mode: 0o440, owner: None };

/// The difference between the file at `path` and the expected one, as diff(1) shows it, or why sudo does not read the
/// file in its folder; `None` where they are the same.
///
/// # Errors
///
/// The file cannot be read: only root may.
pub fn drift(path: &Path, wanted: &str) -> Result<Option<String>> {
    let found = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    if found == wanted {
        return if path.starts_with(FOLDER) { unread(path) } else { Ok(None) };
    }
    let before = if path.exists() { path } else { Path::new("/dev/null") };
    let mut diff = Command::new("diff")
        .args(["-u", "--label"])
        .arg(path)
        .args(["--label", "mailsudo sudoers", "--"])
        .args([before, Path::new("-")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run diff (package diffutils)")?;
    if let Some(mut pipe) = diff.stdin.take() {
        pipe.write_all(wanted.as_bytes())?;
    }
    let output = diff.wait_with_output()?;
    Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// Why sudo does not read the file at `path`: root must own it, and nobody else may write to it (sudoers(5)).
fn unread(path: &Path) -> Result<Option<String>> {
    let about = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    let permissions = Permissions::from(&about);
    Ok(permissions.trust(&[]).err().map(|_| {
        format!(
            "sudo does not read {}: it has owner {} and mode {:04o}; root must own it, and nobody else may write to it\n",
            path.display(),
            permissions.uid(),
            permissions.mode()
        )
    }))
}

/// Puts `fragment` at `path` with mode 0440 after visudo has accepted it; the former one is kept as `path~`.
///
/// # Errors
///
/// visudo refuses it, or a file cannot be written; then the existing fragment is unchanged.
pub fn install(path: &Path, fragment: &str, tools: &Tools) -> Result<()> {
    tools.check(fragment, path)?;
    match fs::read(path) {
        Ok(former) => {
            let mut kept = path.as_os_str().to_owned();
            kept.push("~");
            replace(Path::new(&kept), &former, RIGHTS)?;
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
    replace(path, fragment.as_bytes(), RIGHTS)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_that_others_may_write_is_not_read_by_sudo() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("fragment");
        fs::write(&path, "").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("changed");
        let why = unread(&path).expect("looked at").expect("a reason");
        assert!(why.contains("mode 0666; root must own it, and nobody else may write to it"), "{why}");
    }
}
