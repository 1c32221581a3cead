//! `tenantry top`: what uses how much, of tenants, instances and database servers. Does I/O; what is shown is pure.

mod usage;

use std::collections::HashMap;
use std::fmt::Debug;

use clap::ValueEnum;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::core::DeserializeGuard;
use kube::{Api, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tenantry_api::crm_instance::CrmInstance;
use tenantry_api::database_server::DatabaseServer;
use tenantry_api::tenant::Tenant;
use tenantry_core::names::{self, SYSTEM_NAMESPACE};

use crate::args::Targets;
use crate::error::{Exit, Problem, api::problem};
use crate::listing::{self, Listed};
use crate::session::Session;
use crate::target::{self, SERVER};
use crate::{instance, tenant};
use usage::{Amount, Sums};

/// Objects in one answer of the API server.
const PAGE: u32 = 500;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Of what
    #[arg(value_enum, default_value = "tenants", value_name = "WHAT")]
    pub what: What,
    /// All with these labels, for example tier=gold
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// What comes first: who uses most, or asks for most where nothing is measured
    #[arg(long, value_enum, default_value = "cpu", value_name = "COLUMN")]
    pub sort: Sort,
    /// Only the first ones
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
}

/// Of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// Tenants, with all their instances
    Tenants,
    /// Instances
    Instances,
    /// Database servers that the operator runs
    Servers,
}

/// What comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Sort {
    /// Processor time
    Cpu,
    /// Memory
    Memory,
    /// Number of pods
    Pods,
    /// By name
    Name,
}

/// One line of the table.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    name: String,
    state: String,
    pods: u32,
    /// As measured; None means that nothing is measured here.
    used: Option<Amount>,
    requested: Amount,
    limit: Amount,
    /// None means that the number is not known.
    databases: Option<u32>,
}

impl Listed for Row {
    fn headings(wide: bool) -> Vec<&'static str> {
        let mut all = vec!["NAME", "STATE", "CPU", "CPU ASKED", "MEMORY", "MEMORY ASKED", "PODS", "DATABASES"];
        if wide {
            all.push("MEMORY LIMIT");
        }
        all
    }

    fn row(&self, wide: bool, _now: Timestamp) -> Vec<String> {
        let unknown = || "unknown".to_owned();
        let mut row = vec![
            self.name.clone(),
            self.state.clone(),
            self.used.map_or_else(unknown, Amount::cpu),
            self.requested.cpu(),
            self.used.map_or_else(unknown, Amount::memory),
            self.requested.memory(),
            self.pods.to_string(),
            self.databases.map_or_else(unknown, |n| n.to_string()),
        ];
        if wide {
            row.push(self.limit.memory());
        }
        row
    }

    fn address(&self) -> String {
        self.name.clone()
    }
}

/// An object that pods belong to.
struct Owner {
    name: String,
    state: String,
    /// The value of the label on the owner's pods.
    key: String,
    databases: Option<u32>,
}

pub async fn run(args: &Args, session: &Session) -> Result<Exit, Problem> {
    let targets = Targets { selector: args.selector.clone(), ..Targets::default() };
    let (owners, label) = match args.what {
        What::Tenants => (tenants(session, &targets).await?, names::LABEL_TENANT_ID),
        What::Instances => (instances(session, &targets).await?, names::LABEL_INSTANCE_ID),
        What::Servers => (servers(session, &targets).await?, names::LABEL_DATABASE_SERVER),
    };
    let client = session.cluster.client.clone();
    // Install jobs of older versions carry the label of a server as well; only the server's own pods count.
    let selector = match args.what {
        What::Servers => format!("{label},{}=database-server", names::LABEL_PURPOSE),
        What::Tenants | What::Instances => label.to_owned(),
    };
    let pods: Api<Pod> = match args.what {
        What::Servers => Api::namespaced(client.clone(), SYSTEM_NAMESPACE),
        What::Tenants | What::Instances => Api::all(client.clone()),
    };
    let mut sums = Sums::default();
    each(&pods, &selector, |pod| sums.pod(label, &pod)).await.map_err(|e| problem("list pods", &e))?;
    let kind = metrics();
    let measured: Api<DynamicObject> = match args.what {
        What::Servers => Api::namespaced_with(client, SYSTEM_NAMESPACE, &kind),
        What::Tenants | What::Instances => Api::all_with(client, &kind),
    };
    let missing = each(&measured, &selector, |m| sums.measured(&m)).await.err();
    if let Some(error) = &missing {
        session.out.note(&note(error));
    }
    let mut rows: Vec<Row> = owners.into_iter().map(|owner| row(owner, &sums, missing.is_none())).collect();
    sort(&mut rows, args.sort);
    rows.truncate(args.limit.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX)));
    listing::list(&session.out, &rows, session.now(), "nothing is there that could use anything")
}

/// Measurements of pods, as metrics-server gives them.
fn metrics() -> ApiResource {
    ApiResource {
        group: "metrics.k8s.io".into(),
        version: "v1beta1".into(),
        api_version: "metrics.k8s.io/v1beta1".into(),
        kind: "PodMetrics".into(),
        plural: "pods".into(),
    }
}

/// Why nothing is measured, and what is shown all the same.
fn note(error: &kube::Error) -> String {
    let why = match error {
        kube::Error::Api(status) if status.code == 403 => "you may not read metrics.k8s.io".to_owned(),
        kube::Error::Api(status) if matches!(status.code, 404 | 503) => {
            "the cluster does not offer metrics.k8s.io (metrics-server)".to_owned()
        }
        other => crate::error::api::sources(other),
    };
    format!("what is used is unknown: {why}; shown is what the pods ask for")
}

/// Passes on every object that a selector matches, page by page; no object is kept.
async fn each<K>(api: &Api<K>, selector: &str, mut told: impl FnMut(K)) -> kube::Result<()>
where
    K: Clone + DeserializeOwned + Debug,
{
    let mut params = ListParams::default().limit(PAGE);
    if !selector.is_empty() {
        params = params.labels(selector);
    }
    loop {
        let page = api.list(&params).await?;
        page.items.into_iter().for_each(&mut told);
        match page.metadata.continue_.filter(|c| !c.is_empty()) {
            Some(next) => params = params.continue_token(&next),
            None => return Ok(()),
        }
    }
}

async fn tenants(session: &Session, targets: &Targets) -> Result<Vec<Owner>, Problem> {
    let found = target::tenants(session, targets, true).await?;
    let mut databases: HashMap<String, u32> = HashMap::new();
    let all: Api<DeserializeGuard<CrmInstance>> = Api::all(session.cluster.client.clone());
    let counted = each(&all, "", |guarded| {
        // An instance that cannot be read is reported by other commands; here it must not hide the rest.
        let Ok(instance) = guarded.0 else { return };
        let has = instance.status.as_ref().is_some_and(|s| s.database.is_some());
        *databases.entry(instance.spec.tenant).or_default() += u32::from(has);
    });
    counted.await.map_err(|e| problem("list instances", &e))?;
    let owner = |t: Tenant| Owner {
        state: tenant::view::state(&t),
        databases: Some(databases.get(&t.name_any()).copied().unwrap_or(0)),
        key: t.spec.id.clone().unwrap_or_default(),
        name: t.name_any(),
    };
    Ok(found.into_iter().map(owner).collect())
}

async fn instances(session: &Session, targets: &Targets) -> Result<Vec<Owner>, Problem> {
    let found = target::instances(session, targets, true).await?;
    let owner = |i: CrmInstance| Owner {
        state: instance::view::state(&i),
        databases: Some(u32::from(i.status.as_ref().is_some_and(|s| s.database.is_some()))),
        key: i.spec.id.clone().unwrap_or_default(),
        name: target::address_of(&i),
    };
    Ok(found.into_iter().map(owner).collect())
}

async fn servers(session: &Session, targets: &Targets) -> Result<Vec<Owner>, Problem> {
    let api: Api<DatabaseServer> = Api::all(session.cluster.client.clone());
    let found = target::some(session, &api, SERVER, targets, true).await?;
    let owner = |s: DatabaseServer| Owner {
        state: s.status.as_ref().map_or_else(|| "Pending".to_owned(), |status| format!("{:?}", status.phase)),
        databases: s.status.as_ref().and_then(|status| status.databases),
        key: s.name_any(),
        name: s.name_any(),
    };
    // An external server has no pods here, so its use is not known.
    Ok(found.into_iter().filter(|s| s.spec.managed.is_some()).map(owner).collect())
}

fn row(owner: Owner, sums: &Sums, measured: bool) -> Row {
    let sum = sums.of(&owner.key);
    Row {
        name: owner.name,
        state: owner.state,
        pods: sum.pods,
        used: measured.then_some(sum.used),
        requested: sum.requested,
        limit: sum.limit,
        databases: owner.databases,
    }
}

/// Largest first; equal rows by name.
fn sort(rows: &mut [Row], by: Sort) {
    let weight = |row: &Row| {
        let amount = row.used.unwrap_or(row.requested);
        match by {
            Sort::Cpu => amount.cpu_nanocores,
            Sort::Memory => amount.memory_bytes,
            Sort::Pods => u64::from(row.pods),
            Sort::Name => 0,
        }
    };
    rows.sort_by(|a, b| weight(b).cmp(&weight(a)).then_with(|| a.name.cmp(&b.name)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(name: &str, used: Option<u64>, requested: u64) -> Row {
        let amount = |n: u64| Amount { cpu_nanocores: n, memory_bytes: 1_000_000 / n.max(1) };
        Row {
            name: name.into(),
            state: "Active".into(),
            pods: 1,
            used: used.map(amount),
            requested: amount(requested),
            limit: Amount::default(),
            databases: None,
        }
    }

    fn names(rows: &[Row]) -> Vec<&str> {
        rows.iter().map(|r| r.name.as_str()).collect()
    }

    #[test]
    fn who_uses_most_comes_first_whatever_they_ask_for() {
        let mut rows = vec![made("a", Some(1), 9), made("b", Some(5), 2), made("c", Some(5), 1)];
        sort(&mut rows, Sort::Cpu);
        assert_eq!(names(&rows), ["b", "c", "a"]);
        sort(&mut rows, Sort::Memory);
        assert_eq!(names(&rows), ["a", "b", "c"]);
        sort(&mut rows, Sort::Name);
        assert_eq!(names(&rows), ["a", "b", "c"]);
    }

    #[test]
    fn where_nothing_is_measured_who_asks_for_most_comes_first_and_what_is_used_is_unknown() {
        let mut rows = vec![made("a", None, 1), made("b", None, 2)];
        sort(&mut rows, Sort::Cpu);
        assert_eq!(names(&rows), ["b", "a"]);
        let cells = rows[0].row(true, Timestamp::UNIX_EPOCH);
        assert_eq!(cells.len(), Row::headings(true).len());
        assert_eq!((cells[2].as_str(), cells[4].as_str(), cells[7].as_str()), ("unknown", "unknown", "unknown"));
    }
}
