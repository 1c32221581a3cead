//! Settings that are secret are not shown, in no format. No I/O.

use serde_json::Value;
use tenantry_api::blueprint::BlueprintSpec;
use tenantry_api::crm_instance::CrmInstance;

/// What stands for a value that is not shown.
pub const DOTS: &str = "•••";

/// Whether a value in the spec may be shown: only when the blueprint is known and says that it is no secret.
pub fn is_open(name: &str, blueprint: Option<&BlueprintSpec>) -> bool {
    blueprint.and_then(|b| b.settings.get(name)).is_some_and(|s| !s.secret)
}

/// Every setting of an instance's spec, with the part of its value that may be shown.
pub fn lines(instance: &CrmInstance, blueprint: Option<&BlueprintSpec>) -> Vec<(String, String)> {
    let plain = instance.spec.settings.iter().map(|(name, value)| {
        let shown = if value.is_empty() || is_open(name, blueprint) { value.clone() } else { DOTS.to_owned() };
        (name.clone(), shown)
    });
    let from = instance.spec.settings_from.iter();
    let from = from.map(|(name, s)| (name.clone(), format!("(Secret {}, key {})", s.secret, s.key)));
    let mut all: Vec<(String, String)> = plain.chain(from).collect();
    all.sort();
    all
}

/// Removes the values that may not be shown. Unlike a page, a document must not hold dots: they would be taken for a
/// value and written back.
pub fn strip(instance: &mut CrmInstance, blueprint: Option<&BlueprintSpec>) {
    instance.spec.settings.retain(|name, value| value.is_empty() || is_open(name, blueprint));
}

/// Hides values in an instance before and after a change: only whether they differ is shown.
pub fn mask(before: &mut Option<Value>, after: &mut Value, blueprint: Option<&BlueprintSpec>) {
    let settings = |object: &Value| object.pointer("/spec/settings").and_then(Value::as_object).cloned();
    let was = before.as_ref().and_then(settings).unwrap_or_default();
    let cover = |object: &mut Value, changed: &str| {
        let Some(Value::Object(map)) = object.pointer_mut("/spec/settings") else { return };
        for (name, value) in map.iter_mut().filter(|(name, _)| !is_open(name, blueprint)) {
            let same = was.get(name).is_none_or(|old| *old == *value);
            *value = if same { "(hidden)" } else { changed }.into();
        }
    };
    cover(after, "(hidden, changed)");
    if let Some(before) = before {
        cover(before, "(hidden)");
    }
}
