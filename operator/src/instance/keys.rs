//! Keys of an instance: made once, kept with its data, never overwritten. Does I/O (Kubernetes).

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{Api, Patch};
use serde_json::json;
use tenantry_api::condition::ConditionType;
use tenantry_core::class::ErrorClass;
use tenantry_core::names;
use tenantry_plan::context::Keys;
use tenantry_plan::instance::{Wanted, build_keys_secret, keys_of};

use super::pass::Pass;
use crate::cluster::{data_of, patch_params, typed};
use crate::context::Ctx;
use crate::error::Error;
use crate::halt::{Halt, OrHalt};

/// Reads the keys, or makes them.
///
/// # Errors
/// [`Halt`] at `SpecValid`.
#[tracing::instrument(target = "tenantry::trace", level = "debug", name = "keys", skip_all)]
pub async fn ensure(ctx: &Ctx, pass: &Pass, wanted: &Wanted) -> Result<Keys, Halt> {
    let name = names::keys_secret(&wanted.id, wanted.generation);
    let api: Api<Secret> = Api::namespaced(ctx.client.clone(), &wanted.namespace);
    let mut found: Option<Secret> = None;
    if pass.instance.status.is_some() || pass.had_data_before() {
        found = api.get_opt(&name).await.map_err(Error::kube("get the keys")).halt(ConditionType::SpecValid)?;
    }
    if found.is_none() && !pass.had_data_before() {
        let keys = generate(ctx, wanted).halt(ConditionType::SpecValid)?;
        // The first writer wins: the stored keys count.
        let stored = ctx.create_once(&build_keys_secret(wanted, &keys)).await.halt(ConditionType::SpecValid)?;
        found = Some(typed(&stored).halt(ConditionType::SpecValid)?);
    }
    let there = found.is_some();
    let data = data_of(found.as_ref().and_then(|s| s.data.as_ref()));
    let missing = missing(wanted, &data);
    match keys_of(&data) {
        Some(keys) if missing.is_empty() => {
            // A Secret that lacks keys stays mutable, so that a person can put them back.
            if let Some(open) = found.as_ref().filter(|s| s.immutable != Some(true)) {
                close(&api, open).await.halt(ConditionType::SpecValid)?;
            }
            Ok(keys)
        }
        _ => Err(lost(pass, wanted, there, &missing)),
    }
}

/// Keys that the Secret should have and lacks.
fn missing(wanted: &Wanted, data: &std::collections::BTreeMap<String, String>) -> Vec<String> {
    let own = wanted.release.spec.secrets.iter().map(|s| format!("secret.{}", s.name));
    let all = std::iter::once("admin-password".to_owned()).chain(own);
    all.filter(|key| !data.contains_key(key)).collect()
}

/// The halt that says which keys are missing and how to restore them.
fn lost(pass: &Pass, wanted: &Wanted, there: bool, missing: &[String]) -> Halt {
    let name = names::keys_secret(&wanted.id, wanted.generation);
    let keys = missing.join(", ");
    let what = if there { format!("lacks {keys}") } else { format!("is missing; its keys are {keys}") };
    let place = pass.instance.annotations().get(names::ANNOTATION_TAKEN_OVER).and_then(|p| p.split_once('/'));
    let data = place.map(|(server, database)| format!(" The data is safe: database {database} on {server}."));
    let text = format!(
        "Secret {}/{name} with this instance's keys {what}. They are not made anew, for the application could not read its own data.{} Restore the Secret from your backup (kubectl apply -f), and the instance goes on; without a backup see docs, guide \"When a cluster is lost\"",
        wanted.namespace,
        data.unwrap_or_default(),
    );
    Halt::fail(ConditionType::SpecValid, "KeysMissing", text, ErrorClass::Blocked)
}

/// Makes the Secret immutable. Keys that an older version made could be changed by mistake, after which the application
/// could not read its own data. Only the keys that were read are closed: a Secret that somebody changed meanwhile is
/// looked at again.
async fn close(api: &Api<Secret>, open: &Secret) -> crate::error::Result<()> {
    let version = open.metadata.resource_version.as_deref();
    let closed = json!({ "metadata": { "resourceVersion": version }, "immutable": true });
    let name = open.metadata.name.as_deref().unwrap_or_default();
    let patched = api.patch(name, &patch_params(), &Patch::Merge(&closed)).await;
    patched.map(|_| ()).map_err(Error::kube("make the keys immutable"))
}

fn generate(ctx: &Ctx, wanted: &Wanted) -> crate::error::Result<Keys> {
    let spec = &wanted.release.spec;
    let mut secrets = std::collections::BTreeMap::new();
    for secret in &spec.secrets {
        secrets.insert(secret.name.clone(), ctx.password(usize::from(secret.length))?);
    }
    Ok(Keys { admin_password: ctx.password(usize::from(spec.admin.password_length))?, secrets })
}
