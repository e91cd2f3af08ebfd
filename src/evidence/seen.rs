//! What the chain says of each request. In: its events, the first first. Out: what its record must be.

use std::collections::{BTreeMap, HashMap};

use sha2::{Digest, Sha256};

use crate::ledger::{AuditEvent, EventKey, EventKind, Record, State, Vote};
use crate::protocol::{RequestId, Timestamp, without_seals};

/// What never changes of a request, or only with an event that has all of it.
const OWN: [EventKey; 7] = [
    EventKey::User,
    EventKey::Command,
    EventKey::Arguments,
    EventKey::Signed,
    EventKey::Step,
    EventKey::RunAs,
    EventKey::Argv,
];

/// The events of votes that count.
const VOTES: [EventKind; 4] = [EventKind::Approved, EventKind::Denied, EventKind::Withdrew, EventKind::Cancelled];

/// What the events say of one request.
#[derive(Debug, Default, Clone)]
pub(super) struct Seen {
    /// The digest of [`OWN`], from the newest event that has all of it.
    own: Option<[u8; 32]>,
    /// State, reason and result; `None` before an event that has them.
    end: Option<[String; 3]>,
    /// Whether a reply was sent, where the events say it.
    replied: Option<bool>,
    /// Whether the event is there with which it began to wait for approval: then all votes on it are, too.
    pub(super) was_asked: bool,
    /// The votes on it: each vote's own request, its user and its kind.
    votes: BTreeMap<RequestId, [String; 2]>,
    /// The number and the time of its newest event.
    pub(super) last: (u64, Option<Timestamp>),
    /// Whether its record is there.
    pub(super) has_record: bool,
}

/// All requests that events are about.
pub(super) type Requests = HashMap<RequestId, Seen>;

/// Takes in the event with this number.
pub(super) fn take(requests: &mut Requests, number: u64, event: &AuditEvent) {
    let last = (number, event.at());
    if let Some(id) = event.id(EventKey::Request) {
        let seen = requests.entry(id).or_default();
        seen.last = last;
        match event.kind() {
            Some(EventKind::Replied) => seen.replied = Some(true),
            kind => {
                seen.end = Some([EventKey::State, EventKey::Reason, EventKey::Result].map(|key| text(event, key)));
                seen.replied = Some(event.get(EventKey::Replied).is_some());
                seen.was_asked |= kind == Some(EventKind::Pending);
                if kind != Some(EventKind::Finished) {
                    seen.own = Some(own(event));
                }
            }
        }
    }
    if let Some((kind, vote)) = event.kind().filter(|kind| VOTES.contains(kind)).zip(event.id(EventKey::Request))
        && let Some(seen) = event.id(EventKey::About).and_then(|id| requests.get_mut(&id))
    {
        seen.votes.insert(vote, [text(event, EventKey::User), kind.word().to_owned()]);
    }
    if let (Some(id), Some(became)) = (event.id(EventKey::About), event.get(EventKey::Became))
        && became != State::Pending.word()
    {
        let seen = requests.entry(id).or_default();
        seen.last = last;
        // Whether its final reply was needed, the event does not say.
        seen.replied = None;
        let (reason, result) = match became {
            word if word == State::Started.word() => (String::new(), String::new()),
            word if word == State::Finished.word() => (text(event, EventKey::Reason), text(event, EventKey::Result)),
            word => (String::new(), word.to_owned()),
        };
        seen.end = Some([became.to_owned(), reason, result]);
    }
}

impl Seen {
    /// What differs in `record`; `None` where nothing does.
    pub(super) fn difference(&self, record: &Record) -> Option<&'static str> {
        let event = AuditEvent::of(EventKind::Started, record, record.first_seen);
        let end = [EventKey::State, EventKey::Reason, EventKey::Result].map(|key| text(&event, key));
        if self.own.is_some_and(|seen| seen != own(&event)) {
            return Some("its user, command, arguments, time, step, account or argument vector");
        }
        if self.end.as_ref().is_some_and(|seen| *seen != end) {
            return Some("its state, reason or result");
        }
        if self.replied.is_some_and(|seen| seen != record.is_closed()) {
            return Some("whether it was replied to");
        }
        None
    }

    /// Whether the votes on it in the ledger are those that the events say.
    pub(super) fn has_votes(&self, votes: &[Vote]) -> bool {
        let stored = |vote: &Vote| (vote.by, [vote.user.clone(), vote.kind.word().to_owned()]);
        self.votes == votes.iter().map(stored).collect()
    }

    /// Whether a pruning that removed what was older than `before` may have removed its record.
    pub(super) fn is_pruned_by(&self, (number, before): (u64, Timestamp)) -> bool {
        number > self.last.0 && self.replied != Some(false) && self.last.1.is_some_and(|at| at < before)
    }
}

fn text(event: &AuditEvent, key: EventKey) -> String {
    event.get(key).unwrap_or_default().to_owned()
}

fn own(event: &AuditEvent) -> [u8; 32] {
    let mut digest = Sha256::new();
    for key in OWN {
        // Until 2026-11-30 events had what is sealed, too.
        let value = without_seals(event.get(key).unwrap_or_default());
        digest.update(format!("{} {}\n", key.word(), value.len()));
        digest.update(value);
    }
    digest.finalize().into()
}
