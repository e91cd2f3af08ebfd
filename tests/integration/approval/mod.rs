//! A second person's approval: who may give it, what it starts, and what everyone is told.

mod at_once;
mod faults;
mod nodes;
mod recorded;
mod shown;
mod signed;
mod table;

use std::fs;

use mailsudo::protocol::{Key, Timestamp, Verdict, check_notice, verify_reply};
use mailsudo::system::clock::Clock;

use crate::common::{Ended, KEY, OTHER_KEY, TOTP, TestGateway, block, mail};

const CAROL: &str = "ca2001ca2001ca2001ca2001ca2001ca2001ca2001ca2001ca2001ca2001ca20";
const DAVE: &str = "da7e00da7e00da7e00da7e00da7e00da7e00da7e00da7e00da7e00da7e00da7e";

/// alice (web) may ask for `risky`; carol, and dave and bob by their role, may approve it.
struct Site {
    gateway: TestGateway,
}

/// A request that waits.
#[derive(Clone)]
struct Asked {
    id: String,
    digest: String,
    mail: String,
}

impl Site {
    fn new(approval: &str) -> Self {
        Self::of(TestGateway::new(), approval)
    }

    fn of(gateway: TestGateway, approval: &str) -> Self {
        gateway.user("carol", CAROL, "desk");
        gateway.user("dave", DAVE, "oncall");
        let site = Self { gateway };
        site.command(approval, "exclusive = false");
        site
    }

    fn command(&self, approval: &str, more: &str) {
        let home = self.gateway.folder.path().display();
        self.gateway.write(
            "commands.d/risky.toml",
            0o644,
            &format!(
                "summary = \"Risky\"\nrun_as = \"root\"\nargv = [\"{home}/command\", \"{{what}}\"]\n{more}\n\
                 [parameters.what]\none_of = [\"a\", \"b\"]\n\
                 [approval]\nby = [\"carol\", \"role:oncall\"]\n{approval}\n\
                 [allow.web]\n[allow.other]\nwhat = [\"b\"]\n"
            ),
        );
    }

    /// A mail of `user`, signed half a minute after the last one.
    fn mail(&self, user: &str, command: &str, arguments: &[(&str, &str)]) -> String {
        self.gateway.clock.forward(30);
        let block = block(user, key_of(user), self.gateway.clock.now(), command, arguments, None);
        mail(&format!("{user}@example.com"), &block)
    }

    fn send(&mut self, user: &str, command: &str, arguments: &[(&str, &str)]) -> Ended {
        let mail = self.mail(user, command, arguments);
        self.gateway.deliver(&mail)
    }

    fn ask(&mut self, arguments: &[(&str, &str)]) -> (Asked, Ended) {
        let mail = self.mail("alice", "risky", arguments);
        let ended = self.gateway.deliver(&mail);
        let pending = message_to(&ended.replies, "alice");
        let asked = Asked { id: field(&pending, "request: "), digest: fact(&pending, "digest"), mail };
        (asked, ended)
    }

    fn asked(&mut self) -> Asked {
        self.ask(&[("what", "a")]).0
    }

    fn approve(&mut self, user: &str, asked: &Asked) -> Ended {
        self.send(user, "approve", &[("id", &asked.id), ("digest", &asked.digest)])
    }

    fn deny(&mut self, user: &str, asked: &Asked, why: &str) -> Ended {
        self.send(user, "deny", &[("id", &asked.id), ("digest", &asked.digest), ("reason", why)])
    }

    fn state(&self, asked: &Asked) -> String {
        let sql = "SELECT state FROM requests WHERE name = ?1";
        let id = hex::decode(&asked.id).expect("an id");
        self.gateway.ledger().query_row(sql, [id], |row| row.get(0)).expect("a state")
    }

    fn runs(&self) -> usize {
        self.gateway.runs().len()
    }

    fn open_messages(&self) -> (u32, u32) {
        let ledger = self.gateway.ledger();
        let count = |sql: &str| ledger.query_row(sql, [], |row| row.get(0)).expect("a count");
        (
            count("SELECT count(*) FROM requests WHERE handed_over IS NULL"),
            count("SELECT count(*) FROM notices WHERE sent IS NULL"),
        )
    }
}

fn key_of(user: &str) -> &'static str {
    match user {
        "alice" => KEY,
        "carol" => CAROL,
        "dave" => DAVE,
        _ => OTHER_KEY,
    }
}

/// The text of the one message to `user` among `messages`.
fn message_to(messages: &[String], user: &str) -> String {
    let to = format!("\nTo: <{user}@example.com>\n");
    let found: Vec<_> = messages.iter().filter(|message| message.contains(&to)).collect();
    assert_eq!(found.len(), 1, "one message to {user}: {messages:#?}");
    text(found[0])
}

fn text(message: &str) -> String {
    mailsudo::intake::readable(message.as_bytes()).into_iter().next().expect("a text")
}

/// To whom messages went, in order.
fn recipients(messages: &[String]) -> Vec<String> {
    let to = |message: &String| {
        let (_, rest) = message.split_once("\nTo: <").expect("a To field");
        rest.split_once('@').expect("an address").0.to_owned()
    };
    messages.iter().map(to).collect()
}

/// The value of a line of the block.
fn field(text: &str, key: &str) -> String {
    text.lines().rev().find_map(|line| line.strip_prefix(key)).unwrap_or_else(|| panic!("{key}: {text}")).to_owned()
}

/// The value of a fact.
fn fact(text: &str, label: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix(label)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{label}: {text}")).trim().to_owned()
}

fn result(text: &str) -> String {
    field(text, "result: ")
}

fn key(hex: &str) -> Key {
    Key::from_hex(hex).expect("a key")
}

fn logged(ended: &Ended, words: &[&str]) -> bool {
    ended.log.iter().any(|line| words.iter().all(|word| line.contains(word)))
}

#[test]
fn a_request_waits_and_everyone_who_may_approve_gets_a_signed_notice() {
    let mut site = Site::new("reason = true");
    let (asked, ended) = site.ask(&[("what", "a"), ("reason", "the disk is full")]);
    assert_eq!((site.runs(), site.state(&asked).as_str()), (0, "pending"));
    assert_eq!(recipients(&ended.replies), ["bob", "carol", "dave", "alice"], "the requester last, and once");
    let pending = message_to(&ended.replies, "alice");
    assert!(pending.starts_with("waits for approval: risky what=a reason=the disk is full\n"), "{pending}");
    assert!(pending.contains("1 of carol, role:oncall") && pending.contains("A notice goes to bob, carol, dave."));
    assert_eq!(result(&pending), "pending");
    assert!(matches!(verify_reply(&pending, &key(KEY)), Verdict::Genuine(_)));
    let reply = ended.replies.last().expect("a reply");
    assert!(reply.contains(&format!("\nMessage-ID: <{}.pending@example.com>\n", asked.id)), "{reply}");

    let notice = message_to(&ended.replies, "carol");
    assert!(notice.starts_with("to approve: risky what=a\n\nhost     "), "{notice}");
    let home = site.gateway.folder.path().display().to_string();
    for line in [
        "from     alice".to_owned(),
        "run as   the gateway's own user (run_via = \"direct\")".to_owned(),
        format!("    {home}/command"),
        "    a".to_owned(),
        "| the disk is full".to_owned(),
        format!("        digest={}", asked.digest),
    ] {
        assert!(notice.lines().any(|found| found == line), "{line}: {notice}");
    }
    assert!(!notice.contains("mailsudo: 1") && !notice.contains("http") && !notice.contains("mailto:"), "{notice}");
    match check_notice(&notice, &key(CAROL)).verdict {
        Verdict::Genuine(block) => {
            assert_eq!(block.request.to_string(), asked.id);
            assert_eq!((block.digest.to_string(), block.from.as_str()), (asked.digest.clone(), "alice"));
            assert_eq!((block.user.as_str(), block.command.as_str()), ("carol", "risky"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(check_notice(&notice, &key(DAVE)).verdict, Verdict::NotGenuine, "each has a notice of their own");
    let mail = ended.replies.iter().find(|message| message.contains("<carol@")).expect("a notice");
    assert!(mail.contains(&format!("\nMessage-ID: <{}.notice.carol@example.com>\n", asked.id)), "{mail}");
    assert!(mail.contains("\nSubject: [berlin] risky what=a: to approve\n"), "{mail}");
    assert!(logged(&ended, &["event=pending", "command=risky", "asked=\"bob,carol,dave\""]), "{ended:?}");
    assert_eq!(site.open_messages(), (0, 0));
}

#[test]
fn the_last_approval_runs_it_once_and_both_get_the_outcome() {
    let mut site = Site::new("");
    let asked = site.asked();
    let approval = site.mail("carol", "approve", &[("id", &asked.id), ("digest", &asked.digest)]);
    let ended = site.gateway.deliver(&approval);
    assert_eq!(site.gateway.runs(), ["a"]);
    assert_eq!(recipients(&ended.replies), ["alice", "carol"]);
    let last = message_to(&ended.replies, "alice");
    assert!(last.starts_with("ok: risky what=a\n") && last.contains("ran with a\n"), "{last}");
    assert!(fact(&last, "approved").starts_with("by carol at 2026-11-23T10:"), "{last}");
    assert_eq!((result(&last), field(&last, "request: ")), ("exit-0".to_owned(), asked.id.clone()));
    assert!(matches!(verify_reply(&last, &key(KEY)), Verdict::Genuine(_)));
    assert!(ended.replies[0].contains(&format!("\nMessage-ID: <{}@example.com>\n", asked.id)));
    assert!(ended.replies[0].contains(&format!("\nIn-Reply-To: <{}.pending@example.com>\n", asked.id)));
    let own = message_to(&ended.replies, "carol");
    assert!(own.starts_with("ok: approve id="), "{own}");
    assert!(fact(&own, "asked").starts_with(&format!("{} by alice: risky what=a", &asked.id[..12])), "{own}");
    assert!(own.contains("ran with a\n") && matches!(verify_reply(&own, &key(CAROL)), Verdict::Genuine(_)), "{own}");
    assert!(logged(&ended, &["event=voted", "user=carol", "vote=approved", "requester=alice", "run=now"]), "{ended:?}");

    for replay in [&approval, &asked.mail] {
        let ended = site.gateway.deliver(replay);
        assert!(ended.refused("duplicate") && ended.replies.is_empty(), "{ended:?}");
    }
    let late = site.approve("dave", &asked);
    assert!(late.refused("not-pending"), "{late:?}");
    assert!(text(late.reply()).contains("it was approved, and it ran: exit-0 (approved by carol at "), "{late:?}");
    assert_eq!((site.runs(), site.open_messages()), (1, (0, 0)));
}

#[test]
fn approvers_need_not_see_the_output() {
    let mut site = Site::new("show_output = false");
    let asked = site.asked();
    let ended = site.approve("carol", &asked);
    assert!(message_to(&ended.replies, "alice").contains("ran with a\n"));
    let own = message_to(&ended.replies, "carol");
    assert!(!own.contains("ran with") && own.contains("and it ran: exit-0. The requester gets the reply."), "{own}");
    assert_eq!(result(&own), "exit-0");
}

#[test]
fn a_command_that_fails_is_reported_to_both_as_it_ended() {
    let mut site = Site::new("");
    site.gateway.write("hook", 0o644, "exit 3\n");
    let asked = site.asked();
    let ended = site.approve("carol", &asked);
    for user in ["alice", "carol"] {
        assert_eq!(result(&message_to(&ended.replies, user)), "exit-3");
    }
    assert_eq!(site.state(&asked), "finished");
}

#[test]
fn the_requester_never_counts_under_whatever_name() {
    let mut site = Site::new("");
    site.gateway.user("alice", KEY, "web\", \"oncall");
    let (asked, ended) = site.ask(&[("what", "a")]);
    assert_eq!(recipients(&ended.replies), ["bob", "carol", "dave", "alice"], "no notice to the requester");
    let ended = site.approve("alice", &asked);
    assert!(ended.refused("own-request") && text(ended.reply()).contains("another user must judge it"), "{ended:?}");

    // A second name of alice: by address, by From address, by key.
    let carol = fs::read_to_string(site.gateway.path("users.d/carol.toml")).expect("a user");
    for same in [
        "address = \"ALICE@example.com\"\nfrom = [\"carol@example.com\"]",
        "address = \"carol@example.com\"\nfrom = [\"carol@example.com\", \"alice@example.com\"]",
    ] {
        site.gateway.write("users.d/carol.toml", 0o644, &format!("{same}\nroles = [\"desk\"]\n"));
        let ended = site.approve("carol", &asked);
        assert!(ended.refused("own-request"), "{same}: {ended:?}");
    }
    site.gateway.write("users.d/carol.toml", 0o644, &carol);
    site.gateway.user("eve", KEY, "oncall");
    site.gateway.clock.forward(30);
    let arguments = [("id", asked.id.as_str()), ("digest", asked.digest.as_str())];
    let eve = block("eve", KEY, site.gateway.clock.now(), "approve", &arguments, None);
    let ended = site.gateway.deliver(&mail("eve@example.com", &eve));
    assert!(ended.refused("own-request"), "the same key: {ended:?}");
    // alice has another key now. The one before it is still eve's.
    let rotated = format!(
        "hmac_key = \"{OTHER_KEY}\"\ntotp = \"{TOTP}\"\n[previous]\nhmac_key = \"{KEY}\"\nuntil = 2030-01-01T00:00:00Z\n"
    );
    site.gateway.write("secrets.d/alice.toml", 0o600, &rotated);
    site.gateway.user("bob", DAVE, "oncall");
    site.gateway.clock.forward(30);
    let eve = block("eve", KEY, site.gateway.clock.now(), "approve", &arguments, None);
    let ended = site.gateway.deliver(&mail("eve@example.com", &eve));
    assert!(ended.refused("own-request"), "the key before a rotation: {ended:?}");
    assert_eq!((site.runs(), site.state(&asked).as_str()), (0, "pending"));
}

#[test]
fn who_may_not_judge_it_gets_the_same_words_as_for_a_request_that_is_not_there() {
    let mut site = Site::new("");
    let asked = site.asked();
    site.gateway.user("bob", OTHER_KEY, "other");
    let nothing = Asked { id: "0f".repeat(32), ..asked.clone() };
    let other = Asked { digest: "0f".repeat(32), ..asked.clone() };
    let mut said = Vec::new();
    for (user, asked) in [("bob", &asked), ("bob", &nothing), ("carol", &nothing), ("carol", &other)] {
        for ended in [site.approve(user, asked), site.deny(user, asked, "no")] {
            assert!(ended.refused("unknown-request"), "{user}: {ended:?}");
            let text = text(ended.reply());
            said.push(text.lines().find(|line| line.starts_with("This has no effect:")).expect("words").to_owned());
        }
    }
    for (user, id) in [("bob", &asked.id), ("carol", &asked.id), ("alice", &nothing.id)] {
        let ended = site.send(user, "cancel", &[("id", id)]);
        assert!(ended.refused("unknown-request"), "{user}: {ended:?}");
        let text = text(ended.reply());
        said.push(text.lines().find(|line| line.starts_with("This has no effect:")).expect("words").to_owned());
    }
    said.dedup();
    assert_eq!(said, ["This has no effect: no request with this id and digest waits for you."]);
    assert_eq!((site.runs(), site.state(&asked).as_str()), (0, "pending"));
    let recorded = site.gateway.recorded();
    assert_eq!(recorded.0, recorded.1, "each is recorded, and each has used its step");
}

#[test]
fn one_denial_is_final() {
    let mut site = Site::new("needed = 2");
    let asked = site.asked();
    assert!(text(site.approve("carol", &asked).reply()).contains("Your approval counts: 1 of 2."));
    let without = site.send("dave", "deny", &[("id", &asked.id), ("digest", &asked.digest)]);
    assert!(without.refused("bad-parameter") && without.reply().contains("`reason` is missing"), "{without:?}");
    let ended = site.deny("dave", &asked, "not on a Friday");
    assert_eq!(recipients(&ended.replies), ["alice", "dave"]);
    let last = message_to(&ended.replies, "alice");
    assert!(last.starts_with("denied: risky what=a\n") && last.contains("Nothing was run. dave denied it."), "{last}");
    assert!(fact(&last, "denied").ends_with(": not on a Friday") && last.contains("approved by carol at "), "{last}");
    assert_eq!(result(&last), "denied");
    assert!(logged(&ended, &["event=voted", "vote=denied", "requester=alice"]), "{ended:?}");
    for user in ["bob", "carol", "dave"] {
        let ended = site.approve(user, &asked);
        assert!(ended.refused("not-pending") && text(ended.reply()).contains("it was denied"), "{user}: {ended:?}");
    }
    let cancel = site.send("alice", "cancel", &[("id", &asked.id)]);
    assert!(cancel.refused("not-pending"), "{cancel:?}");
    assert_eq!((site.runs(), site.state(&asked).as_str(), site.open_messages()), (0, "denied", (0, 0)));
    // Who has approved may still deny.
    let asked = site.asked();
    site.approve("carol", &asked);
    let ended = site.deny("carol", &asked, "I was wrong");
    assert_eq!(result(&message_to(&ended.replies, "alice")), "denied");
    assert!(site.approve("dave", &asked).refused("not-pending"));
    assert_eq!((site.runs(), site.state(&asked).as_str()), (0, "denied"));
}

#[test]
fn the_requester_may_cancel_and_an_approver_may_take_an_approval_back() {
    let mut site = Site::new("needed = 2");
    let asked = site.asked();
    site.approve("carol", &asked);
    let ended = site.send("carol", "cancel", &[("id", &asked.id)]);
    assert!(text(ended.reply()).contains("Your approval is taken back."), "{ended:?}");
    assert!(text(site.approve("dave", &asked).reply()).contains("1 of 2"), "carol's counts no more");
    let again = site.send("carol", "cancel", &[("id", &asked.id)]);
    assert!(again.refused("unknown-request"), "there is none to take back: {again:?}");
    let ended = site.send("alice", "cancel", &[("id", &asked.id)]);
    assert_eq!(recipients(&ended.replies), ["alice", "alice"]);
    let last = text(&ended.replies[0]);
    assert!(last.starts_with("cancelled: risky what=a\n") && result(&last) == "cancelled", "{last}");
    assert_eq!(field(&last, "request: "), asked.id);
    let late = site.approve("carol", &asked);
    assert!(late.refused("not-pending") && text(late.reply()).contains("its user cancelled it"), "{late:?}");
    assert_eq!((site.runs(), site.state(&asked).as_str(), site.open_messages()), (0, "cancelled", (0, 0)));
}

#[test]
fn two_are_two_different_users_who_both_may_still_approve_when_it_runs() {
    let mut site = Site::new("needed = 2");
    let asked = site.asked();
    site.approve("carol", &asked);
    let twice = site.approve("carol", &asked);
    assert!(twice.refused("already-approved"), "{twice:?}");
    // The same person under another name: dave has carol's address too.
    site.gateway.write(
        "users.d/dave.toml",
        0o644,
        "address = \"dave@example.com\"\nfrom = [\"dave@example.com\", \"carol@example.com\"]\nroles = [\"oncall\"]\n",
    );
    let same = site.approve("dave", &asked);
    assert!(same.refused("already-approved"), "{same:?}");
    site.gateway.user("dave", DAVE, "oncall");
    // carol is disabled: her approval counts no more.
    let carol = fs::read_to_string(site.gateway.path("users.d/carol.toml")).expect("a user");
    site.gateway.write("users.d/carol.toml", 0o644, &format!("{carol}enabled = false\n"));
    let ended = site.approve("dave", &asked);
    assert!(text(ended.reply()).contains("Your approval counts: 1 of 2."), "{ended:?}");
    let disabled = site.approve("carol", &asked);
    assert!(disabled.refused("disabled") && disabled.replies.is_empty(), "{disabled:?}");
    // bob's role is gone, and with it the right to approve.
    site.gateway.user("bob", OTHER_KEY, "web");
    assert!(site.approve("bob", &asked).refused("unknown-request"));
    site.gateway.user("bob", OTHER_KEY, "oncall");
    assert_eq!(site.runs(), 0);
    let ended = site.approve("bob", &asked);
    assert_eq!(recipients(&ended.replies), ["alice", "bob"]);
    let last = message_to(&ended.replies, "alice");
    let approved: Vec<_> = last.lines().filter(|line| line.starts_with("approved by")).collect();
    assert_eq!(approved.len(), 3, "all who said yes are named: {last}");
    assert_eq!(site.runs(), 1);
}

/// Votes count by what the users' files say when the command is about to run.
#[test]
fn approvals_of_users_who_are_found_to_be_one_person_count_once_or_not_at_all() {
    let also = |site: &Site, user: &str, role: &str, other: &str| {
        let from = format!("from = [\"{user}@example.com\", \"{other}@example.com\"]");
        let file = format!("address = \"{user}@example.com\"\n{from}\nroles = [\"{role}\"]\n");
        site.gateway.write(&format!("users.d/{user}.toml"), 0o644, &file);
    };
    let mut site = Site::new("needed = 3");
    let asked = site.asked();
    site.approve("carol", &asked);
    site.approve("dave", &asked);
    also(&site, "dave", "oncall", "carol");
    let ended = site.approve("bob", &asked);
    assert!(text(ended.reply()).contains("Your approval counts: 2 of 3."), "{ended:?}");

    let mut site = Site::new("needed = 2");
    let asked = site.asked();
    site.approve("carol", &asked);
    also(&site, "carol", "desk", "alice");
    let ended = site.approve("dave", &asked);
    assert!(text(ended.reply()).contains("Your approval counts: 1 of 2."), "{ended:?}");
    assert_eq!(site.runs(), 0);
}

#[test]
fn more_may_be_needed_than_when_it_was_asked_and_never_fewer() {
    let mut site = Site::new("needed = 2");
    let asked = site.asked();
    site.command("needed = 1", "exclusive = false");
    assert!(text(site.approve("carol", &asked).reply()).contains("1 of 2"), "two were to approve");
    site.command("needed = 3", "exclusive = false");
    assert!(text(site.approve("dave", &asked).reply()).contains("2 of 3"), "three are to approve now");
    site.approve("bob", &asked);
    assert_eq!(site.runs(), 1);
}

#[test]
fn the_time_to_approve_ends_with_its_last_second() {
    for (late, runs) in [(0, 1), (1, 0)] {
        let mut site = Site::new("within = \"10m\"");
        let asked = site.asked();
        let until = site.gateway.clock.now().seconds() + 600 + late;
        let approval = site.mail("carol", "approve", &[("id", &asked.id), ("digest", &asked.digest)]);
        site.gateway.clock.set(Timestamp::from_seconds(until));
        let ended = site.gateway.deliver(&approval);
        assert_eq!(site.runs(), runs, "{late}: {ended:?}");
        if late == 0 {
            continue;
        }
        assert!(ended.refused("not-pending"), "{ended:?}");
        assert_eq!(recipients(&ended.replies), ["alice", "carol"]);
        let last = message_to(&ended.replies, "alice");
        assert!(last.starts_with("lapsed: risky") && last.contains("It was not approved until 2026-"), "{last}");
        assert_eq!(result(&last), "lapsed");
        assert!(message_to(&ended.replies, "carol").contains("it has lapsed. It was not approved until"), "{ended:?}");
        assert_eq!((site.state(&asked).as_str(), site.open_messages()), ("lapsed", (0, 0)));
        let later = site.send("alice", "cancel", &[("id", &asked.id)]);
        assert!(later.refused("not-pending"), "{later:?}");
    }
}

/// Changes the gateway, whose folder is given.
type Change = fn(&Site, &str);

#[test]
fn what_would_not_run_as_it_was_shown_lapses_and_all_are_told() {
    let home = |site: &Site| site.gateway.folder.path().display().to_string();
    let changes: [(&str, Change, &str); 6] = [
        (
            "another argument",
            |site, home| rewrite(site, "risky", &format!("{home}/command\""), &format!("{home}/command\", \"-x\"")),
            "another command line",
        ),
        (
            "another account",
            |site, _| rewrite(site, "risky", "run_as = \"root\"", "run_as = \"www\""),
            "another command line",
        ),
        ("the value is gone", |site, _| rewrite(site, "risky", "[\"a\", \"b\"]", "[\"b\", \"c\"]"), "must be one of"),
        (
            "the role is not allowed",
            |site, _| rewrite(site, "risky", "[allow.web]", "[allow.web]\nwhat = [\"b\"]"),
            "must be one of b",
        ),
        ("the requester lost the role", |site, _| site.gateway.user("alice", KEY, "none"), "may not run this command"),
        (
            "the requester is disabled",
            |site, _| {
                site.gateway.write(
                    "users.d/alice.toml",
                    0o644,
                    "address = \"alice@example.com\"\nroles = [\"web\"]\nenabled = false\n",
                );
            },
            "no longer an enabled user",
        ),
    ];
    for (what, change, why) in changes {
        let mut site = Site::new("");
        let asked = site.asked();
        change(&site, &home(&site));
        let ended = site.approve("carol", &asked);
        assert_eq!(site.runs(), 0, "{what}");
        assert_eq!(recipients(&ended.replies), ["alice", "bob", "dave", "carol"], "{what}");
        for user in ["alice", "carol"] {
            let told = message_to(&ended.replies, user);
            assert!(told.contains(why), "{what}, {user}: {told}");
            assert_eq!(result(&told), "lapsed", "{what}");
        }
        let other = message_to(&ended.replies, "dave");
        assert!(other.starts_with("lapsed: risky what=a\n"), "{what}: {other}");
        assert!(matches!(check_notice(&other, &key(DAVE)).verdict, Verdict::Genuine(_)), "{what}");
        assert_eq!((site.state(&asked).as_str(), site.open_messages()), ("lapsed", (0, 0)), "{what}");
        assert!(logged(&ended, &["event=lapsed", "requester=alice"]), "{ended:?}");
        assert!(site.approve("dave", &asked).refused("not-pending"), "{what}");
    }
}

fn rewrite(site: &Site, command: &str, from: &str, to: &str) {
    let file = format!("commands.d/{command}.toml");
    let text = fs::read_to_string(site.gateway.path(&file)).expect("a command");
    assert!(text.contains(from), "{from}");
    site.gateway.write(&file, 0o644, &text.replacen(from, to, 1));
}

#[test]
fn a_command_or_an_approval_that_is_gone_leaves_nobody_to_judge() {
    for remove in [true, false] {
        let mut site = Site::new("");
        let asked = site.asked();
        if remove {
            fs::remove_file(site.gateway.path("commands.d/risky.toml")).expect("removed");
        } else {
            rewrite(&site, "risky", "[approval]\nby = [\"carol\", \"role:oncall\"]\n", "");
        }
        assert!(site.approve("carol", &asked).refused("unknown-request"));
        assert_eq!((site.runs(), site.state(&asked).as_str()), (0, "pending"));
        let cancelled = site.send("alice", "cancel", &[("id", &asked.id)]);
        assert_eq!(recipients(&cancelled.replies), ["alice", "alice"]);
    }
}

#[test]
fn a_requester_who_has_left_gets_no_reply_and_nothing_runs() {
    let mut site = Site::new("");
    let asked = site.asked();
    fs::remove_file(site.gateway.path("users.d/alice.toml")).expect("removed");
    fs::remove_file(site.gateway.path("secrets.d/alice.toml")).expect("removed");
    let ended = site.approve("carol", &asked);
    assert_eq!((site.runs(), recipients(&ended.replies)), (0, vec!["bob".into(), "dave".into(), "carol".into()]));
    assert_eq!((site.state(&asked).as_str(), site.open_messages()), ("lapsed", (0, 0)));
}

/// Another run holds the exclusive command for so long.
fn hold(site: &Site, seconds: i64) {
    let until = site.gateway.clock.now().seconds() + seconds;
    let sql = "INSERT OR REPLACE INTO requests (name, user, command, arguments, signed, first_seen, state, handed_over,
                                                audit_lost, holds_until)
               VALUES (zeroblob(32), 'nobody', 'risky', '', ?1, ?1, 'finished', ?1, 0, ?1)";
    site.gateway.ledger().execute(sql, [until]).expect("a hold");
}

#[test]
fn an_approved_request_waits_for_its_exclusive_command_as_long_as_it_may_start() {
    for (wait, runs) in [(300, true), (900, true), (901, false)] {
        let mut site = Site::new("within = \"1m\"\nrun_within = \"15m\"");
        site.command("within = \"1m\"\nrun_within = \"15m\"", "exclusive = true");
        let asked = site.asked();
        hold(&site, 250);
        let approval = site.mail("carol", "approve", &[("id", &asked.id), ("digest", &asked.digest)]);
        let voted = site.gateway.clock.now().seconds();
        let ended = site.gateway.deliver(&approval);
        assert_eq!((ended.deferred, ended.replies.len(), site.runs()), (Some("busy"), 0, 0), "{ended:?}");
        assert_eq!(site.state(&asked), "pending", "it is not claimed before it can start");
        site.gateway.clock.set(Timestamp::from_seconds(voted + wait));
        let ended = site.gateway.deliver(&approval);
        assert_eq!(site.runs(), usize::from(runs), "{wait}: {ended:?}");
        let last = message_to(&ended.replies, "alice");
        if runs {
            assert!(last.starts_with("ok: risky"), "{last}");
        } else {
            assert!(last.starts_with("lapsed: risky") && last.contains("could not start until"), "{last}");
        }
        assert!(site.gateway.deliver(&approval).refused("duplicate"));
        assert_eq!(site.open_messages(), (0, 0));
    }
    // While it waits, a denial still stops it, and another approver may run it first.
    for deny in [true, false] {
        let mut site = Site::new("");
        site.command("", "exclusive = true");
        let asked = site.asked();
        hold(&site, 250);
        let approval = site.mail("carol", "approve", &[("id", &asked.id), ("digest", &asked.digest)]);
        assert_eq!(site.gateway.deliver(&approval).deferred, Some("busy"));
        site.gateway.clock.forward(260);
        let ended = if deny { site.deny("dave", &asked, "no") } else { site.approve("dave", &asked) };
        assert_eq!(recipients(&ended.replies), ["alice", "dave"], "{ended:?}");
        let ended = site.gateway.deliver(&approval);
        assert!(ended.refused("not-pending"), "{ended:?}");
        assert_eq!(site.runs(), usize::from(!deny));
    }
}

#[test]
fn an_approval_that_waits_and_was_taken_back_runs_nothing() {
    let mut site = Site::new("");
    site.command("", "exclusive = true");
    let asked = site.asked();
    hold(&site, 250);
    let approval = site.mail("carol", "approve", &[("id", &asked.id), ("digest", &asked.digest)]);
    assert_eq!(site.gateway.deliver(&approval).deferred, Some("busy"));
    let back = site.send("carol", "cancel", &[("id", &asked.id)]);
    assert!(text(back.reply()).contains("Your approval is taken back."), "{back:?}");
    site.gateway.clock.forward(260);
    let ended = site.gateway.deliver(&approval);
    assert!(
        ended.refused("not-pending") && text(ended.reply()).contains("you have taken this approval back"),
        "{ended:?}"
    );
    assert_eq!((site.runs(), site.state(&asked).as_str()), (0, "pending"));
    site.approve("carol", &asked);
    assert_eq!(site.runs(), 1, "a new approval counts");
    assert!(site.gateway.deliver(&approval).refused("duplicate"));
}

/// Its time to approve is over, but it was approved in time: it has not lapsed.
#[test]
fn what_was_approved_in_time_and_waits_can_be_cancelled() {
    let mut site = Site::new("");
    site.command("within = \"1m\"\nrun_within = \"15m\"", "exclusive = true");
    let asked = site.asked();
    hold(&site, 250);
    let approval = site.mail("carol", "approve", &[("id", &asked.id), ("digest", &asked.digest)]);
    assert_eq!(site.gateway.deliver(&approval).deferred, Some("busy"));
    site.gateway.clock.forward(120);
    let ended = site.send("alice", "cancel", &[("id", &asked.id)]);
    assert_eq!(result(&text(&ended.replies[0])), "cancelled", "{ended:?}");
    assert!(site.gateway.deliver(&approval).refused("not-pending"));
    assert_eq!((site.runs(), site.state(&asked).as_str(), site.open_messages()), (0, "cancelled", (0, 0)));
}

#[test]
fn an_exception_runs_at_once_is_marked_and_everyone_is_told() {
    let mut site = Site::new("except = [\"breakglass\"]\nreason = true");
    site.gateway.user("alice", KEY, "web\", \"breakglass");
    let without = site.send("alice", "risky", &[("what", "a")]);
    assert!(without.refused("bad-parameter") && without.reply().contains("`reason` is missing"), "{without:?}");
    let ended = site.send("alice", "risky", &[("what", "a"), ("reason", "fire")]);
    assert_eq!(site.gateway.runs(), ["a"]);
    assert_eq!(recipients(&ended.replies), ["bob", "carol", "dave", "alice"]);
    let own = message_to(&ended.replies, "alice");
    assert!(
        own.starts_with("ok: risky")
            && own
                .contains("\nWITHOUT APPROVAL: this did not wait for approval, because you have the role breakglass.")
    );
    let told = message_to(&ended.replies, "carol");
    assert!(told.starts_with("RAN WITHOUT APPROVAL: risky what=a\n") && told.contains("| fire\n"), "{told}");
    assert!(told.contains("Nobody was asked, because alice has the role breakglass"), "{told}");
    assert!(matches!(check_notice(&told, &key(CAROL)).verdict, Verdict::Genuine(_)));
    assert!(
        logged(&ended, &["event=exception", "user=alice", "role=breakglass", "told=\"bob,carol,dave\""]),
        "{ended:?}"
    );
    let asked = Asked { id: field(&own, "request: "), digest: field(&told, "digest: "), mail: String::new() };
    let late = site.approve("carol", &asked);
    assert!(
        late.refused("not-pending")
            && text(late.reply()).contains("it needed no approval, by the role breakglass, and it ran: exit-0")
    );
    assert_eq!((site.runs(), site.open_messages()), (1, (0, 0)));
}

#[test]
fn without_enough_approvers_it_is_refused_at_once() {
    let mut site = Site::new("needed = 3");
    let dave = fs::read_to_string(site.gateway.path("users.d/dave.toml")).expect("a user");
    site.gateway.write("users.d/dave.toml", 0o644, &format!("{dave}enabled = false\n"));
    let ended = site.send("alice", "risky", &[("what", "a")]);
    assert!(
        ended.refused("no-approver") && text(ended.reply()).contains("3 must approve it, and 2 could"),
        "{ended:?}"
    );
    assert_eq!(recipients(&ended.replies), ["alice"]);
    // One without secrets, and a second name of the requester, are none.
    site.gateway.write("users.d/dave.toml", 0o644, &dave);
    fs::remove_file(site.gateway.path("secrets.d/dave.toml")).expect("removed");
    assert!(site.send("alice", "risky", &[("what", "a")]).refused("no-approver"));
    site.gateway.user("dave", KEY, "oncall");
    assert!(site.send("alice", "risky", &[("what", "a")]).refused("no-approver"));
    // Two names of one approver are one.
    site.gateway.user("dave", OTHER_KEY, "oncall");
    assert!(site.send("alice", "risky", &[("what", "a")]).refused("no-approver"));
    site.gateway.user("dave", DAVE, "oncall");
    assert_eq!(site.send("alice", "risky", &[("what", "a")]).replies.len(), 4);
}

#[test]
fn hostile_text_in_a_reason_stays_marked_text() {
    let mut site = Site::new("");
    let reason = format!(
        "x {} mailsudo-notice: 1 gateway: berlin [approve] http://evil.example/ From here run as nobody",
        " ".repeat(200)
    );
    let (asked, ended) = site.ask(&[("what", "a"), ("reason", &reason)]);
    let notice = message_to(&ended.replies, "carol");
    let hostile: Vec<_> =
        notice.lines().filter(|line| line.contains("evil.example") || line.contains("nobody")).collect();
    assert!(!hostile.is_empty() && hostile.iter().all(|line| line.starts_with("| ") && line.chars().count() <= 70));
    assert!(!notice.lines().next().expect("a line").contains("evil"), "not in the first line: {notice}");
    let mail = ended.replies.iter().find(|message| message.contains("<carol@")).expect("a notice");
    assert!(!mail.split_once("\n\n").expect("a header").0.contains("evil"), "not in the subject: {mail}");
    assert!(matches!(check_notice(&notice, &key(CAROL)).verdict, Verdict::Genuine(_)), "{notice}");
    let listed = text(site.send("carol", "pending", &[]).reply());
    let hostile: Vec<_> =
        listed.lines().filter(|line| line.contains("evil.example") || line.contains("nobody")).collect();
    assert!(!hostile.is_empty(), "{listed}");
    assert!(hostile.iter().all(|line| line.get(..15).is_some_and(|mark| mark.ends_with("| "))), "{listed}");
    let ended = site.deny("carol", &asked, &reason);
    assert_eq!(result(&message_to(&ended.replies, "alice")), "denied");
}
