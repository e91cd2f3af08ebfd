//! Clocks that step, are at the ends of what a computer can count, or were wrong for a while.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::common::{KEY, OTHER_KEY, TestGateway, block, context, deliver, mail};
use mailsudo::audit::Audit;
use mailsudo::config::{Gateway, Trusted};
use mailsudo::protocol::{Key, RequestId, Timestamp, Verdict};
use mailsudo::reply::ReplyTransport;
use mailsudo::system::clock::Clock;

const HOUR: i64 = 3600;

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("a time")
}

fn later(time: Timestamp, seconds: i64) -> Timestamp {
    Timestamp::from_seconds(time.seconds() + seconds)
}

/// A mail of alice's with a code that cannot be right: it is longer than the right one.
fn wrong(time: Timestamp, n: i64) -> String {
    let code = if n % 2 == 0 { "00000000" } else { "11111111" };
    mail("alice@example.com", &block("alice", KEY, later(time, n), "count", &[], Some(code)))
}

fn hold(test_gateway: &TestGateway, until: Timestamp) {
    test_gateway.hold(until);
}

/// A clock that steps by an hour when it is asked for the nth time.
struct Stepping<'c> {
    true_one: &'c crate::common::TestClock,
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
fn deliver_while_stepping(test_gateway: &TestGateway, mail: &str, after: u32, by: i64) -> Option<&'static str> {
    let gateway = Gateway::open(test_gateway.folder.path(), Trusted::caller()).expect("the gateway");
    let clock = Stepping { true_one: &test_gateway.clock, asks_left: Cell::new(after), by };
    let context = context(&gateway, &test_gateway.envelope, &clock, test_gateway.timeouts);
    let transport = ReplyTransport::Sendmail(test_gateway.path("sendmail"));
    let ended = deliver(&context, &transport, mail.as_bytes(), &mut Audit::new(gateway.settings(), None));
    // Its socket has room for a dozen lines.
    let _ = test_gateway.log();
    ended.err().map(|deferral| deferral.part)
}

#[test]
fn a_clock_may_step_at_any_moment_of_a_delivery() {
    let mut late = 0;
    for by in [-HOUR, HOUR] {
        for after in 0..6 {
            let mut test_gateway = TestGateway::new();
            let request = test_gateway.request("count", &[]);
            let deferred = deliver_while_stepping(&test_gateway, &request, after, by);
            assert_eq!(deferred, None, "{by} {after}");
            // An hour after its start was recorded, the command may not begin any more, and that is said.
            let sql = "SELECT count(*) FROM requests WHERE reason = 'not-begun' AND result = 'refused'";
            let is_late = test_gateway.ledger().query_row(sql, [], |row| row.get(0)) == Ok(1);
            late += u32::from(is_late);
            // Before its age is judged, the step makes it stale or early; after that, it makes no difference.
            let runs = usize::from(after > 0 && !is_late);
            let again = test_gateway.deliver(&request);
            assert!(again.refused("duplicate") && again.replies.is_empty(), "{by} {after}: {again:?}");
            assert_eq!(test_gateway.runs().len(), runs, "{by} {after}");
            let sql = "SELECT count(*) FROM requests WHERE reply IS NOT NULL AND handed_over IS NOT NULL";
            let closed: u32 = test_gateway.ledger().query_row(sql, [], |row| row.get(0)).expect("a count");
            assert_eq!((closed, test_gateway.held()), (1, 0), "answered, and free: {by} {after}");
        }
    }
    assert_eq!(late, 1, "steps between the record of the start and the start");
}

#[test]
fn a_step_of_the_clock_makes_a_valid_request_stale_or_early() {
    let mut test_gateway = TestGateway::new();
    let signed = test_gateway.clock.now();
    for (by, reason, words) in [(HOUR, "stale", "ago"), (-HOUR, "future", "compare the clocks")] {
        test_gateway.clock.set(signed);
        let request = mail("alice@example.com", &test_gateway.block(later(signed, by.signum()), "count", &[]));
        test_gateway.clock.set(later(signed, by));
        let ended = test_gateway.deliver(&request);
        assert!(ended.refused(reason) && ended.reply().replace("=\n", "").contains(words), "{ended:?}");
        test_gateway.clock.set(signed);
        assert!(test_gateway.deliver(&request).refused("duplicate"), "it was answered, and is not judged again");
    }
    assert_eq!(test_gateway.recorded(), (2, 0), "no step is used up");
    assert_eq!(test_gateway.deliver(&test_gateway.request("count", &[])).replies.len(), 1, "the clock is right again");
}

#[test]
fn a_request_that_waits_survives_a_step_and_runs_once() {
    for by in [-HOUR, 500] {
        let mut test_gateway = TestGateway::new();
        test_gateway.deliver(&test_gateway.request("help", &[]));
        test_gateway.clock.forward(60);
        hold(&test_gateway, later(test_gateway.clock.now(), 300));
        let request = test_gateway.request("count", &[]);
        assert_eq!(test_gateway.deliver(&request).deferred, Some("busy"));
        test_gateway.clock.forward(by);
        let ended = test_gateway.deliver(&request);
        assert!(ended.reply().contains("count: ok"), "{by}: {ended:?}");
        assert!(test_gateway.deliver(&request).refused("duplicate"));
        assert_eq!(test_gateway.runs().len(), 1, "{by}");
    }
}

#[test]
fn a_wait_is_measured_on_the_monotonic_clock() {
    let mut test_gateway = TestGateway::new();
    test_gateway.deliver(&test_gateway.request("help", &[]));
    test_gateway.clock.forward(60);
    hold(&test_gateway, later(test_gateway.clock.now(), 500));
    let request = test_gateway.request("count", &[]);
    let (begun, until) = (test_gateway.clock.instant(), test_gateway.clock.now().plus(Duration::from_mins(9)));
    for after in 2..5 {
        // Held by a living process, so that it is busy whatever time it is.
        let gateway = Gateway::open(test_gateway.folder.path(), Trusted::caller()).expect("the gateway");
        let other = mailsudo::ledger::open(gateway.settings(), Trusted::caller(), test_gateway.timeouts.transaction);
        let other = other.expect("the ledger");
        let holder = RequestId::from_bytes([0; 32]);
        let _claim = other.lock(&holder).expect("asked").expect("claimed");
        assert_eq!(deliver_while_stepping(&test_gateway, &request, after, -HOUR), Some("busy"), "{after}");
        assert_eq!(deliver_while_stepping(&test_gateway, &request, after, HOUR / 9), Some("busy"), "{after}");
    }
    let waited = test_gateway.clock.instant() - begun;
    assert!(waited >= 6 * test_gateway.timeouts.exclusive_wait, "a step forward cuts no wait short: {waited:?}");
    assert!(waited <= 7 * test_gateway.timeouts.exclusive_wait, "and one back makes none longer: {waited:?}");
    test_gateway.clock.set(until);
    assert!(test_gateway.deliver(&request).reply().contains("count: ok"), "it has kept its place");
}

#[test]
fn wrong_codes_count_again_after_a_step_back() {
    let mut test_gateway = TestGateway::new();
    let begun = test_gateway.clock.now();
    for n in 0..5 {
        assert_eq!(test_gateway.deliver(&wrong(begun, n)).reply().contains("locked out"), n == 4, "{n}");
    }
    let ended = test_gateway.deliver(&test_gateway.request("count", &[]));
    assert!(ended.refused("locked-out"), "{ended:?}");
    test_gateway.clock.forward(-HOUR);
    let begun = test_gateway.clock.now();
    for n in 0..5 {
        let ended = test_gateway.deliver(&wrong(begun, n));
        assert!(ended.refused("bad-code"), "{n}: {ended:?}");
        assert_eq!(ended.reply().contains("locked out"), n == 4, "{n}: what came later no longer counts: {ended:?}");
    }
    test_gateway.clock.forward(1);
    assert!(test_gateway.deliver(&test_gateway.request("count", &[])).refused("locked-out"), "it holds");
    test_gateway.clock.forward(15 * 60);
    assert!(test_gateway.deliver(&test_gateway.request("count", &[])).reply().contains("count: ok"), "and ends");
}

#[test]
fn a_lockout_ends_with_a_step_forward_and_the_same_codes_cause_no_second() {
    let mut test_gateway = TestGateway::new();
    let begun = test_gateway.clock.now();
    for n in 0..5 {
        test_gateway.deliver(&wrong(begun, n));
    }
    test_gateway.clock.forward(HOUR);
    assert!(test_gateway.deliver(&test_gateway.request("count", &[])).reply().contains("count: ok"));
    let begun = test_gateway.clock.now();
    assert!(!test_gateway.deliver(&wrong(begun, 1)).reply().contains("locked out"));
}

#[test]
fn a_ledger_made_while_the_clock_was_ahead_defers_and_says_what_to_do() {
    let mut test_gateway = TestGateway::new();
    test_gateway.deliver(&test_gateway.request("help", &[]));
    test_gateway.clock.forward(60);
    let year = 365 * 24 * HOUR;
    let watermark = later(test_gateway.clock.now(), year);
    test_gateway.ledger().execute("INSERT INTO floor VALUES (?1)", [watermark.seconds()]).expect("a watermark");
    let request = test_gateway.request("count", &[]);
    let ended = test_gateway.deliver(&request);
    assert_eq!(ended.deferred, Some("ledger"), "{ended:?}");
    assert!(ended.log.join("\n").contains("which is in the future: set the clock right"), "{ended:?}");
    test_gateway.ledger().execute("DELETE FROM floor", []).expect("repaired");
    assert!(test_gateway.deliver(&request).reply().contains("count: ok"), "nothing is lost");
}

/// With a clock that was years ahead, a delivery prunes recent requests. None of them is accepted again.
#[test]
fn what_was_pruned_by_mistake_stays_refused() {
    let mut test_gateway = TestGateway::new();
    let request = test_gateway.request("count", &[]);
    assert_eq!(test_gateway.deliver(&request).replies.len(), 1);
    let signed = test_gateway.clock.now();
    test_gateway.clock.forward(4 * 365 * 24 * HOUR);
    test_gateway.deliver(&test_gateway.request("help", &[]));
    let forgotten: u32 = test_gateway
        .ledger()
        .query_row("SELECT count(*) = 0 FROM requests WHERE command = 'count'", [], |row| row.get(0))
        .expect("a count");
    assert_eq!(forgotten, 1);
    test_gateway.clock.set(later(signed, 1));
    assert!(test_gateway.deliver(&request).refused("forgotten"));
    test_gateway.clock.forward(60);
    assert!(
        test_gateway.deliver(&test_gateway.request("count", &[])).reply().contains("count: ok"),
        "new ones are heard"
    );
    assert_eq!(test_gateway.runs().len(), 2);
}

#[test]
fn a_leap_second_cannot_be_signed_and_a_second_that_comes_twice_does_no_harm() {
    let mut test_gateway = TestGateway::new();
    test_gateway.clock.set(at("2016-12-31T23:59:59Z"));
    let text = test_gateway.block(test_gateway.clock.now(), "count", &[]).replace("23:59:59Z", "23:59:60Z");
    let ended = test_gateway.deliver(&mail("alice@example.com", &text));
    assert!(ended.refused("malformed") && ended.replies.is_empty(), "{ended:?}");

    let first = test_gateway.request("count", &[]);
    assert!(test_gateway.deliver(&first).reply().contains("count: ok"));
    // The kernel's clock shows the leap second as 23:59:59 again (adjtimex(2), TIME_OOP).
    let bobs = block("bob", OTHER_KEY, test_gateway.clock.now(), "restart", &[("service", "mysql")], None);
    assert!(test_gateway.deliver(&mail("bob@example.com", &bobs)).reply().contains(": ok"));
    assert!(test_gateway.deliver(&first).refused("duplicate"));
    let second = test_gateway.request("restart", &[("service", "nginx")]);
    assert!(test_gateway.deliver(&second).refused("used-code"), "one code, one request, in the same second too");
    test_gateway.clock.forward(1);
    assert!(
        test_gateway.deliver(&test_gateway.request("count", &[])).reply().contains("count: ok"),
        "the next step has begun"
    );
}

#[test]
fn requests_are_accepted_in_every_year() {
    for now in [
        "1970-01-01T00:02:00Z",
        "2038-01-19T03:14:07Z",
        "2038-01-19T03:14:08Z",
        "2106-02-07T06:28:15Z",
        "2106-02-07T06:28:16Z",
        "2262-04-11T23:47:17Z",
        "9999-12-30T12:00:00Z",
    ] {
        let mut test_gateway = TestGateway::new();
        test_gateway.clock.set(at(now));
        let request = test_gateway.request("count", &[]);
        let ended = test_gateway.deliver(&request);
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
        let recorded: (i64, i64, i64) = test_gateway.ledger().query_row(sql, [], row).expect("a record");
        assert_eq!(recorded, (at(now).seconds(), at(now).seconds(), at(now).seconds() / 30));

        assert!(test_gateway.deliver(&request).refused("duplicate"), "{now}");
        test_gateway.clock.forward(60);
        let status = test_gateway.deliver(&test_gateway.request("status", &[]));
        assert!(status.reply().contains("| ok: count"), "{now}: {status:?}");
        let begun = test_gateway.clock.now();
        for n in 1..=5 {
            assert_eq!(test_gateway.deliver(&wrong(begun, n)).reply().contains("locked out until"), n == 5, "{now}");
        }
        test_gateway.clock.forward(30);
        assert!(test_gateway.deliver(&test_gateway.request("count", &[])).refused("locked-out"), "{now}");
    }
}

/// A machine without a battery for its clock, or with a wrong time: requests are refused with a reason, and nothing
/// panics.
#[test]
fn with_an_impossible_clock_requests_are_refused_with_a_reason() {
    let right_time = at("2026-11-23T10:15:05Z");
    for (now, reason) in [
        (0, "future"),
        (-1, "future"),
        (-86_400 * 365 * 500, "future"),
        (i64::MIN, "future"),
        (253_402_300_799, "stale"),
        (253_402_300_800, "stale"),
        (i64::MAX, "stale"),
    ] {
        let mut test_gateway = TestGateway::new();
        test_gateway.clock.set(Timestamp::from_seconds(now));
        let request = mail("alice@example.com", &test_gateway.block(right_time, "count", &[]));
        let ended = test_gateway.deliver(&request);
        assert!(ended.refused(reason), "{now}: {ended:?}");
        assert!(ended.reply().contains("Nothing was run"), "{now}: {ended:?}");
        assert!(test_gateway.deliver(&request).refused("duplicate"), "{now}");
        test_gateway.clock.set(later(right_time, 30));
        assert!(
            test_gateway.deliver(&test_gateway.request("count", &[])).reply().contains("count: ok"),
            "{now}: it is forgiven"
        );
    }
}

#[test]
fn before_1970_there_are_no_codes() {
    let mut test_gateway = TestGateway::new();
    test_gateway.clock.set(at("1969-12-31T23:59:59Z"));
    let text = block("alice", KEY, test_gateway.clock.now(), "count", &[], Some("123456"));
    let ended = test_gateway.deliver(&mail("alice@example.com", &text));
    assert!(ended.refused("bad-code") && ended.replies.len() == 1, "{ended:?}");
    assert_eq!((test_gateway.recorded(), test_gateway.runs().len()), ((1, 0), 0));
}

fn key() -> Key {
    Key::from_hex(KEY).expect("a key")
}
