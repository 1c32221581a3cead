//! Modules that import each other in a ring are one module in disguise: whoever opens one needs all of them. Reads the
//! sources. Does I/O (files).
//!
//! An import counts by the file that it names: a facade (`mod.rs`, `lib.rs`) counts for itself, so that its own files
//! do not count for it.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

type Modules = BTreeMap<Vec<String>, PathBuf>;
type Graph = BTreeMap<Vec<String>, BTreeSet<Vec<String>>>;

fn modules(folder: &Path, at: &[String], found: &mut Modules) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let mut module = at.to_vec();
        if path.is_dir() {
            module.push(name);
            modules(&path, &module, found);
        } else if path.extension().is_some_and(|e| e == "rs") && name != "main" {
            if !matches!(name.as_str(), "mod" | "lib") {
                module.push(name);
            }
            found.insert(module, path);
        }
    }
}

/// The paths of a `use`, with its braces taken apart.
fn expand(prefix: &str, text: &str) -> Vec<String> {
    let Some((head, rest)) = text.split_once('{') else { return vec![format!("{prefix}{text}")] };
    let inner = rest.rsplit_once('}').map_or(rest, |(inner, _)| inner);
    let (mut parts, mut depth, mut part) = (Vec::new(), 0, String::new());
    for c in inner.chars() {
        depth += match c {
            '{' => 1,
            '}' => -1,
            _ => 0,
        };
        if c == ',' && depth == 0 {
            parts.push(std::mem::take(&mut part));
        } else {
            part.push(c);
        }
    }
    parts.push(part);
    let prefix = format!("{prefix}{head}");
    parts.iter().filter(|p| !p.is_empty()).flat_map(|p| expand(&prefix, p)).collect()
}

/// Every path that a source names: its imports, and what it calls by a path.
fn paths(source: &str) -> Vec<String> {
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let code: String = code.lines().map(|l| l.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
    let mut found = Vec::new();
    for (at, _) in code.match_indices("use ").filter(|(at, _)| code[..*at].ends_with(['\n', ' ', '(', ')']) || *at == 0)
    {
        let text = code[at + 4..].split(';').next().unwrap_or_default();
        found.extend(expand("", &text.split_whitespace().collect::<String>()));
    }
    for root in ["crate::", "super::"] {
        for (at, _) in code.match_indices(root) {
            let end = code[at..].find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | ':')));
            found.push(code[at..end.map_or(code.len(), |e| at + e)].to_owned());
        }
    }
    found
}

/// The module that a path names, from within a module.
fn named(path: &str, from: &[String], all: &Modules) -> Option<Vec<String>> {
    let parts: Vec<&str> = path.split("::").collect();
    let mut full = match *parts.first()? {
        "crate" => Vec::new(),
        "self" => from.to_vec(),
        "super" => {
            let ups = parts.iter().take_while(|p| **p == "super").count();
            from[..from.len().checked_sub(ups)?].to_vec()
        }
        _ => return None,
    };
    full.extend(parts.iter().skip_while(|p| matches!(**p, "crate" | "self" | "super")).map(|p| (*p).to_owned()));
    while !all.contains_key(&full) {
        full.pop()?;
    }
    Some(full)
}

fn graph(crate_folder: &Path) -> Graph {
    let mut all = Modules::new();
    modules(&crate_folder.join("src"), &[], &mut all);
    let edges = |(module, file): (&Vec<String>, &PathBuf)| {
        let source = fs::read_to_string(file).unwrap();
        let to = paths(&source).into_iter().filter_map(|path| named(&path, module, &all));
        (module.clone(), to.filter(|to| to != module).collect())
    };
    all.iter().map(edges).collect()
}

/// What a module reaches, over any number of imports.
fn reach(graph: &Graph, from: &[String]) -> BTreeSet<Vec<String>> {
    let (mut seen, mut next) = (BTreeSet::new(), vec![from.to_vec()]);
    while let Some(module) = next.pop() {
        for to in &graph[&module] {
            if seen.insert(to.clone()) {
                next.push(to.clone());
            }
        }
    }
    seen
}

#[test]
fn no_modules_import_each_other_in_a_ring() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for name in ["core", "api", "plan", "database", "operator", "agent", "cli"] {
        let graph = graph(&root.join(name));
        let words = |module: &Vec<String>| if module.is_empty() { "lib".to_owned() } else { module.join("::") };
        let ring = |module: &&Vec<String>| reach(&graph, module).contains(*module);
        let rings: Vec<String> = graph.keys().filter(ring).map(words).collect();
        assert_eq!(rings, Vec::<String>::new(), "{name}: these import each other, over one or more steps");
    }
}

#[test]
fn a_ring_of_three_is_found_through_braces_and_calls_by_path() {
    let folder = std::env::temp_dir().join(format!("tenantry-rings-{}", std::process::id()));
    fs::create_dir_all(folder.join("src/b")).unwrap();
    for (file, text) in [
        ("lib.rs", "mod a;\nmod b;\n"),
        ("a.rs", "use crate::{b::c::{self, C}, d::D};\n"),
        ("b/mod.rs", "pub mod c;\n"),
        ("b/c.rs", "// use crate::a;\nfn f() { super::super::d::g() }\n"),
        ("d.rs", "use std::fmt;\nfn g() { crate::a::h() }\n#[cfg(test)]\nmod tests { use crate::b; }\n"),
    ] {
        fs::write(folder.join("src").join(file), text).unwrap();
    }
    let graph = graph(&folder);
    fs::remove_dir_all(&folder).unwrap();
    let ring: Vec<_> = graph.keys().filter(|m| reach(&graph, m).contains(*m)).map(|m| m.join("::")).collect();
    assert_eq!(ring, ["a", "b::c", "d"]);
}
