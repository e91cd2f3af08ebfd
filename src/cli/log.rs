//! `mailsudo log`: the requests and their outcomes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Subcommand, ValueEnum};
use clap_complete::engine::ArgValueCompleter;

use super::failure::usage;
use super::moment::moment;
use super::record::{HEAD, about, read, row, story_rows, told};
use super::stdout;
use super::table::Table;
use super::{GatewayArg, complete, log_export, log_verify, open_ledger, print_json, reader, when};
use crate::config::Gateway;
use crate::ledger::{Filter, Record, State};
use crate::limits::LOG_POLL;
use crate::protocol::{CommandName, RequestId, Timestamp, UserName};
use crate::remedy::Call;
use crate::reply::stored_text;
use crate::system::clock::{Clock, SystemClock};

/// List requests from the ledger, newest first, show one in full, or check that nothing in it was changed
///
/// With --verify, exit status 0: all of it fits. 1: something does not.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  mailsudo log --user alice --since 7d
  mailsudo log --state refused --limit 100 --json
  mailsudo log -f --limit 10
  mailsudo log --verify --against reply.eml /var/log/auth.log
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
    Export(log_export::Export),
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

    /// Only until this time, which is included
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    until: Option<Timestamp>,

    /// At most this many
    #[arg(long, default_value_t = 50)]
    limit: u32,

    /// Go on with new requests and new outcomes, oldest first, until Ctrl-C
    #[arg(long, short, conflicts_with = "until")]
    follow: bool,

    /// Check that the ledger is what mailsudo wrote: the chain of its events, and each request against them
    #[arg(long, conflicts_with_all = ["user", "command", "state", "since", "until", "limit", "follow"])]
    verify: bool,

    /// Check that the chain still has what replies (messages, mbox files, or their text) and logs have of it; - for
    /// standard input
    #[arg(long, value_name = "FILE", requires = "verify", num_args = 1..)]
    against: Vec<PathBuf>,

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

impl Log {
    pub(super) fn run(self) -> Result<ExitCode> {
        match self.show {
            Some(LogCommand::Show(show)) => show.run(),
            Some(LogCommand::Export(export)) => export.run(),
            None => self.list.run(),
        }
    }
}

impl List {
    fn run(self) -> Result<ExitCode> {
        let gateway = self.gateway_arg.open()?;
        if self.verify {
            return log_verify::run(&gateway, &self.against, self.json);
        }
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
            reader::wait(LOG_POLL)?;
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
            ("arguments", Some(record.shown_arguments().replace('\n', " "))),
            ("state", Some(record.state.word().to_owned())),
            ("reason", record.reason.clone()),
            ("result", record.result.map(|result| result.to_string())),
            ("queue id", record.queue_id.clone()),
            ("run as", record.run_as.clone()),
            ("argv", record.shown_argv().map(|argv| argv.replace('\n', " "))),
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
