//! The schema: how it is made, brought up to date, and who may do what with it. In: a connection of the role that owns
//! it. Out: a schema that this mailsudo can use.
//!
//! MUST: migrations only add, each has a number, and none is undone. A schema that this mailsudo does not know is not
//! touched.

use super::wire::{Fault, Wire, statement};
use crate::ledger::LedgerError;
use crate::protocol::Timestamp;

/// The migrations, the first one first. A ledger of schema N has had the first N of them.
const MIGRATIONS: [&str; 5] = [
    include_str!("schema-1.sql"),
    include_str!("schema-2.sql"),
    include_str!("schema-3.sql"),
    include_str!("schema-4.sql"),
    include_str!("schema-5.sql"),
];

/// The schema that this mailsudo writes.
pub(super) const SCHEMA: i64 = 5;

/// The oldest mailsudo, by its own schema, that can still use a ledger of [`SCHEMA`]. One of schema 3 would record
/// requests without their events in the audit chain. One of schema 4 sends statements where the newer one calls
/// functions.
const READABLE_FROM: i64 = 4;

/// The columns of a request that the role of `deliver` may change. What was signed and what it used are not among them.
const CHANGEABLE: &str = "state, reason, run_as, argv, started, finished, result, reply_to, reply, replied, audit_lost, \
     holds_until, hold_ends, node, token, written";

/// The identity of a database: another one may have lost what was recorded.
pub(super) const IDENTITY: &str = "(SELECT system_identifier::text FROM pg_control_system()), \
     substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)";

/// The schema of the ledger; `None` where there is none.
pub(super) fn version(wire: &mut Wire) -> Result<Option<i64>, LedgerError> {
    let exists = wire.one("SELECT to_regclass('mailsudo.ledger') IS NOT NULL", &[])?;
    if !exists.row().ok_or(LedgerError::Corrupt("answer"))?.flag("answer")? {
        return Ok(None);
    }
    match wire.one("SELECT version, readable_from FROM mailsudo.ledger", &[])?.row() {
        Some(mut row) => checked_version(row.int("schema")?, row.int("schema")?).map(Some),
        None => Err(LedgerError::Corrupt("lack of a row in mailsudo.ledger")),
    }
}

/// The schema, if this mailsudo can use it as it is or after a migration.
fn checked_version(version: i64, readable_from: i64) -> Result<i64, LedgerError> {
    if readable_from > SCHEMA { Err(LedgerError::Newer(version)) } else { Ok(version) }
}

/// Whether this mailsudo can use a ledger of this schema as it is.
pub(super) fn check_version(version: i64, readable_from: i64) -> Result<(), LedgerError> {
    match checked_version(version, readable_from)? {
        older if older < SCHEMA => Err(LedgerError::Older(older)),
        _ => Ok(()),
    }
}

/// Whether a ledger of the gateway `found` is that of `gateway`.
pub(super) fn check_gateway(found: &str, gateway: &str) -> Result<(), LedgerError> {
    if found == gateway { Ok(()) } else { Err(LedgerError::OtherGateway(found.to_owned())) }
}

/// Whether the ledger that is there is that of `gateway`.
fn check_own(wire: &mut Wire, gateway: &str) -> Result<(), LedgerError> {
    let row = wire.one("SELECT gateway FROM mailsudo.ledger", &[])?.row();
    let found = row.ok_or(LedgerError::Corrupt("lack of a row in mailsudo.ledger"))?.text("gateway")?;
    check_gateway(&found, gateway)
}

/// Makes an empty ledger for `gateway`, or leaves the one that is there. Returns whether it was made.
pub(super) fn init(wire: &mut Wire, gateway: &str, watermark: Option<Timestamp>) -> Result<bool, LedgerError> {
    if let Some(found) = version(wire)? {
        check_own(wire, gateway)?;
        return if found < SCHEMA { Err(LedgerError::Older(found)) } else { Ok(false) };
    }
    let encoding = wire.one("SELECT current_setting('server_encoding')", &[])?.row();
    if encoding.ok_or(LedgerError::Corrupt("answer"))?.text("encoding")? != "UTF8" {
        let what = "the database must have the encoding UTF8: createdb --encoding=UTF8 --template=template0 mailsudo";
        return Err(LedgerError::Backend(what.to_owned()));
    }
    let row = format!(
        "INSERT INTO mailsudo.ledger (version, readable_from, gateway, watermark, system_id, timeline)
         SELECT {SCHEMA}, {READABLE_FROM}, $1, $2, {IDENTITY}"
    );
    let tables = format!("BEGIN; {}", MIGRATIONS.join("\n"));
    whole(wire, &tables, |wire| {
        wire.one(&row, &[gateway.into(), watermark.into()])?;
        wire.one("SELECT mailsudo.begin_chain()", &[]).map(drop)
    })?;
    Ok(true)
}

/// Brings the schema of the ledger of `gateway` up to date. Returns the schema before and after.
pub(super) fn migrate(wire: &mut Wire, gateway: &str) -> Result<(i64, i64), LedgerError> {
    let Some(before) = version(wire)? else {
        return Err(LedgerError::NotMade);
    };
    check_own(wire, gateway)?;
    let done = usize::try_from(before).map_err(|_| LedgerError::Corrupt("schema"))?;
    let missing = MIGRATIONS.get(done..).unwrap_or_default();
    if missing.is_empty() {
        return Ok((before, before));
    }
    // The locks keep deliveries, and another migration, out until the new schema is there. The table's comes first, and
    // no lock is waited for longer than a delivery waits: what reads the table for long, as pg_dump does, must end
    // before.
    let sql = format!(
        "BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '5s';
         LOCK TABLE mailsudo.requests IN ACCESS EXCLUSIVE MODE; SELECT FROM mailsudo.ledger FOR UPDATE; {}",
        missing.join("\n")
    );
    let set = format!(
        "UPDATE mailsudo.ledger SET version = {SCHEMA}, readable_from = {READABLE_FROM} WHERE version = {before}"
    );
    whole(wire, &sql, |wire| match wire.one(&set, &[])?.changed() {
        1 => Ok(()),
        _ => Err(Fault::Lost("another migration was faster".to_owned())),
    })?;
    Ok((before, SCHEMA))
}

/// Runs `sql`, which begins a transaction, then `rest`, and commits; or does nothing.
fn whole(wire: &mut Wire, sql: &str, rest: impl FnOnce(&mut Wire) -> Result<(), Fault>) -> Result<(), LedgerError> {
    let done = wire.batch(sql).and_then(|()| rest(wire));
    if let Err(fault) = done {
        let _ = wire.batch("ROLLBACK");
        return Err(fault.into());
    }
    match wire.one("COMMIT", &[])?.tag.as_str() {
        "COMMIT" => Ok(()),
        other => Err(LedgerError::Unproven(format!("the answer to COMMIT is {other}"))),
    }
}

/// Lets `role`, as which `deliver` connects, do what it must and no more: never delete, never truncate.
pub(super) fn grant(wire: &mut Wire, role: &str) -> Result<(), LedgerError> {
    let row = wire.run(&[
        statement("SELECT quote_ident($1)", &[role.into()]),
        statement("SELECT count(*) FROM pg_roles WHERE rolname = $1", &[role.into()]),
        statement("SELECT current_user = $1", &[role.into()]),
    ])?;
    let mut answers = row.into_iter().filter_map(super::wire::Answer::row);
    let mut next = || answers.next().ok_or(LedgerError::Corrupt("answer"));
    let quoted = next()?.text("role")?;
    if next()?.int("role")? == 0 {
        return Err(LedgerError::Backend(format!("there is no role {role}: createuser {role}")));
    }
    // The owner of the tables may do all of it already.
    if next()?.flag("role")? {
        return Ok(());
    }
    let sql = format!(
        "GRANT USAGE ON SCHEMA mailsudo TO {quoted};
         GRANT SELECT, INSERT ON mailsudo.requests, mailsudo.locks, mailsudo.lockouts, mailsudo.nodes TO {quoted};
         GRANT SELECT, INSERT ON mailsudo.approvals, mailsudo.payloads, mailsudo.votes, mailsudo.notices TO {quoted};
         GRANT SELECT, INSERT, UPDATE ON mailsudo.counters TO {quoted};
         GRANT UPDATE ({CHANGEABLE}) ON mailsudo.requests TO {quoted};
         GRANT UPDATE (is_open) ON mailsudo.approvals TO {quoted};
         GRANT UPDATE (content) ON mailsudo.payloads TO {quoted};
         GRANT UPDATE (sent) ON mailsudo.notices TO {quoted};
         GRANT UPDATE ON mailsudo.locks, mailsudo.lockouts, mailsudo.nodes TO {quoted};
         GRANT SELECT, UPDATE (lost_until, quiet_until, system_id, timeline) ON mailsudo.ledger TO {quoted};
         GRANT SELECT, INSERT ON mailsudo.events TO {quoted};
         GRANT SELECT ON mailsudo.checkpoint TO {quoted};
         GRANT EXECUTE ON FUNCTION mailsudo.settle, mailsudo.take_lock, mailsudo.release_lock, mailsudo.begin_transaction, mailsudo.require,
             mailsudo.insert_request, mailsudo.update_request, mailsudo.count, mailsudo.read_back, mailsudo.mark_replied,
             mailsudo.end_delivery, mailsudo.prune TO {quoted};"
    );
    Ok(wire.batch(&sql)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_schema_has_its_migration() {
        assert_eq!(i64::try_from(MIGRATIONS.len()), Ok(SCHEMA));
        assert!(check_version(SCHEMA, READABLE_FROM).is_ok());
        assert!(matches!(check_version(SCHEMA - 1, 0), Err(LedgerError::Older(_))));
        assert!(matches!(check_version(SCHEMA + 2, SCHEMA + 1), Err(LedgerError::Newer(_))));
        assert!(check_version(SCHEMA + 2, SCHEMA).is_ok(), "nodes are upgraded one by one");
    }
}
