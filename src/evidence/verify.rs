//! Whether a ledger's chain is whole, and whether its records are what the chain says. In: the ledger. Out:
//! [`Verified`].
//!
//! All of it is read as it was at one moment, while deliveries go on.

use std::collections::HashMap;
use std::fmt;

use super::seen::{Requests, Seen, take};
use crate::ledger::{
    AuditEvent, ChainPoint, ChainRow, Checkpoint, EventKey, EventKind, Filter, LedgerError, LedgerQueries, Record,
};
use crate::limits::{CHAIN_FAULTS, CLOCKS_APART, LEAST_RETENTION};
use crate::protocol::{ChainHead, GatewayName, RequestId, Timestamp};

/// Something that mailsudo has not written so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The first head is not that of the gateway that the ledger names.
    Beginning,
    /// Events up to this number are missing at the beginning, and no pruning in the chain has removed them.
    Checkpoint(u64),
    /// A pruning at this number removed what it never may.
    Pruning(u64),
    /// After this number comes another one than the next.
    Number(u64, u64),
    /// The event with this number does not lead from the head before it to its own head.
    Head(u64),
    /// The event with this number is not in its canonical form, or its time stands there otherwise than beside it.
    Form(u64),
    /// A request's record differs from what the events say.
    Record(RequestId, &'static str),
    /// Events are about this request, and its record is missing, and no pruning can have removed it.
    Missing(RequestId),
    /// So many requests have no event, and only so many may.
    Unrecorded(u64, u64),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Beginning => f.write_str("the chain does not begin with the name of its gateway"),
            Self::Checkpoint(number) => {
                write!(
                    f,
                    "the events up to {number} are missing, and no pruning in the chain says that it removed them"
                )
            }
            Self::Pruning(number) => write!(f, "event {number}: it says that it removed what was younger than 7 days"),
            Self::Number(before, found) => write!(f, "after event {before} comes event {found}: events are missing"),
            Self::Head(number) => write!(
                f,
                "event {number} does not follow from what stands before it: it, or its place, or an event before it was changed"
            ),
            Self::Form(number) => write!(f, "event {number} is not written as mailsudo writes it"),
            Self::Record(id, what) => write!(f, "request {}: the record differs from the events in {what}", id.short()),
            Self::Missing(id) => {
                write!(f, "request {}: there are events and no record, and no pruning removed it", id.short())
            }
            Self::Unrecorded(found, known) => {
                write!(f, "requests without an event: {found}; recorded before the chain: {known}")
            }
        }
    }
}

/// What was found.
#[derive(Debug)]
pub struct Verified {
    /// Where the chain begins; `None` where it has no event yet.
    pub checkpoint: Option<Checkpoint>,
    /// How many events were read.
    pub events: u64,
    /// The newest event; the beginning where there is none.
    pub last: Option<ChainPoint>,
    /// How many requests have no event, because they are older than the chain or than what pruning left of it.
    pub without_event: u64,
    /// What is wrong; at most [`CHAIN_FAULTS`].
    pub faults: Vec<Fault>,
    /// Each head with its event's number; the head before the first one too.
    pub(super) heads: HashMap<ChainHead, u64>,
}

/// Checks the whole chain, and each record against it. `now` is the time by the clock of who checks: nothing younger
/// than the least retention can have been pruned, whatever an event says of its own time.
///
/// # Errors
///
/// The ledger cannot be read.
pub fn verify(ledger: &dyn LedgerQueries, gateway: &GatewayName, now: Timestamp) -> Result<Verified, LedgerError> {
    ledger.freeze()?;
    let mut reader = Reader::new(ledger.checkpoint()?, gateway, now);
    reader.read(ledger)?;
    reader.compare(ledger)?;
    ledger.thaw()?;
    Ok(reader.end())
}

/// What was read so far.
struct Reader {
    checkpoint: Option<Checkpoint>,
    gateway: GatewayName,
    now: Timestamp,
    requests: Requests,
    number: u64,
    head: Option<ChainHead>,
    events: u64,
    heads: HashMap<ChainHead, u64>,
    /// The newest pruning: its event's number and `before`; and what it says of the checkpoint.
    pruned: Option<(u64, Timestamp)>,
    through: Option<(u64, ChainHead)>,
    migrated: u64,
    /// How many requests have no event; and how many of them pruning does not excuse.
    without_event: (u64, u64),
    faults: Vec<Fault>,
}

impl Reader {
    fn new(checkpoint: Option<Checkpoint>, gateway: &GatewayName, now: Timestamp) -> Self {
        let head = checkpoint.as_ref().map(|checkpoint| checkpoint.head);
        let number = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.number);
        Self {
            gateway: gateway.clone(),
            now,
            requests: Requests::new(),
            number,
            head,
            events: 0,
            heads: head.map(|head| (head, number)).into_iter().collect(),
            pruned: None,
            through: None,
            migrated: 0,
            without_event: (0, 0),
            faults: Vec::new(),
            checkpoint,
        }
    }

    fn fault(&mut self, fault: Fault) {
        if self.faults.len() < CHAIN_FAULTS && !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }

    fn read(&mut self, ledger: &dyn LedgerQueries) -> Result<(), LedgerError> {
        ledger.events(self.number, &mut |row| {
            self.take(&row);
            Ok(())
        })
    }

    fn take(&mut self, row: &ChainRow) {
        if row.number != self.number + 1 {
            self.fault(Fault::Number(self.number, row.number));
        }
        if self.head.is_none_or(|before| before.after(&row.event) != row.head) {
            self.fault(Fault::Head(row.number));
        }
        self.events += 1;
        self.number = row.number;
        // After a fault it goes on from what is there, so that each place is named once.
        self.head = Some(row.head);
        self.heads.insert(row.head, row.number);
        let Some(event) = AuditEvent::parse(&row.event).filter(|event| event.at() == Some(row.at)) else {
            self.fault(Fault::Form(row.number));
            return;
        };
        match event.kind() {
            Some(EventKind::Pruned) => self.take_pruning(row.number, &event),
            Some(EventKind::Migrated) => {
                let count = event.get(EventKey::Requests).and_then(|count| count.parse().ok());
                self.migrated = self.migrated.saturating_add(count.unwrap_or(0));
            }
            _ => take(&mut self.requests, row.number, &event),
        }
    }

    fn take_pruning(&mut self, number: u64, event: &AuditEvent) {
        let value = |key| event.get(key);
        let through = value(EventKey::Through).and_then(|through| through.parse().ok());
        let head = value(EventKey::Head).and_then(ChainHead::from_hex);
        let before = value(EventKey::Before).and_then(Timestamp::parse);
        match (before, event.at(), through.zip(head)) {
            (Some(before), Some(at), Some(through))
                if before.plus(LEAST_RETENTION) <= at.min(self.now.plus(CLOCKS_APART)) =>
            {
                self.pruned = Some((number, before));
                self.through = Some(through);
            }
            _ => self.fault(Fault::Pruning(number)),
        }
    }

    /// Compares each record with the events.
    fn compare(&mut self, ledger: &dyn LedgerQueries) -> Result<(), LedgerError> {
        ledger.list(&Filter::default(), &mut |record| {
            self.judge(&record);
            Ok(())
        })?;
        let was_asked = |(id, seen): (&RequestId, &Seen)| (seen.was_asked && seen.has_record).then_some(*id);
        for id in self.requests.iter().filter_map(was_asked).collect::<Vec<_>>() {
            let votes = ledger.story(&id)?.votes;
            if self.requests.get(&id).is_some_and(|seen| !seen.has_votes(&votes)) {
                self.fault(Fault::Record(id, "who voted on it, and how"));
            }
        }
        Ok(())
    }

    fn judge(&mut self, record: &Record) {
        let Some(seen) = self.requests.get_mut(&record.id) else {
            let until = self.checkpoint.as_ref().and_then(|checkpoint| checkpoint.until);
            self.without_event.0 += 1;
            self.without_event.1 += u64::from(until.is_none_or(|until| record.first_seen > until));
            return;
        };
        seen.has_record = true;
        if let Some(what) = seen.difference(record) {
            self.fault(Fault::Record(record.id, what));
        }
    }

    fn end(mut self) -> Verified {
        if let Some(begins) = &self.checkpoint
            && let Some(fault) = self.beginning(begins)
        {
            self.fault(fault);
        }
        let is_unexplained = |seen: &Seen| !seen.has_record && self.pruned.is_none_or(|by| !seen.is_pruned_by(by));
        let mut gone: Vec<_> = self
            .requests
            .iter()
            .filter(|(_, seen)| is_unexplained(seen))
            .map(|(id, seen)| (seen.last.0, *id))
            .collect();
        gone.sort_unstable();
        for (_, id) in gone {
            self.fault(Fault::Missing(id));
        }
        if self.without_event.1 > self.migrated {
            self.fault(Fault::Unrecorded(self.without_event.1, self.migrated));
        }
        Verified {
            last: self.head.map(|head| ChainPoint { number: self.number, head }),
            checkpoint: self.checkpoint,
            events: self.events,
            without_event: self.without_event.0,
            faults: self.faults,
            heads: self.heads,
        }
    }

    /// What is wrong with where the chain begins.
    fn beginning(&self, begins: &Checkpoint) -> Option<Fault> {
        if begins.number == 0 {
            let is_own = begins.head == ChainHead::first(&self.gateway);
            return (!is_own).then_some(Fault::Beginning);
        }
        // The newest pruning says where it has moved the beginning, and that it removed nothing younger than it may.
        let is_said = self.through == Some((begins.number, begins.head))
            && self.pruned.zip(begins.until).is_some_and(|((_, before), until)| until < before);
        (!is_said).then_some(Fault::Checkpoint(begins.number))
    }
}
