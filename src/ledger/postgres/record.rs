//! A request's row: from a [`Record`] and back. A value that mailsudo does not write is an error, never a guess.

use super::value::{Row, Value};
use crate::ledger::{LedgerError, Record, State, StoredReply};
use crate::limits::HOLD_MARGIN;
use crate::protocol::{RequestId, RunResult};

/// The columns of a record, in the order of [`read`] and [`insert_sql`]. The type mailsudo.begun has them in the same
/// one.
pub(super) const COLUMNS: &str = "id, user_name, command, arguments, signed, first_seen, state, reason, step, run_as, argv, \
     started, finished, result, reply_to, reply, replied, queue_id, audit_lost, holds_until";

/// The request with this id.
pub(super) fn record_of(id: &[u8]) -> Result<RequestId, LedgerError> {
    id.try_into().map(RequestId::from_bytes).map_err(|_| LedgerError::Corrupt("id"))
}

/// Writes a first record, if neither the request nor its step is recorded: an expression, which says whether it did.
pub(super) fn insert_sql() -> String {
    format!("mailsudo.insert_request({})", parameters(24))
}

/// Changes a record, if `$15` is still the token of its last writer and `$16` what that has written: an expression,
/// which says whether it did.
pub(super) fn update_sql() -> String {
    format!("mailsudo.update_request({})", parameters(19))
}

fn parameters(count: usize) -> String {
    (1..=count).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ")
}

/// Changes the record of any request, if its state is `$15`.
pub(super) const CLAIM: &str =
    "UPDATE mailsudo.requests SET state = $2, reason = $3, run_as = $4, argv = $5, started = $6, finished = $7,
         result = $8, reply_to = $9, reply = $10, replied = $11, audit_lost = $12, holds_until = $13,
         hold_ends = CASE WHEN $14::bigint IS NULL THEN NULL
             ELSE coalesce(hold_ends, clock_timestamp() + $14::bigint * interval '1 second') END,
         node = $16, token = $17, written = written + 1
     WHERE id = $1 AND state = $15";

/// A record's values that have a form of their own in the row.
pub(super) struct Written<'r> {
    record: &'r Record,
    result: Option<String>,
    reply: Option<Vec<u8>>,
    hold: Option<i64>,
}

impl<'r> Written<'r> {
    pub(super) fn new(record: &'r Record) -> Self {
        // How long it is held: by the clock of the node, both are from one moment.
        let since = record.started.unwrap_or(record.first_seen).seconds();
        let hold = record.holds_until.map(|until| {
            let seconds = until.seconds().saturating_sub(since).max(0);
            seconds.saturating_add(HOLD_MARGIN.as_secs().cast_signed())
        });
        let reply = record.reply.as_ref().map(StoredReply::stored);
        Self { record, result: record.result.map(|result| result.to_string()), reply, hold }
    }

    /// The values for [`insert_sql`].
    pub(super) fn first<'v>(&'v self, node: &'v str, token: &'v [u8], written: i64) -> [Value<'v>; 24] {
        let record = self.record;
        [
            record.id.as_bytes().as_slice().into(),
            record.user.as_str().into(),
            record.command.as_str().into(),
            record.arguments.as_str().into(),
            record.signed.into(),
            record.first_seen.into(),
            record.state.word().into(),
            record.reason.as_deref().into(),
            record.step.map(u64::cast_signed).into(),
            record.run_as.as_deref().into(),
            record.argv.as_deref().into(),
            record.started.into(),
            record.finished.into(),
            self.result.as_deref().into(),
            record.reply.as_ref().map(|reply| reply.to.as_str()).into(),
            self.reply.as_deref().into(),
            record.replied.into(),
            record.queue_id.as_deref().into(),
            i64::from(record.audit_lost).into(),
            record.holds_until.into(),
            self.hold.into(),
            node.into(),
            token.into(),
            written.into(),
        ]
    }

    /// The values for [`CLAIM`].
    pub(super) fn claim<'v>(&'v self, from: &'v str, node: &'v str, token: &'v [u8]) -> [Value<'v>; 17] {
        let [id, state, reason, run_as, argv, started, finished, result, to, reply, replied, lost, until, hold, ..] =
            self.change((token, 0), node, token, 0);
        let (from, node, token) = (from.into(), node.into(), token.into());
        [
            id, state, reason, run_as, argv, started, finished, result, to, reply, replied, lost, until, hold, from,
            node, token,
        ]
    }

    /// The values for [`update_sql`], of a row that `before` has written.
    pub(super) fn change<'v>(
        &'v self,
        before: (&'v [u8], i64),
        node: &'v str,
        token: &'v [u8],
        written: i64,
    ) -> [Value<'v>; 19] {
        let record = self.record;
        [
            record.id.as_bytes().as_slice().into(),
            record.state.word().into(),
            record.reason.as_deref().into(),
            record.run_as.as_deref().into(),
            record.argv.as_deref().into(),
            record.started.into(),
            record.finished.into(),
            self.result.as_deref().into(),
            record.reply.as_ref().map(|reply| reply.to.as_str()).into(),
            self.reply.as_deref().into(),
            record.replied.into(),
            i64::from(record.audit_lost).into(),
            record.holds_until.into(),
            self.hold.into(),
            before.0.into(),
            before.1.into(),
            node.into(),
            token.into(),
            written.into(),
        ]
    }
}

/// Reads a row of [`COLUMNS`], and leaves what stands behind them.
pub(super) fn read(row: &mut Row) -> Result<Record, LedgerError> {
    let id = <[u8; 32]>::try_from(row.bytes("id")?.as_ref()).map_err(|_| LedgerError::Corrupt("id"))?;
    let user = row.text("user")?;
    let command = row.text("command")?;
    let arguments = row.text("arguments")?;
    let signed = row.time("signed time")?;
    let first_seen = row.time("time of first sight")?;
    let word = row.text("state")?;
    let state = State::ALL.into_iter().find(|state| state.word() == word).ok_or(LedgerError::Corrupt("state"))?;
    let reason = row.maybe_text("reason")?;
    let step = row.maybe_int("step")?.map(i64::cast_unsigned);
    let run_as = row.maybe_text("account")?;
    let argv = row.maybe_text("argument vector")?;
    let started = row.maybe_time("time of start")?;
    let finished = row.maybe_time("time of end")?;
    let result = row.maybe_text("result")?;
    let result = result.map(|text| RunResult::parse(&text).ok_or(LedgerError::Corrupt("result"))).transpose()?;
    let to = row.maybe_text("reply address")?;
    let message = row.maybe_bytes("reply")?;
    let reply = to.zip(message).map(|(to, message)| StoredReply::read(to, message.to_vec()));
    let replied = row.maybe_time("time of reply")?;
    let queue_id = row.maybe_text("queue id")?;
    let audit_lost = u32::try_from(row.int("count of lost lines")?).map_err(|_| LedgerError::Corrupt("count"))?;
    let holds_until = row.maybe_time("end of hold")?;
    Ok(Record {
        id: RequestId::from_bytes(id),
        user,
        command,
        arguments,
        signed,
        first_seen,
        state,
        reason,
        step,
        run_as,
        argv,
        started,
        finished,
        result,
        reply,
        replied,
        queue_id,
        audit_lost,
        holds_until,
    })
}
