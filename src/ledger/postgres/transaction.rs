//! One request's transaction. It locks the one row of mailsudo.ledger, so transactions exclude each other from the
//! first read on. In: a connection. Out: a commit that is proven, or an error.
//!
//! Two round trips as a rule: its begin; the changed record, the counters, the event and COMMIT together, and the
//! reading back, which is sent with them and which the server begins after the commit (docs/decisions/0054, 0058).
//!
//! MUST: a commit counts when the answer is COMMIT, no warning came with it, and the row that is read back has this
//! delivery's token (docs/decisions/0038).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

use super::begin::{BEGIN, BEGIN_TRANSACTION, Begun, PATIENT};
use super::chain::{self, NewEvent};
use super::count::{self, Added};
use super::record::record_of;
use super::schema::check_version;
use super::session::Session;
use super::statements::{SET_LOCKOUT, lockout_values, recognised};
use super::terms::Terms;
use super::unwritten::Unwritten;
use super::value::{Row, Value};
use super::wire::{Answer, Fault, Statement, Wire, statement};
use crate::config::Synchronous;
use crate::error::Reason;
use crate::ledger::{
    AuditEvent, ChainPoint, Counts, ExclusiveHold, LedgerError, Lockout, Record, Series, State, Transaction,
};
use crate::limits::{CLOCKS, HOLD_MARGIN, KILL_AFTER, SUDO_START, UNLOCK};
use crate::protocol::{RequestId, Timestamp, UserName};

/// What the record of the request `$1` says: its token and its count of writes; and for whom commits wait.
const READ_BACK: &str = "SELECT mailsudo.read_back($1)";

const READ_BACK_EVENT: &str = "SELECT head FROM mailsudo.events WHERE number = $1";

/// An open transaction.
pub(super) struct PostgresTransaction {
    open: Open,
    terms: Rc<Terms>,
    id: RequestId,
    user: String,
    begun: Begun,
    was_read: Cell<bool>,
    /// It had the request's lock, and has it no more.
    has_lost_lock: bool,
    /// The change of the record, until it is sent.
    unwritten: RefCell<Option<Unwritten>>,
    /// What the row must say after the commit.
    written: Option<i64>,
    /// What is counted when it is committed.
    counts: Counts,
    counted_at: Timestamp,
    /// The event that is written with the commit.
    event: Option<NewEvent>,
}

/// That a transaction is open on the connection. It is rolled back when this is dropped, unless it was ended.
struct Open {
    session: Rc<RefCell<Session>>,
    is_open: bool,
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.is_open
            && let Ok(mut session) = self.session.try_borrow_mut()
        {
            session.roll_back(UNLOCK);
        }
    }
}

impl PostgresTransaction {
    /// Begins one.
    pub(super) fn begin(
        session: Rc<RefCell<Session>>,
        terms: Rc<Terms>,
        id: &RequestId,
        user: &UserName,
    ) -> Result<Self, LedgerError> {
        let milliseconds = terms.timeout.as_millis().to_string();
        let values = [
            id.as_bytes().as_slice().into(),
            user.as_str().into(),
            terms.token.as_slice().into(),
            HOLD_MARGIN.as_secs().cast_signed().into(),
            milliseconds.as_str().into(),
        ];
        let statements = [statement(BEGIN, &[]), statement(PATIENT, &[]), statement(BEGIN_TRANSACTION, &values)];
        let answer = session.borrow_mut().repeat(&statements, Instant::now() + terms.timeout)?.pop();
        let open = Open { session, is_open: true };
        let begun = Begun::read(answer.ok_or(LedgerError::Corrupt("answer"))?.returned()?)?;
        let is_locked = terms.locked.borrow().contains(id);
        let mut transaction = Self {
            terms,
            id: *id,
            user: user.to_string(),
            was_read: Cell::new(false),
            has_lost_lock: is_locked && !begun.is_own,
            begun,
            unwritten: RefCell::new(None),
            written: None,
            counts: Counts::default(),
            counted_at: Timestamp::from_seconds(0),
            event: None,
            open,
        };
        transaction.check()?;
        Ok(transaction)
    }

    /// Whether it is this gateway's ledger, of a schema that this mailsudo can use, on a server that is known.
    fn check(&mut self) -> Result<(), LedgerError> {
        check_version(self.begun.version, self.begun.readable_from)?;
        if self.begun.gateway != self.terms.gateway {
            return Err(LedgerError::OtherGateway(self.begun.gateway.clone()));
        }
        if self.terms.synchronous == Synchronous::Require && self.begun.standbys.is_empty() {
            return Err(LedgerError::Asynchronous);
        }
        if self.begun.stored == self.begun.found { Ok(()) } else { self.recognise() }
    }

    /// The server is another one, or has become another one. What it lost may have run: it must not
    /// run again, and exclusive commands must not run beside it.
    fn recognise(&mut self) -> Result<(), LedgerError> {
        let (stored, found) = (&self.begun.stored, &self.begun.found);
        let lost = stored.system != found.system || self.terms.synchronous == Synchronous::Warn;
        // A node whose clock is ahead has taken what was signed that much later.
        let ahead = self.terms.max_future.as_secs().cast_signed().saturating_add(CLOCKS);
        let quiet = (SUDO_START + self.terms.longest + KILL_AFTER + HOLD_MARGIN).as_secs().cast_signed();
        let values = [
            found.system.as_str().into(),
            found.timeline.as_str().into(),
            i64::from(lost).into(),
            ahead.into(),
            quiet.into(),
        ];
        let mut row = self.first(&recognised(), &values)?;
        self.begun.lost_until = row.maybe_time("time of loss")?;
        self.begun.quiet_for = row.maybe_int("time of quiet")?.unwrap_or(0);
        Ok(())
    }

    /// The node and the token that a row gets which this delivery changes.
    pub(super) fn writer(&self) -> (&str, &[u8]) {
        (&self.terms.node, &self.terms.token)
    }

    /// Runs one statement, after the change that was not sent yet.
    pub(super) fn one(&self, sql: &str, values: &[Value<'_>]) -> Result<Answer, Fault> {
        self.run(&[statement(sql, values)])?.pop().ok_or_else(|| Fault::Lost("the server gave no answer".to_owned()))
    }

    fn run(&self, statements: &[Statement<'_>]) -> Result<Vec<Answer>, Fault> {
        self.after_change(statements, Wire::run)?
    }

    /// Does `run` on the connection with these statements, after the change that was not sent yet.
    fn after_change<T>(
        &self,
        statements: &[Statement<'_>],
        run: impl FnOnce(&mut Wire, &[Statement<'_>]) -> T,
    ) -> Result<T, Fault> {
        let unwritten = self.unwritten.take();
        let change = unwritten.as_ref().map(|unwritten| (unwritten, unwritten.sql(), unwritten.row()));
        let change = change.as_ref().map(|(unwritten, sql, row)| (sql, unwritten.values(row, &self.terms)));
        let change = change.as_ref().map(|(sql, values)| statement(sql, values));
        let all: Vec<_> = change.into_iter().chain(statements.iter().copied()).collect();
        Ok(run(self.open.session.borrow_mut().wire()?, &all))
    }

    fn first(&self, sql: &str, values: &[Value<'_>]) -> Result<Row, LedgerError> {
        self.one(sql, values)?.row().ok_or(LedgerError::Corrupt("answer"))
    }

    /// Whether an event was committed, without a change of a request.
    fn read_back_event(found: Result<Vec<Answer>, Fault>, event: &NewEvent) -> Result<(), LedgerError> {
        let found = found?.pop().and_then(Answer::row);
        match found.map(|mut row| row.bytes("head")).transpose()? {
            Some(head) if head.as_ref() == event.point().head.as_bytes() => Ok(()),
            _ => Err(LedgerError::Unproven("the event could not be read back".to_owned())),
        }
    }

    fn change(&mut self, change: Unwritten) {
        self.written = Some(change.written);
        self.unwritten.replace(Some(change));
    }

    /// Whether what was read back is what was committed.
    fn read_back(&self, found: Result<Vec<Answer>, Fault>, written: i64) -> Result<(), LedgerError> {
        let unread = |what: String| LedgerError::Unproven(format!("the row could not be read back: {what}"));
        let answer = found.map_err(|fault| unread(LedgerError::from(fault).to_string()))?.pop();
        let answer = answer.ok_or(LedgerError::Corrupt("answer"))?;
        let row = answer.returned()?.and_then(|mut found| found.part(3));
        let mut row = row.ok_or_else(|| unread("it is not there".to_owned()))?;
        if row.bytes("token")?.as_ref() != self.terms.token || row.int("count of writes")? != written {
            return Err(LedgerError::Unproven("the row that was read back is another delivery's".to_owned()));
        }
        let is_synchronous = !row.text("synchronous_standby_names")?.is_empty();
        if self.terms.synchronous == Synchronous::Require && !is_synchronous {
            return Err(LedgerError::Asynchronous);
        }
        Ok(())
    }
}

impl Transaction for PostgresTransaction {
    fn record(&self) -> Result<Option<Record>, LedgerError> {
        self.was_read.set(true);
        Ok(self.begun.known.as_ref().map(|known| known.record.clone()))
    }

    fn watermark(&self) -> Result<Option<Timestamp>, LedgerError> {
        Ok(self.begun.watermark)
    }

    fn lost_until(&self) -> Result<Option<Timestamp>, LedgerError> {
        Ok(self.begun.lost_until)
    }

    fn lockout(&self) -> Result<Option<Lockout>, LedgerError> {
        Ok(self.begun.lockout)
    }

    fn wrong_codes(&self, since: Timestamp, now: Timestamp) -> Result<u32, LedgerError> {
        let sql = "SELECT count(*) FROM mailsudo.requests
             WHERE user_name = $1 AND first_seen > $2 AND first_seen <= $3 AND reason = $4 AND step IS NULL";
        let values = [self.user.as_str().into(), since.into(), now.into(), Reason::BadCode.code().into()];
        let count = self.first(sql, &values)?.count("count")?;
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    fn newest(&self, since: Timestamp, now: Timestamp, most: u32) -> Result<Vec<Option<String>>, LedgerError> {
        let sql = "SELECT reason FROM mailsudo.requests WHERE user_name = $1 AND first_seen > $2 AND first_seen <= $3
             ORDER BY first_seen DESC, seq DESC LIMIT $4";
        let values = [self.user.as_str().into(), since.into(), now.into(), i64::from(most).into()];
        self.one(sql, &values)?.rows.into_iter().map(|mut row| row.maybe_text("reason")).collect()
    }

    fn is_step_used(&self, step: u64) -> Result<bool, LedgerError> {
        if self.begun.newest_step.is_none_or(|newest| newest < step.cast_signed()) {
            return Ok(false);
        }
        let sql = "SELECT EXISTS (SELECT FROM mailsudo.requests WHERE user_name = $1 AND step = $2)";
        self.first(sql, &[self.user.as_str().into(), step.cast_signed().into()])?.flag("answer")
    }

    fn exclusive_holds(&self, command: &str, now: Timestamp) -> Result<Vec<ExclusiveHold>, LedgerError> {
        let until = |seconds: i64| Timestamp::from_seconds(now.seconds().saturating_add(seconds));
        let sql = "SELECT id, ceil(extract(epoch FROM hold_ends - clock_timestamp()))::bigint FROM mailsudo.requests
             WHERE command = $1 AND hold_ends > clock_timestamp() AND id <> $2";
        let mut holds = Vec::new();
        for mut row in self.one(sql, &[command.into(), self.id.as_bytes().as_slice().into()])?.rows {
            let holder = Some(record_of(&row.bytes("id")?)?);
            holds.push(ExclusiveHold { holder, until: until(row.int("end of hold")?), is_certain: true });
        }
        if self.begun.quiet_for > 0 {
            holds.push(ExclusiveHold { holder: None, until: until(self.begun.quiet_for), is_certain: true });
        }
        Ok(holds)
    }

    fn insert(&mut self, record: &Record) -> Result<(), LedgerError> {
        if self.has_lost_lock {
            return Err(LedgerError::Taken);
        }
        self.change(Unwritten::first(record));
        self.begun.newest_step = self.begun.newest_step.max(record.step.map(u64::cast_signed));
        self.counts.one(Series::Recorded);
        Ok(())
    }

    /// A delivery that has not read the record in this transaction changes only what it has written itself.
    fn update(&mut self, record: &Record) -> Result<(), LedgerError> {
        let Some(known) = &self.begun.known else {
            return Err(LedgerError::Taken);
        };
        let is_own = known.token == self.terms.token;
        if !self.was_read.get() && !is_own {
            return Err(LedgerError::Taken);
        }
        // The end of its own run it may record without the lock.
        if self.has_lost_lock && !(known.record.state == State::Started && is_own) {
            return Err(LedgerError::Taken);
        }
        self.change(Unwritten::change(record, known));
        Ok(())
    }

    fn append(&mut self, event: &AuditEvent) -> Result<ChainPoint, LedgerError> {
        if self.event.is_some() {
            return Err(LedgerError::Corrupt("second event in one transaction"));
        }
        let event = NewEvent::new(self.begun.chain, event)?;
        let point = event.point();
        self.event = Some(event);
        Ok(point)
    }

    fn set_lockout(&mut self, lockout: &Lockout) -> Result<(), LedgerError> {
        self.one(SET_LOCKOUT, &lockout_values(&self.user, lockout))?;
        self.begun.lockout = Some(*lockout);
        Ok(())
    }

    fn count(&mut self, counts: Counts, now: Timestamp) {
        self.counts.merge(counts);
        self.counted_at = now;
    }

    fn commit(mut self: Box<Self>) -> Result<(), LedgerError> {
        let event = self.event.take();
        let event_values = event.as_ref().map(NewEvent::values);
        let counts = (!self.counts.is_empty()).then(|| Added::new(&self.counts, self.counted_at));
        let count_values = counts.as_ref().map(Added::values);
        // The change, the counters and the event go with the commit, which the server does only if it has taken them.
        // So a counter is locked for the time of the commit only.
        let counted = count_values.iter().map(|values| statement(count::ADD, values));
        let chained = event_values.iter().map(|values| statement(chain::INSERT, values));
        let statements: Vec<_> = counted.chain(chained).chain([statement("COMMIT", &[])]).collect();
        let to_read = match (self.written, &event) {
            (Some(_), _) => Some((READ_BACK, [self.id.as_bytes().as_slice().into()])),
            (None, Some(event)) => Some((READ_BACK_EVENT, [event.number().into()])),
            (None, None) => None,
        };
        let to_read = to_read.as_ref().map(|(sql, values)| [statement(sql, values)]);
        self.open.session.borrow_mut().take_warnings();
        // Whatever goes wrong from here on: the commit may have been done.
        self.open.is_open = false;
        let (answered, found) = self.after_change(&statements, |wire, all| match &to_read {
            Some(to_read) => wire.run_both(all, to_read),
            None => (wire.run(all), Ok(Vec::new())),
        })?;
        self.open.is_open = matches!(answered, Err(Fault::Server(_)));
        if let Some(warning) = self.open.session.borrow_mut().take_warnings().pop() {
            return Err(LedgerError::Unproven(format!("PostgreSQL warns: {}", warning.message)));
        }
        let answer = answered?.pop().map(|answer| answer.tag).unwrap_or_default();
        match (answer.as_str(), self.written, event) {
            ("COMMIT", Some(written), _) => self.read_back(found, written),
            ("COMMIT", None, Some(event)) => Self::read_back_event(found, &event),
            ("COMMIT", None, None) => Ok(()),
            (other, ..) => Err(LedgerError::Unproven(format!("PostgreSQL answers {other}"))),
        }
    }
}
