//! A Postfix configuration as postconf(1) and postmap(1) see it. In: a folder. Out: values, map entries, lines of
//! master.cf.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::system::child::Answer;
use crate::system::trace;

/// Runs a program of Postfix to its end, or to the end of the time that it has.
pub type Runner = fn(&mut Command) -> Result<Answer>;

/// How the map begins. Only a map that begins so is written over or removed.
pub(super) const SIGNATURE: &str =
    "# Made by `mailsudo postfix install`, which also removes it: put your own entries into another map.";

/// How a map of an earlier version begins.
const OLD_SIGNATURE: &str =
    "# Made by mailsudo's postfix/install, which also removes it: put your own entries into another map.";

/// A Postfix configuration.
#[derive(Debug)]
pub struct Postfix {
    folder: PathBuf,
    runner: Runner,
    /// What `postconf -x` has printed, where it was asked for all parameters at once.
    listing: Option<String>,
}

impl Postfix {
    /// The configuration in `folder`, which has a main.cf and a master.cf.
    ///
    /// # Errors
    ///
    /// Postfix is not installed or not set up, or main.cf could not hold the folder's name.
    pub fn open(folder: &Path) -> Result<Self> {
        Self::checked(folder, run_to_end, None)
    }

    /// The same, with another way to run its programs, and with the values that `postconf -x` has printed as `listing`.
    ///
    /// # Errors
    ///
    /// As for [`Self::open`].
    pub fn as_listed(folder: &Path, runner: Runner, listing: String) -> Result<Self> {
        Self::checked(folder, runner, Some(listing))
    }

    fn checked(folder: &Path, runner: Runner, listing: Option<String>) -> Result<Self> {
        plain_path(folder)?;
        ensure!(
            folder.join("main.cf").is_file() && folder.join("master.cf").is_file(),
            "{} has no main.cf and master.cf: set Postfix up first",
            folder.display()
        );
        Ok(Self { folder: folder.to_owned(), runner, listing })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file of a transport's map.
    pub fn map_file(&self, transport: &str) -> PathBuf {
        self.folder.join(format!("{transport}_transport"))
    }

    /// A transport's map, as main.cf names it.
    pub(super) fn map(&self, transport: &str) -> String {
        format!("texthash:{}", self.map_file(transport).display())
    }

    /// Refuses a file in the map's place that mailsudo did not write.
    pub(super) fn check_own_map(&self, transport: &str) -> Result<()> {
        let file = self.map_file(transport);
        if !file.exists() {
            return Ok(());
        }
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let first = text.lines().next().unwrap_or_default();
        ensure!(
            [SIGNATURE, OLD_SIGNATURE].contains(&first),
            "{} was not written by mailsudo: move it away first",
            file.display()
        );
        Ok(())
    }

    /// The transports that a transport's map leads to: its own, and those of the gateway's further addresses.
    pub(super) fn transports(&self, transport: &str) -> Result<Vec<String>> {
        let file = self.map_file(transport);
        if !file.exists() {
            return Ok(Vec::new());
        }
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let entries = text.lines().filter(|line| !line.starts_with('#'));
        let next = entries.filter_map(|line| line.split_whitespace().nth(1)?.split(':').next());
        Ok(next.map(str::to_owned).collect())
    }

    /// The value in force of a parameter of main.cf, with every `$name` in it expanded; empty for one that Postfix does
    /// not know.
    pub(super) fn in_force(&self, parameter: &str) -> Result<String> {
        if let Some(listing) = &self.listing {
            return Ok(in_listing(listing, parameter).unwrap_or_default().to_owned());
        }
        let output = self.postconf(&["-hx", parameter])?;
        Ok(if output.status.success() { output.out.trim().to_owned() } else { String::new() })
    }

    /// The value of a parameter as it is written, or its default.
    pub(super) fn in_file(&self, parameter: &str) -> Result<String> {
        done(self.postconf(&["-h", parameter])?, "postconf").map(|output| output.out.trim().to_owned())
    }

    /// The default of a parameter.
    pub(super) fn default(&self, parameter: &str) -> Result<String> {
        done(self.postconf(&["-dh", parameter])?, "postconf").map(|output| output.out.trim().to_owned())
    }

    /// The line of master.cf for a transport, on one line.
    pub(super) fn service(&self, transport: &str) -> Result<Option<String>> {
        let output = self.postconf(&["-M", &format!("{transport}/unix")])?;
        let line = output.out.split_whitespace().collect::<Vec<_>>().join(" ");
        Ok(Some(line).filter(|line| output.status.success() && !line.is_empty()))
    }

    /// The value of `key` in a map. The map is asked itself: through `proxy:` it would need a running Postfix.
    pub(super) fn lookup(&self, key: &str, map: &str) -> Result<Option<String>> {
        let map = map.strip_prefix("proxy:").unwrap_or(map);
        let output = self.run("postmap", &["-q", key, map])?;
        Ok(output.status.success().then(|| output.out.trim().to_owned()))
    }

    /// The first value of one of `keys` in the maps of a parameter, other than `own`.
    pub(super) fn found_in(&self, parameter: &str, keys: &[&str], own: &str) -> Result<Option<String>> {
        for map in items(&self.in_force(parameter)?).filter(|map| *map != own) {
            for key in keys {
                if let Some(value) = self.lookup(key, map)? {
                    return Ok(Some(value));
                }
            }
        }
        Ok(None)
    }

    /// The domains that this Postfix delivers locally, in the order of mydestination, without tables.
    ///
    /// # Errors
    ///
    /// postconf(1) cannot be run.
    pub fn destinations(&self) -> Result<Vec<String>> {
        let list = self.in_force("mydestination")?;
        Ok(items(&list).filter(|item| !item.contains([':', '/'])).map(str::to_owned).collect())
    }

    /// Whether this Postfix is running.
    pub fn is_running(&self) -> bool {
        self.run("postfix", &["status"]).is_ok_and(|output| output.status.success())
    }

    /// Makes this Postfix read its files again.
    ///
    /// # Errors
    ///
    /// Postfix's own words.
    pub fn reload(&self) -> Result<()> {
        done(self.run("postfix", &["reload"])?, "postfix reload").map(drop)
    }

    pub(super) fn postconf(&self, arguments: &[&str]) -> Result<Answer> {
        self.run("postconf", arguments)
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<Answer> {
        // Where these programs are, which is often not on a user's PATH.
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new(program);
        command.arg("-c").arg(&self.folder).args(arguments).env("PATH", format!("{path}:/usr/sbin:/sbin"));
        trace::program(&command);
        (self.runner)(command.stdin(Stdio::null()))
            .with_context(|| format!("cannot run {program}: install Postfix first"))
    }
}

/// The value of a parameter in what `postconf -x` prints: a line `NAME = VALUE` for each that Postfix knows.
pub fn in_listing<'l>(listing: &'l str, parameter: &str) -> Option<&'l str> {
    listing.lines().find_map(|line| line.strip_prefix(parameter)?.strip_prefix(" =")).map(str::trim)
}

fn run_to_end(command: &mut Command) -> Result<Answer> {
    let output = command.output()?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Answer { status: output.status, out: text(output.stdout), err: text(output.stderr) })
}

/// The output of a program that must succeed.
pub(super) fn done(output: Answer, program: &str) -> Result<Answer> {
    if !output.status.success() {
        bail!("{program}: {}", output.err.trim());
    }
    Ok(output)
}

/// Refuses a path that main.cf or master.cf cannot hold: they split at spaces and expand dollars.
///
/// # Errors
///
/// It is not absolute, or has other characters than `A-Za-z0-9._/+-`.
pub fn plain_path(path: &Path) -> Result<()> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._/+-".contains(c);
    let plain = path.to_str().is_some_and(|path| path.starts_with('/') && path.len() > 1 && path.chars().all(is_plain));
    ensure!(plain, "{}: not an absolute path of plain characters", path.display());
    Ok(())
}

/// Whether two paths name the same folder, links followed.
pub(super) fn same_path(one: &str, other: &str) -> bool {
    let real = |path: &str| Path::new(path).canonicalize().unwrap_or_else(|_| path.into());
    real(one) == real(other)
}

/// The members of a list of main.cf.
pub(super) fn items(list: &str) -> impl Iterator<Item = &str> {
    list.split(|c: char| c == ',' || c.is_whitespace()).filter(|item| !item.is_empty())
}

pub(super) fn has_map(list: &str, map: &str) -> bool {
    items(list).any(|item| item == map)
}

/// `list` without `map`, and without the separator behind it.
pub(super) fn without_map(list: &str, map: &str) -> String {
    let is_separator = |c: char| c == ',' || c.is_whitespace();
    let mut kept = String::with_capacity(list.len());
    let mut rest = list;
    while !rest.is_empty() {
        let end = rest.find(is_separator).unwrap_or(rest.len());
        let (item, after) = rest.split_at(end);
        let next = after.find(|c: char| !is_separator(c)).unwrap_or(after.len());
        let (separator, after) = after.split_at(next);
        if item != map {
            kept.push_str(item);
            kept.push_str(separator);
        }
        rest = after;
    }
    kept.trim_end_matches(is_separator).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_leaves_a_list_as_it_was() {
        let map = "texthash:/x";
        for (list, left) in [
            ("texthash:/x", ""),
            ("texthash:/x, hash:/y", "hash:/y"),
            ("hash:/y, texthash:/x", "hash:/y"),
            ("hash:/y texthash:/x  hash:/z", "hash:/y hash:/z"),
            ("texthash:/x-of-another", "texthash:/x-of-another"),
        ] {
            assert_eq!(without_map(list, map), left, "{list}");
            assert_eq!(has_map(list, map), left.len() < list.len(), "{list}");
        }
    }

    #[test]
    fn only_plain_paths_are_written() {
        assert!(plain_path(Path::new("/etc/postfix-2")).is_ok());
        for path in ["/", "etc", "/a b", "/a$b", "/a\nb", "/é", ""] {
            assert!(plain_path(Path::new(path)).is_err(), "{path}");
        }
    }
}
