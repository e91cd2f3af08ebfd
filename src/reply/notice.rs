//! Notices to approvers. In: the records of a request, and the approver. Out: a finished message, signed under the
//! approver's own key. Under the same configuration it is the same to the byte whenever it is composed: besides what is
//! recorded it holds only the approver's address, and which answers need an SSH signature.
//!
//! MUST: a notice approves nothing by itself: it holds no link, and no request.

use super::compose::{Envelope, head, message, message_id, runs_as, subject};
use super::text::{quoted, title, visible};
use super::words::WITHHELD_TITLE;
use crate::authorize::{MustSign, Person};
use crate::config::{REASON, Settings};
use crate::encryption::Encryption;
use crate::ledger::{ApprovalRecord, NoticeKind, PayloadRecord, Record, StoredReply, Story};
use crate::limits::NOTICE_PAYLOAD;
use crate::protocol::{CommandName, NoticeBlock, RunResult, UserName};

/// The notice of this kind to `approver`, whose answers `must_sign` is about; `None` where the records do not hold what
/// it needs.
pub fn notice(
    encryption: &Encryption<'_>,
    approver: &Person,
    record: &Record,
    story: &Story,
    kind: NoticeKind,
    must_sign: MustSign,
) -> Option<StoredReply> {
    let settings = encryption.settings();
    let approval = story.approval.as_ref()?;
    let arguments = record.shown_arguments();
    let arguments: Vec<_> = arguments.lines().filter(|line| !is_reason(line)).collect();
    let title = title(&record.command, &arguments.join("\n"));
    let outcome = outcome(record, kind);
    let gateway = settings.gateway.as_str();
    let mut text = head(outcome, &title, &facts(settings, record, approval, kind), gateway, &record.id.to_string());
    text.push_str(&asked(record, story, approval, kind));
    if kind == NoticeKind::Ask {
        text.push_str(&answers(record, approval, must_sign));
    }
    let block = NoticeBlock {
        gateway: settings.gateway.clone(),
        user: approver.name.clone(),
        request: record.id,
        from: UserName::try_from(record.user.as_str()).ok()?,
        command: CommandName::try_from(record.command.as_str()).ok()?,
        digest: approval.digest,
        until: approval.until,
    };
    let word = if kind == NoticeKind::Lapsed { "lapsed" } else { "notice" };
    let finish = |title: &str, text: String| {
        let envelope = Envelope {
            to: &approver.user.address,
            subject: subject(gateway, title, outcome),
            id: message_id(&record.id, Some(&format!("{word}.{}", approver.name)), settings),
            answers: None,
        };
        message(envelope, text, settings, record.first_seen)
    };
    text += &block.sign(&text, &approver.secrets.key);
    let plain = finish(&title, text);
    let message = match approver.user.encrypt {
        None => plain,
        // Without a block: nobody must approve what they have not seen, and the block names the command.
        Some(way) => encryption.encrypt(&approver.name, way, &plain).unwrap_or_else(|| {
            let head = head(outcome, WITHHELD_TITLE, &[], gateway, &record.id.to_string());
            finish(WITHHELD_TITLE, format!("{head}{WITHHELD}"))
        }),
    };
    Some(StoredReply::finished(approver.user.address.to_string(), message))
}

/// What a notice says that could not be encrypted.
const WITHHELD: &str = "What is asked for could not be encrypted to you, so this says no more. The gateway's log says why; tell \
                        its sysadmin.\n";

fn is_reason(line: &str) -> bool {
    line.split_once('=').is_some_and(|(name, _)| name == REASON)
}

fn outcome(record: &Record, kind: NoticeKind) -> &'static str {
    match kind {
        NoticeKind::Ask => "to approve",
        NoticeKind::Exception => match record.result {
            Some(RunResult::Refused) => "NOT RUN, WITHOUT APPROVAL",
            Some(RunResult::Unknown) | None => "STARTED WITHOUT APPROVAL",
            Some(_) => "RAN WITHOUT APPROVAL",
        },
        NoticeKind::Lapsed => "lapsed",
    }
}

fn facts(
    settings: &Settings,
    record: &Record,
    approval: &ApprovalRecord,
    kind: NoticeKind,
) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("host", approval.host.clone()),
        ("from", record.user.clone()),
        ("run as", runs_as(settings, record.run_as.clone().unwrap_or_default())),
        ("seen", record.first_seen.to_string()),
    ];
    if kind == NoticeKind::Ask {
        facts.push(("needed", approval.needed.to_string()));
        facts.push(("until", approval.until.to_string()));
    }
    facts
}

/// What was asked for: the command line, the reason and the payload.
fn asked(record: &Record, story: &Story, approval: &ApprovalRecord, kind: NoticeKind) -> String {
    let mut text = question(record, approval, kind);
    for argument in record.shown_argv().unwrap_or_default().split('\n') {
        text.push_str(&format!("    {}\n", shown(argument)));
    }
    text.push('\n');
    match &approval.reason {
        Some(reason) => text.push_str(&format!("The reason that {} gives:\n\n{}\n", record.user, quoted(reason))),
        None => text.push_str(&format!("{} gives no reason.\n\n", record.user)),
    }
    if let Some(payload) = &story.payload {
        text.push_str(&input(payload));
    }
    text
}

/// How to answer.
fn answers(record: &Record, approval: &ApprovalRecord, must_sign: MustSign) -> String {
    format!(
        "To answer, sign a request of your own, with a code of your own:\n\n\
         \x20   approve id={id}\n        digest={digest}\n\
         \x20   deny id={id}\n        digest={digest}\n        reason=...\n\n\
         {signature}An answer to this mail does nothing. One denial is final.\n\n",
        id = record.id,
        digest = approval.digest,
        signature = signature(must_sign)
    )
}

fn question(record: &Record, approval: &ApprovalRecord, kind: NoticeKind) -> String {
    let (user, form) = (&record.user, "as one argument on each line");
    match kind {
        NoticeKind::Ask => format!("{user} asks to run this command ({form}):\n\n"),
        NoticeKind::Exception => {
            let role = approval.exception.as_deref().unwrap_or_default();
            let what = match record.result {
                Some(RunResult::Refused) => format!(
                    "{user} asked to run this command ({form}). Nothing was run, because the gateway could not start it"
                ),
                Some(RunResult::Unknown) | None => format!(
                    "The gateway recorded the start of this command ({form}) for {user}, and has no record of its end"
                ),
                Some(_) => format!("{user} has run this command ({form})"),
            };
            format!("{what}. Nobody was asked, because {user} has the role {role}:\n\n")
        }
        NoticeKind::Lapsed => format!(
            "{user} asked to run this command ({form}). It was approved, but the configuration has changed since, and \
             something else would have run. So nothing was run:\n\n"
        ),
    }
}

/// What the notice says of SSH signatures. The users' page shows it too, and makes none.
fn signature(must_sign: MustSign) -> &'static str {
    match must_sign {
        MustSign::Nothing => "",
        MustSign::Approval => {
            "An approval needs a signature under one of your SSH keys too (mailsudo sign ... --ssh-key FILE.pub); the \
             page cannot make one. A denial needs none.\n\n"
        }
        MustSign::Everything => {
            "Each answer needs a signature under one of your SSH keys too (mailsudo sign ... --ssh-key FILE.pub); the \
             page cannot make one.\n\n"
        }
    }
}

/// An argument as it is. In quotation marks where a reader could mistake where it begins or ends.
fn shown(argument: &str) -> String {
    let plain = !argument.is_empty() && !argument.contains(|c: char| c.is_whitespace() || c == '"');
    if plain { visible(argument) } else { format!("{:?}", visible(argument)) }
}

fn input(payload: &PayloadRecord) -> String {
    let mut text = format!("It gets {} bytes on standard input, sha256 {}", payload.size, payload.digest);
    let Some(content) = payload.content.as_deref().and_then(|content| std::str::from_utf8(content).ok()) else {
        text.push_str(".\n\n");
        return text;
    };
    let end = content.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= NOTICE_PAYLOAD).last();
    let first = content.get(..end.unwrap_or(0)).unwrap_or_default();
    let rest = content.len() - first.len();
    let more = if rest > 0 { format!("[{rest} more bytes are not shown]\n") } else { String::new() };
    text.push_str(&format!(":\n\n{}{more}\n", quoted(first)));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_argument_looks_like_something_else() {
        assert_eq!(shown("restart"), "restart");
        assert_eq!(shown(""), "\"\"");
        assert_eq!(shown("a b "), "\"a b \"");
        assert_eq!(shown("say \"x\""), "\"say \\\"x\\\"\"");
    }
}
