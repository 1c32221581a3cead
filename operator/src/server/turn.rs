//! Whether the pod of a managed database server may be replaced now, after a change that is not the server's own.
//! Servers are replaced one after the other, because all CRMs on a server are away while its pod is recreated. Does I/O
//! (Kubernetes).
//!
//! The StatefulSets themselves are asked, so that no crash and no second operator loses the answer: the status of a
//! StatefulSet shows that its pod is being replaced until the new pod is ready. A server that does not come back holds
//! up the others. That is right, because what broke it would break the others too.

use k8s_openapi::api::apps::v1::StatefulSet;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use tenantry_api::database_server::DatabaseServer;
use tenantry_core::names::{LABEL_DATABASE_SERVER, LABEL_MANAGED_BY, LABEL_PURPOSE, MANAGED_BY};
use tenantry_plan::Child;
use tenantry_plan::child::is_applied;
use tenantry_plan::server::object_name;

use crate::context::Ctx;
use crate::error::{Error, Result};

/// Applies a server's StatefulSet, unless that would replace a serving pod while the pod of another server is being
/// replaced. Returns the server that it waits for.
///
/// # Errors
/// [`Error::Kube`].
pub async fn apply(ctx: &Ctx, object: &DatabaseServer, child: &Child) -> Result<Option<String>> {
    let seen = object.status.as_ref().and_then(|s| s.observed_generation);
    // A change of the server's own spec is what a person wants for this server, and never waits.
    let is_own = seen.is_none() || seen != object.metadata.generation;
    if is_own || ctx.memory.children.knows(child) {
        ctx.apply(child).await?;
        return Ok(None);
    }
    // Held until the StatefulSet is applied: otherwise two servers that look at the same time would both find no other
    // server under way.
    let _one = ctx.exchange.lock().await;
    let api: Api<StatefulSet> = Api::namespaced(ctx.client.clone(), &ctx.system_namespace);
    let selector = format!("{LABEL_MANAGED_BY}={MANAGED_BY},{LABEL_PURPOSE}=database-server");
    let all = api.list(&ListParams::default().labels(&selector)).await.map_err(Error::kube("list StatefulSets"))?;
    if let Some(other) = waits_for(child, &object_name(&object.name_any()), &all.items)? {
        return Ok(Some(other));
    }
    ctx.apply(child).await?;
    Ok(None)
}

/// The server whose pod is being replaced, if the server of this name must wait for that.
fn waits_for(child: &Child, name: &str, all: &[StatefulSet]) -> Result<Option<String>> {
    let Some(live) = all.iter().find(|set| set.name_any() == name) else { return Ok(None) };
    if !serves(live) || is_same(child, live)? {
        return Ok(None);
    }
    let other = all.iter().find(|set| set.name_any() != name && is_exchanged(set));
    let server = |set: &StatefulSet| set.labels().get(LABEL_DATABASE_SERVER).cloned().unwrap_or_else(|| set.name_any());
    Ok(other.map(server))
}

fn serves(set: &StatefulSet) -> bool {
    set.status.as_ref().and_then(|s| s.ready_replicas).unwrap_or(0) > 0
}

/// Whether the pod has another revision than it should have, or is not known to have the newest revision.
fn is_exchanged(set: &StatefulSet) -> bool {
    let Some(status) = &set.status else { return true };
    let wanted = set.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1);
    wanted > 0
        && (status.observed_generation != set.metadata.generation || status.current_revision != status.update_revision)
}

/// Whether an apply would leave the pod as it is. A different number of replicas does not count.
fn is_same(child: &Child, live: &StatefulSet) -> Result<bool> {
    let mut child = child.clone();
    let replicas = live.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1);
    if let Some(number) = child.object.pointer_mut("/spec/replicas") {
        *number = replicas.into();
    }
    Ok(is_applied(&child, &serde_json::to_value(live)?))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tenantry_plan::Kind;
    use tenantry_plan::labels::Labels;

    use super::*;

    fn set(name: &str, image: &str, status: &Value) -> StatefulSet {
        serde_json::from_value(json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet",
            "metadata": { "name": object_name(name), "generation": 2, "labels": Labels::managed().and(LABEL_DATABASE_SERVER, name).to_map() },
            "spec": { "replicas": 1, "serviceName": name, "selector": {}, "template": { "spec": { "containers": [{ "name": "db", "image": image }] } } },
            "status": status,
        }))
        .unwrap()
    }

    fn wants(name: &str, image: &str) -> Child {
        let rest = json!({ "spec": { "replicas": 1, "template": { "spec": { "containers": [{ "name": "db", "image": image }] } } } });
        let labels = Labels::managed().and(LABEL_DATABASE_SERVER, name);
        Child::new(Kind::StatefulSet, None, &object_name(name), &labels, rest)
    }

    #[test]
    fn one_server_after_the_other_is_exchanged_and_who_is_away_waits_for_nobody() {
        let status = |ready: i32, generation: i64, current: &str| json!({ "replicas": 1, "readyReplicas": ready, "observedGeneration": generation, "currentRevision": current, "updateRevision": "b" });
        let rests = || status(1, 2, "b");
        let asked = |child: &Child, all: &[StatefulSet]| waits_for(child, &object_name("a"), all).unwrap();
        let (a, new) = (set("a", "old", &rests()), wants("a", "new"));
        assert_eq!(asked(&new, &[a.clone(), set("b", "old", &rests())]), None);
        for under_way in [status(0, 2, "a"), status(1, 2, "a"), status(1, 1, "b")] {
            let all = [a.clone(), set("b", "new", &under_way)];
            assert_eq!(asked(&new, &all).as_deref(), Some("b"), "{under_way}");
            assert_eq!(asked(&wants("a", "old"), &all), None, "nothing of it would be exchanged");
            let away = [set("a", "old", &status(0, 2, "b")), set("b", "new", &under_way)];
            assert_eq!(asked(&new, &away), None, "nobody works on it, and the change may be what brings it back");
        }
        assert_eq!(asked(&new, &[a.clone(), set("b", "old", &status(0, 2, "b"))]), None, "away, and not exchanged");
        assert_eq!(asked(&new, &[]), None, "there is none yet");
    }
}
