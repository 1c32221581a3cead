//! Which processes a change of the Site restarts: CRMs and database servers. Does I/O: reads, but no Secrets, because a
//! difference shows with stand-ins for them as well.

use std::collections::BTreeMap;

use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use tenantry_api::blueprint::Effective;
use tenantry_api::crm_instance::CrmInstance;
use tenantry_api::database_server::DatabaseServer;
use tenantry_api::plan::Plan;
use tenantry_api::site::Site;
use tenantry_api::tenant::Tenant;
use tenantry_core::secret::Secret as Hidden;
use tenantry_plan::instance::{Desired, Seen, Serving, data_generation, desired, validate};
use tenantry_plan::{Child, Kind, Settings, server};

use super::children::{settings_of, typed};
use super::instance::{sample_database, sample_keys};
use super::release::release;
use crate::error::Problem;
use crate::output::text::{count, some};
use crate::session::Session;
use crate::target::address_of;

/// How many names are listed.
const LISTED: usize = 12;

/// What a change of the Site restarts.
#[derive(Debug, Default, PartialEq)]
pub struct Restarts {
    /// Number of all instances.
    pub of: usize,
    /// Instances that are restarted.
    pub instances: Vec<String>,
    /// Instances for which the answer is not known.
    pub unknown: Vec<String>,
    /// Database servers that are restarted; everything that lies on them cannot be reached meanwhile.
    pub servers: Vec<String>,
    /// Most instances that restart at the same time.
    pub at_once: u32,
}

/// What a Site, as it would be stored, restarts. None means that there is no Site yet, or that its spec does not
/// change.
pub async fn of_site(session: &Session, before: Option<&Value>, after: &Value) -> Result<Option<Restarts>, Problem> {
    let Some(before) = before else { return Ok(None) };
    let (before, after): (Site, Site) = (typed(before)?, typed(after)?);
    if before.spec == after.spec {
        return Ok(None);
    }
    let at_once = after.spec.restarts_at_once;
    let (before, after) = (settings_of(session, &before).await, settings_of(session, &after).await);
    let cluster = &session.cluster;
    let instances = cluster.list(&cluster.all_instances(), "instances", None).await?;
    let tenants: BTreeMap<String, Tenant> = named(cluster.list(&cluster.tenants(), "tenants", None).await?);
    let plans: BTreeMap<String, Plan> = named(cluster.list(&cluster.plans(), "plans", None).await?);
    let servers: Api<DatabaseServer> = Api::all(cluster.client.clone());
    let servers = cluster.list(&servers, "database servers", None).await?;
    let mut releases: BTreeMap<String, Option<Effective>> = BTreeMap::new();
    let mut found = Restarts { of: instances.len(), at_once, ..Restarts::default() };
    for instance in &instances {
        let hash = instance.status.as_ref().and_then(|s| s.release_hash.clone()).unwrap_or_default();
        let key = format!("{}/{hash}", instance.spec.blueprint);
        if !releases.contains_key(&key) {
            releases.insert(key.clone(), release(session, instance).await.ok());
        }
        let release = releases.get(&key).and_then(Option::as_ref);
        let tenant = tenants.get(&instance.spec.tenant);
        let plan = tenant.and_then(|t| plans.get(&t.spec.plan));
        let differs = match (tenant, plan, release) {
            (Some(tenant), Some(plan), Some(release)) => {
                let wanted = |settings: &Settings| made(instance, tenant, plan, release, settings);
                wanted(&before).zip(wanted(&after)).map(|(b, a)| exchanges(&b.children, &a.children, Kind::Deployment))
            }
            _ => None,
        };
        match differs {
            Some(true) => found.instances.push(address_of(instance)),
            Some(false) => {}
            None => found.unknown.push(address_of(instance)),
        }
    }
    for object in servers {
        let wanted = |settings: &Settings| server::children(&object, settings, &server::Seen::default());
        if exchanges(&wanted(&before), &wanted(&after), Kind::StatefulSet) {
            found.servers.push(object.name_any());
        }
    }
    Ok(Some(found))
}

fn named<K: kube::Resource>(all: Vec<K>) -> BTreeMap<String, K> {
    all.into_iter().map(|object| (object.name_any(), object)).collect()
}

/// What the operator would make of a running instance, with stand-ins for all secrets.
fn made(
    instance: &CrmInstance,
    tenant: &Tenant,
    plan: &Plan,
    release: &Effective,
    settings: &Settings,
) -> Option<Desired> {
    let limits = tenantry_plan::limits::resolve(&tenant.spec, &plan.spec).ok()?;
    let generation = data_generation(instance);
    let stand_in = |name: &String| (name.clone(), Hidden::new("a-stand-in"));
    let referenced = instance.spec.settings_from.keys().map(stand_in).collect();
    let wanted = validate(instance, tenant, release, settings, generation, &referenced).ok()?;
    let (keys, database) = (sample_keys(&wanted), sample_database(&wanted));
    let seen = Seen { serving: Some(Serving::App), app_ready: true, verified: true, ..Seen::default() };
    desired(&wanted, settings, &limits, plan.spec.resources.as_ref(), database.as_ref(), &keys, &seen).ok()
}

/// Whether pods that should run would be replaced by other pods.
fn exchanges(before: &[Child], after: &[Child], kind: Kind) -> bool {
    let pods = |child: &Child| child.object.pointer("/spec/template").cloned();
    let rests = |child: &Child| child.object.pointer("/spec/replicas").and_then(Value::as_i64) == Some(0);
    after.iter().filter(|c| c.kind == kind && !rests(c)).any(|after| {
        let before = before.iter().find(|b| b.kind == kind && b.name == after.name);
        before.is_none_or(|before| pods(before) != pods(after))
    })
}

impl Restarts {
    /// For people.
    pub fn text(&self) -> String {
        let mut lines = vec![match self.instances.len() {
            0 => format!("restarts none of {}", count(self.of, "CRM")),
            n => format!(
                "restarts {n} of {}, at most {} at once: {}",
                count(self.of, "CRM"),
                self.at_once,
                some(&self.instances, LISTED)
            ),
        }];
        if !self.servers.is_empty() {
            let text = "restarts database servers, one after the other, and what lies on each is away meanwhile";
            lines.push(format!("{text}: {}", some(&self.servers, LISTED)));
        }
        if !self.unknown.is_empty() {
            lines.push(format!(
                "cannot tell for {}: {}",
                count(self.unknown.len(), "CRM"),
                some(&self.unknown, LISTED)
            ));
        }
        lines.join("\n")
    }

    /// For machines.
    pub fn document(&self) -> Value {
        json!({
            "instances": self.instances, "of": self.of, "atOnce": self.at_once, "unknown": self.unknown,
            "databaseServers": self.servers,
        })
    }
}

#[cfg(test)]
mod tests {
    use tenantry_core::yaml;

    use super::*;

    fn site(change: Value) -> Settings {
        let mut spec = json!({"id": "site-1"});
        for (key, value) in change.as_object().unwrap() {
            spec[key] = value.clone();
        }
        let site =
            json!({"apiVersion": "tenantry.dev/v1alpha1", "kind": "Site", "metadata": {"name": "site"}, "spec": spec});
        Settings::of_site(&serde_json::from_value(site).unwrap())
    }

    #[test]
    fn what_of_a_site_is_in_the_processes_restarts_them_and_the_rest_does_not() {
        let object = |kind: &str, name: &str, spec: Value| json!({"apiVersion": "tenantry.dev/v1alpha1", "kind": kind, "metadata": {"name": name, "namespace": "tenant-kabcdefghi"}, "spec": spec});
        let text = std::fs::read_to_string("../manifests/blueprints/tryton.yaml").unwrap();
        let blueprint = yaml::documents(&text).unwrap().remove(0);
        let blueprint: tenantry_api::blueprint::Blueprint = serde_json::from_value(blueprint).unwrap();
        let release = Effective::pin("tryton", &blueprint.spec, None).unwrap();
        let tenant: Tenant =
            serde_json::from_value(object("Tenant", "acme", json!({"id": "kabcdefghi", "plan": "p"}))).unwrap();
        let plan: Plan = serde_json::from_value(object("Plan", "p", json!({"seats": 5, "storage": "5G"}))).unwrap();
        let crm = json!({"id": "kbbbbbbbbb", "tenant": "acme", "blueprint": "tryton", "host": "crm.acme.example"});
        let crm: CrmInstance = serde_json::from_value(object("CrmInstance", "crm", crm)).unwrap();
        let children = |change| made(&crm, &tenant, &plan, &release, &site(change)).unwrap().children;
        let before = children(json!({}));
        for (change, restarts) in [
            (json!({}), false),
            (json!({"contact": "0123"}), false),
            (json!({"retentionDays": 7, "restartsAtOnce": 2}), false),
            (json!({"ingress": {"className": "nginx"}}), false),
            (json!({"imageRegistry": "mirror.example.org"}), true),
            (json!({"imagePullSecrets": ["registry"]}), true),
        ] {
            assert_eq!(exchanges(&before, &children(change.clone()), Kind::Deployment), restarts, "{change}");
        }
    }

    #[test]
    fn a_person_reads_how_many_restart_of_how_many_and_how_many_at_once() {
        let mut found = Restarts { of: 3, at_once: 5, ..Restarts::default() };
        assert_eq!(found.text(), "restarts none of 3 CRMs");
        found.instances = vec!["acme/crm".into(), "beta/crm".into()];
        found.servers = vec!["pg-1".into()];
        found.unknown = vec!["old/crm".into()];
        assert_eq!(
            found.text(),
            "restarts 2 of 3 CRMs, at most 5 at once: acme/crm, beta/crm\n\
             restarts database servers, one after the other, and what lies on each is away meanwhile: pg-1\n\
             cannot tell for 1 CRM: old/crm"
        );
    }
}
