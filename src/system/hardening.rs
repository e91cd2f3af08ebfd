//! Hardens a process before it reads the first secret. It needs no privilege. Programs that are started later lose only
//! descriptors that are not theirs.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

/// The first descriptor that is not standard input, output or error.
const FIRST_OTHER: i32 = 3;

/// The signals that a parent may have set to be ignored, which execve(2) passes on. pipe(8) ignores SIGXFSZ, and with
/// SIGCHLD ignored wait(2) says ECHILD: every run would end unknown. (std resets SIGPIPE and the mask in each child
/// that it starts.)
const RESET: [i32; 2] = [signal_hook::consts::SIGCHLD, signal_hook::consts::SIGXFSZ];

/// Resets what the parent has changed for this process and the programs that it starts: a signal with a handler is back
/// at its default after execve(2). It ignores errors, because they leave what was inherited.
pub fn reset_signals() {
    for signal in RESET {
        let _ = signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)));
    }
}

/// Hardens this process; every subcommand calls it first.
///
/// - No core dump: a process that is not dumpable leaves none, whatever core_pattern says. Only root may read its
///   memory or trace it, not even other processes of the same user (PR_SET_DUMPABLE, proc(5), ptrace(2)). The soft
///   limit of 0 is for readers of /proc/PID/limits. The hard limit stays, because a command that is started later
///   inherits both.
/// - No inherited descriptor is passed on: pipe(8) gives three. Any other that a parent left open is closed at the next
///   execve(2). The program opens its own descriptors with that flag.
///
/// It ignores errors: a kernel without these calls must not stop the delivery of mail.
pub fn apply() {
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let limit = getrlimit(Resource::Core);
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), ..limit });
    close_fds::set_fds_cloexec_threadsafe(FIRST_OTHER, &[]);
}
