//! What is in the packages: the Debian and the RPM packages have the same files, the pages among them link to installed
//! files, and removing the RPM leaves none of its folders.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::import_order::checkout;

/// The files of the checkout that a package named in Cargo.toml has, and where it puts each.
fn packaged(format: &str) -> BTreeMap<String, PathBuf> {
    let text = fs::read_to_string(checkout("Cargo.toml")).expect("Cargo.toml");
    let manifest: toml::Table = toml::from_str(&text).expect("TOML");
    let package = &manifest["package"]["metadata"][format];
    let mut found = BTreeMap::new();
    for asset in package["assets"].as_array().expect("a list") {
        let part = |key: &str, at: usize| asset.get(key).or(asset.get(at)).and_then(toml::Value::as_str);
        let (source, to) = (part("source", 0).expect("a file"), part("dest", 1).expect("a place"));
        if source.starts_with("target/") || source.starts_with("packaging/debian/") {
            continue;
        }
        let (folder, name) = source.rsplit_once('/').unwrap_or(("", source));
        let (begin, end) = name.split_once('*').unwrap_or((name, ""));
        for entry in fs::read_dir(checkout(folder)).expect("a folder").flatten() {
            let file = entry.file_name().to_string_lossy().into_owned();
            let fits = if name.contains('*') { file.starts_with(begin) && file.ends_with(end) } else { file == name };
            if fits && entry.path().is_file() {
                let place = Path::new("/").join(to);
                let place = if to.ends_with('/') { place.join(&file) } else { place };
                found.insert(format!("{folder}/{file}"), place);
            }
        }
    }
    found
}

#[test]
fn both_packages_have_the_same_files() {
    let [deb, rpm] = ["deb", "generate-rpm"].map(|format| packaged(format).into_keys().collect::<BTreeSet<_>>());
    assert!(deb.len() > 50, "the lists are not read: {deb:?}");
    assert_eq!(deb.symmetric_difference(&rpm).collect::<Vec<_>>(), [""; 0], "in one package only");
}

/// A sysadmin may have no network where the gateway is.
#[test]
fn each_link_of_the_installed_pages_leads_to_an_installed_file() {
    for format in ["deb", "generate-rpm"] {
        let packaged = packaged(format);
        let (mut seen, mut broken) = (0, Vec::new());
        for (source, place) in packaged.iter().filter(|(_, place)| place.extension().is_some_and(|kind| kind == "md")) {
            let text = fs::read_to_string(checkout(source.trim_start_matches('/'))).expect("a page");
            for link in links(&text) {
                seen += 1;
                let to = resolved(&place.with_file_name("").join(&link));
                if !packaged.values().any(|file| file.starts_with(&to)) {
                    broken.push(format!("{}: {link}", place.display()));
                }
            }
        }
        assert!(seen > 100, "the links are not found: {seen}");
        assert!(broken.is_empty(), "{format}: {}", broken.join("\n"));
    }
}

/// What a page links to beside itself and the web, without headings.
fn links(page: &str) -> Vec<String> {
    let link = regex_lite::Regex::new(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)").expect("a regular expression");
    link.captures_iter(page).map(|found| found[1].to_owned()).filter(|to| !to.contains(':')).collect()
}

/// The path without `..`.
fn resolved(path: &Path) -> PathBuf {
    let mut resolved = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                resolved.pop();
            }
            other => resolved.push(other),
        }
    }
    resolved
}

#[test]
fn removing_the_rpm_removes_each_folder_of_its_own_and_disables_each_timer() {
    let read = |name: &str| fs::read_to_string(checkout(name)).expect(name);
    let (removing, removed) = (read("packaging/rpm/preun"), read("packaging/rpm/postun"));
    for file in packaged("generate-rpm").keys() {
        let (folder, name) = file.rsplit_once('/').unwrap_or(("", file));
        let is_timer = name.strip_suffix(".timer").is_some();
        assert!(!is_timer || removing.contains(name), "{name} stays enabled");
        let shared = ["examples/", "monitoring/", "docs/", "/"].iter().find_map(|parent| folder.strip_prefix(parent));
        let is_named = |part: &str| part.starts_with("man") || removed.contains(&format!("/{part}\""));
        assert!(shared.is_none_or(is_named), "{folder} stays");
    }
}
