//! `mailsudo log`: the requests and their outcomes.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Subcommand, ValueEnum};
use clap_complete::engine::ArgValueCompleter;
use serde_json::json;

use super::failure::usage;
use super::stdout::{self, Colour};
use super::table::{Cell, Table};
use super::{GatewayArg, complete, open_ledger, print_json, when};
use crate::config::{Gateway, Span};
use crate::ledger::{Filter, LedgerQueries, Record, State, Story};
use crate::limits::LOG_POLL;
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
  mailsudo log -f --limit 10
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

    /// Go on with new requests and new outcomes, oldest first, until Ctrl-C
    #[arg(long, short, conflicts_with = "until")]
    follow: bool,

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
    Pending,
    Denied,
    Lapsed,
    Cancelled,
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
            StateWord::Pending => State::Pending,
            StateWord::Denied => State::Denied,
            StateWord::Lapsed => State::Lapsed,
            StateWord::Cancelled => State::Cancelled,
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
        let records = read(&*open_ledger(&gateway)?, &filter)?;
        if self.follow {
            return Follow::new(self.json).run(&gateway, filter, records);
        }
        if self.json {
            return print_json(&records.iter().map(about).collect::<Vec<_>>());
        }
        let mut table = Table::new(HEAD);
        for record in &records {
            table.row(row(record));
        }
        table.print()?;
        if records.is_empty() {
            outln!("No request matches.")?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The requests that match, newest first.
fn read(ledger: &dyn LedgerQueries, filter: &Filter) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    ledger.list(filter, &mut |record| {
        records.push(record);
        Ok(())
    })?;
    Ok(records)
}

const HEAD: [&str; 5] = ["ID", "TIME", "USER", "RESULT", "COMMAND"];

fn row(record: &Record) -> [Cell; 5] {
    let (text, colour) = match (record.state, record.result) {
        (State::Refused, _) => (format!("refused {}", record.reason.as_deref().unwrap_or_default()), Colour::Yellow),
        (State::Finished, Some(RunResult::Exit(0))) => ("ok".to_owned(), Colour::Green),
        (State::Finished, Some(result)) => (result.to_string(), Colour::Red),
        (State::Denied | State::Lapsed | State::Cancelled, _) => (record.state.word().to_owned(), Colour::Yellow),
        (state, _) => (state.word().to_owned(), Colour::Cyan),
    };
    let command = format!("{} {}", record.command, record.arguments.replace('\n', " "));
    let (id, seen, command) = (record.id.short(), when(record.first_seen), command.trim_end().to_owned());
    [id.into(), seen.into(), record.user.as_str().into(), Cell(text, Some(colour)), command.into()]
}

/// `log --follow`: what was printed already, and how.
struct Follow {
    json: bool,
    table: Table<5>,
    /// The requests that may still change, with what was printed of them.
    open: BTreeMap<Vec<u8>, String>,
    /// Requests recorded at this moment or later are looked at again.
    since: Option<Timestamp>,
}

impl Follow {
    fn new(json: bool) -> Self {
        Self { json, table: Table::new(HEAD), open: BTreeMap::new(), since: None }
    }

    /// Prints `first`, then what is new, until standard output is closed or the process is ended.
    fn run(mut self, gateway: &Gateway, mut filter: Filter, first: Vec<Record>) -> Result<ExitCode> {
        self.since = filter.since.or_else(|| Some(SystemClock.now()));
        self.print(first)?;
        filter.limit = None;
        loop {
            stdout::wait(LOG_POLL)?;
            filter.since = self.since;
            // Opened each time, so that a ledger that was replaced is followed too.
            self.print(read(&*open_ledger(gateway)?, &filter)?)?;
        }
    }

    fn print(&mut self, records: Vec<Record>) -> Result<()> {
        for record in records.into_iter().rev() {
            let id = record.id.as_bytes().to_vec();
            let state = format!("{} {:?} {:?}", record.state.word(), record.reason, record.result);
            if self.open.get(&id) == Some(&state) {
                continue;
            }
            self.open.insert(id, state);
            if self.json {
                stdout::json_line(&about(&record))?;
            } else {
                self.table.row(row(&record));
            }
        }
        self.table.print()?;
        Ok(())
    }
}

impl Show {
    fn run(self) -> Result<ExitCode> {
        let gateway = self.gateway_arg.open()?;
        let record = self.find(&gateway)?;
        let story = open_ledger(&gateway)?.story(&record.id)?;
        if self.json {
            let mut value = about(&record);
            if let Some(fields) = value.as_object_mut() {
                fields.extend(told(&story));
            }
            return print_json(&value);
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
        for (label, value) in story_rows(&story) {
            outln!("{label:<11} {value}")?;
        }
        if let Some(reply) = &record.reply {
            outln!("\nreply to {}:\n\n{}", reply.to, stored_text(reply).unwrap_or_default())?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn find(&self, gateway: &Gateway) -> Result<Record> {
        if self.id.is_empty() || self.id.len() > 2 * size_of::<RequestId>() || !self.id.len().is_multiple_of(2) {
            let what =
                "an id is the 12 hex digits that replies and the log show, or an even number of the first of them";
            return Err(usage(what));
        }
        let short = hex::decode(&self.id).map_err(|_| usage("an id is hex digits"))?;
        let record = open_ledger(gateway)?.find(&short)?;
        record.with_context(|| format!("there is no request {}; the requests: {}", self.id, Call::Log))
    }
}

/// What is known of payload, approval, votes and notices.
fn story_rows(story: &Story) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    if let Some(payload) = &story.payload {
        rows.push(("payload", format!("{} bytes, sha256 {}", payload.size, payload.digest)));
    }
    if let Some(approval) = &story.approval {
        match &approval.exception {
            Some(role) => rows.push(("approval", format!("not needed, by the role {role}"))),
            None => rows.push(("approval", format!("{} needed, until {}", approval.needed, when(approval.until)))),
        }
        rows.push(("digest", approval.digest.to_string()));
        rows.extend(approval.reason.iter().map(|reason| ("asked for", reason.clone())));
    }
    for notice in &story.notices {
        let sent = notice.sent.map_or_else(|| "not sent yet".to_owned(), when);
        rows.push(("notice", format!("{} to {}, {sent}", notice.kind.word(), notice.user)));
    }
    for vote in &story.votes {
        let words = vote.words.as_ref().map(|words| format!(": {words}")).unwrap_or_default();
        let by = format!("by {} at {}, request {}{words}", vote.user, when(vote.at), vote.by.short());
        rows.push((vote.kind.word(), by));
    }
    rows
}

fn told(story: &Story) -> serde_json::Map<String, serde_json::Value> {
    let time = |time: Timestamp| time.to_string();
    let votes: Vec<_> = story
        .votes
        .iter()
        .map(|vote| {
            json!({
                "vote": vote.kind.word(), "user": vote.user, "at": time(vote.at), "request": vote.by.to_string(),
                "reason": vote.words,
            })
        })
        .collect();
    let notices: Vec<_> = story
        .notices
        .iter()
        .map(|notice| json!({ "about": notice.kind.word(), "user": notice.user, "sent": notice.sent.map(time) }))
        .collect();
    let payload = story.payload.as_ref();
    let approval = story.approval.as_ref().map(|approval| {
        json!({
            "digest": approval.digest.to_string(), "needed": approval.needed, "until": time(approval.until),
            "host": approval.host, "reason": approval.reason, "exception": approval.exception,
        })
    });
    let mut fields = serde_json::Map::new();
    fields.insert(
        "payload".to_owned(),
        json!(payload.map(|payload| json!({ "bytes": payload.size, "sha256": payload.digest.to_string() }))),
    );
    fields.insert("approval".to_owned(), json!(approval));
    fields.insert("votes".to_owned(), json!(votes));
    fields.insert("notices".to_owned(), json!(notices));
    fields
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
