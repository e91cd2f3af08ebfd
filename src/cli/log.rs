//! `mailsudo log`: the requests and their outcomes.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use clap_complete::engine::ArgValueCompleter;
use serde_json::json;

use super::stdout::{self, Colour, StdoutError};
use super::{GatewayArg, complete, open_ledger, print_json, when};
use crate::config::{Gateway, Span};
use crate::ledger::{Filter, Record, State};
use crate::protocol::{CommandName, RequestId, RunResult, Timestamp, UserName};
use crate::remedy::Call;
use crate::reply::stored_text;
use crate::system::clock::{Clock, SystemClock};

/// List requests from the ledger, newest first, or show one in full
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  mailsudo log --user alice --since 7d
  mailsudo log --state refused --limit 100 --json
  mailsudo log show 3e58b7943a65"
)]
pub(super) struct Log {
    #[command(subcommand)]
    show: Option<LogCommand>,

    #[command(flatten)]
    list: List,
}

#[derive(Debug, Subcommand)]
enum LogCommand {
    Show(Show),
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    gateway_arg: GatewayArg,

    /// Only this user's
    #[arg(long, add = ArgValueCompleter::new(complete::users))]
    user: Option<UserName>,

    /// Only for this command
    #[arg(long, add = ArgValueCompleter::new(complete::commands))]
    command: Option<CommandName>,

    /// Only in this state
    #[arg(long, value_enum)]
    state: Option<StateWord>,

    /// Only since this time: a span back from now (2h, 7d), a day (2026-11-23) or a time (2026-11-23 10:15, local)
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    since: Option<Timestamp>,

    /// Only until this time
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    until: Option<Timestamp>,

    /// At most this many
    #[arg(long, default_value_t = 50)]
    limit: u32,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Show one request in full: the times of its steps, argument vector, result and stored reply
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mailsudo log show 3e58b7943a65")]
struct Show {
    #[command(flatten)]
    gateway_arg: GatewayArg,

    /// The short id, or the first digits of it
    id: String,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum StateWord {
    Waiting,
    Refused,
    Started,
    Finished,
}

fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(span) = Span::try_from(text.to_owned()) {
        return Ok(SystemClock.now().minus(span.as_duration()));
    }
    // As the log prints it, with a space before the offset; RFC 3339; or in the zone that the log prints.
    let compact = text.replace(" +", "+").replace(" -", "-");
    let instant = compact.parse::<jiff::Timestamp>().or_else(|_| {
        let here = text.parse::<jiff::civil::DateTime>()?;
        jiff::tz::TimeZone::system().to_timestamp(here)
    });
    match instant {
        Ok(instant) => Ok(Timestamp::from_seconds(instant.as_second())),
        Err(_) => {
            Err("write a span back from now (2h, 7d), a day (2026-11-23) or a time (2026-11-23 10:15)".to_owned())
        }
    }
}

impl Log {
    pub(super) fn run(self) -> Result<ExitCode> {
        match self.show {
            Some(LogCommand::Show(show)) => show.run(),
            None => self.list.run(),
        }
    }
}

impl List {
    fn run(self) -> Result<ExitCode> {
        let gateway = self.gateway_arg.open()?;
        let state = self.state.map(|word| match word {
            StateWord::Waiting => State::Waiting,
            StateWord::Refused => State::Refused,
            StateWord::Started => State::Started,
            StateWord::Finished => State::Finished,
        });
        let filter = Filter {
            user: self.user,
            command: self.command.map(|command| command.to_string()),
            state,
            since: self.since,
            until: self.until,
            limit: Some(self.limit),
            ..Filter::default()
        };
        let mut records = Vec::new();
        open_ledger(&gateway)?.list(&filter, &mut |record| {
            records.push(record);
            Ok(())
        })?;
        if self.json {
            return print_json(&records.iter().map(about).collect::<Vec<_>>());
        }
        for record in &records {
            line(record)?;
        }
        if records.is_empty() {
            outln!("No request matches.")?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn line(record: &Record) -> Result<(), StdoutError> {
    let (text, colour) = match (record.state, record.result) {
        (State::Refused, _) => (format!("refused {}", record.reason.as_deref().unwrap_or_default()), Colour::Yellow),
        (State::Finished, Some(RunResult::Exit(0))) => ("ok".to_owned(), Colour::Green),
        (State::Finished, Some(result)) => (result.to_string(), Colour::Red),
        (state, _) => (state.word().to_owned(), Colour::Cyan),
    };
    let command = format!("{} {}", record.command, record.arguments.replace('\n', " "));
    let (id, seen) = (record.id.short(), when(record.first_seen));
    let before = format!("{id}  {seen}  {:<12} {}  ", record.user, command.trim_end());
    stdout::coloured(&before, colour, &text, "")
}

impl Show {
    fn run(self) -> Result<ExitCode> {
        let gateway = self.gateway_arg.open()?;
        let record = self.find(&gateway)?;
        if self.json {
            return print_json(&about(&record));
        }
        let optional = |time: Option<Timestamp>| time.map(when);
        let rows = [
            ("request", Some(record.id.to_string())),
            ("user", Some(record.user.clone())),
            ("command", Some(record.command.clone())),
            ("arguments", Some(record.arguments.replace('\n', " "))),
            ("state", Some(record.state.word().to_owned())),
            ("reason", record.reason.clone()),
            ("result", record.result.map(|result| result.to_string())),
            ("queue id", record.queue_id.clone()),
            ("run as", record.run_as.clone()),
            ("argv", record.argv.as_ref().map(|argv| argv.replace('\n', " "))),
            ("signed", Some(when(record.signed))),
            ("first seen", Some(when(record.first_seen))),
            ("started", optional(record.started)),
            ("ended", optional(record.finished)),
            ("replied", optional(record.replied)),
            ("step", record.step.map(|step| step.to_string())),
            ("lost lines", (record.audit_lost > 0).then(|| record.audit_lost.to_string())),
        ];
        for (label, value) in rows {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                outln!("{label:<11} {value}")?;
            }
        }
        if let Some(reply) = &record.reply {
            outln!("\nreply to {}:\n\n{}", reply.to, stored_text(reply).unwrap_or_default())?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn find(&self, gateway: &Gateway) -> Result<Record> {
        if self.id.is_empty() || self.id.len() > 2 * size_of::<RequestId>() || !self.id.len().is_multiple_of(2) {
            bail!("an id is the 12 hex digits that replies and the log show, or an even number of the first of them");
        }
        let short = hex::decode(&self.id).context("an id is hex digits")?;
        let record = open_ledger(gateway)?.find(&short)?;
        record.with_context(|| format!("there is no request {}; the requests: {}", self.id, Call::Log))
    }
}

fn about(record: &Record) -> serde_json::Value {
    let time = |time: Option<Timestamp>| time.map(|time| time.to_string());
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    json!({
        "id": record.id.short(),
        "request": record.id.to_string(),
        "user": record.user,
        "command": record.command,
        "arguments": lines(&record.arguments),
        "state": record.state.word(),
        "reason": record.reason,
        "result": record.result.map(|result| result.to_string()),
        "queue_id": record.queue_id,
        "run_as": record.run_as,
        "argv": record.argv.as_deref().map(lines),
        "signed": record.signed.to_string(),
        "first_seen": record.first_seen.to_string(),
        "started": time(record.started),
        "finished": time(record.finished),
        "replied": time(record.replied),
        "reply": record.reply.as_ref().and_then(stored_text),
        "audit_lost": record.audit_lost,
    })
}
