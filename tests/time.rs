//! Clocks that step, stand at the ends of what computers can count, or were wrong for a while.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use std::cell::Cell;
use std::time::{Duration, Instant};

use common::{House, KEY, OTHER_KEY, block, mail};
use mailsudo::audit::Audit;
use mailsudo::clock::Clock;
use mailsudo::config::{Gateway, Trusted};
use mailsudo::deliver::Delivery;
use mailsudo::protocol::{Key, RequestName, Timestamp, Verdict};
use mailsudo::reply::Road;

const HOUR: i64 = 3600;

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("a time")
}

fn later(time: Timestamp, seconds: i64) -> Timestamp {
    Timestamp::from_seconds(time.seconds() + seconds)
}

/// A mail of alice's with a code that cannot be right: it is longer than hers.
fn wrong(time: Timestamp, n: i64) -> String {
    let code = if n % 2 == 0 { "00000000" } else { "11111111" };
    mail("alice@example.com", &block("alice", KEY, later(time, n), "count", &[], Some(code)))
}

fn slot(house: &House, until: Timestamp) {
    house.hold(until);
}

/// A clock that steps by an hour when it is asked for the nth time.
struct Stepping<'c> {
    true_one: &'c common::TestClock,
    asks_left: Cell<u32>,
    by: i64,
}

impl Clock for Stepping<'_> {
    fn now(&self) -> Timestamp {
        match self.asks_left.get() {
            0 => later(self.true_one.now(), self.by),
            left => {
                self.asks_left.set(left - 1);
                self.true_one.now()
            }
        }
    }

    fn instant(&self) -> Instant {
        self.true_one.instant()
    }

    fn sleep(&self, span: Duration) {
        self.true_one.sleep(span);
    }
}

/// Delivers by a clock that steps; gives the part that deferred it.
fn deliver_while_stepping(house: &House, mail: &str, after: u32, by: i64) -> Option<&'static str> {
    let gateway = Gateway::open(house.folder.path(), Trusted::caller()).expect("the gateway");
    let clock = Stepping { true_one: &house.clock, asks_left: Cell::new(after), by };
    let delivery = Delivery {
        gateway: &gateway,
        envelope: &house.envelope,
        road: &Road::Sendmail(house.path("sendmail")),
        clock: &clock,
        patience: house.patience,
    };
    let ended = delivery.deliver(&mut mail.as_bytes(), &mut Audit::new(gateway.settings(), None));
    // Its socket has room for a dozen lines.
    let _ = house.log();
    ended.err().map(|deferral| deferral.part)
}

#[test]
fn a_clock_may_step_at_any_moment_of_a_delivery() {
    for by in [-HOUR, HOUR] {
        for after in 0..6 {
            let mut house = House::new();
            let request = house.request("count", &[]);
            assert_eq!(deliver_while_stepping(&house, &request, after, by), None, "{by} {after}");
            // Before its age is judged, the step makes it stale or early; after that, it makes no difference.
            let runs = usize::from(after > 0);
            let again = house.deliver(&request);
            assert!(again.refused("duplicate") && again.replies.is_empty(), "{by} {after}: {again:?}");
            assert_eq!(house.runs().len(), runs, "{by} {after}");
            let sql = "SELECT count(*) FROM requests WHERE reply IS NOT NULL AND handed_over IS NOT NULL";
            let closed: u32 = house.ledger().query_row(sql, [], |row| row.get(0)).expect("a count");
            assert_eq!((closed, house.held()), (1, 0), "answered, and the command is free: {by} {after}");
        }
    }
}

#[test]
fn a_step_makes_an_honest_request_stale_or_early_and_says_so() {
    let mut house = House::new();
    let signed = house.clock.now();
    for (by, reason, words) in [(HOUR, "stale", "ago"), (-HOUR, "future", "compare the clocks")] {
        house.clock.set(signed);
        let request = mail("alice@example.com", &house.block(later(signed, by.signum()), "count", &[]));
        house.clock.set(later(signed, by));
        let ended = house.deliver(&request);
        assert!(ended.refused(reason) && ended.reply().replace("=\n", "").contains(words), "{ended:?}");
        house.clock.set(signed);
        assert!(house.deliver(&request).refused("duplicate"), "it was answered, and is not judged again");
    }
    assert_eq!(house.recorded(), (2, 0), "no step is used up");
    assert_eq!(house.deliver(&house.request("count", &[])).replies.len(), 1, "the clock is right again");
}

#[test]
fn a_request_that_waits_survives_a_step_and_runs_once() {
    for by in [-HOUR, 500] {
        let mut house = House::new();
        house.deliver(&house.request("help", &[]));
        house.clock.forward(60);
        slot(&house, later(house.clock.now(), 300));
        let request = house.request("count", &[]);
        assert_eq!(house.deliver(&request).deferred, Some("busy"));
        house.clock.forward(by);
        let ended = house.deliver(&request);
        assert!(ended.reply().contains("count: ok"), "{by}: {ended:?}");
        assert!(house.deliver(&request).refused("duplicate"));
        assert_eq!(house.runs().len(), 1, "{by}");
    }
}

#[test]
fn a_wait_is_measured_on_the_clock_that_nobody_sets() {
    let mut house = House::new();
    house.deliver(&house.request("help", &[]));
    house.clock.forward(60);
    slot(&house, later(house.clock.now(), 500));
    let request = house.request("count", &[]);
    let (begun, until) = (house.clock.instant(), house.clock.now().plus(Duration::from_mins(9)));
    for after in 2..5 {
        // Held by a living process, so that it is busy whatever time it is.
        let gateway = Gateway::open(house.folder.path(), Trusted::caller()).expect("the gateway");
        let other = mailsudo::ledger::open(gateway.settings(), Trusted::caller(), house.patience.page);
        let other = other.expect("the ledger");
        let holder = RequestName::from_bytes([0; 32]);
        let _claim = mailsudo::ledger::Ledger::claim(&other, &holder).expect("asked").expect("claimed");
        assert_eq!(deliver_while_stepping(&house, &request, after, -HOUR), Some("busy"), "{after}");
        assert_eq!(deliver_while_stepping(&house, &request, after, HOUR / 9), Some("busy"), "{after}");
    }
    let waited = house.clock.instant() - begun;
    assert!(waited >= 6 * house.patience.turn, "a step forward cuts no wait short: {waited:?}");
    assert!(waited <= 7 * house.patience.turn, "and one back makes none longer: {waited:?}");
    house.clock.set(until);
    assert!(house.deliver(&request).reply().contains("count: ok"), "it has kept its place");
}

#[test]
fn wrong_codes_count_again_after_a_step_back() {
    let mut house = House::new();
    let begun = house.clock.now();
    for n in 0..5 {
        assert_eq!(house.deliver(&wrong(begun, n)).reply().contains("locked out"), n == 4, "{n}");
    }
    let ended = house.deliver(&house.request("count", &[]));
    assert!(ended.refused("locked-out"), "{ended:?}");
    house.clock.forward(-HOUR);
    let begun = house.clock.now();
    for n in 0..5 {
        let ended = house.deliver(&wrong(begun, n));
        assert!(ended.refused("bad-code"), "{n}: {ended:?}");
        assert_eq!(ended.reply().contains("locked out"), n == 4, "{n}: what came later no longer counts: {ended:?}");
    }
    house.clock.forward(1);
    assert!(house.deliver(&house.request("count", &[])).refused("locked-out"), "it holds");
    house.clock.forward(15 * 60);
    assert!(house.deliver(&house.request("count", &[])).reply().contains("count: ok"), "and ends");
}

#[test]
fn a_lockout_does_not_outlast_a_step_forward_and_cannot_be_had_twice_for_the_same_codes() {
    let mut house = House::new();
    let begun = house.clock.now();
    for n in 0..5 {
        house.deliver(&wrong(begun, n));
    }
    house.clock.forward(HOUR);
    assert!(house.deliver(&house.request("count", &[])).reply().contains("count: ok"));
    let begun = house.clock.now();
    assert!(!house.deliver(&wrong(begun, 1)).reply().contains("locked out"));
}

#[test]
fn a_ledger_made_while_the_clock_was_ahead_defers_and_says_what_to_do() {
    let mut house = House::new();
    house.deliver(&house.request("help", &[]));
    house.clock.forward(60);
    let year = 365 * 24 * HOUR;
    let floor = later(house.clock.now(), year);
    house.ledger().execute("INSERT INTO floor VALUES (?1)", [floor.seconds()]).expect("a floor");
    let request = house.request("count", &[]);
    let ended = house.deliver(&request);
    assert_eq!(ended.deferred, Some("ledger"), "{ended:?}");
    assert!(ended.log.join("\n").contains("which is yet to come: set the clock right"), "{ended:?}");
    house.ledger().execute("DELETE FROM floor", []).expect("mended");
    assert!(house.deliver(&request).reply().contains("count: ok"), "nothing is lost");
}

/// A clock that ran years ahead lets a delivery forget what is young. Nothing of that comes back.
#[test]
fn what_was_forgotten_by_mistake_stays_refused() {
    let mut house = House::new();
    let request = house.request("count", &[]);
    assert_eq!(house.deliver(&request).replies.len(), 1);
    let signed = house.clock.now();
    house.clock.forward(4 * 365 * 24 * HOUR);
    house.deliver(&house.request("help", &[]));
    let forgotten: u32 = house
        .ledger()
        .query_row("SELECT count(*) = 0 FROM requests WHERE command = 'count'", [], |row| row.get(0))
        .expect("a count");
    assert_eq!(forgotten, 1);
    house.clock.set(later(signed, 1));
    assert!(house.deliver(&request).refused("forgotten"));
    house.clock.forward(60);
    assert!(house.deliver(&house.request("count", &[])).reply().contains("count: ok"), "new ones are heard");
    assert_eq!(house.runs().len(), 2);
}

#[test]
fn a_leap_second_cannot_be_signed_and_a_second_that_comes_twice_does_no_harm() {
    let mut house = House::new();
    house.clock.set(at("2016-12-31T23:59:59Z"));
    let text = house.block(house.clock.now(), "count", &[]).replace("23:59:59Z", "23:59:60Z");
    let ended = house.deliver(&mail("alice@example.com", &text));
    assert!(ended.refused("malformed") && ended.replies.is_empty(), "{ended:?}");

    let first = house.request("count", &[]);
    assert!(house.deliver(&first).reply().contains("count: ok"));
    // The kernel's clock shows the leap second as 23:59:59 again (adjtimex(2), TIME_OOP).
    let bobs = block("bob", OTHER_KEY, house.clock.now(), "restart", &[("service", "mysql")], None);
    assert!(house.deliver(&mail("bob@example.com", &bobs)).reply().contains(": ok"));
    assert!(house.deliver(&first).refused("duplicate"));
    let second = house.request("restart", &[("service", "nginx")]);
    assert!(house.deliver(&second).refused("used-code"), "one code, one request, in the same second too");
    house.clock.forward(1);
    assert!(house.deliver(&house.request("count", &[])).reply().contains("count: ok"), "the next step has begun");
}

#[test]
fn the_whole_way_is_open_in_every_year() {
    for now in [
        "1970-01-01T00:02:00Z",
        "2038-01-19T03:14:07Z",
        "2038-01-19T03:14:08Z",
        "2106-02-07T06:28:15Z",
        "2106-02-07T06:28:16Z",
        "2262-04-11T23:47:17Z",
        "9999-12-30T12:00:00Z",
    ] {
        let mut house = House::new();
        house.clock.set(at(now));
        let request = house.request("count", &[]);
        let ended = house.deliver(&request);
        let reply = ended.reply();
        let parsed = mail_parser::MessageParser::default().parse(reply).expect("a message");
        assert_eq!(parsed.date().map(mail_parser::DateTime::to_timestamp), Some(at(now).seconds()), "{reply}");
        let verdict = mailsudo::protocol::verify_reply(&parsed.body_text(0).expect("a text"), &key());
        let Verdict::Genuine(block) = verdict else {
            panic!("{now}: {verdict:?}");
        };
        assert_eq!(block.time, at(now));
        let sql = "SELECT signed, first_seen, step FROM requests";
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let recorded: (i64, i64, i64) = house.ledger().query_row(sql, [], row).expect("a record");
        assert_eq!(recorded, (at(now).seconds(), at(now).seconds(), at(now).seconds() / 30));

        assert!(house.deliver(&request).refused("duplicate"), "{now}");
        house.clock.forward(60);
        let status = house.deliver(&house.request("status", &[]));
        assert!(status.reply().contains("| ok: count"), "{now}: {status:?}");
        let begun = house.clock.now();
        for n in 1..=5 {
            assert_eq!(house.deliver(&wrong(begun, n)).reply().contains("locked out until"), n == 5, "{now}");
        }
        house.clock.forward(30);
        assert!(house.deliver(&house.request("count", &[])).refused("locked-out"), "{now}");
    }
}

/// A machine whose battery is dead, or that somebody has set to nonsense: refusals with words, and nothing dies.
#[test]
fn where_the_clock_is_nonsense_requests_are_refused_with_words() {
    let honest = at("2026-11-23T10:15:05Z");
    for (now, reason) in [
        (0, "future"),
        (-1, "future"),
        (-86_400 * 365 * 500, "future"),
        (i64::MIN, "future"),
        (253_402_300_799, "stale"),
        (253_402_300_800, "stale"),
        (i64::MAX, "stale"),
    ] {
        let mut house = House::new();
        house.clock.set(Timestamp::from_seconds(now));
        let request = mail("alice@example.com", &house.block(honest, "count", &[]));
        let ended = house.deliver(&request);
        assert!(ended.refused(reason), "{now}: {ended:?}");
        assert!(ended.reply().contains("Nothing was run"), "{now}: {ended:?}");
        assert!(house.deliver(&request).refused("duplicate"), "{now}");
        house.clock.set(later(honest, 30));
        assert!(house.deliver(&house.request("count", &[])).reply().contains("count: ok"), "{now}: it is forgiven");
    }
}

#[test]
fn before_1970_there_are_no_codes() {
    let mut house = House::new();
    house.clock.set(at("1969-12-31T23:59:59Z"));
    let text = block("alice", KEY, house.clock.now(), "count", &[], Some("123456"));
    let ended = house.deliver(&mail("alice@example.com", &text));
    assert!(ended.refused("bad-code") && ended.replies.len() == 1, "{ended:?}");
    assert_eq!((house.recorded(), house.runs().len()), ((1, 0), 0));
}

fn key() -> Key {
    Key::from_hex(KEY).expect("a key")
}
