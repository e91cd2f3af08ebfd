//! A real systemd that has only the given units, as process 1 of a PID namespace inside the sandbox.
//!
//! It shares the sandbox's files, so what a unit writes is there to be looked at. Its control groups are made in the
//! host's tree, below one group of its own, which is empty and gone when this is dropped.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use crate::poll;
use crate::process::{self, run};

const GROUPS: &str = "/srv/control-groups";
const UNITS: &str = "/run/units";
/// What systemd adds to every service and timer, and what these need in turn; here they do nothing.
const STOCK: [&str; 6] =
    ["sysinit.target", "basic.target", "shutdown.target", "timers.target", "time-set.target", "time-sync.target"];

/// As process 1: the namespaces' own /proc and control groups, then systemd.
const BOOT: &str = "\
mount -t proc proc /proc
mount -t tmpfs tmpfs /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
export container=sandbox
exec \"$1\" --system --unit=basic.target";

pub(crate) struct Systemd {
    unshare: Child,
    /// Its process id as the sandbox sees it.
    manager: u32,
    group: String,
}

impl Systemd {
    /// Starts it with the units in `folder`; returns when it answers.
    pub(crate) fn boot(folder: &str) -> Self {
        let program =
            ["/usr/lib/systemd/systemd", "/lib/systemd/systemd"].into_iter().find(|path| Path::new(path).exists());
        let program = program.expect("systemd is here: apt-get install --no-remove systemd");
        run("mkdir", &["-p", UNITS, GROUPS]);
        for unit in STOCK {
            run("cp", &[&format!("/lib/systemd/system/{unit}"), UNITS]);
        }
        run("mount", &["-t", "cgroup2", "cgroup2", GROUPS]);
        // No two sandboxes have the same, whatever their process ids are.
        let namespace = fs::read_link("/proc/self/ns/pid").expect("a namespace");
        let namespace: String = namespace.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
        let group = format!("{GROUPS}/mailsudo-test-{namespace}-{}", std::process::id());
        run("mkdir", &["-p", &group]);
        let enter = format!(
            "echo 0 >{group}/cgroup.procs; exec unshare --cgroup --pid --mount --uts --fork --kill-child sh -ec '{BOOT}' sh {program}"
        );
        let unshare = Command::new("sh")
            .args(["-ec", &enter])
            .env("SYSTEMD_UNIT_PATH", format!("{UNITS}:{folder}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start sh: {error}"));
        let mut systemd = Self { unshare, manager: 0, group };
        systemd.manager = poll::until("systemd's process", || systemd.child());
        poll::until_true("systemd's answer", || systemd.ctl(&["is-system-running"]).stdout.starts_with(b"running"));
        systemd
    }

    fn child(&self) -> Option<u32> {
        let pid = self.unshare.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        children.split_whitespace().next()?.parse().ok()
    }

    /// Runs systemctl in its namespaces.
    pub(crate) fn ctl(&self, words: &[&str]) -> Output {
        self.run(&[&["systemctl"], words].concat())
    }

    /// Runs a program in its namespaces, for systemd answers only processes that it can see.
    pub(crate) fn run(&self, words: &[&str]) -> Output {
        let manager = self.manager.to_string();
        let mut command = Command::new("nsenter");
        command.args(["-t", &manager, "-p", "-m", "-C", "timeout", "30"]).args(words).stdin(Stdio::null());
        command.output().unwrap_or_else(|error| panic!("cannot start nsenter: {error}"))
    }

    /// Like [`ctl`](Self::ctl); panics unless it succeeds.
    pub(crate) fn must(&self, words: &[&str]) -> String {
        let output = self.ctl(words);
        assert!(output.status.success(), "systemctl {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        // Its process 1 goes with it, and with that whatever it started.
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
        let remove = format!("find {} -depth -type d -exec rmdir {{}} +", self.group);
        poll::until_true("control groups without processes", || {
            Command::new("sh").args(["-c", &remove]).output().is_ok_and(|output| output.status.success())
        });
        run("umount", &[GROUPS]);
        process::remove("/run/systemd");
        process::remove(UNITS);
    }
}
