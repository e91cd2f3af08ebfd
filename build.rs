//! Checks that the settings of `.cargo/config.toml` have arrived, and sets what depends on the target's glibc. It asks
//! about the target, which in a cross build is not the host.
//!
//! Cargo looks for that file above the current folder, and for `cargo install --path` above the package; it is not read
//! for `cargo install --git`, nor where the package is another's dependency (docs/decisions/0017-static-glibc.md).

use std::env;
use std::path::Path;

/// `-z pack-relative-relocs` needs it: glibc reads relocations in RELR form since then.
const RELR: (u32, u32) = (2, 36);

/// A function of glibc's that costs each start more than it gives.
const STACK: &str = "src/system/stack.c";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // In which order the functions stand: .cargo/linker reads it, of which Cargo does not know.
    println!("cargo::rerun-if-changed=.cargo/functions");
    println!("cargo::rerun-if-env-changed=LIBSQLITE3_FLAGS");
    let target = |name| env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    // One that no other program would set.
    if env::var_os("CARGO_FEATURE_GATEWAY").is_some()
        && !env::var("LIBSQLITE3_FLAGS").is_ok_and(|flags| flags.contains("-DSQLITE_DISABLE_DIRSYNC"))
    {
        println!(
            "cargo::error=SQLite would be built without the flags that mailsudo is tested with. They are in .cargo/config.toml \
             of its checkout: build in the checkout, or with cargo install --path CHECKOUT, or add --config \
             CHECKOUT/.cargo/config.toml"
        );
    }
    if target("OS") != "linux" || target("ENV") != "gnu" {
        return;
    }
    if !target("FEATURE").split(',').any(|feature| feature == "crt-static") {
        println!(
            "cargo::warning=mailsudo is linked with the shared glibc: it works the same, starts later and needs that glibc on \
             each host. RUSTFLAGS replaces the flags of .cargo/config.toml: add -C target-feature=+crt-static to it"
        );
        return;
    }
    // A static position-independent program relocates itself each time it starts. In RELR form ten thousand pointers
    // take a bitmap of some kilobytes and a fraction of the instructions.
    if glibc() >= Some(RELR) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
    // As an object, not as a library: it must stand before glibc's own function of that name.
    println!("cargo::rerun-if-changed={STACK}");
    for object in cc::Build::new().file(STACK).cargo_metadata(false).compile_intermediates() {
        println!("cargo::rustc-link-arg-bins={}", object.display());
    }
}

/// The version of the glibc that is linked in, as the headers beside it give it to the target's C compiler.
fn glibc() -> Option<(u32, u32)> {
    let probe = Path::new(&env::var_os("OUT_DIR")?).join("glibc.c");
    std::fs::write(&probe, "#include <features.h>\nglibc __GLIBC__ __GLIBC_MINOR__\n").ok()?;
    let expanded = String::from_utf8(cc::Build::new().cargo_metadata(false).file(probe).try_expand().ok()?).ok()?;
    // The preprocessor may put lines of its own between the words; they begin with `#`.
    let words = expanded.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace);
    let mut words = words.skip_while(|word| *word != "glibc").skip(1);
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}
