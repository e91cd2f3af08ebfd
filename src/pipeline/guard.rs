//! A panic is a deferral. In: work that may panic. Out: its result.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::Deferral;

/// Does `work`, and turns a panic anywhere in it into a deferral: pipe(8) would bounce Rust's exit status 101 to a
/// sender who may be forged. What was admitted before the panic is resumed by the next delivery.
///
/// # Errors
///
/// The error of `work`, or a deferral with the panic's message.
pub fn guarded<T, E: From<Deferral>>(work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        Err(Deferral::new("panic", format!("a fault in mailsudo itself: {text}")).into())
    })
}
