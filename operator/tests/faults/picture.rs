//! What there is of one tenant, without what differs from tenant to tenant, and the rules that always hold. Does I/O.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret as KubeSecret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use kube::api::{Api, DynamicObject, ListParams};
use serde_json::Value;
use tenantry_api::billing_event::BillingEvent;
use tenantry_core::calls::{Gate, Open};
use tenantry_core::ledger::Recorded;
use tenantry_core::names;
use tenantry_core::secret::Secret;
use tenantry_database::Login;
use tenantry_operator::cluster::{data_of, dynamic_api};
use tenantry_plan::Kind;

use crate::life::{INSTANCE, Life, Now, Outcome, Step};
use crate::world::{Operator, SYSTEM, World};

/// Whether children of a kind are compared.
fn is_compared(kind: Kind) -> bool {
    match kind {
        Kind::Secret
        | Kind::PersistentVolumeClaim
        | Kind::Deployment
        | Kind::PodDisruptionBudget
        | Kind::Service
        | Kind::Ingress
        | Kind::NetworkPolicy
        | Kind::ResourceQuota
        | Kind::LimitRange
        | Kind::RoleBinding
        | Kind::CronJob => true,
        // A Namespace is looked at by itself. Jobs go when their time is over, and no tenant has any of the others.
        Kind::Namespace | Kind::Job | Kind::ConfigMap | Kind::StatefulSet => false,
    }
}

/// Kinds of children that are compared.
fn kinds() -> impl Iterator<Item = Kind> {
    Kind::ALL.into_iter().filter(|kind| is_compared(*kind))
}

pub type Picture = BTreeMap<String, String>;

/// The two streams after a step: kinds in order, first of the tenant, then of the instance.
pub fn expected_events(step: Step) -> (Vec<&'static str>, Vec<&'static str>) {
    let tenant = ["suspended", "resumed", "limits-changed", "archived", "adopted", "archived", "purged"];
    let instance = ["installed", "archived", "adopted", "archived", "purged"];
    let (t, i) = match step {
        Step::Found => (0, 0),
        Step::Create => (0, 1),
        Step::Suspend => (1, 1),
        Step::Resume => (2, 1),
        Step::ChangePlan => (3, 1),
        Step::Delete => (4, 2),
        Step::AdoptTenant => (5, 2),
        Step::Adopt => (5, 3),
        Step::DeleteAgain => (6, 4),
        Step::PurgeInstance => (6, 5),
        Step::Purge => (7, 5),
    };
    (tenant[..t].to_vec(), instance[..i].to_vec())
}

fn conditions(all: &[Condition]) -> String {
    let mut texts: Vec<_> = all.iter().map(|c| format!("{}={}/{}", c.type_, c.status, c.reason)).collect();
    texts.sort();
    texts.join(" ")
}

impl Life {
    /// Takes the picture.
    pub async fn picture(&self) -> Outcome<Picture> {
        self.picture_of(&self.now().await?, &self.events().await?).await
    }

    async fn picture_of(&self, now: &Now, events: &[BillingEvent]) -> Outcome<Picture> {
        let mut all = Picture::new();
        if let Some(t) = &now.tenant {
            let s = t.status.clone().unwrap_or_default();
            all.insert(
                "tenant".into(),
                format!("{:?} {:?} {} {:?}", s.phase, s.limits, conditions(&s.conditions), t.finalizers()),
            );
        }
        if let Some(i) = &now.instance {
            let s = i.status.clone().unwrap_or_default();
            let notes: Vec<_> = i.annotations().keys().collect();
            let text = format!(
                "{:?} {:?} {:?} {:?} {} {notes:?} {:?} installed {}",
                s.phase,
                s.data_generation,
                s.database,
                s.url,
                conditions(&s.conditions),
                i.finalizers(),
                s.installed_at.is_some()
            );
            all.insert("instance".into(), text);
        }
        self.children(&mut all).await?;
        for a in self.my_archives().await? {
            let s = a.status.clone().unwrap_or_default();
            let ledger: Recorded = serde_json::from_str(&a.spec.ledger).map_err(|e| e.to_string())?;
            let text = format!(
                "{:?} {} life {} {:?} {:?} {:?} events {} {:?}",
                s.phase,
                conditions(&s.conditions),
                a.spec.life,
                a.spec.databases,
                a.spec.volumes,
                a.spec.secrets,
                ledger.sequence,
                ledger.facts
            );
            all.insert(format!("archive {}", a.name_any()), text);
        }
        for e in events {
            all.insert(
                format!("event {}", e.name_any()),
                format!("{} {} {:?}", e.spec.event_type, e.spec.subject, e.spec.after),
            );
        }
        let claims = dynamic_api(&self.base, Kind::ConfigMap, Some(SYSTEM));
        let claim = claims.get_opt(&names::host_claim(&self.host)).await.map_err(|e| e.to_string())?;
        let owner = claim.map(|c| c.labels().get(names::LABEL_INSTANCE_ID).cloned().unwrap_or_default());
        all.insert("host".into(), format!("{owner:?}"));
        self.database(&mut all).await?;
        Ok(self.normal(all))
    }

    async fn children(&self, all: &mut Picture) -> Outcome {
        let Some(id) = &self.tenant_id else { return Ok(()) };
        let spaces = dynamic_api(&self.base, Kind::Namespace, None);
        let mine = ListParams::default().labels(&format!("{}={id}", names::LABEL_TENANT_ID));
        let spaces = spaces.list(&mine).await.map_err(|e| e.to_string())?.items;
        if spaces.is_empty() {
            // Nothing outlives its namespace.
            return Ok(());
        }
        for n in spaces {
            all.insert(format!("Namespace {}", n.name_any()), format!("{:?}", n.metadata.deletion_timestamp.is_some()));
        }
        for kind in kinds() {
            let api = dynamic_api(&self.base, kind, Some(&self.namespace()));
            let list = api.list(&ListParams::default()).await.map_err(|e| e.to_string())?;
            for child in list.items {
                let text = |pointer: &str| child.data.pointer(pointer).map(Value::to_string).unwrap_or_default();
                let text = match kind {
                    Kind::Deployment => text("/spec/replicas"),
                    Kind::Service => text("/spec/selector"),
                    Kind::PersistentVolumeClaim => text("/spec/resources/requests"),
                    Kind::Ingress => text("/spec/rules/0/host"),
                    _ => String::new(),
                };
                all.insert(format!("{kind:?} {}", without_hash(&child)), text);
            }
        }
        Ok(())
    }

    pub async fn events(&self) -> Outcome<Vec<BillingEvent>> {
        let Some(id) = &self.tenant_id else { return Ok(Vec::new()) };
        let api: Api<BillingEvent> = Api::namespaced(self.base.clone(), SYSTEM);
        let params = ListParams::default().labels(&format!("{}={id}", names::LABEL_TENANT_ID));
        Ok(api.list(&params).await.map_err(|e| e.to_string())?.items)
    }

    /// Registry, database, role, and the customer's rows, as the instance itself sees them.
    async fn database(&self, all: &mut Picture) -> Outcome {
        let Some(id) = &self.instance_id else { return Ok(()) };
        let name = self.database_name();
        let tenant = self.tenant_id.as_deref().unwrap_or_default();
        let sql = format!(
            "SELECT concat_ws(' ', (SELECT string_agg(name || ':' || state || ':' || tenant || ':' || generation, ',') FROM databases \
             WHERE owner = 'instance/{id}' OR tenant = '{tenant}'), (SELECT string_agg(concat_ws(':', number, standing, progress, \
             is_frozen, taken), ',' ORDER BY number) FROM generations WHERE owner = 'instance/{id}'), 'database', (SELECT count(*) FROM pg_database WHERE datname = '{name}'), \
             'role', (SELECT rolcanlogin FROM pg_roles WHERE rolname = '{name}'))"
        );
        for server in self.servers.iter().copied() {
            all.insert(format!("server {server}"), World::get().root(server, &sql).await?);
        }
        all.insert("rows".into(), self.rows().await.unwrap_or_else(|e| e));
        Ok(())
    }

    pub fn database_name(&self) -> String {
        format!("crm_{}_g1", self.instance_id.as_deref().unwrap_or_default())
    }

    /// The log-in that the instance's Secret holds.
    pub async fn login(&self) -> Outcome<Login> {
        let api: Api<KubeSecret> = Api::namespaced(self.base.clone(), &self.namespace());
        let name = format!("{}-database-g1", self.instance_id.as_deref().unwrap_or_default());
        let found = api.get_opt(&name).await.map_err(|e| e.to_string())?.ok_or("no Secret")?;
        let data = data_of(found.data.as_ref());
        let get = |key: &str| data.get(key).cloned().unwrap_or_default();
        Ok(Login { user: get("username"), password: Secret::new(get("password")) })
    }

    /// Runs SQL as the instance would.
    pub async fn sql(&self, server: &str, sql: &str) -> Outcome<String> {
        let gate: Arc<dyn Gate> = Arc::new(Open);
        let login = self.login().await?;
        let endpoint = World::get().endpoint(server);
        let answer = tenantry_database::query_text(&endpoint, &login, &self.database_name(), sql, &gate).await;
        answer.map(Option::unwrap_or_default).map_err(|e| match e {
            tenantry_database::Error::Authentication { .. } => "log-in refused".into(),
            tenantry_database::Error::Absent { .. } => "no database".into(),
            other => other.to_string(),
        })
    }

    async fn rows(&self) -> Outcome<String> {
        self.sql(
            "pg-a",
            "SELECT (SELECT string_agg(note, ',') FROM facts) || ' ' || (SELECT string_agg(name, ',') FROM customer)",
        )
        .await
    }

    /// What a customer does between: a table with a row that must never be lost.
    pub async fn work(&self) -> Outcome {
        self.sql("pg-a", "CREATE TABLE customer (name text)").await?;
        self.sql("pg-a", "INSERT INTO customer VALUES ('a row of the customer')").await.map(drop)
    }

    fn normal(&self, all: Picture) -> Picture {
        let normal = |text: String| {
            let mut text = text.replace(&self.name, "NAME");
            for (id, word) in [(&self.tenant_id, "TENANT"), (&self.instance_id, "INSTANCE")] {
                if let Some(id) = id {
                    text = text.replace(id.as_str(), word);
                }
            }
            text
        };
        all.into_iter().map(|(k, v)| (normal(k), normal(v))).collect()
    }

    /// Everything that must hold after a step.
    pub async fn check(&mut self, step: Step, reference: Option<&Picture>) -> Outcome<Picture> {
        let (now, events) = (self.now().await?, self.events().await?);
        let picture = self.picture_of(&now, &events).await?;
        if let Some(reference) = reference {
            same(reference, &picture)?;
        }
        self.check_events(step, &now, &events)?;
        self.check_rest().await?;
        Ok(picture)
    }

    /// Each event once, in order, without gaps; the records on objects and archives agree with the last one.
    fn check_events(&self, step: Step, now: &Now, events: &[BillingEvent]) -> Outcome {
        let (tenant_id, instance_id) = self.ids()?;
        let (tenant, instance) = expected_events(step);
        for (id, kind, expected) in [(&tenant_id, "tenant", tenant), (&instance_id, "instance", instance)] {
            let mut mine: Vec<_> = events.iter().filter(|e| e.spec.subject == format!("{kind}/{id}")).collect();
            mine.sort_by_key(|e| e.spec.sequence);
            let kinds: Vec<_> = mine.iter().map(|e| e.spec.event_type.trim_start_matches("dev.tenantry.")).collect();
            if kinds != expected {
                return Err(format!("events of the {kind}: {kinds:?}, expected {expected:?}"));
            }
            let numbers: Vec<u64> = mine.iter().map(|e| e.spec.sequence).collect();
            if numbers != (1..=numbers.len() as u64).collect::<Vec<_>>() {
                return Err(format!("events of the {kind} have numbers {numbers:?}"));
            }
            if let Some(bad) = mine.iter().find(|e| e.name_any() != e.spec.id || !e.spec.id.starts_with(id.as_str())) {
                return Err(format!("event {} has id {}", bad.name_any(), bad.spec.id));
            }
            let annotations = match kind {
                "tenant" => now.tenant.as_ref().map(ResourceExt::annotations),
                _ => now.instance.as_ref().map(ResourceExt::annotations),
            };
            if let (Some(annotations), Some(last)) = (annotations, mine.last()) {
                let recorded =
                    tenantry_operator::life::recorded_of(annotations).ok().flatten().ok_or("no recorded ledger")?;
                if (recorded.sequence, &recorded.facts) != (last.spec.sequence, &last.spec.after) {
                    return Err(format!("the {kind} records {recorded:?}, its last event is {:?}", last.spec));
                }
            }
        }
        Ok(())
    }

    /// A new process that looks at everything once changes nothing and asks no database server.
    pub async fn check_rest(&mut self) -> Outcome {
        let cold = Operator::new(&self.base);
        let warm = self.operator.clone();
        for operator in [warm, cold] {
            operator.gate.count_anew();
            let trouble = self.round_of(&operator).await?;
            let writes = operator.gate.writes();
            if !writes.is_empty() || !trouble.is_empty() {
                return Err(format!("at rest it still writes {writes:?} {trouble:?}"));
            }
        }
        Ok(())
    }
}

fn without_hash(child: &DynamicObject) -> String {
    let name = child.name_any();
    match name.split_once("-config-g") {
        Some((head, _)) => format!("{head}-config {:?}", child.labels().get(names::LABEL_DATA_GENERATION)),
        None => name,
    }
}

/// Compares two pictures and names what differs.
pub fn same(expected: &Picture, found: &Picture) -> Outcome {
    let mut differences = Vec::new();
    for key in expected.keys().chain(found.keys().filter(|k| !expected.contains_key(*k))) {
        let (a, b) = (expected.get(key), found.get(key));
        if a != b {
            differences.push(format!("{key}:\n    expected {a:?}\n    found    {b:?}"));
        }
    }
    if differences.is_empty() { Ok(()) } else { Err(format!("the state differs:\n  {}", differences.join("\n  "))) }
}

/// Every object of a tenant with its version: equal means that nobody touched it.
pub async fn versions(life: &Life) -> Outcome<BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    let version = |m: &kube::api::ObjectMeta| m.resource_version.clone().unwrap_or_default();
    if let Some(t) = life.tenant().await? {
        all.insert("tenant".into(), version(&t.metadata));
    }
    let Some(i) = life.instance().await? else { return Err(format!("{INSTANCE} is gone")) };
    all.insert("instance".into(), version(&i.metadata));
    for kind in kinds() {
        let list = dynamic_api(&life.base, kind, Some(&life.namespace())).list_metadata(&ListParams::default()).await;
        for child in list.map_err(|e| e.to_string())?.items {
            all.insert(format!("{kind:?} {}", child.name_any()), version(&child.metadata));
        }
    }
    Ok(all)
}
