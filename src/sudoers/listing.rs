//! The sudo rules as sudo itself lists them, for the service user, who may not read the fragment. In: what `sudo -l`
//! prints. Out: one rule on each line, from all files, to compare with those of the fragment.
//!
//! sudo lists nothing to another user without a password, so other users get no result.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::Dialect;
use crate::ordered;
use crate::system::child::output_within;

/// The difference between what sudo permits the caller and what the fragment `wanted` permits; `None` if they are the
/// same.
///
/// # Errors
///
/// sudo does not answer `within` this time, or does not list what it permits, for example because it permits nothing
/// without a password.
pub fn drift_in_force(sudo: &Path, dialect: Dialect, wanted: &str, within: Duration) -> Result<Option<String>> {
    let mut list = Command::new(sudo);
    let answer = output_within(list.args(["-n", "-l"]).env("LC_ALL", "C").stdin(Stdio::null()), within);
    let output = answer.with_context(|| format!("cannot run {}", sudo.display()))?;
    let output = output.with_context(|| format!("{} -l did not end in time", sudo.display()))?;
    if !output.status.success() {
        bail!("sudo -l: {}", output.err.trim());
    }
    let (wanted, found) = (of_fragment(wanted, dialect), of_listing(&output.out));
    if wanted == found {
        return Ok(None);
    }
    let mut text = "--- sudo -l\n+++ mailsudo sudoers\n".to_owned();
    for (sign, rules) in [('-', found.difference(&wanted)), ('+', wanted.difference(&found))] {
        for rule in rules {
            text.push_str(&format!("{sign}{rule}\n"));
        }
    }
    Ok(Some(text))
}

/// The rules of a fragment, as a listing has them: what follows `USER ALL = `.
fn of_fragment(text: &str, dialect: Dialect) -> BTreeSet<String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let rules = lines.filter_map(|line| Some(line.split_once(" ALL = ")?.1));
    ordered::collect(rules.map(|rule| canonical(&listed(rule, dialect))))
}

/// Measured (sudo 1.9.13, sudo-rs 0.2.15): sudo lists a literal's backslash, four in the file, as two, and an
/// expression as it is; sudo-rs lists none of the backslashes that its file needs, and the fragment has no others
/// (`literal`).
fn listed(rule: &str, dialect: Dialect) -> String {
    match dialect {
        Dialect::SudoRs => rule.replace('\\', ""),
        Dialect::Sudo if rule.contains(" ^--") => rule.to_owned(),
        Dialect::Sudo => rule.replace(r"\\\\", r"\\"),
    }
}

/// The rules in what `sudo -l` prints, after the line that names the user. A rule is indented by four spaces, and sudo
/// indents further what does not fit on its line.
fn of_listing(text: &str) -> BTreeSet<String> {
    let mut rules: Vec<String> = Vec::new();
    for line in text.lines().skip_while(|line| !line.starts_with("User ")).skip(1) {
        let more = line.strip_prefix("     ").or_else(|| line.strip_prefix('\t'));
        match (more, rules.last_mut()) {
            (Some(more), Some(rule)) => rule.push_str(&format!(" {}", more.trim())),
            _ => rules.push(line.trim().to_owned()),
        }
    }
    ordered::collect(rules.iter().filter(|rule| !rule.is_empty()).map(|rule| canonical(rule)))
}

/// The tags in one order: sudo lists them in its own.
fn canonical(rule: &str) -> String {
    let Some((run_as, rest)) = rule.strip_prefix('(').and_then(|rule| rule.split_once(") ")) else {
        return rule.to_owned();
    };
    let mut tags = BTreeSet::new();
    let mut rest = rest;
    while let Some((tag, after)) = rest.split_once(": ").filter(|(tag, _)| tag.chars().all(|c| c.is_ascii_uppercase()))
    {
        tags.insert(format!("{tag}: "));
        rest = after;
    }
    format!("({run_as}) {}{rest}", tags.into_iter().collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_read_as_the_fragment_that_it_comes_from() {
        let fragment = "# comment ALL = no\nmailsudo ALL = (nobody : mail) NOPASSWD: EXEC: NOSETENV: /usr/bin/timeout --kill-after\\=5s 10s /usr/bin/df -h\n";
        let listing = "Matching Defaults entries for mailsudo on localhost:\n    env_reset,\n    secure_path=/usr/bin\n\n\
                       User mailsudo may run the following commands on localhost:\n\
                       \x20   (nobody : mail) NOSETENV: EXEC: NOPASSWD: /usr/bin/timeout\n\
                       \x20       --kill-after\\=5s 10s /usr/bin/df -h\n";
        assert_eq!(of_listing(listing), of_fragment(fragment, Dialect::Sudo));
        for other in [
            listing.replace("EXEC: ", ""),
            listing.replace("NOPASSWD: ", ""),
            listing.replace(" : mail", ""),
            listing.replace(" -h", ""),
            format!("{listing}    (ALL) ALL\n"),
        ] {
            assert_ne!(of_listing(&other), of_fragment(fragment, Dialect::Sudo), "{other}");
        }
        assert_eq!(of_listing(&listing.replace('\\', "")), of_fragment(fragment, Dialect::SudoRs));
        assert_eq!(listed(r"/bin/a --b c\\\\d", Dialect::Sudo), r"/bin/a --b c\\d");
        assert_eq!(listed(r"/bin/a ^--b c\\\\d$", Dialect::Sudo), r"/bin/a ^--b c\\\\d$");
    }
}
