//! What a test makes in the cluster under a name of its own. Does I/O.

use std::time::Duration;

use kube::ResourceExt;
use serde_json::{Value, json};
use tenantry_api::archive::Archive;
use tenantry_api::blueprint::Blueprint;
use tenantry_api::condition::find;
use tenantry_api::crm_instance::CrmInstance;
use tenantry_api::plan::Plan;
use tenantry_api::tenant::{Tenant, TenantSpec};
use tenantry_core::id::Id;
use tenantry_plan::Settings;
use tokio::time::Instant;

use super::traces::{LABEL_TEST, TICK, Traces};
use crate::blueprint::test::points::Verdict;
use crate::change::mint;
use crate::cluster::post;
use crate::error::{Exit, Problem, api};
use crate::instance::make;
use crate::progress::Progress;
use crate::session::Session;
use crate::target::{self, PLAN};
use crate::tenant::follow;
use crate::wait::Until;

/// Longest wait for the operator's verdict on a blueprint.
const OPERATOR: Duration = Duration::from_secs(60);

/// Everything that a test has created so far.
pub struct World {
    pub session: Session,
    /// The operator's settings.
    pub settings: Settings,
    /// The test's name and id, and how everything of the test is removed.
    pub traces: Traces,
    /// The plan that the person named; None means a plan of the test's own.
    pub plan: Option<String>,
    /// The product that every instance runs.
    pub product: make::Product,
    /// Whether everything stays when a point fails, so that a person can look at it.
    pub keep: bool,
    /// The tenant, once it was created.
    pub tenant: Option<Tenant>,
}

impl World {
    /// Stores the blueprint under the test's name. The verdict says what the API server or the operator objects to.
    pub async fn publish(&self, blueprint: &Blueprint) -> Result<Verdict, Problem> {
        let mut named = blueprint.clone();
        named.metadata = kube::api::ObjectMeta::default();
        named.metadata.name = Some(self.traces.name.clone());
        named.metadata.labels = Some([(LABEL_TEST.to_owned(), self.traces.id.to_string())].into());
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
            let now = blueprints.get(&self.traces.name).await.map_err(|e| api::problem("read the blueprint", &e))?;
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

    /// Creates the plan, unless the person named one, and the tenant with its namespace.
    pub async fn tenant(&mut self, progress: &mut Progress) -> Result<(), Problem> {
        let plans = self.session.cluster.plans();
        let plan = match &self.plan {
            Some(named) => target::one(&self.session, &plans, PLAN, named).await?.name_any(),
            None => {
                let spec = json!({"title": "Of a test of a blueprint", "seats": 5, "storage": "5G"});
                let spec =
                    serde_json::from_value(spec).map_err(|e| Problem::failed(format!("cannot make a plan: {e}")))?;
                let mut plan = Plan::new(&self.traces.name, spec);
                plan.metadata.labels = Some([(LABEL_TEST.to_owned(), self.traces.id.to_string())].into());
                plans.create(&post(false), &plan).await.map_err(|e| api::problem("create a plan for the test", &e))?;
                self.traces.name.clone()
            }
        };
        let spec = json!({"id": self.traces.id.to_string(), "plan": plan, "displayName": "Test of a blueprint"});
        let spec: TenantSpec =
            serde_json::from_value(spec).map_err(|e| Problem::failed(format!("cannot make a tenant: {e}")))?;
        let mut tenant = Tenant::new(&self.traces.name, spec);
        tenant.metadata.labels = Some([(LABEL_TEST.to_owned(), self.traces.id.to_string())].into());
        let made = self.session.cluster.tenants().create(&post(false), &tenant).await;
        let made = made.map_err(|e| api::problem("create a tenant for the test", &e))?;
        self.tenant = Some(made.clone());
        follow::namespace(&self.session, &made, Until::after(self.traces.longest), progress).await
    }

    /// Archives the tenant with all its instances and returns their archives.
    pub async fn archive(&self, progress: &mut Progress) -> Result<Vec<Archive>, Problem> {
        match &self.tenant {
            Some(tenant) => self.traces.archive(tenant, progress).await,
            None => Ok(Vec::new()),
        }
    }

    /// The tenant as it was created.
    pub fn tenant_made(&self) -> Result<&Tenant, Problem> {
        self.tenant.as_ref().ok_or_else(|| Problem::failed("the test has no tenant"))
    }

    /// An instance as it will be stored, under a host of its own. `more` is added to its spec; None means that this
    /// version does not know such fields.
    pub fn planned(&self, name: &str, server: Option<&str>, more: &Value) -> Result<Option<CrmInstance>, Problem> {
        let mut product = self.product.clone();
        product.host = format!("{name}.{}.bptest.example", self.traces.id);
        product.choices.database_server = server.map(str::to_owned).or(product.choices.database_server);
        let spec = make::spec(&self.traces.name, &product)?;
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
}

/// The name and id of a new test.
pub fn named() -> Result<(Id, String), Problem> {
    let id = mint::id()?;
    let name = name_of(&id);
    Ok((id, name))
}

/// How the names of all tests begin.
pub const PREFIX: &str = "bptest-";

/// The name of the test with an id.
pub fn name_of(id: &Id) -> String {
    format!("{PREFIX}{id}")
}
