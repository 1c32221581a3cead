//! What values do to the settings of an instance, and the objects that carry them. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube::ResourceExt;
use serde_json::{Map, Value, json};
use tenantry_api::blueprint::BlueprintSpec;
use tenantry_api::condition::find;
use tenantry_api::crm_instance::CrmInstance;
use tenantry_core::names;
use tenantry_core::secret::Secret;
use tenantry_plan::instance::{SETTINGS_PURPOSE, VALUE_MAX};
use tenantry_plan::made_with::{CONDITION, fields_only_personalise, only_personalise};

use crate::error::{Problem, near};
use crate::target::address_of;

/// A value, and whether it stood on the command line, where everybody could read it.
#[derive(Debug, Clone)]
pub struct Given {
    value: Secret,
    on_command_line: bool,
}

impl Given {
    /// A value, from a command line or not.
    pub fn new(value: Secret, on_command_line: bool) -> Self {
        Self { value, on_command_line }
    }
}

/// What is done to the settings of one instance: values for the spec, values for its Secret, settings that go back to
/// their defaults.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Values for the spec.
    pub plain: BTreeMap<String, String>,
    /// Values for the Secret.
    pub secret: BTreeMap<String, Secret>,
    /// Settings that go back to the blueprint's default.
    pub gone: BTreeSet<String>,
}

impl Change {
    /// The settings that this change touches.
    pub fn keys(&self) -> impl Iterator<Item = &String> {
        self.plain.keys().chain(self.secret.keys()).chain(&self.gone)
    }
}

/// Refuses a key that the blueprint does not have.
pub fn known(instance: &CrmInstance, blueprint: &BlueprintSpec, key: &str) -> Result<(), Problem> {
    if blueprint.settings.contains_key(key) {
        return Ok(());
    }
    let all = blueprint.settings.keys().cloned().collect();
    let word = format!("setting of {}", address_of(instance));
    Err(near::missing(&word, key, all, &format!("instance settings {}", address_of(instance))))
}

/// Refuses a setting that would have no effect: only `personalise` uses it, which ran when the instance was created.
pub fn reaches(instance: &CrmInstance, blueprint: &BlueprintSpec, key: &str) -> Result<(), Problem> {
    if only_personalise(blueprint).contains(key) { refuse_once(instance, &format!("setting {key}")) } else { Ok(()) }
}

/// Refuses a field, such as `instance.admin_email`, for the same reason; messages call the field `word`.
pub fn field_reaches(
    instance: &CrmInstance,
    blueprint: &BlueprintSpec,
    field: &str,
    word: &str,
) -> Result<(), Problem> {
    if fields_only_personalise(blueprint).contains(&field) { refuse_once(instance, word) } else { Ok(()) }
}

fn refuse_once(instance: &CrmInstance, what: &str) -> Result<(), Problem> {
    let made = instance.status.as_ref().is_some_and(|s| s.installed_at.is_some());
    // A value that was changed in another way may be put back.
    let differs = instance.status.as_ref().is_some_and(|s| find(&s.conditions, CONDITION).is_some());
    if !made || differs {
        return Ok(());
    }
    let address = address_of(instance);
    Err(Problem::refused(format!("{what} of {address} is used only when an instance is made"))
        .safe("nothing was changed")
        .why(format!(
            "only personalise of blueprint {} uses it; it is not run again, for it would take away what people changed since",
            instance.spec.blueprint
        ))
        .next("change it inside the CRM", format!("instance open {address}")))
}

/// The change that values make to an instance: secret values go into its Secret, and are refused on a command line.
pub fn change(
    instance: &CrmInstance,
    blueprint: &BlueprintSpec,
    given: &BTreeMap<String, Given>,
) -> Result<Change, Problem> {
    let (mut change, address) = (Change::default(), address_of(instance));
    for (key, Given { value, on_command_line }) in given {
        known(instance, blueprint, key)?;
        let Some(setting) = blueprint.settings.get(key) else { continue };
        if setting.secret && *on_command_line {
            return Err(on_a_command_line(key)
                .next("ask for it", format!("instance settings set {address} --from-stdin {key}"))
                .next("or from a file", format!("instance settings set {address} --from-file {key}=PATH")));
        }
        if value.reveal().chars().count() > VALUE_MAX {
            return Err(Problem::usage(format!("{key} is longer than {VALUE_MAX} characters")));
        }
        let fits = setting.pattern.as_ref().map(|p| (p, tenantry_core::pattern::matches_whole(p, value.reveal())));
        if let Some((pattern, Ok(false))) = fits {
            return Err(Problem::usage(format!("the value of {key} does not match {pattern}"))
                .safe("nothing was changed")
                .why(setting.description.clone().unwrap_or_default())
                .next("", format!("instance settings {address}")));
        }
        if setting.secret {
            change.secret.insert(key.clone(), value.clone());
        } else {
            change.plain.insert(key.clone(), value.reveal().to_owned());
        }
    }
    Ok(change)
}

/// The refusal of a secret on a command line, where others see it and shells keep it.
pub fn on_a_command_line(key: &str) -> Problem {
    Problem::refused(format!("setting {key} is a secret and may not stand on a command line"))
        .safe("nothing was changed; but whoever may look at your processes or your shell's history may have seen it")
}

/// The change of the spec as a merge patch.
pub fn patch_of(instance: &CrmInstance, change: &Change, secret: &str, revision: &str) -> Value {
    let (mut plain, mut from) = (Map::new(), Map::new());
    for (key, value) in &change.plain {
        plain.insert(key.clone(), value.clone().into());
    }
    for key in change.secret.keys() {
        from.insert(key.clone(), json!({ "secret": secret, "key": key, "revision": revision }));
    }
    // Null removes a key. For a key that does not exist, null would only leave an empty map.
    for key in change.gone.iter().chain(change.secret.keys()).filter(|k| instance.spec.settings.contains_key(*k)) {
        plain.insert(key.clone(), Value::Null);
    }
    for key in change.gone.iter().chain(change.plain.keys()).filter(|k| instance.spec.settings_from.contains_key(*k)) {
        from.insert(key.clone(), Value::Null);
    }
    let mut spec = Map::new();
    for (field, map) in [("settings", plain), ("settingsFrom", from)] {
        if !map.is_empty() {
            spec.insert(field.to_owned(), Value::Object(map));
        }
    }
    Value::Object(spec)
}

/// The Secret, with the labels by which it is removed when the instance's data is purged.
pub fn secret_object(instance: &CrmInstance, name: &str, values: &BTreeMap<String, Secret>) -> Value {
    let data: Map<String, Value> =
        values.iter().map(|(key, v)| (key.clone(), STANDARD.encode(v.reveal()).into())).collect();
    let mut labels = json!({
        names::LABEL_INSTANCE_ID: instance.spec.id,
        names::LABEL_INSTANCE: instance.name_any(),
        names::LABEL_TENANT: instance.spec.tenant,
        names::LABEL_PURPOSE: SETTINGS_PURPOSE,
    });
    if let Some(tenant) = instance.labels().get(names::LABEL_TENANT_ID) {
        labels[names::LABEL_TENANT_ID] = tenant.clone().into();
    }
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": { "name": name, "labels": labels },
        "data": data,
    })
}
