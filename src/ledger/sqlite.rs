//! The ledger in an SQLite file, for one mail server. Write-ahead log, one fsync for each commit; claims are locks on
//! single bytes of a file beside it (`-claims`), which the kernel releases with the process.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, Transaction, TransactionBehavior, params};

use super::{Claim, Ledger, LedgerError, Lockout, Page, Record, Slot, State};
use crate::config::{Folder, Span, Trusted};
use crate::protocol::{RequestName, RunResult, Timestamp, UserName};
use crate::reply::Reply;

/// "mail" in ASCII: tells a ledger from any other SQLite file (`PRAGMA application_id`).
const APPLICATION: i64 = 0x6d61_696c;

/// The schema that this binary reads and writes (`PRAGMA user_version`).
const SCHEMA: i64 = 1;

/// How long one page waits for another: two hundred at once take their turns well within it.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many requests one delivery may forget.
const PRUNE: u32 = 20;

/// How many pages the write-ahead log may hold. It is left in place when a delivery ends (moving it back takes two
/// more fsyncs), so the next one reads it through: few enough to read, enough to rarely move.
const LOG_PAGES: i64 = 100;

const TABLES: &str = "
    CREATE TABLE requests (
        name BLOB NOT NULL UNIQUE,
        user TEXT NOT NULL,
        command TEXT NOT NULL,
        arguments TEXT NOT NULL,
        signed INTEGER NOT NULL,
        first_seen INTEGER NOT NULL,
        state TEXT NOT NULL,
        reason TEXT,
        step INTEGER,
        run_as TEXT,
        argv TEXT,
        started INTEGER,
        finished INTEGER,
        result TEXT,
        reply_to TEXT,
        reply BLOB,
        handed_over INTEGER,
        queue_id TEXT,
        audit_lost INTEGER NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX requests_step ON requests (user, step) WHERE step IS NOT NULL;
    CREATE INDEX requests_user ON requests (user, first_seen);
    CREATE INDEX requests_age ON requests (max(signed, first_seen)) WHERE handed_over IS NOT NULL;
    CREATE TABLE lockouts (
        user TEXT PRIMARY KEY, until INTEGER NOT NULL, told INTEGER NOT NULL, counted_to INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE slots (
        command TEXT PRIMARY KEY, holder BLOB NOT NULL, until INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE floor (signed INTEGER NOT NULL) STRICT;
";

const COLUMNS: &str = "name, user, command, arguments, signed, first_seen, state, reason, step, run_as, argv, \
     started, finished, result, reply_to, reply, handed_over, queue_id, audit_lost";

/// An open SQLite ledger.
#[derive(Debug)]
pub struct Sqlite {
    connection: Connection,
    claims: PathBuf,
}

impl From<rusqlite::Error> for LedgerError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Backend(error.to_string())
    }
}

impl Sqlite {
    /// Opens the ledger at `path` after judging its folder and files.
    pub(super) fn open(path: &Path, trusted: Trusted) -> Result<Self, LedgerError> {
        let folder = path.parent().unwrap_or(Path::new("/"));
        let judged = Folder::open(folder, trusted).and_then(|folder| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            folder.judge(name)
        });
        judged.map_err(|distrust| match distrust {
            crate::config::Distrust::Missing(_) => LedgerError::Missing(path.to_owned()),
            other => LedgerError::Distrust(other),
        })?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(PATIENCE)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
        let ledger = Self { connection, claims: claims_of(path) };
        match ledger.schema()? {
            (APPLICATION, SCHEMA) => Ok(ledger),
            (APPLICATION, newer) if newer > SCHEMA => Err(LedgerError::Newer(newer)),
            _ => Err(LedgerError::Foreign(path.to_owned())),
        }
    }

    fn schema(&self) -> Result<(i64, i64), LedgerError> {
        let pragma = |name| self.connection.pragma_query_value(None, name, |row| row.get(0));
        Ok((pragma("application_id")?, pragma("user_version")?))
    }

    /// Makes an empty ledger; see [`super::init`].
    pub(super) fn init(path: &Path, owner: Option<(u32, u32)>) -> Result<(), LedgerError> {
        let backend = |error: io::Error| LedgerError::Backend(format!("{}: {error}", path.display()));
        let fresh = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        match fresh {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(backend(error)),
        }
        let claims = claims_of(path);
        OpenOptions::new().append(true).create(true).mode(0o600).open(&claims).map_err(backend)?;
        if let Some((uid, gid)) = owner {
            for file in [path, &claims] {
                std::os::unix::fs::chown(file, Some(uid), Some(gid)).map_err(backend)?;
            }
        }
        let mut connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.busy_timeout(PATIENCE)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let tables: i64 = transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        let application: i64 = transaction.pragma_query_value(None, "application_id", |row| row.get(0))?;
        match (tables, application) {
            (0, _) => {
                transaction.execute_batch(TABLES)?;
                transaction.pragma_update(None, "application_id", APPLICATION)?;
                transaction.pragma_update(None, "user_version", SCHEMA)?;
                Ok(transaction.commit()?)
            }
            (_, APPLICATION) => Ok(()),
            _ => Err(LedgerError::Foreign(path.to_owned())),
        }
    }

    fn claims_file(&self) -> Result<File, LedgerError> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .open(&self.claims)
            .map_err(|error| LedgerError::Backend(format!("{}: {error}", self.claims.display())))
    }
}

fn claims_of(path: &Path) -> PathBuf {
    let mut claims = path.as_os_str().to_owned();
    claims.push("-claims");
    claims.into()
}

/// A write lock on the one byte that stands for a request: 62 bits of its name. Two names that share it would only
/// wait for each other. Open-file-description locks (fcntl(2)) end with the descriptor and know no process id.
#[expect(clippy::cast_possible_truncation, reason = "the C library's own small constants")]
fn byte_of(name: &RequestName) -> libc::flock {
    let mut offset = [0; 8];
    offset.copy_from_slice(name.as_bytes().first_chunk::<8>().unwrap_or(&[0; 8]));
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: i64::from_be_bytes(offset) & (i64::MAX >> 1),
        l_len: 1,
        l_pid: 0,
    }
}

impl Ledger for Sqlite {
    fn claim(&self, name: &RequestName) -> Result<Option<Claim>, LedgerError> {
        let lock = self.claims_file()?;
        match fcntl(&lock, FcntlArg::F_OFD_SETLK(&byte_of(name))) {
            Ok(_) => Ok(Some(Claim { lock })),
            Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EACCES) => Ok(None),
            Err(errno) => Err(LedgerError::Backend(format!("{}: {errno}", self.claims.display()))),
        }
    }

    fn page(&mut self, name: &RequestName, user: &UserName) -> Result<Box<dyn Page + '_>, LedgerError> {
        let claims = self.claims_file()?;
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let sql = format!("SELECT {COLUMNS} FROM requests WHERE name = ?1");
        let record =
            transaction.query_row(&sql, params![name.as_bytes()], |row| Ok(read(row))).optional()?.transpose()?;
        Ok(Box::new(SqlitePage { transaction, claims, name: *name, user: user.to_string(), record }))
    }

    fn close_case(
        &mut self,
        name: &RequestName,
        now: Timestamp,
        audit_lost: u32,
        retention: Span,
    ) -> Result<(), LedgerError> {
        // NORMAL does not sync a commit of the write-ahead log; the next FULL commit syncs it along.
        self.connection.pragma_update(None, "synchronous", "NORMAL")?;
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute(
            "UPDATE requests SET handed_over = ?2, audit_lost = max(audit_lost, ?3)
             WHERE name = ?1 AND handed_over IS NULL",
            params![name.as_bytes(), now.seconds(), audit_lost],
        )?;
        prune(&transaction, now.minus(retention.as_duration()), PRUNE)?;
        transaction.commit()?;
        self.connection.pragma_update(None, "synchronous", "FULL")?;
        Ok(())
    }

    fn look_up(
        &self,
        user: &UserName,
        except: &RequestName,
        short: Option<&[u8]>,
    ) -> Result<Option<Record>, LedgerError> {
        let record = if let Some(short) = short {
            let mut after = short.to_owned();
            after.resize(33, 0xff);
            let sql = format!("SELECT {COLUMNS} FROM requests WHERE name >= ?2 AND name < ?3 AND user = ?1 LIMIT 1");
            let key = params![user.as_str(), short, after];
            self.connection.query_row(&sql, key, |row| Ok(read(row))).optional()?
        } else {
            let sql = format!(
                "SELECT {COLUMNS} FROM requests WHERE user = ?1 AND name <> ?2
                 ORDER BY first_seen DESC, rowid DESC LIMIT 1"
            );
            let key = params![user.as_str(), except.as_bytes()];
            self.connection.query_row(&sql, key, |row| Ok(read(row))).optional()?
        };
        record.transpose()
    }
}

/// Forgets up to `most` answered requests whose signed time and first sight are both before `before`, oldest first,
/// and raises the floor to the newest signed time among them.
fn prune(transaction: &Transaction<'_>, before: Timestamp, most: u32) -> Result<(), LedgerError> {
    let old = "FROM requests WHERE handed_over IS NOT NULL AND max(signed, first_seen) < ?1
               ORDER BY max(signed, first_seen) LIMIT ?2";
    let newest: Option<i64> = transaction.query_row(
        &format!("SELECT max(signed) FROM (SELECT signed {old})"),
        params![before.seconds(), most],
        |row| row.get(0),
    )?;
    let Some(newest) = newest else {
        return Ok(());
    };
    let raised = transaction.execute("UPDATE floor SET signed = max(signed, ?1)", [newest])?;
    if raised == 0 {
        transaction.execute("INSERT INTO floor (signed) VALUES (?1)", [newest])?;
    }
    transaction.execute(
        &format!("DELETE FROM requests WHERE rowid IN (SELECT rowid {old})"),
        params![before.seconds(), most],
    )?;
    Ok(())
}

struct SqlitePage<'l> {
    transaction: Transaction<'l>,
    claims: File,
    name: RequestName,
    user: String,
    record: Option<Record>,
}

impl SqlitePage<'_> {
    fn is_claimed(&self, holder: &RequestName) -> Result<bool, LedgerError> {
        let mut lock = byte_of(holder);
        fcntl(&self.claims, FcntlArg::F_OFD_GETLK(&mut lock))
            .map_err(|errno| LedgerError::Backend(format!("the claims file: {errno}")))?;
        Ok(i32::from(lock.l_type) != libc::F_UNLCK)
    }
}

impl Page for SqlitePage<'_> {
    fn record(&self) -> Option<&Record> {
        self.record.as_ref()
    }

    fn floor(&self) -> Result<Option<Timestamp>, LedgerError> {
        let floor = self.transaction.query_row("SELECT signed FROM floor", [], |row| row.get(0));
        Ok(floor.optional()?.map(Timestamp::from_seconds))
    }

    fn lockout(&self) -> Result<Option<Lockout>, LedgerError> {
        let sql = "SELECT until, told, counted_to FROM lockouts WHERE user = ?1";
        let lockout = self.transaction.query_row(sql, [&self.user], |row| {
            Ok(Lockout {
                until: Timestamp::from_seconds(row.get(0)?),
                told: row.get(1)?,
                counted_to: Timestamp::from_seconds(row.get(2)?),
            })
        });
        Ok(lockout.optional()?)
    }

    fn wrong_codes(&self, since: Timestamp) -> Result<u32, LedgerError> {
        let sql = "SELECT count(*) FROM requests WHERE user = ?1 AND first_seen > ?2 AND reason = ?3";
        let reason = crate::error::Reason::BadCode.code();
        Ok(self.transaction.query_row(sql, params![self.user, since.seconds(), reason], |row| row.get(0))?)
    }

    fn is_step_used(&self, step: u64) -> Result<bool, LedgerError> {
        let sql = "SELECT 1 FROM requests WHERE user = ?1 AND step = ?2";
        let found = self.transaction.query_row(sql, params![self.user, step.cast_signed()], |_| Ok(()));
        Ok(found.optional()?.is_some())
    }

    fn slot(&self, command: &str) -> Result<Option<Slot>, LedgerError> {
        let sql = "SELECT holder, until FROM slots WHERE command = ?1";
        let row = self.transaction.query_row(sql, [command], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let Some((holder, until)) = row else {
            return Ok(None);
        };
        let holder = RequestName::from_bytes(holder);
        let is_claimed = self.is_claimed(&holder)?;
        Ok(Some(Slot { holder, until: Timestamp::from_seconds(until), is_claimed }))
    }

    fn write(&mut self, record: &Record) -> Result<(), LedgerError> {
        let sql = format!(
            "INSERT INTO requests ({COLUMNS})
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)
             ON CONFLICT (name) DO UPDATE SET
                 state = ?7, reason = ?8, step = ?9, run_as = ?10, argv = ?11, started = ?12, finished = ?13,
                 result = ?14, reply_to = ?15, reply = ?16, handed_over = ?17, audit_lost = ?19"
        );
        let seconds = |time: Option<Timestamp>| time.map(Timestamp::seconds);
        self.transaction.execute(
            &sql,
            params![
                record.name.as_bytes(),
                record.user,
                record.command,
                record.arguments,
                record.signed.seconds(),
                record.first_seen.seconds(),
                record.state.word(),
                record.reason,
                record.step.map(u64::cast_signed),
                record.run_as,
                record.argv,
                seconds(record.started),
                seconds(record.finished),
                record.result.map(|result| result.to_string()),
                record.reply.as_ref().map(|reply| &reply.to),
                record.reply.as_ref().map(|reply| &reply.message),
                seconds(record.handed_over),
                record.queue_id,
                record.audit_lost,
            ],
        )?;
        Ok(())
    }

    fn set_lockout(&mut self, lockout: &Lockout) -> Result<(), LedgerError> {
        self.transaction.execute(
            "INSERT OR REPLACE INTO lockouts (user, until, told, counted_to) VALUES (?1, ?2, ?3, ?4)",
            params![self.user, lockout.until.seconds(), lockout.told, lockout.counted_to.seconds()],
        )?;
        Ok(())
    }

    fn take_slot(&mut self, command: &str, until: Timestamp) -> Result<(), LedgerError> {
        self.transaction.execute(
            "INSERT OR REPLACE INTO slots (command, holder, until) VALUES (?1, ?2, ?3)",
            params![command, self.name.as_bytes(), until.seconds()],
        )?;
        Ok(())
    }

    fn free_slot(&mut self, command: &str) -> Result<(), LedgerError> {
        let sql = "DELETE FROM slots WHERE command = ?1 AND holder = ?2";
        self.transaction.execute(sql, params![command, self.name.as_bytes()])?;
        Ok(())
    }

    fn commit(self: Box<Self>) -> Result<(), LedgerError> {
        Ok(self.transaction.commit()?)
    }
}

fn read(row: &Row<'_>) -> Result<Record, LedgerError> {
    let time = |column| -> Result<Option<Timestamp>, LedgerError> {
        let seconds: Option<i64> = row.get(column)?;
        Ok(seconds.map(Timestamp::from_seconds))
    };
    let moment = |column, what| time(column)?.ok_or(LedgerError::Corrupt(what));
    let word: String = row.get("state")?;
    let state = State::ALL.into_iter().find(|state| state.word() == word);
    let result: Option<String> = row.get("result")?;
    let result = result.map(|text| RunResult::parse(&text).ok_or(LedgerError::Corrupt("result")));
    let step: Option<i64> = row.get("step")?;
    let reply_to: Option<String> = row.get("reply_to")?;
    let message: Option<Vec<u8>> = row.get("reply")?;
    Ok(Record {
        name: RequestName::from_bytes(row.get("name")?),
        user: row.get("user")?,
        command: row.get("command")?,
        arguments: row.get("arguments")?,
        signed: moment("signed", "signed time")?,
        first_seen: moment("first_seen", "time of first sight")?,
        state: state.ok_or(LedgerError::Corrupt("state"))?,
        reason: row.get("reason")?,
        step: step.map(i64::cast_unsigned),
        run_as: row.get("run_as")?,
        argv: row.get("argv")?,
        started: time("started")?,
        finished: time("finished")?,
        result: result.transpose()?,
        reply: reply_to.zip(message).map(|(to, message)| Reply { to, message }),
        handed_over: time("handed_over")?,
        queue_id: row.get("queue_id")?,
        audit_lost: row.get("audit_lost")?,
    })
}
