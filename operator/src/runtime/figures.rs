//! Figures of the site as a whole, counted from the caches when Prometheus asks. Reads the clock and nothing else.
//!
//! Figures with one line for each tenant would grow with the site: of the instances that are not ready, only those that
//! have waited longest are named.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use kube::api::ObjectMeta;
use kube::runtime::reflector::Store;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use tenantry_api::archive::ArchivePhase;
use tenantry_api::condition::find;
use tenantry_api::crm_instance::{CrmInstance, InstancePhase};
use tenantry_api::database_server::{DatabaseServer, DatabaseServerPhase};
use tenantry_api::tenant::{Tenant, TenantPhase};
use tenantry_plan::archive::purge_holds;

use crate::archive::Entry;

/// Largest number of instances that are named.
const NAMED: usize = 20;
/// Reasons of the condition `Installed` that say that an attempt failed.
const FAILED: [&str; 2] = ["InstallFailed", "PersonaliseFailed"];
/// Phases that are reported even when no object is in them, so that a graph has no holes.
const TENANTS: [TenantPhase; 5] = {
    use TenantPhase::{Active, Archiving, Invalid, Pending, Suspended};
    [Pending, Active, Suspended, Archiving, Invalid]
};
const INSTANCES: [InstancePhase; 10] = {
    use InstancePhase::{
        Archiving, Degraded, Failed, Installing, Invalid, Pending, Ready, Starting, Suspended, Verifying,
    };
    [Pending, Installing, Starting, Verifying, Ready, Degraded, Suspended, Archiving, Failed, Invalid]
};
const SERVERS: [DatabaseServerPhase; 4] = {
    use DatabaseServerPhase::{Invalid, Pending, Ready, Unreachable};
    [Pending, Ready, Unreachable, Invalid]
};
const ARCHIVES: [ArchivePhase; 4] = {
    use ArchivePhase::{Adopted, Archived, Purged, Purging};
    [Archived, Adopted, Purging, Purged]
};

/// The caches that are counted.
pub struct Figures {
    /// Tenants.
    pub tenants: Store<Tenant>,
    /// Instances.
    pub instances: Store<CrmInstance>,
    /// Database servers.
    pub servers: Store<DatabaseServer>,
    /// Archives.
    pub archives: Store<Entry>,
}

impl Debug for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Figures")
    }
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let (tenants, instances) = (self.tenants.state(), self.instances.state());
        let (servers, archives) = (self.servers.state(), self.archives.state());
        for gauge in count(&tenants, &instances, &servers, &archives, Timestamp::now()) {
            let mut metric = encoder.encode_descriptor(gauge.name, gauge.help, None, MetricType::Gauge)?;
            for (labels, value) in &gauge.values {
                metric.encode_family(labels)?.encode_gauge(value)?;
            }
        }
        Ok(())
    }
}

type Labels = Vec<(&'static str, String)>;

/// One figure with its values by labels.
#[derive(Debug)]
struct Gauge {
    name: &'static str,
    help: &'static str,
    values: Vec<(Labels, i64)>,
}

fn gauge(name: &'static str, help: &'static str, values: impl IntoIterator<Item = (Labels, i64)>) -> Gauge {
    Gauge { name, help, values: values.into_iter().collect() }
}

/// Counts everything.
fn count(
    tenants: &[Arc<Tenant>],
    instances: &[Arc<CrmInstance>],
    servers: &[Arc<DatabaseServer>],
    archives: &[Arc<Entry>],
    now: Timestamp,
) -> Vec<Gauge> {
    let tenant_phases = tenants.iter().map(|t| t.status.as_ref().map(|s| s.phase).unwrap_or_default());
    let instance_phases = instances.iter().map(|i| phase(i));
    let server_phases = servers.iter().map(|s| server_phase(s));
    let archive_phases = archives.iter().map(|a| a.phase());
    vec![
        gauge("tenants", "Tenants by phase", by_phase(&TENANTS, tenant_phases)),
        gauge("instances", "Instances by phase", by_phase(&INSTANCES, instance_phases)),
        gauge("database_servers", "Database servers by phase", by_phase(&SERVERS, server_phases)),
        gauge("archives", "Archives by phase", by_phase(&ARCHIVES, archive_phases)),
        gauge(
            "instance_not_ready_seconds",
            "Seconds since an instance was last ready; the 20 that wait longest, without suspended ones",
            not_ready(instances, now),
        ),
        gauge(
            "database_server_up",
            "1 while a database server answers the operator",
            servers
                .iter()
                .map(|s| (vec![("server", s.name_any())], i64::from(server_phase(s) == DatabaseServerPhase::Ready))),
        ),
        gauge("database_server_databases", "Databases of tenants on a server, once it was counted", {
            let counted = |s: &Arc<DatabaseServer>| s.status.as_ref().and_then(|status| status.databases);
            servers.iter().filter_map(move |s| Some((vec![("server", s.name_any())], i64::from(counted(s)?))))
        }),
        gauge("installs_failing", "Instances whose installation failed and is tried again", installs(instances)),
        gauge("archiving_seconds", "Seconds that the longest archiving or purge of a kind has taken", {
            let purging = archives.iter().filter_map(|a| purging_since(a, now)).min();
            [
                ("Tenant", tenants.iter().filter_map(|t| deleted(&t.metadata)).min()),
                ("CrmInstance", instances.iter().filter_map(|i| deleted(&i.metadata)).min()),
                ("Archive", purging),
            ]
            .map(|(kind, since)| (vec![("kind", kind.to_owned())], since.map_or(0, |at| seconds(at, now))))
        }),
        gauge("unobserved_objects", "Objects whose newest spec no reconcile has ended with yet", {
            let waits = |meta: &ObjectMeta, observed: Option<i64>| {
                meta.deletion_timestamp.is_none() && observed.unwrap_or_default() < meta.generation.unwrap_or_default()
            };
            let observed = |s: &Arc<DatabaseServer>| s.status.as_ref().and_then(|status| status.observed_generation);
            let of_instance = |i: &Arc<CrmInstance>| i.status.as_ref().and_then(|status| status.observed_generation);
            let of_tenant = |t: &Arc<Tenant>| t.status.as_ref().and_then(|status| status.observed_generation);
            [
                ("Tenant", tenants.iter().filter(|t| waits(&t.metadata, of_tenant(t))).count()),
                ("CrmInstance", instances.iter().filter(|i| waits(&i.metadata, of_instance(i))).count()),
                ("DatabaseServer", servers.iter().filter(|s| waits(&s.metadata, observed(s))).count()),
            ]
            .map(|(kind, n)| (vec![("kind", kind.to_owned())], number(n)))
        }),
    ]
}

fn number(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn seconds(since: Timestamp, now: Timestamp) -> i64 {
    now.as_second().saturating_sub(since.as_second()).max(0)
}

fn phase(instance: &CrmInstance) -> InstancePhase {
    instance.status.as_ref().map(|s| s.phase).unwrap_or_default()
}

fn server_phase(server: &DatabaseServer) -> DatabaseServerPhase {
    server.status.as_ref().map(|s| s.phase).unwrap_or_default()
}

fn by_phase<P: Debug>(all: &[P], found: impl Iterator<Item = P>) -> Vec<(Labels, i64)> {
    let mut counts: BTreeMap<String, i64> = all.iter().map(|p| (format!("{p:?}"), 0)).collect();
    for phase in found {
        *counts.entry(format!("{phase:?}")).or_default() += 1;
    }
    counts.into_iter().map(|(phase, n)| (vec![("phase", phase)], n)).collect()
}

fn since(conditions: &[Condition], kind: &str) -> Option<Timestamp> {
    find(conditions, kind).filter(|c| c.status != "True").map(|c| c.last_transition_time.0)
}

/// Instances that should serve and do not, the longest wait first.
fn not_ready(instances: &[Arc<CrmInstance>], now: Timestamp) -> Vec<(Labels, i64)> {
    let mut waiting: Vec<(i64, &CrmInstance)> = instances
        .iter()
        .filter(|i| {
            i.metadata.deletion_timestamp.is_none()
                && !matches!(phase(i), InstancePhase::Ready | InstancePhase::Suspended | InstancePhase::Archiving)
        })
        .map(|i| {
            let conditions = i.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
            let created = || i.metadata.creation_timestamp.as_ref().map(|t| t.0);
            (since(conditions, "Ready").or_else(created).map_or(0, |at| seconds(at, now)), &**i)
        })
        .collect();
    waiting.sort_by_key(|(seconds, i)| (Reverse(*seconds), i.spec.tenant.clone(), i.name_any()));
    waiting.truncate(NAMED);
    // `instance` is Prometheus's own label for the process that it asks.
    let labels = |i: &CrmInstance| vec![("tenant", i.spec.tenant.clone()), ("crm", i.name_any())];
    waiting.into_iter().map(|(seconds, i)| (labels(i), seconds)).collect()
}

fn installs(instances: &[Arc<CrmInstance>]) -> Vec<(Labels, i64)> {
    let mut failing: BTreeMap<&str, i64> = BTreeMap::new();
    for instance in instances.iter().filter(|i| i.metadata.deletion_timestamp.is_none()) {
        let conditions = instance.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or_default();
        let failed = find(conditions, "Installed").is_some_and(|c| c.status != "True" && FAILED.contains(&&*c.reason));
        // The blueprints in use are few, so each is reported. Zero means that all is well with a blueprint.
        *failing.entry(&instance.spec.blueprint).or_default() += i64::from(failed);
    }
    failing.into_iter().map(|(blueprint, n)| (vec![("blueprint", blueprint.to_owned())], n)).collect()
}

fn deleted(meta: &ObjectMeta) -> Option<Timestamp> {
    meta.deletion_timestamp.as_ref().map(|t| t.0)
}

fn purging_since(archive: &Entry, now: Timestamp) -> Option<Timestamp> {
    // A refused purge counts too, because somebody asked for it and waits. A purge that waits for the end of the
    // retention does not count.
    let holds = purge_holds(archive.spec.purge.as_ref(), &archive.spec.retain_until, now);
    let asked = |phase| phase == ArchivePhase::Purging || phase == ArchivePhase::Archived && holds;
    let status = archive.status.as_ref().filter(|s| asked(s.phase))?;
    let asked_early = archive.spec.purge.as_ref().is_some_and(|p| p.before_retention);
    let day = archive.spec.retain_until.parse::<Timestamp>().ok().filter(|day| !asked_early && *day <= now);
    since(&status.conditions, "Purged").map(|since| day.map_or(since, |day| since.max(day)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn now() -> Timestamp {
        "2026-05-01T10:00:00Z".parse().unwrap()
    }

    fn instance(name: &str, phase: &str, since: &str, installed: &str) -> Arc<CrmInstance> {
        let condition = |kind: &str, status: &str, reason: &str| json!({ "type": kind, "status": status, "reason": reason, "message": "", "lastTransitionTime": since });
        let ready = if phase == "Ready" { "True" } else { "False" };
        let object = json!({
            "apiVersion": "tenantry.dev/v1alpha1", "kind": "CrmInstance",
            "metadata": { "name": name, "namespace": "tenant-abcdefghij", "generation": 2 },
            "spec": { "tenant": "acme", "blueprint": "tryton", "host": format!("{name}.acme.example") },
            "status": { "phase": phase, "observedGeneration": 1,
                "conditions": [condition("Ready", ready, "x"), condition("Installed", "False", installed)] },
        });
        Arc::new(serde_json::from_value(object).unwrap())
    }

    fn value(gauges: &[Gauge], name: &str, label: &str) -> Option<i64> {
        let gauge = gauges.iter().find(|g| g.name == name).unwrap();
        gauge.values.iter().find(|(labels, _)| labels.iter().any(|(_, v)| v == label)).map(|(_, v)| *v)
    }

    #[test]
    fn instances_are_counted_by_phase_and_those_that_wait_are_named_but_not_suspended_ones() {
        let all = [
            instance("a", "Ready", "2026-05-01T09:00:00Z", "Done"),
            instance("b", "Degraded", "2026-05-01T09:40:00Z", "InstallFailed"),
            instance("c", "Suspended", "2026-04-01T09:40:00Z", "Done"),
        ];
        let gauges = count(&[], &all, &[], &[], now());
        for (phase, n) in [("Ready", 1), ("Degraded", 1), ("Suspended", 1), ("Failed", 0)] {
            assert_eq!(value(&gauges, "instances", phase), Some(n), "{phase}");
        }
        assert_eq!(value(&gauges, "instance_not_ready_seconds", "b"), Some(1_200));
        assert_eq!(value(&gauges, "instance_not_ready_seconds", "a"), None);
        assert_eq!(value(&gauges, "instance_not_ready_seconds", "c"), None);
        assert_eq!(value(&gauges, "installs_failing", "tryton"), Some(1));
        assert_eq!(value(&gauges, "unobserved_objects", "CrmInstance"), Some(3));
        // Labels that Prometheus gives to what it asks: our labels of the same name would be renamed.
        let taken = ["instance", "job", "namespace", "pod", "service", "endpoint", "container"];
        let labels = gauges.iter().flat_map(|g| &g.values).flat_map(|(labels, _)| labels).map(|(name, _)| *name);
        assert_eq!(labels.filter(|name| taken.contains(name)).count(), 0);
    }

    #[test]
    fn of_very_many_that_wait_the_longest_are_named() {
        let all: Vec<_> =
            (0..60).map(|n| instance(&format!("i{n}"), "Failed", &format!("2026-05-01T09:{n:02}:00Z"), "x")).collect();
        let named = not_ready(&all, now());
        assert_eq!(named.len(), NAMED);
        assert_eq!(named[0], (vec![("tenant", "acme".to_owned()), ("crm", "i0".to_owned())], 3_600));
        assert!(named.iter().all(|(_, seconds)| *seconds > 2_400));
    }

    fn server(phase: Option<&str>) -> Arc<DatabaseServer> {
        let mut object = json!({
            "apiVersion": "tenantry.dev/v1alpha1", "kind": "DatabaseServer", "metadata": { "name": "pg" },
            "spec": { "engine": "postgresql", "managed": { "image": "x", "storage": "1G" } },
        });
        if let Some(phase) = phase {
            object["status"] = json!({ "phase": phase, "databases": 3 });
        }
        Arc::new(serde_json::from_value(object).unwrap())
    }

    #[test]
    fn a_server_is_up_while_it_answers_and_what_was_never_counted_is_not_zero() {
        let gauges = count(&[], &[], &[server(Some("Ready"))], &[], now());
        assert_eq!(value(&gauges, "database_server_up", "pg"), Some(1));
        assert_eq!(value(&gauges, "database_server_databases", "pg"), Some(3));
        for away in [server(Some("Unreachable")), server(None)] {
            assert_eq!(value(&count(&[], &[], &[away], &[], now()), "database_server_up", "pg"), Some(0));
        }
        let fresh = count(&[], &[], &[server(None)], &[], now());
        assert_eq!(value(&fresh, "database_server_databases", "pg"), None);
    }

    #[test]
    fn an_archiving_is_as_old_as_the_deletion_that_has_waited_longest() {
        let tenant = |deleted: Option<&str>| {
            let mut object: Value = json!({
                "apiVersion": "tenantry.dev/v1alpha1", "kind": "Tenant",
                "metadata": { "name": "acme" }, "spec": { "plan": "fibo-1" },
            });
            if let Some(at) = deleted {
                object["metadata"]["deletionTimestamp"] = at.into();
            }
            Arc::new(serde_json::from_value(object).unwrap())
        };
        let all = [tenant(None), tenant(Some("2026-05-01T09:59:00Z")), tenant(Some("2026-05-01T09:50:00Z"))];
        assert_eq!(value(&count(&all, &[], &[], &[], now()), "archiving_seconds", "Tenant"), Some(600));
        assert_eq!(value(&count(&all[..1], &[], &[], &[], now()), "archiving_seconds", "Tenant"), Some(0));
    }

    #[test]
    fn prometheus_reads_them_under_the_name_of_the_product() {
        let ((tenants, _), (instances, _)) = (kube::runtime::reflector::store(), kube::runtime::reflector::store());
        let ((servers, _), (archives, _)) = (kube::runtime::reflector::store(), kube::runtime::reflector::store());
        let metrics = super::super::metrics::Metrics::default();
        metrics.count(Figures { tenants, instances, servers, archives });
        let labels = super::super::metrics::ControllerLabels { controller: "instance" };
        metrics.seconds.get_or_create(&labels).observe(16.0);
        let text = metrics.text();
        // The bucket as the alert on slow reconciles writes it (charts/tenantry/rules).
        assert!(text.contains(r#"tenantry_reconcile_seconds_bucket{le="15.0",controller="instance"} 0"#), "{text}");
        for line in ["tenantry_instances{phase=\"Ready\"} 0", "tenantry_archiving_seconds{kind=\"Tenant\"} 0"] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
    }
}
