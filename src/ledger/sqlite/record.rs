//! A request's row: from a [`Record`] and back. A value that mailsudo does not write is an error, never a guess.

use rusqlite::{Connection, Row, params};

use crate::ledger::{LedgerError, Record, State};
use crate::protocol::{RequestName, RunResult, Timestamp};
use crate::reply::Reply;

/// The columns in the order of [`write()`]'s parameters.
pub(super) const COLUMNS: &str = "name, user, command, arguments, signed, first_seen, state, reason, step, run_as, argv, \
     started, finished, result, reply_to, reply, handed_over, queue_id, audit_lost";

/// Writes a record, new or changed. What was signed and when it was first seen never change.
pub(super) fn write(connection: &Connection, record: &Record) -> Result<(), LedgerError> {
    let sql = format!(
        "INSERT INTO requests ({COLUMNS})
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)
         ON CONFLICT (name) DO UPDATE SET
             state = ?7, reason = ?8, step = ?9, run_as = ?10, argv = ?11, started = ?12, finished = ?13,
             result = ?14, reply_to = ?15, reply = ?16, handed_over = ?17, audit_lost = ?19"
    );
    let seconds = |time: Option<Timestamp>| time.map(Timestamp::seconds);
    connection.execute(
        &sql,
        params![
            record.name.as_bytes(),
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
            record.reply.as_ref().map(|reply| &reply.message),
            seconds(record.handed_over),
            record.queue_id,
            record.audit_lost,
        ],
    )?;
    Ok(())
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
        name: RequestName::from_bytes(row.get("name")?),
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
        reply: reply_to.zip(message).map(|(to, message)| Reply { to, message }),
        handed_over: time("handed_over")?,
        queue_id: row.get("queue_id")?,
        audit_lost: row.get("audit_lost")?,
    })
}
