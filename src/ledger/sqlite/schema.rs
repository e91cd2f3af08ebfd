//! What a ledger in SQLite is made of: its marks, its tables, and how its file is opened.

use rusqlite::OpenFlags;

/// "mail" in ASCII: marks a ledger, unlike other SQLite files (`PRAGMA application_id`).
pub(super) const APPLICATION: i64 = 0x6d61_696c;

/// The schema that this binary reads and writes (`PRAGMA user_version`).
pub(super) const SCHEMA: i64 = 3;

/// The first schema: without approvals and the audit chain.
pub(super) const FIRST_SCHEMA: i64 = 1;

/// States that an executed request passes through are not in the indices: each index costs one SQLite page in two commits.
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

/// What schema 3 adds: the events of the audit chain, and where it begins.
const CHAIN: &str = "
    CREATE TABLE events (number INTEGER PRIMARY KEY, at INTEGER NOT NULL, event TEXT NOT NULL, head BLOB NOT NULL) STRICT;
    CREATE TABLE checkpoint (gateway TEXT NOT NULL, number INTEGER NOT NULL, head BLOB NOT NULL, until INTEGER) STRICT;
";

/// What each schema adds to the one before it, the first one first.
pub(super) const SCHEMAS: [&str; 3] = [TABLES, APPROVALS, CHAIN];

/// What is missing in a ledger of this schema.
pub(super) fn missing_in(schema: i64) -> &'static [&'static str] {
    usize::try_from(schema).ok().and_then(|done| SCHEMAS.get(done..)).unwrap_or_default()
}

/// The statements of a schema, as SQLite keeps them: without the text around them.
pub(super) fn statements(schema: i64) -> impl Iterator<Item = &'static str> {
    let done = SCHEMAS.len() - missing_in(schema).len();
    let all = SCHEMAS.iter().take(done).flat_map(|tables| tables.split(';'));
    all.map(str::trim).filter(|statement| !statement.is_empty())
}

/// Opening never makes a file, and never follows a link.
pub(super) const FLAGS: OpenFlags =
    OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_NO_MUTEX).union(OpenFlags::SQLITE_OPEN_NOFOLLOW);
