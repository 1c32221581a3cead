//! Layer 2: every manifest that is shipped passes the schema and the rules of its definition. Reads files.

// Helpers of tests are not inside a #[test], where the workspace allows these.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use kube_cel::Validator;
use serde_json::Value;
use tenantry_api::definitions;
use tenantry_core::{pattern, yaml};

/// Where a value breaks its schema, as a real API server would say it: types, required and unknown fields, lengths,
/// patterns, enumerations and ranges.
fn faults(path: &str, schema: &Value, value: &Value, found: &mut Vec<String>) {
    let mut say = |what: String| found.push(format!("{path}: {what}"));
    if value.is_null() {
        if schema["nullable"] != true {
            say("null".into());
        }
        return;
    }
    let kind = match value {
        Value::Object(_) => "object",
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_i64() || n.is_u64() => "integer",
        _ => "number",
    };
    match schema["type"].as_str() {
        Some(wanted) if wanted != kind && !(wanted == "number" && kind == "integer") => {
            return say(format!("{kind}, not {wanted}"));
        }
        _ => {}
    }
    if let Some(values) = schema["enum"].as_array()
        && !values.contains(value)
    {
        say(format!("{value} is none of {values:?}"));
    }
    let size = match value {
        Value::String(text) => text.chars().count(),
        Value::Array(items) => items.len(),
        Value::Object(fields) => fields.len(),
        _ => 0,
    };
    for (least, most) in [("minLength", "maxLength"), ("minItems", "maxItems"), ("minProperties", "maxProperties")] {
        let number = |key: &str| schema[key].as_u64().and_then(|n| usize::try_from(n).ok());
        if number(least).is_some_and(|n| size < n) || number(most).is_some_and(|n| size > n) {
            say(format!("its size is {size}, {} to {}", schema[least], schema[most]));
        }
    }
    if let Some(n) = value.as_f64()
        && (schema["minimum"].as_f64().is_some_and(|m| n < m) || schema["maximum"].as_f64().is_some_and(|m| n > m))
    {
        say(format!("{n} is out of range"));
    }
    if let (Some(wanted), Some(text)) = (schema["pattern"].as_str(), value.as_str()) {
        // The patterns of the kinds are anchored, so that matching the whole says the same.
        let inner = wanted.strip_prefix('^').and_then(|p| p.strip_suffix('$')).expect("an anchored pattern");
        if !pattern::matches_whole(inner, text).unwrap() {
            say(format!("{text:?} does not match {wanted}"));
        }
    }
    for (n, item) in value.as_array().into_iter().flatten().enumerate() {
        faults(&format!("{path}[{n}]"), &schema["items"], item, found);
    }
    let Some(fields) = value.as_object() else { return };
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !fields.contains_key(name) {
            found.push(format!("{path}: {name} is missing"));
        }
    }
    for (name, field) in fields {
        let inner = format!("{path}.{name}");
        match (&schema["properties"][name], &schema["additionalProperties"]) {
            (Value::Null, Value::Object(_)) => faults(&inner, &schema["additionalProperties"], field, found),
            (Value::Null, _) if schema["x-kubernetes-preserve-unknown-fields"] == true => {}
            (Value::Null, _) => found.push(format!("{inner}: unknown")),
            (known, _) => faults(&inner, known, field, found),
        }
    }
}

fn schema(kind: &str) -> Value {
    let crd = definitions().into_iter().find(|c| c.spec.names.kind == kind).unwrap();
    let mut schema = serde_json::to_value(&crd.spec.versions[0].schema.as_ref().unwrap().open_api_v3_schema).unwrap();
    // An API server knows these itself.
    for name in ["apiVersion", "kind"] {
        schema["properties"][name] = serde_json::json!({ "type": "string" });
    }
    schema["properties"]["metadata"] = serde_json::json!({ "x-kubernetes-preserve-unknown-fields": true });
    schema
}

#[test]
fn every_manifest_that_is_shipped_passes_its_schema_and_its_rules() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests");
    let mut seen = 0;
    for (folder, kind) in [("blueprints", "Blueprint"), ("plans", "Plan")] {
        let schema = schema(kind);
        for file in std::fs::read_dir(format!("{root}/{folder}")).unwrap() {
            let path = file.unwrap().path();
            let object: Value = yaml::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
            let mut found = Vec::new();
            faults("", &schema, &object, &mut found);
            assert_eq!(found, Vec::<String>::new(), "{}", path.display());
            let broken: Vec<String> = match Validator::new().validate(&schema, &object, None) {
                Ok(()) => Vec::new(),
                Err(errors) => errors.iter().map(ToString::to_string).collect(),
            };
            assert_eq!(broken, Vec::<String>::new(), "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen > 10, "only {seen} manifests were found");
}

#[test]
fn what_does_not_fit_is_found() {
    let schema = schema("Blueprint");
    let change = |edit: &dyn Fn(&mut Value)| {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests/blueprints/tryton.yaml");
        let mut object: Value = yaml::from_str(&std::fs::read_to_string(root).unwrap()).unwrap();
        edit(&mut object);
        let mut found = Vec::new();
        faults("", &schema, &object, &mut found);
        found.join("\n")
    };
    assert_eq!(change(&|_| ()), "");
    assert!(change(&|o| o["spec"]["titel"] = "x".into()).contains(".spec.titel: unknown"));
    assert!(change(&|o| o["spec"]["title"] = 1.into()).contains("integer, not string"));
    assert!(change(&|o| o["spec"]["title"] = "x".repeat(101).into()).contains("its size is 101"));
    assert!(change(&|o| o["spec"]["processes"][0]["port"] = 0.into()).contains("out of range"));
    assert!(change(&|o| o["spec"]["processes"][0]["name"] = "Web".into()).contains("does not match"));
    assert!(change(&|o| o["spec"]["processes"][0]["strategy"] = "none".into()).contains("is none of"));
    assert!(change(&|o| o["spec"]["processes"][0] = serde_json::json!({})).contains("name is missing"));
}

#[test]
fn the_definitions_that_are_shipped_are_those_of_the_code() {
    for crd in definitions() {
        let name = format!("{}.yaml", crd.spec.names.plural);
        for folder in ["manifests/crds", "charts/tenantry-crds/templates"] {
            let path = format!("{}/../{folder}/{name}", env!("CARGO_MANIFEST_DIR"));
            let shipped = std::fs::read_to_string(&path).unwrap();
            let ours = yaml::to_string(&crd).unwrap();
            let first = shipped.lines().zip(ours.lines()).find(|(shipped, ours)| shipped != ours);
            assert!(shipped == ours, "{folder}/{name} differs, `make reference` writes it; first: {first:?}");
        }
    }
}
