//! What another ledger knows, written into this one. In: its records, chain and marks. Out: the same here; what is here
//! already stays.
//!
//! MUST: each step is one transaction, so that a copy which was interrupted is continued by doing it again.

use std::time::Instant;

use super::begin::BEGIN;
use super::chain::{self, NewEvent};
use super::count::{self, Added};
use super::record::{self, Written};
use super::statements::lockout_values;
use super::value::Value;
use super::wire::{Fault, Statement, Wire, statement};
use super::{Answer, Postgres, approval};
use crate::ledger::{
    AuditEvent, ChainPoint, ChainRow, Checkpoint, Counter, Counts, EventKey, EventKind, LedgerError, LedgerQueries,
    Lockout, Record, Series, Story,
};
use crate::limits::{COPY, UNLOCK};
use crate::protocol::Timestamp;

/// Does `work` in a transaction that knows the newest event, and commits.
fn whole<T>(
    ledger: &Postgres,
    work: impl FnOnce(&mut Wire, ChainPoint) -> Result<T, LedgerError>,
) -> Result<T, LedgerError> {
    let mut session = ledger.session.borrow_mut();
    let begun =
        [statement(BEGIN, &[]), statement("SELECT mailsudo.settle()", &[]), chain::lock(), statement(chain::END, &[])];
    let newest = session.repeat(&begun, Instant::now() + ledger.terms.timeout)?.pop();
    let done = chain::end(newest.and_then(Answer::row)).and_then(|newest| {
        let wire = session.wire()?;
        wire.take_warnings();
        let done = work(wire, newest)?;
        let answer = wire.one("COMMIT", &[])?;
        match wire.take_warnings().pop() {
            None if answer.tag == "COMMIT" => Ok(done),
            warning => {
                let said = warning.map_or(answer.tag, |warning| warning.message);
                Err(LedgerError::Unproven(format!("the answer to COMMIT is {said}")))
            }
        }
    });
    if done.is_err() {
        session.roll_back(UNLOCK);
    }
    done
}

/// Runs statements of which each has one of `values`.
fn each<'v, V: AsRef<[Value<'v>]>>(wire: &mut Wire, sql: &str, values: &[V]) -> Result<Vec<Answer>, Fault> {
    wire.run(&values.iter().map(|values| statement(sql, values.as_ref())).collect::<Vec<Statement<'_>>>())
}

/// Writes records. Where their events are not copied, an event of the moment `unchained` says how many there are.
pub(super) fn records(ledger: &Postgres, records: &[Record], unchained: Option<Timestamp>) -> Result<u64, LedgerError> {
    let rows: Vec<_> = records.iter().map(Written::new).collect();
    let values: Vec<_> = rows.iter().map(|row| row.first(&ledger.terms.node, &ledger.terms.token, 1)).collect();
    whole(ledger, |wire, newest| {
        let sql = format!("SELECT {}", record::insert_sql());
        let mut written = 0;
        for answer in each(wire, &sql, &values)? {
            written += u64::from(answer.row().ok_or(LedgerError::Corrupt("answer"))?.flag("answer")?);
        }
        let mut counts = Counts::default();
        counts.add(Series::Recorded, written);
        let now = records.last().map_or(Timestamp::from_seconds(0), |record| record.first_seen);
        wire.one(count::ADD, &Added::new(&counts, now).values())?;
        if let Some(now) = unchained.filter(|_| written > 0) {
            let migrated = AuditEvent::new(EventKind::Migrated, now).with(EventKey::Requests, written);
            wire.one(chain::INSERT, &NewEvent::new(newest, &migrated)?.values())?;
        }
        Ok(written)
    })
}

/// Takes over the audit chain of `source`. Returns how many events were written; `None` where this ledger has a chain
/// of its own, or the source has none.
pub(super) fn chain(ledger: &Postgres, source: &dyn LedgerQueries) -> Result<Option<u64>, LedgerError> {
    let Some(begins) = source.checkpoint()? else {
        return Ok(None);
    };
    let mut end = chain::end(ledger.one(chain::END, &[])?.row())?;
    if end.number == 0 {
        begin(ledger, &begins)?;
        end = ChainPoint { number: begins.number, head: begins.head };
    }
    match compare(ledger, source, &begins, end)? {
        Common::None => return Ok(None),
        Common::AllOfSource => return Ok(Some(0)),
        Common::AllOfTarget => {}
    }
    let (after, mut written) = (end.number, 0);
    let mut page: Vec<ChainRow> = Vec::new();
    let mut write = |page: &mut Vec<ChainRow>| -> Result<(), LedgerError> {
        if let Some(last) = page.last() {
            let last = ChainPoint { number: last.number, head: last.head };
            events(ledger, end, page)?;
            end = last;
            written += page.len() as u64;
            page.clear();
        }
        Ok(())
    };
    source.events(after, &mut |row| {
        page.push(row);
        if page.len() >= COPY.0 { write(&mut page) } else { Ok(()) }
    })?;
    write(&mut page)?;
    Ok(Some(written))
}

/// What two chains have in common.
enum Common {
    /// Neither goes on from the other.
    None,
    /// This ledger's chain has all of the source's.
    AllOfSource,
    /// The source's chain has all of this ledger's.
    AllOfTarget,
}

fn compare(
    ledger: &Postgres,
    source: &dyn LedgerQueries,
    begins: &Checkpoint,
    end: ChainPoint,
) -> Result<Common, LedgerError> {
    let mut last = ChainPoint { number: begins.number, head: begins.head };
    let mut is_in_source = last == end;
    source.events(begins.number, &mut |row| {
        last = ChainPoint { number: row.number, head: row.head };
        is_in_source |= last == end;
        Ok(())
    })?;
    if is_in_source {
        return Ok(Common::AllOfTarget);
    }
    let sql = "SELECT head FROM mailsudo.events WHERE number = $1";
    let found = ledger.one(sql, &[last.number.cast_signed().into()])?.row();
    match found.map(|mut row| row.bytes("head")).transpose()? {
        Some(head) if head.as_ref() == last.head.as_bytes() => Ok(Common::AllOfSource),
        _ => Ok(Common::None),
    }
}

/// The chain of this ledger, which has no event, begins where the source's does.
fn begin(ledger: &Postgres, begins: &Checkpoint) -> Result<(), LedgerError> {
    let sql = "UPDATE mailsudo.checkpoint SET gateway = $1, number = $2, head = $3, until = $4";
    let values = [
        begins.gateway.as_str().into(),
        begins.number.cast_signed().into(),
        begins.head.as_bytes().as_slice().into(),
        begins.until.into(),
    ];
    whole(ledger, |wire, newest| {
        unchanged(newest.number == 0)?;
        Ok(wire.one(sql, &values).map(drop)?)
    })
}

/// Writes the events that come after `end`.
fn events(ledger: &Postgres, end: ChainPoint, rows: &[ChainRow]) -> Result<(), LedgerError> {
    let values: Vec<[Value<'_>; 4]> = rows
        .iter()
        .map(|row| {
            let head = row.head.as_bytes().as_slice();
            [row.number.cast_signed().into(), row.at.into(), row.event.as_str().into(), head.into()]
        })
        .collect();
    whole(ledger, |wire, newest| {
        unchanged(newest == end)?;
        Ok(each(wire, chain::INSERT, &values).map(drop)?)
    })
}

fn unchanged(is_so: bool) -> Result<(), LedgerError> {
    if is_so { Ok(()) } else { Err(LedgerError::Elsewhere("deliveries write to the ledger: stop them first")) }
}

/// Writes what belongs to requests that need approval or have a payload.
pub(super) fn stories(ledger: &Postgres, stories: &[(Record, Story)]) -> Result<(), LedgerError> {
    let rows: Vec<_> = stories.iter().flat_map(|(record, story)| approval::rows(record, story)).collect();
    ledger.repeat(&rows.iter().map(|(sql, values)| statement(sql, values)).collect::<Vec<_>>()).map(drop)
}

/// Raises the watermark, and writes lockouts.
pub(super) fn marks(
    ledger: &Postgres,
    watermark: Option<Timestamp>,
    lockouts: &[(String, Lockout)],
) -> Result<(), LedgerError> {
    ledger.one("UPDATE mailsudo.ledger SET watermark = greatest(watermark, $1)", &[watermark.into()])?;
    for (user, lockout) in lockouts {
        let sql = "INSERT INTO mailsudo.lockouts (user_name, until, told, counted_to) VALUES ($1, $2, $3 = 1, $4)
             ON CONFLICT DO NOTHING";
        ledger.one(sql, &lockout_values(user, lockout))?;
    }
    Ok(())
}

/// Raises counters, but for those of records.
pub(super) fn counters(ledger: &Postgres, counters: &[Counter]) -> Result<(), LedgerError> {
    let of_records = [Series::Recorded.to_string(), Series::Pruned.to_string()];
    for counter in counters {
        let series = counter.words.join(" ");
        if of_records.contains(&series) {
            continue;
        }
        let value = i64::try_from(counter.value).unwrap_or(i64::MAX);
        let since = counter.since.map_or(0, Timestamp::seconds);
        ledger.one(count::IMPORT, &[series.as_str().into(), value.into(), since.into()])?;
    }
    Ok(())
}
