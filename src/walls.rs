//! The program's own walls: what a process that holds secrets gives up before it reads the first of them. In: nothing. Out:
//! nothing. It needs no privilege, and takes nothing away from the programs that are started later but what is not theirs.

use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};

/// The first descriptor that is not standard input, output or error.
const FIRST_OTHER: i32 = 3;

/// Raises the walls; every subcommand's first act.
///
/// - No memory image: whatever core_pattern says, a process that is not dumpable leaves none, and nobody but root may read
///   its memory or trace it, other processes of the same user included (PR_SET_DUMPABLE, proc(5), ptrace(2)). The soft limit
///   of 0 is for those who look for it in limits(5); the hard one stays, since a command started later inherits both.
/// - No inherited descriptor is passed on: pipe(8) gives three, and whatever else some parent left open ends here, at the
///   next execve(2). Our own have the flag from the start.
///
/// A kernel without these calls is no reason to leave mail undelivered, so nothing here fails.
pub fn raise() {
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let limit = getrlimit(Resource::Core);
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), ..limit });
    close_fds::set_fds_cloexec_threadsafe(FIRST_OTHER, &[]);
}
