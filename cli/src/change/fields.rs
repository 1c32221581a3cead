//! What differs between two JSON values, field by field. No I/O.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::output::paint::Paint;
use crate::output::text::{clean, shorten};

/// Longest value in a line.
const VALUE: usize = 200;

/// One field that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldChange {
    /// Path of the field, for example `spec.seats`.
    pub path: String,
    /// Value before; None means that the field did not exist.
    pub before: Option<Value>,
    /// Value afterwards; None means that the field is removed.
    pub after: Option<Value>,
}

/// Everything that differs, in the order of the names.
pub fn differences(before: &Value, after: &Value) -> Vec<FieldChange> {
    let mut found = Vec::new();
    walk(String::new(), Some(before), Some(after), &mut found);
    found
}

fn walk(path: String, before: Option<&Value>, after: Option<&Value>, found: &mut Vec<FieldChange>) {
    if before == after {
        return;
    }
    match (before, after) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                walk(joined(&path, key), a.get(key), b.get(key), found);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) if named(a) && named(b) => {
            let names: BTreeSet<&str> = a.iter().chain(b).filter_map(name).collect();
            for n in names {
                let find = |all: &'_ [Value]| all.iter().position(|v| name(v) == Some(n));
                let (x, y) = (find(a).map(|i| &a[i]), find(b).map(|i| &b[i]));
                walk(format!("{path}[{n}]"), x, y, found);
            }
        }
        (before, after) => found.push(FieldChange { path, before: before.cloned(), after: after.cloned() }),
    }
}

/// Lists of things with names are compared by name, as the API server does.
fn named(all: &[Value]) -> bool {
    !all.is_empty() && all.iter().all(|v| name(v).is_some())
}

fn name(value: &Value) -> Option<&str> {
    value.get("name").or_else(|| value.get("type")).and_then(Value::as_str)
}

fn joined(path: &str, key: &str) -> String {
    // Keys with dots (labels) are quoted, so that the path can be read back.
    let key = if key.contains('.') { format!("{key:?}") } else { key.to_owned() };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

/// The lines of some changes, aligned.
pub fn lines(changes: &[FieldChange], paint: Paint, columns: Option<usize>) -> Vec<String> {
    let widest = changes.iter().map(|c| crate::output::text::width(&c.path)).max().unwrap_or(0).min(50);
    let room = columns.map_or(VALUE, |c| c.saturating_sub(widest + 12).max(20) / 2);
    changes
        .iter()
        .map(|c| {
            let path = crate::output::text::pad(&c.path, widest);
            match (&c.before, &c.after) {
                (None, Some(after)) => paint.good(&format!("+ {path}  {}", value(after, room))),
                (Some(before), None) => paint.bad(&format!("- {path}  {}", value(before, room))),
                (before, after) => {
                    let show = |v: &Option<Value>| v.as_ref().map_or_else(String::new, |v| value(v, room));
                    format!("{} {path}  {} → {}", paint.warn("~"), show(before), show(after))
                }
            }
        })
        .collect()
}

/// A value in one line.
fn value(value: &Value, room: usize) -> String {
    let text = match value {
        Value::String(s) => s.clone(),
        other => other.to_string(),
    };
    shorten(&clean(&text), room)
}
