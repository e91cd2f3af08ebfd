//! What every backend must guarantee, as one test for each item of the module's list. Each test runs on each backend,
//! in a module that is named like it; a new backend adds a [`Backend`].

#![cfg(test)]

mod approval;
mod backend;
mod chain;
mod file;
mod queries;
mod reply;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use super::{Ledger, LedgerError, Lockout, Record, State, StoredReply};
use crate::protocol::{RequestId, RunResult, Timestamp, UserName};

use approval::{
    a_pending_request_is_claimed_once, what_is_asked_and_voted_is_kept,
    what_is_pending_is_listed_and_pruned_with_its_request,
};
use backend::{Backend, PostgresBackend, SqliteBackend};
use chain::{
    a_frozen_ledger_shows_one_moment, each_event_follows_from_the_one_before, pruning_leaves_a_checkpoint,
    there_is_one_head_for_all,
};
use queries::{
    what_is_counted_is_there_after_the_commit_and_outlives_what_is_pruned, what_sysadmins_ask_is_answered_alike,
};
use reply::a_reply_is_replaced_by_another_form_of_it_alone;

/// Runs each test on each backend.
macro_rules! contract {
    ($($test:ident)*) => {
        mod sqlite {
            $(#[test]
            fn $test() {
                super::$test(&super::SqliteBackend::new());
            })*
        }

        mod postgres {
            $(#[test]
            fn $test() {
                super::$test(&super::PostgresBackend::new());
            })*
        }
    };
}

contract! {
    a_transaction_is_kept_when_committed_and_otherwise_never_was
    transactions_exclude_each_other
    a_step_serves_once
    a_request_lock_has_one_holder
    pruning_removes_little_and_nothing_that_could_come_back
    a_record_is_closed_once_and_found_by_its_user
    a_reply_is_replaced_by_another_form_of_it_alone
    a_change_of_the_period_does_not_change_which_request_is_the_latest
    the_latest_request_is_found_whether_it_used_a_step_or_not
    a_transaction_waits_for_the_one_before
    a_transaction_that_waits_too_long_is_an_error
    what_sysadmins_ask_is_answered_alike
    what_is_counted_is_there_after_the_commit_and_outlives_what_is_pruned
    what_is_asked_and_voted_is_kept
    a_pending_request_is_claimed_once
    what_is_pending_is_listed_and_pruned_with_its_request
    each_event_follows_from_the_one_before
    there_is_one_head_for_all
    pruning_leaves_a_checkpoint
    a_frozen_ledger_shows_one_moment
}

fn id(n: u8) -> RequestId {
    RequestId::from_bytes([n; 32])
}

fn alice() -> UserName {
    UserName::try_from("alice").expect("a name")
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

/// The time of a pruning in these tests.
fn now() -> Timestamp {
    at(200 * 86_400)
}

fn record(n: u8, seen: i64) -> Record {
    Record {
        id: id(n),
        user: "alice".to_owned(),
        command: "restart".to_owned(),
        arguments: "service=nginx\nnote=a b".to_owned(),
        signed: at(seen - 5),
        first_seen: at(seen),
        state: State::Finished,
        reason: None,
        step: Some(u64::from(n)),
        run_as: Some("root".to_owned()),
        argv: Some("/bin/x\na".to_owned()),
        started: Some(at(seen)),
        finished: Some(at(seen + 1)),
        result: Some(RunResult::Exit(3)),
        reply: Some(StoredReply::finished("a@x".to_owned(), b"bytes\xff".to_vec())),
        replied: None,
        queue_id: Some("4XY".to_owned()),
        audit_lost: 2,
        holds_until: None,
    }
}

fn write(ledger: &mut dyn Ledger, record: &Record) -> Result<(), LedgerError> {
    let mut transaction = ledger.transaction(&record.id, &alice())?;
    transaction.insert(record)?;
    transaction.commit()
}

fn read(ledger: &mut dyn Ledger, n: u8) -> Option<Record> {
    ledger.transaction(&id(n), &alice()).expect("a transaction").record().expect("read")
}

/// Items 1 and 2.
fn a_transaction_is_kept_when_committed_and_otherwise_never_was(backend: &dyn Backend) {
    let mut ledger = backend.open();
    let written = record(1, 1000);
    let mut transaction = ledger.transaction(&id(1), &alice()).expect("a transaction");
    transaction.insert(&written).expect("written");
    transaction.set_lockout(&Lockout { until: at(5), told: false, counted_to: at(1) }).expect("written");
    drop(transaction);
    assert_eq!(read(ledger.as_mut(), 1), None);
    write(ledger.as_mut(), &written).expect("committed");
    let mut again = backend.open();
    assert_eq!(read(again.as_mut(), 1), Some(written));
    assert_eq!(again.transaction(&id(1), &alice()).expect("a transaction").lockout().expect("read"), None);
}

/// Item 1: what one transaction counts, the next one sees.
fn transactions_exclude_each_other(backend: &dyn Backend) {
    let highest = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for n in 0..16 {
            let highest = &highest;
            scope.spawn(move || {
                let mut ledger = backend.open();
                let mut transaction = ledger.transaction(&id(n), &alice()).expect("a transaction");
                let before = transaction.wrong_codes(at(0), at(2000)).expect("a count");
                highest.fetch_max(before, Ordering::Relaxed);
                let wrong = Record {
                    reason: Some("bad-code".to_owned()),
                    state: State::Refused,
                    step: None,
                    ..record(n, 1000)
                };
                transaction.insert(&wrong).expect("written");
                transaction.commit().expect("committed");
            });
        }
    });
    assert_eq!(highest.into_inner(), 15, "every transaction saw all that came before it");
}

/// Item 3.
fn a_step_serves_once(backend: &dyn Backend) {
    let mut ledger = backend.open();
    write(ledger.as_mut(), &record(1, 1000)).expect("committed");
    let other = Record { step: Some(1), ..record(2, 1000) };
    assert!(
        matches!(write(ledger.as_mut(), &other), Err(LedgerError::Backend(_) | LedgerError::Taken)),
        "even without a check first"
    );
    let transaction = ledger.transaction(&id(2), &alice()).expect("a transaction");
    assert!(transaction.is_step_used(1).expect("read"));
    assert!(!transaction.is_step_used(2).expect("read"));
    drop(transaction);
    let mut transaction = ledger.transaction(&id(1), &alice()).expect("a transaction");
    transaction.update(&Record { step: None, ..record(1, 1000) }).expect("written");
    assert!(transaction.is_step_used(1).expect("read"), "a step that was used stays used");
    drop(transaction);
    let bob = UserName::try_from("bob").expect("a name");
    assert!(
        !ledger.transaction(&id(2), &bob).expect("a transaction").is_step_used(1).expect("read"),
        "each user has their own steps"
    );
}

/// Item 4.
fn a_request_lock_has_one_holder(backend: &dyn Backend) {
    let mut ledger = backend.open();
    let other = backend.open();
    let lock = ledger.lock(&id(1)).expect("an answer").expect("a lock");
    assert!(other.lock(&id(1)).expect("asked").is_none());
    assert!(other.lock(&id(2)).expect("asked").is_some());
    write(ledger.as_mut(), &Record { holds_until: Some(at(500)), ..record(1, 100) }).expect("committed");
    let asked_by = |ledger: &mut dyn Ledger, n, now| {
        let transaction = ledger.transaction(&id(n), &alice()).expect("a transaction");
        transaction
            .exclusive_holds("restart", at(now))
            .expect("read")
            .iter()
            .any(|hold| hold.is_busy(at(now), Duration::from_mins(10)))
    };
    let busy = |ledger: &mut dyn Ledger, now| asked_by(ledger, 3, now);
    assert!(!asked_by(ledger.as_mut(), 1, 499), "no request waits for itself");
    assert!(busy(ledger.as_mut(), 1000), "its holder is alive");
    drop(lock);
    assert!(busy(ledger.as_mut(), 499), "its holder is gone, but what it started may not be");
    ledger.mark_replied(&id(1), at(450), 0, Duration::from_secs(10)).expect("marked");
    assert!(busy(ledger.as_mut(), 499), "nor was it over when the user was told that nothing is known");
    write(ledger.as_mut(), &record(2, 100)).expect("committed");
    assert!(busy(ledger.as_mut(), 499), "another request of the same command changes nothing");
    backend.pass(Duration::from_secs(500));
    assert!(!busy(ledger.as_mut(), 1000), "its holder is gone and its time over");
    write(ledger.as_mut(), &Record { holds_until: Some(at(1500)), ..record(4, 1000) }).expect("committed");
    assert!(busy(ledger.as_mut(), 1001));
    let mut transaction = ledger.transaction(&id(4), &alice()).expect("a transaction");
    transaction.update(&record(4, 1000)).expect("freed");
    transaction.commit().expect("committed");
    assert!(!busy(ledger.as_mut(), 1001), "the holder frees it");
    assert!(other.lock(&id(1)).expect("asked").is_some());
}

/// Item 5.
fn pruning_removes_little_and_nothing_that_could_come_back(backend: &dyn Backend) {
    let mut ledger = backend.open();
    let day = 86_400;
    for n in 0..30 {
        let replied = Some(at(1000 + i64::from(n)));
        write(ledger.as_mut(), &Record { replied, ..record(n, 1000 + i64::from(n)) }).expect("committed");
    }
    let unanswered = record(100, 900);
    write(ledger.as_mut(), &unanswered).expect("committed");
    let future = Record { replied: Some(at(2000)), signed: at(100 * day), ..record(101, 900) };
    write(ledger.as_mut(), &future).expect("committed");
    let watermark = |ledger: &mut dyn Ledger| {
        ledger
            .transaction(&id(200), &alice())
            .expect("a transaction")
            .watermark()
            .expect("read")
            .map(Timestamp::seconds)
    };
    ledger.prune(at(-day), 20, now()).expect("pruned");
    assert_eq!((watermark(ledger.as_mut()), read(ledger.as_mut(), 0).is_some()), (None, true), "nothing is old enough");
    ledger.prune(at(day), 20, now()).expect("pruned");
    assert_eq!(watermark(ledger.as_mut()), Some(1019 - 5), "the newest signed time among the twenty oldest");
    assert_eq!(
        (read(ledger.as_mut(), 19).is_some(), read(ledger.as_mut(), 20).is_some()),
        (false, true),
        "a few at a time"
    );
    ledger.prune(at(day), 20, now()).expect("pruned");
    assert_eq!(watermark(ledger.as_mut()), Some(1029 - 5));
    assert!(read(ledger.as_mut(), 100).is_some(), "it has no reply yet");
    assert!(
        read(ledger.as_mut(), 101).is_some(),
        "its signed time is in the future; the watermark must not rise to it"
    );
}

fn a_record_is_closed_once_and_found_by_its_user(backend: &dyn Backend) {
    let mut ledger = backend.open();
    write(ledger.as_mut(), &record(1, 1000)).expect("committed");
    write(ledger.as_mut(), &record(2, 1001)).expect("committed");
    ledger.mark_replied(&id(1), at(1500), 5, Duration::from_secs(10)).expect("closed");
    ledger.mark_replied(&id(1), at(1600), 0, Duration::from_secs(10)).expect("closed");
    let closed = read(ledger.as_mut(), 1).expect("a record");
    assert_eq!((closed.replied, closed.audit_lost), (Some(at(1500)), 5));
    ledger.mark_replied(&id(2), at(1500), 0, Duration::from_secs(10)).expect("closed");
    let resumed = read(ledger.as_mut(), 2).expect("a record").audit_lost;
    assert_eq!(resumed, 2, "a later delivery that loses nothing does not clear what an earlier one lost");
    let found = |user: &UserName, except, short| {
        ledger.look_up(user, &id(except), short).expect("read").map(|record| record.id)
    };
    assert_eq!(found(&alice(), 9, None), Some(id(2)), "the latest");
    assert_eq!(found(&alice(), 2, None), Some(id(1)), "except the request itself");
    assert_eq!(found(&alice(), 9, Some(&[1; 6])), Some(id(1)));
    assert_eq!(found(&alice(), 9, Some(&[7; 6])), None);
    let bob = UserName::try_from("bob").expect("a name");
    assert_eq!(
        (found(&bob, 9, None), found(&bob, 9, Some(&[1; 6]))),
        (None, None),
        "each user sees only their own requests"
    );
}

fn a_change_of_the_period_does_not_change_which_request_is_the_latest(backend: &dyn Backend) {
    let mut ledger = backend.open();
    write(ledger.as_mut(), &Record { step: Some(60_000_000), ..record(1, 1000) }).expect("committed");
    write(ledger.as_mut(), &Record { step: Some(30_000_000), ..record(2, 1001) }).expect("committed");
    let found = ledger.look_up(&alice(), &id(9), None).expect("read");
    assert_eq!(found.map(|record| record.id), Some(id(2)));
    write(ledger.as_mut(), &Record { step: None, reason: Some("bad-code".to_owned()), ..record(3, 1002) })
        .expect("committed");
    let transaction = ledger.transaction(&id(9), &alice()).expect("a transaction");
    let newest = |since, most| transaction.newest(at(since), at(1002), most).expect("read");
    assert_eq!(newest(0, 9), [Some("bad-code".to_owned()), None, None], "the newest first");
    assert_eq!((newest(1000, 9).len(), newest(0, 2).len()), (2, 2));
}

fn the_latest_request_is_found_whether_it_used_a_step_or_not(backend: &dyn Backend) {
    let mut ledger = backend.open();
    for (n, uses_step) in [(1, true), (2, false), (3, true)] {
        let record = record(n, 1000 + i64::from(n));
        let step = record.step.filter(|_| uses_step);
        write(ledger.as_mut(), &Record { step, ..record }).expect("committed");
        let found = ledger.look_up(&alice(), &id(9), None).expect("read");
        assert_eq!(found.map(|record| record.id), Some(id(n)));
    }
}

/// Item 1: a transaction waits for the one that is open, and begins when that has ended.
fn a_transaction_waits_for_the_one_before(backend: &dyn Backend) {
    let mut ledger = backend.open();
    let transaction = ledger.transaction(&id(1), &alice()).expect("a transaction");
    let has_ended = AtomicBool::new(false);
    let (about_to_begin, begins) = mpsc::channel();
    let begun_after = std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let mut other = backend.open();
            about_to_begin.send(()).expect("the other thread");
            let _second = other.transaction(&id(2), &alice()).expect("a transaction");
            has_ended.load(Ordering::SeqCst)
        });
        begins.recv().expect("the waiter");
        // Long enough for a transaction that does not wait to begin.
        std::thread::sleep(Duration::from_millis(50));
        has_ended.store(true, Ordering::SeqCst);
        drop(transaction);
        waiter.join().expect("a thread")
    });
    assert!(begun_after, "two transactions were open at the same time");
}

/// Item 1: a transaction that never gets its turn is an error, not a wait without end.
fn a_transaction_that_waits_too_long_is_an_error(backend: &dyn Backend) {
    let mut ledger = backend.open();
    let _open = ledger.transaction(&id(1), &alice()).expect("a transaction");
    // It must be opened in this time.
    let mut other = backend.open_within(Duration::from_secs(2)).expect("the ledger");
    let begun = other.transaction(&id(2), &alice());
    assert!(matches!(begun, Err(LedgerError::Backend(_) | LedgerError::Lost(_))));
}
