//! What a change does to objects, and how it is printed. No I/O.

use serde_json::{Map, Value, json};

use super::fields::{differences, lines};
use crate::output::paint::Paint;

/// What happens to one object.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectChange {
    pub kind: String,
    /// None means a cluster-scoped object.
    pub namespace: Option<String>,
    pub name: String,
    /// The object as it is; None means that it does not exist.
    pub before: Option<Value>,
    /// The object as it would be; None means that it would be removed.
    pub after: Option<Value>,
}

/// Whether the object is created, changed, removed or left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    Create,
    Change,
    Delete,
    Keep,
}

impl ObjectChange {
    /// From two objects, of which one may be missing.
    pub fn new(before: Option<Value>, after: Option<Value>) -> Self {
        let (mut before, mut after) = (before.map(presentable), after.map(presentable));
        hide(&mut before, &mut after);
        let text = |path: &str| {
            let found =
                |v: &Option<Value>| v.as_ref().and_then(|v| v.pointer(path)).and_then(Value::as_str).map(str::to_owned);
            found(&after).or_else(|| found(&before))
        };
        Self {
            kind: text("/kind").unwrap_or_default(),
            namespace: text("/metadata/namespace"),
            name: text("/metadata/name").unwrap_or_default(),
            before,
            after,
        }
    }

    /// What happens to the object.
    pub fn act(&self) -> Act {
        match (&self.before, &self.after) {
            (None, _) => Act::Create,
            (Some(_), None) => Act::Delete,
            (Some(before), Some(after)) if before == after => Act::Keep,
            _ => Act::Change,
        }
    }

    fn title(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{} {namespace}/{}", self.kind, self.name),
            None => format!("{} {}", self.kind, self.name),
        }
    }
}

/// The object without the fields that the API server keeps for itself.
fn presentable(mut object: Value) -> Value {
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        for field in ["managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "selfLink"] {
            metadata.remove(field);
        }
    }
    if let Value::Object(map) = &mut object {
        map.remove("status");
    }
    object
}

/// Hides the values of Secrets: only whether they differ is shown, and no hash that guesses could be compared with.
fn hide(before: &mut Option<Value>, after: &mut Option<Value>) {
    for field in ["data", "stringData"] {
        let held = secret_data(before.as_mut(), field).cloned().unwrap_or_default();
        if let Some(data) = secret_data(after.as_mut(), field) {
            for (key, value) in data.iter_mut() {
                let same = held.get(key).is_none_or(|h| h == value);
                *value = if same { "(hidden)" } else { "(hidden, changed)" }.into();
            }
        }
        if let Some(data) = secret_data(before.as_mut(), field) {
            data.values_mut().for_each(|v| *v = "(hidden)".into());
        }
    }
}

fn secret_data<'a>(object: Option<&'a mut Value>, field: &str) -> Option<&'a mut Map<String, Value>> {
    let object = object.filter(|o| o.get("kind").and_then(Value::as_str) == Some("Secret"))?;
    object.get_mut(field)?.as_object_mut()
}

/// The text for people.
pub fn text(changes: &[ObjectChange], paint: Paint, columns: Option<usize>) -> String {
    let mut out = Vec::new();
    for change in changes {
        match change.act() {
            Act::Create => out.push(paint.good(&format!("+ {}", change.title()))),
            Act::Delete => out.push(paint.bad(&format!("- {}", change.title()))),
            Act::Change => {
                out.push(format!("{} {}", paint.warn("~"), change.title()));
                let (before, after) =
                    (change.before.clone().unwrap_or_default(), change.after.clone().unwrap_or_default());
                let columns = columns.map(|c| c.saturating_sub(4));
                out.extend(lines(&differences(&before, &after), paint, columns).iter().map(|l| format!("    {l}")));
            }
            Act::Keep => {}
        }
    }
    out.push(summary(changes));
    out.join("\n")
}

/// `1 to create, 2 to change, 1 to remove, 5 unchanged`.
pub fn summary(changes: &[ObjectChange]) -> String {
    let count = |act: Act| changes.iter().filter(|c| c.act() == act).count();
    let parts: Vec<String> =
        [(Act::Create, "to create"), (Act::Change, "to change"), (Act::Delete, "to remove"), (Act::Keep, "unchanged")]
            .iter()
            .map(|(act, words)| (count(*act), words))
            .filter(|(n, _)| *n > 0)
            .map(|(n, words)| format!("{n} {words}"))
            .collect();
    if parts.is_empty() { "nothing to change".into() } else { parts.join(", ") }
}

/// The document for machines.
pub fn document(changes: &[ObjectChange]) -> Value {
    let items: Vec<Value> = changes
        .iter()
        .map(|c| {
            let act = match c.act() {
                Act::Create => "create",
                Act::Change => "change",
                Act::Delete => "remove",
                Act::Keep => "keep",
            };
            let fields: Vec<Value> = match (&c.before, &c.after) {
                (Some(before), Some(after)) => differences(before, after)
                    .iter()
                    .map(|f| json!({"path": f.path, "before": f.before, "after": f.after}))
                    .collect(),
                _ => Vec::new(),
            };
            json!({
                "action": act, "kind": c.kind, "namespace": c.namespace, "name": c.name,
                "fields": fields, "after": if act == "create" { c.after.clone() } else { None },
            })
        })
        .collect();
    json!({ "changes": items })
}
