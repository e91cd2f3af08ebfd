//! Votes on one request that come at the same moment: each is a process of its own.

use std::io::Write;
use std::process::{Command, Stdio};

use mailsudo::protocol::Timestamp;
use mailsudo::system::clock::{Clock, SystemClock};

use super::{Site, field, key_of, message_to, result, text};
use crate::common::{block, mail};

/// Processes of the program, all started before any has its mail. Returns whether none of the mails was deferred.
fn deliver_at_once(site: &Site, mails: &[String]) -> bool {
    all_at_once(&mails.iter().map(|mail| (site, mail.as_str())).collect::<Vec<_>>())
}

/// The same, each mail at its own mail server.
pub(super) fn all_at_once(mails: &[(&Site, &str)]) -> bool {
    let mut children: Vec<_> = mails
        .iter()
        .map(|(site, _)| {
            Command::new(env!("CARGO_BIN_EXE_mailsudo"))
                .args(["deliver", "--config"])
                .arg(site.gateway.folder.path())
                .arg("--reply-via")
                .arg(site.gateway.path("sendmail"))
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("the program")
        })
        .collect();
    for (child, (_, mail)) in children.iter_mut().zip(mails) {
        child.stdin.take().expect("a pipe").write_all(mail.as_bytes()).expect("written");
    }
    let mut all_handled = true;
    for child in &mut children {
        let status = child.wait().expect("its end");
        assert!(matches!(status.code(), Some(0 | 75)), "{status}");
        all_handled &= status.code() == Some(0);
    }
    all_handled
}

/// Makes a gateway one that several deliveries can use at once, at the time of the system.
pub(super) fn for_many(site: &Site) {
    let home = site.gateway.folder.path().display().to_string();
    // Nothing here reads the log's socket, and a full one defers each delivery.
    let toml = std::fs::read_to_string(site.gateway.path("mailsudo.toml")).expect("the settings");
    site.gateway.write("mailsudo.toml", 0o644, &toml.replace(&format!("\"{home}/log\""), "\"stderr\""));
    let sendmail =
        format!("#!/bin/sh\nt=$(mktemp {home}/spool.XXXXXX)\ncat > $t && mv $t {home}/replies/$(basename $t)\n");
    site.gateway.write("sendmail", 0o755, &sendmail);
    site.gateway.clock.set(SystemClock.now());
}

/// The messages that it has sent.
pub(super) fn sent(site: &Site) -> Vec<String> {
    let entries = std::fs::read_dir(site.gateway.path("replies")).expect("replies");
    entries.map(|entry| std::fs::read_to_string(entry.expect("an entry").path()).expect("a reply")).collect()
}

/// A request of alice's that waits, in a gateway that several deliveries can use at once.
struct Waiting {
    site: Site,
    request: String,
    id: String,
    digest: String,
    now: Timestamp,
}

impl Waiting {
    fn new(needed: &str) -> Self {
        let site = Site::new(needed);
        for_many(&site);
        let now = site.gateway.clock.now();
        let mut waiting = Self { site, request: String::new(), id: String::new(), digest: String::new(), now };
        waiting.request = waiting.mail("alice", 60, "risky", &[("what", "a")]);
        assert!(deliver_at_once(&waiting.site, std::slice::from_ref(&waiting.request)));
        let notice = message_to(&waiting.replies(), "carol");
        (waiting.id, waiting.digest) = (field(&notice, "request: "), field(&notice, "digest: "));
        waiting
    }

    /// A mail that was signed so many seconds ago.
    fn mail(&self, user: &str, seconds: i64, command: &str, arguments: &[(&str, &str)]) -> String {
        let signed = Timestamp::from_seconds(self.now.seconds() - seconds);
        mail(&format!("{user}@example.com"), &block(user, key_of(user), signed, command, arguments, None))
    }

    fn vote(&self, user: &str, command: &str) -> String {
        let all = [("id", self.id.as_str()), ("digest", self.digest.as_str()), ("reason", "no")];
        let arguments = match command {
            "cancel" => &all[..1],
            "approve" => &all[..2],
            _ => &all[..],
        };
        self.mail(user, 30, command, arguments)
    }

    fn replies(&self) -> Vec<String> {
        sent(&self.site)
    }

    /// Delivers all at once, and those that were deferred again. Gives the result of the one final reply.
    fn decide(&self, mails: &[String]) -> String {
        deliver_at_once(&self.site, mails);
        // What was deferred comes again, as often as on a slow host the others hold the lock.
        assert!((0..20).any(|_| deliver_at_once(&self.site, mails)));
        assert_eq!(self.site.open_messages(), (0, 0));
        let replies = self.replies();
        let id = format!("\nMessage-ID: <{}@example.com>\n", self.id);
        let last: Vec<_> = replies.iter().filter(|message| message.contains(&id)).collect();
        assert_eq!(last.len(), 1, "one final reply: {replies:#?}");
        result(&text(last[0]))
    }
}

#[test]
fn two_approvals_a_denial_and_a_replay_in_the_same_moment_run_it_at_most_once() {
    for round in 0..6 {
        let waiting = Waiting::new(if round % 2 == 0 { "needed = 1" } else { "needed = 2" });
        let vote = |user: &str| waiting.vote(user, "approve");
        let mut mails = vec![vote("carol"), vote("dave"), vote("carol"), waiting.request.clone()];
        if round >= 4 {
            mails.push(waiting.vote("bob", "deny"));
        }
        match waiting.decide(&mails).as_str() {
            "exit-0" => assert_eq!(waiting.site.runs(), 1, "{round}"),
            "denied" if round >= 4 => assert_eq!(waiting.site.runs(), 0, "{round}"),
            other => panic!("{round}: {other}"),
        }
    }
}

/// The requester takes it back in the moment in which another user approves it: one of them is told that it came too
/// late.
#[test]
fn a_cancellation_and_an_approval_in_the_same_moment_have_one_winner() {
    for round in 0..6 {
        let waiting = Waiting::new("");
        let mails = [waiting.vote("alice", "cancel"), waiting.vote("carol", "approve"), waiting.request.clone()];
        let [first, second, third] = &mails;
        let order = if round % 2 == 0 { [first, second, third] } else { [second, first, third] };
        let ended = waiting.decide(&order.map(Clone::clone));
        let told = |user: &str| {
            let votes: Vec<_> = waiting
                .replies()
                .iter()
                .map(|message| text(message))
                .filter(|text| {
                    text.contains(&format!("\nuser: {user}\n"))
                        && !text.contains(&format!("\nrequest: {}\n", waiting.id))
                })
                .collect();
            assert_eq!(votes.len(), 1, "{round}: one answer to {user}'s vote: {votes:#?}");
            result(&votes[0])
        };
        let (cancelled, approved) = (told("alice"), told("carol"));
        match ended.as_str() {
            "exit-0" => assert_eq!(
                (waiting.site.runs(), cancelled.as_str(), approved.as_str()),
                (1, "refused", "exit-0"),
                "{round}"
            ),
            "cancelled" => assert_eq!(
                (waiting.site.runs(), cancelled.as_str(), approved.as_str()),
                (0, "exit-0", "refused"),
                "{round}"
            ),
            other => panic!("{round}: {other}"),
        }
    }
}
