//! Tests of differences. No I/O.

use serde_json::json;

use super::fields::{differences, lines};
use super::objects::{Act, ObjectChange, document, text};
use crate::output::paint::Paint;

#[test]
fn fields_that_differ_are_named_with_both_values() {
    let before = json!({"seats": 7, "plan": "fibo-2", "old": true, "list": [{"name": "a", "v": 1}, {"name": "b"}]});
    let after = json!({"seats": 10, "plan": "fibo-2", "new": "x", "list": [{"name": "a", "v": 2}], "l": {"a.b/c": 1}});
    insta::assert_snapshot!(lines(&differences(&before, &after), Paint::default(), None).join("\n"));
    assert!(differences(&before, &before).is_empty());
}

fn changes() -> Vec<ObjectChange> {
    let object = |kind: &str, name: &str, spec: serde_json::Value| json!({"kind": kind, "metadata": {"name": name, "namespace": "tenant-k", "uid": name}, "spec": spec});
    let secret = |value: &str| json!({"kind": "Secret", "metadata": {"name": "s"}, "data": {"password": value}});
    vec![
        ObjectChange::new(None, Some(object("Service", "crm", json!({})))),
        ObjectChange::new(
            Some(object("Deployment", "web", json!({"replicas": 1, "image": "a"}))),
            Some(object("Deployment", "web", json!({"replicas": 2, "image": "a"}))),
        ),
        ObjectChange::new(Some(object("Ingress", "old", json!({}))), None),
        ObjectChange::new(Some(object("Secret", "same", json!({}))), Some(object("Secret", "same", json!({})))),
        ObjectChange::new(Some(secret("aHVudGVyMg==")), Some(secret("aHVudGVyMw=="))),
    ]
}

#[test]
fn objects_are_shown_with_what_happens_to_them() {
    insta::assert_snapshot!(text(&changes(), Paint::default(), None));
    assert_eq!(changes()[3].act(), Act::Keep);
}

#[test]
fn secrets_are_never_shown_only_that_they_differ() {
    let all = format!("{}{}", text(&changes(), Paint::default(), None), document(&changes()));
    assert!(!all.contains("aHVudGVy"), "{all}");
    assert_eq!(changes()[4].act(), Act::Change);
}
