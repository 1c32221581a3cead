//! What a test leaves in the cluster and how it is taken away, by the test itself or by `blueprint sweep`. Does I/O.

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{DeleteParams, ListParams, Patch};
use kube::{Api, Resource, ResourceExt};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tenantry_api::archive::{Archive, ArchivePhase, ArchivedKind};
use tenantry_api::database_server::DatabaseServer;
use tenantry_api::tenant::Tenant;
use tenantry_core::hash::short_hash;
use tenantry_core::id::Id;
use tenantry_core::names::{self, LABEL_MANAGED_BY, MANAGED_BY, SYSTEM_NAMESPACE};
use tenantry_plan::instance::release::CONTENT;
use tokio::time::Instant;

use crate::archive::keep::phase;
use crate::archive::{ending, is_kept, purge};
use crate::args::NoWaitArgs;
use crate::cluster::patch;
use crate::error::{Problem, api};
use crate::progress::Progress;
use crate::session::Session;
use crate::target::address_of;
use crate::tenant::archive;
use crate::wait::Until;

/// Label with the test's id on everything that a test creates itself.
pub const LABEL_TEST: &str = "tenantry.dev/blueprint-test";
/// Label of the jobs that build one template (operator/src/instance/template.rs).
const LABEL_TEMPLATE: &str = "tenantry.dev/template";
/// Pause between two looks at the cluster.
pub const TICK: Duration = Duration::from_millis(500);

/// A test in the cluster.
pub struct Traces {
    pub session: Session,
    /// Id of the test and of its tenant.
    pub id: Id,
    /// Name of the blueprint, the tenant and the plan of the test.
    pub name: String,
    /// Longest time of one step.
    pub longest: Duration,
}

/// The fields of a kept release that are read here.
#[derive(Deserialize)]
pub struct Kept {
    pub blueprint: String,
    hash: String,
}

/// All releases that are kept.
pub async fn kept(session: &Session) -> Result<Vec<Kept>, Problem> {
    let maps: Api<ConfigMap> = Api::namespaced(session.cluster.client.clone(), SYSTEM_NAMESPACE);
    let selector = format!("{LABEL_MANAGED_BY}={MANAGED_BY}");
    let all = session.cluster.list(&maps, "kept releases", Some(&selector)).await?;
    let texts = all.iter().filter_map(|m| m.data.as_ref()?.get(CONTENT));
    Ok(texts.filter_map(|text| serde_json::from_str(text).ok()).collect())
}

impl Traces {
    /// Names of the jobs that built templates of the test's releases, on any server.
    pub async fn template_jobs(&self) -> Result<Vec<String>, Problem> {
        let Some(selector) = self.templates().await? else { return Ok(Vec::new()) };
        let cluster = &self.session.cluster;
        let jobs: Api<Job> = Api::namespaced(cluster.client.clone(), SYSTEM_NAMESPACE);
        let found = cluster.list(&jobs, "jobs of the template", Some(&selector)).await?;
        Ok(found.iter().map(ResourceExt::name_any).collect())
    }

    /// Selects what belongs to the templates of the test's releases on any server; None means that there can be no
    /// templates.
    async fn templates(&self) -> Result<Option<String>, Problem> {
        let cluster = &self.session.cluster;
        let releases = self.releases().await?;
        let servers: Api<DatabaseServer> = Api::all(cluster.client.clone());
        let servers = cluster.list(&servers, "database servers", None).await?;
        let keys: Vec<String> = releases
            .iter()
            .flat_map(|hash| servers.iter().map(move |s| format!("{}/{hash}/{}", self.name, s.name_any())))
            .map(|whole| short_hash(whole.as_bytes()))
            .collect();
        Ok((!keys.is_empty()).then(|| format!("{LABEL_TEMPLATE} in ({})", keys.join(","))))
    }

    /// Hashes of the releases that were kept for the test: several when its blueprint was fixed in place.
    async fn releases(&self) -> Result<Vec<String>, Problem> {
        let all = kept(&self.session).await?.into_iter();
        Ok(all.filter(|k| k.blueprint == self.name).map(|k| k.hash).collect())
    }

    /// Archives the tenant with all its instances and returns their archives.
    pub async fn archive(&self, tenant: &Tenant, progress: &mut Progress) -> Result<Vec<Archive>, Problem> {
        ending::delete(&self.session, tenant, false).await?;
        ending::one_gone(&self.session, tenant, Until::after(self.longest), progress).await?;
        let cluster = &self.session.cluster;
        let all = cluster.list(&cluster.archives(), "archives", None).await?;
        Ok(archive::written(&all, tenant, self.session.now()))
    }

    /// Purges the archives of the test that exist, and waits until the namespace is gone. Returns the archives as they
    /// are now, and whether the namespace still exists.
    pub async fn purge(&self) -> Result<(Vec<Archive>, bool), Problem> {
        // Once its blueprint is gone, a template is removed with the last purge.
        self.remove(&self.session.cluster.blueprints(), &self.name).await?;
        let mut all = self.archives().await?;
        // The tenant's own archive last, because it waits for the archives of its instances.
        all.sort_by_key(|a| a.spec.kind == ArchivedKind::Tenant);
        let kept: Vec<&Archive> = all.iter().filter(|a| is_kept(a, self.session.now())).collect();
        let wait = NoWaitArgs { no_wait: false, timeout: self.longest };
        if !kept.is_empty() {
            purge::purge(&self.session, &kept, true, wait, false).await?;
        }
        let namespace = names::namespace(&self.id);
        let begun = Instant::now();
        let mut there = true;
        while there && begun.elapsed() < self.longest {
            let found = self.session.cluster.namespaces().get_opt(&namespace).await;
            there = found.map_err(|e| api::problem("look for the namespace", &e))?.is_some();
            if there {
                tokio::time::sleep(TICK).await;
            }
        }
        Ok((self.archives().await?, there))
    }

    /// All archives of the test.
    async fn archives(&self) -> Result<Vec<Archive>, Problem> {
        let all = self.session.cluster.list(&self.session.cluster.archives(), "archives", None).await?;
        Ok(all.into_iter().filter(|a| self.is_of(a)).collect())
    }

    fn is_of(&self, archive: &Archive) -> bool {
        archive.spec.tenant_id == self.id.as_str() && archive.spec.tenant_name == self.name
    }

    /// Fails when anybody uses what a test created: an archive of the test may have been adopted under another name, or
    /// another tenant may run its blueprint. In that case nothing of the test is touched.
    async fn others(&self) -> Result<(), Problem> {
        let cluster = &self.session.cluster;
        let tenants = cluster.list_whole(&cluster.tenants(), "tenants").await?;
        let archives = cluster.list_whole(&cluster.archives(), "archives").await?;
        let instances = cluster.list_whole(&cluster.all_instances(), "instances").await?;
        let own = names::namespace(&self.id);
        let living =
            tenants.iter().filter(|t| t.spec.id.as_deref() == Some(self.id.as_str()) && t.name_any() != self.name);
        let living = living.map(|t| format!("tenant {}, which lives on its data", t.name_any()));
        let former = archives.iter().filter(|a| {
            let of_others = a.spec.tenant_id == self.id.as_str() || uses(a, &self.name);
            of_others && !self.is_of(a) && !matches!(phase(a), ArchivePhase::Purged | ArchivePhase::Adopted)
        });
        let former = former.map(|a| format!("archive {} of {}", a.name_any(), a.spec.tenant_name));
        let running =
            instances.iter().filter(|i| i.spec.blueprint == self.name && i.namespace().as_ref() != Some(&own));
        let running = running.map(|i| format!("instance {}, which runs its blueprint", address_of(i)));
        match living.chain(former).chain(running).next() {
            Some(other) => Err(Problem::refused(format!("it is in use by {other}; nothing of the test was touched"))),
            None => Ok(()),
        }
    }

    /// Removes everything that still exists. Returns what could not be removed, with the reason.
    pub async fn sweep(&self, progress: &mut Progress) -> Vec<String> {
        let mut left = Vec::new();
        if let Err(problem) = self.others().await {
            left.push(problem.what);
            return left;
        }
        if let Err(problem) = self.archived(progress).await {
            // Data that is not archived yet cannot be purged, and the plan and the blueprint are still needed.
            left.push(format!("tenant {}: {}", self.name, problem.what));
            return left;
        }
        progress.now("clearing up", "purging what the test kept");
        match self.purge().await {
            Ok((_, false)) => {}
            Ok((_, true)) => left.push(format!("namespace {}", names::namespace(&self.id))),
            Err(problem) => left.push(format!("archives of {}: {}", self.name, problem.what)),
        }
        if !left.is_empty() {
            // Keep the rest: it lets a later sweep find what this one could not finish.
            return left;
        }
        progress.now("clearing up", "blueprint, plan and jobs of the test");
        if let Err(problem) = self.rest().await {
            left.push(problem.what);
        }
        left
    }

    async fn archived(&self, progress: &mut Progress) -> Result<(), Problem> {
        let tenants = self.session.cluster.tenants();
        let living = tenants.get_opt(&self.name).await.map_err(|e| api::problem("look for the tenant", &e))?;
        if let Some(tenant) = living {
            if tenant.spec.id.as_deref() != Some(self.id.as_str()) {
                return Err(Problem::refused("its id is another: it is not the test's"));
            }
            progress.now("clearing up", "archiving the tenant of the test");
            self.archive(&tenant, progress).await?;
        }
        Ok(())
    }

    /// Removes blueprint, plan, jobs and kept releases of the test.
    async fn rest(&self) -> Result<(), Problem> {
        self.remove(&self.session.cluster.blueprints(), &self.name).await?;
        let client = &self.session.cluster.client;
        let jobs: Api<Job> = Api::namespaced(client.clone(), SYSTEM_NAMESPACE);
        let secrets: Api<Secret> = Api::namespaced(client.clone(), SYSTEM_NAMESPACE);
        if let Some(selector) = self.templates().await? {
            for job in self.session.cluster.list(&jobs, "jobs of templates", Some(&selector)).await? {
                self.remove(&jobs, &job.name_any()).await?;
            }
            // Secrets of failed jobs hold their steps, with a password that opens nothing any more. Only names are
            // read.
            let params = ListParams::default().labels(&selector);
            let steps =
                secrets.list_metadata(&params).await.map_err(|e| api::problem("list Secrets of templates", &e))?;
            for name in steps.iter().map(ResourceExt::name_any) {
                self.remove_confirmed(&secrets, &name).await?;
            }
        }
        self.remove_confirmed(&self.session.cluster.plans(), &self.name).await?;
        let kept: Api<ConfigMap> = Api::namespaced(client.clone(), SYSTEM_NAMESPACE);
        // Releases last: with them, a later sweep can still tell which jobs were the test's.
        for hash in self.releases().await? {
            self.remove_confirmed(&kept, &names::pinned_release(&hash)).await?;
        }
        Ok(())
    }

    /// Deletes an object, if it exists, that the chart's policies keep until its name stands in an annotation.
    async fn remove_confirmed<K>(&self, objects: &Api<K>, name: &str) -> Result<(), Problem>
    where
        K: Resource + Clone + DeserializeOwned + std::fmt::Debug,
    {
        let confirm = json!({"metadata": {"annotations": {names::ANNOTATION_CONFIRM_DELETION: name}}});
        match objects.patch_metadata(name, &patch(false), &Patch::Merge(&confirm)).await {
            Ok(_) => self.remove(objects, name).await,
            Err(kube::Error::Api(s)) if s.is_not_found() => Ok(()),
            Err(e) => Err(api::problem(&format!("delete {name}"), &e)),
        }
    }

    /// Deletes an object if it exists.
    async fn remove<K>(&self, objects: &Api<K>, name: &str) -> Result<(), Problem>
    where
        K: Resource + Clone + DeserializeOwned + std::fmt::Debug,
    {
        match objects.delete(name, &DeleteParams::background()).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(s)) if s.is_not_found() => Ok(()),
            Err(e) => Err(api::problem(&format!("delete {name}"), &e)),
        }
    }
}

/// Whether the archived object ran this blueprint.
fn uses(archive: &Archive, blueprint: &str) -> bool {
    let object = serde_json::from_str::<serde_json::Value>(&archive.spec.object).unwrap_or_default();
    object.get("blueprint").and_then(serde_json::Value::as_str) == Some(blueprint)
}
