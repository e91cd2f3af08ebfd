//! `mailsudo verify`: checks whether the gateway wrote a reply.

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;

use super::message_input;
use crate::client::KeyFile;
use crate::client::decrypt::check_decrypted;
use crate::client::mailbox::decrypt_command;
use crate::client::verify::{Checked, Finding, Statement};
use crate::config::EncryptKind;
use crate::protocol::{GatewayName, ReplyBlock};
use crate::reply::visible;

/// Say whether a reply or a notice is genuine, and print the authenticated text
///
/// Reads a whole message or pasted text from standard input. Genuine means: the gateway wrote every text, part and file
/// name that a mail program may show of it, in whatever way the program reads it, and the subject. The other fields of
/// the header, such as From and Date, are not signed, and not checked. It prints the authenticated text itself: read it
/// here, and not in the mail program. Exit status 0: genuine. 1: not, or its text was altered, or the message holds
/// more than that text.
#[derive(Debug, Args)]
#[command(
    override_usage = "mailsudo verify [OPTIONS] < MESSAGE",
    after_help = "Examples:\n  mailsudo verify < reply.eml\n  mailsudo verify --decrypt-command \"gpg --decrypt\" < reply.eml"
)]
pub(super) struct Verify {
    /// The key file [default: those in ~/.config/mailsudo]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,

    /// The gateway of the key file
    #[arg(long, value_name = "NAME", conflicts_with = "key")]
    gateway: Option<GatewayName>,

    /// The shell command that decrypts an encrypted message: `gpg --decrypt`, or `openssl cms -decrypt -inkey KEY`
    /// [default: decrypt_command in ~/.config/mailsudo/client.conf]
    #[arg(long, value_name = "COMMAND")]
    decrypt_command: Option<String>,
}

impl Verify {
    pub(super) fn run(self) -> Result<ExitCode> {
        let keys = match &self.key {
            Some(path) => vec![KeyFile::read(path)?],
            None => KeyFile::all()?,
        };
        let keys: Vec<_> =
            keys.into_iter().filter(|file| self.gateway.as_ref().is_none_or(|name| file.gateway == *name)).collect();
        if keys.is_empty() {
            bail!("there is no key file to verify with; give one with --key FILE");
        }
        let mut raw = Vec::new();
        message_input().read_to_end(&mut raw).context("standard input")?;
        let checked = check_decrypted(&raw, &keys, || decrypt_command(self.decrypt_command.as_deref()))?;
        print(&checked)?;
        Ok(if matches!(checked.finding, Finding::Genuine(_)) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Prints what the check of a reply has found, and the authenticated text.
pub(super) fn print(checked: &Checked) -> Result<()> {
    match &checked.finding {
        Finding::Genuine(block) => outln!("genuine: {}", said(block))?,
        Finding::WithMore(block) => {
            outln!("not genuine as a whole: {}; only the text below is from the gateway", said(block))?;
            for outside in &checked.outside {
                outln!("not from the gateway: {}", visible(outside).replace('\n', "\n    "))?;
            }
        }
        Finding::Altered(block) => {
            outln!("genuine block, but its text was altered: {}; do not trust the text", said(block))?;
        }
        Finding::OlderThanKey(block) => outln!(
            "not verified: {} (so it says), which is before your key file was written. If your key was changed since, name the \
             former key file with --key FILE",
            about(block)
        )?,
        Finding::Encrypted(kind) => {
            let how = match kind {
                EncryptKind::Openpgp => "gpg --decrypt",
                EncryptKind::Smime => "openssl cms -decrypt -inkey KEY",
            };
            outln!(
                "not verified: the message is encrypted. Save it, and verify what is inside: mailsudo verify --decrypt-command \"{how}\" < \
                 MESSAGE; or paste the text that your mail program shows"
            )?;
        }
        Finding::NotGenuine => outln!("not genuine: no reply or notice that this key has signed")?,
    }
    if let Finding::Genuine(Statement::Reply(block)) | Finding::WithMore(Statement::Reply(block)) = &checked.finding
        && let Some(head) = &block.head
    {
        outln!("head of the gateway's audit chain: {head}")?;
    }
    if let Some(text) = &checked.text {
        outln!("\nThe authenticated text:\n")?;
        for line in visible(text).trim_end().lines() {
            outln!("| {line}")?;
        }
    }
    Ok(())
}

fn said(statement: &Statement) -> String {
    match statement {
        Statement::Reply(block) => about(block),
        Statement::Notice(block) => format!(
            "gateway {} asks {} about request {} of {} ({}), to answer until {}; digest {}",
            block.gateway, block.user, block.request, block.from, block.command, block.until, block.digest
        ),
    }
}

fn about(block: &ReplyBlock) -> String {
    format!(
        "gateway {} answered request {} of {} at {}: {}",
        block.gateway,
        block.request.short(),
        block.user,
        block.time,
        block.result
    )
}
