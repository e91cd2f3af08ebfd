//! Every wait that the program sets for itself, and how often it looks while it waits. Those of a delivery are counted in
//! [`Timeouts`](super::Timeouts).

use std::time::Duration;

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

/// How long `mailsudo ledger migrate` waits for PostgreSQL: an index of millions of requests takes a minute or so.
pub const DATABASE_MIGRATION: Duration = Duration::from_hours(1);
