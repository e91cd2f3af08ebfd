//! What the Tab key does in real shells, with the files that `make install` put where they look.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::process::{self, run};
use crate::user::User;
use crate::{poll, system_env};

const SHARE: &str = "/usr/local/share";

/// A shell on a terminal of its own.
struct Terminal {
    script: Child,
    keys: ChildStdin,
    screen: Arc<Mutex<String>>,
}

impl Terminal {
    fn open(shell: &str) -> Self {
        let mut script = Command::new("script")
            .args(["--quiet", "--command", shell, "/dev/null"])
            .env("TERM", "dumb")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start script(1), which makes a terminal: {error}"));
        let (keys, mut output) = (script.stdin.take().expect("a pipe"), script.stdout.take().expect("a pipe"));
        let screen = Arc::new(Mutex::new(String::new()));
        let shown = Arc::clone(&screen);
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = output.read(&mut bytes) {
                // A bell is not shown.
                let text = String::from_utf8_lossy(&bytes[..read]).replace('\u{7}', "");
                shown.lock().expect("a screen").push_str(&text);
            }
        });
        Self { script, keys, screen }
    }

    fn types(&mut self, text: &str) {
        self.keys.write_all(text.as_bytes()).and_then(|()| self.keys.flush()).expect("the terminal takes keys");
    }

    fn waits_for(&self, text: &str) {
        poll::until_true(&format!("`{text}` on the screen"), || self.screen.lock().expect("a screen").contains(text));
    }

    /// Types a line and the Tab key twice, waits for all of `wanted`, and takes the line back.
    fn completes(&mut self, line: &str, wanted: &[&str]) {
        self.screen.lock().expect("a screen").clear();
        self.types(&format!("{line}\t\t"));
        for text in wanted {
            self.waits_for(text);
        }
        self.types("\u{15}");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}

/// A user, a command and a parameter's values that only the gateway's files tell.
fn enter() {
    system_env::enter();
    process::remove("/root/tabitha.key.toml");
    if !std::path::Path::new("/etc/mailsudo/users.d/tabitha.toml").exists() {
        User::enrol("tabitha");
    }
}

#[test]
fn bash_completes_users_commands_and_values() {
    enter();
    let mut bash = Terminal::open("bash --norc -i");
    bash.types(&format!("source {SHARE}/bash-completion/completions/mailsudo; echo rea''dy\n"));
    bash.waits_for("ready");
    bash.completes("mailsudo user sh", &["user show "]);
    bash.completes("mailsudo user show tab", &["show tabitha"]);
    bash.completes("mailsudo may tabitha lev", &["tabitha level"]);
    bash.completes("mailsudo may tabitha level na", &["level name="]);
    // readline takes the `=` for the end of a word.
    bash.completes("mailsudo may tabitha level name=li", &["name=light"]);
    bash.completes("mailsudo may tabitha level name=", &["heat", "light"]);
    bash.completes("mailsudo log --state=fin", &["--state=finished"]);
}

#[test]
fn zsh_completes_users_commands_and_values() {
    enter();
    let mut zsh = Terminal::open("zsh -f -i");
    zsh.types("autoload -U compinit; compinit -u -D; echo rea''dy\n");
    zsh.waits_for("ready");
    zsh.completes("mailsudo user sh", &["user show "]);
    zsh.completes("mailsudo user show tabi", &["tha"]);
    zsh.completes("mailsudo command show ", &["whoami", "Say as whom commands run"]);
    zsh.completes("mailsudo may tabitha level name=", &["name=heat", "name=light"]);
}

#[test]
fn fish_completes_users_commands_and_values() {
    enter();
    // As a desktop's session has it; without it, fish looks below /usr/share only, where the package's file is.
    let folders = format!("XDG_DATA_DIRS={SHARE}:/usr/share");
    let offered = |line: &str| run("env", &[&folders, "fish", "-c", &format!("complete -C '{line}'")]);
    for (line, wanted) in [
        ("mailsudo user sh", "show"),
        ("mailsudo user show tab", "tabitha"),
        ("mailsudo command show who", "whoami\tSay as whom commands run"),
        ("mailsudo may tabitha level name=li", "name=light"),
    ] {
        let said = offered(line);
        assert!(said.lines().any(|found| found.starts_with(wanted)), "{line}: {said}");
    }
}
