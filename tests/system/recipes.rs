//! docs/recipes.md: jobs that go on after their command, in a real systemd and with the real atd. The command lines are
//! those of examples/recipes.

use serde::Deserialize;

use crate::process::{self, run};
use crate::system_env::{self, CONFIG, PROGRAM};
use crate::systemd::Systemd;
use crate::{poll, sudo_rules};

const UNITS: &str = "/run/units";
const NAMES: [&str; 9] = [
    "backup",
    "backup-status",
    "backup-stop",
    "backup-reset",
    "reboot-later",
    "reboot-cancel",
    "tonight",
    "tonight-list",
    "tonight-cancel",
];

#[derive(Deserialize)]
struct Recipe {
    argv: Vec<String>,
}

/// The argument vector of a recipe, with a value in the place of its parameter.
fn argv(name: &str, value: &str) -> Vec<String> {
    let text = process::text(system_env::in_checkout(&format!("examples/recipes/{name}.toml")));
    let recipe: Recipe = toml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    let braces =
        |word: &String| match word.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?.1))) {
            Some((before, after)) => format!("{before}{value}{after}"),
            None => word.clone(),
        };
    recipe.argv.iter().map(braces).collect()
}

/// Runs a recipe in the systemd's namespaces; panics unless it ends well.
fn run_in(systemd: &Systemd, name: &str, value: &str) -> String {
    let argv = argv(name, value);
    let output = systemd.run(&argv.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(output.status.success(), "{argv:?}: {}", String::from_utf8_lossy(&output.stderr));
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn status(systemd: &Systemd) -> String {
    run_in(systemd, "backup-status", "")
}

fn wait_for(systemd: &Systemd, wanted: &[&str]) -> String {
    poll::until(&format!("{wanted:?}"), || {
        let said = status(systemd);
        wanted.iter().all(|line| said.lines().any(|found| found == *line)).then_some(said)
    })
}

#[test]
fn a_long_job_is_started_asked_for_and_stopped() {
    system_env::enter();
    let systemd = Systemd::boot(UNITS);
    let job = |body: &str| process::write("/usr/local/sbin/backup", 0o755, &format!("#!/bin/sh\n{body}\n"));
    assert!(status(&systemd).contains("ActiveState=inactive\n"), "it was never started");

    job("echo run >>/srv/backup.runs; until [ -e /srv/backup.go ]; do sleep 0.1; done");
    let said = run_in(&systemd, "backup", "");
    assert!(said.contains("Running as unit: mailsudo-backup.service"), "{said}");
    wait_for(&systemd, &["ActiveState=activating", "SubState=start"]);
    let second = systemd.run(&argv("backup", "").iter().map(String::as_str).collect::<Vec<_>>());
    let refused = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success() && refused.contains("was already loaded"), "{refused}");
    process::write("/srv/backup.go", 0o644, "");
    let ended = wait_for(&systemd, &["ActiveState=active", "SubState=exited", "Result=success", "ExecMainStatus=0"]);
    assert!(ended.contains("ExecMainExitTimestamp="), "{ended}");
    assert_eq!(process::text("/srv/backup.runs"), "run\n", "once");

    run_in(&systemd, "backup-stop", "");
    wait_for(&systemd, &["ActiveState=inactive"]);
    job("exit 3");
    run_in(&systemd, "backup", "");
    wait_for(&systemd, &["ActiveState=failed", "Result=exit-code", "ExecMainStatus=3"]);
    run_in(&systemd, "backup-reset", "");
    wait_for(&systemd, &["ActiveState=inactive"]);

    process::remove("/srv/backup.go");
    job("echo run >>/srv/backup.runs; until [ -e /srv/backup.go ]; do sleep 0.1; done");
    run_in(&systemd, "backup", "");
    wait_for(&systemd, &["ActiveState=activating"]);
    run_in(&systemd, "backup-stop", "");
    // systemd.service(5): of a oneshot, an end by SIGTERM is no success.
    wait_for(&systemd, &["ActiveState=failed", "Result=signal"]);
    run_in(&systemd, "backup-reset", "");
    wait_for(&systemd, &["ActiveState=inactive"]);
}

#[test]
fn a_timer_fires_once_and_can_be_cancelled() {
    system_env::enter();
    let systemd = Systemd::boot(UNITS);
    let said = run_in(&systemd, "reboot-later", "4h");
    assert!(said.contains("Running timer as unit: mailsudo-reboot.timer"), "{said}");
    let state = || systemd.must(&["show", "mailsudo-reboot.timer", "--property=ActiveState,SubState"]);
    assert_eq!(state(), "ActiveState=active\nSubState=waiting");
    run_in(&systemd, "reboot-cancel", "");
    assert_eq!(state(), "ActiveState=inactive\nSubState=dead");

    // The same with another program in the place of the reboot, and a second in the place of hours.
    let mut words = argv("reboot-later", "1s");
    words.truncate(3);
    words.extend(["/bin/sh", "-c", "echo fired >>/srv/timer.fired"].map(str::to_owned));
    let output = systemd.run(&words.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(output.status.success(), "{output:?}");
    poll::until_true("the timer", || process::text("/srv/timer.fired") == "fired\n");
    poll::until_true("the timer's end", || state().starts_with("ActiveState=inactive"));
}

#[test]
fn a_job_runs_at_a_time_of_the_day() {
    system_env::enter();
    process::write("/usr/local/sbin/maintenance", 0o755, "#!/bin/sh\necho done >>/srv/maintenance.done\n");
    let at = |name: &str, value: &str| {
        let argv = argv(name, value);
        let words: Vec<_> = argv.iter().skip(1).map(String::as_str).collect();
        run("sh", &[&["-c", "\"$0\" \"$@\" 2>&1", argv[0].as_str()], words.as_slice()].concat())
    };
    let said = at("tonight", "23:59");
    let job =
        said.lines().find_map(|line| line.strip_prefix("job ")?.split_once(" at ")).map(|(job, _)| job.to_owned());
    let job = job.unwrap_or_else(|| panic!("{said}"));
    assert!(at("tonight-list", "").lines().any(|line| line.starts_with(&format!("{job}\t"))));
    at("tonight-cancel", &job);
    assert_eq!(at("tonight-list", ""), "");
    at("tonight", "now");
    // What atd(8) does when the time has come, once.
    run("atd", &["-s"]);
    poll::until_true("the job", || process::text("/srv/maintenance.done") == "done\n");
}

/// Each is a command that a gateway accepts, with its sudo rules.
#[test]
fn the_recipes_are_commands_with_sudo_rules() {
    system_env::enter();
    let file = |name: &str| format!("{CONFIG}/commands.d/{name}.toml");
    for name in NAMES {
        process::write(
            file(name),
            0o644,
            &process::text(system_env::in_checkout(&format!("examples/recipes/{name}.toml"))),
        );
    }
    let rules = run(PROGRAM, &["sudoers"]);
    for name in NAMES {
        process::remove(&file(name));
    }
    for words in
        ["systemd-run --unit\\=mailsudo-backup", "systemctl reset-failed mailsudo-backup.service", "/usr/bin/atq"]
    {
        assert!(rules.contains(words), "{words}: {rules}");
    }
    process::write("/root/recipes.sudoers", 0o440, &rules);
    run("visudo", &["-c", "-f", "/root/recipes.sudoers"]);
    sudo_rules::raise_sudo();
}
