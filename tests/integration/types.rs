//! The proof types cannot be made from outside: each case does not compile, and for the reason that stands beside it.
//! `TRYBUILD=overwrite cargo test --test integration types` writes the messages anew; read the difference before you commit it.

#[test]
fn no_proof_is_made_outside_its_stage() {
    trybuild::TestCases::new().compile_fail("tests/types/*.rs");
}
