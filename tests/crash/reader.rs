//! alice as the reader of encrypted replies, and what a reader of the ledger must not find.

use std::fs::{self, File};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::site::Site;

impl Site {
    /// alice's mail is encrypted to a key that sqop makes.
    pub fn encrypt(&mut self) -> Result<()> {
        self.test_gateway.write(
            "alice.key",
            0o600,
            &self.sqop(&["generate-key", "alice <alice@example.com>"], "mail")?,
        );
        fs::create_dir(self.test_gateway.path("certs.d"))?;
        self.test_gateway.write("certs.d/alice.asc", 0o644, &self.sqop(&["extract-cert"], "alice.key")?);
        let user = "address = \"alice@example.com\"\nroles = [\"web\"]\nencrypt = \"openpgp\"\n";
        self.test_gateway.write("users.d/alice.toml", 0o644, user);
        self.is_encrypted = true;
        Ok(())
    }

    /// What sqop prints on the file `input`.
    fn sqop(&self, words: &[&str], input: &str) -> Result<String> {
        let mut command = Command::new("sqop");
        command.args(words).current_dir(self.test_gateway.folder.path());
        let output = command.stdin(File::open(self.test_gateway.path(input))?).output();
        let output = output.context("sqop is missing: apt-get install sqop")?;
        ensure!(output.status.success(), "sqop {words:?}: {output:?}");
        Ok(String::from_utf8(output.stdout)?)
    }

    /// What the reader of `message` reads: the message, or the one that is encrypted in it.
    pub fn read(&self, message: &str) -> Result<String> {
        let Some((_, armored)) = message.split_once("-----BEGIN PGP MESSAGE-----") else {
            // What could not be encrypted has the outcome and nothing else.
            let is_withheld = message.contains("withheld") && !message.contains("ran with");
            ensure!(!self.is_encrypted || (self.calls_fail && is_withheld), "not encrypted: {message}");
            return Ok(message.to_owned());
        };
        let (armored, _) = armored.split_once("-----END PGP MESSAGE-----").context("a message without an end")?;
        let armored = format!("-----BEGIN PGP MESSAGE-----{armored}-----END PGP MESSAGE-----\n");
        self.test_gateway.write("armored", 0o600, &armored);
        let inside = self.sqop(&["decrypt", "alice.key"], "armored")?.replace("\r\n", "\n");
        let has_output = inside.contains("ran with");
        let is_right = match inside.lines().find_map(|line| line.strip_prefix("result: ")) {
            Some("exit-0") => has_output,
            // A call that fails may hide the end of a run, and what was read of its output until then is told.
            Some("unknown") => self.calls_fail || !has_output,
            _ => !has_output,
        };
        ensure!(is_right, "the output is not with its outcome: {inside}");
        Ok(inside)
    }

    /// Whether nothing of the ledger can be read that is encrypted in replies.
    pub fn judge_stored(&self) -> Result<()> {
        for file in fs::read_dir(self.test_gateway.path("ledger"))?.flatten().filter(|file| file.path().is_file()) {
            let bytes = fs::read(file.path())?;
            let is_there = |word: &[u8]| bytes.windows(word.len()).any(|part| part == word);
            ensure!(!self.is_encrypted || !is_there(b"ran with"), "{} has the output", file.path().display());
        }
        Ok(())
    }
}
