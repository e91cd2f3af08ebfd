//! Mail that is delivered again: deferred because a service was not there, or because the program died.

use std::fs;

use crate::commands::{HELD, HOLD_GO, NOTES};
use crate::mailbox::Mailbox;
use crate::user::{User, in_block};
use crate::{poll, postfix, process, syslog, system_env};

/// Has Postfix try again until a mailbox holds something.
pub(crate) fn retry_until_answered(mailbox: &Mailbox) -> String {
    // A retry may come too early: Postfix logs a deferral before the mail is back in its queue.
    poll::until_true("a reply after a retry", || {
        postfix::retry();
        !mailbox.messages().is_empty()
    });
    mailbox.single()
}

#[test]
fn waits_for_syslog_to_come_back() {
    system_env::enter();
    let user = User::enrol("deferred");
    let request = user.request(&["note", "text=whilesyslogwasaway"]);

    syslog::stop();
    let id = user.send(&request);
    postfix::wait_until_deferred(&id, 1);
    syslog::start();
    assert_eq!(process::text(NOTES).matches("whilesyslogwasaway").count(), 0);
    assert!(user.mailbox().messages().is_empty());

    user.assert_genuine(&retry_until_answered(&user.mailbox()));
    postfix::wait_until_gone(&id);
    assert_eq!(process::text(NOTES).matches("whilesyslogwasaway").count(), 1);
    assert_eq!(user.mailbox().messages().len(), 1);
}

#[test]
fn answers_unknown_after_dying_during_the_command() {
    system_env::enter();
    let user = User::enrol("bereft");
    let id = user.send(&user.request(&["hold"]));
    poll::until_true("the command's start", || process::text(HELD) == "held\n");

    let argument = format!("--queue-id={id}");
    let filters = process::find(|line| line.contains(" deliver ") && line.contains(&argument));
    let [filter] = filters[..] else {
        panic!("not one filter for {id}: {filters:?}");
    };
    process::kill(filter);
    postfix::wait_until_deferred(&id, 1);
    assert!(user.mailbox().messages().is_empty());

    let reply = retry_until_answered(&user.mailbox());
    user.assert_genuine(&reply);
    assert_eq!(in_block(&reply, "result"), "unknown");
    syslog::wait_for(&id, "resumed");
    postfix::wait_until_gone(&id);

    fs::write(HOLD_GO, "").expect("/srv is writable in the sandbox");
    poll::until_true("the command's end", || process::find(|line| line.ends_with("libexec/hold")).is_empty());
    assert_eq!(process::text(HELD), "held\n", "the command ran again");
    assert_eq!(user.mailbox().messages().len(), 1);
}
