//! What a server says of itself, for `check`: what would lose commits, what could change records, who may do too much.

use super::wire::{Answer, statement};
use super::{Postgres, Row};
use crate::ledger::{Database, LedgerError};

/// Settings with which a server loses commits that it has confirmed, or does not notice damage.
const UNSAFE: &str = "SELECT name || ' = ' || setting FROM pg_settings
     WHERE name IN ('fsync', 'full_page_writes', 'data_checksums') AND setting = 'off' ORDER BY name";

/// What the role may do to the tables beyond what `mailsudo ledger init` lets it do. All tables of all schemas are
/// among them.
const EXCESS: &str = "SELECT lower(right_name) || ' on ' || tablename
     FROM unnest(ARRAY['DELETE', 'TRUNCATE', 'TRIGGER']) AS right_name, pg_tables
     WHERE schemaname = 'mailsudo' AND has_table_privilege('mailsudo.' || quote_ident(tablename), right_name)
     UNION ALL SELECT 'update of what was signed' WHERE has_column_privilege('mailsudo.requests', 'signed', 'UPDATE')
     UNION ALL SELECT 'update of votes' WHERE has_any_column_privilege('mailsudo.votes', 'UPDATE') ORDER BY 1";

/// What would change records as they are written.
const PLANTED: &str = "SELECT 'trigger ' || t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
         JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'mailsudo' AND NOT t.tgisinternal
     UNION ALL SELECT 'rule ' || r.rulename FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class
         JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'mailsudo'";

/// A role without pg_monitor sees the standbys, but not how they replicate.
const STANDBYS: &str = "SELECT current_setting('synchronous_standby_names'),
     CASE WHEN count(*) = count(sync_state) THEN count(*) FILTER (WHERE sync_state = 'async') END,
     extract(epoch FROM clock_timestamp())::bigint FROM pg_stat_replication";

/// Asks the server.
pub(super) fn state(ledger: &Postgres) -> Result<Database, LedgerError> {
    let asked = [statement(STANDBYS, &[]), statement(UNSAFE, &[]), statement(EXCESS, &[]), statement(PLANTED, &[])];
    let mut answers = ledger.repeat(&asked)?.into_iter();
    let mut standbys = answers.next().and_then(Answer::row).ok_or(LedgerError::Corrupt("answer"))?;
    let mut words = || -> Result<Vec<String>, LedgerError> {
        let rows = answers.next().ok_or(LedgerError::Corrupt("answer"))?.rows;
        rows.into_iter().map(|mut row: Row| row.text("word")).collect()
    };
    Ok(Database {
        synchronous_standbys: standbys.text("synchronous_standby_names")?,
        asynchronous_standbys: match standbys.maybe_int("count")? {
            Some(count) => Some(u64::try_from(count).map_err(|_| LedgerError::Corrupt("count"))?),
            None => None,
        },
        clock: standbys.time("clock")?,
        unsafe_settings: words()?,
        excess_rights: words()?,
        planted: words()?,
    })
}
