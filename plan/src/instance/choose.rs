//! The settings of an instance: read from its spec and from Secrets, checked, completed with defaults. No I/O.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret as KubeSecret;
use tenantry_api::blueprint::{BlueprintSpec, Effective};
use tenantry_api::crm_instance::CrmInstanceSpec;
use tenantry_core::names::{LABEL_INSTANCE_ID, LABEL_MANAGED_BY, LABEL_PURPOSE, MANAGED_BY};
use tenantry_core::secret::Secret;

use crate::PlanError;

/// Longest value of a setting in characters, in the spec as well as in a Secret.
pub const VALUE_MAX: usize = 1_000;
/// Purpose of the Secret with an instance's secret settings.
pub const PURPOSE: &str = "settings";

/// The settings that an instance gives, from its spec and from Secrets. Each value comes with its field in the spec,
/// for messages.
pub(super) fn given(
    spec: &CrmInstanceSpec,
    referenced: &BTreeMap<String, Secret>,
) -> Result<BTreeMap<String, (String, String)>, PlanError> {
    let mut all: BTreeMap<String, (String, String)> =
        spec.settings.iter().map(|(name, v)| (name.clone(), (format!("spec.settings.{name}"), v.clone()))).collect();
    for (name, source) in &spec.settings_from {
        let field = format!("spec.settingsFrom.{name}");
        let value = referenced.get(name).ok_or_else(|| {
            PlanError::Blocked(format!("{field}: Secret {:?} with key {:?} was not read", source.secret, source.key))
        })?;
        if value.reveal().chars().count() > VALUE_MAX {
            let text = format!("the value in Secret {:?} is longer than {VALUE_MAX} characters", source.secret);
            return Err(PlanError::invalid(field, text));
        }
        all.insert(name.clone(), (field, value.reveal().to_owned()));
    }
    Ok(all)
}

/// The values of all settings that the blueprint offers. `address` is used in messages.
pub(super) fn chosen(
    given: &BTreeMap<String, (String, String)>,
    release: &Effective,
    address: &str,
) -> Result<BTreeMap<String, String>, PlanError> {
    let offered = &release.spec.settings;
    if let Some((_, (field, _))) = given.iter().find(|(name, _)| !offered.contains_key(*name)) {
        let known: Vec<_> = offered.keys().map(String::as_str).collect();
        return Err(PlanError::invalid(
            field.clone(),
            format!("blueprint {:?} has no such setting; it offers: {}", release.blueprint, known.join(", ")),
        ));
    }
    let mut all = BTreeMap::new();
    for (name, setting) in offered {
        let (field, value) = match (given.get(name), &setting.default) {
            (Some((field, value)), _) => (field.clone(), value.clone()),
            (None, Some(default)) => (format!("spec.settings.{name}"), default.clone()),
            (None, None) if setting.secret => {
                return Err(PlanError::Blocked(format!(
                    "setting {name} must be given: `tenantry instance settings set {address} --from-stdin {name}`"
                )));
            }
            (None, None) => {
                return Err(PlanError::invalid(
                    format!("spec.settings.{name}"),
                    format!("this setting must be given: `tenantry instance settings set {address} {name}=VALUE`"),
                ));
            }
        };
        if let Some(pattern) = &setting.pattern {
            let fits = tenantry_core::pattern::matches_whole(pattern, &value)
                .map_err(|e| PlanError::invalid(field.as_str(), format!("the blueprint's pattern is wrong: {e}")))?;
            if !fits {
                return Err(PlanError::invalid(field, format!("the value does not match {pattern}")));
            }
        }
        all.insert(name.clone(), value);
    }
    Ok(all)
}

/// Settings that the blueprint declares as secret but whose values are in the spec, where everybody who may read the
/// instance sees them.
#[must_use]
pub fn in_the_open<'a>(spec: &'a CrmInstanceSpec, blueprint: &BlueprintSpec) -> Vec<&'a str> {
    let secret = |name: &&String| blueprint.settings.get(*name).is_some_and(|s| s.secret);
    let filled = spec.settings.iter().filter(|(_, value)| !value.is_empty()).map(|(name, _)| name);
    filled.filter(secret).map(String::as_str).collect()
}

/// Whether a Secret may be a source of settings of an instance. Otherwise a person who may write an instance could make
/// the operator reveal what that person may not read: another instance's settings, keys, the log-in of the database,
/// tokens.
///
/// # Errors
/// The reason why the Secret may not be used.
pub fn usable(secret: &KubeSecret, instance: &str) -> Result<(), String> {
    let labels = secret.metadata.labels.clone().unwrap_or_default();
    let label = |key: &str| labels.get(key).map(String::as_str);
    let kind = secret.type_.as_deref().unwrap_or("Opaque");
    if !matches!(kind, "Opaque" | "kubernetes.io/basic-auth") {
        return Err(format!("it is of type {kind}; settings come from Opaque ones only"));
    }
    if label(LABEL_INSTANCE_ID).is_some_and(|id| id != instance) {
        return Err("it belongs to another instance".into());
    }
    let purpose = label(LABEL_PURPOSE);
    if purpose.map_or(label(LABEL_MANAGED_BY) == Some(MANAGED_BY), |p| p != PURPOSE) {
        return Err("it is one of Tenantry's own, which hold keys and passwords".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn secret(kind: &str, labels: Value) -> KubeSecret {
        serde_json::from_value(json!({ "type": kind, "metadata": { "name": "s", "labels": labels } })).unwrap()
    }

    #[test]
    fn only_secrets_that_hold_nothing_of_tenantrys_own_are_sources_of_settings() {
        let mine = "kkkkkkkkkk";
        for (kind, labels, fits) in [
            ("Opaque", json!({}), true),
            ("kubernetes.io/basic-auth", json!({}), true),
            ("Opaque", json!({ LABEL_INSTANCE_ID: mine, LABEL_PURPOSE: PURPOSE }), true),
            ("Opaque", json!({ LABEL_INSTANCE_ID: "bbbbbbbbbb", LABEL_PURPOSE: PURPOSE }), false),
            ("Opaque", json!({ LABEL_INSTANCE_ID: mine, LABEL_PURPOSE: "keys" }), false),
            ("Opaque", json!({ LABEL_INSTANCE_ID: mine, LABEL_PURPOSE: "database" }), false),
            ("Opaque", json!({ LABEL_MANAGED_BY: MANAGED_BY }), false),
            ("kubernetes.io/service-account-token", json!({}), false),
            ("kubernetes.io/tls", json!({}), false),
        ] {
            assert_eq!(usable(&secret(kind, labels.clone()), mine).is_ok(), fits, "{kind} {labels}");
        }
    }
}
