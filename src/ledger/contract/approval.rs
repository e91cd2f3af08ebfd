//! Approvals, votes and notices: the same operations on each backend.

use std::time::Duration;

use super::backend::Backend;
use super::{alice, at, id, now, read, record, write};
use crate::ledger::{
    ApprovalRecord, Ledger, LedgerError, LedgerQueries, Notice, NoticeKind, PayloadRecord, Record, State, Story, Vote,
    VoteKind,
};
use crate::protocol::{PayloadDigest, RequestId, RunDigest, RunResult};

fn pending(n: u8) -> Record {
    Record {
        state: State::Pending,
        result: Some(RunResult::Pending),
        started: None,
        finished: None,
        replied: Some(at(1001)),
        ..record(n, 1000)
    }
}

fn approval(n: u8, until: i64) -> ApprovalRecord {
    ApprovalRecord {
        request: id(n),
        digest: RunDigest::from_bytes([n; 32]),
        until: at(until),
        needed: 2,
        host: "berlin1".to_owned(),
        reason: Some("a\"b \u{fc}".to_owned()),
        exception: None,
    }
}

fn notice(user: &str, kind: NoticeKind) -> Notice {
    Notice { user: user.to_owned(), kind, sent: None }
}

fn vote(by: u8, of: u8, kind: VoteKind) -> Vote {
    Vote { by: id(by), request: id(of), user: "carol".to_owned(), kind, at: at(1100), words: Some("no".to_owned()) }
}

fn ask(ledger: &mut dyn Ledger, n: u8, until: i64) {
    let mut transaction = ledger.transaction(&id(n), &alice()).expect("a transaction");
    transaction.insert(&pending(n)).expect("written");
    let payload = PayloadRecord { digest: PayloadDigest::of(b"x\0\xff"), size: 3, content: Some(b"x\0\xff".to_vec()) };
    transaction.insert_payload(&id(n), &payload).expect("written");
    transaction.insert_approval(&approval(n, until)).expect("written");
    for user in ["dave", "carol"] {
        transaction.insert_notice(&id(n), &notice(user, NoticeKind::Ask)).expect("written");
        transaction.insert_notice(&id(n), &notice(user, NoticeKind::Ask)).expect("twice is once");
    }
    transaction.commit().expect("committed");
}

/// What is asked, voted and told is kept, and found inside and outside a transaction.
pub(super) fn what_is_asked_and_voted_is_kept(backend: &dyn Backend) {
    let mut ledger = backend.open();
    ask(ledger.as_mut(), 1, 2000);
    let story = ledger.story(&id(1)).expect("read");
    assert_eq!(story.approval, Some(approval(1, 2000)));
    assert_eq!(story.payload.as_ref().and_then(|payload| payload.content.as_deref()), Some(b"x\0\xff".as_slice()));
    assert_eq!(story.notices, [notice("carol", NoticeKind::Ask), notice("dave", NoticeKind::Ask)]);
    assert_eq!(ledger.record(&id(1)).expect("read"), Some(pending(1)));
    assert_eq!((ledger.record(&id(7)).expect("read"), ledger.story(&id(7)).expect("read")), (None, Story::default()));
    for (n, kind) in [(2, VoteKind::Approve), (3, VoteKind::Withdraw), (4, VoteKind::Deny)] {
        let mut transaction = ledger.transaction(&id(n), &alice()).expect("a transaction");
        transaction.insert(&record(n, 1000)).expect("written");
        transaction.insert_vote(&vote(n, 1, kind)).expect("written");
        assert_eq!(transaction.voted_on(&id(n)).expect("read"), Some(id(1)));
        assert_eq!(transaction.voted_on(&id(1)).expect("read"), None);
        assert_eq!(transaction.record_of(&id(1)).expect("read"), Some(pending(1)));
        transaction.commit().expect("committed");
    }
    let mut again = backend.open();
    let votes = [vote(2, 1, VoteKind::Approve), vote(3, 1, VoteKind::Withdraw), vote(4, 1, VoteKind::Deny)];
    assert_eq!(again.story(&id(1)).expect("read").votes, votes, "in the order of recording");
    let mut transaction = again.transaction(&id(4), &alice()).expect("a transaction");
    assert!(transaction.insert_vote(&vote(4, 1, VoteKind::Approve)).is_err(), "one request is one vote");
    drop(transaction);
    again.mark_noticed(&id(1), &notice("carol", NoticeKind::Ask), at(1200), Duration::from_secs(10)).expect("marked");
    again.mark_noticed(&id(1), &notice("carol", NoticeKind::Ask), at(1300), Duration::from_secs(10)).expect("marked");
    let sent: Vec<_> = again.story(&id(1)).expect("read").notices.into_iter().map(|notice| notice.sent).collect();
    assert_eq!(sent, [Some(at(1200)), None]);
}

/// The run is claimed by one conditional update, whoever comes second.
pub(super) fn a_pending_request_is_claimed_once(backend: &dyn Backend) {
    let mut ledger = backend.open();
    ask(ledger.as_mut(), 1, 2000);
    let started = Record { state: State::Started, replied: None, reply: None, result: None, ..pending(1) };
    let claim = |ledger: &mut dyn LedgerQueries, n: u8, commits: bool| -> Result<bool, LedgerError> {
        let mut transaction = ledger.transaction(&id(n), &alice())?;
        transaction.insert(&record(n, 1000))?;
        let claimed = transaction.change(&started, State::Pending)?;
        if claimed {
            transaction.close_approval(&id(1))?;
        }
        if commits { transaction.commit().map(|()| claimed) } else { Ok(claimed) }
    };
    assert!(claim(ledger.as_mut(), 2, false).expect("changed"), "a delivery that dies has claimed nothing");
    assert_eq!(read(ledger.as_mut(), 1), Some(pending(1)));
    assert_eq!(ledger.pending(10).expect("a list").len(), 1);
    let claims: Vec<bool> = std::thread::scope(|scope| {
        let claim = &claim;
        let all: Vec<_> = (2..10u8)
            .map(|n| scope.spawn(move || claim(backend.open().as_mut(), n, true).expect("an answer")))
            .collect();
        all.into_iter().map(|one| one.join().expect("a thread")).collect()
    });
    assert_eq!(claims.iter().filter(|claimed| **claimed).count(), 1, "{claims:?}");
    assert_eq!(ledger.record(&id(1)).expect("read").map(|record| record.state), Some(State::Started));
    let story = ledger.story(&id(1)).expect("read");
    assert_eq!(story.payload.map(|payload| (payload.size, payload.content)), Some((3, None)), "its bytes are gone");
    assert!(ledger.pending(10).expect("a list").is_empty());
    // The delivery that has claimed it records its end; then it is closed like any other.
    let mut transaction = ledger.transaction(&id(20), &alice()).expect("a transaction");
    transaction.insert(&record(20, 1000)).expect("written");
    let finished = Record { replied: None, ..record(1, 1000) };
    assert!(transaction.change(&finished, State::Started).expect("changed"));
    assert!(!transaction.change(&finished, State::Started).expect("changed"), "once");
    transaction.commit().expect("committed");
    ledger.mark_replied(&id(1), at(1500), 0, Duration::from_secs(10)).expect("marked");
    assert_eq!(ledger.record(&id(1)).expect("read").and_then(|record| record.replied), Some(at(1500)));
}

/// The list has what is pending, the first to lapse first, and each request's own lists go with it.
pub(super) fn what_is_pending_is_listed_and_pruned_with_its_request(backend: &dyn Backend) {
    let mut ledger = backend.open();
    for (n, until) in [(1, 3000), (2, 2000), (3, 4000)] {
        ask(ledger.as_mut(), n, until);
    }
    let mut transaction = ledger.transaction(&id(9), &alice()).expect("a transaction");
    transaction.insert(&record(9, 1000)).expect("written");
    let exception = ApprovalRecord { exception: Some("breakglass".to_owned()), ..approval(9, 2500) };
    transaction.insert_approval(&exception).expect("written");
    transaction.commit().expect("committed");
    let listed = |ledger: &dyn LedgerQueries, most| -> Vec<RequestId> {
        ledger.pending(most).expect("a list").into_iter().map(|record| record.id).collect()
    };
    assert_eq!(listed(ledger.as_ref(), 10), [id(2), id(1), id(3)]);
    assert_eq!(listed(ledger.as_ref(), 1), [id(2)]);
    let mut transaction = ledger.transaction(&id(10), &alice()).expect("a transaction");
    transaction.insert(&record(10, 1000)).expect("written");
    transaction.insert_vote(&vote(10, 2, VoteKind::Deny)).expect("written");
    let denied = Record { state: State::Denied, result: Some(RunResult::Denied), ..pending(2) };
    assert!(transaction.change(&denied, State::Pending).expect("changed"));
    transaction.close_approval(&id(2)).expect("closed");
    transaction.commit().expect("committed");
    assert_eq!(listed(ledger.as_ref(), 10), [id(1), id(3)]);
    assert_eq!(ledger.story(&id(2)).expect("read").votes.len(), 1);
    assert_eq!(ledger.prune(at(1_000_000), 20, now()).expect("pruned"), 3, "three were replied to");
    assert_eq!(ledger.story(&id(2)).expect("read"), Story::default());
    assert_eq!(ledger.story(&id(9)).expect("read").approval, Some(exception));
    wrong_votes_are_none(ledger.as_mut());
}

/// A vote on a request that is not recorded changes nothing.
fn wrong_votes_are_none(ledger: &mut dyn LedgerQueries) {
    let mut transaction = ledger.transaction(&id(30), &alice()).expect("a transaction");
    transaction.insert(&record(30, 1000)).expect("written");
    assert!(!transaction.change(&pending(31), State::Pending).expect("changed"), "there is no such request");
    drop(transaction);
    write(ledger, &record(30, 1000)).expect("committed");
}
