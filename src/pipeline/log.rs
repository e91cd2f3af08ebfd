//! `deliver`'s observer: the steps that the audit log shows, as log lines.

use super::observer::{Observer, Step, Witness};
use crate::admission::Announcement;
use crate::audit::{Audit, Event, Line};
use crate::authenticate::Identified;
use crate::error::Deferral;
use crate::execute::Outcome;
use crate::ledger::Record;
use crate::protocol::without_marks;

impl Observer for Audit {
    fn require(&mut self, step: Step<'_>) -> Result<(), Deferral> {
        match (&step, line(&step)) {
            // Most mails end with the next line, and nothing happens between the two.
            (Step::Received(_), Some(line)) => self.postpone(line)?,
            (Step::MacVerified(verified), _) => {
                self.flush()?;
                self.identify(&verified.id(), verified.user());
            }
            (_, Some(line)) => Audit::require(self, line)?,
            (_, None) => {}
        }
        Ok(())
    }

    fn note(&mut self, step: Step<'_>) {
        if let Some(line) = line(&step) {
            Audit::note(self, line);
        }
    }

    fn lost(&self) -> u32 {
        Audit::lost(self)
    }
}

/// The log line of a step; `None` for a step that the log does not show.
pub(super) fn line(step: &Step<'_>) -> Option<Line> {
    Some(match step {
        Step::Received(envelope) => Line::new(Event::Received)
            .raw_field("sender", envelope.sender.as_deref())
            .raw_field("recipient", envelope.recipient.as_deref())
            .raw_field("client", envelope.client_address.as_deref())
            .raw_field("sasl", envelope.sasl_username.as_deref()),
        Step::Admitted(identified, arguments) => request_fields(Line::new(Event::Admitted), identified, arguments),
        Step::Waiting(_) => Line::new(Event::Waiting),
        Step::Started(command_line) => Line::new(Event::Started).field("command", command_line.join(" ")),
        Step::Finished(outcome) => finished(outcome),
        Step::Resumed(record) => Line::new(Event::Resumed).field("state", record.state.word()),
        Step::Replied(to, witness) => with(Line::new(Event::Replied).field("to", to), *witness),
        Step::NotRecorded(error) => {
            let detail = format!("the reply was sent, but that could not be recorded: {error}");
            Line::new(Event::Deferred).field("part", "ledger").field("detail", detail)
        }
        Step::Withheld(why) => Line::new(Event::Withheld).field("detail", why),
        Step::Refused(refusal, witness) => {
            let line = Line::new(Event::Refused).field("reason", refusal.reason().code());
            with(line, *witness).field("detail", refusal.detail())
        }
        Step::Deferred(deferral) => {
            Line::new(Event::Deferred).field("part", deferral.part).field("detail", &deferral.detail)
        }
        Step::Asked(identified, arguments, announcement, witness) => {
            request_fields(with(Line::new(Event::Pending), *witness), identified, arguments)
                .field("digest", short(&announcement.approval().digest.to_string()))
                .field("until", announcement.approval().until)
                .field("asked", names(announcement))
        }
        Step::Exception(role, announcement) => {
            Line::new(Event::Exception).field("role", role).field("told", names(announcement))
        }
        Step::Voted(identified, record, what, witness) => voted(identified, record, what, *witness),
        Step::Claimed(identified, record, witness) => {
            voted(identified, record, "approved", *witness).field("run", "now")
        }
        Step::Lapsed(record, why, witness) => with(Line::new(Event::Lapsed), *witness)
            .field("request", record.id.short())
            .field("requester", &record.user)
            .field("detail", why),
        Step::Noticed(notice, to) => {
            Line::new(Event::Noticed).field("approver", &notice.user).field("about", notice.kind.word()).field("to", to)
        }
        Step::Screened(_)
        | Step::Read(_)
        | Step::MacVerified(_)
        | Step::Identified(_)
        | Step::Recorded(..)
        | Step::Judging { .. }
        | Step::Authenticated(_)
        | Step::Authorized(..)
        | Step::Judged(_) => return None,
    })
}

/// The same line with the head of the audit chain.
fn with(line: Line, witness: Option<Witness<'_>>) -> Line {
    match witness {
        Some(witness) => line.chain(witness.gateway, witness.number, &witness.head),
        None => line,
    }
}

/// How many hex digits of a payload's digest the log has.
const LOGGED_DIGEST: usize = 32;

/// A vote on the request `record`.
fn voted(identified: &Identified, record: &Record, what: &str, witness: Option<Witness<'_>>) -> Line {
    let line = with(Line::new(Event::Voted), witness)
        .field("vote", what)
        .field("request", record.id.short())
        .field("requester", &record.user)
        .field("command", &record.command);
    signed(line, identified)
}

/// Which SSH key has signed it, if one has.
fn signed(line: Line, identified: &Identified) -> Line {
    match identified.signed_by() {
        Some(signed_by) => line.field("ssh_key", signed_by.fingerprint()),
        None => line,
    }
}

fn names(announcement: &Announcement) -> String {
    announcement.notices().iter().map(|notice| notice.user.as_str()).collect::<Vec<_>>().join(",")
}

fn short(digest: &str) -> &str {
    digest.get(..LOGGED_DIGEST).unwrap_or_default()
}

/// What was requested.
fn request_fields(line: Line, identified: &Identified, arguments: &str) -> Line {
    let request = identified.request();
    let line = signed(line.field("command", request.command()), identified);
    let line = match identified.payload().and_then(|found| found.payload.as_ref().ok()) {
        // A whole digest would be masked like a mac.
        Some(payload) => {
            line.field("payload", payload.content().len()).field("sha256", short(&payload.digest().to_string()))
        }
        None => line,
    };
    if arguments.is_empty() { line } else { line.field("arguments", without_marks(arguments).replace('\n', " ")) }
}

fn finished(outcome: &Outcome) -> Line {
    let line = Line::new(Event::Finished)
        .field("result", outcome.result())
        .field("took", format!("{:.3}s", outcome.took().as_secs_f64()))
        .field("output", outcome.output().size());
    match outcome.fault() {
        Some(fault) => line.field("fault", fault),
        None => line,
    }
}
