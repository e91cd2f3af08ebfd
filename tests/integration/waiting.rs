//! A request that waits for an exclusive command, while something else changes its record: it is left alone. And
//! what is recorded of one that has waited too long, or whose delivery died.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use mailsudo::audit::Audit;
use mailsudo::config::{Gateway, Trusted};
use mailsudo::protocol::Timestamp;
use mailsudo::reply::ReplyTransport;
use mailsudo::system::clock::Clock;

use crate::common::{TestClock, TestGateway, context, deliver};
use crate::database::{new, server::server};

/// A clock under which something happens at the first sleep.
struct Interrupted<'c> {
    clock: &'c TestClock,
    then: RefCell<Option<Box<dyn FnOnce() + 'c>>>,
}

impl Clock for Interrupted<'_> {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn instant(&self) -> Instant {
        self.clock.instant()
    }

    fn sleep(&self, span: Duration) {
        if let Some(then) = self.then.take() {
            then();
        }
        self.clock.sleep(span);
    }
}

/// Delivers a request that has to wait, and lets `then` happen meanwhile. Returns the part that deferred it, if one
/// did.
fn interrupted<'c>(gateway: &'c TestGateway, request: &str, then: impl FnOnce() + 'c) -> Option<&'static str> {
    let opened = Gateway::open(gateway.folder.path(), Trusted::caller()).expect("a gateway");
    let clock = Interrupted { clock: &gateway.clock, then: RefCell::new(Some(Box::new(then))) };
    let mut audit = Audit::new(opened.settings(), None);
    let transport = ReplyTransport::Sendmail(gateway.path("sendmail"));
    let context = context(&opened, &gateway.envelope, &clock, gateway.timeouts);
    let ended = deliver(&context, &transport, request.as_bytes(), &mut audit);
    assert!(clock.then.take().is_none(), "it has waited");
    ended.err().map(|deferral| deferral.part)
}

#[test]
fn what_does_not_wait_any_more_is_not_run() {
    for (state, is_run) in [("waiting", true), ("started", false), ("finished", false)] {
        let mut gateway = TestGateway::new();
        gateway.deliver(&gateway.request("help", &[]));
        gateway.clock.forward(60);
        gateway.hold(Timestamp::from_seconds(gateway.clock.now().seconds() + 5));
        let request = gateway.request("count", &[]);
        let change = format!("UPDATE requests SET state = '{state}' WHERE state = 'waiting'");
        let deferred = interrupted(&gateway, &request, || {
            assert_eq!(gateway.ledger().execute(&change, []).expect("changed"), 1);
        });
        assert_eq!((deferred.is_none(), gateway.runs().len() == 1), (is_run, is_run), "{state}: {deferred:?}");
    }
}

/// The last second that a database server may have lost counts as lost.
#[test]
fn what_was_signed_up_to_the_last_lost_second_is_not_run() {
    for (behind, is_run) in [(-1, false), (0, false), (1, true)] {
        let (mut gateway, database) = new(server(), "");
        gateway.deliver(&gateway.request("count", &[]));
        server().sql(&database, "UPDATE mailsudo.requests SET hold_ends = now() + interval '1 hour'");
        gateway.clock.forward(60);
        let request = gateway.request("count", &[]);
        let lost = gateway.clock.now().seconds() - behind;
        let deferred = interrupted(&gateway, &request, || {
            server().sql(&database, "UPDATE mailsudo.requests SET hold_ends = NULL");
            server().sql(&database, &format!("UPDATE mailsudo.ledger SET lost_until = {lost}"));
        });
        let runs = if is_run { 2 } else { 1 };
        assert_eq!((deferred.is_none(), gateway.runs().len()), (is_run, runs), "{behind}: {deferred:?}");
    }
}

/// Its state, result and reason, and whether it has an end, a reply and a time at which that was sent.
fn record(gateway: &TestGateway, command: &str) -> (String, String, Option<String>, bool) {
    let sql = "SELECT state, result, reason, finished IS NOT NULL AND reply IS NOT NULL AND handed_over IS NOT NULL
               FROM requests WHERE command = ?1 AND user = 'alice'";
    let record = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
    gateway.ledger().query_row(sql, [command], record).expect("a record")
}

#[test]
fn what_has_waited_too_long_is_recorded_as_refused() {
    let mut gateway = TestGateway::new();
    gateway.deliver(&gateway.request("help", &[]));
    gateway.clock.forward(60);
    gateway.hold(Timestamp::from_seconds(gateway.clock.now().seconds() + 500));
    let request = gateway.request("count", &[]);
    assert_eq!(gateway.deliver(&request).deferred, Some("busy"));
    gateway.clock.forward(601);
    assert!(gateway.deliver(&request).refused("waited"));
    let wanted = ("refused".to_owned(), "refused".to_owned(), Some("waited".to_owned()), true);
    assert_eq!(record(&gateway, "count"), wanted);
}

#[test]
fn a_run_whose_delivery_died_is_recorded_as_unknown() {
    let mut gateway = TestGateway::new();
    let request = gateway.request("count", &[]);
    gateway.deliver(&request);
    let started =
        "UPDATE requests SET state = 'started', result = NULL, reply = NULL, reply_to = NULL, finished = NULL,
                   handed_over = NULL";
    gateway.ledger().execute(started, []).expect("changed");
    assert!(!gateway.deliver(&request).refused("duplicate"));
    assert_eq!(record(&gateway, "count"), ("finished".to_owned(), "unknown".to_owned(), None, true));
    assert_eq!(gateway.runs().len(), 1);
}
