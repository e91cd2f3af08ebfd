//! A gateway with faulty programs around it.

use std::fs;
use std::time::Duration;

use mailsudo::config::Trusted;

use crate::common::{Ended, TestGateway};

/// For what never comes. What comes has a gateway's own time: on a busy machine even a shell takes longer to start.
pub(crate) const SHORT: Duration = Duration::from_millis(300);

/// A gateway that does not wait long for what was killed to end.
pub(crate) fn new() -> TestGateway {
    let mut test_gateway = TestGateway::new();
    (test_gateway.timeouts.sudo, test_gateway.timeouts.kill_grace) = (SHORT, SHORT);
    test_gateway
}

/// The same with a sudo that does `run` with the command line in its arguments. Its standard input is descriptor 3,
/// too, because a shell gives its background processes another one.
pub(crate) fn via_sudo(run: &str) -> TestGateway {
    let mut test_gateway = new();
    // A shell and a program that is not optimised take their time to start on a busy machine.
    test_gateway.timeouts.sudo_start = Duration::from_secs(20);
    let home = test_gateway.folder.path().display().to_string();
    test_gateway.write(
        "sudo",
        0o755,
        &format!(
            "#!/bin/sh\nexec 3<&0\ncase \"$1 $2 $3 $4\" in\n\
             \"-n -u root --\") shift 4\n{run}\n;;\n\
             *) echo \"$*\" >> {home}/wrong; exit 2 ;;\nesac\n"
        )
        .replace("HOME", &home),
    );
    let toml = fs::read_to_string(test_gateway.path("mailsudo.toml")).expect("the settings");
    let via_sudo = toml.replace("run_via = \"direct\"", &format!("run_via = \"sudo\"\nsudo = \"{home}/sudo\""));
    test_gateway.write("mailsudo.toml", 0o644, &via_sudo);
    mailsudo::ledger::init(&test_gateway.path("ledger/ledger.db"), Trusted::caller(), None).expect("a ledger");
    test_gateway
}

pub(crate) fn hook(test_gateway: &TestGateway, text: &str) {
    test_gateway.write("hook", 0o644, &text.replace("HOME", &test_gateway.folder.path().display().to_string()));
}

pub(crate) fn limit(test_gateway: &TestGateway, seconds: u32) {
    let toml = fs::read_to_string(test_gateway.path("commands.d/count.toml")).expect("a command");
    let toml = toml.replace("timeout = \"30s\"", &format!("timeout = \"{seconds}s\""));
    test_gateway.write("commands.d/count.toml", 0o644, &toml);
}

pub(crate) fn deliver(test_gateway: &mut TestGateway) -> Ended {
    test_gateway.clock.forward(60);
    test_gateway.deliver(&test_gateway.request("count", &[]))
}

pub(crate) fn pid(test_gateway: &TestGateway, name: &str) -> i32 {
    let text = fs::read_to_string(test_gateway.path(name)).expect("a process's id");
    text.trim().parse().expect("a number")
}

/// Whether the process is there; one that has ended and has not been waited for is not.
pub(crate) fn lives(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().starts_with(" Z"))
}

/// Waits for the end of the process whose id is in that file. One that was ended before it wrote the file has ended.
pub(crate) fn until_ended(test_gateway: &TestGateway, name: &str) {
    let path = test_gateway.path(name);
    let pid = || fs::read_to_string(&path).ok()?.trim().parse().ok();
    until("its end", || !pid().is_some_and(lives));
}

pub(crate) fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("ended");
}

pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_mins(1), "never came: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Delivers, and calls `event` while the command runs; returns what that returns.
pub(crate) fn during_the_run<T: Send>(
    test_gateway: &mut TestGateway,
    request: &str,
    event: impl FnOnce() -> T + Send,
) -> (Ended, T) {
    hook(test_gateway, "echo > HOME/runs; until [ -e HOME/go ]; do sleep 0.02; done");
    let (runs, go) = (test_gateway.path("runs"), test_gateway.path("go"));
    std::thread::scope(|scope| {
        let event = scope.spawn(move || {
            until("the run", || runs.exists());
            let given = event();
            fs::write(go, "").expect("a word");
            given
        });
        (test_gateway.deliver(request), event.join().expect("an event"))
    })
}
