//! `tenantry blueprint schema`: the JSON schema of a blueprint file, for editors. No I/O but printing.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use tenantry_api::blueprint::BlueprintSpec;
use tenantry_api::{GROUP, VERSION};

use crate::error::{Exit, Problem};
use crate::output::{Format, Out};

/// Prints the schema, as JSON unless YAML was asked for.
pub fn run(out: &Out) -> Result<Exit, Problem> {
    let out = Out { format: if out.format == Format::Yaml { Format::Yaml } else { Format::Json }, ..out.clone() };
    out.document(&schema())?;
    Ok(Exit::DONE)
}

/// The schema: draft 7, which every editor's language server reads.
pub fn schema() -> Value {
    let mut generator = SchemaSettings::draft07().into_generator();
    let mut spec = BlueprintSpec::json_schema(&mut generator).to_value();
    let mut definitions = Value::Object(generator.take_definitions(true));
    plain(&mut spec);
    plain(&mut definitions);
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Blueprint",
        "description": "How one CRM product is run by Tenantry.",
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": {
            "apiVersion": {"const": format!("{GROUP}/{VERSION}")},
            "kind": {"const": "Blueprint"},
            "metadata": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {
                        "description": "Name of the product, lower-case letters, digits and hyphens.",
                        "type": "string", "minLength": 1, "maxLength": 40,
                        "pattern": "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
                    },
                    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                    "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
                },
            },
            "spec": spec,
        },
        "additionalProperties": false,
        "definitions": definitions,
    })
}

/// Removes what only the API server reads.
fn plain(value: &mut Value) {
    match value {
        Value::Object(map) => {
            let kept: Map<String, Value> =
                std::mem::take(map).into_iter().filter(|(key, _)| !key.starts_with("x-kubernetes-")).collect();
            *map = kept;
            map.values_mut().for_each(plain);
        }
        Value::Array(all) => all.iter_mut().for_each(plain),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(file: &Value) -> Vec<String> {
        let validator = jsonschema::draft7::new(&schema()).unwrap();
        validator.iter_errors(file).map(|e| format!("{}: {e}", e.instance_path())).collect()
    }

    fn tryton() -> Value {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests/blueprints/tryton.yaml");
        tenantry_core::yaml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    #[test]
    fn the_blueprint_of_tryton_is_valid_by_the_schema_for_editors() {
        assert_eq!(problems(&tryton()), Vec::<String>::new());
    }

    #[test]
    fn an_editor_would_mark_slips_of_the_hand() {
        for (pointer, value) in [
            ("/spec/processes/0/port", json!("eight thousand")),
            ("/spec/processes/0/strategy", json!("sometimes")),
            ("/spec/releases", json!([])),
            ("/kind", json!("Blueprnt")),
            ("/spec/verify/steps/0", json!({"name": "x", "pth": "/"})),
        ] {
            let mut wrong = tryton();
            *wrong.pointer_mut(pointer).unwrap() = value;
            assert!(!problems(&wrong).is_empty(), "{pointer}");
        }
    }

    #[test]
    fn descriptions_are_kept_and_rules_of_the_api_server_are_not() {
        let text = schema().to_string();
        assert!(text.contains("Processes that run all the time.") && text.contains("Port it listens on."));
        assert!(!text.contains("x-kubernetes-"));
    }
}
