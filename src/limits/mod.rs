//! Every wait and every size that the program sets for itself, in one place. It imports nothing. The sizes of the wire
//! format are in `protocol`.

mod bounds;
mod timeouts;
mod waits;

pub use bounds::*;
pub use timeouts::*;
pub use waits::*;

#[cfg(test)]
mod tests {
    // The client alone has no such default.
    #[cfg(feature = "gateway")]
    #[test]
    fn postfix_gets_the_limit_that_the_waits_add_up_to() {
        let root = env!("CARGO_MANIFEST_DIR");
        let read = |name: &str| std::fs::read_to_string(format!("{root}/postfix/{name}")).expect("the checkout");
        let default = crate::config::Execution::default().longest.as_duration() + super::POSTFIX_MARGIN;
        assert!(read("main.cf").contains(&format!("\nmailsudo_time_limit = {}s\n", default.as_secs())));
    }
}
