//! `mailsudo sign --wait-reply` with the user's mailbox at a provider: Dovecot over TLS.

use std::process::{Child, Output};

use super::provider::{self, Provider};
use super::services::mails_in;
use crate::commands::NOTES;
use crate::process::{self, run};
use crate::user::User;
use crate::{poll, postfix, syslog, system_env};

const SETTINGS: &str = "/root/.config/mailsudo/client.conf";
const PASSWORD: &str = "/root/imap-password";

/// The settings of docs/install.md, for the provider of the tests.
fn settle(password: &str) {
    run("install", &["-d", "-m", "0700", "/root/.config/mailsudo"]);
    process::write(PASSWORD, 0o600, &format!("{password}\n"));
    let settings =
        format!("[imap]\nserver = \"imap.example.com\"\nlogin = \"ops@example.com\"\npassword_file = \"{PASSWORD}\"\n");
    process::write(SETTINGS, 0o600, &settings);
}

fn said(child: Child) -> Output {
    child.wait_with_output().expect("sign ends")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// How many connections of the mailbox's user Dovecot has.
fn connections() -> usize {
    process::find(|line| line.starts_with("dovecot/imap")).len()
}

#[test]
fn a_request_waits_for_its_reply_at_an_imap_server() {
    system_env::enter();
    let _provider = Provider::start();
    settle(Provider::password());
    let user = User::enrol("awaited");
    Provider::deliver("someone@example.com", "Subject: old\n\nold\n");
    let sign = user.sign_and_wait(&["note", "text=awaited"]);
    let reply = user.mailbox().single();
    // The connection ends meanwhile: it is made again.
    poll::until_true("a login", || connections() > 0);
    run("doveadm", &["kick", "ops@example.com"]);
    Provider::deliver("someone@example.com", "Subject: another\n\nanother\n");
    Provider::deliver("ops@example.com", &reply);
    let done = said(sign);
    let told = text(&done);
    assert!(done.status.success() && told.contains("genuine: gateway"), "{told}");
    assert!(!told.contains(Provider::password()), "{told}");
    assert_eq!((Provider::mails(), mails_in_seen()), (3, 0), "it only reads");
}

#[test]
fn without_a_login_nothing_is_sent_and_no_code_is_used() {
    system_env::enter();
    let _provider = Provider::start();
    let user = User::enrol("locked-out-of-mail");
    settle("wrong");
    let refused = said(user.sign_and_wait(&["note", "text=unawaited"]));
    let told = text(&refused);
    assert!(refused.status.code() == Some(1) && told.contains("the login of ops@example.com"), "{told}");

    settle(Provider::password());
    let authority = provider::authority();
    provider::trust("");
    let intercepted = said(user.sign_and_wait(&["note", "text=unawaited"]));
    provider::trust(&authority);
    let told = text(&intercepted);
    assert!(intercepted.status.code() == Some(1) && told.contains("TLS: "), "{told}");
    run("chmod", &["0644", PASSWORD]);
    let open = text(&said(user.sign_and_wait(&["note", "text=unawaited"])));
    assert!(open.contains("can be read by others"), "{open}");

    assert!(postfix::queue_is_empty() && syslog::audit("locked-out-of-mail").is_empty());
    assert!(!process::text(NOTES).contains("unawaited"));
    // The code of this step serves now.
    settle(Provider::password());
    let sign = user.sign_and_wait(&["note", "text=lateawaited"]);
    Provider::deliver("ops@example.com", &user.mailbox().single());
    let done = said(sign);
    assert!(done.status.success(), "{}", text(&done));
}

/// How many mails have the flag that says that they were seen (maildir(5)).
fn mails_in_seen() -> usize {
    let seen = run("find", &["/srv/imap/ops@example.com", "-name", "*:2,*S*"]);
    assert!(mails_in("/srv/imap/ops@example.com") > 0);
    seen.lines().count()
}
