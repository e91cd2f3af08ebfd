//! Only `admission` makes an `Admitted`.
use mailsudo::admission::Admitted;
use mailsudo::authorize::Authorized;
use mailsudo::ledger::{ChainPoint, Record};

fn forge(authorized: Authorized<'_>, record: Record, point: ChainPoint) -> Admitted<'_> {
    Admitted { authorized, record, claimed: None, point }
}

fn main() {}
