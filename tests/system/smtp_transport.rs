//! Replies by SMTP to the same Postfix that has delivered the request.

use crate::user::{User, in_block};
use crate::{poll, postfix, process, syslog, system_env};

const MASTER: &str = "/etc/postfix/master.cf";
const SENDMAIL: &str = "/usr/sbin/sendmail";

/// A transport whose replies go to this port of this host; the former one is back when this is dropped.
struct ReplyTransport {
    before: String,
}

impl ReplyTransport {
    fn to(port: u16) -> Self {
        let before = process::text(MASTER);
        assert!(before.contains(SENDMAIL), "what `mailsudo postfix install` writes");
        put(&before.replace(SENDMAIL, &format!("smtp://127.0.0.1:{port}")));
        Self { before }
    }
}

impl Drop for ReplyTransport {
    fn drop(&mut self) {
        put(&self.before);
    }
}

fn put(master: &str) {
    process::write(MASTER, 0o644, master);
    postfix::reload();
}

#[test]
fn the_reply_comes_back_by_smtp_and_survives_a_server_that_is_not_there() {
    system_env::enter();
    let user = User::enrol("posted");
    let id = {
        let _nobody_listens_there = ReplyTransport::to(9);
        let id = user.send(&user.request(&["note", "text=posted"]));
        postfix::wait_until_deferred(&id, 1);
        syslog::wait_for(&id, "smtp");
        id
    };
    assert_eq!(user.mailbox().messages(), Vec::<String>::new());
    let _road = ReplyTransport::to(25);
    // A queue manager that ends because of the reload does not retry.
    poll::until_true("a reply by SMTP", || {
        postfix::retry();
        !user.mailbox().messages().is_empty()
    });
    let reply = user.mailbox().single();
    user.assert_genuine(&reply);
    assert_eq!(in_block(&reply, "result"), "exit-0", "{reply}");
    assert!(
        reply.contains("\nReturn-Path: <>\n") || reply.starts_with("Return-Path: <>\n"),
        "the null sender: {reply}"
    );
    postfix::wait_until_gone(&id);
    syslog::wait_for(&id, "replied");
    assert_eq!(process::text(crate::commands::NOTES).matches("posted").count(), 1, "it ran once");
}
