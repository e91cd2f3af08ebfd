//! The proof types cannot be made from outside: each case in `cases/` does not compile, and for the reason that stands
//! beside it.
//!
//! `SNAPSHOTS=overwrite cargo test --test types` writes the messages anew; read the difference before you commit it.
//!
//! It is a test binary of its own, because the messages are those of the stable compiler. CI leaves it out on the
//! oldest Rust that mailsudo builds with, where the same errors have other words (.github/workflows/ci.yml).
//!
//! The cases are compiled against the library that the tests use: the trybuild crate would build it and all that it
//! needs twice more, which takes two minutes.

#![allow(missing_docs, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The library as cargo has built it for the tests.
struct Library {
    file: PathBuf,
    /// The folders of what it needs.
    folders: BTreeSet<PathBuf>,
}

impl Library {
    fn find() -> Result<Self> {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["test", "--locked", "--no-run", "--test", "types", "--message-format", "json"]);
        // What cargo says to this test; ring's build script would take it for a change.
        for (name, _) in std::env::vars_os() {
            if ["CARGO_PKG_", "CARGO_MANIFEST_", "OUT_DIR"].iter().any(|says| name.to_string_lossy().starts_with(says))
            {
                cargo.env_remove(name);
            }
        }
        let built = cargo.output()?;
        ensure!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let (mut file, mut folders) = (None, BTreeSet::new());
        for line in String::from_utf8(built.stdout)?.lines() {
            let artifact: Value = serde_json::from_str(line)?;
            let is_ours = artifact["target"]["name"] == "mailsudo" && artifact["target"]["kind"][0] == "lib";
            let files = artifact["filenames"].as_array().into_iter().flatten().filter_map(Value::as_str).map(Path::new);
            for path in files {
                folders.extend(path.parent().map(Path::to_owned));
                if is_ours && path.extension().is_some_and(|extension| extension == "rlib") {
                    file = Some(path.to_owned());
                }
            }
        }
        Ok(Self { file: file.context("cargo names no library")?, folders })
    }

    /// Compiles a program that uses the library.
    fn compile(&self, program: &str) -> Result<Output> {
        let out = tempfile::tempdir()?;
        let mut rustc = Command::new("rustc");
        rustc.args(["--edition", "2024", "--emit", "metadata", "--cap-lints", "allow", "--error-format", "short"]);
        rustc.arg("--out-dir").arg(out.path()).arg("--extern").arg(format!("mailsudo={}", self.file.display()));
        for folder in &self.folders {
            rustc.arg("-L").arg(format!("dependency={}", folder.display()));
        }
        Ok(rustc.arg(program).output()?)
    }
}

#[test]
fn no_proof_is_made_outside_its_stage() -> Result<()> {
    let library = Library::find()?;
    let cases = std::fs::read_dir("tests/types/cases")?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let mut tried = 0;
    for case in cases.iter().filter(|case| case.extension().is_some_and(|extension| extension == "rs")) {
        let output = library.compile(case.to_str().context("a name")?)?;
        assert!(!output.status.success(), "{} compiles", case.display());
        // The last line counts the errors.
        let said = String::from_utf8(output.stderr)?;
        let said = said.lines().filter(|line| !line.starts_with("error: aborting due to ")).collect::<Vec<_>>();
        let expected = snapbox::Data::read_from(&case.with_extension("stderr"), None);
        snapbox::assert_data_eq!(said.join("\n") + "\n", expected.raw());
        tried += 1;
    }
    assert_eq!(tried, 7, "a case that is taken out is taken out here, too");
    Ok(())
}
