//! Waiting for what other processes do.
//!
//! In: a question that is asked until it has an answer. Out: the answer, or a panic with the logs. The
//! deadline only ends a wait that would never end; no test may depend on how long something takes.

use std::thread;
use std::time::{Duration, Instant};

use crate::{postfix, syslog};

/// Many times what the slowest step takes on two busy cores.
const DEADLINE: Duration = Duration::from_mins(2);
const PAUSE: Duration = Duration::from_millis(50);

/// Asks `probe` until it answers; `what` says what was waited for when it never does.
pub(crate) fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = probe() {
            return answer;
        }
        assert!(
            start.elapsed() < DEADLINE,
            "never came: {what}\n--- the queue\n{}--- Postfix's log ends\n{}\n--- authpriv's log ends\n{}",
            postfix::queue(),
            tail(&postfix::log()),
            tail(&syslog::authpriv()),
        );
        thread::sleep(PAUSE);
    }
}

/// Like [`until`], for a condition.
pub(crate) fn until_true(what: &str, mut probe: impl FnMut() -> bool) {
    until(what, || probe().then_some(()));
}

fn tail(log: &str) -> String {
    let skipped = log.lines().count().saturating_sub(40);
    log.lines().skip(skipped).collect::<Vec<_>>().join("\n")
}
