//! strace(1) lists a process's calls and, run after run, kills it at one of them or makes one fail. Only deliver's own
//! process is traced: what it starts is not disturbed, as on a real machine.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// The classes of calls that touch files, descriptors, processes or sockets, and the one by which time passes. What
/// only touches memory cannot be seen by another process.
const CLASSES: &str = "%file,%desc,%process,%network,clock_nanosleep";

/// Calls that no other process can notice, or that come before there is anything to lose.
const NOT_STEPPED: [&str; 5] = ["mmap", "munmap", "execve", "arch_prctl", "prctl"];

/// Shortens every wait: only until the other process has run, not until the time is over.
pub const SHORT_WAITS: &str = "--inject=clock_nanosleep:retval=0:delay_enter=50ms";

/// Keeps the program from hiding its memory (PR_SET_DUMPABLE), in which strace(1) reads paths and bytes: whoever is not
/// root may not look into what is hidden.
const LOOK_IN: &str = "--inject=prctl:retval=0";

/// How many calls, at least, stand between the commit of a draft and its encryption: the user's files are read.
const BEFORE_ENCRYPTION: usize = 25;

/// One call of a delivery: the `nth` of its name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Call {
    pub name: String,
    pub nth: u32,
    /// Whether it comes after the delivery has begun to look at the ledger.
    pub after_ledger: bool,
    /// Whether a child may have been started by then.
    pub after_start: bool,
    /// Whether the reply is being encrypted, and stored like that.
    pub while_encrypting: bool,
}

/// Options that only list the calls, with the paths of their descriptors and up to `bytes` of what is written, in hex.
pub fn listing(trace: &Path, bytes: u32) -> Vec<String> {
    let mut words = options(trace, CLASSES);
    words.extend(["-y", "-xx", "-s"].map(str::to_owned));
    words.push(bytes.to_string());
    words
}

/// Options that kill the process when it is about to make `call`, so that the call before is the last one made.
pub fn kill(trace: &Path, call: &Call) -> Vec<String> {
    inject(trace, call, "signal=KILL")
}

/// Options that let `call` return `error` instead of being made.
pub fn fail(trace: &Path, call: &Call, error: &str) -> Vec<String> {
    inject(trace, call, &format!("error={error}"))
}

fn inject(trace: &Path, call: &Call, what: &str) -> Vec<String> {
    let mut words = options(trace, &format!("{},clock_nanosleep", call.name));
    words.push(format!("--inject={}:{what}:when={}", call.name, call.nth));
    if call.name != "clock_nanosleep" {
        words.push(SHORT_WAITS.to_owned());
    }
    words
}

fn options(trace: &Path, calls: &str) -> Vec<String> {
    let mut words = ["-qq", "-e"].map(str::to_owned).to_vec();
    words.push(format!("trace={calls},prctl"));
    words.extend([LOOK_IN.to_owned(), "-o".to_owned(), trace.display().to_string()]);
    words
}

/// The calls that a listing shows, in their order. `ledger` is the folder that it is in.
pub fn calls(trace: &Path, ledger: &Path) -> Vec<Call> {
    let listing = fs::read_to_string(trace).expect("what strace wrote");
    let ledger = hex(ledger.as_os_str().as_encoded_bytes());
    let mut counts: HashMap<&str, u32> = HashMap::new();
    let (mut after_ledger, mut after_start) = (false, false);
    let mut calls: Vec<Call> = Vec::new();
    let mut encrypts = 0..0;
    for line in listing.lines() {
        after_ledger |= line.contains(&ledger);
        let Some((name, _)) = line.split_once('(') else { continue };
        if name.contains(' ') || NOT_STEPPED.contains(&name) {
            continue;
        }
        // fork(2) or posix_spawn(3), as the C library makes them.
        after_start |= ["clone", "clone3", "vfork"].contains(&name);
        let nth = counts.entry(name).or_default();
        *nth += 1;
        // The files of the program that encrypts, and then the one that sendmail reads.
        let file = |name: &str| line.contains(&format!("\"{}\"", hex(name.as_bytes())));
        if file("given") && encrypts.end == 0 {
            encrypts = calls.len().saturating_sub(BEFORE_ENCRYPTION)..usize::MAX;
        }
        if file("reply") {
            encrypts.end = encrypts.end.min(calls.len());
        }
        calls.push(Call { name: name.to_owned(), nth: *nth, after_ledger, after_start, while_encrypting: false });
    }
    for (at, call) in calls.iter_mut().enumerate() {
        call.while_encrypting = encrypts.contains(&at);
    }
    calls
}

/// `ab` as strace(1) writes it with `-xx`.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("\\x{byte:02x}"))
}

/// The line of the last run's `call` that was made to fail; empty if none was.
pub fn injected(trace: &Path, call: &Call) -> String {
    let listing = fs::read_to_string(trace).expect("what strace wrote");
    let name = format!("{}(", call.name);
    listing.lines().find(|line| line.ends_with("(INJECTED)") && line.starts_with(&name)).unwrap_or_default().to_owned()
}
