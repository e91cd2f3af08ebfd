//! What a process that holds secrets gives up before it reads the first of them. It needs no privilege. Programs that are
//! started later lose nothing but descriptors that are not theirs.

use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

/// The first descriptor that is not standard input, output or error.
const FIRST_OTHER: i32 = 3;

/// Hardens this process; every subcommand calls it first.
///
/// - No core dump: a process that is not dumpable leaves none, whatever core_pattern says. Only root may read its memory or
///   trace it, not even other processes of the same user (PR_SET_DUMPABLE, proc(5), ptrace(2)). The soft limit of 0 is for
///   readers of /proc/PID/limits. The hard limit stays, because a command that is started later inherits both.
/// - No inherited descriptor is passed on: pipe(8) gives three. Any other that a parent left open is closed at the next
///   execve(2). The program opens its own descriptors with that flag.
///
/// It ignores errors: a kernel without these calls must not keep mail in the queue.
pub fn apply() {
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let limit = getrlimit(Resource::Core);
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), ..limit });
    close_fds::set_fds_cloexec_threadsafe(FIRST_OTHER, &[]);
}
