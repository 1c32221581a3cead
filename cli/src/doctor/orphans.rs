//! What lies in the cluster or on a database server and has no owner any more. Does I/O; the judgement is pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, PersistentVolumeClaim, Secret};
use kube::api::{ListParams, ObjectMeta, PartialObjectMeta};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tenantry_api::archive::ArchivedKind;
use tenantry_api::database_server::DatabaseServer;
use tenantry_core::names;
use tenantry_plan::orphans::{led_to, phase};

use super::report::{Check, Verdict};
use crate::error::{Problem, api};
use crate::output::text::count;
use crate::session::Session;

const TITLE: &str = "Everything has an owner";
/// Most findings that are listed.
const LISTED: usize = 20;

/// What exists, as far as owners matter.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Ids of living tenants, and of tenants that an archive keeps.
    pub tenants: BTreeSet<String>,
    /// Ids of living instances, and of instances that an archive keeps.
    pub instances: BTreeSet<String>,
    /// Namespaces of tenants: id and name of the tenant.
    pub namespaces: Vec<(String, String)>,
    /// What was found, by the ids of tenant and instance: a word for each kind of thing, with its number.
    pub things: BTreeMap<(String, String), BTreeMap<&'static str, usize>>,
    /// Claimed hosts, each with the id of the instance that claims it.
    pub hosts: Vec<(String, String)>,
}

/// Looks for what has no owner.
pub async fn check(session: &Session, namespace: &str) -> Check {
    match seen(session, namespace).await {
        Ok(seen) => judged(&seen),
        Err(problem) => Check::new(Verdict::Warn, TITLE).line(format!("not checked: {}", problem.what)),
    }
}

/// What exists. Things are read before their possible owners, so that a thing that is created or archived meanwhile
/// does not count as an orphan.
async fn seen(session: &Session, namespace: &str) -> Result<Seen, Problem> {
    let (client, mut seen) = (&session.cluster.client, Seen::default());
    let servers = Api::<DatabaseServer>::all(client.clone());
    for server in session.cluster.list_whole(&servers, "database servers").await? {
        for orphan in server.status.map(|s| s.orphans).unwrap_or_default() {
            add(&mut seen, "database", orphan.tenant, orphan.instance);
        }
    }
    let of_instances = names::LABEL_INSTANCE_ID;
    for claim in metadata::<PersistentVolumeClaim>(&Api::all(client.clone()), "claims", of_instances).await? {
        labelled(&mut seen, "volume claim", &claim.metadata);
    }
    for deployment in metadata::<Deployment>(&Api::all(client.clone()), "deployments", of_instances).await? {
        labelled(&mut seen, "process", &deployment.metadata);
    }
    // A person who may not list Secrets still learns from the rest.
    let data = format!("{of_instances},{}", names::LABEL_DATA_GENERATION);
    for secret in metadata::<Secret>(&Api::all(client.clone()), "secrets", &data).await.unwrap_or_default() {
        labelled(&mut seen, "secret", &secret.metadata);
    }
    for found in metadata::<Namespace>(&Api::all(client.clone()), "namespaces", names::LABEL_TENANT_ID).await? {
        let label = |key: &str| found.labels().get(key).cloned().unwrap_or_default();
        // A namespace that is being deleted belongs to a purge.
        if found.metadata.deletion_timestamp.is_none() {
            seen.namespaces.push((label(names::LABEL_TENANT_ID), label(names::LABEL_TENANT)));
        }
    }
    let claims = format!("{}=host-claim", names::LABEL_PURPOSE);
    for claim in metadata::<ConfigMap>(&Api::namespaced(client.clone(), namespace), "host claims", &claims).await? {
        let holder = claim.labels().get(names::LABEL_INSTANCE_ID).cloned().unwrap_or_default();
        let name = claim.name_any();
        seen.hosts.push((name.strip_prefix("host.").unwrap_or(&name).to_owned(), holder));
    }
    let tenants = session.cluster.list_whole(&session.cluster.tenants(), "tenants").await?;
    let instances = session.cluster.list_whole(&session.cluster.all_instances(), "instances").await?;
    let archives = session.cluster.list_whole(&session.cluster.archives(), "archives").await?;
    seen.tenants = tenants.into_iter().filter_map(|t| t.spec.id).collect();
    seen.instances = led_to(&instances, &archives);
    let open = |a: &&tenantry_api::archive::Archive| {
        use tenantry_api::archive::ArchivePhase::{Archived, Purging};
        a.spec.kind == ArchivedKind::Tenant && matches!(phase(a), Archived | Purging)
    };
    seen.tenants.extend(archives.iter().filter(open).map(|a| a.spec.id.clone()));
    Ok(seen)
}

fn labelled(seen: &mut Seen, word: &'static str, meta: &ObjectMeta) {
    let label = |key: &str| meta.labels.as_ref().and_then(|l| l.get(key)).cloned();
    if let (Some(tenant), Some(instance)) = (label(names::LABEL_TENANT_ID), label(names::LABEL_INSTANCE_ID))
        && meta.deletion_timestamp.is_none()
    {
        add(seen, word, tenant, instance);
    }
}

fn add(seen: &mut Seen, word: &'static str, tenant: String, instance: String) {
    let number = seen.things.entry((tenant, instance)).or_default().entry(word).or_default();
    *number = number.saturating_add(1);
}

/// Names and labels of all objects of a kind that a selector matches.
async fn metadata<K>(api: &Api<K>, what: &str, selector: &str) -> Result<Vec<PartialObjectMeta<K>>, Problem>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let (mut found, mut params) = (Vec::new(), ListParams::default().labels(selector).limit(500));
    loop {
        let page = api.list_metadata(&params).await.map_err(|e| api::problem(&format!("list {what}"), &e))?;
        found.extend(page.items);
        match page.metadata.continue_.filter(|c| !c.is_empty()) {
            Some(next) => params = params.continue_token(&next),
            None => return Ok(found),
        }
    }
}

/// What has no owner, with the command for each finding.
pub fn judged(seen: &Seen) -> Check {
    let mut findings: Vec<(String, Option<String>)> = Vec::new();
    for ((tenant, instance), things) in seen.things.iter().filter(|((_, id), _)| !seen.instances.contains(id)) {
        let listed: Vec<String> = things.iter().map(|(word, n)| count(*n, word)).collect();
        findings.push((
            format!("instance {instance} of tenant {tenant} has neither object nor archive: {}", listed.join(", ")),
            Some(format!("archive orphan {tenant}/{instance}")),
        ));
    }
    for (id, name) in seen.namespaces.iter().filter(|(id, _)| !seen.tenants.contains(id)) {
        findings.push((
            format!("namespace tenant-{id} ({name}) has neither tenant nor archive"),
            Some(format!("archive orphan {id}")),
        ));
    }
    let lost = findings.len();
    for (host, id) in seen.hosts.iter().filter(|(_, id)| !seen.instances.contains(id)) {
        findings
            .push((format!("host {host} is claimed by instance {id}, which is gone: who asks for it has it"), None));
    }
    if findings.is_empty() {
        return Check::new(Verdict::Pass, TITLE).line("no data, namespace or host without object or archive");
    }
    let mut check = Check::new(if lost > 0 { Verdict::Fail } else { Verdict::Warn }, TITLE);
    let more = findings.len().saturating_sub(LISTED);
    for (line, help) in findings.into_iter().take(LISTED) {
        check = check.line(line);
        if let Some(help) = help {
            check = check.help(&help);
        }
    }
    if more > 0 { check.line(format!("and {more} more")) } else { check }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_without_object_and_archive_fails_and_a_claim_that_is_left_warns() {
        let mut seen = Seen {
            tenants: BTreeSet::from(["tttttttttt".into()]),
            instances: BTreeSet::from(["kkkkkkkkkk".into()]),
            namespaces: vec![("tttttttttt".into(), "acme".into())],
            hosts: vec![("crm.acme.example".into(), "kkkkkkkkkk".into())],
            ..Seen::default()
        };
        add(&mut seen, "database", "tttttttttt".into(), "kkkkkkkkkk".into());
        assert_eq!(judged(&seen).verdict, Verdict::Pass);

        seen.hosts.push(("old.acme.example".into(), "jjjjjjjjjj".into()));
        let check = judged(&seen);
        assert_eq!((check.verdict, check.help.len()), (Verdict::Warn, 0));
        assert!(check.lines[0].contains("old.acme.example"), "{check:?}");

        add(&mut seen, "volume claim", "tttttttttt".into(), "jjjjjjjjjj".into());
        add(&mut seen, "volume claim", "tttttttttt".into(), "jjjjjjjjjj".into());
        seen.namespaces.push(("uuuuuuuuuu".into(), "beta".into()));
        let check = judged(&seen);
        assert_eq!(check.verdict, Verdict::Fail);
        assert!(check.lines[0].contains("2 volume claims"), "{check:?}");
        let help: Vec<&str> = check.help.iter().map(|h| h.trim_start_matches("tenantry ")).collect();
        assert_eq!(help, ["archive orphan tttttttttt/jjjjjjjjjj", "archive orphan uuuuuuuuuu"]);
    }
}
