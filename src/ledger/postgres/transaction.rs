//! One request's transaction. It locks the one row of mailsudo.ledger, so transactions exclude each other from the
//! first read on. In: a connection. Out: a commit that is proven, or an error.
//!
//! MUST: a commit counts when the answer is COMMIT, no warning came with it, and the row that is read back has this
//! delivery's token (docs/decisions/0038).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

use super::chain::{self, NewEvent};
use super::count;
use super::locks::IS_OWN;
use super::record::{self, COLUMNS, Written, record_of};
use super::schema::{IDENTITY, check_version};
use super::session::Session;
use super::statements::{
    BEGIN, LOCKOUT, SET_LOCKOUT, SETTINGS, locked_ledger, lockout_from, lockout_values, recognised,
};
use super::terms::Terms;
use super::value::{Row, Value};
use super::wire::{Answer, Fault, statement};
use crate::config::Synchronous;
use crate::error::Reason;
use crate::ledger::{
    AuditEvent, ChainPoint, Counts, ExclusiveHold, LedgerError, Lockout, Record, Series, State, Transaction,
};
use crate::limits::{CLOCKS, HOLD_MARGIN, KILL_AFTER, SUDO_START, UNLOCK};
use crate::protocol::{RequestId, Timestamp, UserName};

/// An open transaction.
pub(super) struct PostgresTransaction {
    session: Rc<RefCell<Session>>,
    terms: Rc<Terms>,
    id: RequestId,
    user: String,
    watermark: Option<Timestamp>,
    lost_until: Option<Timestamp>,
    quiet_for: i64,
    record: Option<(Record, Vec<u8>, i64)>,
    was_read: Cell<bool>,
    lockout: Option<Lockout>,
    /// It had the request's lock, and has it no more.
    has_lost_lock: bool,
    /// What the row must say after the commit.
    written: Option<i64>,
    /// What is counted when it is committed.
    counts: Counts,
    counted_at: Timestamp,
    /// The newest event of the audit chain.
    chain: Option<ChainPoint>,
    /// The event that is written with the commit.
    event: Option<NewEvent>,
    is_open: bool,
}

impl PostgresTransaction {
    /// Begins one.
    pub(super) fn begin(
        session: Rc<RefCell<Session>>,
        terms: Rc<Terms>,
        id: &RequestId,
        user: &UserName,
    ) -> Result<Self, LedgerError> {
        let deadline = Instant::now() + terms.timeout;
        let milliseconds = terms.timeout.as_millis().to_string();
        let ledger = locked_ledger();
        let identity = format!("SELECT {IDENTITY}, current_setting('synchronous_standby_names')");
        let margin = HOLD_MARGIN.as_secs().cast_signed();
        let known = format!("SELECT {COLUMNS}, token, written FROM mailsudo.requests WHERE id = $1");
        let begun = session.borrow_mut().repeat(
            &[
                statement(BEGIN, &[]),
                statement(SETTINGS, &[milliseconds.as_str().into()]),
                statement(&ledger, &[]),
                statement(&identity, &[]),
                statement(&known, &[id.as_bytes().as_slice().into()]),
                statement(LOCKOUT, &[user.as_str().into()]),
                statement(chain::END, &[]),
                statement(IS_OWN, &[id.as_bytes().as_slice().into(), terms.token.as_slice().into(), margin.into()]),
            ],
            deadline,
        )?;
        let mut transaction = Self {
            session,
            terms,
            id: *id,
            user: user.to_string(),
            watermark: None,
            lost_until: None,
            quiet_for: 0,
            record: None,
            was_read: Cell::new(false),
            lockout: None,
            has_lost_lock: false,
            written: None,
            counts: Counts::default(),
            counted_at: Timestamp::from_seconds(0),
            chain: None,
            event: None,
            is_open: true,
        };
        transaction.take(begun)?;
        Ok(transaction)
    }

    /// Takes in what the first statements found.
    fn take(&mut self, begun: Vec<Answer>) -> Result<(), LedgerError> {
        let mut rows = begun.into_iter().skip(2).map(Answer::row);
        let mut next = || rows.next().flatten();
        let mut ledger = next().ok_or(LedgerError::Corrupt("lack of a row in mailsudo.ledger"))?;
        check_version(ledger.int("schema")?, ledger.int("schema")?)?;
        let gateway = ledger.text("gateway")?;
        if gateway != self.terms.gateway {
            return Err(LedgerError::OtherGateway(gateway));
        }
        self.watermark = ledger.maybe_time("watermark")?;
        self.lost_until = ledger.maybe_time("time of loss")?;
        self.quiet_for = ledger.maybe_int("time of quiet")?.unwrap_or(0);
        let stored = (ledger.text("system identifier")?, ledger.text("timeline")?);
        let mut server = next().ok_or(LedgerError::Corrupt("answer"))?;
        let found = (server.text("system identifier")?, server.text("timeline")?);
        let standbys = server.text("synchronous_standby_names")?;
        if self.terms.synchronous == Synchronous::Require && standbys.is_empty() {
            return Err(LedgerError::Asynchronous);
        }
        self.record = match rows.next().flatten() {
            Some(mut row) => Some((record::read(&mut row)?, row.bytes("token")?.to_vec(), row.int("count of writes")?)),
            None => None,
        };
        self.lockout = rows.next().flatten().map(|mut row| lockout_from(&mut row)).transpose()?;
        self.chain = Some(chain::end(rows.next().flatten())?);
        let is_own = rows.next().flatten().ok_or(LedgerError::Corrupt("answer"))?.flag("answer")?;
        self.has_lost_lock = !is_own && self.terms.locked.borrow().contains(&self.id);
        if stored == found { Ok(()) } else { self.recognise(&stored, &found) }
    }

    /// The server is another one, or has become another one. What it lost may have run: it must not
    /// run again, and exclusive commands must not run beside it.
    fn recognise(&mut self, stored: &(String, String), found: &(String, String)) -> Result<(), LedgerError> {
        let lost = stored.0 != found.0 || self.terms.synchronous == Synchronous::Warn;
        // A node whose clock is ahead has taken what was signed that much later.
        let ahead = self.terms.max_future.as_secs().cast_signed().saturating_add(CLOCKS);
        let quiet = (SUDO_START + self.terms.longest + KILL_AFTER + HOLD_MARGIN).as_secs().cast_signed();
        let values =
            [found.0.as_str().into(), found.1.as_str().into(), i64::from(lost).into(), ahead.into(), quiet.into()];
        let mut row = self.one(&recognised(), &values)?.row().ok_or(LedgerError::Corrupt("answer"))?;
        self.lost_until = row.maybe_time("time of loss")?;
        self.quiet_for = row.maybe_int("time of quiet")?.unwrap_or(0);
        Ok(())
    }

    /// The node and the token that a row gets which this delivery changes.
    pub(super) fn writer(&self) -> (&str, &[u8]) {
        (&self.terms.node, &self.terms.token)
    }

    pub(super) fn one(&self, sql: &str, values: &[Value<'_>]) -> Result<Answer, Fault> {
        let mut session = self.session.borrow_mut();
        session.wire()?.one(sql, values)
    }

    fn first(&self, sql: &str, values: &[Value<'_>]) -> Result<Row, LedgerError> {
        self.one(sql, values)?.row().ok_or(LedgerError::Corrupt("answer"))
    }

    /// Reads back an event that was committed without a change of a request.
    fn read_back_event(&self, event: &NewEvent) -> Result<(), LedgerError> {
        let sql = "SELECT head FROM mailsudo.events WHERE number = $1";
        let found = self.one(sql, &[event.number().into()])?.row();
        match found.map(|mut row| row.bytes("head")).transpose()? {
            Some(head) if head.as_ref() == event.point().head.as_bytes() => Ok(()),
            _ => Err(LedgerError::Unproven("the event could not be read back".to_owned())),
        }
    }

    /// Reads back what was committed.
    fn read_back(&self, written: i64) -> Result<(), LedgerError> {
        let sql =
            "SELECT token, written, current_setting('synchronous_standby_names') FROM mailsudo.requests WHERE id = $1";
        let unread = |what: String| LedgerError::Unproven(format!("the row could not be read back: {what}"));
        let id = self.id.as_bytes().as_slice();
        let row = self.one(sql, &[id.into()]).map_err(|fault| unread(LedgerError::from(fault).to_string()))?.row();
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
        Ok(self.record.as_ref().map(|(record, ..)| record.clone()))
    }

    fn watermark(&self) -> Result<Option<Timestamp>, LedgerError> {
        Ok(self.watermark)
    }

    fn lost_until(&self) -> Result<Option<Timestamp>, LedgerError> {
        Ok(self.lost_until)
    }

    fn lockout(&self) -> Result<Option<Lockout>, LedgerError> {
        Ok(self.lockout)
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
        if self.quiet_for > 0 {
            holds.push(ExclusiveHold { holder: None, until: until(self.quiet_for), is_certain: true });
        }
        Ok(holds)
    }

    fn insert(&mut self, record: &Record) -> Result<(), LedgerError> {
        if self.has_lost_lock {
            return Err(LedgerError::Taken);
        }
        let row = Written::new(record);
        let values = row.first(&self.terms.node, &self.terms.token, 1);
        match self.one(&record::insert_sql(), &values)?.changed() {
            1 => {
                self.written = Some(1);
                self.counts.one(Series::Recorded);
                Ok(())
            }
            _ => Err(LedgerError::Taken),
        }
    }

    /// A delivery that has not read the record in this transaction changes only what it has written itself.
    fn update(&mut self, record: &Record) -> Result<(), LedgerError> {
        let Some((before, token, count)) = &self.record else {
            return Err(LedgerError::Taken);
        };
        if !self.was_read.get() && *token != self.terms.token {
            return Err(LedgerError::Taken);
        }
        // The end of its own run it may record without the lock.
        if self.has_lost_lock && !(before.state == State::Started && *token == self.terms.token) {
            return Err(LedgerError::Taken);
        }
        let next = count.saturating_add(1);
        let row = Written::new(record);
        let values = row.change((token, *count), &self.terms.node, &self.terms.token, next);
        match self.one(&record::update_sql(), &values)?.changed() {
            1 => {
                self.written = Some(next);
                Ok(())
            }
            _ => Err(LedgerError::Taken),
        }
    }

    fn append(&mut self, event: &AuditEvent) -> Result<ChainPoint, LedgerError> {
        let newest = self.chain.take().ok_or(LedgerError::Corrupt("second event in one transaction"))?;
        let event = NewEvent::new(newest, event)?;
        let point = event.point();
        self.event = Some(event);
        Ok(point)
    }

    fn set_lockout(&mut self, lockout: &Lockout) -> Result<(), LedgerError> {
        self.one(SET_LOCKOUT, &lockout_values(&self.user, lockout))?;
        self.lockout = Some(*lockout);
        Ok(())
    }

    fn count(&mut self, counts: Counts, now: Timestamp) {
        self.counts.merge(counts);
        self.counted_at = now;
    }

    fn commit(mut self: Box<Self>) -> Result<(), LedgerError> {
        let event = self.event.take();
        let event_values = event.as_ref().map(NewEvent::values);
        let counts = (!self.counts.is_empty())
            .then(|| (count::add_sql(&self.counts), count::values(&self.counts, self.counted_at)));
        let answered = {
            let mut session = self.session.borrow_mut();
            let wire = session.wire()?;
            wire.take_warnings();
            // Whatever goes wrong from here on: the commit may have been done.
            self.is_open = false;
            // The counters and the event go with the commit, which the server does only if it has taken them. So a
            // counter is locked for the time of the commit only.
            let counted = counts.iter().map(|(sql, values)| statement(sql, values));
            let chained = event_values.iter().map(|values| statement(chain::INSERT, values));
            let statements: Vec<_> = counted.chain(chained).chain([statement("COMMIT", &[])]).collect();
            let answered = wire.run(&statements);
            self.is_open = matches!(answered, Err(Fault::Server(_)));
            match wire.take_warnings().pop() {
                Some(warning) => Err(LedgerError::Unproven(format!("PostgreSQL warns: {}", warning.message))),
                None => Ok(answered?.pop().map(|answer| answer.tag).unwrap_or_default()),
            }
        };
        match (answered?.as_str(), self.written, event) {
            ("COMMIT", Some(written), _) => self.read_back(written),
            ("COMMIT", None, Some(event)) => self.read_back_event(&event),
            ("COMMIT", None, None) => Ok(()),
            (other, ..) => Err(LedgerError::Unproven(format!("PostgreSQL answers {other}"))),
        }
    }
}

impl Drop for PostgresTransaction {
    fn drop(&mut self) {
        if self.is_open
            && let Ok(mut session) = self.session.try_borrow_mut()
        {
            session.roll_back(UNLOCK);
        }
    }
}
