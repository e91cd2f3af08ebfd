//! What the model of several nodes (tests/model) found, on the program itself: a failover that loses commits, a lock
//! that is lost, a process that stops between its commit and its run.

use std::cell::Cell;
use std::time::Duration;

use mailsudo::audit::Audit;
use mailsudo::config::{Gateway, Trusted};
use mailsudo::ledger::{self, LedgerError, State};
use mailsudo::protocol::{RequestId, RunResult, Timestamp, UserName};
use mailsudo::reply::ReplyTransport;
use mailsudo::system::clock::{Clock, SystemClock};

use crate::common::{TestGateway, context, deliver};
use crate::database::server::server;
use crate::database::{new, open};

const REPLACED: &str = "UPDATE mailsudo.ledger SET timeline = '00000000'";

/// A gateway with a request that waits for another run of its command.
fn waiting() -> (TestGateway, String, String) {
    let (mut test_gateway, database) = new(server(), "");
    test_gateway.clock.set(SystemClock.now());
    test_gateway.deliver(&test_gateway.request("count", &[]));
    server().sql(&database, "UPDATE mailsudo.requests SET hold_ends = now() + interval '1 hour'");
    test_gateway.clock.forward(60);
    let request = test_gateway.request("count", &[]);
    assert_eq!(test_gateway.deliver(&request).deferred, Some("busy"));
    (test_gateway, database, request)
}

/// It may have waited no more, and run, in what was lost.
#[test]
fn a_request_that_waits_does_not_run_after_a_failover() {
    let (mut test_gateway, database, request) = waiting();
    server().sql(&database, "UPDATE mailsudo.requests SET hold_ends = NULL");
    server().sql(&database, REPLACED);
    let ended = test_gateway.deliver(&request);
    assert!(ended.refused("failed-over"), "{ended:?}");
    assert_eq!(test_gateway.runs().len(), 1);
    assert!(test_gateway.deliver(&request).refused("duplicate"));
}

/// Otherwise the quiet time after a failover would begin anew each time that the request looks.
#[test]
fn a_request_that_goes_on_waiting_keeps_what_it_has_noticed() {
    let (mut test_gateway, database, request) = waiting();
    server().sql(&database, "UPDATE mailsudo.requests SET signed = extract(epoch FROM now())::bigint + 86400");
    server().sql(&database, REPLACED);
    assert_eq!(test_gateway.deliver(&request).deferred, Some("busy"));
    let kept = "SELECT timeline <> '00000000' AND quiet_until > now() AND lost_until > extract(epoch FROM now())
                FROM mailsudo.ledger";
    assert_eq!(server().sql(&database, kept), "t");
}

#[test]
fn a_delivery_that_has_lost_its_lock_records_nothing() {
    let (test_gateway, database) = new(server(), "");
    let (mut one, id) = (open(&test_gateway).expect("a ledger"), RequestId::from_bytes([7; 32]));
    let alice = UserName::try_from("alice").expect("a name");
    let held = one.lock(&id).expect("asked").expect("a lock");
    let mut donor = TestGateway::new();
    donor.deliver(&donor.request("count", &[]));
    let gateway = Gateway::open(donor.folder.path(), Trusted::caller()).expect("a gateway");
    let ledger = ledger::open(gateway.settings(), Trusted::caller(), Duration::from_secs(5)).expect("a ledger");
    let zero = RequestId::from_bytes([0; 32]);
    let mut record = ledger.look_up(&alice, &zero, None).expect("asked").expect("a record");
    (record.id, record.state, record.replied, record.reply) = (id, State::Started, None, None);
    for lost in [
        "DELETE FROM mailsudo.locks",
        "UPDATE mailsudo.locks SET token = 'x'",
        "UPDATE mailsudo.locks SET ends = now()",
    ] {
        let back = "TRUNCATE mailsudo.locks; INSERT INTO mailsudo.locks SELECT * FROM keep";
        server().sql(&database, &format!("CREATE TABLE keep AS SELECT * FROM mailsudo.locks; {lost}"));
        let mut transaction = one.transaction(&id, &alice).expect("a transaction");
        assert!(matches!(transaction.insert(&record), Err(LedgerError::Taken)), "{lost}");
        drop(transaction);
        server().sql(&database, &format!("{back}; DROP TABLE keep"));
    }
    let mut transaction = one.transaction(&id, &alice).expect("a transaction");
    transaction.insert(&record).expect("with the lock");
    transaction.commit().expect("committed");
    // The end of its own run it records all the same.
    server().sql(&database, "DELETE FROM mailsudo.locks");
    let mut transaction = one.transaction(&id, &alice).expect("a transaction");
    record.state = State::Finished;
    transaction.update(&record).expect("its own run");
    transaction.commit().expect("committed");
    drop(held);
}

/// A clock that stops the process for a while when it has been asked so often.
pub(crate) struct Stopped {
    pub(crate) now: Timestamp,
    pub(crate) left: Cell<i32>,
    pub(crate) stop: Duration,
}

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        self.left.set(self.left.get() - 1);
        if self.left.get() < 0 { self.now.plus(self.stop) } else { self.now }
    }

    fn sleep(&self, _: Duration) {}
}

#[test]
fn a_process_that_was_stopped_between_its_commit_and_its_run_runs_nothing() {
    // 15 s is what a hold lasts longer than its run can take.
    assert_eq!(late_when_stopped_for(Duration::from_secs(15)), 0, "it runs");
    assert_eq!(late_when_stopped_for(Duration::from_secs(16)), 1, "once it was stopped there");
}

/// How often nothing is run, of five deliveries that are stopped at another place each.
fn late_when_stopped_for(stop: Duration) -> u32 {
    let mut test_gateway = TestGateway::new();
    let gateway = Gateway::open(test_gateway.folder.path(), Trusted::caller()).expect("a gateway");
    let transport = ReplyTransport::Sendmail(test_gateway.path("sendmail"));
    let mut late = 0;
    for asked in 0..5 {
        test_gateway.clock.forward(60);
        let (request, runs) = (test_gateway.request("count", &[]), test_gateway.runs().len());
        let clock = Stopped { now: test_gateway.clock.now(), left: Cell::new(asked), stop };
        let mut audit = Audit::new(gateway.settings(), None);
        let context = context(&gateway, &test_gateway.envelope, &clock, test_gateway.timeouts);
        deliver(&context, &transport, request.as_bytes(), &mut audit).expect("an answer");
        let log = test_gateway.log().join("\n");
        let record = ledger::open(gateway.settings(), Trusted::caller(), Duration::from_secs(5)).expect("a ledger");
        let alice = UserName::try_from("alice").expect("a name");
        let record = record.look_up(&alice, &RequestId::from_bytes([0; 32]), None).expect("asked").expect("a record");
        // Only the delivery that was stopped knows it, so it says it: no later one could.
        if record.reason.as_deref() == Some("not-begun") {
            assert_eq!((record.state, record.result), (State::Finished, Some(RunResult::Refused)), "{log}");
            assert_eq!((record.holds_until, test_gateway.runs().len()), (None, runs), "{log}");
            let reply = String::from_utf8(record.reply.expect("a reply").message).expect("text");
            assert!(
                reply.contains("\nrefused: count\n") && reply.contains("\nNothing was run: the gateway was"),
                "{reply}"
            );
            assert!(
                log.contains("event=finished") && log.contains("result=refused") && log.contains("was not started")
            );
            assert!(!log.contains("event=started"), "{log}");
            late += 1;
        } else {
            assert_eq!((record.result, test_gateway.runs().len()), (Some(RunResult::Exit(0)), runs + 1), "{log}");
        }
        assert!(test_gateway.deliver(&request).refused("duplicate"));
    }
    late
}
