//! What the model's world consists of: the database, what a failover may return to, the deliveries, the runs, the
//! user's mailbox.

/// Moments and spans, in ticks. The database's clock is the true one.
pub type Tick = i8;

/// One delivery of a request's mail: the node, and which of its deliveries there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token {
    pub node: usize,
    pub attempt: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answer {
    Ran,
    Unknown,
    /// It was recorded as started, and was too late to begin.
    NotBegun,
    /// The database was replaced, and may have lost that it ran.
    FailedOver,
    Refused,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RowState {
    Waiting,
    Started,
    Closed,
}

/// A row of mailsudo.requests.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Row {
    pub state: RowState,
    pub token: Token,
    pub written: u8,
    pub answer: Option<Answer>,
    pub replied: bool,
    pub hold_ends: Option<Tick>,
}

/// A row of mailsudo.locks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lock {
    pub token: Token,
    pub ends: Tick,
}

/// What one database server holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Database {
    /// The timeline that mailsudo.ledger names.
    pub stored: u8,
    pub watermark: Option<Tick>,
    pub lost_until: Option<Tick>,
    pub quiet_until: Option<Tick>,
    pub rows: Vec<Option<Row>>,
    pub locks: Vec<Option<Lock>>,
}

/// Where a delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum At {
    /// The mail is in the queue.
    Queued,
    Locked,
    Waiting,
    /// Its commit, of this moment, is proven.
    Admitted(Tick),
    Running,
    /// It is too late to begin.
    NotBegun,
    /// A finished reply is stored.
    Stored(Answer),
    Sent(Answer),
    /// Only where "sent, then marked" is out.
    Marked(Answer),
    /// The mail is gone.
    Consumed,
}

/// A request's mail on a node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Job {
    pub at: At,
    pub attempt: u8,
    /// Of the row, when this delivery last wrote it.
    pub written: u8,
}

/// A command that was started and may still run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Run {
    pub request: usize,
    pub since: Tick,
}

/// What must never happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    RanTwice,
    Overlap,
    /// The mail is gone and no reply was sent.
    NoReply,
    /// Two replies of which only one can be true.
    TwoAnswers,
    /// "Outcome unknown" was sent, and the command began after that.
    BegunAfterAnswer,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    pub now: Tick,
    pub timeline: u8,
    pub database: Database,
    /// What a failover may return to, instead of what the primary has.
    pub standbys: Vec<Database>,
    pub failovers: u8,
    pub kills: u8,
    pub doubts: u8,
    /// `[request][node]`.
    pub jobs: Vec<Vec<Job>>,
    pub runs: Vec<Run>,
    pub began: Vec<u8>,
    pub sent: Vec<Vec<Answer>>,
    pub fault: Option<Fault>,
}
