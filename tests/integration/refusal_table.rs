//! docs/protocol.md, rule 9: each row of its table as a test, in its order, through the whole pipeline.

use std::fs;

use crate::common::ssh::SoftKey;
use crate::common::{KEY, OTHER_KEY, TestGateway, block, factor, mail};
use mailsudo::protocol::Timestamp;
use mailsudo::system::clock::Clock;

/// A code that is wrong at `time` and one step before and after it.
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

fn wrong(test_gateway: &TestGateway) -> String {
    let now = test_gateway.clock.now();
    mail("alice@example.com", &block("alice", KEY, now, "count", &[], Some(&wrong_code(now))))
}

#[test]
fn another_gateways_request_is_neither_recorded_nor_answered() {
    let mut test_gateway = TestGateway::new();
    let text = test_gateway.block(test_gateway.clock.now(), "count", &[]);
    test_gateway.set("# renamed");
    let toml = fs::read_to_string(test_gateway.path("mailsudo.toml")).expect("the settings");
    test_gateway.write("mailsudo.toml", 0o644, &toml.replace("berlin", "paris"));
    let ended = test_gateway.deliver(&mail("alice@example.com", &text));
    assert!(ended.refused("wrong-gateway") && ended.replies.is_empty(), "{ended:?}");
    assert_eq!((test_gateway.recorded(), test_gateway.runs().len()), ((0, 0), 0));
}

#[test]
fn a_disabled_user_is_neither_recorded_nor_answered() {
    let mut test_gateway = TestGateway::new();
    test_gateway.write(
        "users.d/alice.toml",
        0o644,
        "address = \"alice@example.com\"\nroles = [\"web\"]\nenabled = false\n",
    );
    let ended = test_gateway.deliver(&test_gateway.request("count", &[]));
    assert!(ended.refused("disabled") && ended.replies.is_empty(), "{ended:?}");
    assert_eq!(test_gateway.recorded(), (0, 0));
}

#[test]
fn a_foreign_from_is_neither_recorded_nor_answered() {
    let mut test_gateway = TestGateway::new();
    let text = test_gateway.block(test_gateway.clock.now(), "count", &[]);
    let ended = test_gateway.deliver(&mail("mallory@example.com", &text));
    assert!(ended.refused("foreign-from") && ended.replies.is_empty(), "{ended:?}");
    assert_eq!(test_gateway.recorded(), (0, 0));
    let ended = test_gateway.deliver(&mail("Alice Example <ALICE@Example.COM>", &text));
    assert_eq!(ended.replies.len(), 1, "a name and another case change nothing: {ended:?}");
}

#[test]
fn an_unauthenticated_mail_never_opens_the_ledger() {
    let mut test_gateway = TestGateway::new();
    let now = test_gateway.clock.now();
    for (from, user, key) in [
        ("alice@example.com", "alice", OTHER_KEY),
        ("alice@example.com", "nobody", KEY),
        ("eve@x.org", "nobody", &"0".repeat(64)),
    ] {
        let ended = test_gateway.deliver(&mail(from, &block(user, key, now, "count", &[], None)));
        assert!(ended.refused("bad-mac") && ended.replies.is_empty(), "{ended:?}");
    }
    assert!(!test_gateway.path("ledger/ledger.db").exists());
}

#[test]
fn what_has_been_answered_is_a_duplicate_for_ever() {
    let mut test_gateway = TestGateway::new();
    let request = test_gateway.request("count", &[]);
    assert_eq!(test_gateway.deliver(&request).replies.len(), 1);
    for later in [0, 60, 86_400, -86_400] {
        test_gateway.clock.forward(later);
        let ended = test_gateway.deliver(&request);
        assert!(ended.refused("duplicate") && ended.replies.is_empty(), "{ended:?}");
    }
    assert_eq!((test_gateway.runs().len(), test_gateway.recorded()), (1, (1, 1)));
}

#[test]
fn a_stored_reply_is_sent_again_as_it_was() {
    let mut test_gateway = TestGateway::new();
    let request = test_gateway.request("count", &[]);
    test_gateway.break_sendmail(true);
    for _ in 0..3 {
        let ended = test_gateway.deliver(&request);
        assert_eq!(ended.deferred, Some("sendmail"));
    }
    let stored: Vec<u8> =
        test_gateway.ledger().query_row("SELECT reply FROM requests", [], |row| row.get(0)).expect("a stored reply");
    test_gateway.break_sendmail(false);
    test_gateway.clock.forward(86_400);
    fs::remove_file(test_gateway.path("commands.d/count.toml")).expect("removed");
    let ended = test_gateway.deliver(&request);
    assert_eq!(ended.reply().as_bytes(), stored, "no code, role, age or command file is needed for it");
    assert!(ended.log.iter().any(|line| line.contains("event=resumed")));
    assert_eq!(test_gateway.runs().len(), 1);
    assert!(test_gateway.deliver(&request).refused("duplicate"));
}

#[test]
fn a_run_without_a_recorded_end_is_unknown_and_not_run_again() {
    let mut test_gateway = TestGateway::new();
    let request = test_gateway.request("count", &[]);
    test_gateway.deliver(&request);
    // The state that a delivery leaves if it dies between admission and outcome.
    let died = "UPDATE requests SET state = 'started', result = NULL, reply = NULL, reply_to = NULL,
                finished = NULL, handed_over = NULL";
    test_gateway.ledger().execute(died, []).expect("changed");
    let ended = test_gateway.deliver(&request);
    assert!(ended.reply().contains("outcome unknown") && ended.reply().contains("result: unknown"), "{ended:?}");
    assert!(test_gateway.deliver(&request).refused("duplicate"));
    assert_eq!(test_gateway.runs().len(), 1);
}

#[test]
fn at_or_below_the_watermark_nothing_is_recorded_or_answered() {
    let mut test_gateway = TestGateway::new();
    test_gateway.deliver(&test_gateway.request("count", &[]));
    test_gateway.clock.forward(120);
    let watermark = test_gateway.clock.now();
    test_gateway.ledger().execute("INSERT INTO floor VALUES (?1)", [watermark.seconds()]).expect("a watermark");
    let ended = test_gateway.deliver(&test_gateway.request("count", &[]));
    assert!(ended.refused("forgotten") && ended.replies.is_empty(), "{ended:?}");
    assert_eq!(test_gateway.recorded(), (1, 1));
    test_gateway.clock.forward(1);
    assert_eq!(test_gateway.deliver(&test_gateway.request("count", &[])).replies.len(), 1, "one second above it");
    // Signed times up to max_future ahead are accepted, so such a watermark may be right; a later one cannot.
    let set = |test_gateway: &TestGateway, ahead: i64| {
        test_gateway.clock.forward(30);
        let watermark = test_gateway.clock.now().seconds() + ahead;
        test_gateway.ledger().execute("UPDATE floor SET signed = ?1", [watermark]).expect("a watermark");
    };
    set(&test_gateway, 120);
    assert!(test_gateway.deliver(&test_gateway.request("count", &[])).refused("forgotten"));
    set(&test_gateway, 121);
    assert_eq!(test_gateway.deliver(&test_gateway.request("count", &[])).deferred, Some("ledger"));
}

#[test]
fn a_lockout_is_answered_once_and_holds() {
    let mut test_gateway = TestGateway::new();
    for count in 1..=5 {
        let ended = test_gateway.deliver(&wrong(&test_gateway));
        assert!(ended.refused("bad-code"), "{ended:?}");
        assert_eq!(ended.reply().contains("locked out"), count == 5, "{count}: {ended:?}");
        test_gateway.clock.forward(1);
    }
    test_gateway.clock.forward(60);
    let ended = test_gateway.deliver(&test_gateway.request("count", &[]));
    assert!(ended.refused("locked-out") && ended.reply().contains("locked out until"), "{ended:?}");
    test_gateway.clock.forward(60);
    let again = test_gateway.request("count", &[]);
    let ended = test_gateway.deliver(&again);
    assert!(ended.refused("locked-out") && ended.replies.is_empty(), "once for each lockout: {ended:?}");
    assert!(test_gateway.deliver(&again).refused("duplicate"));
    assert_eq!((test_gateway.recorded(), test_gateway.runs().len()), ((7, 0), 0), "recorded, no step used");
    test_gateway.clock.forward(15 * 60);
    assert_eq!(test_gateway.deliver(&test_gateway.request("count", &[])).replies.len(), 1, "and then it is over");
    assert_eq!(test_gateway.runs().len(), 1);
    // The wrong codes that caused the lockout do not count again.
    assert!(!test_gateway.deliver(&wrong(&test_gateway)).reply().contains("locked out"));
}

#[test]
fn more_than_the_user_may_ask_for_is_answered_once_and_uses_nothing() {
    let mut test_gateway = TestGateway::new();
    test_gateway.set("[limits]\nper_user = \"3/10m\"");
    test_gateway.user("bob", OTHER_KEY, "web");
    for _ in 0..3 {
        assert!(!test_gateway.deliver(&test_gateway.request("count", &[])).refused("too-many"));
        test_gateway.clock.forward(30);
    }
    let fourth = test_gateway.request("count", &[]);
    let ended = test_gateway.deliver(&fourth);
    assert!(
        ended.refused("too-many") && ended.reply().contains("more requests than the limit of 3 within 10m"),
        "{ended:?}"
    );
    for _ in 0..3 {
        test_gateway.clock.forward(30);
        let ended = test_gateway.deliver(&test_gateway.request("count", &[]));
        assert!(ended.refused("too-many") && ended.replies.is_empty(), "once in a row: {ended:?}");
    }
    assert_eq!((test_gateway.recorded(), test_gateway.runs().len()), ((7, 3), 3), "recorded, no step used");
    let now = test_gateway.clock.now();
    let bobs = mail("bob@example.com", &block("bob", OTHER_KEY, now, "count", &[], None));
    assert_eq!(test_gateway.deliver(&bobs).replies.len(), 1, "another user is not limited");
    test_gateway.clock.forward(601);
    assert!(test_gateway.deliver(&fourth).refused("duplicate"), "what was refused does not run later");
    assert!(!test_gateway.deliver(&test_gateway.request("count", &[])).refused("too-many"), "the flood is over");
}

#[test]
fn a_replayed_wrong_code_counts_once() {
    let mut test_gateway = TestGateway::new();
    let captured = wrong(&test_gateway);
    assert_eq!(test_gateway.deliver(&captured).replies.len(), 1);
    for _ in 0..50 {
        let ended = test_gateway.deliver(&captured);
        assert!(ended.refused("duplicate") && ended.replies.is_empty());
    }
    test_gateway.clock.forward(60);
    assert!(!test_gateway.deliver(&test_gateway.request("count", &[])).refused("locked-out"));
}

#[test]
fn too_old_from_the_future_and_bad_values_are_answered_and_use_no_step() {
    let mut test_gateway = TestGateway::new();
    let now = test_gateway.clock.now();
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
        let (_, steps) = test_gateway.recorded();
        let text = block("alice", KEY, signed(by), command, arguments, None);
        let ended = test_gateway.deliver(&mail("alice@example.com", &text));
        ended.reply();
        match reason {
            Some(reason) => {
                assert!(ended.refused(reason), "{command} {by}: {ended:?}");
                assert_eq!(test_gateway.recorded().1, steps);
            }
            None => assert_eq!(test_gateway.recorded().1, steps + 1, "{command} {by}: {ended:?}"),
        }
        assert!(test_gateway.deliver(&mail("alice@example.com", &text)).refused("duplicate"));
    }
}

/// Alice's file, with one SSH key and what it requires.
fn with_key(key: &SoftKey, more: &str) -> TestGateway {
    let test_gateway = TestGateway::new();
    test_gateway.ssh_keys(&[key.public()], more);
    test_gateway
}

/// A signature is judged before the code: it uses no step, and counts to no lockout, however often and with whatever
/// code.
#[test]
fn a_missing_wrong_or_foreign_signature_is_answered_and_uses_and_counts_nothing() {
    let (own, foreign) = (SoftKey::new(1), SoftKey::new(2));
    let mut wrong_namespace = SoftKey::new(1);
    wrong_namespace.namespace = "file";
    let mut test_gateway = with_key(&own, "require_signature = true");
    for round in 0..6 {
        let now = test_gateway.clock.now();
        let wrong = wrong_code(now);
        let code = (round > 0).then_some(wrong.as_str());
        for (text, reason) in [
            (block("alice", KEY, now, "count", &[], code), "no-signature"),
            (wrong_namespace.block(now, "count", &[], code), "bad-signature"),
            (foreign.block(now, "count", &[], code), "foreign-signature"),
        ] {
            let ended = test_gateway.deliver(&mail("alice@example.com", &text));
            assert!(ended.refused(reason), "{ended:?}");
            assert!(ended.reply().contains("result: refused") && !ended.reply().contains("locked out"), "{ended:?}");
            assert!(test_gateway.deliver(&mail("alice@example.com", &text)).refused("duplicate"));
        }
        test_gateway.clock.forward(1);
    }
    assert_eq!((test_gateway.recorded(), test_gateway.runs().len()), ((18, 0), 0));
    // The code that they carried is still good.
    assert_eq!(test_gateway.deliver(&own.mail(test_gateway.clock.now(), "count", &[])).replies.len(), 1);
    assert_eq!((test_gateway.recorded(), test_gateway.runs().len()), ((19, 1), 1));
}

#[test]
fn under_a_right_signature_wrong_codes_count() {
    let key = SoftKey::new(1);
    let mut test_gateway = with_key(&key, "require_signature = true");
    for count in 1..=5 {
        let now = test_gateway.clock.now();
        let text = key.block(now, "count", &[], Some(&wrong_code(now)));
        let ended = test_gateway.deliver(&mail("alice@example.com", &text));
        assert!(ended.refused("bad-code"), "{ended:?}");
        assert_eq!(ended.reply().contains("locked out"), count == 5, "{count}: {ended:?}");
        test_gateway.clock.forward(1);
    }
    // And then the lockout comes first.
    let unsigned = test_gateway.request("count", &[]);
    assert!(test_gateway.deliver(&unsigned).refused("locked-out"));
}

#[test]
fn a_command_may_require_what_its_user_need_not() {
    let key = SoftKey::new(1);
    let mut test_gateway = with_key(&key, "");
    for name in ["commands.d/count.toml", "commands.d/secret.toml"] {
        let text = fs::read_to_string(test_gateway.path(name)).expect("a command");
        test_gateway.write(name, 0o644, &text.replace("[allow", "require_signature = true\n[allow"));
    }
    let ended = test_gateway.deliver(&test_gateway.request("restart", &[("service", "nginx")]));
    assert_eq!(ended.replies.len(), 1, "another command needs none: {ended:?}");
    assert_eq!(test_gateway.runs().len(), 1);
    test_gateway.clock.forward(60);
    assert!(test_gateway.deliver(&test_gateway.request("count", &[])).refused("no-signature"));
    assert_eq!(test_gateway.deliver(&key.mail(test_gateway.clock.now(), "count", &[])).replies.len(), 1);
    assert_eq!(test_gateway.runs().len(), 2);
    // Whether a command requires one is not told to those who may not run it.
    for command in ["secret", "none"] {
        test_gateway.clock.forward(60);
        assert!(test_gateway.deliver(&test_gateway.request(command, &[])).refused("not-permitted"), "{command}");
    }
    // A signature that is there must hold, required or not.
    test_gateway.clock.forward(60);
    let foreign = SoftKey::new(2).mail(test_gateway.clock.now(), "restart", &[("service", "nginx")]);
    assert!(test_gateway.deliver(&foreign).refused("foreign-signature"));
}

#[test]
fn a_user_who_must_sign_signs_built_in_commands_too() {
    let key = SoftKey::new(1);
    let mut test_gateway = with_key(&key, "require_signature = true");
    for command in ["help", "status"] {
        assert!(test_gateway.deliver(&test_gateway.request(command, &[])).refused("no-signature"), "{command}");
        let signed = key.mail(test_gateway.clock.now(), command, &[]);
        assert!(test_gateway.deliver(&signed).reply().contains("result: exit-0"), "{command}");
        test_gateway.clock.forward(60);
    }
}

/// An outsider's signature is not even looked at: the mac comes first.
#[test]
fn a_signature_without_a_mac_is_nothing() {
    let key = SoftKey::new(1);
    let mut test_gateway = with_key(&key, "require_signature = true");
    let signed = key.block(test_gateway.clock.now(), "count", &[], None);
    let (before, _) = signed.split_once("mac: ").expect("a mac");
    let forged = format!("{before}mac: {}\n", "5a".repeat(32));
    let ended = test_gateway.deliver(&mail("alice@example.com", &forged));
    assert!(ended.refused("bad-mac") && ended.replies.is_empty(), "{ended:?}");
    assert!(!test_gateway.path("ledger/ledger.db").exists());
}

#[test]
fn a_commands_age_is_not_told_to_those_who_may_not_run_it() {
    let mut test_gateway = TestGateway::new();
    let old = Timestamp::from_seconds(test_gateway.clock.now().seconds() - 90);
    let secret = test_gateway.deliver(&mail("alice@example.com", &test_gateway.block(old, "secret", &[])));
    let none = test_gateway.deliver(&mail("alice@example.com", &block("bob", OTHER_KEY, old, "none", &[], None)));
    assert!(secret.refused("not-permitted"), "as for a command that does not exist: {secret:?}");
    assert!(none.refused("foreign-from"));
    let bobs = test_gateway.deliver(&mail("bob@example.com", &block("bob", OTHER_KEY, old, "secret", &[], None)));
    assert!(bobs.refused("stale"), "bob may run it, and its limit is a minute: {bobs:?}");
}

#[test]
fn a_code_serves_one_request() {
    let mut test_gateway = TestGateway::new();
    test_gateway.deliver(&test_gateway.request("count", &[]));
    let second = test_gateway.deliver(&test_gateway.request("restart", &[("service", "nginx")]));
    assert!(second.refused("used-code"), "{second:?}");
    assert!(second.reply().contains("result: refused"));
    assert_eq!(test_gateway.recorded(), (2, 1));
    // Each user has steps of their own.
    let text = block("bob", OTHER_KEY, test_gateway.clock.now(), "restart", &[("service", "mysql")], None);
    assert_eq!(test_gateway.deliver(&mail("bob@example.com", &text)).replies.len(), 1);
    assert_eq!(test_gateway.runs(), ["", "mysql --level=3"]);
}

#[test]
fn what_is_not_permitted_uses_the_code_and_is_answered() {
    let mut test_gateway = TestGateway::new();
    for (command, arguments, reason, words) in [
        ("none", &[][..], "not-permitted", "no such command, or none for you"),
        ("secret", &[][..], "not-permitted", "no such command, or none for you"),
        ("restart", &[][..], "bad-parameter", "`service` is missing: one of nginx"),
        ("restart", &[("service", "nginx"), ("x", "1")][..], "bad-parameter", "there is no parameter `x`"),
        ("restart", &[("service", "apache")][..], "bad-parameter", "`service` must be one of nginx"),
        ("restart", &[("service", "mysql")][..], "bad-parameter", "`service` must be one of nginx"),
        ("restart", &[("service", "nginx"), ("level", "07")][..], "bad-parameter", "a whole number from 1 to 9"),
        ("count", &[("x", "")][..], "bad-parameter", "there is no parameter `x`"),
        ("help", &[("x", "")][..], "bad-parameter", "there is no parameter `x`"),
        ("status", &[("id", "zz")][..], "bad-parameter", "id is the 12 hex digits"),
        ("status", &[("name", "0123456789ab")][..], "bad-parameter", "the only parameter is `id`"),
    ] {
        test_gateway.clock.forward(60);
        let steps = test_gateway.recorded().1;
        let ended = test_gateway.deliver(&test_gateway.request(command, arguments));
        assert!(ended.refused(reason), "{command}: {ended:?}");
        let text = ended.reply().replace("=\n", "");
        assert!(text.contains(words), "{command}: {text}");
        assert_eq!(test_gateway.recorded().1, steps + 1, "{command}");
    }
    assert_eq!(test_gateway.runs().len(), 0);
}

#[test]
fn a_code_one_step_beside_uses_that_step() {
    let mut test_gateway = TestGateway::new();
    let now = test_gateway.clock.now();
    let code = factor().code_at(Timestamp::from_seconds(now.seconds() - 30)).expect("a code");
    let text = block("alice", KEY, now, "count", &[], Some(code.as_str()));
    assert_eq!(test_gateway.deliver(&mail("alice@example.com", &text)).replies.len(), 1);
    let used: i64 = test_gateway.ledger().query_row("SELECT step FROM requests", [], |row| row.get(0)).expect("a step");
    assert_eq!(used, now.seconds() / 30 - 1);
    assert_eq!(test_gateway.runs().len(), 1);
}

#[test]
fn the_previous_key_counts_until_its_date() {
    let mut test_gateway = TestGateway::new();
    let now = test_gateway.clock.now();
    let until = |seconds: i64| Timestamp::from_seconds(now.seconds() + seconds);
    let rotate = |test_gateway: &TestGateway, until: Timestamp| {
        let text = format!(
            "hmac_key = \"{OTHER_KEY}\"\ntotp = \"{}\"\n[previous]\nhmac_key = \"{KEY}\"\nuntil = {until}\n",
            crate::common::TOTP
        );
        test_gateway.write("secrets.d/alice.toml", 0o600, &text);
    };
    rotate(&test_gateway, until(-1));
    let request = test_gateway.request("count", &[]);
    assert!(test_gateway.deliver(&request).refused("bad-mac"), "by its signed time it is too late");
    rotate(&test_gateway, until(0));
    let ended = test_gateway.deliver(&request);
    let is_under = |ended: &crate::common::Ended, key: &str| {
        let key = mailsudo::protocol::Key::from_hex(key).expect("a key");
        let texts = mailsudo::intake::readable(ended.reply().as_bytes());
        matches!(mailsudo::protocol::verify_reply(&texts[0], &key), mailsudo::protocol::Verdict::Genuine(_))
    };
    assert!(is_under(&ended, KEY), "answered under the key that verified it");
    let new = block("alice", OTHER_KEY, until(60), "count", &[], None);
    let ended = test_gateway.deliver(&mail("alice@example.com", &new));
    assert!(is_under(&ended, OTHER_KEY), "and the new key while the old one counts too");
}

#[test]
fn a_lockdown_refuses_all_but_the_excepted_users_and_can_end() {
    let mut test_gateway = TestGateway::new();
    test_gateway.write("lockdown.toml", 0o644, "users = [\"bob\"]\n");
    let request = test_gateway.request("count", &[]);
    let ended = test_gateway.deliver(&request);
    assert!(ended.refused("locked-down") && ended.deferred.is_none(), "{ended:?}");
    assert!(ended.reply().contains("Nothing was run: the gateway is locked down"), "{ended:?}");
    assert_eq!((test_gateway.recorded(), test_gateway.runs().len()), ((1, 0), 0), "recorded, and no step used");
    assert!(test_gateway.deliver(&wrong(&test_gateway)).refused("locked-down"), "it says nothing of the code");
    let now = test_gateway.clock.now();
    let excepted = block("bob", OTHER_KEY, now, "restart", &[("service", "mysql")], None);
    assert!(test_gateway.deliver(&mail("bob@example.com", &excepted)).reply().contains("restart service=mysql: ok"));
    fs::remove_file(test_gateway.path("lockdown.toml")).expect("ended");
    assert!(test_gateway.deliver(&request).refused("duplicate"), "what was refused stays refused");
    test_gateway.clock.forward(60);
    assert!(test_gateway.deliver(&test_gateway.request("count", &[])).reply().contains("count: ok"));
    test_gateway.write("lockdown.toml", 0o644, "user = 1\n");
    test_gateway.clock.forward(60);
    assert_eq!(test_gateway.deliver(&test_gateway.request("count", &[])).deferred, Some("configuration"));
}

/// Roles are not mixed: values that two roles permit, and neither permits together, are refused.
#[test]
fn one_role_must_permit_all_values_together() {
    let mut test_gateway = TestGateway::new();
    let roles = "address = \"alice@example.com\"\nroles = [\"web\", \"oncall\"]\n";
    test_gateway.write("users.d/alice.toml", 0o644, roles);
    let program = test_gateway.path("command");
    let command = format!(
        "summary = \"Move\"\nrun_as = \"nobody\"\nargv = [\"{}\", \"{{what}}\", \"{{to}}\"]\n\
         [parameters.what]\none_of = [\"site\", \"mail\"]\n[parameters.to]\none_of = [\"north\", \"south\"]\n\
         [allow.web]\nwhat = [\"site\"]\nto = [\"north\"]\n[allow.oncall]\nwhat = [\"mail\"]\nto = [\"south\"]\n",
        program.display()
    );
    test_gateway.write("commands.d/move.toml", 0o644, &command);
    for (what, to, is_permitted) in
        [("site", "north", true), ("site", "south", false), ("mail", "north", false), ("mail", "south", true)]
    {
        test_gateway.clock.forward(60);
        let runs = test_gateway.runs().len();
        let ended = test_gateway.deliver(&test_gateway.request("move", &[("what", what), ("to", to)]));
        assert_eq!(ended.refused("bad-parameter"), !is_permitted, "{what} {to}: {ended:?}");
        assert_eq!(test_gateway.runs().len() - runs, usize::from(is_permitted), "{what} {to}");
        if !is_permitted {
            assert_eq!(ended.replies.len(), 1, "{ended:?}");
            let reason = "none of your roles permits these values together";
            assert!(ended.log.iter().any(|line| line.contains(reason)), "{ended:?}");
        }
    }
}
