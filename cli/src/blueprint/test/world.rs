//! What a test makes in the cluster under a name of its own, and takes away again. Does I/O.

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{DeleteParams, Patch};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tenantry_api::archive::{Archive, ArchivedKind};
use tenantry_api::blueprint::Blueprint;
use tenantry_api::condition::find;
use tenantry_api::crm_instance::CrmInstance;
use tenantry_api::plan::Plan;
use tenantry_api::tenant::{Tenant, TenantSpec};
use tenantry_core::hash::short_hash;
use tenantry_core::id::Id;
use tenantry_core::names::SYSTEM_NAMESPACE;
use tenantry_plan::Settings;
use tokio::time::Instant;

use crate::archive::{ending, is_kept, purge};
use crate::args::NoWaitArgs;
use crate::blueprint::test::points::Verdict;
use crate::change::mint;
use crate::cluster::{patch, post};
use crate::error::{Exit, Problem, api};
use crate::instance::make;
use crate::progress::Progress;
use crate::session::Session;
use crate::target::{self, PLAN};
use crate::tenant::{archive, follow};
use crate::wait::Until;

/// Label of everything that a test makes itself, with the test's id.
pub const LABEL_TEST: &str = "tenantry.dev/blueprint-test";
/// Label of the jobs that build one template (operator/src/instance/template.rs).
const LABEL_TEMPLATE: &str = "tenantry.dev/template";
/// Annotation that lets a Secret beside a database go (the chart's policy tenantry-data).
const CONFIRM: &str = "tenantry.dev/confirm-deletion";
/// Longest wait for the operator's word on a blueprint.
const OPERATOR: Duration = Duration::from_secs(60);
/// How often something is looked at.
const TICK: Duration = Duration::from_millis(500);

/// Everything that a test made so far.
pub struct World {
    /// At hand.
    pub session: Session,
    /// The operator's settings.
    pub settings: Settings,
    /// Id of the test and of its tenant.
    pub id: Id,
    /// Name of the blueprint, the tenant and the plan of the test.
    pub name: String,
    /// The plan: the test's own, unless one was named.
    pub plan: Option<String>,
    /// What every instance is.
    pub product: make::Product,
    /// Longest time of one step.
    pub longest: Duration,
    /// Whether what failed stays to be looked at.
    pub keep: bool,
    /// The tenant, once it is there.
    pub tenant: Option<Tenant>,
    /// The pinned release and server, once the first instance has them.
    pub pinned: Option<(String, String)>,
}

impl World {
    /// Stores the blueprint under the test's name; what the API server or the operator has against it.
    pub async fn publish(&self, blueprint: &Blueprint) -> Result<Verdict, Problem> {
        let mut named = blueprint.clone();
        named.metadata = kube::api::ObjectMeta::default();
        named.metadata.name = Some(self.name.clone());
        named.metadata.labels = Some([(LABEL_TEST.to_owned(), self.id.to_string())].into());
        named.status = None;
        let blueprints = self.session.cluster.blueprints();
        if let Err(e) = blueprints.create(&post(false), &named).await {
            let problem = api::problem("store the blueprint", &e);
            return if problem.exit == Exit::REFUSED && !matches!(&e, kube::Error::Api(s) if s.code != 422) {
                Ok(Verdict::Failed(
                    [Some(problem.what), problem.why].into_iter().flatten().collect::<Vec<_>>().join(": "),
                ))
            } else {
                Err(problem)
            };
        }
        let begun = Instant::now();
        loop {
            let now = blueprints.get(&self.name).await.map_err(|e| api::problem("read the blueprint", &e))?;
            let status = now.status.unwrap_or_default();
            match find(&status.conditions, "Valid") {
                Some(valid) if valid.status == "True" => {
                    let releases = crate::output::text::count(blueprint.spec.releases.len(), "release");
                    return Ok(Verdict::Passed(format!("{releases}, every template rendered; the operator agrees")));
                }
                Some(valid) => return Ok(Verdict::Failed(format!("the operator says: {}", valid.message))),
                None if begun.elapsed() > OPERATOR => {
                    return Err(Problem::timed_out("the operator does not look at the blueprint")
                        .next("is it running?", "doctor"));
                }
                None => tokio::time::sleep(TICK).await,
            }
        }
    }

    /// Makes the plan, unless one was named, and the tenant with its namespace.
    pub async fn tenant(&mut self, progress: &mut Progress) -> Result<(), Problem> {
        let plans = self.session.cluster.plans();
        let plan = match &self.plan {
            Some(named) => target::one(&self.session, &plans, PLAN, named).await?.name_any(),
            None => {
                let spec = json!({"title": "Of a test of a blueprint", "seats": 5, "storage": "5G"});
                let spec =
                    serde_json::from_value(spec).map_err(|e| Problem::failed(format!("cannot make a plan: {e}")))?;
                let mut plan = Plan::new(&self.name, spec);
                plan.metadata.labels = Some([(LABEL_TEST.to_owned(), self.id.to_string())].into());
                plans.create(&post(false), &plan).await.map_err(|e| api::problem("create a plan for the test", &e))?;
                self.name.clone()
            }
        };
        let spec = json!({"id": self.id.to_string(), "plan": plan, "displayName": "Test of a blueprint"});
        let spec: TenantSpec =
            serde_json::from_value(spec).map_err(|e| Problem::failed(format!("cannot make a tenant: {e}")))?;
        let mut tenant = Tenant::new(&self.name, spec);
        tenant.metadata.labels = Some([(LABEL_TEST.to_owned(), self.id.to_string())].into());
        let made = self.session.cluster.tenants().create(&post(false), &tenant).await;
        let made = made.map_err(|e| api::problem("create a tenant for the test", &e))?;
        self.tenant = Some(made.clone());
        follow::namespace(&self.session, &made, Until::after(self.longest), progress).await
    }

    /// The tenant as it was made.
    pub fn tenant_made(&self) -> Result<&Tenant, Problem> {
        self.tenant.as_ref().ok_or_else(|| Problem::failed("the test has no tenant"))
    }

    /// An instance as it will be stored, under a host of its own. `more` is added to its spec: none when this
    /// version knows no such thing.
    pub fn planned(&self, name: &str, server: Option<&str>, more: &Value) -> Result<Option<CrmInstance>, Problem> {
        let mut product = self.product.clone();
        product.host = format!("{name}.{}.bptest.example", self.id);
        product.choices.database_server = server.map(str::to_owned).or(product.choices.database_server);
        let spec = make::spec(&self.name, &product)?;
        let made = make::instance(self.tenant_made()?, name, spec, &[])?;
        let mut value = serde_json::to_value(&made).map_err(|e| Problem::failed(format!("cannot make {name}: {e}")))?;
        for (key, given) in more.as_object().into_iter().flatten() {
            value["spec"][key] = given.clone();
        }
        Ok(serde_json::from_value(value).ok())
    }

    /// Stores an instance.
    pub async fn create(&self, instance: CrmInstance) -> Result<CrmInstance, Problem> {
        make::stored(&self.session, self.tenant_made()?, instance).await
    }

    /// Names of the jobs that built the template of the pinned release on its server.
    pub async fn template_jobs(&self) -> Result<Vec<String>, Problem> {
        let Some(selector) = self.template_selector() else { return Ok(Vec::new()) };
        let jobs: Api<Job> = Api::namespaced(self.session.cluster.client.clone(), SYSTEM_NAMESPACE);
        let found = self.session.cluster.list(&jobs, "jobs of the template", Some(&selector)).await?;
        Ok(found.iter().map(ResourceExt::name_any).collect())
    }

    fn template_selector(&self) -> Option<String> {
        let (hash, server) = self.pinned.as_ref()?;
        let key = short_hash(format!("{}/{hash}/{server}", self.name).as_bytes());
        Some(format!("{LABEL_TEMPLATE}={key}"))
    }

    /// Archives the tenant with all its instances and gives their archives.
    pub async fn archive(&self, progress: &mut Progress) -> Result<Vec<Archive>, Problem> {
        let Some(tenant) = &self.tenant else { return Ok(Vec::new()) };
        ending::delete(&self.session, tenant, false).await?;
        ending::one_gone(&self.session, tenant, Until::after(self.longest), progress).await?;
        let cluster = &self.session.cluster;
        let all = cluster.list(&cluster.archives(), "archives", None).await?;
        Ok(archive::written(&all, tenant))
    }

    /// Purges what archives of the test there are and waits until the namespace is gone; the archives as they are
    /// now, and whether the namespace is still there.
    pub async fn purge(&self) -> Result<(Vec<Archive>, bool), Problem> {
        // Without its blueprint, a template goes with the last purge.
        self.remove(&self.session.cluster.blueprints(), &self.name).await?;
        let mut all = self.archives().await?;
        // The tenant's own last: it waits for those of its instances.
        all.sort_by_key(|a| a.spec.kind == ArchivedKind::Tenant);
        let kept: Vec<&Archive> = all.iter().filter(|a| is_kept(a)).collect();
        let wait = NoWaitArgs { no_wait: false, timeout: self.longest };
        if !kept.is_empty() {
            purge::purge(&self.session, &kept, wait, false).await?;
        }
        let namespace = tenantry_core::names::namespace(&self.id);
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
        Ok(all.into_iter().filter(|a| a.spec.tenant_id == self.id.as_str()).collect())
    }

    /// Takes away everything that is still there; what could not be taken away, with the reason.
    pub async fn sweep(&mut self, progress: &mut Progress) -> Vec<String> {
        let mut left = Vec::new();
        let living = self.session.cluster.tenants().get_opt(&self.name).await.ok().flatten();
        if living.is_some() {
            progress.now("clearing up", "archiving the tenant of the test");
            self.tenant = living;
            if let Err(problem) = self.archive(progress).await {
                // Nothing can be purged of what is not archived yet; the plan and the blueprint are still needed.
                left.push(format!("tenant {}: {}", self.name, problem.what));
                return left;
            }
        }
        progress.now("clearing up", "purging what the test kept");
        if let Err(problem) = self.purge().await {
            left.push(format!("archives of {}: {}", self.name, problem.what));
        }
        progress.now("clearing up", "blueprint, plan and jobs of the test");
        if let Err(problem) = self.traces().await {
            left.push(problem.what);
        }
        left
    }

    /// Blueprint, plan, jobs and the kept release of the test.
    async fn traces(&self) -> Result<(), Problem> {
        self.remove(&self.session.cluster.blueprints(), &self.name).await?;
        if self.plan.is_none() {
            self.remove(&self.session.cluster.plans(), &self.name).await?;
        }
        let client = &self.session.cluster.client;
        let jobs: Api<Job> = Api::namespaced(client.clone(), SYSTEM_NAMESPACE);
        let secrets: Api<Secret> = Api::namespaced(client.clone(), SYSTEM_NAMESPACE);
        for job in self.template_jobs().await? {
            self.remove(&jobs, &job).await?;
            // The Secret of a job that failed: its steps, with a password that opens nothing any more.
            let confirm = json!({"metadata": {"annotations": {CONFIRM: job}}});
            if secrets.patch_metadata(&job, &patch(false), &Patch::Merge(&confirm)).await.is_ok() {
                self.remove(&secrets, &job).await?;
            }
        }
        if let Some((hash, _)) = &self.pinned {
            let kept: Api<ConfigMap> = Api::namespaced(client.clone(), SYSTEM_NAMESPACE);
            self.remove(&kept, &format!("release-{hash}")).await?;
        }
        Ok(())
    }

    /// Deletes an object, if it is there.
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

/// The name and id of a new test.
pub fn named() -> Result<(Id, String), Problem> {
    let id = mint::id()?;
    let name = format!("bptest-{id}");
    Ok((id, name))
}
