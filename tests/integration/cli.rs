//! A gateway without sudo, made by the built binary, with the user alice.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use mailsudo::authenticate::Factor;
use mailsudo::system::clock::{Clock, SystemClock};
use tempfile::TempDir;

use crate::common::write_program;

static CALLS: AtomicU32 = AtomicU32::new(0);

/// A gateway without sudo, made by the built binary, with the user alice.
pub(crate) struct CliGateway {
    pub(crate) folder: TempDir,
}

pub(crate) struct Said {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) fn said(output: Output) -> Said {
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Said { status: output.status.code().expect("no signal"), out: text(output.stdout), err: text(output.stderr) }
}

pub(crate) fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("metadata").permissions().mode() & 0o7777
}

impl CliGateway {
    pub(crate) fn new() -> Self {
        let test_gateway = Self { folder: tempfile::tempdir().expect("a folder") };
        for (name, mode) in [("users.d", 0o755), ("commands.d", 0o755), ("secrets.d", 0o700), ("ledger", 0o700)] {
            let path = test_gateway.path(name);
            fs::create_dir(&path).expect("a folder");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
        }
        let home = test_gateway.folder.path().display();
        test_gateway.write(
            "mailsudo.toml",
            &format!(
                "gateway = \"berlin\"\naddress = \"ops@example.com\"\n[execution]\nrun_via = \"direct\"\n\
                 [ledger]\nurl = \"sqlite:{home}/ledger/ledger.db\"\n[syslog]\nto = \"stderr\"\n"
            ),
        );
        test_gateway.write(
            "commands.d/say.toml",
            "summary = \"Say it\"\nrun_as = \"nobody\"\nargv = [\"/bin/echo\", \"heard: {what}\"]\n\
             [parameters.what]\npattern = \"^[a-z ]+$\"\nmax_length = 20\ndefault = \"nothing\"\n[allow.web]\n",
        );
        let added = test_gateway.run(&[
            "user",
            "add",
            "alice",
            "--address",
            "alice@example.com",
            "--role",
            "web",
            "--key-file",
            "alice.key",
        ]);
        assert_eq!(added.status, 0, "{}", added.err);
        let url = added.out.split_whitespace().find(|word| word.starts_with("otpauth:")).expect("the URL");
        test_gateway.write("phone", url);
        fs::set_permissions(test_gateway.path("phone"), fs::Permissions::from_mode(0o600)).expect("a mode");
        test_gateway
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        let path = self.path(name);
        fs::write(&path, content).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("a mode");
    }

    pub(crate) fn program(&self, name: &str, script: &str) {
        write_program(&self.path(name), 0o755, script);
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mailsudo"));
        command
            .args(words)
            .current_dir(self.folder.path())
            .env_clear()
            .env("HOME", self.folder.path())
            // A folder for each call: a test may sign twice in one step.
            .env("XDG_STATE_HOME", self.path(&format!("state-{}", CALLS.fetch_add(1, Ordering::Relaxed))))
            .env("PATH", "/usr/bin:/bin")
            // `make coverage`: where the program writes its counters, and not into a gateway's folder.
            .envs(std::env::var_os("LLVM_PROFILE_FILE").map(|name| ("LLVM_PROFILE_FILE", name)));
        command
    }

    /// Runs the program; `--config` is added where the subcommand takes it.
    pub(crate) fn run(&self, words: &[&str]) -> Said {
        self.run_with(words, "")
    }

    pub(crate) fn run_with(&self, words: &[&str], input: &str) -> Said {
        let mut command = self.command(words);
        if !["sign", "verify", "key", "--help", "nonsense"].contains(&words[0]) {
            command.args(["--config", "."]);
        }
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program");
        // A program that refuses its command line reads nothing.
        let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
        said(child.wait_with_output().expect("its end"))
    }

    pub(crate) fn sign(&self, words: &[&str]) -> String {
        let mut all = vec!["sign", "--key", "alice.key", "--totp-secret-file", "phone"];
        all.extend(words);
        let said = self.run(&all);
        assert_eq!(said.status, 0, "{}", said.err);
        said.out
    }

    pub(crate) fn eml(&self, words: &[&str]) -> String {
        let mut all = vec!["--eml", "--from", "alice@example.com"];
        all.extend(words);
        self.sign(&all)
    }

    /// The code of this moment on alice's phone. It is right for a request that is signed a while later, too: the next step
    /// may have begun by then.
    pub(crate) fn code(&self) -> String {
        let url = fs::read_to_string(self.path("phone")).expect("the phone");
        let code = Factor::from_url(&url).expect("a factor").code_at(SystemClock.now());
        code.expect("a code").as_str().to_owned()
    }

    /// The same as [`eml`](Self::eml) with a code: two requests with one code use the same step, whatever time it is.
    pub(crate) fn eml_with(&self, code: &str, words: &[&str]) -> String {
        let said = self.run(
            &[&["sign", "--key", "alice.key", "--code", code, "--eml", "--from", "alice@example.com"], words].concat(),
        );
        assert_eq!(said.status, 0, "{}", said.err);
        said.out
    }
}
