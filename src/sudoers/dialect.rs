//! The two programs that read sudoers(5), each with a grammar of its own.

/// The dialect of sudoers(5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Dialect {
    /// Todd Miller's sudo, 1.9.10 or later: literals and regular expressions.
    Sudo,
    /// sudo-rs: literals only.
    SudoRs,
}
