//! The audit chain: the same on each backend.

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::backend::Backend;
use super::{alice, at, id, now, record};
use crate::ledger::{
    AuditEvent, ChainPoint, ChainRow, EventKey, EventKind, Ledger, LedgerError, LedgerQueries, Record,
};

/// All events, read by another opening.
fn events(backend: &dyn Backend) -> Vec<ChainRow> {
    let mut rows = Vec::new();
    let mut each = |row| {
        rows.push(row);
        Ok(())
    };
    backend.open().events(0, &mut each).expect("the events");
    rows
}

/// Writes a record with its event.
fn write(ledger: &mut dyn Ledger, record: &Record) -> Result<ChainPoint, LedgerError> {
    let mut transaction = ledger.transaction(&record.id, &alice())?;
    let point = transaction.append(&AuditEvent::of(EventKind::Started, record, record.first_seen))?;
    transaction.insert(record)?;
    transaction.commit()?;
    Ok(point)
}

/// Each head follows from the one before it, computed here from the rules of docs/audit.md.
fn assert_whole(mut number: u64, mut head: [u8; 32], rows: &[ChainRow]) {
    for row in rows {
        number += 1;
        head = Sha256::digest([&head[..], row.event.as_bytes()].concat()).into();
        assert_eq!((row.number, row.head.as_bytes()), (number, &head), "{}", row.event);
        let event = AuditEvent::parse(&row.event).expect("the canonical form");
        assert_eq!(event.at(), Some(row.at));
    }
}

fn beginning() -> [u8; 32] {
    Sha256::digest("mailsudo-audit-1\nberlin\n").into()
}

fn kinds(rows: &[ChainRow]) -> Vec<EventKind> {
    rows.iter().filter_map(|row| AuditEvent::parse(&row.event)?.kind()).collect()
}

/// Item 7: an event is there with what it is about, or not at all, and each follows from the one before it.
pub(super) fn each_event_follows_from_the_one_before(backend: &dyn Backend) {
    let mut ledger = backend.open();
    assert_eq!(events(backend), []);
    let mut transaction = ledger.transaction(&id(9), &alice()).expect("a transaction");
    transaction.append(&AuditEvent::of(EventKind::Started, &record(9, 900), at(900))).expect("taken");
    transaction.insert(&record(9, 900)).expect("written");
    drop(transaction);
    assert_eq!(events(backend), [], "what was not committed has no event");
    let point = write(ledger.as_mut(), &record(1, 1000)).expect("committed");
    let again = write(ledger.as_mut(), &record(1, 1000));
    assert!(again.is_err(), "a record that is not written has no event");
    ledger.mark_replied(&id(1), at(1500), 0, Duration::from_secs(10)).expect("marked");
    ledger.mark_replied(&id(1), at(1600), 0, Duration::from_secs(10)).expect("marked");
    ledger.mark_replied(&id(7), at(1600), 0, Duration::from_secs(10)).expect("there is no such request");
    let changed = AuditEvent::new(EventKind::Changed, at(1700)).with(EventKey::Change, "user disable \u{fc}\n--x");
    let last = ledger.append(&changed).expect("appended");
    let rows = events(backend);
    assert_eq!(kinds(&rows), [EventKind::Started, EventKind::Replied, EventKind::Changed]);
    assert_whole(0, beginning(), &rows);
    assert_eq!((rows[0].number, rows[0].head), (point.number, point.head));
    assert_eq!((rows[2].number, rows[2].head, &rows[2].event), (last.number, last.head, &changed.canonical()));
    let begins = ledger.checkpoint().expect("read").expect("a beginning");
    assert_eq!((begins.gateway.as_str(), begins.number, begins.head.as_bytes()), ("berlin", 0, &beginning()));
    assert_eq!(begins.until, None);
}

/// Items 1 and 7: however many deliveries there are at once, there is one head.
pub(super) fn there_is_one_head_for_all(backend: &dyn Backend) {
    std::thread::scope(|scope| {
        for n in 0..12 {
            scope.spawn(move || {
                let mut ledger = backend.open();
                write(ledger.as_mut(), &record(n, 1000 + i64::from(n))).expect("committed");
                ledger.mark_replied(&id(n), at(1500), 0, Duration::from_secs(10)).expect("marked");
            });
        }
    });
    let rows = events(backend);
    assert_eq!(rows.len(), 24);
    assert_whole(0, beginning(), &rows);
}

/// Items 5 and 7: pruning removes events from the beginning alone, up to the first that is not old, and says where the
/// chain begins then.
pub(super) fn pruning_leaves_a_checkpoint(backend: &dyn Backend) {
    let mut ledger = backend.open();
    let day = 86_400;
    for n in 0..4 {
        write(ledger.as_mut(), &record(n, 1000 + i64::from(n))).expect("committed");
        ledger.mark_replied(&id(n), at(2000), 0, Duration::from_secs(10)).expect("marked");
    }
    write(ledger.as_mut(), &record(10, 3 * day)).expect("committed");
    let kept = events(backend);
    assert_eq!(ledger.prune(at(-day), 20, now()).expect("pruned"), 0);
    assert_eq!(events(backend), kept, "nothing is old enough");
    assert_eq!(ledger.prune(at(2 * day), 20, now()).expect("pruned"), 4);
    let rows = events(backend);
    assert_eq!(kinds(&rows), [EventKind::Started, EventKind::Pruned]);
    let begins = ledger.checkpoint().expect("read").expect("a beginning");
    assert_eq!((begins.number, begins.head, begins.until), (8, kept[7].head, Some(at(2000))));
    assert_whole(8, *begins.head.as_bytes(), &rows);
    let pruned = AuditEvent::parse(&rows[1].event).expect("an event");
    let said = [EventKey::Requests, EventKey::Before, EventKey::Through, EventKey::Head].map(|key| pruned.get(key));
    assert_eq!(said, [Some("4"), Some("1970-01-03T00:00:00Z"), Some("8"), Some(kept[7].head.to_string().as_str())]);
    // All of it may go; the chain goes on from the checkpoint.
    ledger.mark_replied(&id(10), at(3 * day), 0, Duration::from_secs(10)).expect("marked");
    assert_eq!(ledger.prune(at(300 * day), 20, at(400 * day)).expect("pruned"), 1);
    let (rows, begins) = (events(backend), ledger.checkpoint().expect("read").expect("a beginning"));
    assert_eq!((kinds(&rows), begins.number), (vec![EventKind::Pruned], 11));
    assert_whole(11, *begins.head.as_bytes(), &rows);
}

/// What is read between the two is as it was at one moment.
pub(super) fn a_frozen_ledger_shows_one_moment(backend: &dyn Backend) {
    let (mut ledger, frozen) = (backend.open(), backend.open());
    write(ledger.as_mut(), &record(1, 1000)).expect("committed");
    let count = |ledger: &dyn LedgerQueries| {
        let mut count = 0;
        let mut each = |_| {
            count += 1;
            Ok(())
        };
        ledger.events(0, &mut each).expect("the events");
        count
    };
    frozen.freeze().expect("frozen");
    // PostgreSQL reads page by page, the last of which is empty.
    let mut seen = 0;
    let mut write_between = |_| {
        write(ledger.as_mut(), &record(2, 1001)).expect("others are not held up");
        seen += 1;
        Ok(())
    };
    frozen.events(0, &mut write_between).expect("the events");
    assert_eq!(seen, 1, "what is written between two pages does not show");
    assert_eq!((count(frozen.as_ref()), count(ledger.as_ref())), (1, 2));
    frozen.thaw().expect("it was one moment");
    assert_eq!(count(frozen.as_ref()), 2);
}
