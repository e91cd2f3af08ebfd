//! Every wait and every size that the program sets for itself, in one place. It imports nothing. The sizes of the wire
//! format are in `protocol`.
//!
//! Postfix ends a delivery that takes longer than its transport's time limit, and bounces the mail (pipe(8)). MUST:
//! every wait of a delivery is counted in [`Timeouts::total`]. The program does not compile unless that sum and `SLACK`
//! fit into [`POSTFIX_MARGIN`]. A wait that ends is a deferral or a lost log line, never a bounce.

use std::time::Duration;

/// What Postfix allows a delivery beyond `[execution] longest`: `mailsudo_time_limit`, set by `mailsudo postfix
/// install`.
pub const POSTFIX_MARGIN: Duration = Duration::from_mins(3);

/// What remains for waits that cannot be limited: a disk that is slow to sync, a host under load.
const SLACK: Duration = Duration::from_secs(20);

/// How many times one delivery may wait for the ledger: twice to open it (PostgreSQL: once, and once to prune), then to
/// decide, to check a last time whether an exclusive command is free, to record the outcome, and to mark the reply as
/// sent.
const LEDGER_WAITS: u32 = 6;

/// How many of these waits come before a run.
pub const BEFORE_RUN: u32 = 4;

/// How many child processes may have to be ended: a sudo that is slow to start, sudo, sendmail.
const CHILDREN: u32 = 3;

/// How long all log lines of one delivery may wait in total for the syslog daemon.
pub const SYSLOG: Duration = Duration::from_secs(2);

/// What one log line may wait when [`SYSLOG`] is used up. A wait of zero cannot be set (SO_SNDTIMEO, socket(7)).
pub const SYSLOG_LEAST: Duration = Duration::from_millis(1);

/// How long timeout(1) waits between SIGTERM and SIGKILL.
pub const KILL_AFTER: Duration = Duration::from_secs(5);

/// How long sudo may take to start a command. sudo that waits for DNS takes 40 s
/// (docs/measurements.md#sudo-looks-its-host-name-up).
pub const SUDO_START: Duration = Duration::from_secs(10);

/// How often a request that waits for an exclusive command checks whether it is free.
pub const EXCLUSIVE_POLL: Duration = Duration::from_millis(200);

/// What reading a ledger that works takes, many times over.
pub const LEDGER_READ: Duration = Duration::from_secs(1);

/// How much shorter than its time limit a run may seem that timeout(1) has ended: it counts from its own start, which
/// is after sudo's and shortly before the command's.
pub const RUN_START: Duration = Duration::from_secs(1);

/// How often the outcome of a run is tried to be recorded, where the ledger cannot be used.
pub const OUTCOME_POLL: Duration = Duration::from_millis(200);

/// How often a transaction that waits for another one tries to begin: a fraction of what a transaction takes.
pub const LEDGER_POLL: Duration = Duration::from_millis(1);

/// How long setup waits for each program that it runs, such as a fetch from a mailbox.
pub const SETUP_PROGRAM: Duration = Duration::from_mins(2);

/// How long setup waits for the reply to its own request.
pub const SETUP_REPLY: Duration = Duration::from_mins(1);

/// How long a program that setup asks for an answer may take, such as journalctl.
pub const SETUP_ANSWER: Duration = Duration::from_secs(5);

/// How long the mail server may take to answer on its port.
pub const SETUP_GREETING: Duration = Duration::from_secs(3);

/// How often setup looks whether the reply to its own request is sent.
pub const SETUP_POLL: Duration = Duration::from_millis(500);

/// The longest that setup waits for the second to end in which it made a ledger, and how often it looks.
pub const NEW_LEDGER: (Duration, Duration) = (Duration::from_secs(2), Duration::from_millis(100));

/// How long sudo and visudo may take to answer a sysadmin's command. sudo that waits for DNS takes 40 s
/// (docs/measurements.md#sudo-looks-its-host-name-up).
pub const SUDO_ANSWER: Duration = Duration::from_mins(1);

/// How often `mailsudo sign --wait-reply` looks into the user's mailbox.
pub const REPLY_POLL: Duration = Duration::from_secs(1);

/// How much earlier than the clock a file's time may be: file systems keep times with less precision.
pub const FILE_TIME: Duration = Duration::from_secs(2);

/// How often the seconds that a long command has taken are shown.
pub const PROGRESS: Duration = Duration::from_secs(1);

/// How often `mailsudo sign --wait-reply` asks an IMAP server.
pub const IMAP_POLL: Duration = Duration::from_secs(5);

/// How long an IMAP server may take to connect, and to say the next bytes.
pub const IMAP_WAIT: Duration = Duration::from_secs(30);

/// The largest message, in bytes, that is read from an IMAP server: no reply is as large.
pub const IMAP_MESSAGE: usize = 16 << 20;

/// The largest answer of an IMAP server, in bytes: such a message with what stands around it.
pub const IMAP_ANSWER: usize = IMAP_MESSAGE + (1 << 20);

/// How long getent(1) may take to find a host's addresses.
pub const HOST_LOOKUP: Duration = Duration::from_secs(20);

/// How often `mailsudo log --follow` looks for new requests.
pub const LOG_POLL: Duration = Duration::from_secs(1);

/// How often a child process is polled on a kernel without pidfd_open(2).
pub const CHILD_POLL: Duration = Duration::from_millis(5);

/// How long getent(1) may take to find an account: the services that nsswitch.conf names, such as LDAP. No delivery
/// asks.
pub const ACCOUNT_LOOKUP: Duration = Duration::from_secs(5);

/// How long `check` waits for a delivery that writes to the ledger.
pub const CHECK_LEDGER: Duration = Duration::from_secs(2);

/// How long one program that `check` runs may take, and all of them in total.
pub const CHECK_PROGRAM: Duration = Duration::from_secs(5);
/// See [`CHECK_PROGRAM`].
pub const CHECK_PROGRAMS: Duration = Duration::from_secs(12);

/// How long `check --deep` tries sudo rules.
pub const CHECK_RULES: Duration = Duration::from_mins(2);

/// How many sudo rules `check` tries at the same time. sudo takes some 20 ms for each.
pub const CHECK_AT_ONCE: usize = 4;

/// How long before its end `check` warns of a certificate.
pub const CERTIFICATE_ENDS: Duration = Duration::from_hours(30 * 24);

/// For a program that did not end in time to end after SIGTERM, and again after SIGKILL, where nothing else is given.
pub const KILL_GRACE: Duration = Duration::from_secs(1);

/// How long releasing a request's lock may take on PostgreSQL. A lock that is not released ends by itself.
pub const UNLOCK: Duration = Duration::from_secs(1);

/// How long counting a deferral may take: a part of the wait for marking the reply as sent, which a deferral does not
/// reach.
pub const DEFERRAL_COUNT: Duration = Duration::from_secs(1);

/// How much longer than its run an exclusive command is held on PostgreSQL: the hold begins when the statement is sent,
/// and the run when the commit is proven, which may take a transaction's timeout.
pub const HOLD_MARGIN: Duration = Duration::from_secs(15);

/// How often a database that takes no connection is tried again.
pub const DATABASE_POLL: Duration = Duration::from_millis(100);

/// After which time without an answer the next server of `[ledger] url` is tried beside it (RFC 8305, section 8,
/// recommends this).
pub const DATABASE_NEXT: Duration = Duration::from_millis(250);

/// How old the time may be at which PostgreSQL last saw this node before a delivery writes it anew.
pub const NODE_SEEN: Duration = Duration::from_mins(1);

/// The largest message of a PostgreSQL server that is read, in bytes: a record with the largest reply, twice.
pub const DATABASE_MESSAGE: usize = 16 << 20;

/// The waits of one delivery.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For other deliveries' transactions on the ledger to end, each time.
    pub transaction: Duration,
    /// For an exclusive command to be free (docs/decisions/0011).
    pub exclusive_wait: Duration,
    /// For the outcome of a run to be recorded, where the other waits leave the time. What is not recorded is unknown
    /// later.
    pub outcome: Duration,
    /// For sudo to end, beyond the command's time limit and [`KILL_AFTER`].
    pub sudo: Duration,
    /// For sudo to start the command; then it is ended before the command begins.
    pub sudo_start: Duration,
    /// For sendmail to take the reply and end, or for the mail server to take it by SMTP. What programs that encrypt or
    /// decrypt have used is taken off.
    pub reply: Duration,
    /// For all programs that encrypt or decrypt in one delivery, in total: a part of `reply`.
    pub encryption: Duration,
    /// For a child process to end after SIGTERM, and again after SIGKILL. Also for processes that a killed child leaves
    /// behind.
    pub kill_grace: Duration,
}

impl Timeouts {
    /// A gateway's.
    pub const DEFAULT: Self = Self {
        transaction: Duration::from_secs(10),
        exclusive_wait: Duration::from_secs(30),
        outcome: Duration::from_mins(1),
        sudo: Duration::from_secs(10),
        sudo_start: SUDO_START,
        reply: Duration::from_secs(30),
        encryption: Duration::from_secs(12),
        kill_grace: Duration::from_secs(2),
    };

    /// How long the outcome of a run may take to be recorded, `used` of [`Timeouts::total`] being over: what sending
    /// the reply and marking it as sent may take is kept.
    pub fn outcome_left(&self, used: Duration) -> Duration {
        let after = self.reply.saturating_add(self.transaction).saturating_add(UNLOCK);
        let kept = after.saturating_add(self.kill_grace.saturating_mul(2));
        self.total().saturating_sub(used).saturating_sub(kept).min(self.outcome)
    }

    /// The longest that one delivery takes beyond its command's time limit, when every service that it uses hangs.
    pub const fn total(&self) -> Duration {
        SYSLOG
            .saturating_add(self.transaction.saturating_mul(LEDGER_WAITS))
            .saturating_add(UNLOCK)
            .saturating_add(self.exclusive_wait)
            .saturating_add(KILL_AFTER)
            .saturating_add(self.sudo)
            .saturating_add(self.sudo_start)
            .saturating_add(self.reply)
            .saturating_add(self.kill_grace.saturating_mul(2 * CHILDREN))
    }
}

const _: () = assert!(Timeouts::DEFAULT.total().as_secs() + SLACK.as_secs() <= POSTFIX_MARGIN.as_secs());

// A program that is killed takes KILL_GRACE more, and may do so while it decrypts and while it encrypts. As much time
// as before, and more than sendmail takes, is left for the reply.
const _: () = assert!(
    Timeouts::DEFAULT.encryption.as_secs() + 2 * KILL_GRACE.as_secs() + 15 <= Timeouts::DEFAULT.reply.as_secs()
);

/// The largest file that configuration is read from, in bytes.
pub const CONFIG_FILE: u64 = 1 << 20;

/// The largest value of `[limits] message`, in bytes. 32 arguments of 4 KiB each fit, encoded twice.
pub const MESSAGE: u64 = 16 << 20;

/// The buffer, in bytes, that a message is read into first. glibc takes one of 128 KiB from the kernel each time.
pub const MESSAGE_BUFFER: usize = 32 << 10;

/// The largest value of `[limits] output`, in bytes. Postfix does not accept a reply above its message_size_limit.
pub const OUTPUT: u64 = 4 << 20;

/// The largest `max_age`. Pruning removes nothing younger (docs/decisions/0012).
pub const MAX_AGE: Duration = Duration::from_hours(7 * 24);

/// The largest `[execution] longest`.
pub const RUN_TIME: Duration = Duration::from_hours(24);

/// The largest retention and lockout: 100 years.
pub const RETENTION: Duration = Duration::from_hours(36_500 * 24);

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

/// How long `mailsudo ledger migrate` waits for PostgreSQL: an index of millions of requests takes a minute or so.
pub const DATABASE_MIGRATION: Duration = Duration::from_hours(1);

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

#[cfg(test)]
mod tests {
    // The client alone has no such default.
    #[cfg(feature = "gateway")]
    #[test]
    fn postfix_gets_the_limit_that_the_waits_add_up_to() {
        let root = env!("CARGO_MANIFEST_DIR");
        let read = |name: &str| std::fs::read_to_string(format!("{root}/postfix/{name}")).expect("the checkout");
        let default = crate::config::Execution::default().longest.as_duration() + super::POSTFIX_MARGIN;
        assert!(read("main.cf").contains(&format!("\nmailsudo_time_limit = {}s\n", default.as_secs())));
    }
}
