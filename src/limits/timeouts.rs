//! The waits of one delivery.
//!
//! Postfix ends a delivery that takes longer than its transport's time limit, and bounces the mail (pipe(8)). MUST:
//! every wait of a delivery is counted in [`Timeouts::total`]. The program does not compile unless that sum and `SLACK`
//! fit into [`POSTFIX_MARGIN`]. A wait that ends is a deferral or a lost log line, never a bounce.

use std::time::Duration;

use super::waits::{KILL_AFTER, KILL_GRACE, SUDO_START, SYSLOG, UNLOCK};

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
