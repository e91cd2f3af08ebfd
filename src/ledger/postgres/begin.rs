//! What a transaction finds when it begins. One statement locks the one row of mailsudo.ledger, so that transactions
//! exclude each other, and then reads all that a decision needs. In: its answer. Out: [`Begun`].

use super::chain;
use super::record;
use super::statements::lockout_from;
use super::value::Row;
use crate::ledger::{ChainPoint, LedgerError, Lockout, Record};
use crate::protocol::Timestamp;

/// The first statement of a transaction.
pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";

/// Between the two: a wait for the ledger ends by `lock_timeout` alone, whatever the role's own limit of a statement
/// is. That limit begins with a statement, so one that locks cannot lift it for itself.
pub(super) const PATIENT: &str = "SELECT set_config('statement_timeout', '0', true)";

/// Locks the ledger, and reads it with what is known of the request `$1` and of the user `$2`. `$3` is the token of
/// this delivery, which has the request's lock if that is still held for `$4` seconds; no wait is longer than `$5`
/// milliseconds.
pub(super) const BEGIN_TRANSACTION: &str = "SELECT mailsudo.begin_transaction($1, $2, $3, $4, $5)";

/// Which database it is: its system identifier and timeline. Another one may have lost what was recorded.
#[derive(PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) system: String,
    pub(super) timeline: String,
}

impl Identity {
    fn read(row: &mut Row) -> Result<Self, LedgerError> {
        Ok(Self { system: row.text("system identifier")?, timeline: row.text("timeline")? })
    }
}

/// The request's record, and who has written it last.
pub(super) struct Known {
    pub(super) record: Record,
    pub(super) token: Vec<u8>,
    /// How often it was written.
    pub(super) written: i64,
}

/// What was found.
pub(super) struct Begun {
    pub(super) version: i64,
    pub(super) readable_from: i64,
    pub(super) gateway: String,
    pub(super) watermark: Option<Timestamp>,
    pub(super) lost_until: Option<Timestamp>,
    /// For how many more seconds exclusive commands wait, because a run of another server may go on.
    pub(super) quiet_for: i64,
    /// The server that the ledger is known to be on.
    pub(super) stored: Identity,
    /// The server that answers.
    pub(super) found: Identity,
    /// For which standbys commits wait (synchronous_standby_names).
    pub(super) standbys: String,
    /// Whether this delivery has the request's lock, and will have it until what it decides now has begun. A failover
    /// may lose a lock, and a process may be stopped for longer than it lasts.
    pub(super) is_own: bool,
    /// The newest TOTP step that the user has used.
    pub(super) newest_step: Option<i64>,
    /// The newest event of the audit chain.
    pub(super) chain: ChainPoint,
    pub(super) lockout: Option<Lockout>,
    pub(super) known: Option<Known>,
}

impl Begun {
    /// Reads the answer to [`BEGIN_TRANSACTION`].
    pub(super) fn read(answer: Option<Row>) -> Result<Self, LedgerError> {
        // The columns are those of the type mailsudo.begun.
        let mut row = answer.ok_or(LedgerError::Corrupt("lack of a row in mailsudo.ledger"))?;
        Ok(Self {
            version: row.int("schema")?,
            readable_from: row.int("schema")?,
            gateway: row.text("gateway")?,
            watermark: row.maybe_time("watermark")?,
            lost_until: row.maybe_time("time of loss")?,
            quiet_for: row.maybe_int("time of quiet")?.unwrap_or(0),
            stored: Identity::read(&mut row)?,
            found: Identity::read(&mut row)?,
            standbys: row.text("synchronous_standby_names")?,
            is_own: row.flag("answer")?,
            newest_step: row.maybe_int("step")?,
            chain: chain::end(row.part(2))?,
            lockout: row.part(3).map(|mut lockout| lockout_from(&mut lockout)).transpose()?,
            known: row.part(22).map(Known::read).transpose()?,
        })
    }
}

impl Known {
    fn read(mut row: Row) -> Result<Self, LedgerError> {
        let record = record::read(&mut row)?;
        Ok(Self { record, token: row.bytes("token")?.to_vec(), written: row.int("count of writes")? })
    }
}
