//! A request's row: from a [`Record`] and back. A value that mailsudo does not write is an error, never a guess.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::ledger::{LedgerError, Record, State, StoredReply};
use crate::protocol::{RequestId, RunResult, Timestamp};

/// The columns, in the order of the table and of [`insert`]'s parameters.
pub(super) const COLUMNS: &str = "name, user, command, arguments, signed, first_seen, state, reason, step, run_as, argv, \
     started, finished, result, reply_to, reply, handed_over, queue_id, audit_lost, holds_until";

/// Names no columns, of which looking up would be a quarter of preparing it. The ledger was opened with this very table.
const INSERT: &str = "INSERT INTO requests VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

/// Writes a new record.
pub(super) fn insert(connection: &Connection, record: &Record) -> Result<(), LedgerError> {
    connection.execute(
        INSERT,
        params![
            record.id.as_bytes(),
            record.user,
            record.command,
            record.arguments,
            record.signed.seconds(),
            record.first_seen.seconds(),
            record.state.word(),
            record.reason,
            record.step.map(u64::cast_signed),
            record.run_as,
            record.argv,
            seconds(record.started),
            seconds(record.finished),
            record.result.map(|result| result.to_string()),
            record.reply.as_ref().map(|reply| &reply.to),
            record.reply.as_ref().map(StoredReply::stored),
            seconds(record.replied),
            record.queue_id,
            record.audit_lost,
            seconds(record.holds_until),
        ],
    )?;
    Ok(())
}

/// Updates the existing record with all that can change, if its state is `from`, where that is given. Returns how many
/// were changed. A used step stays used.
pub(super) fn update(connection: &Connection, record: &Record, from: Option<State>) -> Result<usize, LedgerError> {
    let changed = connection.execute(
        "UPDATE requests SET state = ?2, reason = ?3, run_as = ?4, argv = ?5, started = ?6, finished = ?7, result = ?8,
             reply_to = ?9, reply = ?10, handed_over = ?11, audit_lost = ?12, holds_until = ?13
         WHERE name = ?1 AND (?14 IS NULL OR state = ?14)",
        params![
            record.id.as_bytes(),
            record.state.word(),
            record.reason,
            record.run_as,
            record.argv,
            seconds(record.started),
            seconds(record.finished),
            record.result.map(|result| result.to_string()),
            record.reply.as_ref().map(|reply| &reply.to),
            record.reply.as_ref().map(StoredReply::stored),
            seconds(record.replied),
            record.audit_lost,
            seconds(record.holds_until),
            from.map(State::word),
        ],
    )?;
    Ok(changed)
}

fn seconds(time: Option<Timestamp>) -> Option<i64> {
    time.map(Timestamp::seconds)
}

/// The record of the request `id`.
pub(super) fn find(connection: &Connection, id: &RequestId) -> Result<Option<Record>, LedgerError> {
    // Most requests are new, and for them the long query is not worth preparing.
    let known = connection.query_row("SELECT 1 FROM requests WHERE name = ?1", params![id.as_bytes()], |_| Ok(()));
    if known.optional()?.is_none() {
        return Ok(None);
    }
    let sql = format!("SELECT {COLUMNS} FROM requests WHERE name = ?1");
    connection.query_row(&sql, params![id.as_bytes()], |row| Ok(read(row))).optional()?.transpose()
}

/// Reads a row of [`COLUMNS`].
pub(super) fn read(row: &Row<'_>) -> Result<Record, LedgerError> {
    let time = |column| -> Result<Option<Timestamp>, LedgerError> {
        let seconds: Option<i64> = row.get(column)?;
        Ok(seconds.map(Timestamp::from_seconds))
    };
    let moment = |column, what| time(column)?.ok_or(LedgerError::Corrupt(what));
    let word: String = row.get("state")?;
    let state = State::ALL.into_iter().find(|state| state.word() == word);
    let result: Option<String> = row.get("result")?;
    let result = result.map(|text| RunResult::parse(&text).ok_or(LedgerError::Corrupt("result")));
    let step: Option<i64> = row.get("step")?;
    let reply_to: Option<String> = row.get("reply_to")?;
    let message: Option<Vec<u8>> = row.get("reply")?;
    Ok(Record {
        id: RequestId::from_bytes(row.get("name")?),
        user: row.get("user")?,
        command: row.get("command")?,
        arguments: row.get("arguments")?,
        signed: moment("signed", "signed time")?,
        first_seen: moment("first_seen", "time of first sight")?,
        state: state.ok_or(LedgerError::Corrupt("state"))?,
        reason: row.get("reason")?,
        step: step.map(i64::cast_unsigned),
        run_as: row.get("run_as")?,
        argv: row.get("argv")?,
        started: time("started")?,
        finished: time("finished")?,
        result: result.transpose()?,
        reply: reply_to.zip(message).map(|(to, message)| StoredReply::read(to, message)),
        replied: time("handed_over")?,
        queue_id: row.get("queue_id")?,
        audit_lost: row.get("audit_lost")?,
        holds_until: time("holds_until")?,
    })
}
