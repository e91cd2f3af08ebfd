//! No two files of src import each other, directly or by way of others. A name that a `mod.rs` only passes on leads to
//! the file that has it; a name that is passed on with `pub use` and not used there is no import.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::Path;

use regex_lite::Regex;

use crate::import_order::{checkout, files};

/// A module's path below the crate: `["check", "report"]`.
type Module = Vec<String>;

/// What the files of src say, each under its module.
type Crate = BTreeMap<Module, Source>;

struct Source {
    uses: Vec<Use>,
    /// The code without the lines of `uses`.
    body: String,
    items: BTreeSet<String>,
    children: BTreeSet<String>,
}

/// One name of a `use` line.
struct Use {
    is_public: bool,
    path: Vec<String>,
    name: String,
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a regular expression")
}

/// The code of a file before its tests, without comments, with nothing in its literals, and with visibilities that name
/// no module.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("a source file");
    if text.contains("#![cfg(test)]") {
        return String::new();
    }
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let code: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = regex(r"pub\(in [^)]*\)").replace_all(&code.join("\n"), "pub").into_owned();
    let code = regex(r"'(\\.|[^'\\])'").replace_all(&code, "' '").into_owned();
    let code = regex(r##"r#"[\s\S]*?"#"##).replace_all(&code, "\"\"").into_owned();
    regex(r#""(\\[\s\S]|[^"\\])*""#).replace_all(&code, "\"\"").into_owned()
}

/// The paths of a `use` tree, each with the name that it gives.
fn expand(prefix: &[String], tree: &str, found: &mut Vec<(Vec<String>, String)>) {
    let tree = tree.trim();
    let words =
        |text: &str| text.split("::").map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect();
    if let Some((before, inner)) = tree.split_once('{') {
        let more: Vec<String> = words(before);
        let prefix = [prefix, &more].concat();
        let inner = inner.strip_suffix('}').expect("a closed list");
        let (mut depth, mut begin) = (0, 0);
        for (at, c) in inner.char_indices().chain([(inner.len(), ',')]) {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    if !inner[begin..at].trim().is_empty() {
                        expand(&prefix, &inner[begin..at], found);
                    }
                    begin = at + 1;
                }
                _ => {}
            }
        }
        return;
    }
    let (path, alias) = tree.split_once(" as ").map_or((tree, None), |(path, alias)| (path, Some(alias.trim())));
    let mut path = [prefix.to_vec(), words(path)].concat();
    if path.last().is_some_and(|word| word == "self") {
        path.pop();
    }
    let name = alias.map_or_else(|| path.last().cloned().unwrap_or_default(), str::to_owned);
    found.push((path, name));
}

fn source(code: &str) -> Source {
    let line = regex(r"(?m)^\s*(pub(?:\([^)]*\))? )?use ([^;]+);");
    let mut uses = Vec::new();
    for found in line.captures_iter(code) {
        let mut paths = Vec::new();
        expand(&[], &found[2], &mut paths);
        let is_public = found.get(1).is_some();
        uses.extend(paths.into_iter().map(|(path, name)| Use { is_public, path, name }));
    }
    let body = line.replace_all(code, "").into_owned();
    let names = |pattern: &str| regex(pattern).captures_iter(&body).map(|found| found[1].to_owned()).collect();
    let items = r"(?m)^(?:pub(?:\([^)]*\))? )?(?:const fn|fn|struct|enum|trait|const|static|type) (\w+)";
    let items = names(items);
    let children = names(r"(?m)^(?:pub(?:\([^)]*\))? )?mod (\w+);");
    Source { uses, body, items, children }
}

fn read() -> Crate {
    let root = checkout("src");
    let module = |path: &Path| -> Module {
        let relative = path.strip_prefix(&root).expect("below src").with_extension("");
        let mut words: Module =
            relative.components().map(|word| word.as_os_str().to_string_lossy().into_owned()).collect();
        if words.last().is_some_and(|word| word == "mod" || word == "lib") {
            words.pop();
        }
        words
    };
    files(&root)
        .iter()
        .filter(|path| !path.ends_with("main.rs"))
        .map(|path| (module(path), source(&code(path))))
        .collect()
}

/// The module whose file has what `path` names, as seen from `module`; `None` for another crate's.
fn resolve(all: &Crate, module: &Module, path: &[String], depth: usize) -> Option<Module> {
    let (mut at, mut rest) = match path.first()?.as_str() {
        "crate" => (Vec::new(), &path[1..]),
        "self" => (module.clone(), &path[1..]),
        _ => (module.clone(), path),
    };
    while rest.first().is_some_and(|word| word == "super") {
        at.pop();
        rest = &rest[1..];
    }
    let is_bare = path.len() == rest.len();
    while let Some((word, more)) = rest.split_first() {
        let source = all.get(&at)?;
        if source.children.contains(word) {
            at.push(word.clone());
            rest = more;
            continue;
        }
        if source.items.contains(word) {
            return Some(at);
        }
        let Some(passed) = source.uses.iter().find(|passed| passed.name == *word) else {
            // A name that a macro makes, or a variable's field.
            return (!is_bare || at != *module).then_some(at);
        };
        // A name that leads back to itself is another crate's.
        let next = (depth < 8).then(|| resolve(all, &at, &passed.path, depth + 1))??;
        if more.is_empty() || next.last() != passed.path.last() {
            return Some(next);
        }
        (at, rest) = (next, more);
    }
    Some(at)
}

/// The files that each file imports from, with a name for which it does.
fn imports(all: &Crate) -> BTreeMap<Module, BTreeMap<Module, String>> {
    let inline = regex(r"(?:\w+::)+\w+");
    let of = |(module, source): (&Module, &Source)| {
        let body = regex(r"fn \w+").replace_all(&source.body, "fn").into_owned();
        let mut found = BTreeMap::new();
        let mut add = |path: &[String]| {
            if let Some(other) = resolve(all, module, path, 0).filter(|other| other != module && !other.is_empty()) {
                found.entry(other).or_insert_with(|| path.join("::"));
            }
        };
        for used in &source.uses {
            let end = if used.name.starts_with(char::is_uppercase) { r"\b" } else { r"(\(|::)" };
            let is_used = !used.is_public || regex(&format!(r"(^|[^.\w]){}{end}", used.name)).is_match(&body);
            if is_used {
                add(&used.path);
            }
        }
        for path in inline.find_iter(&source.body) {
            add(&path.as_str().split("::").map(str::to_owned).collect::<Vec<_>>());
        }
        (module.clone(), found)
    };
    all.iter().map(of).collect()
}

/// The shortest way from a file back to itself.
fn circle(imports: &BTreeMap<Module, BTreeMap<Module, String>>, from: &Module) -> Option<Vec<Module>> {
    let mut ways = VecDeque::from([vec![from.clone()]]);
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop_front() {
        for next in imports.get(way.last()?).into_iter().flat_map(BTreeMap::keys) {
            if next == from {
                return Some([way, vec![from.clone()]].concat());
            }
            if seen.insert(next.clone()) {
                ways.push_back([way.clone(), vec![next.clone()]].concat());
            }
        }
    }
    None
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let all = read();
    let imports = imports(&all);
    let known = imports.values().map(BTreeMap::len).sum::<usize>();
    assert!(known > 400, "the imports are not found: {known}");
    let mut found = BTreeSet::new();
    for module in imports.keys() {
        let Some(way) = circle(&imports, module) else { continue };
        let steps = way.windows(2).map(|step| {
            format!("{} imports {} ({})", step[0].join("/"), step[1].join("/"), imports[&step[0]][&step[1]])
        });
        found.insert(steps.collect::<Vec<_>>().join(", "));
    }
    assert!(
        found.is_empty(),
        "move what they share into a file of its own:\n{}",
        found.into_iter().collect::<Vec<_>>().join("\n")
    );
}
