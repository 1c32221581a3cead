//! One tenant with one instance, driven from one wanted state to the next as watches would drive it. Does I/O.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim, Pod};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tenantry_api::archive::{Archive, ArchivePhase};
use tenantry_api::crm_instance::{CrmInstance, InstancePhase};
use tenantry_api::tenant::{Tenant, TenantPhase};
use tenantry_core::names;

use crate::gate::Planned;
use crate::world::{Operator, World};

/// Rounds after which a state that was not reached counts as never reached.
const ROUNDS: usize = 25;
/// What the controllers of Kubernetes may take, on a machine that does something else as well.
const PATIENCE: Duration = Duration::from_secs(120);
pub const INSTANCE: &str = "crm";

/// The way of a tenant, one wanted state after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The tenant without an instance: the first half of `Create`, which does both where it begins with nothing.
    Found,
    Create,
    Suspend,
    Resume,
    ChangePlan,
    Delete,
    /// The first half of `Adopt`.
    AdoptTenant,
    Adopt,
    DeleteAgain,
    /// The first half of `Purge`.
    PurgeInstance,
    Purge,
}

impl Step {
    pub const ALL: [Self; 11] = [
        Self::Found,
        Self::Create,
        Self::Suspend,
        Self::Resume,
        Self::ChangePlan,
        Self::Delete,
        Self::AdoptTenant,
        Self::Adopt,
        Self::DeleteAgain,
        Self::PurgeInstance,
        Self::Purge,
    ];

    /// Whether its end is looked at. That of a first half is seen in the second one's.
    pub fn is_whole(self) -> bool {
        !matches!(self, Self::Found | Self::AdoptTenant | Self::PurgeInstance)
    }
}

/// What a drive took.
#[derive(Debug, Clone, Default)]
pub struct Drive {
    pub calls: Vec<String>,
    pub fired: Option<String>,
    pub rounds: usize,
}

/// The two objects that people write, as they are.
pub struct Now {
    pub tenant: Option<Tenant>,
    pub instance: Option<CrmInstance>,
}

/// A tenant under test.
pub struct Life {
    pub base: Client,
    pub operator: Operator,
    pub name: String,
    pub host: String,
    pub blueprint: String,
    /// Database servers that are asked for the picture.
    pub servers: Vec<&'static str>,
    /// Ids as first seen; they never change.
    pub tenant_id: Option<String>,
    pub instance_id: Option<String>,
}

pub type Outcome<T = ()> = Result<T, String>;

fn said(what: &str) -> impl Fn(kube::Error) -> String + '_ {
    move |e| format!("{what}: {e}")
}

impl Life {
    pub fn new(base: &Client, what: &str) -> Self {
        let name = World::get().name(what);
        let host = format!("{name}.example.org");
        let operator = Operator::new(base);
        let blueprint = "fixture".into();
        let servers = crate::world::SERVERS.to_vec();
        Self { base: base.clone(), operator, name, host, blueprint, servers, tenant_id: None, instance_id: None }
    }

    pub fn tenants(&self) -> Api<Tenant> {
        Api::all(self.base.clone())
    }

    pub fn archives(&self) -> Api<Archive> {
        Api::all(self.base.clone())
    }

    pub fn namespace(&self) -> String {
        format!("tenant-{}", self.tenant_id.as_deref().unwrap_or("unknown"))
    }

    pub fn instances(&self) -> Api<CrmInstance> {
        Api::namespaced(self.base.clone(), &self.namespace())
    }

    pub async fn tenant(&self) -> Outcome<Option<Tenant>> {
        self.tenants().get_opt(&self.name).await.map_err(said("get tenant"))
    }

    pub async fn instance(&self) -> Outcome<Option<CrmInstance>> {
        self.instances().get_opt(INSTANCE).await.map_err(said("get instance"))
    }

    pub async fn my_archives(&self) -> Outcome<Vec<Archive>> {
        let Some(id) = &self.tenant_id else { return Ok(Vec::new()) };
        let params = ListParams::default().labels(&format!("{}={id}", names::LABEL_TENANT_ID));
        Ok(self.archives().list(&params).await.map_err(said("list archives"))?.items)
    }

    pub fn tenant_object(&self, more: &Value) -> Tenant {
        let mut spec = json!({"plan": "small", "displayName": "Acme"});
        merge(&mut spec, more);
        serde_json::from_value(json!({"apiVersion": "tenantry.dev/v1alpha1", "kind": "Tenant",
            "metadata": {"name": self.name}, "spec": spec}))
        .unwrap()
    }

    pub fn instance_object(&self, more: &Value) -> CrmInstance {
        let mut spec = json!({"tenant": self.name, "blueprint": self.blueprint, "host": self.host});
        merge(&mut spec, more);
        serde_json::from_value(json!({"apiVersion": "tenantry.dev/v1alpha1", "kind": "CrmInstance",
            "metadata": {"name": INSTANCE, "namespace": self.namespace()}, "spec": spec}))
        .unwrap()
    }

    /// Brings the tenant to the state that a step wants, with one call failing, and waits until it rests.
    pub async fn drive(&mut self, step: Step, fault: Option<Planned>) -> Outcome<Drive> {
        self.operator.gate.arm(fault);
        let mut done = Drive::default();
        let mut history = Vec::new();
        let mut now = self.look().await?;
        for round in 1..=ROUNDS {
            self.controllers_rest().await?;
            let acted = self.person(step, &now).await?;
            let before = self.operator.gate.writes().len();
            let operator = self.operator.clone();
            let trouble;
            (trouble, now) = self.round_and_look(&operator).await?;
            history.push(format!("{round}: {trouble:?}"));
            if self.operator.gate.dead() {
                done.calls = self.operator.gate.all();
                done.fired = self.operator.gate.fired();
                // A new process, as the one that took its place.
                self.operator = Operator::new(&self.base);
                continue;
            }
            let quiet = self.operator.gate.writes().len() == before;
            if !acted && quiet && self.reached(step, &now).await? {
                done.rounds = round;
                if done.fired.is_none() {
                    done.calls = self.operator.gate.all();
                    done.fired = self.operator.gate.fired();
                }
                return Ok(done);
            }
        }
        let last: Vec<_> = self.operator.gate.writes().into_iter().rev().take(12).collect();
        Err(format!(
            "{step:?} was not reached in {ROUNDS} rounds; fault {fault:?} at {:?}\n  {}\n  last writes: {last:?}\n  {}",
            done.fired.or(self.operator.gate.fired()),
            history.iter().rev().take(3).cloned().collect::<Vec<_>>().join("\n  "),
            self.describe().await
        ))
    }

    /// Reconciles everything of this tenant once. Returns what went wrong.
    pub async fn round(&mut self) -> Outcome<Vec<String>> {
        let operator = self.operator.clone();
        self.round_of(&operator).await
    }

    /// The same by another process.
    pub async fn round_of(&mut self, operator: &Operator) -> Outcome<Vec<String>> {
        Ok(self.round_and_look(operator).await?.0)
    }

    /// The same, with what there is afterwards: thousands of rounds are made, and every read less counts.
    async fn round_and_look(&mut self, operator: &Operator) -> Outcome<(Vec<String>, Now)> {
        let ctx = &operator.ctx;
        let mut trouble = Vec::new();
        if let Some(tenant) = self.tenant().await? {
            let result = tenantry_operator::tenant::reconcile(Arc::new(tenant), ctx, Timestamp::now()).await;
            trouble.extend(result.err().map(|e| format!("tenant: {e}")));
            if self.tenant_id.is_none() {
                self.look().await?;
            }
        }
        let instances = match self.tenant_id {
            Some(_) => self.instances().list(&ListParams::default()).await.map_err(said("list instances"))?.items,
            None => Vec::new(),
        };
        for instance in instances {
            if operator.gate.dead() {
                break;
            }
            let result = tenantry_operator::instance::reconcile(Arc::new(instance), ctx, Timestamp::now()).await;
            trouble.extend(result.err().map(|e| format!("instance: {e}")));
        }
        for archive in self.my_archives().await? {
            if operator.gate.dead() {
                break;
            }
            let result = tenantry_operator::archive::reconcile(Arc::new(archive), ctx, Timestamp::now()).await;
            trouble.extend(result.err().map(|e| format!("archive: {e}")));
        }
        Ok((trouble, self.look().await?))
    }

    /// What there is. Ids are minted once: whatever happens, the first that is seen stays.
    async fn look(&mut self) -> Outcome<Now> {
        let tenant = self.tenant().await?;
        same_id(&mut self.tenant_id, tenant.as_ref().and_then(|t| t.spec.id.clone()))?;
        let instance = self.instance_if_any().await?;
        same_id(&mut self.instance_id, instance.as_ref().and_then(|i| i.spec.id.clone()))?;
        Ok(Now { tenant, instance })
    }

    /// The same for whoever changes nothing.
    pub async fn now(&self) -> Outcome<Now> {
        Ok(Now { tenant: self.tenant().await?, instance: self.instance_if_any().await? })
    }

    /// Without an id there is no namespace that it could be in.
    async fn instance_if_any(&self) -> Outcome<Option<CrmInstance>> {
        match self.tenant_id {
            Some(_) => self.instance().await,
            None => Ok(None),
        }
    }

    /// What a person does for a step; safe to repeat. Returns whether anything was done.
    async fn person(&mut self, step: Step, now: &Now) -> Outcome<bool> {
        let tenant = now.tenant.as_ref();
        let active = tenant.is_some_and(|t| t.status.as_ref().is_some_and(|s| s.phase == TenantPhase::Active));
        let post = PostParams::default();
        match step {
            Step::Found | Step::Create | Step::AdoptTenant | Step::Adopt => {
                let adopting = matches!(step, Step::AdoptTenant | Step::Adopt);
                let whole = step.is_whole();
                let adopt = |id: &Option<String>| match id {
                    Some(id) if adopting => json!({"id": id, "adopt": format!("{id}-1")}),
                    _ => json!({}),
                };
                if tenant.is_none() {
                    let mut object = self.tenant_object(&adopt(&self.tenant_id));
                    if adopting {
                        "large".clone_into(&mut object.spec.plan);
                    }
                    self.tenants().create(&post, &object).await.map_err(said("create tenant"))?;
                    return Ok(true);
                }
                if whole && active && now.instance.is_none() {
                    let object = self.instance_object(&adopt(&self.instance_id));
                    self.instances().create(&post, &object).await.map_err(said("create instance"))?;
                    return Ok(true);
                }
                Ok(false)
            }
            Step::Suspend => self.set(tenant, "suspended", true.into()).await,
            Step::Resume => self.set(tenant, "suspended", false.into()).await,
            Step::ChangePlan => self.set(tenant, "plan", "large".into()).await,
            Step::Delete | Step::DeleteAgain => {
                if tenant.is_none_or(|t| t.metadata.deletion_timestamp.is_some()) {
                    return Ok(false);
                }
                self.tenants().delete(&self.name, &DeleteParams::default()).await.map_err(said("delete tenant"))?;
                Ok(true)
            }
            Step::PurgeInstance => self.ask_purge(&format!("{}-2", self.ids()?.1)).await,
            Step::Purge => {
                let (tenant_id, instance_id) = self.ids()?;
                let first = self.ask_purge(&format!("{instance_id}-2")).await?;
                let gone = self.phase_of(&format!("{instance_id}-2")).await? == Some(ArchivePhase::Purged);
                Ok(first || (gone && self.ask_purge(&format!("{tenant_id}-2")).await?))
            }
        }
    }

    async fn set(&self, tenant: Option<&Tenant>, field: &str, value: Value) -> Outcome<bool> {
        let spec = tenant.map(|t| serde_json::to_value(&t.spec).unwrap()).unwrap_or_default();
        let now = spec.get(field).cloned().unwrap_or(Value::Bool(false));
        if now == value {
            return Ok(false);
        }
        let patch = json!({"spec": {field: value}});
        let params = PatchParams::default();
        self.tenants().patch(&self.name, &params, &Patch::Merge(&patch)).await.map_err(said("change tenant"))?;
        Ok(true)
    }

    /// Asks for a purge now. Returns whether it had not been asked for.
    pub async fn ask_purge(&self, archive: &str) -> Outcome<bool> {
        let found = self.archives().get(archive).await.map_err(said("get archive"))?;
        if found.spec.purge.is_some() {
            return Ok(false);
        }
        self.demand(archive, &json!({"confirm": archive, "beforeRetention": true})).await?;
        Ok(true)
    }

    /// Writes the demand for a purge as a person would.
    pub async fn demand(&self, archive: &str, purge: &Value) -> Outcome {
        let patch = json!({"spec": {"purge": purge}});
        let params = PatchParams::default();
        self.archives().patch(archive, &params, &Patch::Merge(&patch)).await.map_err(said("ask for a purge"))?;
        Ok(())
    }

    pub fn ids(&self) -> Outcome<(String, String)> {
        match (&self.tenant_id, &self.instance_id) {
            (Some(t), Some(i)) => Ok((t.clone(), i.clone())),
            other => Err(format!("no ids: {other:?}")),
        }
    }

    pub async fn phase_of(&self, archive: &str) -> Outcome<Option<ArchivePhase>> {
        let found = self.archives().get_opt(archive).await.map_err(said("get archive"))?;
        Ok(found.map(|a| a.status.map(|s| s.phase).unwrap_or_default()))
    }

    async fn reached(&self, step: Step, now: &Now) -> Outcome<bool> {
        let tenant = now.tenant.as_ref().and_then(|t| t.status.as_ref()).map(|s| s.phase);
        let instance = now.instance.as_ref().and_then(|i| i.status.as_ref()).map(|s| s.phase);
        let lives = (Some(TenantPhase::Active), Some(InstancePhase::Ready));
        Ok(match step {
            Step::Create | Step::Resume | Step::ChangePlan | Step::Adopt => (tenant, instance) == lives,
            Step::Found | Step::AdoptTenant => (tenant, instance) == (Some(TenantPhase::Active), None),
            Step::Suspend => (tenant, instance) == (Some(TenantPhase::Suspended), Some(InstancePhase::Suspended)),
            Step::Delete | Step::DeleteAgain => (tenant, instance) == (None, None),
            Step::PurgeInstance => {
                let (_, instance_id) = self.ids()?;
                self.phase_of(&format!("{instance_id}-2")).await? == Some(ArchivePhase::Purged)
            }
            Step::Purge => {
                let (tenant_id, _) = self.ids()?;
                self.phase_of(&format!("{tenant_id}-2")).await? == Some(ArchivePhase::Purged)
            }
        })
    }

    /// Waits until the controllers of Kubernetes have done their part, so that every run sees the same.
    pub async fn controllers_rest(&self) -> Outcome {
        if self.tenant_id.is_none() {
            return Ok(());
        }
        let (start, ns) = (Instant::now(), self.namespace());
        let namespaces: Api<Namespace> = Api::all(self.base.clone());
        let deployments: Api<Deployment> = Api::namespaced(self.base.clone(), &ns);
        let pods: Api<Pod> = Api::namespaced(self.base.clone(), &ns);
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.base.clone(), &ns);
        let all = ListParams::default();
        let mut pause = Duration::from_millis(50);
        loop {
            let Some(namespace) = namespaces.get_opt(&ns).await.map_err(said("get namespace"))? else { return Ok(()) };
            let going = namespace.metadata.deletion_timestamp.is_some();
            let wanted = deployments.list(&all).await.map_err(said("list deployments"))?.items;
            // Pods of jobs stay when they have ended; they are no Deployment's.
            let processes = ListParams::default().labels("!batch.kubernetes.io/job-name");
            let pods = pods.list(&processes).await.map_err(said("list pods"))?.items.len();
            let claims = claims.list(&all).await.map_err(said("list claims"))?.items;
            let replicas: i32 = wanted.iter().map(|d| d.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1)).sum();
            if !going
                && pods == usize::try_from(replicas).unwrap_or(0)
                && wanted.iter().all(rests)
                && !claims.iter().any(goes)
            {
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                return Err(format!(
                    "the controllers of Kubernetes do not come to rest in {ns} (going: {going}, pods: {pods})"
                ));
            }
            // Many lives wait at once: who waits longer asks less often, and leaves the API server to the others.
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    /// What is there, for messages.
    pub async fn describe(&self) -> String {
        let tenant = self.tenant().await.ok().flatten();
        let instance = self.instance().await.ok().flatten();
        let archives = self.my_archives().await.unwrap_or_default();
        format!(
            "tenant {:?}\n  instance {:?}\n  archives {:?}",
            tenant.map(|t| (t.spec, t.status)),
            instance.map(|i| (i.spec, i.status)),
            archives.iter().map(|a| (a.name_any(), &a.status)).collect::<Vec<_>>()
        )
    }
}

/// Whether a claim is about to go; one that a test holds is not.
fn goes(claim: &PersistentVolumeClaim) -> bool {
    let held = claim.finalizers().iter().any(|f| !f.starts_with("kubernetes.io/"));
    claim.metadata.deletion_timestamp.is_some() && !held
}

fn rests(deployment: &Deployment) -> bool {
    let replicas = deployment.spec.as_ref().and_then(|s| s.replicas).unwrap_or(1);
    deployment.status.as_ref().is_some_and(|s| {
        s.observed_generation == deployment.metadata.generation
            && s.replicas.unwrap_or(0) == replicas
            && s.available_replicas.unwrap_or(0) == replicas
            && s.updated_replicas.unwrap_or(0) == replicas
    })
}

fn same_id(known: &mut Option<String>, seen: Option<String>) -> Outcome {
    match (&known, seen) {
        (Some(a), Some(b)) if *a != b => Err(format!("an id was minted twice: {a}, then {b}")),
        (None, Some(b)) => {
            *known = Some(b);
            Ok(())
        }
        _ => Ok(()),
    }
}

fn merge(into: &mut Value, more: &Value) {
    if let (Some(a), Some(b)) = (into.as_object_mut(), more.as_object()) {
        a.extend(b.iter().map(|(k, v)| (k.clone(), v.clone())));
    }
}
