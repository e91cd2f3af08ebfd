//! Lines of sudoers(5) that come after the gateway's own rules, and so count instead: in files of sudo's folder that
//! are read later, and in sudo's own file below the line that includes the folder. In: the files. Out: `FILE:LINE`.
//! sudo itself judges; this only finds the line to name.

use std::fs;
use std::path::{Path, PathBuf};

use crate::remedy::{LAST_SUDOERS_FILE, SUDOERS};
use crate::sudoers::FOLDER;

/// Where a flag of `Defaults` is set.
pub(super) struct Set {
    /// `FILE:LINE`.
    pub(super) at: String,
    /// Where it can be undone for one user.
    pub(super) undone_in: Undone,
}

/// Where a flag can be undone for one user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Undone {
    /// In the file of sudo's folder that is read last.
    InTheLastFile,
    /// At the end of sudo's own file: it is set below the line that includes the folder, or in a file that sorts later.
    AtTheEnd,
    /// Nowhere: it is set for commands, which counts more (docs/measurements.md#a-setting-of-defaults-for-a-command).
    Nowhere,
}

/// Where a rule for the user comes after the file `own`.
pub(super) fn rule(own: &Path, user: &str) -> Option<String> {
    let is_rule = |line: &str| {
        let first = line.split_whitespace().next().unwrap_or_default();
        let is_about = first == user || first == "ALL" || first.starts_with(['%', '#', '+']) && first.len() > 1;
        is_about && line.contains('=') && !line.starts_with("Defaults")
    };
    let later = files().into_iter().filter(|file| file.as_path() > own);
    later.map(|file| (lines(&file), file)).chain([(below_the_include(), SUDOERS.into())]).find_map(|(lines, file)| {
        let (number, _) = lines.iter().find(|(_, line)| is_rule(line))?;
        Some(format!("{}:{number}", file.display()))
    })
}

/// Where the flag is set, the last such line; one for commands before any other.
pub(super) fn flag(flag: &str) -> Option<Set> {
    [true, false].into_iter().find_map(|for_commands| set(flag, for_commands))
}

fn set(flag: &str, for_commands: bool) -> Option<Set> {
    let sets = |line: &str| {
        let mut words = line.split(|c: char| c.is_whitespace() || c == ',');
        let is_of_kind = |word: &str| word.starts_with("Defaults") && word.starts_with("Defaults!") == for_commands;
        words.next().is_some_and(is_of_kind) && words.any(|word| word == flag)
    };
    let last =
        |lines: Vec<(usize, String)>| lines.into_iter().rev().find(|(_, line)| sets(line)).map(|(number, _)| number);
    let found = |file: &Path, number: usize, undone_in: Undone| {
        let undone_in = if for_commands { Undone::Nowhere } else { undone_in };
        Set { at: format!("{}:{number}", file.display()), undone_in }
    };
    if let Some(number) = last(below_the_include()) {
        return Some(found(Path::new(SUDOERS), number, Undone::AtTheEnd));
    }
    files().into_iter().rev().chain([SUDOERS.into()]).find_map(|file| {
        let is_later = file.parent() == Some(Path::new(FOLDER)) && file.as_path() > Path::new(LAST_SUDOERS_FILE);
        Some(found(&file, last(lines(&file))?, if is_later { Undone::AtTheEnd } else { Undone::InTheLastFile }))
    })
}

/// The files that sudo reads in its folder, in their order: not those with a dot in their name or a tilde at its end.
fn files() -> Vec<PathBuf> {
    let is_read = |file: &PathBuf| {
        let name = file.file_name().and_then(|name| name.to_str());
        file.is_file() && name.is_some_and(|name| !name.contains('.') && !name.ends_with('~'))
    };
    let mut files: Vec<PathBuf> =
        fs::read_dir(FOLDER).into_iter().flatten().flatten().map(|entry| entry.path()).filter(is_read).collect();
    files.sort_unstable();
    files
}

/// The lines of a file with their numbers; none if it cannot be read.
fn lines(file: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines().enumerate().map(|(at, line)| (at + 1, line.trim().to_owned())).collect()
}

/// The lines of sudo's own file below the one that includes the folder.
fn below_the_include() -> Vec<(usize, String)> {
    let is_include = |line: &str| {
        let mut words = line.split_whitespace();
        matches!(words.next(), Some("@includedir" | "#includedir"))
            && words.next().is_some_and(|folder| folder.trim_matches('"').trim_end_matches('/') == FOLDER)
    };
    let all = lines(Path::new(SUDOERS));
    let include = all.iter().position(|(_, line)| is_include(line));
    include.map(|at| all.into_iter().skip(at + 1).collect()).unwrap_or_default()
}
