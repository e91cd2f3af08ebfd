//! Requests of the ledger as rows of a table, as labelled lines and as JSON. In: records. Out: text for `log`.

use anyhow::Result;
use serde_json::json;

use super::stdout::Colour;
use super::table::Cell;
use super::when;
use crate::ledger::{Filter, LedgerQueries, Record, State, Story};
use crate::protocol::{RunResult, Timestamp};
use crate::reply::stored_text;

/// The requests that match, newest first.
pub(super) fn read(ledger: &dyn LedgerQueries, filter: &Filter) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    ledger.list(filter, &mut |record| {
        records.push(record);
        Ok(())
    })?;
    Ok(records)
}

pub(super) const HEAD: [&str; 5] = ["ID", "TIME", "USER", "RESULT", "COMMAND"];

pub(super) fn row(record: &Record) -> [Cell; 5] {
    let (text, colour) = match (record.state, record.result) {
        (State::Refused, _) => (format!("refused {}", record.reason.as_deref().unwrap_or_default()), Colour::Yellow),
        (State::Finished, Some(RunResult::Exit(0))) => ("ok".to_owned(), Colour::Green),
        (State::Finished, Some(result)) => (result.to_string(), Colour::Red),
        (State::Denied | State::Lapsed | State::Cancelled, _) => (record.state.word().to_owned(), Colour::Yellow),
        (state, _) => (state.word().to_owned(), Colour::Cyan),
    };
    let command = format!("{} {}", record.command, record.shown_arguments().replace('\n', " "));
    let (id, seen, command) = (record.id.short(), when(record.first_seen), command.trim_end().to_owned());
    [id.into(), seen.into(), record.user.as_str().into(), Cell(text, Some(colour)), command.into()]
}

/// What is known of payload, approval, votes and notices.
pub(super) fn story_rows(story: &Story) -> Vec<(&'static str, String)> {
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

pub(super) fn told(story: &Story) -> serde_json::Map<String, serde_json::Value> {
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

pub(super) fn about(record: &Record) -> serde_json::Value {
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
        "argv": record.shown_argv().as_deref().map(lines),
        "signed": record.signed.to_string(),
        "first_seen": record.first_seen.to_string(),
        "started": time(record.started),
        "finished": time(record.finished),
        "replied": time(record.replied),
        "reply": record.reply.as_ref().and_then(stored_text),
        "audit_lost": record.audit_lost,
    })
}
