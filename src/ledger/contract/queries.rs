//! What sysadmins ask: the same answers from each backend.

use std::time::Duration;

use super::stand::Stand;
use super::{alice, at, id, record, write};
use crate::ledger::{Filter, Lockout, Record, State};
use crate::protocol::UserName;

pub(super) fn what_sysadmins_ask_is_answered_alike(stand: &dyn Stand) {
    let mut ledger = stand.open();
    assert_eq!(ledger.tally(at(0)).expect("counts").oldest_open, None);
    let health = ledger.health().expect("its state");
    assert_eq!((health.requests, health.span, health.watermark), (0, None, None));
    for n in 1..=5 {
        write(ledger.as_mut(), &record(n, 1000 + i64::from(n))).expect("committed");
    }
    let refused = Record {
        state: State::Refused,
        reason: Some("bad-code".to_owned()),
        step: None,
        started: None,
        user: "alice".to_owned(),
        ..record(6, 1006)
    };
    write(ledger.as_mut(), &refused).expect("committed");
    ledger.mark_replied(&id(1), at(1500), 0, Duration::from_secs(10)).expect("marked");
    let listed = |filter: &Filter| {
        let mut all = Vec::new();
        let mut each = |record: Record| {
            all.push(record.id.as_bytes()[0]);
            Ok(())
        };
        ledger.list(filter, &mut each).expect("a list");
        all
    };
    assert_eq!(listed(&Filter::default()), [6, 5, 4, 3, 2, 1], "the newest first");
    assert_eq!(listed(&Filter { limit: Some(2), ..Filter::default() }), [6, 5]);
    assert_eq!(listed(&Filter { state: Some(State::Refused), ..Filter::default() }), [6]);
    assert_eq!(listed(&Filter { since: Some(at(1002)), until: Some(at(1003)), ..Filter::default() }), [3, 2]);
    assert_eq!(listed(&Filter { user: UserName::try_from("bob").ok(), ..Filter::default() }), [0_u8; 0]);
    assert_eq!(listed(&Filter { command: Some("other".to_owned()), ..Filter::default() }), [0_u8; 0]);
    assert_eq!(ledger.find(&[4, 4]).expect("asked"), Some(record(4, 1004)));
    assert_eq!(ledger.find(&[9]).expect("asked"), None);
    let tally = ledger.tally(at(0)).expect("counts");
    assert_eq!(tally.states, [("finished".to_owned(), 5), ("refused".to_owned(), 1)]);
    assert_eq!(tally.reasons, [("bad-code".to_owned(), 1)]);
    assert_eq!((tally.durations, tally.ended), (vec![0, 5, 5, 5, 5, 5, 5, 5], (5, 5)));
    assert_eq!((tally.locked_out, tally.oldest_open), (0, Some(at(1002))));
    let health = ledger.health().expect("its state");
    assert_eq!((health.requests, health.span), (6, Some((at(1001), at(1006)))));
    assert_eq!(health.integrity, "ok");
    assert!(!ledger.unlock(&alice(), at(5)).expect("done"), "there was no lockout");
    let mut transaction = ledger.transaction(&id(7), &alice()).expect("a transaction");
    transaction.set_lockout(&Lockout { until: at(50), told: false, counted_to: at(1) }).expect("written");
    transaction.insert(&record(7, 1007)).expect("written");
    transaction.commit().expect("committed");
    assert_eq!(ledger.tally(at(10)).expect("counts").locked_out, 1);
    assert!(ledger.unlock(&alice(), at(20)).expect("done"), "there was one");
    assert_eq!(
        ledger.lockout(&alice()).expect("read"),
        Some(Lockout { until: at(20), told: true, counted_to: at(20) })
    );
}
