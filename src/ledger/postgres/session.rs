//! The connection of one delivery, which is made anew when it breaks. In: statements without an effect that must not
//! come twice. Out: their answers.

use std::time::{Duration, Instant};

use super::connect::{Target, connect};
use super::schema::{self, SCHEMA};
use super::wire::{Answer, Fault, Said, Statement, Wire};
use crate::ledger::LedgerError;
use crate::limits::{DATABASE_POLL, UNLOCK};

/// A connection that may be there.
pub(super) struct Session {
    target: Target,
    wire: Option<Wire>,
}

impl Session {
    /// Connects, trying each server once.
    pub(super) fn open(target: Target, deadline: Instant) -> Result<Self, LedgerError> {
        let wire = connect(&target, deadline)?;
        Ok(Self { target, wire: Some(wire) })
    }

    /// The connection, where it is usable.
    pub(super) fn wire(&mut self) -> Result<&mut Wire, Fault> {
        self.wire.as_mut().filter(|wire| !wire.is_broken()).ok_or_else(|| Fault::Lost("it had ended before".to_owned()))
    }

    /// The warnings that came since this was last asked, also of a connection that has broken.
    pub(super) fn take_warnings(&mut self) -> Vec<Said> {
        self.wire.as_mut().map(Wire::take_warnings).unwrap_or_default()
    }

    /// Runs statements that may run twice: a new connection is made where the old one breaks, until the deadline.
    pub(super) fn repeat(
        &mut self,
        statements: &[Statement<'_>],
        deadline: Instant,
    ) -> Result<Vec<Answer>, LedgerError> {
        loop {
            let fault = match self.connected(deadline) {
                Ok(wire) => match wire.run(statements) {
                    Ok(answers) => return Ok(answers),
                    Err(fault) => {
                        if let Fault::Server(said) = &fault
                            && !is_passing(&said.code)
                        {
                            let is_missing = MISSING.contains(&said.code.as_str());
                            // What follows must not find the transaction that has failed.
                            self.roll_back(UNLOCK);
                            return Err(if is_missing { self.explained(fault.into()) } else { fault.into() });
                        }
                        self.wire = None;
                        fault.into()
                    }
                },
                Err(error) => error,
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left <= DATABASE_POLL {
                return Err(fault);
            }
            std::thread::sleep(DATABASE_POLL);
        }
    }

    /// The same error, or that the ledger is older or newer, where something is missing because of that.
    fn explained(&mut self, error: LedgerError) -> LedgerError {
        match self.wire().map_err(LedgerError::from).and_then(schema::version) {
            Ok(Some(version)) if version < SCHEMA => LedgerError::Older(version),
            Err(newer @ LedgerError::Newer(_)) => newer,
            _ => error,
        }
    }

    fn connected(&mut self, deadline: Instant) -> Result<&mut Wire, LedgerError> {
        if self.wire.as_ref().is_none_or(Wire::is_broken) {
            self.wire = None;
            self.wire = Some(connect(&self.target, deadline)?);
        }
        let wire = self.wire.as_mut().ok_or_else(|| LedgerError::Lost("no connection".to_owned()))?;
        wire.set_deadline(deadline);
        Ok(wire)
    }

    /// Ends what a transaction left open, without waiting long. That none was open is no warning.
    pub(super) fn roll_back(&mut self, within: Duration) {
        if let Ok(wire) = self.wire() {
            wire.set_deadline(Instant::now() + within);
            match wire.one("ROLLBACK", &[]) {
                Ok(_) => drop(wire.take_warnings()),
                Err(_) => self.wire = None,
            }
        }
    }
}

/// The SQLSTATEs of what is missing in a ledger of another schema, or where there is none: a table, a schema, a
/// function.
const MISSING: [&str; 3] = ["42P01", "3F000", "42883"];

/// Whether an error of this SQLSTATE may pass with another server or connection: a standby that takes no writes, a
/// server that starts or stops, too many connections, a failed pooler.
fn is_passing(code: &str) -> bool {
    code == "25006" || code.starts_with("57P") || code.starts_with("08") || code.starts_with("53")
}
