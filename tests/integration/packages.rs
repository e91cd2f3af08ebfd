//! What is in the packages: the Debian and the RPM packages have the same files, and removing the RPM leaves none of its
//! folders.

use std::collections::BTreeSet;
use std::fs;

use crate::import_order::checkout;

/// The files of the checkout that a package named in Cargo.toml has.
fn packaged(format: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(checkout("Cargo.toml")).expect("Cargo.toml");
    let manifest: toml::Table = toml::from_str(&text).expect("TOML");
    let package = &manifest["package"]["metadata"][format];
    let sources = package["assets"].as_array().expect("a list").iter().filter_map(|asset| match asset.get("source") {
        Some(source) => source.as_str(),
        None => asset.get(0).and_then(toml::Value::as_str),
    });
    let mut found = BTreeSet::new();
    for source in sources.filter(|source| !source.starts_with("target/") && !source.starts_with("packaging/debian/")) {
        let (folder, name) = source.rsplit_once('/').unwrap_or(("", source));
        let (begin, end) = name.split_once('*').unwrap_or((name, ""));
        for entry in fs::read_dir(checkout(folder)).expect("a folder").flatten() {
            let file = entry.file_name().to_string_lossy().into_owned();
            let fits = if name.contains('*') { file.starts_with(begin) && file.ends_with(end) } else { file == name };
            if fits && entry.path().is_file() {
                found.insert(format!("{folder}/{file}"));
            }
        }
    }
    found
}

#[test]
fn both_packages_have_the_same_files() {
    let (deb, rpm) = (packaged("deb"), packaged("generate-rpm"));
    assert!(deb.len() > 50, "the lists are not read: {deb:?}");
    assert_eq!(deb.symmetric_difference(&rpm).collect::<Vec<_>>(), [""; 0], "in one package only");
}

#[test]
fn removing_the_rpm_removes_each_folder_of_its_own_and_disables_each_timer() {
    let read = |name: &str| fs::read_to_string(checkout(name)).expect(name);
    let (removing, removed) = (read("packaging/rpm/preun"), read("packaging/rpm/postun"));
    for file in packaged("generate-rpm") {
        let (folder, name) = file.rsplit_once('/').unwrap_or(("", &file));
        let is_timer = name.strip_suffix(".timer").is_some();
        assert!(!is_timer || removing.contains(name), "{name} stays enabled");
        let shared = folder.strip_prefix("examples/").or(folder.strip_prefix("monitoring/"));
        let is_named = |part: &str| removed.contains(&format!("/{part}\""));
        assert!(shared.is_none_or(is_named), "{folder} stays");
    }
}
