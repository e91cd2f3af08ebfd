//! A reply that is still to be encrypted when it is recorded.

use std::time::Duration;

use super::{Backend, at, id, read, record, write};
use crate::config::EncryptKind;
use crate::ledger::{LedgerError, Record, StoredReply};
use crate::protocol::Key;

const WAIT: Duration = Duration::from_secs(10);

pub(super) fn a_reply_is_replaced_by_another_form_of_it_alone(backend: &dyn Backend) {
    let mut ledger = backend.open();
    let key = Key::from_hex(&"a".repeat(64)).expect("a key");
    let draft = |n, text: &[u8]| {
        let short = b"Subject: withheld\n\nok\n".to_vec();
        StoredReply::to_encrypt("a@x".to_owned(), short, text, EncryptKind::Openpgp, &key, &id(n))
    };
    let finished = |text: &[u8]| StoredReply::finished("a@x".to_owned(), text.to_vec());
    let first = Record { reply: Some(draft(1, b"the output")), ..record(1, 1000) };
    write(ledger.as_mut(), &first).expect("committed");
    assert_eq!(read(ledger.as_mut(), 1).expect("a record"), first, "it is read as it was");

    let other = draft(1, b"another");
    let error = ledger.replace_reply(&id(1), &other, &finished(b"x"), WAIT);
    assert!(matches!(error, Err(LedgerError::Taken)), "it is another one");
    ledger.replace_reply(&id(1), &draft(1, b"the output"), &finished(b"encrypted"), WAIT).expect("replaced");
    let replaced = Record { reply: Some(finished(b"encrypted")), ..first };
    assert_eq!(backend.open().record(&id(1)).expect("read").expect("a record"), replaced, "and nothing else of it");
    let again = ledger.replace_reply(&id(1), &draft(1, b"the output"), &finished(b"encrypted twice"), WAIT);
    assert!(matches!(again, Err(LedgerError::Taken)), "once");
    let missing = ledger.replace_reply(&id(9), &draft(1, b"the output"), &finished(b"x"), WAIT);
    assert!(matches!(missing, Err(LedgerError::Taken)));

    let closed = Record { reply: Some(draft(2, b"the output")), ..record(2, 1001) };
    write(ledger.as_mut(), &closed).expect("committed");
    ledger.mark_replied(&id(2), at(1500), 0, WAIT).expect("closed");
    let late = ledger.replace_reply(&id(2), &draft(2, b"the output"), &finished(b"x"), WAIT);
    assert!(matches!(late, Err(LedgerError::Taken)), "what was sent does not change");

    // It waits for a transaction to end, and no longer than it may.
    write(ledger.as_mut(), &Record { reply: Some(draft(3, b"the output")), ..record(3, 1002) }).expect("committed");
    let mut holder = backend.open();
    let transaction = holder.transaction(&id(4), &super::alice()).expect("begun");
    let held =
        backend.open().replace_reply(&id(3), &draft(3, b"the output"), &finished(b"x"), Duration::from_millis(50));
    drop(transaction);
    match held {
        // Where a row alone is locked, it need not wait.
        Ok(()) => {}
        Err(error) => {
            assert!(!matches!(error, LedgerError::Taken), "{error}");
            ledger.replace_reply(&id(3), &draft(3, b"the output"), &finished(b"x"), WAIT).expect("then it is free");
        }
    }
    assert_eq!(read(ledger.as_mut(), 3).expect("a record").reply, Some(finished(b"x")));
}
