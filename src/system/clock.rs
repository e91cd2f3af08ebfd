//! The clock. Only `cli` makes a [`SystemClock`]; everything below it takes the time as an argument, so that no
//! test waits for time to pass.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::protocol::Timestamp;

/// A source of time.
pub trait Clock {
    /// The time now.
    fn now(&self) -> Timestamp;

    /// The moment on a monotonic clock. It measures waits, so that a change of the time makes no wait longer.
    fn instant(&self) -> Instant {
        Instant::now()
    }

    /// Sleeps for `span`.
    fn sleep(&self, span: Duration);
}

/// The machine's clock.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let seconds = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_secs()).map_or(i64::MIN, |seconds| -seconds),
        };
        Timestamp::from_seconds(seconds)
    }

    fn sleep(&self, span: Duration) {
        std::thread::sleep(span);
    }
}
