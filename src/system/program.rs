//! The program that runs.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The running program's path (proc(5), `/proc/self/exe`), read once in the life of a process; empty where it is not
/// known. A program that was replaced since it started is marked there; its path is without that mark.
pub fn own_program() -> &'static Path {
    static OWN: OnceLock<PathBuf> = OnceLock::new();
    OWN.get_or_init(|| {
        let own = std::env::current_exe().unwrap_or_default();
        match own.to_str().and_then(|name| name.strip_suffix(" (deleted)")) {
            Some(name) => name.into(),
            None => own,
        }
    })
}
