//! An empty ledger of each backend, for the contract's tests.

use std::time::Duration;

use crate::config::{Gateway, LedgerUrl, Settings, Trusted};
use crate::ledger::{self, LedgerError, LedgerQueries, Sqlite};
use crate::limits::Timeouts;
use crate::protocol::GatewayName;

#[path = "../../../tests/common/postgres.rs"]
mod server;

/// A ledger of a backend, empty at first, that can be opened any number of times.
pub(super) trait Backend: Sync {
    /// Opens it; transactions wait so long.
    fn open_within(&self, timeout: Duration) -> Result<Box<dyn LedgerQueries>, LedgerError>;

    /// As if so much time had passed on the ledger's own clock, if it has one.
    fn pass(&self, span: Duration);

    fn open(&self) -> Box<dyn LedgerQueries> {
        self.open_within(Timeouts::DEFAULT.transaction).expect("the ledger")
    }
}

pub(super) struct SqliteBackend(pub(super) tempfile::TempDir);

impl SqliteBackend {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        ledger::init(&folder.path().join("ledger.db"), Trusted::caller(), None).expect("a ledger");
        Self(folder)
    }
}

impl Backend for SqliteBackend {
    fn open_within(&self, timeout: Duration) -> Result<Box<dyn LedgerQueries>, LedgerError> {
        let ledger = Sqlite::open(&self.0.path().join("ledger.db"), Trusted::caller(), timeout)?;
        Ok(Box::new(ledger.of(&GatewayName::try_from("berlin").expect("a name"))))
    }

    fn pass(&self, _: Duration) {}
}

pub(super) struct PostgresBackend {
    folder: tempfile::TempDir,
    database: String,
}

impl PostgresBackend {
    pub(super) fn new() -> Self {
        let database = server::server().database();
        let backend = Self { folder: tempfile::tempdir().expect("a folder"), database };
        backend.set("");
        backend.init().expect("a ledger");
        backend
    }

    fn set(&self, more: &str) {
        let url = server::server().url(server::DELIVER, &self.database);
        let text = format!("gateway = \"berlin\"\naddress = \"ops@example.com\"\n[ledger]\nurl = \"{url}\"\n{more}\n");
        std::fs::write(self.folder.path().join("mailsudo.toml"), text).expect("a file");
    }

    fn gateway(&self) -> Gateway {
        Gateway::open(self.folder.path(), Trusted::caller()).expect("a gateway")
    }

    /// Gives the gateway's settings and the owner to `work`.
    fn as_owner<T>(&self, work: impl FnOnce(&ledger::Owner<'_>) -> T) -> T {
        let gateway = self.gateway();
        let url = server::server().url(server::OWNER, &self.database);
        let LedgerUrl::Postgres(url) = url.try_into().expect("a URL") else { panic!("another URL") };
        let settings: &Settings = gateway.settings();
        work(&ledger::Owner { url: &url, password_file: None, settings, trusted: Trusted::caller() })
    }

    fn init(&self) -> Result<bool, LedgerError> {
        self.as_owner(|owner| ledger::init_database(owner, None))
    }

    fn sql(&self, sql: &str) -> String {
        server::server().sql(&self.database, sql)
    }
}

impl Backend for PostgresBackend {
    fn open_within(&self, timeout: Duration) -> Result<Box<dyn LedgerQueries>, LedgerError> {
        ledger::open(self.gateway().settings(), Trusted::caller(), timeout)
    }

    fn pass(&self, span: Duration) {
        let by = format!("interval '{} seconds'", span.as_secs());
        self.sql(&format!(
            "UPDATE mailsudo.requests SET hold_ends = hold_ends - {by}; UPDATE mailsudo.locks SET ends = ends - {by};
             UPDATE mailsudo.ledger SET quiet_until = quiet_until - {by}"
        ));
    }
}
