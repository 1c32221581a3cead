//! A new kind of child or a new engine does not compile before every table of `plan/src/kind.rs` and
//! `core/src/engine.rs` has it. Compiles copies of these files with one more variant. Does I/O (files, compiler).

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What of the other crates the copies need, and no more.
const STUBS: &str = "#![allow(dead_code)]\n\
    mod listed;\n\
    mod copy;\n\
    mod kube { pub mod core { pub struct ApiResource {\n\
    pub group: String, pub version: String, pub api_version: String, pub kind: String, pub plural: String } } }\n";
/// Derived by crates that the copies are compiled without.
const FOREIGN: [&str; 4] = ["Serialize", "Deserialize", "JsonSchema", "thiserror::Error"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn source(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap()
}

/// A source file without its tests, and without all that only other crates can give.
fn alone(source: &str) -> String {
    let code = source.split("#[cfg(test)]").next().unwrap();
    let foreign =
        |line: &str| ["use serde::", "use schemars::", "#[serde(", "#[error("].iter().any(|w| line.starts_with(w));
    let derive = |line: &str| match line.trim().strip_prefix("#[derive(").and_then(|rest| rest.strip_suffix(")]")) {
        Some(all) => {
            let kept: Vec<&str> = all.split(", ").filter(|one| !FOREIGN.contains(one)).collect();
            format!("#[derive({})]", kept.join(", "))
        }
        None => line.replace("tenantry_core::listed!", "crate::listed!").replace("use kube::", "use crate::kube::"),
    };
    // A line that is left out stays as an empty line, so that the compiler names the lines of the original.
    let lines = code.lines().map(|line| if foreign(line.trim()) { String::new() } else { derive(line) });
    lines.collect::<Vec<_>>().join("\n")
}

/// One more variant at the end of an enum.
fn with_dummy(code: &str, name: &str) -> String {
    let begin = code.find(&format!("pub enum {name} {{")).unwrap();
    let end = begin + code[begin..].find("\n    }").unwrap();
    format!("{} Dummy,{}", &code[..end], &code[end..])
}

/// Compiles a file on its own. Returns the messages of the compiler, or None if it compiles.
fn complaints(code: &str) -> Option<String> {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("tenantry-tables-{}-{number}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("lib.rs"), STUBS).unwrap();
    fs::write(folder.join("listed.rs"), source("core/src/listed.rs")).unwrap();
    fs::write(folder.join("copy.rs"), code).unwrap();
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let done = Command::new(rustc)
        .args(["--edition", "2024", "--crate-type", "lib", "--crate-name", "tables", "--emit", "metadata"])
        .args(["--error-format", "short", "--out-dir"])
        .args([&folder, &folder.join("lib.rs")])
        // The toolchain of this repository.
        .current_dir(root())
        .output()
        .unwrap();
    fs::remove_dir_all(&folder).unwrap();
    (!done.status.success()).then(|| String::from_utf8_lossy(&done.stderr).into_owned())
}

/// The function that a line of a file belongs to. A function inside of a function does not count.
fn function(code: &str, line: usize) -> String {
    let above: Vec<&str> = code.lines().take(line).collect();
    let is_head = |l: &&&str| l.contains("fn ") && !l.starts_with("        ") && !l.trim().starts_with("//");
    let head = above.iter().rev().find(is_head).unwrap().split_once("fn ").unwrap().1;
    head.split('(').next().unwrap().to_owned()
}

/// Functions in which a pattern for the dummy is missing.
fn incomplete(code: &str, complaints: &str) -> BTreeSet<String> {
    let lines = complaints.lines().filter(|l| l.contains("E0004") && l.contains("Dummy"));
    lines
        .map(|l| function(code, l.split("copy.rs:").nth(1).unwrap().split(':').next().unwrap().parse().unwrap()))
        .collect()
}

/// Functions that decide by variant.
fn tables(code: &str) -> BTreeSet<String> {
    let lines = code.lines().enumerate().filter(|(_, line)| line.contains("match self"));
    lines.map(|(number, _)| function(code, number + 1)).collect()
}

fn check(file: &str, name: &str, named: &[&str]) {
    let code = alone(&source(file));
    assert_eq!(complaints(&code), None, "{file} alone");
    let more = with_dummy(&code, name);
    let complaints = complaints(&more).unwrap_or_else(|| panic!("{file} compiles with a dummy that no table has"));
    let found = incomplete(&more, &complaints);
    assert_eq!(found, tables(&more), "{complaints}");
    for table in named {
        assert!(found.contains(*table), "{table} does not miss the dummy: {complaints}");
    }
}

#[test]
fn a_kind_that_a_table_lacks_does_not_compile() {
    check("plan/src/kind.rs", "Kind", &["properties", "stays_while_waiting", "name_as_remains"]);
}

#[test]
fn an_engine_that_a_table_lacks_does_not_compile() {
    check("core/src/engine.rs", "Engine", &["word", "port"]);
}

/// The sources of all crates without their tests.
fn sources(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, text.split("#[cfg(test)]").next().unwrap().to_owned()));
        }
    }
}

#[test]
fn an_engine_is_matched_and_never_compared() {
    let mut all = Vec::new();
    for name in ["core", "api", "plan", "database", "operator", "agent", "cli"] {
        sources(&root().join(name).join("src"), &mut all);
    }
    // A comparison takes every new engine for the other one without a word.
    let compares = |line: &str| ["== Engine::", "!= Engine::"].iter().any(|w| line.contains(w));
    let found: Vec<String> = all
        .iter()
        .flat_map(|(path, text)| {
            text.lines().filter(|l| compares(l)).map(|l| format!("{}: {}", path.display(), l.trim()))
        })
        .collect();
    assert_eq!(found, Vec::<String>::new());
}
