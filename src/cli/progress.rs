//! What is going on, on a terminal. In: words. Out: one line on standard error that is replaced and at last removed.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::Instant;

use crate::limits::PROGRESS;

/// Shows progress on a terminal until it is dropped; without a terminal it prints nothing.
pub(super) struct Progress {
    ticks: Option<(Sender<()>, std::thread::JoinHandle<()>)>,
    counted: Arc<AtomicU64>,
}

impl Progress {
    /// Shows `words`.
    pub(super) fn show(words: &str) -> Self {
        print(words);
        Self { ticks: None, counted: Arc::default() }
    }

    /// Shows `words` with the seconds that have passed and, where there is one, a count.
    pub(super) fn with_time(words: &str) -> Self {
        let mut shown = Self::show(words);
        if !io::stderr().is_terminal() {
            return shown;
        }
        let (end, ended) = mpsc::channel();
        let (begun, words, counted) = (Instant::now(), words.to_owned(), Arc::clone(&shown.counted));
        let ticking = std::thread::spawn(move || {
            while ended.recv_timeout(PROGRESS) == Err(RecvTimeoutError::Timeout) {
                let count = match counted.load(Ordering::Relaxed) {
                    0 => String::new(),
                    count => format!(", requests: {count}"),
                };
                print(&format!("{words}: {} s{count}", begun.elapsed().as_secs()));
            }
        });
        shown.ticks = Some((end, ticking));
        shown
    }

    /// The count to show.
    pub(super) fn count(&self, count: u64) {
        self.counted.store(count, Ordering::Relaxed);
    }

    fn end(&mut self) {
        if let Some((end, ticking)) = self.ticks.take() {
            drop(end);
            let _ = ticking.join();
        }
    }
}

fn print(words: &str) {
    if io::stderr().is_terminal() {
        eprint!("\r\u{1b}[K{words} … ");
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
        if io::stderr().is_terminal() {
            eprint!("\r\u{1b}[K");
        }
    }
}
