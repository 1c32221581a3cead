//! A copy for staging under test: driven as watches would drive it, its jobs played, and what must always hold. Does
//! I/O. The database is really dumped and loaded, by the job's own steps; volumes have no node to be on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tenantry_api::crm_instance::{CrmInstance, InstancePhase};
use tenantry_core::names;
use tenantry_core::steps::JobFile;
use tenantry_operator::cluster::data_of;

use crate::jobs::{finish, over};
use crate::life::{INSTANCE, Life, Outcome, Step};
use crate::world::{Operator, PG_BIN, World, blueprint, fixture};

/// Looks after which a copy that is not there yet counts as never there.
const LOOKS: usize = 40;

/// A product with a process that runs, mail that waits to be sent, and steps that keep a copy from sending it.
pub fn product(neutralise: bool) -> Value {
    let mut spec = fixture("key={{ secrets.key }}\n");
    spec["processes"][0]["replicas"] = json!({"default": 1, "max": 1});
    if neutralise {
        let sql = "DELETE FROM mail; UPDATE customer SET name = name || ' in {{ instance.environment }}' \
                   WHERE name NOT LIKE '% in %'";
        spec["neutralise"] = json!({"steps": [{"name": "no mail", "sql": sql}],
            "verifySql": ["SELECT NOT EXISTS (SELECT FROM mail)"]});
    }
    spec
}

/// An original that is ready, with a customer's row and mail that waits.
pub async fn original(base: &Client, neutralise: bool) -> Outcome<Life> {
    let mut life = Life::new(base, "staging");
    life.blueprint.clone_from(&life.name);
    blueprint(base, &life.blueprint, product(neutralise)).await;
    life.drive(Step::Create, None).await?;
    life.work().await?;
    for sql in ["CREATE TABLE mail (body text)", "INSERT INTO mail VALUES ('to a customer')"] {
        life.sql("pg-a", sql).await?;
    }
    Ok(life)
}

/// Archives an original.
pub async fn away(life: &Life) {
    life.instances().delete(INSTANCE, &DeleteParams::default()).await.unwrap();
    for _ in 0..6 {
        if let Some(going) = life.instance().await.unwrap() {
            let ctx = &life.operator.ctx;
            tenantry_operator::instance::reconcile(Arc::new(going), ctx, Timestamp::now()).await.unwrap();
        }
        life.controllers_rest().await.unwrap();
    }
    assert_eq!(life.instance().await.unwrap(), None);
}

/// A copy under test.
pub struct Copy {
    base: Client,
    namespace: String,
    name: String,
    pub id: String,
    pub operator: Operator,
}

impl Copy {
    pub async fn of(life: &Life, name: &str, more: &Value) -> Outcome<Self> {
        let mut object = life.instance_object(&json!({"host": format!("{name}-{}", life.host),
            "environment": "staging", "from": {"instance": INSTANCE}}));
        let mut spec = serde_json::to_value(&object.spec).map_err(|e| e.to_string())?;
        for (key, value) in more.as_object().into_iter().flatten() {
            spec[key] = value.clone();
        }
        object.spec = serde_json::from_value(spec).map_err(|e| e.to_string())?;
        object.metadata.name = Some(name.into());
        life.instances().create(&PostParams::default(), &object).await.map_err(|e| e.to_string())?;
        let operator = Operator::new(&life.base);
        Ok(Self {
            base: life.base.clone(),
            namespace: life.namespace(),
            name: name.into(),
            id: String::new(),
            operator,
        })
    }

    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    {
        Api::namespaced(self.base.clone(), &self.namespace)
    }

    pub async fn object(&self) -> Outcome<Option<CrmInstance>> {
        self.api().get_opt(&self.name).await.map_err(|e| e.to_string())
    }

    pub fn mine(&self) -> ListParams {
        ListParams::default().labels(&format!("{}={}", names::LABEL_INSTANCE_ID, self.id))
    }

    /// One look by the operator, a new one when the last one died; then what must always hold.
    pub async fn look(&mut self) -> Outcome<InstancePhase> {
        let Some(object) = self.object().await? else { return Ok(InstancePhase::Archiving) };
        // What goes wrong is in the status; a fault of the test is no matter.
        let _ = tenantry_operator::instance::reconcile(Arc::new(object), &self.operator.ctx, Timestamp::now()).await;
        if self.operator.gate.dead() {
            self.operator = Operator::new(&self.base);
        }
        let Some(object) = self.object().await? else { return Ok(InstancePhase::Archiving) };
        self.id = object.spec.id.clone().unwrap_or_default();
        self.nothing_runs_too_early().await?;
        Ok(object.status.map(|s| s.phase).unwrap_or_default())
    }

    /// Where processes may run, mail is gone and the server says that all was done.
    async fn nothing_runs_too_early(&self) -> Outcome {
        let found = self.api::<Deployment>().list(&self.mine()).await.map_err(|e| e.to_string())?;
        let runs = |d: &Deployment| d.spec.as_ref().is_some_and(|s| s.replicas != Some(0));
        if self.id.is_empty() || !found.items.iter().any(runs) {
            return Ok(());
        }
        let (mail, state) = (self.sql("SELECT count(*)::text FROM mail").await?, self.state().await?);
        if (mail.as_str(), state.as_str()) == ("0", "personalised") {
            Ok(())
        } else {
            Err(format!("a process may run while the copy is {state} and has {mail} mails"))
        }
    }

    fn database(&self) -> String {
        format!("crm_{}_g1", self.id)
    }

    /// Asks the copy's database as the administrator.
    pub async fn sql(&self, sql: &str) -> Outcome<String> {
        World::get().root_in("pg-a", &self.database(), sql).await
    }

    pub async fn state(&self) -> Outcome<String> {
        World::get().root("pg-a", &format!("SELECT state FROM databases WHERE name = '{}'", self.database())).await
    }

    /// Looks and plays until it is ready.
    pub async fn until_ready(&mut self) -> Outcome {
        for _ in 0..LOOKS {
            if self.look().await? == InstancePhase::Ready {
                return Ok(());
            }
            self.play().await?;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(format!("not ready: {:?}", self.object().await?.map(|o| o.status)))
    }

    /// Does what a node would do with the copy's jobs, and waits until their controller has seen it.
    pub async fn play(&self) -> Outcome {
        if self.id.is_empty() {
            return Ok(());
        }
        for job in self.api::<Job>().list(&self.mine()).await.map_err(|e| e.to_string())?.items {
            if !over(&job) {
                let done = self.steps(&job).await;
                finish(&self.base, &self.namespace, &job.name_any(), done.is_ok())
                    .await
                    .map_err(|e| format!("{e}; {done:?}"))?;
            }
        }
        Ok(())
    }

    /// The steps of a job that copies a database, run here: its scratch is a folder of this test.
    async fn steps(&self, job: &Job) -> Outcome {
        let purpose = job.labels().get(names::LABEL_PURPOSE).cloned().unwrap_or_default();
        if !purpose.starts_with("copy-database") {
            return Ok(());
        }
        let secret = self.api::<Secret>().get(&job.name_any()).await.map_err(|e| e.to_string())?;
        let text = data_of(secret.data.as_ref()).remove("steps.json").unwrap_or_default();
        let file: JobFile = serde_json::from_str(&text).map_err(|e| e.to_string())?;
        let scratch = std::env::temp_dir().join(format!("tenantry-faults-{}-{}", std::process::id(), job.name_any()));
        std::fs::create_dir_all(&scratch).map_err(|e| e.to_string())?;
        let here = scratch.display().to_string();
        let mut end = Ok(());
        for step in &file.steps {
            let words: Vec<String> = step.command.iter().map(|w| w.replace("/scratch", &here)).collect();
            let path = format!("{PG_BIN}:{}", std::env::var("PATH").unwrap_or_default());
            let mut command = tokio::process::Command::new(&words[0]);
            let done = command.args(&words[1..]).envs(&step.env).env("PATH", path).output().await;
            let done = done.map_err(|e| e.to_string())?;
            if !done.status.success() {
                end = Err(format!("{}: {}", step.name, String::from_utf8_lossy(&done.stderr)));
                break;
            }
        }
        let _ = std::fs::remove_dir_all(&scratch);
        end
    }

    pub async fn secret(&self, name: &str) -> Outcome<BTreeMap<String, String>> {
        let found = self.api::<Secret>().get(name).await.map_err(|e| format!("{name}: {e}"))?;
        Ok(data_of(found.data.as_ref()))
    }

    /// What a finished copy is.
    pub async fn check(&self, life: &Life) -> Outcome {
        let rows = "SELECT (SELECT string_agg(name, ',') FROM customer) || ' ' || (SELECT count(*) FROM mail) || ' ' \
                    || (SELECT string_agg(note, ',') FROM facts)";
        let (found, expected) = (self.sql(rows).await?, format!("a row of the customer in staging 0 {}", self.id));
        if found != expected {
            return Err(format!("the copy holds {found:?}, expected {expected:?}"));
        }
        let original = life.sql("pg-a", rows).await?;
        let expected = format!("a row of the customer 1 {}", life.instance_id.as_deref().unwrap_or_default());
        if original != expected {
            return Err(format!("the original holds {original:?}, expected {expected:?}"));
        }
        let mine = format!("SELECT count(*)::text FROM databases WHERE owner = 'instance/{}'", self.id);
        let count = World::get().root("pg-a", &mine).await?;
        let left = self.api::<Secret>().list(&self.mine()).await.map_err(|e| e.to_string())?;
        let left: Vec<_> = left.items.iter().map(ResourceExt::name_any).filter(|n| n.contains("-copy-")).collect();
        let of_copy = format!("instance/{}", self.id);
        let events = life.events().await?;
        let installed: Vec<_> = events.iter().filter(|e| e.spec.subject == of_copy).collect();
        let environment =
            installed.iter().filter_map(|e| e.spec.after.installed.as_ref()).map(|i| i.environment.as_str());
        match (count.as_str(), left.len(), environment.collect::<Vec<_>>().as_slice()) {
            ("1", 0, ["staging"]) => Ok(()),
            other => Err(format!("databases, Secrets with passwords, events: {other:?} {left:?}")),
        }
    }
}
