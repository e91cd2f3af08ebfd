//! A throw-away gateway whose ledger is in PostgreSQL.

#![allow(dead_code, missing_docs, unreachable_pub)]

use std::fs;

use mailsudo::config::{Gateway, LedgerUrl, PostgresUrl, Trusted};
use mailsudo::ledger::{self, LedgerError, LedgerQueries, Owner};

use crate::common::TestGateway;

#[path = "postgres.rs"]
pub mod server;

use server::{DELIVER, OWNER, Server};

/// Sets `[ledger]`.
pub fn set(test_gateway: &TestGateway, ledger: &str) {
    let toml = fs::read_to_string(test_gateway.path("mailsudo.toml")).expect("the settings");
    let (before, rest) = toml.split_once("[ledger]\n").expect("a section");
    let (_, after) = rest.split_once("[syslog]").expect("the next section");
    test_gateway.write("mailsudo.toml", 0o644, &format!("{before}[ledger]\n{ledger}\n[syslog]{after}"));
}

pub fn owner_of(server: &Server, database: &str) -> PostgresUrl {
    match LedgerUrl::try_from(server.url(OWNER, database)).expect("a URL") {
        LedgerUrl::Postgres(url) => url,
        LedgerUrl::Sqlite(path) => panic!("{}", path.display()),
    }
}

pub fn as_owner<T>(test_gateway: &TestGateway, url: &PostgresUrl, work: impl FnOnce(&Owner<'_>) -> T) -> T {
    let gateway = Gateway::open(test_gateway.folder.path(), Trusted::caller()).expect("a gateway");
    work(&Owner { url, password_file: None, settings: gateway.settings(), trusted: Trusted::caller() })
}

/// A gateway with an empty ledger in a database of its own, and that database's name.
pub fn new(server: &Server, more: &str) -> (TestGateway, String) {
    let (test_gateway, database) = (TestGateway::new(), server.database());
    set(&test_gateway, &format!("url = \"{}\"\n{more}", server.url(DELIVER, &database)));
    let url = owner_of(server, &database);
    assert!(as_owner(&test_gateway, &url, |owner| ledger::init_database(owner, None)).expect("a ledger"));
    (test_gateway, database)
}

pub fn open(test_gateway: &TestGateway) -> Result<Box<dyn LedgerQueries>, LedgerError> {
    let gateway = Gateway::open(test_gateway.folder.path(), Trusted::caller()).expect("a gateway");
    ledger::open(gateway.settings(), Trusted::caller(), test_gateway.timeouts.transaction)
}
