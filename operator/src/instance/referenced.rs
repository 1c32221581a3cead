//! Settings whose values lie in Secrets: read at every pass, never kept. Does I/O (Kubernetes).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret as KubeSecret;
use kube::ResourceExt;
use kube::api::Api;
use tenantry_api::condition::ConditionType;
use tenantry_api::crm_instance::CrmInstance;
use tenantry_api::tenant::Tenant;
use tenantry_core::class::ErrorClass;
use tenantry_core::id::Id;
use tenantry_core::names;
use tenantry_core::secret::Secret;
use tenantry_plan::instance::usable;

use crate::context::Ctx;
use crate::error::Error;
use crate::halt::Halt;

/// How often the Secrets of settings are looked at: they are not watched, so that the operator need not be allowed to
/// read all Secrets.
pub const EVERY: Duration = Duration::from_secs(300);

/// Values by setting, and the versions of the Secrets that they came from.
#[derive(Debug, Default)]
pub struct Referenced {
    /// Values.
    pub values: BTreeMap<String, Secret>,
    /// Versions of the Secrets, for the fingerprint.
    pub versions: String,
}

/// Reads the Secrets of an instance's settings.
///
/// # Errors
/// [`Halt`] at `SpecValid` naming Secret, key and the command that writes it.
pub async fn read(ctx: &Ctx, instance: &CrmInstance, tenant: &Tenant) -> Result<Referenced, Halt> {
    let mut all = Referenced::default();
    let (spec, namespace) = (&instance.spec, instance.namespace().unwrap_or_default());
    let home = tenant.spec.id.as_deref().and_then(|id| Id::parse(id).ok()).map(|id| names::namespace(&id));
    if spec.settings_from.is_empty() || home.as_deref() != Some(namespace.as_str()) {
        // An instance outside its tenant's namespace is refused later, and the operator's own Secrets are not for it to
        // read.
        return Ok(all);
    }
    let api: Api<KubeSecret> = Api::namespaced(ctx.client.clone(), &namespace);
    let address = format!("{}/{}", spec.tenant, instance.name_any());
    let mut secrets = BTreeMap::new();
    for name in sources(instance) {
        let found = api.get_opt(name).await;
        let found = found.map_err(|e| {
            Halt::at(ConditionType::SpecValid)(Error::kube(format!("get Secret {namespace}/{name}"))(e))
        })?;
        all.versions.push_str(&version(name, found.as_ref().map(|s| &s.metadata)));
        secrets.insert(name, found);
    }
    for (setting, source) in &spec.settings_from {
        let (name, key) = (source.secret.as_str(), source.key.as_str());
        let remedy = format!(
            "What runs goes on as it is. `tenantry instance settings set {address} --from-stdin {setting}` writes it"
        );
        let missing = |what: &str| {
            let text =
                format!("setting {setting} comes from key {key:?} of Secret {namespace}/{name}, {what}. {remedy}");
            Halt::fail(ConditionType::SpecValid, "SecretMissing", text, ErrorClass::Blocked)
        };
        let Some(secret) = secrets.get(name).and_then(Option::as_ref) else {
            return Err(missing("which does not exist"));
        };
        usable(secret, spec.id.as_deref().unwrap_or_default()).map_err(|why| {
            let text = format!("setting {setting} may not come from Secret {namespace}/{name}: {why}. {remedy}");
            Halt::fail(ConditionType::SpecValid, "SecretRefused", text, ErrorClass::Blocked)
        })?;
        let value = secret.data.as_ref().and_then(|d| d.get(key)).ok_or_else(|| missing("which has no such key"))?;
        let text = String::from_utf8(value.0.clone()).map_err(|_| missing("whose value is not text (UTF-8)"))?;
        all.values.insert(setting.clone(), Secret::new(text));
    }
    Ok(all)
}

/// The versions of the Secrets of an instance's settings, without reading their content. A Secret that cannot be looked
/// at gets a version that was not seen before, so that a whole pass is made, which reports why.
pub async fn versions(ctx: &Ctx, instance: &CrmInstance) -> String {
    let api: Api<KubeSecret> = Api::namespaced(ctx.client.clone(), &instance.namespace().unwrap_or_default());
    let mut all = String::new();
    for name in sources(instance) {
        match api.get_metadata_opt(name).await {
            Ok(found) => all.push_str(&version(name, found.as_ref().map(|s| &s.metadata))),
            Err(_) => all.push_str("unknown "),
        }
    }
    all
}

fn sources(instance: &CrmInstance) -> BTreeSet<&str> {
    instance.spec.settings_from.values().map(|s| s.secret.as_str()).collect()
}

fn version(name: &str, meta: Option<&kube::api::ObjectMeta>) -> String {
    let uid = meta.and_then(|m| m.uid.as_deref()).unwrap_or("none");
    let version = meta.and_then(|m| m.resource_version.as_deref()).unwrap_or_default();
    format!("{name}={uid}/{version} ")
}
