//! The audit chain on a disk that fails: full, read-only, or with sectors that hold something else than was written.
//! What was not written is not part of it, and what is damaged never passes for whole.

use std::fs;
use std::process::{Command, Output};

use rusqlite::{Connection, OpenFlags};

use crate::common::TestGateway;
use crate::gateway::{deliver, new};

/// Several requests, all in the ledger's file and none in the write-ahead log.
fn busy() -> TestGateway {
    let mut gateway = new();
    deliver(&mut gateway);
    for _ in 0..3 {
        gateway.clock.forward(60);
        let request = gateway.request("secret", &[]);
        assert!(!gateway.deliver(&request).replies.is_empty());
    }
    gateway.ledger().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").expect("moved");
    assert!(verify(&gateway).status.success());
    gateway
}

pub(crate) fn verify(gateway: &TestGateway) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_mailsudo"));
    program.args(["log", "--verify", "--config"]).arg(gateway.folder.path());
    program.output().expect("the program")
}

/// What stands in the chain and in the records that it covers; `None` where that cannot be read.
fn content(gateway: &TestGateway) -> Option<Vec<String>> {
    let path = gateway.path("ledger/ledger.db");
    let ledger = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
    let sql = "SELECT number || at || event || hex(head) FROM events UNION ALL SELECT gateway || number || hex(head) FROM checkpoint
               UNION ALL SELECT hex(name) || user || command || arguments || signed || state || coalesce(reason, '') ||
               coalesce(step, '') || coalesce(run_as, '') || coalesce(argv, '') || coalesce(result, '') ||
               (handed_over IS NULL) FROM requests";
    let mut statement = ledger.prepare(sql).ok()?;
    let rows = statement.query_map([], |row| row.get(0)).ok()?;
    rows.collect::<Result<_, _>>().ok()
}

/// A sector is what a disk writes whole.
#[test]
fn a_torn_ledger_never_passes_for_whole() {
    const SECTOR: usize = 512;
    let gateway = busy();
    let path = gateway.path("ledger/ledger.db");
    let sound = fs::read(&path).expect("the ledger");
    let before = content(&gateway).expect("readable");
    let (mut found, mut harmless) = (0, 0);
    for at in (0..sound.len()).step_by(SECTOR) {
        for filling in [0, 0xff] {
            let mut torn = sound.clone();
            let end = sound.len().min(at + SECTOR);
            torn[at..end].fill(filling);
            if torn == sound {
                continue;
            }
            fs::write(&path, &torn).expect("written");
            let said = verify(&gateway);
            let is_unchanged = content(&gateway).is_some_and(|content| content == before);
            assert!(!said.status.success() || is_unchanged, "sector {at}, {filling:#x}: {said:?}");
            assert!(said.status.code().is_some(), "sector {at}, {filling:#x}: {said:?}");
            if said.status.success() { harmless += 1 } else { found += 1 }
        }
    }
    fs::write(&path, &sound).expect("written");
    assert!(verify(&gateway).status.success());
    println!("{found} torn sectors were found, {harmless} hold nothing of chain or records");
    assert!(found > 20, "the sectors tried are those that matter: {found}");
}

/// A ledger on a disk that cannot be written takes no event, and so nothing else; when it can, the chain goes on.
#[test]
fn a_ledger_that_cannot_be_written_takes_no_event() {
    let mut gateway = busy();
    let before = content(&gateway).expect("readable");
    gateway.clock.forward(60);
    let request = gateway.request("count", &[]);
    let runs = gateway.runs().len();
    // The write-ahead log is a folder now: whoever is root may write to any file.
    let log = gateway.path("ledger/ledger.db-wal");
    let _ = fs::remove_file(&log);
    fs::create_dir(&log).expect("a folder");
    let ended = gateway.deliver(&request);
    assert_eq!((ended.deferred, ended.replies.len()), (Some("ledger"), 0), "{ended:?}");
    assert!(!verify(&gateway).status.success(), "what cannot be read is not said to be whole");
    fs::remove_dir(&log).expect("removed");
    assert_eq!(content(&gateway).expect("readable"), before);
    assert_eq!(gateway.runs().len(), runs, "and nothing ran");
    assert!(gateway.deliver(&request).reply().contains("ok: count"));
    assert!(verify(&gateway).status.success());
}
