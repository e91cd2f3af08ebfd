//! What a ledger in SQLite is made of: its marks, its tables, and how its file is opened.

use rusqlite::OpenFlags;

/// "mail" in ASCII: marks a ledger, unlike other SQLite files (`PRAGMA application_id`).
pub(super) const APPLICATION: i64 = 0x6d61_696c;

/// The schema that this binary reads and writes (`PRAGMA user_version`).
pub(super) const SCHEMA: i64 = 6;

/// The first schema: without approvals.
pub(super) const FIRST_SCHEMA: i64 = 1;

/// The schema that has counters, and the indices that sysadmins' queries need.
pub(super) const WITH_COUNTERS: i64 = 3;

/// Each part of the schemas, with the first and the last schema that has it. What has changed is an index in each case:
/// no migration changes a row.
const PARTS: [(i64, i64, &str); 11] = [
    (1, SCHEMA, TABLES),
    (1, 2, NO_STEP),
    (1, 5, SLOT),
    (2, SCHEMA, APPROVALS),
    (WITH_COUNTERS, SCHEMA, COUNTERS),
    (WITH_COUNTERS, 4, SEEN),
    (WITH_COUNTERS, 5, OPEN),
    (4, SCHEMA, CHAIN),
    (5, 5, SEEN_WITH_COMMAND),
    (6, SCHEMA, SEEN),
    (6, SCHEMA, COMMAND),
];

/// Schema 1. `name` is the request id, `handed_over` the time at which its reply was sent, `floor` the watermark of
/// pruning: a ledger's file keeps the names that it was made with.
const TABLES: &str = "
    CREATE TABLE requests (
        name BLOB NOT NULL UNIQUE,
        user TEXT NOT NULL,
        command TEXT NOT NULL,
        arguments TEXT NOT NULL,
        signed INTEGER NOT NULL,
        first_seen INTEGER NOT NULL,
        state TEXT NOT NULL,
        reason TEXT,
        step INTEGER,
        run_as TEXT,
        argv TEXT,
        started INTEGER,
        finished INTEGER,
        result TEXT,
        reply_to TEXT,
        reply BLOB,
        handed_over INTEGER,
        queue_id TEXT,
        audit_lost INTEGER NOT NULL,
        holds_until INTEGER
    ) STRICT;
    CREATE UNIQUE INDEX requests_step ON requests (user, step);
    CREATE INDEX requests_handed_over ON requests (handed_over) WHERE handed_over IS NOT NULL;
    CREATE TABLE lockouts (
        user TEXT PRIMARY KEY, until INTEGER NOT NULL, told INTEGER NOT NULL, counted_to INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE floor (signed INTEGER NOT NULL) STRICT;
";

/// What schema 2 adds: requests that need approval, payloads, votes about requests, and notices to approvers.
const APPROVALS: &str = "
    CREATE TABLE approvals (
        name BLOB PRIMARY KEY,
        digest BLOB NOT NULL,
        until INTEGER NOT NULL,
        needed INTEGER NOT NULL,
        host TEXT NOT NULL,
        reason TEXT,
        exception TEXT,
        is_open INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX approvals_open ON approvals (until) WHERE is_open = 1;
    CREATE TABLE payloads (name BLOB PRIMARY KEY, digest BLOB NOT NULL, size INTEGER NOT NULL, content BLOB) STRICT;
    CREATE TABLE votes (
        vote BLOB NOT NULL UNIQUE, request BLOB NOT NULL, user TEXT NOT NULL, kind TEXT NOT NULL, at INTEGER NOT NULL,
        words TEXT
    ) STRICT;
    CREATE INDEX votes_request ON votes (request);
    CREATE TABLE notices (
        request BLOB NOT NULL, user TEXT NOT NULL, kind TEXT NOT NULL, sent INTEGER, PRIMARY KEY (request, kind, user)
    ) STRICT;
";

/// What `requests_user` serves since schema 3.
const NO_STEP: &str = "CREATE INDEX requests_no_step ON requests (user, first_seen) WHERE step IS NULL";

/// The holds of a command, up to schema 5. `requests_open` has them since then.
const SLOT: &str = "CREATE INDEX requests_slot ON requests (command) WHERE holds_until IS NOT NULL";

/// What schema 3 adds: counters, and indices in the order of recording. States that an executed request passes through
/// are in none of them, because an index costs one SQLite page in each commit that changes it (docs/decisions/0050).
const COUNTERS: &str = "
    CREATE INDEX requests_user ON requests (user, first_seen);
    CREATE INDEX requests_state ON requests (state, first_seen) WHERE state NOT IN ('started', 'finished');
    CREATE TABLE counters (series TEXT PRIMARY KEY, value INTEGER NOT NULL, since INTEGER NOT NULL) STRICT, WITHOUT ROWID;
";

/// The requests without a reply, up to schema 5.
const OPEN: &str = "CREATE INDEX requests_open ON requests (first_seen) WHERE handed_over IS NULL";

/// The index of all requests.
const SEEN: &str = "CREATE INDEX requests_seen ON requests (first_seen)";

/// The same in schema 5, where `log --command` read all of it.
const SEEN_WITH_COMMAND: &str = "CREATE INDEX requests_seen ON requests (first_seen, command)";

/// What schema 6 adds: an index by command, and one of what is not over, in place of two (docs/decisions/0056).
const COMMAND: &str = "
    CREATE INDEX requests_command ON requests (command, first_seen);
    CREATE INDEX requests_open ON requests (first_seen) WHERE handed_over IS NULL OR holds_until IS NOT NULL;
";

/// What schema 4 adds: the events of the audit chain, and where it begins.
const CHAIN: &str = "
    CREATE TABLE events (number INTEGER PRIMARY KEY, at INTEGER NOT NULL, event TEXT NOT NULL, head BLOB NOT NULL) STRICT;
    CREATE TABLE checkpoint (gateway TEXT NOT NULL, number INTEGER NOT NULL, head BLOB NOT NULL, until INTEGER) STRICT;
";

/// What brings a ledger of the schema `from` to this one; 0 is an empty file.
pub(super) fn migration(from: i64) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (statements(from).collect(), statements(SCHEMA).collect());
    let index_of = |statement: &&'static str| statement.strip_prefix("CREATE INDEX ")?.split(' ').next();
    let gone = old.iter().filter(|statement| !new.contains(statement)).filter_map(index_of);
    let gone = gone.map(|index| format!("DROP INDEX {index};"));
    let made = new.iter().filter(|statement| !old.contains(statement)).map(|statement| format!("{statement};"));
    gone.chain(made).collect()
}

/// The statements of a schema, as SQLite keeps them: without the text around them.
pub(super) fn statements(schema: i64) -> impl Iterator<Item = &'static str> {
    let parts = PARTS.iter().filter(move |(first, last, _)| (*first..=*last).contains(&schema));
    parts.flat_map(|(_, _, text)| text.split(';')).map(str::trim).filter(|statement| !statement.is_empty())
}

/// Opening never makes a file, and never follows a link.
pub(super) const FLAGS: OpenFlags =
    OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_NO_MUTEX).union(OpenFlags::SQLITE_OPEN_NOFOLLOW);
