//! Modules import only modules that stand below them in docs/architecture.md, and `src/lib.rs` lists them in that
//! order. What one file is there for, no other does beside it.

use std::fs;
use std::path::{Path, PathBuf};

pub(crate) fn checkout(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The modules from the top to the bottom.
fn order() -> Vec<String> {
    let text = fs::read_to_string(checkout("docs/architecture.md")).expect("docs/architecture.md");
    let (_, list) = text.split_once("<!-- import order -->").expect("the mark before the list");
    let list = list.split("```").nth(1).expect("a fenced list");
    list.lines().skip(1).map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// Every Rust file under `folder`.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|ending| ending == "rs"))
        .collect()
}

/// The part of a file before its tests.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("a source file");
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    if text.contains("#![cfg(test)]") { String::new() } else { text.to_owned() }
}

/// The top-level modules that `text` names after `crate::`, with the line.
fn imports(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("//") {
            continue;
        }
        for rest in line.split("crate::").skip(1) {
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            found.push((at + 1, name));
        }
    }
    found
}

#[test]
fn no_module_imports_one_that_stands_above_it() {
    let order = order();
    let place = |name: &str| order.iter().position(|module| module == name);
    let source = checkout("src");
    let mut wrong = Vec::new();
    let mut seen = 0;
    for path in files(&source) {
        let relative = path.strip_prefix(&source).expect("under src");
        let first = relative.components().next().expect("a name").as_os_str().to_string_lossy().into_owned();
        let module = first.trim_end_matches(".rs");
        if module == "main" || module == "lib" {
            continue;
        }
        let own = place(module).unwrap_or_else(|| panic!("{module} is not in docs/architecture.md"));
        for (line, name) in imports(&code(&path)) {
            let Some(other) = place(&name) else { continue };
            seen += 1;
            if other < own {
                wrong
                    .push(format!("src/{}:{line}: {module} imports {name}, which stands above it", relative.display()));
            }
        }
    }
    assert!(seen > 100, "the imports are not found: {seen}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_crate_lists_its_modules_in_that_order() {
    let text = fs::read_to_string(checkout("src/lib.rs")).expect("src/lib.rs");
    let listed: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let order: Vec<_> = order().into_iter().filter(|module| module != "main").collect();
    assert_eq!(listed, order);
}

/// Trust in a file is judged in one place, so that no two answers can differ.
#[test]
fn only_permissions_rs_looks_at_modes_and_owners_of_files() {
    let source = checkout("src");
    let judge = source.join("system/permissions.rs");
    let signs = ["st_mode &", "st_uid", "st_gid", "mode() &", "mode() >>", "uid() ==", "gid() ==", "mode &"];
    let looks = |path: &Path| -> Vec<String> {
        let code = code(path);
        let lines = code.lines().filter(|line| signs.iter().any(|sign| line.contains(sign)));
        lines.map(|line| format!("{}: {}", path.display(), line.trim())).collect()
    };
    assert!(looks(&judge).len() >= 5, "the signs are not found in {}", judge.display());
    let others: Vec<_> =
        files(&source).into_iter().filter(|path| *path != judge).flat_map(|path| looks(&path)).collect();
    assert!(others.is_empty(), "{}", others.join("\n"));
}

/// A wait somewhere else would not be counted in what Postfix allows a delivery.
#[test]
fn every_wait_stands_in_limits() {
    // No waits: the usual period of a code, how long a former key counts, and the spans of the configuration.
    const SPANS: [&str; 3] = ["client/used_step.rs", "enrolment.rs", "config/units.rs"];
    let wait = regex_lite::Regex::new(r"Duration::from_\w+\([0-9]").expect("a regular expression");
    let mut found = Vec::new();
    for path in files(&checkout("src")).iter().filter(|path| !SPANS.iter().any(|spans| path.ends_with(spans))) {
        let text = fs::read_to_string(path).expect("a source file");
        let is_elsewhere =
            ["src/limits", "src/ledger/contract"].iter().any(|folder| path.starts_with(checkout(folder)));
        if text.contains("#![cfg(test)]") || is_elsewhere {
            continue;
        }
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let lines = code.lines().enumerate().filter(|(_, line)| wait.is_match(line));
        found.extend(lines.map(|(at, line)| format!("{}:{}: {}", path.display(), at + 1, line.trim())));
    }
    assert!(found.is_empty(), "move them into src/limits/:\n{}", found.join("\n"));
}
