//! How long one delivery waits for each of its neighbours, on one page, so that the sum can be seen.
//!
//! Postfix kills a delivery that takes longer than its transport's time limit, and *bounces* the mail (pipe(8)). MUST: every
//! wait of a delivery is counted in [`Patience::whole`]; mailsudo cannot be built unless that sum fits into [`POSTFIX`] and
//! leaves `SLACK`. A wait that is over is a deferral or a lost log line, never a bounce.

use std::time::Duration;

use crate::audit;
use crate::execute::GRACE;

/// What Postfix grants a delivery beyond `[execution] longest`: `mailsudo_time_limit`, set by postfix/install.
pub const POSTFIX: Duration = Duration::from_mins(3);

/// What must remain for everything that nobody can limit: a disk that takes its time to sync, a host out of breath.
const SLACK: Duration = Duration::from_secs(20);

/// How many times one delivery may wait for the ledger: twice to open it, then to decide, to look a last time whether an
/// exclusive command is free, to record the outcome and to close the case.
const PAGES: u32 = 6;

/// How many children may have to be ended: sudo, the sudo that is asked what it permits, sendmail.
const CHILDREN: u32 = 3;

/// The waits of one delivery.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For other deliveries to leave the ledger's page, each time.
    pub page: Duration,
    /// For an exclusive command to be free (DESIGN.md, decision 11).
    pub turn: Duration,
    /// For sudo to end, beyond the command's limit and [`GRACE`].
    pub sudo: Duration,
    /// For sudo to say whether it would have run a command.
    pub question: Duration,
    /// For sendmail to take the reply and end, or for the mail server to answer by SMTP.
    pub sendmail: Duration,
    /// For a child that was told to end, and again for one that was killed; also for what a child that somebody else killed
    /// has left behind.
    pub mercy: Duration,
}

impl Patience {
    /// A gateway's.
    pub const USUAL: Self = Self {
        page: Duration::from_secs(10),
        turn: Duration::from_secs(30),
        sudo: Duration::from_secs(10),
        question: Duration::from_secs(10),
        sendmail: Duration::from_secs(30),
        mercy: Duration::from_secs(2),
    };

    /// The longest that one delivery takes beyond its command's limit, when every one of its neighbours hangs.
    pub const fn whole(&self) -> Duration {
        audit::PATIENCE
            .saturating_add(self.page.saturating_mul(PAGES))
            .saturating_add(self.turn)
            .saturating_add(GRACE)
            .saturating_add(self.sudo)
            .saturating_add(self.question)
            .saturating_add(self.sendmail)
            .saturating_add(self.mercy.saturating_mul(2 * CHILDREN))
    }
}

const _: () = assert!(Patience::USUAL.whole().as_secs() + SLACK.as_secs() <= POSTFIX.as_secs());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn postfix_is_told_the_limit_that_the_waits_were_added_up_for() {
        let root = env!("CARGO_MANIFEST_DIR");
        let read = |name: &str| std::fs::read_to_string(format!("{root}/postfix/{name}")).expect("the checkout");
        let margin = POSTFIX.as_secs();
        assert!(read("install").contains(&format!("_time_limit = $((longest + {margin}))s")));
        let usual = crate::config::Execution::default().longest.as_duration() + POSTFIX;
        assert!(read("main.cf").contains(&format!("\nmailsudo_time_limit = {}s\n", usual.as_secs())));
    }
}
