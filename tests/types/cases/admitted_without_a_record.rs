//! Only `admission` makes an `Admitted`.
use mailsudo::admission::Admitted;
use mailsudo::authorize::Authorized;
use mailsudo::ledger::Record;

fn forge(authorized: Authorized<'_>, record: Record) -> Admitted<'_> {
    Admitted { authorized, record, claimed: None }
}

fn main() {}
