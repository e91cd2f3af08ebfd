//! Which process works on a request: a row that ends by the database's clock. In: a request id. Out: a [`RequestLock`],
//! or that another process holds it.
//!
//! A process that dies leaves its row. A process on the same host, since the same start of it, sees that the holder is
//! dead, and takes it over at once. Any other waits until the row ends, which is later than Postfix lets a delivery
//! live.
//!
//! MUST: no session advisory locks. They are lost with a failover, and pgbouncer gives a session to somebody else.

use std::cell::RefCell;
use std::fs;
use std::rc::Rc;
use std::time::Instant;

use rustix::process::{Pid, test_kill_process};

use super::session::Session;
use super::terms::Terms;
use super::wire::{Answer, statement};
use crate::ledger::{LedgerError, RequestLock};
use crate::limits::{POSTFIX_MARGIN, UNLOCK};
use crate::protocol::RequestId;

/// Takes the lock of `$1`: answers that it did, or who holds it.
const TAKE: &str = "SELECT mailsudo.take_lock($1, $2, $3, $4, $5, $6)";

pub(super) fn lock(
    session: &Rc<RefCell<Session>>,
    terms: &Rc<Terms>,
    id: &RequestId,
) -> Result<Option<RequestLock>, LedgerError> {
    let deadline = Instant::now() + terms.timeout;
    let lasts = (terms.longest + POSTFIX_MARGIN).as_secs().cast_signed();
    let own = Process::own().to_string();
    // A connection that broke may have taken it: then the row has this token already, which is no other's.
    let mut before: Option<Vec<u8>> = None;
    loop {
        let known = before.clone().unwrap_or_else(|| terms.token.to_vec());
        let values = [
            id.as_bytes().as_slice().into(),
            terms.token.as_slice().into(),
            own.as_str().into(),
            terms.node.as_str().into(),
            lasts.into(),
            known.as_slice().into(),
        ];
        let answer = session.borrow_mut().repeat(&[statement(TAKE, &values)], deadline)?.pop();
        let returned = answer.ok_or(LedgerError::Corrupt("answer"))?.returned()?;
        let mut row = returned.ok_or(LedgerError::Corrupt("answer"))?;
        if row.flag("answer")? {
            terms.locked.borrow_mut().push(*id);
            let held = Held { session: Rc::clone(session), terms: Rc::clone(terms), id: *id };
            return Ok(Some(RequestLock { held: Box::new(held) }));
        }
        let Some(token) = row.maybe_bytes("token")?.map(|token| token.to_vec()) else {
            return Ok(None);
        };
        if before.as_ref() == Some(&token) || !is_dead(&row.text("holder")?) {
            return Ok(None);
        }
        before = Some(token);
    }
}

const HOLDER: &str = "SELECT token, holder FROM mailsudo.locks WHERE id = $1 AND ends > clock_timestamp()";

/// Whether a process that may be alive holds the lock.
pub(super) fn is_locked(session: &Rc<RefCell<Session>>, terms: &Terms, id: &RequestId) -> Result<bool, LedgerError> {
    let deadline = Instant::now() + terms.timeout;
    let values = [id.as_bytes().as_slice().into()];
    let answer = session.borrow_mut().repeat(&[statement(HOLDER, &values)], deadline)?.pop();
    match answer.and_then(Answer::row) {
        Some(mut row) => {
            row.bytes("token")?;
            Ok(!is_dead(&row.text("holder")?))
        }
        None => Ok(false),
    }
}

/// A lock that is held. It is released when it is dropped, as far as the server answers and it is still held; else it
/// ends by itself.
struct Held {
    session: Rc<RefCell<Session>>,
    terms: Rc<Terms>,
    id: RequestId,
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.terms.locked.borrow().contains(&self.id) {
            return;
        }
        let Ok(mut session) = self.session.try_borrow_mut() else { return };
        let values = [self.id.as_bytes().as_slice().into(), self.terms.token.as_slice().into()];
        let release = [statement("SELECT mailsudo.release_lock($1, $2)", &values)];
        let _ = session.repeat(&release, Instant::now() + UNLOCK);
    }
}

/// A process, so that it can be recognised: the host's start, the namespace of process ids, the id, and when it was
/// started.
struct Process {
    host: String,
    id: i32,
    started: Option<String>,
}

impl Process {
    fn own() -> Self {
        let id = rustix::process::getpid().as_raw_nonzero().get();
        Self { host: own_host(), id, started: started(id) }
    }

    fn read(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let host = words.next()?.to_owned();
        let id = words.next()?.parse().ok()?;
        Some(Self { host, id, started: words.next().filter(|word| !word.is_empty()).map(str::to_owned) })
    }
}

impl std::fmt::Display for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.host, self.id, self.started.as_deref().unwrap_or_default())
    }
}

/// This start of the host, and the namespace in which process ids count (pid_namespaces(7)).
fn own_host() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    format!("{}/{}", boot.trim(), namespace.display())
}

/// When a process was started, in ticks since the host's start (proc(5), field 22 of stat).
fn started(id: i32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (_, after) = stat.rsplit_once(')')?;
    after.split_ascii_whitespace().nth(19).map(str::to_owned)
}

/// Whether `holder` is dead for sure. What cannot be seen from here may be alive.
fn is_dead(holder: &str) -> bool {
    let Some(process) = Process::read(holder) else {
        return false;
    };
    if process.host != own_host() || process.host.len() < 2 || process.started.is_none() {
        return false;
    }
    let Some(id) = Pid::from_raw(process.id) else {
        return false;
    };
    match test_kill_process(id) {
        Err(rustix::io::Errno::SRCH) => true,
        // Of an account that may not see it there is no answer (hidepid in proc(5)).
        _ => started(process.id).is_some_and(|now| Some(now) != process.started),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_dead_only_where_that_is_certain() {
        let own = Process::own();
        assert!(!is_dead(&own.to_string()), "it runs");
        let other = |change: &dyn Fn(&mut Process)| {
            let mut process = Process::own();
            change(&mut process);
            is_dead(&process.to_string())
        };
        assert!(other(&|process| process.started = Some("1".to_owned())), "its id was used again");
        assert!(other(&|process| process.id = i32::MAX), "no process has that id");
        assert!(!other(&|process| (process.host, process.id) = ("another".to_owned(), i32::MAX)), "another host");
        assert!(!other(&|process| (process.started, process.id) = (None, i32::MAX)), "not enough is known");
        for text in ["", "x", "x y z", " 1 2"] {
            assert!(!is_dead(text), "{text}");
        }
    }
}
