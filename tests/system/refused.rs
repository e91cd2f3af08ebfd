//! Requests that are refused: what gets a reply and what gets none, and that each is logged, each mail consumed, and
//! nothing run. `tests/integration/refusal_table.rs` tests the rows of docs/protocol.md's table one by one; here the
//! real programs are around them.

use std::path::Path;

use crate::commands::{FORBIDDEN, NOTES};
use crate::mailbox::Mailbox;
use crate::user::{self, User, in_block};
use crate::{postfix, process, syslog, system_env};

/// Waits until a mail has left the queue, and checks that it was neither deferred nor bounced.
fn assert_consumed(id: &str) {
    postfix::wait_until_gone(id);
    let statuses = postfix::statuses(id);
    let once = matches!(statuses.as_slice(), [status] if status.contains("status=sent"));
    assert!(once, "not consumed in one go: {statuses:#?}");
}

/// Waits for the end of a mail that is refused for this reason without a reply.
fn assert_no_reply(user: &User, id: &str, reason: &str) {
    assert_consumed(id);
    assert_eq!(user.mailbox().messages(), Vec::<String>::new());
    syslog::wait_for(id, reason);
}

/// Waits for a genuine refusal.
fn refusal(user: &User, id: &str) -> String {
    assert_consumed(id);
    let reply = user.mailbox().single();
    user.assert_genuine(&reply);
    assert_eq!(in_block(&reply, "result"), "refused", "{reply}");
    syslog::wait_for(id, "refused");
    reply
}

fn noted(text: &str) -> usize {
    process::text(NOTES).matches(text).count()
}

#[test]
fn a_wrong_code_is_answered_and_runs_nothing() {
    system_env::enter();
    let user = User::enrol("guesser");
    let id = user.send(&user.request_with_wrong_code(&["note", "text=wrongcode"]));

    refusal(&user, &id);
    assert_eq!(noted("wrongcode"), 0);
    assert!(!process::text("/var/log/auth.log").contains(user::WRONG_CODE), "a code is in the log");
}

#[test]
fn a_replay_runs_nothing_and_gets_no_second_reply() {
    system_env::enter();
    let user = User::enrol("echo");
    let request = user.request(&["note", "text=replayed"]);
    let first = user.send(&request);
    user.assert_genuine(&user.mailbox().single());
    postfix::wait_until_gone(&first);

    let again = user.send(&request);
    assert_consumed(&again);
    syslog::wait_for(&again, "duplicate");
    assert_eq!(user.mailbox().messages().len(), 1);
    assert_eq!(noted("replayed"), 1);
}

#[test]
fn a_foreign_sender_gets_no_reply_and_uses_nothing_up() {
    system_env::enter();
    let user = User::enrol("impersonated");
    let request = user.request(&["note", "text=foreign"]);
    let mallory = "mallory@users.example";
    let id = user::send(mallory, &user::mail(mallory, &request));

    assert_no_reply(&user, &id, "foreign-from");
    assert!(Mailbox::of(mallory).messages().is_empty());
    assert_eq!(noted("foreign"), 0);

    // Nothing was recorded, so that the very same request serves its owner.
    user.send(&request);
    user.assert_genuine(&user.mailbox().single());
    assert_eq!(noted("foreign"), 1);
}

#[test]
fn a_forbidden_command_looks_like_an_unknown_one() {
    system_env::enter();
    let (one, other) = (User::enrol("climber"), User::enrol("dreamer"));
    // The red team has asked sudo for it before.
    let before = syslog::sudo_ran(FORBIDDEN);
    let forbidden = refusal(&one, &one.send(&one.request(&["forbidden"])));
    let unknown = refusal(&other, &other.send(&other.request(&["nonesuch"])));

    assert!(!Path::new(FORBIDDEN).exists());
    assert_eq!(syslog::sudo_ran(FORBIDDEN), before);
    assert_eq!(
        first_line(&forbidden).replace("forbidden", "COMMAND"),
        first_line(&unknown).replace("nonesuch", "COMMAND")
    );
}

/// The first line of a reply's text.
fn first_line(reply: &str) -> &str {
    let text = reply.split_once("\n\n").map_or("", |(_, text)| text);
    text.lines().next().unwrap_or_default()
}

#[test]
fn an_oversized_mail_is_consumed_unread() {
    system_env::enter();
    let user = User::enrol("verbose");
    let mut mail = user.mail(&user.request(&["note", "text=oversized"]));
    for _ in 0..6_000 {
        mail.push_str("and another thing that has to be said before this mail can end\n");
    }
    assert!(mail.len() > 256 * 1024, "above the gateway's limit");
    let id = user::send(&user.address, &mail);

    assert_no_reply(&user, &id, "too-large");
    assert_eq!(noted("oversized"), 0);
}

#[test]
fn a_mail_without_a_request_gets_no_reply() {
    system_env::enter();
    let user = User::enrol("chatty");
    let id = user.send("How are you?\n");

    assert_no_reply(&user, &id, "not-a-request");
}
