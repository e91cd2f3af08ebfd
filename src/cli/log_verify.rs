//! `mailsudo log --verify`: whether the ledger is what mailsudo wrote, and what others have seen of it.

use std::fs::File;
use std::io::{BufReader, stdin};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use serde_json::json;

use super::{Progress, open_ledger, print_json, when};
use crate::check::count;
use crate::config::Gateway;
use crate::evidence::{Found, Verified, Witness, against, read_witnesses, verify};
use crate::system::clock::{Clock, SystemClock};

/// Checks the chain of `gateway`, and what the files `witnesses` hold of it.
pub(super) fn run(gateway: &Gateway, witnesses: &[PathBuf], as_json: bool) -> Result<ExitCode> {
    let name = &gateway.settings().gateway;
    let progress = Progress::show("reading the ledger");
    let now = SystemClock.now();
    let verified = verify(&*open_ledger(gateway)?, name, now)?;
    drop(progress);
    let mut held = Vec::new();
    for path in witnesses {
        let shown = path.display().to_string();
        let read = if shown == "-" {
            read_witnesses(&shown, &mut stdin().lock(), gateway, now)
        } else {
            File::open(path).and_then(|file| read_witnesses(&shown, &mut BufReader::new(file), gateway, now))
        };
        let read = read.with_context(|| format!("cannot read {shown}"))?;
        if read.is_empty() {
            held.push(Compared::Nothing(shown));
        } else if read.iter().all(|witness| witness.gateway != *name) {
            held.push(Compared::NoneOfThis(shown, name.to_string()));
        }
        held.extend(read.into_iter().map(|witness| Compared::Found(against(&verified, name, &witness), witness)));
    }
    let fits = verified.faults.is_empty() && held.iter().all(Compared::fits);
    if as_json {
        print_json(&about(&verified, &held, fits))?;
    } else {
        print(&verified, &held)?;
    }
    Ok(if fits { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A file, or a place in it, compared with the chain.
enum Compared {
    Nothing(String),
    /// All heads in the file are of other gateways than this one.
    NoneOfThis(String, String),
    Found(Found, Witness),
}

impl Compared {
    fn fits(&self) -> bool {
        matches!(self, Self::Found(Found::Held(_) | Found::Pruned | Found::Foreign, _))
    }

    fn place(&self) -> &str {
        match self {
            Self::Nothing(place) | Self::NoneOfThis(place, _) => place,
            Self::Found(_, witness) => &witness.place,
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Nothing(_) => "has no head: it is neither a reply with one nor a log with lines that have one".to_owned(),
            Self::NoneOfThis(_, gateway) => format!("has no head of the gateway {gateway}"),
            Self::Found(Found::Held(number), witness) => {
                format!("the chain has it, as event {number}{}", signed(witness))
            }
            Self::Found(Found::Pruned, _) => "the ledger says that pruning has removed it; it cannot be checked".to_owned(),
            Self::Found(Found::Foreign, witness) => format!("is of the gateway {}", witness.gateway),
            Self::Found(Found::Missing, witness) if witness.is_signed => {
                "MISSING: the gateway signed this, and the chain has it not: events were changed or removed, or the ledger \
                 was replaced by an older one"
                    .to_owned()
            }
            Self::Found(Found::Missing, _) => "MISSING: the chain has it not. It is not signed by a key that the gateway has: \
                 it may be forged; else events were changed or removed, or the ledger was replaced by an older one"
                .to_owned(),
        }
    }
}

fn signed(witness: &Witness) -> &'static str {
    if witness.is_signed { ", and signed it" } else { "" }
}

fn print(verified: &Verified, held: &[Compared]) -> Result<()> {
    match (&verified.checkpoint, verified.last) {
        (Some(begins), Some(last)) => {
            if begins.number > 0 {
                let until = begins.until.map(when).unwrap_or_default();
                outln!("pruned     the first {}, the newest of {until}", count(begins.number, "event"))?;
            }
            outln!("events     {}", verified.events)?;
            outln!("head       {} after event {}", last.head, last.number)?;
        }
        _ => outln!("events     none yet")?,
    }
    if verified.without_event > 0 {
        outln!(
            "unchained  {} without an event, older than what is left of the chain",
            count(verified.without_event, "request")
        )?;
    }
    for fault in &verified.faults {
        outln!("WRONG      {fault}")?;
    }
    for compared in held {
        outln!("{}: {}", compared.place(), compared.words())?;
    }
    if verified.faults.is_empty() {
        outln!("The chain is whole, and the records are what its events say.")?;
    }
    Ok(())
}

fn about(verified: &Verified, held: &[Compared], fits: bool) -> serde_json::Value {
    let witnesses = held.iter().map(|compared| {
        let (found, number) = match compared {
            Compared::Nothing(_) | Compared::NoneOfThis(..) => ("none", None),
            Compared::Found(Found::Held(number), _) => ("held", Some(*number)),
            Compared::Found(Found::Pruned, _) => ("pruned", None),
            Compared::Found(Found::Foreign, _) => ("foreign", None),
            Compared::Found(Found::Missing, _) => ("missing", None),
        };
        let is_signed = matches!(compared, Compared::Found(_, witness) if witness.is_signed);
        json!({ "place": compared.place(), "found": found, "event": number, "signed": is_signed })
    });
    json!({
        "whole": fits,
        "events": verified.events,
        "head": verified.last.map(|last| last.head.to_string()),
        "last": verified.last.map(|last| last.number),
        "pruned": verified.checkpoint.as_ref().map(|begins| begins.number),
        "without_event": verified.without_event,
        "faults": verified.faults.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "witnesses": witnesses.collect::<Vec<_>>(),
    })
}
