//! Running programs, and looking at those that run.
//!
//! A program that fails is a panic with its command line and all it said.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// Runs `program` to its end and gives its output; panics unless it exits 0.
pub(crate) fn run<S: AsRef<OsStr>>(program: &str, args: &[S]) -> String {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output();
    said(program, args, output)
}

/// Like [`run`], with `input` on standard input.
pub(crate) fn run_with_input<S: AsRef<OsStr>>(program: &str, args: &[S], input: &str) -> Output {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {program}: {error}"));
    // A program may leave input unread; its exit status decides.
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(input.as_bytes());
    }
    child.wait_with_output().unwrap_or_else(|error| panic!("cannot wait for {program}: {error}"))
}

/// Starts a program as another user in that user's home, with an environment such as systemd gives to a service.
pub(crate) fn run_as(user: &str, home: &str, words: &[&str]) -> Child {
    let (uid, gid) = (format!("--reuid={user}"), format!("--regid={user}"));
    Command::new("setpriv")
        .args([&uid, &gid, "--clear-groups", "env", "--ignore-environment", "PATH=/usr/local/bin:/usr/bin:/bin"])
        .args([&format!("HOME={home}"), &format!("USER={user}"), &format!("LOGNAME={user}")])
        .args(words)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {words:?} as {user}: {error}"))
}

fn said<S: AsRef<OsStr>>(program: &str, args: &[S], output: std::io::Result<Output>) -> String {
    let args: Vec<_> = args.iter().map(|arg| arg.as_ref().to_string_lossy()).collect();
    let line = format!("{program} {}", args.join(" "));
    let output = output.unwrap_or_else(|error| panic!("cannot start `{line}`: {error}"));
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "`{line}`: {}\n{stdout}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    stdout
}

/// The ids of the processes whose command line, its words joined by spaces, satisfies `wanted`. A shell that has forked
/// and whose child has not yet become the program that it will be is there once.
pub(crate) fn find(wanted: impl Fn(&str) -> bool) -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("/proc is mounted in the sandbox");
    let found: Vec<(u32, String)> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .map(|pid| (pid, command_line(pid)))
        .filter(|(_, line)| wanted(line))
        .collect();
    let is_fork = |pid, line: &str| {
        line.starts_with("/bin/sh ")
            && parent(pid).is_some_and(|of| found.iter().any(|known| *known == (of, line.to_owned())))
    };
    found.iter().filter(|(pid, line)| !is_fork(*pid, line)).map(|(pid, _)| *pid).collect()
}

fn command_line(pid: u32) -> String {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&words).replace('\0', " ").trim_end().to_owned()
}

fn parent(pid: u32) -> Option<u32> {
    // proc_pid_stat(5): the fourth field, counted after a name that may hold anything.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()
}

/// Ends one process at once.
pub(crate) fn kill(pid: u32) {
    run("kill", &["-KILL", &pid.to_string()]);
}

/// Whether a process of this id is there; a dead one that has not been waited for is not.
pub(crate) fn lives(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().starts_with(" Z"))
}

/// The file's text, or nothing while it does not exist.
pub(crate) fn text(path: impl AsRef<Path>) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// Removes a file, or a folder with all it holds, if it is there.
pub(crate) fn remove(path: &str) {
    run("rm", &["-rf", "--", path]);
}

/// Writes a file with the mode that a careful sysadmin gives it.
pub(crate) fn write(path: impl AsRef<Path>, mode: u32, content: &str) {
    use std::os::unix::fs::PermissionsExt;

    let path = path.as_ref();
    let folder = path.parent().expect("every file written has a folder");
    let done = fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, content))
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)));
    done.unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}
