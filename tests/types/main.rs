//! The proof types cannot be made from outside: each case in `cases/` does not compile, and for the reason that stands
//! beside it.
//!
//! `TRYBUILD=overwrite cargo test --test types` writes the messages anew; read the difference before you commit it.
//!
//! It is a test binary of its own, because the messages are those of the stable compiler. CI leaves it out on the
//! oldest Rust that mailsudo builds with, where the same errors have other words (.github/workflows/ci.yml).

#![allow(missing_docs)]

#[test]
fn no_proof_is_made_outside_its_stage() {
    trybuild::TestCases::new().compile_fail("tests/types/cases/*.rs");
}
