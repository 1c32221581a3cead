//! Bounds of maps and rules of fields in the kinds' definitions; attributes of schemas can bound only texts and lists.
//! No I/O.

use schemars::Schema;
use serde_json::{Value, json};

/// Longest name in a map that people write, unless the map says something else.
pub const NAME: u32 = 63;

/// Bounds of a map for `#[schemars(transform = ...)]`: the maximum number of entries, the longest name and, where its
/// values are texts, the longest value. Without bounds, people could write more than fits into the objects that are
/// made from it.
pub fn map(entries: u32, name: u32, value: Option<u32>) -> impl FnMut(&mut Schema) {
    move |schema: &mut Schema| {
        schema.insert("maxProperties".into(), entries.into());
        let rule = json!([{
            "rule": format!("self.all(name, size(name) <= {name})"),
            "message": format!("a name in this map is too long: at most {name} characters"),
        }]);
        schema.insert("x-kubernetes-validations".into(), rule);
        if let (Some(longest), Some(Value::Object(values))) = (value, schema.get_mut("additionalProperties")) {
            values.insert("maxLength".into(), longest.into());
        }
    }
}

/// Rules of a field with their messages, for `#[schemars(transform = ...)]`. They are attached to the field itself, so
/// that an object that already breaks a rule can still be changed in other fields.
pub fn rules(all: &'static [(&'static str, &'static str)]) -> impl FnMut(&mut Schema) {
    move |schema: &mut Schema| {
        let rules: Vec<Value> = all.iter().map(|(rule, message)| json!({ "rule": rule, "message": message })).collect();
        schema.insert("x-kubernetes-validations".into(), rules.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_of_texts_is_bounded_in_entries_names_and_values() {
        let mut schema = schemars::json_schema!({"type": "object", "additionalProperties": {"type": "string"}});
        map(5, 63, Some(100))(&mut schema);
        let schema = schema.to_value();
        assert_eq!(schema["maxProperties"], 5);
        assert_eq!(schema["additionalProperties"]["maxLength"], 100);
        assert_eq!(schema["x-kubernetes-validations"][0]["rule"], "self.all(name, size(name) <= 63)");
    }
}
