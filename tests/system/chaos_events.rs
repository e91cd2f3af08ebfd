//! What goes wrong in the soak (chaos.rs): events by chance, each for a few seconds at most.

use std::fs::{self, File};
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::process;

/// libfaketime reads the offset of the gateway's clock from here, at each call.
const CLOCK: &str = "/srv/chaos-clock";
const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
const FILLERS: [&str; 2] = ["/var/lib/mailsudo/filler", "/var/spool/postfix/filler"];
const HOUR: i64 = 3600;

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    /// A delivery, sudo, timeout(1) or command is killed.
    KillFilter,
    /// One of Postfix's processes is killed.
    KillPostfix,
    /// Postfix stops and starts again.
    RestartPostfix,
    /// rsyslogd is killed, and started again after a while.
    KillSyslog,
    /// The ledger's disk or Postfix's is full for a while.
    FullDisk,
    /// Each write to disk of what Postfix starts takes long, for a while.
    SlowDisk,
    /// A delivery stands still for a while.
    Stop,
    /// The gateway's clock is an hour ahead or behind, or right again.
    StepClock,
}

/// Pseudo-random numbers (splitmix64): the same seed, the same events.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// The next event. Kills are the most frequent, since many of them hit nothing.
    pub(crate) fn event(&mut self) -> Event {
        match self.below(100) {
            0..50 => Event::KillFilter,
            50..65 => Event::KillPostfix,
            65..68 => Event::RestartPostfix,
            68..74 => Event::KillSyslog,
            74..81 => Event::FullDisk,
            81..86 => Event::SlowDisk,
            86..92 => Event::Stop,
            _ => Event::StepClock,
        }
    }

    /// The next process to kill.
    pub(crate) fn kill(&mut self) -> Event {
        if self.below(4) == 0 { Event::KillPostfix } else { Event::KillFilter }
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        let at = self.below(from.len().max(1) as u64);
        from.get(usize::try_from(at).ok()?).copied()
    }

    fn wait(&mut self, most_ms: u64) {
        thread::sleep(Duration::from_millis(self.below(most_ms)));
    }
}

/// What Postfix passes to the programs that it starts, so that their clock is [`CLOCK`]'s.
pub(crate) fn clock_variables() -> String {
    assert!(fs::exists(LIBRARY).is_ok_and(|is_there| is_there), "apt-get install --no-remove libfaketime");
    format!("LD_PRELOAD={LIBRARY} FAKETIME_TIMESTAMP_FILE={CLOCK} FAKETIME_NO_CACHE=1 DONT_FAKE_MONOTONIC=1")
}

/// Sets the gateway's clock `seconds` ahead.
pub(crate) fn set_clock(seconds: i64) {
    // Replaced by renaming: a reader sees the old offset or the new one.
    process::write(format!("{CLOCK}.new"), 0o644, &format!("{seconds:+}s\n"));
    fs::rename(format!("{CLOCK}.new"), CLOCK).expect("renamed");
}

/// Sends a signal to a process that may be gone.
fn signal(pid: u32, name: &str) -> bool {
    Command::new("kill")
        .args([name, &pid.to_string()])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn quiet(program: &str, args: &[&str]) -> bool {
    let status =
        Command::new(program).args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn deliveries() -> Vec<u32> {
    process::find(|line| line.contains("mailsudo deliver "))
}

/// A process of the filter's: the delivery itself, sudo, timeout(1), the command, or the sendmail(1) that takes the
/// reply.
fn of_the_filter() -> Vec<u32> {
    process::find(|line| {
        line.contains("mailsudo deliver ") || line.contains("libexec/chaos ") || line.contains("sendmail -i ")
    })
}

fn of_postfix() -> Vec<u32> {
    let services = ["pipe ", "qmgr ", "cleanup ", "pickup ", "smtpd ", "virtual ", "bounce ", "trivial-rewrite "];
    process::find(|line| services.iter().any(|name| line.starts_with(name)))
}

/// Writes until there is no room.
fn fill(path: &str) {
    let Ok(mut filler) = File::create(path) else {
        return;
    };
    for size in [65_536, 512, 1] {
        while filler.write_all(&vec![0; size]).is_ok() {}
    }
}

/// strace(1) around Postfix's processes and all that they start: each flush to disk takes `ms` longer.
fn slow(ms: u64) -> Option<Child> {
    let master = process::text("/var/spool/postfix/pid/master.pid").trim().parse().ok()?;
    let pids = process::find(|line| line.starts_with("pipe "));
    let pids: Vec<String> =
        pids.into_iter().chain([master]).flat_map(|pid: u32| ["-p".to_owned(), pid.to_string()]).collect();
    let inject = format!("inject=fsync,fdatasync,pwrite64:delay_enter={ms}ms");
    Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync,pwrite64", "-e", &inject])
        .args(pids)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()
}

/// Causes an event and waits for its end. Returns whether there was anything that it could happen to.
pub(crate) fn cause(event: Event, dice: &mut Dice) -> bool {
    match event {
        Event::KillFilter => {
            // Not all of them at the same moment of their life.
            dice.wait(300);
            let victims = of_the_filter();
            dice.pick(&victims).is_some_and(|pid| signal(pid, "-KILL"))
        }
        Event::KillPostfix => {
            let victims = of_postfix();
            dice.pick(&victims).is_some_and(|pid| signal(pid, "-KILL"))
        }
        Event::RestartPostfix => {
            let stopped = quiet("postfix", &["stop"]);
            dice.wait(2000);
            quiet("postfix", &["start"]) && stopped
        }
        Event::KillSyslog => {
            let daemons = process::find(|line| line.starts_with("rsyslogd "));
            let killed = daemons.into_iter().filter(|pid| signal(*pid, "-KILL")).count() > 0;
            dice.wait(3000);
            start_syslog();
            killed
        }
        Event::FullDisk => {
            let path = dice.pick(&FILLERS).expect("there are two");
            fill(path);
            dice.wait(4000);
            fs::remove_file(path).is_ok()
        }
        Event::SlowDisk => {
            let tracer = slow(20 + dice.below(200));
            dice.wait(6000);
            tracer.is_some_and(stop_tracing)
        }
        Event::Stop => {
            let victims = deliveries();
            let Some(pid) = dice.pick(&victims).filter(|pid| signal(*pid, "-STOP")) else {
                return false;
            };
            dice.wait(5000);
            signal(pid, "-CONT")
        }
        Event::StepClock => {
            set_clock(dice.pick(&[HOUR, -HOUR, 0]).expect("there are three"));
            dice.wait(4000);
            // Mostly right, so that most requests are judged at the time at which they were signed.
            set_clock(0);
            true
        }
    }
}

fn stop_tracing(mut tracer: Child) -> bool {
    // It lets go of what it traces and ends.
    let was_there = signal(tracer.id(), "-INT");
    let _ = tracer.wait();
    was_there
}

fn start_syslog() {
    if process::find(|line| line.starts_with("rsyslogd ")).is_empty() {
        let _ = fs::remove_file("/dev/log");
        let _ = fs::remove_file("/run/rsyslogd.pid");
        quiet("rsyslogd", &["-i", "/run/rsyslogd.pid"]);
    }
}

/// Ends what is still wrong.
pub(crate) fn heal() {
    for filler in FILLERS {
        let _ = fs::remove_file(filler);
    }
    set_clock(0);
    start_syslog();
    for pid in deliveries() {
        signal(pid, "-CONT");
    }
    quiet("postfix", &["start"]);
}
