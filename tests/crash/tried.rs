//! Going through points one by one, on all processors at once, and counting what was tried and found.

use std::fmt::Debug;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;

use crate::site::{Known, Site};

/// Whether there is time for everything.
pub fn is_soak() -> bool {
    std::env::var_os("MAILSUDO_SOAK").is_some()
}

/// What was tried, and what was found.
#[derive(Debug, Default)]
pub struct Tried {
    points: AtomicUsize,
    missed: AtomicUsize,
    runs: AtomicUsize,
    unknown: AtomicUsize,
    findings: Mutex<Vec<String>>,
}

impl Tried {
    /// Counts a point that ended well, and whether the disturbance came: how often a delivery waits for a child is
    /// chance.
    pub fn count(&self, happened: bool, known: &Known, runs: usize) {
        self.points.fetch_add(1, Ordering::Relaxed);
        self.missed.fetch_add(usize::from(!happened), Ordering::Relaxed);
        self.runs.fetch_add(runs, Ordering::Relaxed);
        self.unknown.fetch_add(usize::from(known.result.as_deref() == Some("unknown")), Ordering::Relaxed);
    }

    /// Says what was tried; fails if anything was found.
    pub fn report(&self, what: &str) {
        let [points, missed, runs, unknown] =
            [&self.points, &self.missed, &self.runs, &self.unknown].map(|count| count.load(Ordering::Relaxed));
        let findings = self.findings.lock().expect("a list");
        println!(
            "{what}: {points} points ({missed} not reached), {runs} runs, {unknown} outcomes unknown, {} findings",
            findings.len()
        );
        for finding in findings.iter() {
            println!("{finding}");
        }
        assert!(findings.is_empty(), "{} findings, the first: {}", findings.len(), findings[0]);
        assert!(missed * 20 <= points, "{missed} of {points} points were not reached");
    }
}

/// Does `work` on every point, each worker in a gateway of its own.
pub fn each<P: Sync + Debug>(
    site: impl Fn() -> Result<Site> + Sync,
    points: &[P],
    tried: &Tried,
    work: impl Fn(&mut Site, &P) -> Result<()> + Sync,
) {
    let next = AtomicUsize::new(0);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let mut site = site().expect("a gateway");
                while let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(error) = work(&mut site, point) {
                        tried.findings.lock().expect("a list").push(format!("{point:?}: {error:#}"));
                    }
                }
            });
        }
    });
}
