//! Changing the specs of several objects of one kind, and reporting what changed. Does I/O.

use kube::ResourceExt;
use kube::api::Patch;
use serde_json::{Value, json};

use super::fields::{differences, lines};
use crate::archive::living::Living;
use crate::cluster;
use crate::error::{Problem, api};
use crate::session::Session;

/// Patches the spec of objects one after the other; the text reports what changed. When a patch is refused, the objects
/// before it are changed already, and the error names them.
pub async fn patched<K: Living>(
    session: &Session,
    all: &[K],
    spec: &Value,
    dry_run: bool,
) -> Result<(Vec<K>, String), Problem> {
    let (mut changed, mut text): (Vec<K>, Vec<String>) = (Vec::new(), Vec::new());
    let remark = if dry_run { " (dry run)" } else { "" };
    for object in all {
        let address = object.address();
        let body = json!({ "spec": spec });
        let params = cluster::patch(dry_run);
        let patched = object.api(session).patch(&object.name_any(), &params, &Patch::Merge(&body)).await;
        let patched = patched.map_err(|e| {
            let problem = api::problem(&format!("change {} {address}", K::WORD), &e);
            partly(problem, &changed)
        })?;
        let found = differences(&spec_of(object)?, &spec_of(&patched)?);
        if found.is_empty() {
            text.push(format!("{address}: nothing to change{remark}"));
        } else {
            text.push(format!("{address}{remark}"));
            text.extend(lines(&found, session.out.paint, session.out.columns).iter().map(|l| format!("  {l}")));
        }
        changed.push(patched);
    }
    Ok((changed, text.join("\n")))
}

fn spec_of<K: Living>(object: &K) -> Result<Value, Problem> {
    let mut whole = serde_json::to_value(object).map_err(|e| Problem::failed(format!("cannot compare: {e}")))?;
    Ok(json!({ "spec": whole.get_mut("spec").map(Value::take) }))
}

/// Adds to the error which objects were changed before it.
fn partly<K: Living>(problem: Problem, changed: &[K]) -> Problem {
    if changed.is_empty() {
        return problem;
    }
    let names: Vec<String> = changed.iter().map(K::address).collect();
    problem.safe(format!("changed already: {}; the others are as they were", names.join(", ")))
}
