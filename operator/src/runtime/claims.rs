//! The watch of claims: it wakes instances that wait for a host when the host is free, and a claim that somebody
//! deleted is recreated. Does I/O (Kubernetes).

use std::sync::Arc;

use kube::api::{Api, ObjectMeta};
use kube::runtime::watcher;
use tenantry_api::crm_instance::CrmInstance;
use tenantry_core::id::Id;
use tenantry_core::names;
use tenantry_plan::Kind;

use super::health::Health;
use super::watches::{Told, Wake, Watch, follow};
use crate::context::Ctx;

/// Starts the watch. Among the ConfigMaps in the operator's namespace it sees only the claims.
pub fn watch(ctx: &Arc<Ctx>, wake: &Wake, health: &Arc<Health>) {
    let kind = Kind::ConfigMap;
    let api = Api::namespaced_with(ctx.client.clone(), &ctx.system_namespace, &kind.api());
    let config = watcher::Config::default().labels(&format!("{} in (host-claim, id-claim)", names::LABEL_PURPOSE));
    let (c, w) = (ctx.clone(), wake.clone());
    let each = move |told: Told<'_>| match told {
        // Every instance is looked at when the process starts: claims that exist already are no news.
        Told::Listed(_) => {}
        Told::Changed(claim) => {
            if c.memory.children.observe(kind, claim, false) {
                w.owner(&c, claim);
            }
        }
        Told::Gone(claim) => {
            c.memory.children.observe(kind, claim, true);
            let name = claim.name.as_deref().unwrap_or_default();
            // An object that is being archived gives its claim back itself.
            let stays = |meta: &ObjectMeta| meta.deletion_timestamp.is_none();
            w.instances_where(&c, |i| wants(i, name) || (stays(&i.metadata) && carries(i.spec.id.as_deref(), name)));
            w.tenants_where(|t| stays(&t.metadata) && carries(t.spec.id.as_deref(), name));
        }
    };
    follow(ctx, wake, health, Watch { kind, api, config, whole: false }, each);
}

/// Whether an instance wants the host of a claim: the instance that had the host, and the instances that were refused.
fn wants(instance: &CrmInstance, claim: &str) -> bool {
    names::host_claim(&instance.spec.host) == claim
}

/// Whether a claim is the claim of an object's id.
fn carries(id: Option<&str>, claim: &str) -> bool {
    id.and_then(|id| Id::parse(id).ok()).is_some_and(|id| names::id_claim(&id) == claim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_is_free_concerns_those_who_want_it() {
        let instance: CrmInstance = serde_json::from_value(serde_json::json!({
            "apiVersion": "tenantry.dev/v1alpha1", "kind": "CrmInstance",
            "metadata": { "name": "crm", "namespace": "tenant-abcdefghij" },
            "spec": { "tenant": "acme", "blueprint": "tryton", "host": "crm.acme.example" },
        }))
        .unwrap();
        assert!(wants(&instance, "host.crm.acme.example"));
        assert!(!wants(&instance, "host.crm.beta.example"));
        assert!(carries(Some("kabcdefghi"), "id.kabcdefghi"));
        assert!(!carries(Some("kabcdefghi"), "id.kabcdefghj") && !carries(None, "id.kabcdefghi"));
    }
}
