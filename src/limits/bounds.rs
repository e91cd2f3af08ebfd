//! Every size, count and age that the program sets for itself.

use std::time::Duration;

/// The largest file that configuration is read from, in bytes.
pub const CONFIG_FILE: u64 = 1 << 20;

/// The largest value of `[limits] message`, in bytes. 32 arguments of 4 KiB each fit, encoded twice.
pub const MESSAGE: u64 = 16 << 20;

/// The buffer, in bytes, that a message is read into first. glibc takes one of 128 KiB from the kernel each time.
pub const MESSAGE_BUFFER: usize = 8 << 10;

/// The largest value of `[limits] output`, in bytes. Postfix does not accept a reply above its message_size_limit.
pub const OUTPUT: u64 = 4 << 20;

/// The largest `max_age`. Pruning removes nothing younger (docs/decisions/0012).
pub const MAX_AGE: Duration = Duration::from_hours(7 * 24);

/// The largest `[execution] longest`.
pub const RUN_TIME: Duration = Duration::from_hours(24);

/// The longest span that is read: 100 years. So no moment that is counted from now is one that cannot be written.
pub const SPAN: Duration = Duration::from_hours(36_500 * 24);

/// How far back a report lists days without a request, where all requests are newer.
pub const REPORT_DAYS: Duration = Duration::from_hours(400 * 24);

/// A part of a day so short that no day is stepped over, not even one of 23 hours.
pub const PART_OF_DAY: Duration = Duration::from_hours(12);

/// The longest TOTP period.
pub const TOTP_PERIOD: Duration = Duration::from_hours(1);

/// The most MIME parts that a message may have.
pub const MIME_PARTS: usize = 1000;

/// The deepest nesting of MIME parts.
pub const MIME_DEPTH: usize = 32;

/// The longest header field that is read, in bytes: eight lines of 998 (RFC 5322 section 2.1.1).
pub const HEADER_FIELD: usize = 8 * 998;

/// The longest Authentication-Results field that is read, in bytes. A filter writes a line or two for each signature.
pub const AUTHENTICATION_RESULTS: usize = 16 << 10;

/// The most characters of a value in a log line. More are cut and replaced by a digest.
pub const LOG_VALUE: usize = 1000;

/// The most bytes of a value in a log line after escaping.
pub const LOG_QUOTED: usize = 3000;

/// The most bytes of a log line before another field is left out. rsyslog cuts a line near 8 KiB
/// (docs/measurements.md#length-of-a-line).
pub const LOG_LINE: usize = 4500;

/// The shortest secret value that is searched for in a command's output, in bytes. Shorter ones would be found
/// everywhere.
pub const SECRET_IN_OUTPUT: usize = 4;

/// How much of a command's output is read at once, in bytes: what a pipe holds.
pub const PIPE_READ: usize = 1 << 16;

/// How many reads empty the largest pipe that a user may make on Linux, 1 MiB.
pub const PIPE_READS: usize = (1 << 20) / PIPE_READ;

/// The longest regular expression in sudoers that is written, in bytes. sudo 1.9.13 and 1.9.16 match none of 1,036
/// (docs/measurements.md#length-of-an-expression).
pub const SUDO_EXPRESSION: usize = 1000;

/// How many argument vectors of one command are written into sudoers one by one.
pub const ARGUMENT_VECTORS: usize = 256;

/// The longest word that sudo-rs reads in sudoers, in bytes (docs/measurements.md#sudo-rs).
pub const SUDO_RS_WORD: usize = 1024;

/// The longest reply of a mail server that is read, in bytes. RFC 5321 section 4.5.3.1.5 has 512 for a line.
pub const SMTP_REPLY: usize = 16 << 10;

/// How many replies `mailsudo ledger resume` sends at most.
pub const RESUME: u32 = 100;

/// After how many replies that cannot be sent `mailsudo ledger resume` ends: the mail server may be down.
pub const RESUME_FAILURES: u32 = 3;

/// How many records or events `mailsudo ledger copy` writes in one transaction, and how many bytes of replies.
pub const COPY: (usize, usize) = (100, 4 << 20);

/// How far the clocks of a node and its database may differ before `check` warns, in seconds.
pub const CLOCKS: i64 = 5;

/// How many requests one delivery may prune.
pub const PRUNE: u32 = 20;

/// How many events of the audit chain may be removed for each request that may be: more than most requests have.
pub const PRUNE_EVENTS: u32 = 10;

/// No pruning removes what is younger: the least `retention`.
pub const LEAST_RETENTION: Duration = MAX_AGE;

/// How far ahead of this clock that of another host may be that has written into the same ledger.
pub const CLOCKS_APART: Duration = Duration::from_mins(5);

/// More than any time zone is away from UTC.
pub const TIME_ZONES: Duration = Duration::from_hours(24);

/// How many faults of an audit chain are listed.
pub const CHAIN_FAULTS: usize = 100;

/// How many SQLite pages the write-ahead log may hold. It stays in place when a delivery ends, because moving it back
/// takes two more fsyncs. So the next delivery reads it: few enough to read, enough to be moved rarely.
pub const WAL_PAGES: i64 = 100;

/// How large a mapping is, in bytes, after which glibc keeps twice as much of a free heap: more than a ledger needs.
pub const HEAP_KEPT: usize = 256 << 10;

/// How many bytes of a text payload a notice shows.
pub const NOTICE_PAYLOAD: usize = 4 << 10;

/// How many pending requests `pending` looks at.
pub const PENDING: u32 = 500;

/// The most approvers of one command. Each gets a notice of their own.
pub const APPROVERS: usize = 50;

/// The most characters of a command with its arguments in a reply's subject.
pub const SUBJECT: usize = 60;

/// The most characters of a command with its arguments in a reply's first line.
pub const FIRST_LINE: usize = 500;

/// The largest message, in bytes, that is read from an IMAP server: no reply is as large.
pub const IMAP_MESSAGE: usize = 16 << 20;

/// The largest answer of an IMAP server, in bytes: such a message with what stands around it.
pub const IMAP_ANSWER: usize = IMAP_MESSAGE + (1 << 20);

/// How many sudo rules `check` tries at the same time. sudo takes some 20 ms for each.
pub const CHECK_AT_ONCE: usize = 4;

/// The largest message of a PostgreSQL server that is read, in bytes: a record with the largest reply, twice.
pub const DATABASE_MESSAGE: usize = 16 << 20;
