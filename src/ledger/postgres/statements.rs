//! Statements about the whole ledger, and about a user's lockout.

use super::value::{Row, Value};
use crate::ledger::{LedgerError, Lockout};

/// For the same transaction as it: it need not be durable by itself. A commit of the record, which is, makes it so.
pub(super) const ASYNCHRONOUS: &str = "SELECT mailsudo.settle(), set_config('synchronous_commit', 'off', true)";

/// For the same transaction as it: at least local and standby durability.
pub(super) const DURABLE: &str = "SELECT set_config('synchronous_commit', \
     CASE WHEN current_setting('synchronous_commit') = 'remote_apply' THEN 'remote_apply' ELSE 'on' END, true)";

/// The seconds until a moment by the database's clock, rounded up.
const QUIET: &str = "ceil(extract(epoch FROM quiet_until - clock_timestamp()))::bigint";

/// Stores which server this is and, where requests may be lost, until when.
pub(super) fn recognised() -> String {
    format!(
        "UPDATE mailsudo.ledger SET system_id = $1, timeline = $2,
             lost_until = CASE WHEN $3 = 1
                 THEN greatest(lost_until, extract(epoch FROM clock_timestamp())::bigint + $4) ELSE lost_until END,
             quiet_until = CASE WHEN $3 = 1
                 THEN greatest(quiet_until, clock_timestamp() + $5 * interval '1 second') ELSE quiet_until END
         RETURNING lost_until, {QUIET}"
    )
}

/// A user's lockout.
pub(super) const LOCKOUT: &str = "SELECT until, told, counted_to FROM mailsudo.lockouts WHERE user_name = $1";

/// Sets a user's lockout.
pub(super) const SET_LOCKOUT: &str = "INSERT INTO mailsudo.lockouts AS known (user_name, until, told, counted_to)
     VALUES ($1, $2, $3 = 1, $4)
     ON CONFLICT (user_name) DO UPDATE SET until = $2, told = $3 = 1, counted_to = $4";

pub(super) fn lockout_values<'v>(user: &'v str, lockout: &Lockout) -> [Value<'v>; 4] {
    [user.into(), lockout.until.into(), i64::from(lockout.told).into(), lockout.counted_to.into()]
}

pub(super) fn lockout_from(row: &mut Row) -> Result<Lockout, LedgerError> {
    Ok(Lockout { until: row.time("lockout")?, told: row.flag("lockout")?, counted_to: row.time("lockout")? })
}
