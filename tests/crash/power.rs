//! Power is lost between any two calls: what was admitted before its command started is known afterwards.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use mailsudo::config::RunVia;
use mailsudo::protocol::Timestamp;
use mailsudo::system::clock::{Clock, SystemClock};

use crate::case::request;
use crate::disk::{Disk, Files, Kept, Step};
use crate::site::{Known, Site, empty};
use crate::strace;
use crate::tried::{Tried, each, is_soak};

/// How many of the steps that were not synced are lost by chance, at each moment.
const CHANCES: u64 = 2;
const CHANCES_IN_A_SOAK: u64 = 60;

/// A row of deliveries, from making the ledger to beginning its write-ahead log anew.
struct Story {
    disk: Disk,
    tellings: Vec<Telling>,
}

/// One delivery of it.
struct Telling {
    time: Timestamp,
    /// Its steps begin here.
    begin: usize,
    reply: String,
    /// Whether the log was moved into the ledger, or begun anew.
    is_special: bool,
}

/// Power lost at a moment of a delivery.
#[derive(Debug)]
struct Loss {
    telling: usize,
    moment: usize,
    kept: Kept,
}

impl Story {
    fn record() -> Result<Self> {
        let mut site = Site::new(RunVia::Direct);
        let ledger = site.test_gateway.path("ledger").canonicalize()?;
        let mut story = Self { disk: Disk::new(ledger.clone()), tellings: Vec::new() };
        let (now, mut moved) = (SystemClock.now(), false);
        for n in 0..50 {
            let time = Timestamp::from_seconds(now.seconds() - 60 * n);
            site.set_request(time, &request(time, "count", &[], None));
            let begin = story.disk.steps.len();
            let before = fs::read(ledger.join("ledger.db")).unwrap_or_default();
            let ended = site.deliver(&strace::listing(&site.trace(), 1 << 20), |_| false)?;
            ensure!(ended.status == Some(0), "{ended:?}");
            story.disk.record(&site.trace());
            let has_moved = n > 0 && fs::read(ledger.join("ledger.db"))? != before;
            let reply = site.replies()?.pop().context("a reply")?;
            site.forget_outcome();
            story.tellings.push(Telling { time, begin, reply, is_special: n < 2 || has_moved || moved });
            if moved {
                break;
            }
            moved = has_moved;
        }
        ensure!(moved, "the write-ahead log never fills");
        let end = story.disk.after(story.disk.steps.len(), Kept::Everything, true);
        let mut real = files(&ledger);
        real.retain(|name, _| !name.ends_with("-shm"));
        ensure!(end == real, "the model of the disk holds something else than the disk");
        Ok(story)
    }

    /// Every moment of the deliveries that matter, with every loss that leaves another folder behind.
    fn losses(&self) -> Vec<Loss> {
        let chances = if is_soak() { CHANCES_IN_A_SOAK } else { CHANCES };
        let kept = [Kept::Nothing, Kept::Everything].into_iter().chain((0..chances).map(Kept::Some));
        let kept: Vec<_> = kept.collect();
        let mut losses = Vec::new();
        let mut seen = BTreeSet::new();
        for (telling, it) in self.tellings.iter().enumerate().filter(|(_, it)| it.is_special || is_soak()) {
            let end = self.tellings.get(telling + 1).map_or(self.disk.steps.len(), |next| next.begin);
            for moment in it.begin..=end {
                for &kept in &kept {
                    let starts = self.starts(telling, moment);
                    if seen.insert((telling, starts, self.disk.after(moment, kept, true))) {
                        losses.push(Loss { telling, moment, kept });
                    }
                }
            }
        }
        losses
    }

    /// How many children the delivery had started by then: none, the command, or sendmail too.
    fn starts(&self, telling: usize, moment: usize) -> usize {
        let steps = &self.disk.steps[self.tellings[telling].begin..moment];
        steps.iter().filter(|step| **step == Step::Start).count()
    }

    /// Leaves `site` as power failing would have, and delivers the mail again.
    fn try_out(&self, site: &mut Site, loss: &Loss, syncs: bool) -> Result<Known> {
        let telling = &self.tellings[loss.telling];
        site.forget_outcome();
        lay_down(site, &self.disk.after(loss.moment, loss.kept, syncs));
        site.set_request(telling.time, &request(telling.time, "count", &[], None));
        let starts = self.starts(loss.telling, loss.moment);
        if starts > 0 {
            fs::write(site.test_gateway.path("ran"), "\n")?;
        }
        if starts > 1 {
            fs::write(site.test_gateway.path("replies/before"), &telling.reply)?;
        }
        let before = site.look()?;
        ensure!(starts == 0 || before.is_some(), "its command was started, and the ledger does not know it");
        let known = site.settle(before.as_ref())?;
        let requests = site.number("SELECT count(*) FROM requests")? as usize;
        ensure!(requests == loss.telling + 1, "{requests} of {} requests are known", loss.telling + 1);
        Ok(known)
    }
}

fn lay_down(site: &Site, files: &Files) {
    let folder = site.test_gateway.path("ledger");
    empty(&folder);
    for (name, content) in files {
        fs::write(folder.join(name), content).expect("written");
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o600)).expect("a mode");
    }
    // Whatever the kernel had written back of it by then.
    fs::write(folder.join("ledger.db-shm"), vec![0x5a; 32768]).expect("written");
    fs::set_permissions(folder.join("ledger.db-shm"), fs::Permissions::from_mode(0o600)).expect("a mode");
}

fn files(folder: &Path) -> Files {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    entries
        .map(|entry| {
            let name = entry.file_name().into_string().expect("a name");
            (name, fs::read(entry.path()).expect("read"))
        })
        .collect()
}

#[test]
fn power_may_fail_at_any_moment() {
    let story = Story::record().unwrap_or_else(|error| panic!("{error:#}"));
    let losses = story.losses();
    let tried = Tried::default();
    each(
        || Ok(Site::new(RunVia::Direct)),
        &losses,
        &tried,
        |site, loss| {
            let known = story.try_out(site, loss, true)?;
            tried.count(true, &known, site.test_gateway.runs().len());
            Ok(())
        },
    );
    tried.report("power lost");
}

/// The promise depends on the disk: with one that says it has synced and has not, a command is run again. So the losses
/// of the other tests are real losses.
#[test]
fn a_disk_that_does_not_sync_is_detected() {
    let story = Story::record().unwrap_or_else(|error| panic!("{error:#}"));
    let is_start = |step: &Step| *step == Step::Start;
    let begin = story.tellings[1].begin;
    let start = begin + story.disk.steps[begin..].iter().position(is_start).expect("a start");
    let loss = Loss { telling: 1, moment: start + 1, kept: Kept::Nothing };
    let mut site = Site::new(RunVia::Direct);
    story.try_out(&mut site, &loss, true).expect("an honest disk");
    let error = story.try_out(&mut site, &loss, false).expect_err("a lying disk");
    assert!(error.to_string().contains("does not know it"), "{error:#}");
}

#[test]
fn a_new_ledger_is_on_disk_when_that_is_said() {
    let site = Site::new(RunVia::Direct);
    let ledger = site.test_gateway.path("ledger").canonicalize().expect("a folder");
    let mut disk = Disk::new(ledger);
    site.trace_init().expect("made");
    disk.record(&site.trace());
    let left = disk.after(disk.steps.len(), Kept::Nothing, true);
    assert_eq!(left.keys().map(String::as_str).collect::<Vec<_>>(), ["ledger.db", "ledger.db-claims", "ledger.db-wal"]);
    lay_down(&site, &left);
    site.judge_ledger().expect("a sound ledger");
}
