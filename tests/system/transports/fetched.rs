//! A mailbox at a provider: getmail, started as the systemd unit says, or fetchmail; replies leave through msmtp.

use std::cell::RefCell;
use std::process::Child;

use super::local::HOME;
use super::provider::{self, Provider};
use super::services::{file, folder};
use super::{Lingering, Packaged, ReplyTransport, drive, example, retry_until_answered};
use crate::process;
use crate::system_env::{SERVICE, in_checkout};
use crate::user::{User, in_block};
use crate::{poll, syslog};

struct Fetcher {
    words: Vec<String>,
    running: RefCell<Option<Child>>,
    _provider: Provider,
    _program: Packaged,
}

impl Fetcher {
    fn set_up(words: Vec<String>) -> Self {
        let program = Packaged::program();
        let provider = Provider::start();
        secret("/etc/mailsudo/imap-password", &format!("{}\n", Provider::password()));
        file(&format!("{HOME}/.msmtprc"), SERVICE, 0o600, &example("imap/msmtprc"));
        Self { words, running: RefCell::new(None), _provider: provider, _program: program }
    }

    fn getmail() -> Self {
        let unit = process::text(in_checkout("packaging/mailsudo-fetch.service"));
        let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).expect("a service starts something");
        let transport = Self::set_up(start.split_whitespace().map(str::to_owned).collect());
        secret("/etc/mailsudo/getmailrc", &example("imap/getmailrc"));
        folder(&format!("{HOME}/getmail"), SERVICE, "700");
        transport
    }

    fn fetchmail() -> Self {
        let transport = Self::set_up(["fetchmail", "-f", "/etc/mailsudo/fetchmailrc"].map(str::to_owned).to_vec());
        let rules = example("imap/fetchmailrc").replace("the app password", Provider::password());
        file("/etc/mailsudo/fetchmailrc", SERVICE, 0o600, &rules);
        transport
    }

    /// Starts a fetch; one at a time, as systemd has it.
    fn start(&self) {
        self.finish();
        let words: Vec<_> = self.words.iter().map(String::as_str).collect();
        *self.running.borrow_mut() = Some(process::run_as(SERVICE, HOME, &words));
    }

    /// Waits for the end of the fetch that is under way, if any.
    fn finish(&self) {
        if let Some(running) = self.running.borrow_mut().take() {
            running.wait_with_output().expect("it can be waited for");
        }
    }

    /// Kills the fetch that is under way, and nothing that it has started.
    fn kill(&self) {
        process::kill(self.running.borrow().as_ref().expect("a fetch is under way").id());
        self.finish();
    }
}

/// Writes a file that the service user may read and not change, as docs/imap.md says.
fn secret(path: &str, content: &str) {
    process::write(path, 0o640, content);
    process::run("chgrp", &[SERVICE, path]);
}

impl ReplyTransport for Fetcher {
    fn send(&self, sender: &str, mail: &str) {
        Provider::deliver(sender, mail);
        self.start();
    }

    fn retry(&self) {
        self.start();
        self.finish();
    }

    fn held(&self) -> usize {
        Provider::mails()
    }
}

#[test]
fn getmail_runs_refuses_and_tries_again() {
    let transport = Fetcher::getmail();
    drive(&transport, "getmail");
    // The fetched replies' way: over TLS, with the password, from the mailbox's own address.
    let relayed = process::text("/var/log/syslog");
    assert!(relayed.contains("tls=on auth=on user=ops@example.com from=ops@example.com"), "{relayed}");
}

#[test]
fn fetchmail_runs_refuses_and_tries_again() {
    drive(&Fetcher::fetchmail(), "fetchmail");
}

#[test]
fn a_fetcher_that_dies_before_it_deletes_runs_nothing_twice() {
    let transport = Fetcher::getmail();
    let user = User::enrol("fetched-twice");
    let run = Lingering::of("fetchedtwice");
    transport.send(&user.address, &user.mail(&user.request(&["linger", "mark=fetchedtwice"])));
    run.wait_until_started();
    transport.kill();

    // The delivery goes on without it. Another fetch finds it under way, and leaves the mail where it is.
    transport.retry();
    syslog::wait_for("user=fetched-twice", "busy");
    assert_eq!(transport.held(), 1);
    run.let_go();
    let reply = user.mailbox().single();
    user.assert_genuine(&reply);
    assert_eq!(in_block(&reply, "result"), "exit-0");

    // As if it had died between its last look at the delivery and the deletion: nothing is left to do but to delete.
    poll::until_true("an empty mailbox", || {
        transport.retry();
        transport.held() == 0
    });
    syslog::wait_for("user=fetched-twice", "duplicate");
    run.assert_ran_once();
    assert_eq!(user.mailbox().messages().len(), 1);
}

#[test]
fn a_reply_waits_for_the_submission_server() {
    let transport = Fetcher::getmail();
    let user = User::enrol("answered-late");
    let settings = format!("{HOME}/.msmtprc");
    let right = process::text(&settings);
    file(&settings, SERVICE, 0o600, &right.replace("port 587", "port 588"));
    transport.send(&user.address, &user.mail(&user.request(&["note", "text=answeredlate"])));
    syslog::wait_for("user=answered-late", "deferred");
    transport.finish();
    assert_eq!(transport.held(), 1);
    file(&settings, SERVICE, 0o600, &right);

    let reply = retry_until_answered(&transport, &user);
    assert_eq!(in_block(&reply, "result"), "exit-0");
    assert_eq!(process::text(crate::commands::NOTES).matches("answeredlate").count(), 1);
}

#[test]
fn a_server_with_an_untrusted_certificate_gets_no_password() {
    let transport = Fetcher::getmail();
    let user = User::enrol("intercepted");
    let authority = provider::authority();
    provider::trust("");
    transport.send(&user.address, &user.mail(&user.request(&["note", "text=intercepted"])));
    transport.finish();
    assert_eq!(transport.held(), 1);
    assert!(syslog::audit("intercepted").is_empty());
    provider::trust(&authority);

    retry_until_answered(&transport, &user);
}
