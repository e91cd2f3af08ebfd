//! What sysadmins ask: the same answers from each backend.

use std::time::Duration;

use super::backend::Backend;
use super::{alice, at, id, record, write};
use crate::ledger::{Counter, Counts, Examined, Filter, LedgerQueries, Lockout, Record, Series, State};
use crate::protocol::UserName;

pub(super) fn what_sysadmins_ask_is_answered_alike(backend: &dyn Backend) {
    let mut ledger = backend.open();
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
    assert_eq!(listed(&Filter { state: Some(State::Finished), limit: Some(2), ..Filter::default() }), [5, 4]);
    assert_eq!(listed(&Filter { state: Some(State::Started), ..Filter::default() }), [0_u8; 0]);
    assert_eq!(listed(&Filter { user: Some(alice()), limit: Some(2), ..Filter::default() }), [6, 5]);
    assert_eq!(listed(&Filter { command: Some("restart".to_owned()), limit: Some(1), ..Filter::default() }), [6]);
    assert_eq!(listed(&Filter { unsent: true, limit: Some(2), ..Filter::default() }), [2, 3], "the oldest first");
    assert_eq!(listed(&Filter { oldest_first: true, limit: Some(2), ..Filter::default() }), [1, 2]);
    assert_eq!(listed(&Filter { short: Some(vec![3]), ..Filter::default() }), [3]);
    let tally = ledger.tally(at(0)).expect("counts");
    assert_eq!((tally.requests, tally.locked_out, tally.oldest_open), (6, 0, Some(at(1002))));
    let health = ledger.health().expect("its state");
    assert_eq!((health.requests, health.span), (6, Some((at(1001), at(1006)))));
    let mut read = 0;
    let examined = ledger.examine(&mut |count| read = count).expect("an answer");
    assert_eq!(examined, Examined { requests: 6, damage: None });
    assert!(read == 6 || read == 0, "{read}");
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

/// Item 6.
pub(super) fn what_is_counted_is_there_after_the_commit_and_outlives_what_is_pruned(backend: &dyn Backend) {
    let mut ledger = backend.open();
    let value = |ledger: &dyn LedgerQueries, series: Series<'_>| {
        let words = series.to_string();
        let counters = ledger.tally(at(0)).expect("counters").counters;
        let found = counters.into_iter().find(|counter: &Counter| counter.words.join(" ") == words);
        found.map(|counter| counter.value)
    };
    let mut counts = Counts::default();
    counts.one(Series::Ended("refused", Some("bad-code")));
    counts.add(Series::Seconds, 7);
    for commits in [false, true, true] {
        let mut transaction = ledger.transaction(&id(1), &alice()).expect("a transaction");
        transaction.count(counts.clone(), at(1000));
        if commits {
            transaction.commit().expect("committed");
        }
    }
    assert_eq!(value(ledger.as_ref(), Series::Ended("refused", Some("bad-code"))), Some(2));
    assert_eq!(value(ledger.as_ref(), Series::Seconds), Some(14));
    assert_eq!(value(ledger.as_ref(), Series::Command("restart", "failed")), None);
    ledger.count(&counts, at(2000), Duration::from_secs(10)).expect("counted");
    let counters = ledger.tally(at(0)).expect("counters").counters;
    let seconds = counters.iter().find(|counter| counter.words == ["seconds"]).expect("a counter");
    assert_eq!((seconds.value, seconds.since), (21, Some(at(1000))), "it is counted since the first time");
    for n in 0..3 {
        write(ledger.as_mut(), &record(n, 1000 + i64::from(n))).expect("committed");
    }
    for _ in 0..2 {
        ledger.mark_replied(&id(1), at(1500), 0, Duration::from_secs(10)).expect("marked");
    }
    assert_eq!(value(ledger.as_ref(), Series::Replied), Some(1), "a reply is counted once");
    assert_eq!(ledger.prune(at(86_400), 20, at(200 * 86_400)).expect("pruned"), 1);
    assert_eq!(value(ledger.as_ref(), Series::Recorded), Some(3));
    assert_eq!(value(ledger.as_ref(), Series::Pruned), Some(1));
    assert_eq!(ledger.health().expect("its state").requests, 2);
    assert_eq!(ledger.examine(&mut |_| {}).expect("an answer").requests, 2);
}
