//! Which TOTP step the last request was signed in, so that no code is signed with twice: a gateway accepts each step
//! once (docs/protocol.md, reader's rule 9). In: the gateway, the user, the time. Out: when the next code comes.
//!
//! MUST: the file holds no secret, only the end of the step. What cannot be read or written stops no request from being
//! signed.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::folders;
use crate::limits::TOTP_PERIOD;
use crate::protocol::{GatewayName, Timestamp, UserName};
use crate::system::clock::Clock;
use crate::system::private;

/// The period of a code whose secret is elsewhere: the default of RFC 6238, and what `mailsudo user add` sets.
pub const USUAL_PERIOD: Duration = Duration::from_secs(30);

/// The file that a process locks while it looks and writes; no record's name begins with a dot.
const LOCK: &str = ".lock";

/// The record of the last step that one user signed in for one gateway.
#[derive(Debug, Clone)]
pub struct UsedStep {
    path: PathBuf,
}

impl UsedStep {
    /// The record in the user's own folder for such.
    ///
    /// # Errors
    ///
    /// The user has none: `HOME` is not set.
    pub fn of(gateway: &GatewayName, user: &UserName) -> Result<Self> {
        Ok(Self::in_folder(&folders::state()?, gateway, user))
    }

    /// The record in `folder`.
    pub fn in_folder(folder: &Path, gateway: &GatewayName, user: &UserName) -> Self {
        Self { path: folder.join(format!("{user}@{gateway}")) }
    }

    /// The end of the step that was signed in, where that is later than `now`.
    pub fn used_until(&self, now: Timestamp) -> Option<Timestamp> {
        let text = fs::read_to_string(&self.path).ok()?;
        let until = Timestamp::parse(text.trim_end())?;
        // An end that is further away than any step was written while the clock was wrong.
        (now < until && until <= now.plus(TOTP_PERIOD)).then_some(until)
    }

    /// Waits until no used step lasts any more. `notice` gets the seconds of each wait before it begins.
    pub fn wait(&self, clock: &dyn Clock, mut notice: impl FnMut(u64)) {
        while let Some(until) = self.used_until(clock.now()) {
            let seconds = seconds_to(until, clock.now());
            notice(seconds);
            clock.sleep(Duration::from_secs(seconds));
        }
    }

    /// Records the step of `period` at `now` as used. `false`: it was used already, perhaps by another process just
    /// now.
    ///
    /// # Errors
    ///
    /// The folder or the file cannot be written.
    pub fn claim(&self, now: Timestamp, period: Duration) -> Result<bool> {
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        // Only the folder itself is private; `~/.local/state` belongs to other programs too.
        if let Some(above) = folder.parent() {
            fs::create_dir_all(above).with_context(|| above.display().to_string())?;
        }
        match private::create_folder(folder) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(error).with_context(|| folder.display().to_string());
            }
            _ => {}
        }
        // It ends when the file is closed.
        let lock = folder.join(LOCK);
        let lock = private::lock_file(&lock).and_then(|file| file.lock().map(|()| file));
        let _lock = lock.with_context(|| folder.display().to_string())?;
        if self.used_until(now).is_some() {
            return Ok(false);
        }
        let until = format!("{}\n", step_end(now, period));
        private::replace(&self.path, until.as_bytes()).map(|()| true)
    }

    /// Forgets the last claim: the request that it was for was not sent.
    pub fn forget(&self) {
        // A file that stays makes the user wait for the next code, and nothing else.
        let _ = fs::remove_file(&self.path);
    }
}

/// The seconds from `now` to `until`; none where it is over.
pub fn seconds_to(until: Timestamp, now: Timestamp) -> u64 {
    u64::try_from(until.seconds().saturating_sub(now.seconds())).unwrap_or_default()
}

/// The moment at which the step of `now` ends (RFC 6238 section 4.2: steps count from the epoch).
pub fn step_end(now: Timestamp, period: Duration) -> Timestamp {
    let period = i64::try_from(period.as_secs().max(1)).unwrap_or(i64::MAX);
    Timestamp::from_seconds(now.seconds().div_euclid(period).saturating_add(1).saturating_mul(period))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    struct TestClock(Cell<i64>);

    impl Clock for TestClock {
        fn now(&self) -> Timestamp {
            Timestamp::from_seconds(self.0.get())
        }

        fn sleep(&self, span: Duration) {
            self.0.set(self.0.get() + i64::try_from(span.as_secs()).expect("a short wait"));
        }
    }

    fn record(folder: &Path) -> UsedStep {
        let gateway = GatewayName::try_from("berlin").expect("a name");
        UsedStep::in_folder(&folder.join("state/mailsudo"), &gateway, &UserName::try_from("alice").expect("a name"))
    }

    #[test]
    fn a_step_is_claimed_once_and_the_next_one_is_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let record = record(folder.path());
        let clock = TestClock(Cell::new(1_795_428_905));
        assert_eq!(record.used_until(clock.now()), None);
        assert!(record.claim(clock.now(), USUAL_PERIOD).expect("written"));
        assert!(!record.claim(clock.now(), USUAL_PERIOD).expect("read"), "the same step");
        clock.sleep(Duration::from_secs(24));
        assert_eq!(record.used_until(clock.now()), Some(Timestamp::from_seconds(1_795_428_930)));
        let mut waits = Vec::new();
        record.wait(&clock, |seconds| waits.push(seconds));
        assert_eq!((waits, clock.0.get()), (vec![1], 1_795_428_930));
        assert!(record.claim(clock.now(), USUAL_PERIOD).expect("written"), "the next step");
        record.forget();
        assert_eq!(record.used_until(clock.now()), None);
        assert!(record.claim(clock.now(), Duration::from_mins(1)).expect("written"));
        assert_eq!(record.used_until(clock.now()), Some(Timestamp::from_seconds(1_795_428_960)), "a period of 60 s");
    }

    #[test]
    fn the_file_holds_the_end_of_the_step_and_is_private() {
        let folder = tempfile::tempdir().expect("a folder");
        let record = record(folder.path());
        let now = Timestamp::parse("2026-11-23T10:15:05Z").expect("a time");
        record.claim(now, USUAL_PERIOD).expect("written");
        assert_eq!(fs::read_to_string(&record.path).expect("read"), "2026-11-23T10:15:30Z\n");
        #[cfg(unix)]
        for path in [&record.path, record.path.parent().expect("a folder")] {
            let about = fs::metadata(path).expect("metadata");
            assert!(crate::system::permissions::Permissions::from(&about).is_private(), "{}", path.display());
        }
    }

    #[test]
    fn what_was_written_by_a_wrong_clock_or_another_program_is_ignored() {
        let folder = tempfile::tempdir().expect("a folder");
        let record = record(folder.path());
        let now = Timestamp::parse("2026-11-23T10:15:05Z").expect("a time");
        record.claim(now, USUAL_PERIOD).expect("written");
        for text in ["2027-01-01T00:00:00Z\n", "2026-11-23T10:15:05Z\n", "tomorrow\n", ""] {
            fs::write(&record.path, text).expect("written");
            assert_eq!(record.used_until(now), None, "{text}");
        }
        fs::write(&record.path, b"\xff\xfe").expect("written");
        assert!(record.claim(now, USUAL_PERIOD).expect("written"));
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("state"), "a file").expect("written");
        let record = record(folder.path());
        let now = Timestamp::from_seconds(1_795_428_905);
        assert!(record.claim(now, USUAL_PERIOD).is_err());
        assert_eq!(record.used_until(now), None);
    }
}
