//! OpenSMTPD: the lines of `examples/mail-servers/opensmtpd.conf`, before the first match of smtpd.conf. In: the
//! gateway's address and program. Out: a change of that file.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::wanted::Wanted;
use crate::system::changes::Changes;
use crate::system::files::Rights;

const LINES: &str = include_str!("../../examples/mail-servers/opensmtpd.conf");

/// The file of smtpd.conf(5).
const FILE: &str = "/etc/smtpd.conf";

/// How our lines begin and end.
const BEGIN: &str = "# mailsudo setup: begin";
const END: &str = "# mailsudo setup: end";

/// The change that leads the address to the gateway.
///
/// # Errors
///
/// The file cannot be read.
pub(super) fn plan(wanted: &Wanted<'_>) -> Result<Changes> {
    let text = fs::read_to_string(FILE).with_context(|| format!("cannot read {FILE}"))?;
    let mut changes = Changes::default();
    changes.write(Path::new(FILE), with_lines(&text, &lines(wanted)), Rights::READABLE);
    changes.needed()
}

fn lines(wanted: &Wanted<'_>) -> String {
    let program = wanted.program;
    let config = wanted.config.map(|folder| format!("--config {folder} ")).unwrap_or_default();
    LINES
        .replace("ops@example.com", wanted.address)
        .replace("= \"mailsudo\" }", &format!("= \"{}\" }}", wanted.service_user))
        .replace("/usr/bin/mailsudo deliver ", &format!("{program} deliver {config}"))
}

/// `text` with `lines` before its first match, and without those of an earlier setup.
fn with_lines(text: &str, lines: &str) -> String {
    let mut new = String::with_capacity(text.len() + lines.len());
    let (mut is_ours, mut is_put) = (false, false);
    let block = format!("{BEGIN}\n{lines}{END}\n");
    for line in text.split_inclusive('\n') {
        match line.trim_end() {
            BEGIN => is_ours = true,
            END => is_ours = false,
            _ if is_ours => {}
            rule => {
                if rule.starts_with("match ") && !is_put {
                    new.push_str(&block);
                    is_put = true;
                }
                new.push_str(line);
            }
        }
    }
    if !is_put {
        new.push_str(&block);
    }
    new
}

/// Makes OpenSMTPD read its file again, after it has checked it.
pub(super) fn reload() -> Vec<Command> {
    let mut check = Command::new("/usr/sbin/smtpd");
    check.arg("-n");
    let mut reload = Command::new("/usr/sbin/service");
    reload.args(["opensmtpd", "restart"]);
    vec![check, reload]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_lines_come_before_the_first_match_once() {
        let text = "listen on localhost\naction \"local\" maildir\nmatch for local action \"local\"\nmatch x\n";
        let once = with_lines(text, "ours\n");
        assert!(once.contains(&format!("maildir\n{BEGIN}\nours\n{END}\nmatch for local")), "{once}");
        assert_eq!(with_lines(&once, "ours\n"), once);
        assert!(with_lines("listen on lo\n", "ours\n").ends_with(&format!("{END}\n")));
        let lines = lines(&Wanted::example());
        assert!(
            lines.contains("{ \"root-ops@mail.example\" = \"ms\" }") && lines.contains("/opt/mailsudo deliver"),
            "{lines}"
        );
    }
}
