//! The ledger in a PostgreSQL database, for several mail servers that serve one address.
//!
//! Locks and exclusive holds are rows that end by the database's clock. No transaction is open while a command runs.
//! Everything works through pgbouncer in transaction mode. Why each of these is so: docs/decisions/0038.
//!
//! MUST: any doubt about a commit is an error, and so a deferral; the next delivery finds out.

mod approval;
mod attempts;
mod begin;
mod chain;
mod connect;
mod count;
mod import;
mod locks;
mod queries;
mod record;
mod schema;
mod server;
mod session;
mod socket;
mod statements;
mod terms;
mod transaction;
mod unwritten;
mod value;
mod wire;

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::{
    AuditEvent, ChainPoint, Counts, EventKind, Ledger, LedgerError, Lockout, Owner, Record, RequestLock, StoredReply,
    Transaction,
};
use crate::config::{Folder, LedgerUrl, PostgresUrl, Settings, Trusted};
use crate::limits::{DATABASE_MIGRATION, NODE_SEEN, Timeouts};
use crate::protocol::{RequestId, Timestamp, UserName};

use connect::{Target, connect};
use count::Added;
use record::COLUMNS;
use session::Session;
use terms::Terms;
use value::Row;

use statements::{ASYNCHRONOUS, DURABLE, LOCKOUT, SET_LOCKOUT, lockout_from, lockout_values};
use transaction::PostgresTransaction;
use wire::{Answer, statement};

/// An open ledger in PostgreSQL.
pub struct Postgres {
    session: Rc<RefCell<Session>>,
    terms: Rc<Terms>,
}

impl Postgres {
    /// Connects to the database at `url`.
    pub(super) fn open(
        url: &PostgresUrl,
        settings: &Settings,
        trusted: Trusted,
        timeout: Duration,
    ) -> Result<Self, LedgerError> {
        let target = target(url, settings.ledger.password_file.as_deref(), settings, trusted)?;
        Self::connected(target, settings, timeout)
    }

    fn connected(target: Target, settings: &Settings, timeout: Duration) -> Result<Self, LedgerError> {
        let mut token = [0; 16];
        getrandom::fill(&mut token).map_err(|error| LedgerError::Backend(format!("no random bytes: {error}")))?;
        let terms = Terms {
            gateway: settings.gateway.to_string(),
            node: node(),
            token,
            timeout,
            synchronous: settings.ledger.synchronous,
            max_future: settings.max_future.as_duration(),
            longest: settings.execution.longest.as_duration(),
            locked: RefCell::default(),
        };
        let session = Session::open(target, Instant::now() + timeout)?;
        Ok(Self { session: Rc::new(RefCell::new(session)), terms: Rc::new(terms) })
    }

    /// Connects as the owner of the tables.
    pub(super) fn open_as(owner: &Owner<'_>) -> Result<Self, LedgerError> {
        let target = target(owner.url, owner.password_file, owner.settings, owner.trusted.clone())?;
        Self::connected(target, owner.settings, Timeouts::DEFAULT.transaction)
    }

    /// Makes an empty ledger; see [`crate::ledger::init_database`].
    pub(super) fn init(owner: &Owner<'_>, watermark: Option<Timestamp>) -> Result<bool, LedgerError> {
        let mut wire = as_owner(owner)?;
        let made = schema::init(&mut wire, owner.settings.gateway.as_str(), watermark)?;
        schema::grant(&mut wire, &deliver_role(owner.settings))?;
        Ok(made)
    }

    /// Brings the schema up to date. Returns the schema before and after.
    pub(super) fn migrate(owner: &Owner<'_>) -> Result<(i64, i64), LedgerError> {
        let mut wire = as_owner(owner)?;
        wire.set_deadline(Instant::now() + DATABASE_MIGRATION);
        let done = schema::migrate(&mut wire, owner.settings.gateway.as_str())?;
        schema::grant(&mut wire, &deliver_role(owner.settings))?;
        Ok(done)
    }

    /// Runs statements that may run twice, within the timeout.
    fn repeat(&self, statements: &[wire::Statement<'_>]) -> Result<Vec<Answer>, LedgerError> {
        self.session.borrow_mut().repeat(statements, Instant::now() + self.terms.timeout)
    }

    /// That what was committed last is as durable as it must be: a server that could not wait for a standby warns.
    fn proven(&self) -> Result<(), LedgerError> {
        match self.session.borrow_mut().wire()?.take_warnings().pop() {
            Some(warning) => Err(LedgerError::Unproven(format!("PostgreSQL warns: {}", warning.message))),
            None => Ok(()),
        }
    }

    fn one(&self, sql: &str, values: &[value::Value<'_>]) -> Result<Answer, LedgerError> {
        self.repeat(&[statement(sql, values)])?.pop().ok_or(LedgerError::Corrupt("answer"))
    }
}

/// Connects as the owner of the tables.
fn as_owner(owner: &Owner<'_>) -> Result<wire::Wire, LedgerError> {
    let target = target(owner.url, owner.password_file, owner.settings, owner.trusted.clone())?;
    connect(&target, Instant::now() + Timeouts::DEFAULT.transaction)
}

/// The role that `deliver` connects as.
fn deliver_role(settings: &Settings) -> String {
    match &settings.ledger.url {
        LedgerUrl::Postgres(PostgresUrl { user: Some(user), .. }) => user.clone(),
        _ => settings.service_user.clone(),
    }
}

/// Where to connect to, with the files that are named for it.
fn target(
    url: &PostgresUrl,
    password_file: Option<&Path>,
    settings: &Settings,
    trusted: Trusted,
) -> Result<Target, LedgerError> {
    let password = match password_file {
        Some(file) => {
            let text = read(file, trusted.clone(), true)?;
            Some(Rc::new(Zeroizing::new(text.trim_end_matches(['\n', '\r']).to_owned())))
        }
        None => None,
    };
    let root_certificates = match &url.root_certificates {
        Some(file) => Some(Rc::new(read(file, trusted, false)?.to_string())),
        None => None,
    };
    Ok(Target {
        hosts: url.hosts.clone(),
        user: url.user.clone().unwrap_or_else(|| settings.service_user.clone()),
        database: url.database.clone(),
        password,
        root_certificates,
    })
}

/// Reads a file that `[ledger]` names, under the rules for the gateway's own files.
fn read(file: &Path, trusted: Trusted, is_secret: bool) -> Result<Zeroizing<String>, LedgerError> {
    if is_secret {
        return Folder::secret(file, trusted).map_err(LedgerError::Distrust);
    }
    let folder = Folder::open(file.parent().unwrap_or(Path::new("/")), trusted).map_err(LedgerError::Distrust)?;
    folder.read(file.file_name().and_then(|name| name.to_str()).unwrap_or_default()).map_err(LedgerError::Distrust)
}

/// This host's name.
fn node() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

impl Ledger for Postgres {
    fn lock(&self, id: &RequestId) -> Result<Option<RequestLock>, LedgerError> {
        locks::lock(&self.session, &self.terms, id)
    }

    fn is_locked(&self, id: &RequestId) -> Result<bool, LedgerError> {
        locks::is_locked(&self.session, &self.terms, id)
    }

    fn transaction(&mut self, id: &RequestId, user: &UserName) -> Result<Box<dyn Transaction + '_>, LedgerError> {
        let (session, terms) = (Rc::clone(&self.session), Rc::clone(&self.terms));
        Ok(Box::new(PostgresTransaction::begin(session, terms, id, user)?))
    }

    fn mark_replied(
        &mut self,
        id: &RequestId,
        now: Timestamp,
        audit_lost: u32,
        timeout: Duration,
    ) -> Result<(), LedgerError> {
        let event = AuditEvent::replied(id, now).canonical();
        let lost = i64::from(audit_lost);
        let values = [id.as_bytes().as_slice().into(), now.into(), lost.into(), event.as_str().into()];
        let mark = [statement("SELECT mailsudo.mark_replied($1, $2, $3, $4)", &values)];
        self.session.borrow_mut().repeat(&mark, Instant::now() + timeout).map(drop)
    }

    /// All of it is one statement, which also releases the request's lock and notes that this node was seen.
    fn end_delivery(
        &mut self,
        id: &RequestId,
        now: Timestamp,
        audit_lost: u32,
        (before, most): (Timestamp, u32),
        timeout: Duration,
    ) -> Result<(), LedgerError> {
        let event = AuditEvent::replied(id, now).canonical();
        let values = [
            id.as_bytes().as_slice().into(),
            now.into(),
            i64::from(audit_lost).into(),
            event.as_str().into(),
            self.terms.token.as_slice().into(),
            self.terms.node.as_str().into(),
            env!("CARGO_PKG_VERSION").into(),
            NODE_SEEN.as_secs().cast_signed().into(),
            before.into(),
        ];
        let end = [statement("SELECT mailsudo.end_delivery($1, $2, $3, $4, $5, $6, $7, $8, $9)", &values)];
        let answer = self.session.borrow_mut().repeat(&end, Instant::now() + timeout)?.pop();
        self.terms.locked.borrow_mut().retain(|locked| locked != id);
        let has_old = answer.and_then(Answer::row).ok_or(LedgerError::Corrupt("answer"))?.flag("answer")?;
        if has_old { self.prune(before, most, now).map(drop) } else { Ok(()) }
    }

    fn replace_reply(
        &mut self,
        id: &RequestId,
        from: &StoredReply,
        to: &StoredReply,
        timeout: Duration,
    ) -> Result<(), LedgerError> {
        // It may run twice.
        let sql = "UPDATE mailsudo.requests SET reply = $3 WHERE id = $1 AND reply IN ($2, $3) AND replied IS NULL";
        let (from, to) = (from.stored(), to.stored());
        let values = [id.as_bytes().as_slice().into(), from.as_slice().into(), to.as_slice().into()];
        let statements = [statement(DURABLE, &[]), statement(sql, &values)];
        let done = self.session.borrow_mut().repeat(&statements, Instant::now() + timeout)?.pop();
        self.proven()?;
        match done.ok_or(LedgerError::Corrupt("answer"))?.changed() {
            0 => Err(LedgerError::Taken),
            _ => Ok(()),
        }
    }

    fn count(&mut self, counts: &Counts, now: Timestamp, timeout: Duration) -> Result<(), LedgerError> {
        let added = Added::new(counts, now);
        let values = added.values();
        let statements = [statement(ASYNCHRONOUS, &[]), statement(count::ADD, &values)];
        self.session.borrow_mut().repeat(&statements, Instant::now() + timeout).map(drop)
    }

    fn prune(&mut self, before: Timestamp, most: u32, now: Timestamp) -> Result<u32, LedgerError> {
        let event = AuditEvent::new(EventKind::Pruned, now).canonical();
        let values = [before.into(), i64::from(most).into(), now.into(), event.as_str().into()];
        let sql = "SELECT mailsudo.prune($1, $2, $3, $4)";
        let answer = self.repeat(&[statement(ASYNCHRONOUS, &[]), statement(sql, &values)])?.pop();
        let gone = answer.and_then(Answer::row).ok_or(LedgerError::Corrupt("answer"))?.int("count")?;
        Ok(u32::try_from(gone).unwrap_or(u32::MAX))
    }

    fn append(&mut self, event: &AuditEvent) -> Result<ChainPoint, LedgerError> {
        let sql = chain::append_sql();
        let text = event.canonical();
        let at = event.at().ok_or(LedgerError::Corrupt("event"))?;
        let values = [at.into(), text.as_str().into()];
        let answer = self.repeat(&[chain::lock(), statement(&sql, &values), statement(chain::END, &[])])?.pop();
        self.proven()?;
        chain::end(answer.and_then(Answer::row))
    }

    fn lockout(&self, user: &UserName) -> Result<Option<Lockout>, LedgerError> {
        self.one(LOCKOUT, &[user.as_str().into()])?.row().map(|mut row| lockout_from(&mut row)).transpose()
    }

    fn unlock(&mut self, user: &UserName, now: Timestamp) -> Result<bool, LedgerError> {
        let before = self.lockout(user)?;
        let ended = Lockout { until: now, told: true, counted_to: now };
        self.one(SET_LOCKOUT, &lockout_values(user.as_str(), &ended))?;
        if self.lockout(user)? != Some(ended) {
            return Err(LedgerError::Unproven("the end of the lockout could not be read back".to_owned()));
        }
        Ok(before.is_some_and(|lockout| now < lockout.until))
    }

    fn look_up(
        &self,
        user: &UserName,
        except: &RequestId,
        short: Option<&[u8]>,
    ) -> Result<Option<Record>, LedgerError> {
        let answer = if let Some(short) = short {
            let sql = format!(
                "SELECT {COLUMNS} FROM mailsudo.requests WHERE id >= $2 AND id < $3 AND user_name = $1 LIMIT 1"
            );
            let (from, to) = super::queries::bounds(short);
            self.one(&sql, &[user.as_str().into(), from.as_slice().into(), to.as_slice().into()])?
        } else {
            let sql = format!(
                "SELECT {COLUMNS} FROM mailsudo.requests WHERE user_name = $1 AND id <> $2
                 ORDER BY first_seen DESC, seq DESC LIMIT 1"
            );
            self.one(&sql, &[user.as_str().into(), except.as_bytes().as_slice().into()])?
        };
        answer.row().map(|mut row| record::read(&mut row)).transpose()
    }
}
