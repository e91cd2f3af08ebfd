//! What every backend must keep, as one test for each item of the module's list. A new backend adds a line to `backends`.

#![cfg(test)]

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::{Ledger, LedgerError, Lockout, Record, Sqlite, State};
use crate::config::{Span, Trusted};
use crate::patience::Patience;
use crate::protocol::{RequestName, RunResult, Timestamp, UserName};
use crate::reply::Reply;

fn open(folder: &Path) -> Result<Sqlite, LedgerError> {
    Sqlite::open(&folder.join("ledger.db"), Trusted::caller(), Patience::USUAL.page)
}

fn made() -> (tempfile::TempDir, Sqlite) {
    let folder = tempfile::tempdir().expect("a folder");
    Sqlite::init(&folder.path().join("ledger.db"), Trusted::caller(), None).expect("a ledger");
    let ledger = open(folder.path()).expect("the ledger");
    (folder, ledger)
}

fn name(n: u8) -> RequestName {
    RequestName::from_bytes([n; 32])
}

fn alice() -> UserName {
    UserName::try_from("alice").expect("a name")
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

fn record(n: u8, seen: i64) -> Record {
    Record {
        name: name(n),
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
        reply: Some(Reply { to: "a@x".to_owned(), message: b"bytes\xff".to_vec() }),
        handed_over: None,
        queue_id: Some("4XY".to_owned()),
        audit_lost: 2,
        holds_until: None,
    }
}

fn write(ledger: &mut dyn Ledger, record: &Record) -> Result<(), LedgerError> {
    let mut page = ledger.page(&record.name, &alice())?;
    page.insert(record)?;
    page.commit()
}

fn read(ledger: &mut dyn Ledger, n: u8) -> Option<Record> {
    ledger.page(&name(n), &alice()).expect("a page").record().expect("read")
}

/// Items 1 and 2.
#[test]
fn a_page_is_kept_when_committed_and_otherwise_never_was() {
    let (folder, mut ledger) = made();
    let written = record(1, 1000);
    let mut page = ledger.page(&name(1), &alice()).expect("a page");
    page.insert(&written).expect("written");
    page.set_lockout(&Lockout { until: at(5), told: false, counted_to: at(1) }).expect("written");
    drop(page);
    assert_eq!(read(&mut ledger, 1), None);
    write(&mut ledger, &written).expect("committed");
    let mut again = open(folder.path()).expect("the ledger");
    assert_eq!(read(&mut again, 1), Some(written));
    assert_eq!(again.page(&name(1), &alice()).expect("a page").lockout().expect("read"), None);
}

/// Item 1: what one page counts, the next one sees.
#[test]
fn pages_take_turns() {
    let (folder, _ledger) = made();
    let highest = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for n in 0..16 {
            let (folder, highest) = (folder.path(), &highest);
            scope.spawn(move || {
                let mut ledger = open(folder).expect("the ledger");
                let mut page = ledger.page(&name(n), &alice()).expect("a page");
                let before = page.wrong_codes(at(0), at(2000)).expect("a count");
                highest.fetch_max(before, Ordering::Relaxed);
                let wrong = Record {
                    reason: Some("bad-code".to_owned()),
                    state: State::Refused,
                    step: None,
                    ..record(n, 1000)
                };
                page.insert(&wrong).expect("written");
                page.commit().expect("committed");
            });
        }
    });
    assert_eq!(highest.into_inner(), 15, "every page saw all that came before it");
}

/// Item 3.
#[test]
fn a_step_serves_once() {
    let (_folder, mut ledger) = made();
    write(&mut ledger, &record(1, 1000)).expect("committed");
    let other = Record { step: Some(1), ..record(2, 1000) };
    assert!(write(&mut ledger, &other).is_err(), "even if nobody asked first");
    let page = ledger.page(&name(2), &alice()).expect("a page");
    assert!(page.is_step_used(1).expect("read"));
    assert!(!page.is_step_used(2).expect("read"));
    drop(page);
    let mut page = ledger.page(&name(1), &alice()).expect("a page");
    page.update(&Record { step: None, ..record(1, 1000) }).expect("written");
    assert!(page.is_step_used(1).expect("read"), "a step that was used stays used");
    drop(page);
    let bob = UserName::try_from("bob").expect("a name");
    assert!(!ledger.page(&name(2), &bob).expect("a page").is_step_used(1).expect("read"), "steps are each user's own");
}

/// Item 4.
#[test]
fn a_claim_is_one_holders() {
    let (folder, mut ledger) = made();
    let other = open(folder.path()).expect("the ledger");
    let claim = ledger.claim(&name(1)).expect("asked").expect("claimed");
    assert!(other.claim(&name(1)).expect("asked").is_none());
    assert!(other.claim(&name(2)).expect("asked").is_some());
    write(&mut ledger, &Record { holds_until: Some(at(500)), ..record(1, 100) }).expect("committed");
    let asked_by = |ledger: &mut Sqlite, n, now| {
        let page = ledger.page(&name(n), &alice()).expect("a page");
        page.slots("restart").expect("read").iter().any(|slot| slot.is_busy(at(now), Duration::from_mins(10)))
    };
    let busy = |ledger: &mut Sqlite, now| asked_by(ledger, 3, now);
    assert!(!asked_by(&mut ledger, 1, 499), "nobody is in his own way");
    assert!(busy(&mut ledger, 1000), "its holder lives");
    drop(claim);
    assert!(!busy(&mut ledger, 1000), "its holder is gone and its time over");
    assert!(busy(&mut ledger, 499), "its holder is gone, but what it started may not be");
    assert!(!busy(&mut ledger, -200), "no run lasts that long: the clock was wrong when it began");
    write(&mut ledger, &record(2, 100)).expect("committed");
    assert!(busy(&mut ledger, 499), "another request of the same command changes nothing");
    let mut page = ledger.page(&name(1), &alice()).expect("a page");
    page.update(&record(1, 100)).expect("freed");
    page.commit().expect("committed");
    assert!(!busy(&mut ledger, 499), "the holder frees it");
    assert!(other.claim(&name(1)).expect("asked").is_some());
}

/// Item 5.
#[test]
fn pruning_forgets_little_and_nothing_that_could_come_back() {
    let (_folder, mut ledger) = made();
    let day = 86_400;
    let retention = Span::seconds(7 * 86_400);
    for n in 0..30 {
        let handed_over = Some(at(1000 + i64::from(n)));
        write(&mut ledger, &Record { handed_over, ..record(n, 1000 + i64::from(n)) }).expect("committed");
    }
    let unanswered = record(100, 900);
    write(&mut ledger, &unanswered).expect("committed");
    let future = Record { handed_over: Some(at(2000)), signed: at(100 * day), ..record(101, 900) };
    write(&mut ledger, &future).expect("committed");
    let floor = |ledger: &mut Sqlite| {
        ledger.page(&name(200), &alice()).expect("a page").floor().expect("read").map(Timestamp::seconds)
    };
    ledger.close_case(&name(200), at(6 * day), 0, retention).expect("closed");
    assert_eq!((floor(&mut ledger), read(&mut ledger, 0).is_some()), (None, true), "nothing is old enough");
    ledger.close_case(&name(200), at(8 * day), 0, retention).expect("closed");
    assert_eq!(floor(&mut ledger), Some(1019 - 5), "the newest signed time among the twenty oldest");
    assert_eq!((read(&mut ledger, 19).is_some(), read(&mut ledger, 20).is_some()), (false, true), "a few at a time");
    ledger.close_case(&name(200), at(8 * day), 0, retention).expect("closed");
    assert_eq!(floor(&mut ledger), Some(1029 - 5));
    assert!(read(&mut ledger, 100).is_some(), "nobody has been answered");
    assert!(read(&mut ledger, 101).is_some(), "its signed time is yet to come; the floor must not rise to it");
}

/// Item 6.
#[test]
fn opening_makes_nothing_and_touches_nothing_foreign() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ledger.db");
    assert!(matches!(open(folder.path()), Err(LedgerError::Missing(_))));
    assert!(!path.exists());
    let foreign = rusqlite::Connection::open(&path).expect("a database");
    foreign.execute_batch("CREATE TABLE x (y)").expect("a table");
    assert!(matches!(open(folder.path()), Err(LedgerError::Foreign(_))));
    assert!(matches!(Sqlite::init(&path, Trusted::caller(), None), Err(LedgerError::Foreign(_))));
    let (folder, ledger) = made();
    drop(ledger);
    Sqlite::init(&folder.path().join("ledger.db"), Trusted::caller(), None).expect("making it again is no harm");
    let newer = rusqlite::Connection::open(folder.path().join("ledger.db")).expect("the database");
    newer.pragma_update(None, "user_version", 99).expect("set");
    assert!(matches!(open(folder.path()), Err(LedgerError::Newer(99))));
}

#[test]
fn a_case_is_closed_once_and_found_by_its_owner() {
    let (_folder, mut ledger) = made();
    write(&mut ledger, &record(1, 1000)).expect("committed");
    write(&mut ledger, &record(2, 1001)).expect("committed");
    ledger.close_case(&name(1), at(1500), 5, Span::seconds(86_400)).expect("closed");
    ledger.close_case(&name(1), at(1600), 0, Span::seconds(86_400)).expect("closed");
    let closed = read(&mut ledger, 1).expect("a record");
    assert_eq!((closed.handed_over, closed.audit_lost), (Some(at(1500)), 5));
    ledger.close_case(&name(2), at(1500), 0, Span::seconds(86_400)).expect("closed");
    let resumed = read(&mut ledger, 2).expect("a record").audit_lost;
    assert_eq!(resumed, 2, "a later delivery that loses nothing does not unsay what an earlier one lost");
    let found = |user: &UserName, except, short| {
        ledger.look_up(user, &name(except), short).expect("read").map(|record| record.name)
    };
    assert_eq!(found(&alice(), 9, None), Some(name(2)), "the latest");
    assert_eq!(found(&alice(), 2, None), Some(name(1)), "but the one that asks");
    assert_eq!(found(&alice(), 9, Some(&[1; 6])), Some(name(1)));
    assert_eq!(found(&alice(), 9, Some(&[7; 6])), None);
    let bob = UserName::try_from("bob").expect("a name");
    assert_eq!((found(&bob, 9, None), found(&bob, 9, Some(&[1; 6]))), (None, None), "each sees his own");
}

#[test]
fn the_latest_request_is_found_whether_it_used_a_step_or_not() {
    let (_folder, mut ledger) = made();
    for (n, uses_step) in [(1, true), (2, false), (3, true)] {
        let record = record(n, 1000 + i64::from(n));
        let step = record.step.filter(|_| uses_step);
        write(&mut ledger, &Record { step, ..record }).expect("committed");
        let found = ledger.look_up(&alice(), &name(9), None).expect("read");
        assert_eq!(found.map(|record| record.name), Some(name(n)));
    }
}

#[test]
fn two_hundred_wait_their_turn() {
    let (folder, mut ledger) = made();
    let page = ledger.page(&name(1), &alice()).expect("a page");
    let waiter = std::thread::scope(|scope| {
        let waiter = scope.spawn(|| open(folder.path()).expect("the ledger").page(&name(2), &alice()).map(|_| ()));
        std::thread::sleep(Duration::from_millis(50));
        drop(page);
        waiter.join().expect("a thread")
    });
    assert!(waiter.is_ok());
}
