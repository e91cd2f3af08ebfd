//! `mailsudo verify`: is this reply the gateway's own?

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;

use super::message_input;
use crate::client::KeyFile;
use crate::intake;
use crate::protocol::{GatewayName, ReplyBlock, Verdict, verify_reply};

/// Say whether a reply is genuine, and which request it answers
///
/// Reads a whole message or pasted text from standard input. Exit status 0: genuine. 1: not, or its text was altered.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mailsudo verify < reply.eml")]
pub(super) struct Verify {
    /// The key file [default: those in ~/.config/mailsudo]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,

    /// Which gateway's key file
    #[arg(long, value_name = "NAME", conflicts_with = "key")]
    gateway: Option<GatewayName>,
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
            bail!("there is no key file to verify with; name one with --key FILE");
        }
        let mut raw = Vec::new();
        message_input().read_to_end(&mut raw).context("standard input")?;
        let verdict = judge(&raw, &keys);
        outln!("{}", words(&verdict))?;
        Ok(if matches!(verdict, Verdict::Genuine(_)) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// The best verdict of what a reader sees: all plain texts one below the other, or all HTML ones; or, where the input is no
/// mail, what was pasted. A part of a mail is never judged by itself: the genuine one could stand below a forged one.
fn judge(raw: &[u8], keys: &[KeyFile]) -> Verdict {
    let texts = intake::visible_texts(raw).unwrap_or_else(|| vec![String::from_utf8_lossy(raw).into_owned()]);
    let mut best = Verdict::NotGenuine;
    for text in &texts {
        for file in keys {
            match verify_reply(text, &file.key) {
                Verdict::Genuine(block) if is_for(&block, file) => return Verdict::Genuine(block),
                Verdict::Altered(block) if is_for(&block, file) => best = Verdict::Altered(block),
                _ => {}
            }
        }
    }
    best
}

fn is_for(block: &ReplyBlock, file: &KeyFile) -> bool {
    block.gateway == file.gateway && block.user == file.user
}

fn words(verdict: &Verdict) -> String {
    let about = |block: &ReplyBlock| {
        format!(
            "gateway {} answered request {} of {} at {}: {}",
            block.gateway,
            block.request.short(),
            block.user,
            block.time,
            block.result
        )
    };
    match verdict {
        Verdict::Genuine(block) => format!("genuine: {}", about(block)),
        Verdict::Altered(block) => {
            format!("genuine block, but its text was altered: {}; do not trust the text", about(block))
        }
        Verdict::NotGenuine => "not genuine: no reply that this key has signed".to_owned(),
    }
}
