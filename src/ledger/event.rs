//! An event of the audit chain and its canonical form (docs/audit.md). In: what happened. Out: lines of `key: value`,
//! the same bytes for the same event; or the event, from such lines.

use std::collections::BTreeMap;
use std::fmt;

use super::{Record, State};
use crate::protocol::{ChainHead, RequestId, Timestamp, decode_value, encode_value};

macro_rules! words {
    ($(#[$about:meta])* $kind:ident { $($(#[$doc:meta])* $name:ident = $word:literal,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $kind {
            $($(#[$doc])* $name,)*
        }

        impl $kind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Its word in the canonical form.
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }

            fn of(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.word() == word)
            }
        }
    };
}

words! {
    /// What happened.
    EventKind {
        /// A request was admitted, and waits for another run of its command.
        Admitted = "admitted",
        /// A request was refused.
        Refused = "refused",
        /// A request waits for approval.
        Pending = "pending",
        /// An approval was recorded.
        Approved = "approved",
        /// A denial was recorded.
        Denied = "denied",
        /// An approver took an approval back.
        Withdrew = "withdrew",
        /// The requester cancelled.
        Cancelled = "cancelled",
        /// A request was admitted, and its command may start.
        Started = "started",
        /// A command has ended, or its outcome is recorded as unknown.
        Finished = "finished",
        /// A reply was sent.
        Replied = "replied",
        /// Old requests and events were removed.
        Pruned = "pruned",
        /// A sysadmin's command changed the configuration or the ledger.
        Changed = "changed",
        /// Requests came into the ledger that no event is about: they were recorded before the chain began, or copied.
        Migrated = "migrated",
    }
}

words! {
    /// The keys of an event, in the order of the canonical form.
    EventKey {
        /// What happened.
        Event = "event",
        /// When, by the clock of the host that recorded it.
        At = "at",
        /// The host that recorded it.
        Host = "host",
        /// The request's id.
        Request = "request",
        /// The user.
        User = "user",
        /// The command's name.
        Command = "command",
        /// The arguments, `name=value`, one on a line.
        Arguments = "arguments",
        /// The signed time.
        Signed = "signed",
        /// The TOTP step that was used.
        Step = "step",
        /// The account that the command runs as.
        RunAs = "run-as",
        /// The argument vector, one argument on a line.
        Argv = "argv",
        /// Another request, which a vote is about.
        About = "about",
        /// The state of that request after the event.
        Became = "became",
        /// The state of the request after the event.
        State = "state",
        /// Why it was refused.
        Reason = "reason",
        /// The outcome.
        Result = "result",
        /// When it was closed, where it has no reply.
        Replied = "replied",
        /// Who gave a sysadmin's command.
        By = "by",
        /// That command.
        Change = "change",
        /// The digest of the configuration after it.
        Config = "config",
        /// How many requests were removed, or have no event.
        Requests = "requests",
        /// What was replied to and recorded before then could be removed.
        Before = "before",
        /// The number of the last event that was removed.
        Through = "through",
        /// The head after that event.
        Head = "head",
    }
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent(BTreeMap<EventKey, String>);

impl AuditEvent {
    /// Something that happened at `at` on this host.
    pub fn new(kind: EventKind, at: Timestamp) -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self(BTreeMap::new()).with(EventKey::Event, kind.word()).with(EventKey::At, at).with(EventKey::Host, host)
    }

    /// What happened to the request `record`, which is as it is after the event. The first event has all that is known
    /// of the request, but for what is sealed in its argument vector: that is not kept longer than it waits.
    pub fn of(kind: EventKind, record: &Record, at: Timestamp) -> Self {
        let event = Self::new(kind, at)
            .with(EventKey::Request, record.id)
            .with(EventKey::User, &record.user)
            .with(EventKey::State, record.state.word())
            .with(EventKey::Reason, record.reason.as_deref().unwrap_or_default())
            .with(EventKey::Result, record.result.map(|result| result.to_string()).unwrap_or_default())
            .with(EventKey::Replied, record.replied.map(|time| time.to_string()).unwrap_or_default());
        if kind == EventKind::Finished {
            return event;
        }
        event
            .with(EventKey::Command, &record.command)
            .with(EventKey::Arguments, &record.arguments)
            .with(EventKey::Signed, record.signed)
            .with(EventKey::Step, record.step.map(|step| step.to_string()).unwrap_or_default())
            .with(EventKey::RunAs, record.run_as.as_deref().unwrap_or_default())
            .with(EventKey::Argv, record.shown_argv().unwrap_or_default())
    }

    /// The reply to `id` was sent.
    pub fn replied(id: &RequestId, at: Timestamp) -> Self {
        Self::new(EventKind::Replied, at).with(EventKey::Request, id)
    }

    /// The same event, with what became of the request that it is about.
    pub fn about(self, record: &RequestId, became: State) -> Self {
        self.with(EventKey::About, record).with(EventKey::Became, became.word())
    }

    /// The same event with one more value; an empty one is left out.
    pub fn with(mut self, key: EventKey, value: impl fmt::Display) -> Self {
        let value = value.to_string();
        if !value.is_empty() {
            self.0.insert(key, value);
        }
        self
    }

    /// A value.
    pub fn get(&self, key: EventKey) -> Option<&str> {
        self.0.get(&key).map(String::as_str)
    }

    /// All keys with their values, in order.
    pub fn values(&self) -> impl Iterator<Item = (EventKey, &str)> {
        self.0.iter().map(|(key, value)| (*key, value.as_str()))
    }

    /// What happened.
    pub fn kind(&self) -> Option<EventKind> {
        self.get(EventKey::Event).and_then(EventKind::of)
    }

    /// When.
    pub fn at(&self) -> Option<Timestamp> {
        self.get(EventKey::At).and_then(moment)
    }

    /// The request whose id the value of `key` is.
    pub fn id(&self, key: EventKey) -> Option<RequestId> {
        self.get(key).and_then(RequestId::from_hex)
    }

    /// The canonical form: each value that is not empty as `key: value` LF, in the order of [`EventKey`].
    pub fn canonical(&self) -> String {
        let mut text = String::with_capacity(512);
        for (key, value) in &self.0 {
            text.push_str(key.word());
            text.push_str(": ");
            text.push_str(&encode_value(value));
            text.push('\n');
        }
        text
    }

    /// The event with this canonical form; `None` for any other text.
    pub fn parse(canonical: &str) -> Option<Self> {
        let mut event = Self(BTreeMap::new());
        for line in canonical.strip_suffix('\n')?.split('\n') {
            let (key, value) = line.split_once(": ")?;
            event = event.with(EventKey::of(key)?, decode_value(value)?);
        }
        let is_whole = event.kind().is_some() && event.at().is_some();
        (is_whole && event.canonical() == canonical).then_some(event)
    }
}

/// A moment as [`Timestamp`] shows it, that of a clock which is wrong by centuries too.
fn moment(text: &str) -> Option<Timestamp> {
    let seconds = match text.strip_prefix('@') {
        Some(seconds) => seconds.parse().ok()?,
        None => text.parse::<jiff::Timestamp>().ok()?.as_second(),
    };
    let moment = Timestamp::from_seconds(seconds);
    (moment.to_string() == text).then_some(moment)
}

/// An event's place in the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainPoint {
    /// Its number; the first event of a gateway has 1, and 0 is before it.
    pub number: u64,
    /// The head after it.
    pub head: ChainHead,
}

impl ChainPoint {
    /// The place of the event with this canonical form, if it comes next.
    pub fn after(&self, canonical: &str) -> Self {
        Self { number: self.number.saturating_add(1), head: self.head.after(canonical) }
    }
}

/// An event as a ledger stores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainRow {
    /// Its number; the first event of a gateway has 1.
    pub number: u64,
    /// When it happened, as pruning reads it.
    pub at: Timestamp,
    /// Its canonical form.
    pub event: String,
    /// The head after it.
    pub head: ChainHead,
}

/// Where a ledger's chain begins: after the last event that pruning has removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The name that the first head was made from.
    pub gateway: String,
    /// The number of the last event that was removed; 0 where none was.
    pub number: u64,
    /// The head after it.
    pub head: ChainHead,
    /// The latest time of the events that were removed.
    pub until: Option<Timestamp>,
}
