//! A house whose neighbours are replaced by bad ones, and whose patience with them is short.

use std::fs;
use std::time::Duration;

use mailsudo::config::Trusted;

use crate::common::{Ended, House};

/// A house whose patience with everybody is short.
pub(crate) fn new() -> House {
    let mut house = House::new();
    let short = Duration::from_millis(300);
    let patience = &mut house.patience;
    (patience.page, patience.sudo, patience.question, patience.sendmail, patience.mercy) =
        (short, short, short, short, short);
    house
}

/// The same with a sudo that does `run` with the command line in its arguments, and `asked` when it is asked.
pub(crate) fn fenced(run: &str, asked: &str) -> House {
    let house = new();
    let home = house.folder.path().display().to_string();
    house.write(
        "sudo",
        0o755,
        &format!(
            "#!/bin/sh\ncase \"$1 $2 $3 $4 $5\" in\n\
             \"-n -u root -- \"*) shift 4\n{run}\n;;\n\
             \"-n -l -u root --\") shift 5\n{asked}\n;;\n\
             *) echo \"$*\" >> {home}/wrong; exit 2 ;;\nesac\n"
        )
        .replace("HOME", &home),
    );
    let toml = fs::read_to_string(house.path("mailsudo.toml")).expect("the settings");
    let fenced = toml.replace("fence = \"none\"", &format!("fence = \"sudo\"\nsudo = \"{home}/sudo\""));
    house.write("mailsudo.toml", 0o644, &fenced);
    mailsudo::ledger::init(&house.path("ledger/ledger.db"), Trusted::caller(), None).expect("a ledger");
    house
}

pub(crate) fn hook(house: &House, text: &str) {
    house.write("hook", 0o644, &text.replace("HOME", &house.folder.path().display().to_string()));
}

pub(crate) fn limit(house: &House, seconds: u32) {
    let toml = fs::read_to_string(house.path("commands.d/count.toml")).expect("a command");
    let toml = toml.replace("timeout = \"30s\"", &format!("timeout = \"{seconds}s\""));
    house.write("commands.d/count.toml", 0o644, &toml);
}

pub(crate) fn deliver(house: &mut House) -> Ended {
    house.clock.forward(60);
    house.deliver(&house.request("count", &[]))
}

pub(crate) fn pid(house: &House, name: &str) -> i32 {
    let text = fs::read_to_string(house.path(name)).expect("a process's id");
    text.trim().parse().expect("a number")
}

/// Whether the process is there; one that has ended and that nobody has waited for is not.
pub(crate) fn lives(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().starts_with(" Z"))
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

/// Delivers, and does `event` while the command runs; gives what that gives.
pub(crate) fn during_the_run<T: Send>(
    house: &mut House,
    request: &str,
    event: impl FnOnce() -> T + Send,
) -> (Ended, T) {
    hook(house, "echo > HOME/runs; until [ -e HOME/go ]; do sleep 0.02; done");
    let (runs, go) = (house.path("runs"), house.path("go"));
    std::thread::scope(|scope| {
        let event = scope.spawn(move || {
            until("the run", || runs.exists());
            let given = event();
            fs::write(go, "").expect("a word");
            given
        });
        (house.deliver(request), event.join().expect("an event"))
    })
}
