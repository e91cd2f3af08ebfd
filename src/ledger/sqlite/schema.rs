//! What a ledger in SQLite is made of: its marks, its tables, and how its file is opened.

use rusqlite::OpenFlags;

/// "mail" in ASCII: marks a ledger, unlike other SQLite files (`PRAGMA application_id`).
pub(super) const APPLICATION: i64 = 0x6d61_696c;

/// The schema that this binary reads and writes (`PRAGMA user_version`).
pub(super) const SCHEMA: i64 = 5;

/// The first schema: without approvals.
pub(super) const FIRST_SCHEMA: i64 = 1;

/// The schema that has approvals.
const WITH_APPROVALS: i64 = 2;

/// The schema that has counters, and the indices that sysadmins' queries need.
pub(super) const WITH_COUNTERS: i64 = 3;

/// The schema that has the audit chain.
const WITH_CHAIN: i64 = 4;

/// The schema whose index of all requests has their commands.
const WITH_COMMANDS: i64 = 5;

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
    CREATE INDEX requests_no_step ON requests (user, first_seen) WHERE step IS NULL;
    CREATE INDEX requests_handed_over ON requests (handed_over) WHERE handed_over IS NOT NULL;
    CREATE INDEX requests_slot ON requests (command) WHERE holds_until IS NOT NULL;
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

/// What schema 3 removes: `requests_user` serves what this index was for.
const REPLACED: &str = "CREATE INDEX requests_no_step ON requests (user, first_seen) WHERE step IS NULL";

/// What schema 3 adds: counters, and indices in the order of recording. States that an executed request passes through
/// are in none of them, because an index costs one SQLite page in each commit that changes it (docs/decisions/0050).
const COUNTERS: &str = "
    CREATE INDEX requests_user ON requests (user, first_seen);
    CREATE INDEX requests_open ON requests (first_seen) WHERE handed_over IS NULL;
    CREATE INDEX requests_state ON requests (state, first_seen) WHERE state NOT IN ('started', 'finished');
    CREATE TABLE counters (series TEXT PRIMARY KEY, value INTEGER NOT NULL, since INTEGER NOT NULL) STRICT, WITHOUT ROWID;
";

/// The index of all requests in schema 3 and 4.
const SEEN: &str = "CREATE INDEX requests_seen ON requests (first_seen);";

/// The same in schema 5. `log --command` finds the requests of a rare command in it, without reading their rows; a
/// delivery writes as many pages as before.
const SEEN_WITH_COMMAND: &str = "CREATE INDEX requests_seen ON requests (first_seen, command);";

/// What schema 4 adds: the events of the audit chain, and where it begins.
const CHAIN: &str = "
    CREATE TABLE events (number INTEGER PRIMARY KEY, at INTEGER NOT NULL, event TEXT NOT NULL, head BLOB NOT NULL) STRICT;
    CREATE TABLE checkpoint (gateway TEXT NOT NULL, number INTEGER NOT NULL, head BLOB NOT NULL, until INTEGER) STRICT;
";

/// What brings a ledger of the schema `from` to this one.
pub(super) fn migration(from: i64) -> String {
    let mut sql = String::new();
    if from < FIRST_SCHEMA {
        sql.push_str(TABLES);
    }
    if from < WITH_APPROVALS {
        sql.push_str(APPROVALS);
    }
    if from < WITH_COUNTERS {
        sql.push_str("DROP INDEX requests_no_step;");
        sql.push_str(COUNTERS);
    }
    if from < WITH_CHAIN {
        sql.push_str(CHAIN);
    }
    if from < WITH_COMMANDS {
        sql.push_str("DROP INDEX IF EXISTS requests_seen;");
        sql.push_str(SEEN_WITH_COMMAND);
    }
    sql
}

/// The statements of a schema, as SQLite keeps them: without the text around them.
pub(super) fn statements(schema: i64) -> impl Iterator<Item = &'static str> {
    let added = |by, text: &'static str| if schema < by { "" } else { text };
    let seen = if schema < WITH_COMMANDS { added(WITH_COUNTERS, SEEN) } else { SEEN_WITH_COMMAND };
    let later = [added(WITH_APPROVALS, APPROVALS), added(WITH_COUNTERS, COUNTERS), added(WITH_CHAIN, CHAIN), seen];
    let all = [TABLES].into_iter().chain(later);
    let all = all.flat_map(|text| text.split(';')).map(str::trim);
    all.filter(move |statement| !statement.is_empty() && (schema < WITH_COUNTERS || *statement != REPLACED))
}

/// Opening never makes a file, and never follows a link.
pub(super) const FLAGS: OpenFlags =
    OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_NO_MUTEX).union(OpenFlags::SQLITE_OPEN_NOFOLLOW);
