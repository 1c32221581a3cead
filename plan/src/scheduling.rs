//! On which nodes pods run: writes what an instance or a database server asks for into its pods. No I/O.

use serde_json::{Value, json};
use tenantry_api::scheduling::Scheduling;

use crate::PlanError;

/// Node label that holds the node's name.
const HOSTNAME: &str = "kubernetes.io/hostname";

/// Writes the requested scheduling into the spec of a pod. Without a request nothing is written.
pub fn place(pod_spec: &mut Value, wish: Option<&Scheduling>) {
    let Some(wish) = wish else { return };
    if !wish.node_selector.is_empty() {
        pod_spec["nodeSelector"] = json!(wish.node_selector);
    }
    if !wish.tolerations.is_empty() {
        pod_spec["tolerations"] = json!(wish.tolerations);
    }
}

/// Makes several pods of one kind prefer different nodes. Whether this is written depends on the allowed number of pods
/// and not on the current one, so that a change of their number restarts none of them.
pub fn spread(pod_spec: &mut Value, wish: Option<&Scheduling>, selector: &Value) {
    if wish.is_none_or(|w| w.spread) {
        pod_spec["topologySpreadConstraints"] = json!([{
            "maxSkew": 1,
            "topologyKey": HOSTNAME,
            // Two pods on one node are better than one pod that cannot run anywhere.
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": { "matchLabels": selector },
        }]);
    }
}

/// Checks the labels of a request. Without this check the API server would refuse them only in the pods, long after
/// they were written.
///
/// # Errors
/// [`PlanError::Invalid`] naming the field.
pub fn check(place: &str, wish: &Scheduling) -> Result<(), PlanError> {
    for (key, value) in &wish.node_selector {
        if !is_key(key) {
            let text = "is not the name of a label: letters, digits, - _ . and at most one prefix such as example.com/";
            return Err(PlanError::invalid(format!("{place}.nodeSelector[{key}]"), text));
        }
        if !is_value(value) {
            let text = format!("{value:?} is not the value of a label: at most 63 letters, digits, - _ .");
            return Err(PlanError::invalid(format!("{place}.nodeSelector[{key}]"), text));
        }
    }
    Ok(())
}

fn is_key(key: &str) -> bool {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let is_domain = |p: &str| {
        p.len() <= 253 && p.split('.').all(|part| is_name(part, |c| c.is_ascii_lowercase() || c.is_ascii_digit(), "-"))
    };
    prefix.is_none_or(is_domain) && name.len() <= 63 && is_name(name, |c| c.is_ascii_alphanumeric(), "-_.")
}

fn is_value(value: &str) -> bool {
    value.is_empty() || (value.len() <= 63 && is_name(value, |c| c.is_ascii_alphanumeric(), "-_."))
}

/// Whether a text begins and ends with a plain character and has others only in between.
fn is_name(text: &str, plain: impl Fn(char) -> bool, between: &str) -> bool {
    let ends = |c: Option<char>| c.is_some_and(&plain);
    ends(text.chars().next()) && ends(text.chars().last()) && text.chars().all(|c| plain(c) || between.contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(value: Value) -> Scheduling {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_wish_stands_in_the_pod_and_without_one_nothing_does() {
        let mut pod = json!({});
        place(&mut pod, None);
        place(&mut pod, Some(&Scheduling::default()));
        assert_eq!(pod, json!({}));
        let tolerations = json!([{ "key": "for", "operator": "Equal", "value": "acme", "effect": "NoSchedule" }]);
        let wish = wish(json!({ "nodeSelector": { "pool": "acme" }, "tolerations": tolerations }));
        place(&mut pod, Some(&wish));
        assert_eq!(pod, json!({ "nodeSelector": { "pool": "acme" }, "tolerations": tolerations }));
    }

    #[test]
    fn pods_prefer_different_nodes_unless_that_is_not_wished() {
        let mut pod = json!({});
        spread(&mut pod, Some(&wish(json!({ "spread": false }))), &json!({}));
        assert_eq!(pod, json!({}));
        for wished in [None, Some(Scheduling::default())] {
            spread(&mut pod, wished.as_ref(), &json!({ "a": "b" }));
            let one = &pod["topologySpreadConstraints"][0];
            assert_eq!(one["whenUnsatisfiable"], "ScheduleAnyway", "one node must be enough");
            assert_eq!(one["labelSelector"]["matchLabels"], json!({ "a": "b" }));
        }
    }

    #[test]
    fn what_is_no_label_is_refused_with_its_field() {
        for (key, value, fits) in [
            ("pool", "acme", true),
            ("example.com/pool", "", true),
            ("node-role.kubernetes.io/big", "A_1.b", true),
            ("a/b/c", "x", false),
            ("-pool", "x", false),
            ("Example.com/pool", "x", false),
            ("/pool", "x", false),
            ("pool", "not a value", false),
            ("pool", "ends-", false),
        ] {
            let checked = check("spec.scheduling", &wish(json!({ "nodeSelector": { key: value } })));
            assert_eq!(checked.is_ok(), fits, "{key}={value}: {checked:?}");
            if let Err(error) = checked {
                assert!(error.to_string().contains("spec.scheduling.nodeSelector"), "{error}");
            }
        }
    }
}
