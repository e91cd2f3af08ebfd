//! PROTOCOL.md's rule 9: each row of its table as a test, in its order, through the whole pipeline.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use common::{House, KEY, OTHER_KEY, block, factor, mail};
use mailsudo::clock::Clock;
use mailsudo::protocol::Timestamp;

/// A code that is wrong at `time` and one step to each side.
fn wrong_code(time: Timestamp) -> String {
    let near: Vec<_> = [-30, 0, 30]
        .iter()
        .map(|by| factor().code_at(Timestamp::from_seconds(time.seconds() + by)).expect("a code"))
        .collect();
    (0..10)
        .map(|digit| digit.to_string().repeat(6))
        .find(|code| near.iter().all(|known| known.as_str() != code))
        .expect("ten are enough")
}

fn wrong(house: &House) -> String {
    let now = house.clock.now();
    mail("alice@example.com", &block("alice", KEY, now, "count", &[], Some(&wrong_code(now))))
}

#[test]
fn another_gateways_request_is_neither_recorded_nor_answered() {
    let mut house = House::new();
    let text = house.block(house.clock.now(), "count", &[]);
    house.set("# renamed");
    let toml = std::fs::read_to_string(house.path("mailsudo.toml")).expect("the settings");
    house.write("mailsudo.toml", 0o644, &toml.replace("berlin", "paris"));
    let ended = house.deliver(&mail("alice@example.com", &text));
    assert!(ended.refused("wrong-gateway") && ended.replies.is_empty(), "{ended:?}");
    assert_eq!((house.recorded(), house.runs().len()), ((0, 0), 0));
}

#[test]
fn a_disabled_user_is_neither_recorded_nor_answered() {
    let mut house = House::new();
    house.write("users.d/alice.toml", 0o644, "address = \"alice@example.com\"\nroles = [\"web\"]\nenabled = false\n");
    let ended = house.deliver(&house.request("count", &[]));
    assert!(ended.refused("disabled") && ended.replies.is_empty(), "{ended:?}");
    assert_eq!(house.recorded(), (0, 0));
}

#[test]
fn a_foreign_from_is_neither_recorded_nor_answered() {
    let mut house = House::new();
    let text = house.block(house.clock.now(), "count", &[]);
    let ended = house.deliver(&mail("mallory@example.com", &text));
    assert!(ended.refused("foreign-from") && ended.replies.is_empty(), "{ended:?}");
    assert_eq!(house.recorded(), (0, 0));
    let ended = house.deliver(&mail("Alice Example <ALICE@Example.COM>", &text));
    assert_eq!(ended.replies.len(), 1, "a name and another case change nothing: {ended:?}");
}

#[test]
fn nothing_that_a_stranger_sends_opens_the_ledger() {
    let mut house = House::new();
    let now = house.clock.now();
    for (from, user, key) in [
        ("alice@example.com", "alice", OTHER_KEY),
        ("alice@example.com", "nobody", KEY),
        ("eve@x.org", "nobody", &"0".repeat(64)),
    ] {
        let ended = house.deliver(&mail(from, &block(user, key, now, "count", &[], None)));
        assert!(ended.refused("bad-mac") && ended.replies.is_empty(), "{ended:?}");
    }
    assert!(!house.path("ledger/ledger.db").exists());
}

#[test]
fn what_has_been_answered_is_a_duplicate_for_ever() {
    let mut house = House::new();
    let request = house.request("count", &[]);
    assert_eq!(house.deliver(&request).replies.len(), 1);
    for later in [0, 60, 86_400, -86_400] {
        house.clock.forward(later);
        let ended = house.deliver(&request);
        assert!(ended.refused("duplicate") && ended.replies.is_empty(), "{ended:?}");
    }
    assert_eq!((house.runs().len(), house.recorded()), (1, (1, 1)));
}

#[test]
fn a_stored_reply_is_sent_again_as_it_was() {
    let mut house = House::new();
    let request = house.request("count", &[]);
    house.break_sendmail(true);
    for _ in 0..3 {
        let ended = house.deliver(&request);
        assert_eq!(ended.deferred, Some("sendmail"));
    }
    let stored: Vec<u8> =
        house.ledger().query_row("SELECT reply FROM requests", [], |row| row.get(0)).expect("a stored reply");
    house.break_sendmail(false);
    house.clock.forward(86_400);
    std::fs::remove_file(house.path("commands.d/count.toml")).expect("removed");
    let ended = house.deliver(&request);
    assert_eq!(ended.reply().as_bytes(), stored, "no code, role, age or command file is needed for it");
    assert!(ended.log.iter().any(|line| line.contains("event=resumed")));
    assert_eq!(house.runs().len(), 1);
    assert!(house.deliver(&request).refused("duplicate"));
}

#[test]
fn a_run_that_nobody_saw_the_end_of_is_unknown_and_not_run_again() {
    let mut house = House::new();
    let request = house.request("count", &[]);
    house.deliver(&request);
    // As a delivery leaves it that died between admission and outcome.
    let died = "UPDATE requests SET state = 'started', result = NULL, reply = NULL, reply_to = NULL,
                finished = NULL, handed_over = NULL";
    house.ledger().execute(died, []).expect("changed");
    let ended = house.deliver(&request);
    assert!(ended.reply().contains("outcome unknown") && ended.reply().contains("result: unknown"), "{ended:?}");
    assert!(house.deliver(&request).refused("duplicate"));
    assert_eq!(house.runs().len(), 1);
}

#[test]
fn at_or_below_the_floor_nothing_is_recorded_or_answered() {
    let mut house = House::new();
    house.deliver(&house.request("count", &[]));
    house.clock.forward(120);
    let floor = house.clock.now();
    house.ledger().execute("INSERT INTO floor VALUES (?1)", [floor.seconds()]).expect("a floor");
    let ended = house.deliver(&house.request("count", &[]));
    assert!(ended.refused("forgotten") && ended.replies.is_empty(), "{ended:?}");
    assert_eq!(house.recorded(), (1, 1));
    house.clock.forward(1);
    assert_eq!(house.deliver(&house.request("count", &[])).replies.len(), 1, "one second above it");
}

#[test]
fn a_lockout_is_told_once_and_holds() {
    let mut house = House::new();
    for count in 1..=5 {
        let ended = house.deliver(&wrong(&house));
        assert!(ended.refused("bad-code"), "{ended:?}");
        assert_eq!(ended.reply().contains("locked out"), count == 5, "{count}: {ended:?}");
        house.clock.forward(1);
    }
    house.clock.forward(60);
    let ended = house.deliver(&house.request("count", &[]));
    assert!(ended.refused("locked-out") && ended.reply().contains("locked out until"), "{ended:?}");
    house.clock.forward(60);
    let again = house.request("count", &[]);
    let ended = house.deliver(&again);
    assert!(ended.refused("locked-out") && ended.replies.is_empty(), "once for each lockout: {ended:?}");
    assert!(house.deliver(&again).refused("duplicate"));
    assert_eq!((house.recorded(), house.runs().len()), ((7, 0), 0), "recorded, no step used");
    house.clock.forward(15 * 60);
    assert_eq!(house.deliver(&house.request("count", &[])).replies.len(), 1, "and then it is over");
    assert_eq!(house.runs().len(), 1);
    // The wrong codes that brought the lockout count no more.
    assert!(!house.deliver(&wrong(&house)).reply().contains("locked out"));
}

#[test]
fn a_replayed_wrong_code_counts_once() {
    let mut house = House::new();
    let captured = wrong(&house);
    assert_eq!(house.deliver(&captured).replies.len(), 1);
    for _ in 0..50 {
        let ended = house.deliver(&captured);
        assert!(ended.refused("duplicate") && ended.replies.is_empty());
    }
    house.clock.forward(60);
    assert!(!house.deliver(&house.request("count", &[])).refused("locked-out"));
}

#[test]
fn too_old_from_the_future_and_bad_values_are_answered_and_use_no_step() {
    let mut house = House::new();
    let now = house.clock.now();
    let signed = |by: i64| Timestamp::from_seconds(now.seconds() + by);
    // count has a max_age of its own, 10 minutes; restart has the gateway's 30.
    for (command, by, reason) in [
        ("count", -601, Some("stale")),
        ("count", -600, None),
        ("restart", -1801, Some("stale")),
        ("restart", -1799, None),
        ("count", 121, Some("future")),
        ("count", 120, None),
    ] {
        let arguments: &[(&str, &str)] = if command == "restart" { &[("service", "nginx")] } else { &[] };
        let (_, steps) = house.recorded();
        let text = block("alice", KEY, signed(by), command, arguments, None);
        let ended = house.deliver(&mail("alice@example.com", &text));
        ended.reply();
        match reason {
            Some(reason) => {
                assert!(ended.refused(reason), "{command} {by}: {ended:?}");
                assert_eq!(house.recorded().1, steps);
            }
            None => assert_eq!(house.recorded().1, steps + 1, "{command} {by}: {ended:?}"),
        }
        assert!(house.deliver(&mail("alice@example.com", &text)).refused("duplicate"));
    }
}

#[test]
fn a_commands_age_is_not_told_to_those_who_may_not_run_it() {
    let mut house = House::new();
    let old = Timestamp::from_seconds(house.clock.now().seconds() - 90);
    let secret = house.deliver(&mail("alice@example.com", &house.block(old, "secret", &[])));
    let none = house.deliver(&mail("alice@example.com", &block("bob", OTHER_KEY, old, "none", &[], None)));
    assert!(secret.refused("not-permitted"), "as for a command that does not exist: {secret:?}");
    assert!(none.refused("foreign-from"));
    let bobs = house.deliver(&mail("bob@example.com", &block("bob", OTHER_KEY, old, "secret", &[], None)));
    assert!(bobs.refused("stale"), "he may, and it is a minute: {bobs:?}");
}

#[test]
fn a_code_serves_one_request() {
    let mut house = House::new();
    house.deliver(&house.request("count", &[]));
    let second = house.deliver(&house.request("restart", &[("service", "nginx")]));
    assert!(second.refused("used-code"), "{second:?}");
    assert!(second.reply().contains("result: refused"));
    assert_eq!(house.recorded(), (2, 1));
    // Bob's steps are his own.
    let text = block("bob", OTHER_KEY, house.clock.now(), "restart", &[("service", "mysql")], None);
    assert_eq!(house.deliver(&mail("bob@example.com", &text)).replies.len(), 1);
    assert_eq!(house.runs(), ["", "mysql --level=3"]);
}

#[test]
fn what_is_not_permitted_uses_the_code_and_is_answered() {
    let mut house = House::new();
    for (command, arguments, reason, words) in [
        ("none", &[][..], "not-permitted", "no such command, or none for you"),
        ("secret", &[][..], "not-permitted", "no such command, or none for you"),
        ("restart", &[][..], "bad-parameter", "`service` is missing: one of nginx"),
        ("restart", &[("service", "nginx"), ("x", "1")][..], "bad-parameter", "there is no parameter `x`"),
        ("restart", &[("service", "apache")][..], "bad-parameter", "`service` must be one of nginx"),
        ("restart", &[("service", "mysql")][..], "bad-parameter", "none of your roles permits"),
        ("restart", &[("service", "nginx"), ("level", "07")][..], "bad-parameter", "a whole number from 1 to 9"),
        ("count", &[("x", "")][..], "bad-parameter", "there is no parameter `x`"),
        ("help", &[("x", "")][..], "bad-parameter", "there is no parameter `x`"),
        ("status", &[("id", "zz")][..], "bad-parameter", "id is the 12 hex digits"),
    ] {
        house.clock.forward(60);
        let steps = house.recorded().1;
        let ended = house.deliver(&house.request(command, arguments));
        assert!(ended.refused(reason), "{command}: {ended:?}");
        let text = ended.reply().replace("=\n", "");
        assert!(text.contains(words), "{command}: {text}");
        assert_eq!(house.recorded().1, steps + 1, "{command}");
    }
    assert_eq!(house.runs().len(), 0);
}

#[test]
fn a_code_one_step_beside_uses_that_step() {
    let mut house = House::new();
    let now = house.clock.now();
    let code = factor().code_at(Timestamp::from_seconds(now.seconds() - 30)).expect("a code");
    let text = block("alice", KEY, now, "count", &[], Some(code.as_str()));
    assert_eq!(house.deliver(&mail("alice@example.com", &text)).replies.len(), 1);
    let used: i64 = house.ledger().query_row("SELECT step FROM requests", [], |row| row.get(0)).expect("a step");
    assert_eq!(used, now.seconds() / 30 - 1);
    assert_eq!(house.runs().len(), 1);
}

#[test]
fn the_previous_key_counts_until_its_date() {
    let mut house = House::new();
    let now = house.clock.now();
    let until = |seconds: i64| Timestamp::from_seconds(now.seconds() + seconds);
    let rotate = |house: &House, until: Timestamp| {
        let text = format!(
            "hmac_key = \"{OTHER_KEY}\"\ntotp = \"{}\"\n[previous]\nhmac_key = \"{KEY}\"\nuntil = {until}\n",
            common::TOTP
        );
        house.write("secrets.d/alice.toml", 0o600, &text);
    };
    rotate(&house, until(-1));
    let request = house.request("count", &[]);
    assert!(house.deliver(&request).refused("bad-mac"), "by its signed time it is too late");
    rotate(&house, until(0));
    let ended = house.deliver(&request);
    let key = mailsudo::protocol::Key::from_hex(KEY).expect("a key");
    let texts = mailsudo::intake::readable(ended.reply().as_bytes());
    let verdict = mailsudo::protocol::verify_reply(&texts[0], &key);
    assert!(matches!(verdict, mailsudo::protocol::Verdict::Genuine(_)), "answered under the key that verified it");
    let new = block("alice", OTHER_KEY, until(60), "count", &[], None);
    assert_eq!(house.deliver(&mail("alice@example.com", &new)).replies.len(), 1);
}
