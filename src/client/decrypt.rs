//! Encrypted replies, decrypted by the user's own command. In: a message. Out: what the command prints, to be checked
//! like any message.
//!
//! MUST: what comes out of the command proves nothing by itself. It is never written to a file.

use std::borrow::Cow;
use std::io::{Read, Write};
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};

use super::verify::{Checked, Finding, check};
use super::{KeyFile, shell};
use crate::intake::encrypted_data;
use crate::limits::IMAP_MESSAGE;
use crate::protocol::RequestId;

/// Checks `raw` like [`check`]; if it is encrypted, what the shell command decrypts it to. Where there is no `command`,
/// it is only said to be encrypted.
///
/// # Errors
///
/// The error of `command`; or the command fails, or prints too much.
pub fn check_decrypted(
    raw: &[u8],
    keys: &[KeyFile],
    command: impl FnOnce() -> Result<Option<String>>,
) -> Result<Checked> {
    let checked = check(raw, keys);
    if !matches!(checked.finding, Finding::Encrypted(_)) {
        return Ok(checked);
    }
    match command()? {
        Some(command) => Ok(check(&decrypted(raw, &command)?, keys)),
        None => Ok(checked),
    }
}

/// Whether `raw` says in its header that it is a message about the request `id`. Anybody could write that.
pub(super) fn is_about(raw: &[u8], id: &RequestId) -> bool {
    let header = raw.split(|byte| *byte == b'\n').take_while(|line| !line.trim_ascii().is_empty());
    let mut fields = header.filter_map(|line| std::str::from_utf8(line).ok());
    let names = |value: &str| value.trim_start().starts_with(&format!("<{id}"));
    fields.any(|line| line.split_once(':').is_some_and(|(name, value)| is_message_id(name) && names(value)))
}

fn is_message_id(name: &str) -> bool {
    name.eq_ignore_ascii_case("Message-ID")
}

/// What the shell command prints. Of PGP/MIME it gets the OpenPGP message, which every OpenPGP program reads; of S/MIME
/// the whole message, as openssl-cms(1) reads it.
fn decrypted(raw: &[u8], command: &str) -> Result<Vec<u8>> {
    let input: Cow<'_, [u8]> = encrypted_data(raw).unwrap_or(Cow::Borrowed(raw));
    let mut shell = shell::shell(command);
    let spawned = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = spawned.with_context(|| shell::not_run(&shell))?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let mut out = Vec::new();
    let read = std::thread::scope(|scope| {
        // Both at once: a program may print before it has read all. One that ends early is known by its status.
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(&input)));
        stdout.map(|stdout| stdout.take(IMAP_MESSAGE as u64 + 1).read_to_end(&mut out))
    });
    read.transpose().context("the command that decrypts")?;
    let status = child.wait().context("the command that decrypts")?;
    if out.len() > IMAP_MESSAGE {
        bail!("the command that decrypts prints more than {IMAP_MESSAGE} bytes");
    }
    ensure!(status.success(), "the command that decrypts failed: {status}");
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_names_its_request_in_its_header() {
        let id = RequestId::from_bytes([7; 32]);
        let of = |header: &str| is_about(format!("{header}\r\n\r\nMessage-ID: <{id}@x>\r\n").as_bytes(), &id);
        assert!(of(&format!("From: a@x\r\nmessage-id: <{id}@x>")) && of(&format!("Message-ID: <{id}.pending@x>")));
        assert!(!of("From: a@x") && !of(&format!("X: <{id}@x>")));
    }

    // Its commands are for sh(1); tests/client has one for both shells.
    #[cfg(unix)]
    #[test]
    fn a_command_that_fails_decrypts_nothing() {
        let raw = b"-----BEGIN PGP MESSAGE-----\n\nx\n-----END PGP MESSAGE-----\n";
        assert_eq!(
            decrypted(raw, "tr x y").expect("its output"),
            b"-----BEGIN PGP MESSAGE-----\n\ny\n-----END PGP MESSAGE-----\n"
        );
        for command in ["exit 3", "kill -9 $$", "/nonexistent/program", "cat; exit 1"] {
            assert!(decrypted(raw, command).is_err(), "{command}");
        }
        assert!(decrypted(raw, "yes").expect_err("too much").to_string().contains("prints more than"));
        assert_eq!(decrypted(raw, "exec <&-; echo done").expect("it reads nothing"), b"done\n");
    }
}
