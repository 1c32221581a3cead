//! The watch of host claims: whoever waits for a host hears when it is free. Does I/O (Kubernetes).

use std::sync::Arc;

use futures::StreamExt;
use kube::ResourceExt;
use kube::api::{Api, DynamicObject};
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use tenantry_api::crm_instance::CrmInstance;
use tenantry_core::names;
use tenantry_plan::Kind;

use super::health::Health;
use super::watches::Wake;
use crate::context::Ctx;

/// Starts the watch. Of all ConfigMaps in the operator's namespace it sees the claims only.
pub fn watch(ctx: &Arc<Ctx>, wake: &Wake, health: &Arc<Health>) {
    let kind = Kind::ConfigMap;
    let api: Api<PartialObjectMeta<DynamicObject>> =
        Api::namespaced_with(ctx.client.clone(), &ctx.system_namespace, &kind.api());
    let config = watcher::Config::default().labels(&format!("{}=host-claim", names::LABEL_PURPOSE));
    let stream = watcher::watcher(api, config).default_backoff();
    let (ctx, wake, health) = (ctx.clone(), wake.clone(), health.clone());
    tokio::spawn(async move {
        let mut first = true;
        let mut stream = std::pin::pin!(stream);
        while let Some(event) = stream.next().await {
            health.watch(&kind.api().plural, event.is_ok());
            match event {
                Ok(Event::Init) if !first => ctx.memory.forget_kind(kind),
                // Every instance is looked at when the process starts: what is claimed already is no news.
                Ok(Event::Init | Event::InitApply(_)) => {}
                Ok(Event::InitDone) => {
                    if !first {
                        wake.all(&ctx);
                    }
                    first = false;
                }
                Ok(Event::Apply(claim)) => {
                    if ctx.memory.observe(kind, &claim.metadata, false) {
                        wake.owner(&ctx, &claim.metadata);
                    }
                }
                Ok(Event::Delete(claim)) => {
                    ctx.memory.observe(kind, &claim.metadata, true);
                    let name = claim.name_any();
                    wake.instances_where(&ctx, |i| wants(i, &name));
                }
                Err(error) => tracing::warn!(%error, "the watch of host claims failed; it is renewed"),
            }
        }
    });
}

/// Whether an instance wants the host of a claim: who had it, and who was refused.
fn wants(instance: &CrmInstance, claim: &str) -> bool {
    names::host_claim(&instance.spec.host) == claim
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
    }
}
