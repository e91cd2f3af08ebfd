//! `explain`'s observer: the steps as lines for a sysadmin. It only collects them, so that no transaction is open while
//! a terminal is slow to take them.

use super::observer::{Observer, Step};
use crate::admission::Announcement;
use crate::authenticate::{Identified, SignedBy};
use crate::authorize::{Action, Authorized, is_visible, may_show};
use crate::config::{Gateway, built_in_parameters};
use crate::error::{Deferral, Reason, Refusal};
use crate::execute::shown_line;
use crate::intake::Message;
use crate::ledger::{Record, State, Story};
use crate::protocol::{CommandName, ParameterName, Request, SECRET, UserName};
use crate::remedy::{Call, program};
use crate::reply::{history, visible};

/// What `explain` prints.
pub struct Trace<'g> {
    gateway: &'g Gateway,
    requested: Option<(UserName, CommandName)>,
    lines: Vec<String>,
}

impl<'g> Trace<'g> {
    /// An empty trace of a message to `gateway`.
    pub fn new(gateway: &'g Gateway) -> Self {
        Self { gateway, requested: None, lines: Vec::new() }
    }

    /// The lines, in their order.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    fn say(&mut self, line: impl AsRef<str>) {
        // Untrusted mail may hold a line end too. The text after it would look like a line of `explain`.
        self.lines.push(visible(line.as_ref()).replace('\n', "^J"));
    }

    fn screened(&mut self, message: &Message) {
        let id = message.message_id().unwrap_or("none usable");
        self.say(format!("message: From {}, Message-ID {id}", message.from()));
        for (at, text) in message.texts().iter().enumerate() {
            let block =
                if crate::protocol::has_start_line(text) { "with a start line" } else { "without a start line" };
            self.say(format!("text {}: {} characters, {block}", at + 1, text.chars().count()));
        }
    }

    fn read(&mut self, request: &Request) {
        self.requested = Some((request.user().clone(), request.command().clone()));
        self.say("block, as the mac covers it:");
        let mut is_shown = true;
        for line in String::from_utf8_lossy(request.signed_lines()).lines() {
            // `more` goes on with the argument before it.
            if let Some(("arg:", argument)) = line.split_once(' ') {
                is_shown = self.may_show(request, argument);
            }
            // A code is a secret until its step is used.
            let shown = match line.split_once(' ') {
                Some(("totp:", _)) => "totp: (not shown)".to_owned(),
                Some((key @ "arg:", argument)) if !is_shown => {
                    format!("{key} {}={SECRET}", argument.split('=').next().unwrap_or_default())
                }
                Some((key @ "more:", _)) if !is_shown => format!("{key} {SECRET}"),
                _ => line.to_owned(),
            };
            self.say(format!("  {shown}"));
        }
        self.say(format!("request: {}", request.id().short()));
    }

    /// Whether the value of `argument` may be shown, by the same rule as in the ledger.
    fn may_show(&self, request: &Request, argument: &str) -> bool {
        let name = argument.split('=').next().unwrap_or_default();
        if let Some(known) = built_in_parameters(request.command().as_str()) {
            return known.contains(&name);
        }
        let name = ParameterName::try_from(name).ok();
        let command = self.gateway.command(request.command()).ok().flatten();
        let roles = self.gateway.user(request.user()).map(|user| user.roles).unwrap_or_default();
        command.filter(|command| is_visible(command, &roles)).zip(name).is_some_and(|(it, name)| may_show(&it, &name))
    }

    fn identified(&mut self, identified: &Identified) {
        self.say(format!("user: enabled, From accepted, roles: {}", identified.roles().join(", ")));
        let sender = identified.sender();
        if let Some(login) = sender.login() {
            self.say(format!("login: {}, one of the user's", login.to_string_lossy()));
        }
        for range in sender.clients() {
            self.say(format!("client: in {range}"));
        }
        if let Some(verdict) = sender.verdict() {
            self.say(format!("verdict: {verdict}"));
        }
        if let Some(signed_by) = identified.signed_by() {
            self.say(signature(signed_by));
        }
        if let Some(found) = identified.payload() {
            for part in &found.parts {
                self.say(part);
            }
            self.say(match &found.payload {
                Ok(payload) => format!("payload: {payload}"),
                Err(none) => format!("payload: {none}"),
            });
        }
    }

    fn recorded(&mut self, record: Option<&Record>, story: &Story) {
        match record {
            None => self.say("ledger: this request is new"),
            Some(record) => {
                self.say(format!("ledger: on record, {}, seen at {}", record.state.word(), record.first_seen));
            }
        }
        for (kind, by) in history(&story.votes) {
            self.say(format!("{kind}: {by}"));
        }
        if let Some(record) = record.filter(|record| record.state != State::Waiting) {
            let reply = if record.is_closed() { "its reply has been sent" } else { "its reply would be sent" };
            self.say(format!("duplicate: nothing is run again; {reply}"));
        }
    }

    fn authorized(&mut self, authorized: &Authorized<'_>, announcement: Option<&Announcement>) {
        if let Some(role) = authorized.role() {
            self.say(format!("role: {role} permits it"));
        }
        match authorized.action() {
            Action::Run(invocation) => {
                let execution = &self.gateway.settings().execution;
                self.say(format!("command: {} as {}", invocation.shown().join(" "), invocation.run_as()));
                self.say(format!("would run: {}", shown_line(invocation, execution).join(" ")));
            }
            Action::Help | Action::Status(_) | Action::Pending => self.say("command: built in; it would be answered"),
            Action::Vote(ballot) => {
                self.say(format!("command: built in; about the request {}", ballot.request().short()));
            }
        }
        let Some((required, announcement)) = authorized.required().zip(announcement) else {
            return;
        };
        let told: Vec<_> = announcement.notices().iter().map(|notice| notice.user.as_str()).collect();
        let told = told.join(", ");
        if let Some(role) = required.exception() {
            return self.say(format!("approval: not needed, by the role {role}; a notice would go to {told}"));
        }
        let (needed, by) = (required.terms().needed, required.terms().approvers());
        self.say(format!("digest: {}", required.digest()));
        self.say(format!("approval: {needed} of {by} must approve it; it would wait, and a notice would go to {told}"));
    }

    fn refused(&mut self, refusal: &Refusal) {
        // The line about the ledger says it already.
        if refusal.reason() == Reason::Duplicate {
            return;
        }
        let effect = refusal.reason().effect();
        let yes = |yes: bool| if yes { "yes" } else { "no" };
        self.say(format!("refused: {} ({})", refusal.reason().code(), refusal.detail()));
        self.say(format!(
            "on delivery: recorded: {}, step used: {}, counts to lockout: {}, answered: {}",
            yes(effect.recorded),
            yes(refusal.step().is_some()),
            yes(effect.counts),
            yes(effect.answered),
        ));
        if refusal.reason() == Reason::NotARequest {
            self.say(format!(
                "next: no text of it has a line `mailsudo: 1`; check the texts above, and the mail itself, in the mailbox or, \
                 with its queue id: {} -qbh ID. An attachment and a forwarded message do not count",
                program("postcat")
            ));
        }
        let requested = self.requested.as_ref();
        if let Some(advice) = requested.and_then(|(user, command)| advice(refusal, self.gateway, user, command)) {
            self.say(format!("next: {advice}"));
        }
    }
}

impl Observer for Trace<'_> {
    fn require(&mut self, step: Step<'_>) -> Result<(), Deferral> {
        self.note(step);
        Ok(())
    }

    fn note(&mut self, step: Step<'_>) {
        match step {
            Step::Screened(message) => self.screened(message),
            Step::Read(request) => self.read(request),
            Step::MacVerified(verified) => {
                let which = if verified.is_under_previous_key() { "previous" } else { "current" };
                self.say(format!("mac: right, under the {which} key of {}", verified.user()));
            }
            Step::Identified(identified) => self.identified(identified),
            Step::Recorded(record, story) => self.recorded(record, story),
            Step::Judging { identified, max_age, now } => {
                self.say(match now.seconds() - identified.request().time().seconds() {
                    age @ 0.. => format!("age: {age} s, of at most {} s", max_age.as_secs()),
                    age => format!("age: {} s ahead of this clock", age.unsigned_abs()),
                });
            }
            Step::Authenticated(authenticated) => {
                let step = authenticated.step().map_or_else(|| "its own".to_owned(), |step| step.to_string());
                self.say(format!("code: right, step {step}, not used before"));
            }
            Step::Authorized(authorized, announcement) => self.authorized(authorized, announcement),
            Step::Judged(words) => self.say(format!("vote: {words}")),
            Step::Waiting(Some(hold)) => {
                self.say(match hold.holder {
                    Some(holder) => {
                        format!("waits: request {} holds this exclusive command until {}", holder.short(), hold.until)
                    }
                    None => format!(
                        "waits: the database was replaced, and a run that it has lost may hold this exclusive command until {}",
                        hold.until
                    ),
                });
            }
            Step::Refused(refusal, _) => self.refused(refusal),
            Step::Deferred(deferral) => {
                self.say(format!("deferred: {} cannot serve: {}", deferral.part, deferral.detail));
            }
            // Effects, which `explain` does not have, and steps that another line shows already.
            Step::Received(_)
            | Step::Admitted(..)
            | Step::Waiting(None)
            | Step::Started(_)
            | Step::Finished(_)
            | Step::Resumed(_)
            | Step::Replied(..)
            | Step::NotRecorded(_)
            | Step::Withheld(_)
            | Step::Asked(..)
            | Step::Exception(..)
            | Step::Voted(..)
            | Step::Claimed(..)
            | Step::Lapsed(..)
            | Step::Noticed(..) => {}
        }
    }
}

fn signature(signed_by: &SignedBy) -> String {
    let which = if signed_by.is_previous() { "a previous key of the user" } else { "a key of the user" };
    let touch = signed_by.touch().map(|touch| {
        let seen = if touch.is_verified { "present and verified" } else { "present" };
        format!("; user {seen}, counter {}", touch.counter)
    });
    let (kind, fingerprint) = (signed_by.kind(), signed_by.fingerprint());
    format!("signature: right, {kind} {fingerprint}, {which}{}", touch.unwrap_or_default())
}

/// What the sysadmin can check or do next. The refusal's own text is for the user, who must not learn this much.
fn advice(refusal: &Refusal, gateway: &Gateway, user: &UserName, command: &CommandName) -> Option<String> {
    Some(match refusal.reason() {
        Reason::BadMac if matches!(gateway.secrets(user), Ok(None)) => {
            format!("this gateway has no secrets of {user}; its users: {}", Call::ListUsers)
        }
        Reason::BadMac => format!(
            "{user} is known, so the block was changed in transit or signed under another key; whether the key was rotated: {}",
            Call::ShowUser(user.to_string())
        ),
        Reason::Disabled => Call::EnableUser(user.to_string()).to_string(),
        Reason::ForeignFrom => {
            format!("if it is the user's, add it to `from` in {}/users.d/{user}.toml", gateway.path().display())
        }
        Reason::NoSignature => format!("the user's SSH keys: {}", Call::ShowUser(user.to_string())),
        Reason::ForeignSignature => {
            format!("if the key is the user's: {} --ssh-key FILE.pub", Call::RotateUser(user.to_string()))
        }
        Reason::BadCode => format!("whether the clock or the secret is wrong: {}", Call::TestUser(user.to_string())),
        Reason::LockedOut => Call::UnlockUser(user.to_string()).to_string(),
        Reason::TooMany => format!("[limits] per_user; the user's requests: {} --user {user}", Call::Log),
        Reason::Stale | Reason::Future => {
            "compare the clocks, check how long the mail took to arrive; sign a new request".to_owned()
        }
        Reason::NotPermitted if matches!(gateway.command(command), Ok(None)) => {
            format!("this gateway has no command {command}; its commands: {}", Call::ListCommands)
        }
        Reason::FailedOver => format!("sign a new request; until when that lasts: {}", Call::LedgerStatus),
        Reason::NotPermitted | Reason::BadParameter => {
            format!("the rules of the command: {}", Call::ShowCommand(command.to_string()))
        }
        _ => return None,
    })
}
