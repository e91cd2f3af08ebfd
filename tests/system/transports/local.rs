//! Postfix's local(8): a command in an alias file, one in the service user's ~/.forward, and procmail and maildrop
//! there.

use std::fs;

use super::services::{self, file};
use super::{Packaged, ReplyTransport, drive, example};
use crate::process::{self, run};
use crate::system_env::SERVICE;
use crate::{poll, postfix, smtp};

pub(crate) const HOME: &str = "/var/lib/mailsudo";
const MAIN: &str = "/etc/postfix/main.cf";
const ALIASES: &str = "/etc/postfix/mailsudo_aliases";

/// Postfix's local delivery to one address, as a sysadmin sets it up without a change of master.cf.
pub(crate) struct Local {
    recipient: &'static str,
    main: String,
    /// The files in the service user's home while this lives.
    files: Vec<String>,
    _program: Packaged,
}

impl Local {
    /// Mail to `recipient`. `files` are the service user's, and their content.
    pub(crate) fn set_up(recipient: &'static str, files: &[(&str, &str)]) -> Self {
        let program = Packaged::program();
        services::unpack_once();
        let main = process::text(MAIN);
        file(ALIASES, SERVICE, 0o644, &example("mail-servers/aliases").replace("ops ", "ops-alias "));
        let settings = format!("alias_maps = texthash:{ALIASES}\nrecipient_delimiter = +\nmyorigin = example.com\n");
        reload(&format!("{main}{settings}"));
        let files = files.iter().map(|(name, content)| {
            let path = format!("{HOME}/{name}");
            file(&path, SERVICE, 0o600, content);
            path
        });
        Self { recipient, main, files: files.collect(), _program: program }
    }
}

fn reload(main: &str) {
    postfix::write_main("/etc/postfix", main);
    postfix::reload();
}

impl Drop for Local {
    fn drop(&mut self) {
        for file in &self.files {
            let _ = fs::remove_file(file);
        }
        reload(&self.main);
    }
}

impl ReplyTransport for Local {
    fn send(&self, sender: &str, mail: &str) {
        // For a moment after the reload a server with the old settings may still answer.
        poll::until_true("an address that Postfix knows", || smtp::accepts(self.recipient).is_ok());
        smtp::send(sender, self.recipient, mail).expect("Postfix takes the mail");
    }

    fn retry(&self) {
        postfix::retry();
    }

    fn held(&self) -> usize {
        run("postqueue", &["-j"]).lines().count()
    }
}

#[test]
fn an_alias_runs_refuses_and_tries_again() {
    drive(&Local::set_up("ops-alias@example.com", &[]), "alias");
}

#[test]
fn a_forward_file_runs_refuses_and_tries_again() {
    let forward = example("mail-servers/forward");
    drive(&Local::set_up("mailsudo@example.com", &[(".forward", &forward)]), "forward");
}

#[test]
fn procmail_runs_refuses_and_tries_again() {
    let rules = example("mail-servers/procmailrc");
    let files = [(".forward", "\"|/usr/bin/procmail\"\n"), (".procmailrc", &rules)];
    drive(&Local::set_up("mailsudo@example.com", &files), "procmail");
}

#[test]
fn maildrop_runs_refuses_and_tries_again() {
    let rules = example("mail-servers/mailfilter");
    let files = [(".forward", "\"|/usr/bin/maildrop\"\n"), (".mailfilter", &rules)];
    drive(&Local::set_up("mailsudo@example.com", &files), "maildrop");
}
