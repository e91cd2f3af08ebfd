//! Tells the linker what this machine's glibc can do.
//!
//! A static position-independent program relocates itself each time it starts. In RELR form (`-z pack-relative-relocs`) ten
//! thousand pointers take a bitmap of some kilobytes and a fraction of the instructions; glibc reads it since 2.36.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if glibc() >= Some((2, 36)) {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// The version of the C library that is linked in, as `getconf GNU_LIBC_VERSION` gives it: `glibc 2.36`.
fn glibc() -> Option<(u32, u32)> {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let said = String::from_utf8(output.stdout).ok()?;
    let (major, minor) = said.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
