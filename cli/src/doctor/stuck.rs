//! What is stuck: conditions that do not hold for too long. Does I/O; judgements are pure.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::core::error_boundary::InvalidObject;
use kube::{Api, ResourceExt};
use tenantry_api::archive::ArchivePhase;
use tenantry_api::crm_instance::InstancePhase;
use tenantry_api::database_server::DatabaseServer;
use tenantry_api::tenant::TenantPhase;
use tenantry_plan::archive::demand_holds;

use super::report::{Check, Verdict};
use crate::error::Problem;
use crate::output::text::age;
use crate::progress::steps::said;
use crate::session::Session;
use crate::target::address_of;

/// One object, with what matters for being stuck.
#[derive(Debug, Clone)]
pub struct Watched {
    /// `tenant acme`.
    pub title: String,
    pub conditions: Vec<Condition>,
    /// Since when the object is being deleted.
    pub deleting: Option<Timestamp>,
    /// When the object was created, if the operator has not looked at it yet.
    pub unseen_since: Option<Timestamp>,
    /// Why the object cannot be read at all, if it cannot.
    pub unreadable: Option<String>,
    /// The command that helps.
    pub help: String,
}

/// One check for each kind.
pub async fn checks(session: &Session, after: Duration) -> Vec<Check> {
    let now = session.now();
    let all = [
        ("Tenants", tenants(session).await),
        ("Instances", instances(session).await),
        ("Database servers at work", servers(session).await),
        ("Archives", archives(session).await),
        ("Blueprints", blueprints(session).await),
    ];
    let mut checks = Vec::with_capacity(all.len());
    for (title, found) in all {
        checks.push(match found {
            Ok(objects) => judged(title, &objects, after, now),
            Err(problem) => Check::new(Verdict::Warn, title).line(format!("not checked: {}", problem.what)),
        });
    }
    checks
}

/// Most stuck objects of a kind that are listed.
const LISTED: usize = 20;

/// Whether any of these objects is stuck.
pub fn judged(title: &str, objects: &[Watched], after: Duration, now: Timestamp) -> Check {
    let mut lines: Vec<(String, &str)> = Vec::new();
    for object in objects {
        lines.extend(wrong(object, after, now).into_iter().map(|line| (line, object.help.as_str())));
    }
    if lines.is_empty() {
        let count = crate::output::text::count(objects.len(), "object");
        return Check::new(Verdict::Pass, title).line(format!("{count}, nothing is stuck"));
    }
    let more = lines.len().saturating_sub(LISTED);
    let mut check = Check::new(Verdict::Fail, title);
    for (line, help) in lines.into_iter().take(LISTED) {
        check = check.line(line);
        let known = crate::program::command(help);
        if !help.is_empty() && !check.help.contains(&known) {
            check = check.help(help);
        }
    }
    if more > 0 { check.line(format!("and {more} more")) } else { check }
}

/// What is wrong with one object for too long.
fn wrong(object: &Watched, after: Duration, now: Timestamp) -> Vec<String> {
    let long = |since: Timestamp| now.duration_since(since).unsigned_abs() >= after && since < now;
    let mut lines = Vec::new();
    if let Some(error) = &object.unreadable {
        lines.push(format!("{}: cannot be read, so the operator leaves it alone: {error}", object.title));
    }
    if let Some(since) = object.deleting.filter(|s| long(*s)) {
        lines.push(format!("{}: being archived since {}", object.title, age(since, now)));
    }
    if let Some(since) = object.unseen_since.filter(|s| long(*s)) {
        lines.push(format!("{}: the operator has not looked at it since {}", object.title, age(since, now)));
    }
    let broken: Vec<&Condition> =
        object.conditions.iter().filter(|c| c.status == "False" && long(c.last_transition_time.0)).collect();
    let only_ready = broken.iter().all(|c| c.type_ == "Ready");
    for c in broken.iter().filter(|c| only_ready || c.type_ != "Ready") {
        lines.push(format!("{}: {} since {}: {}", object.title, c.type_, age(c.last_transition_time.0, now), said(c)));
    }
    lines
}

/// An object with the conditions that count, and with the two other signs of being stuck.
fn watched<K: kube::Resource>(object: &K, title: String, help: String, conditions: Option<Vec<Condition>>) -> Watched {
    let deleting = object.meta().deletion_timestamp.as_ref().map(|t| t.0);
    let made = object.meta().creation_timestamp.as_ref().map(|t| t.0);
    let unseen_since = if conditions.is_none() { made } else { None };
    let mut conditions = conditions.unwrap_or_default();
    // A living object is expected not to be archived.
    conditions.retain(|c| deleting.is_some() || c.type_ != "Archived");
    Watched { title, conditions, deleting, unseen_since, unreadable: None, help }
}

async fn tenants(session: &Session) -> Result<Vec<Watched>, Problem> {
    let (all, unreadable) = session.cluster.read_list(&session.cluster.tenants(), "tenants", None).await?;
    let found = all.iter().map(|t| {
        let name = t.name_any();
        let conditions = t.status.as_ref().map(|s| match s.phase {
            // A resumed tenant keeps the phase Suspended until one of its instances is back.
            TenantPhase::Suspended if t.spec.suspended => Vec::new(),
            _ => s.conditions.clone(),
        });
        watched(t, format!("tenant {name}"), format!("tenant show {name}"), conditions)
    });
    Ok(found.chain(unreadable.iter().map(left_alone)).collect())
}

async fn instances(session: &Session) -> Result<Vec<Watched>, Problem> {
    let (all, unreadable) = session.cluster.read_list(&session.cluster.all_instances(), "instances", None).await?;
    let found = all.iter().map(|i| {
        let address = address_of(i);
        let conditions = i.status.as_ref().map(|s| match s.phase {
            InstancePhase::Suspended => Vec::new(),
            _ => s.conditions.clone(),
        });
        watched(i, address.clone(), format!("instance show {address}"), conditions)
    });
    Ok(found.chain(unreadable.iter().map(left_alone)).collect())
}

async fn servers(session: &Session) -> Result<Vec<Watched>, Problem> {
    let api = Api::<DatabaseServer>::all(session.cluster.client.clone());
    let (all, unreadable) = session.cluster.read_list(&api, "database servers", None).await?;
    let found = all.iter().map(|s| {
        let name = s.name_any();
        let mut conditions = s.status.as_ref().map(|s| s.conditions.clone());
        // The check for things without an owner reports these at once, with the commands.
        conditions.iter_mut().for_each(|all| all.retain(|c| c.type_ != "NoOrphans"));
        watched(s, format!("database server {name}"), format!("database-server show {name}"), conditions)
    });
    Ok(found.chain(unreadable.iter().map(left_alone)).collect())
}

async fn archives(session: &Session) -> Result<Vec<Watched>, Problem> {
    let (all, unreadable) = session.cluster.read_list(&session.cluster.archives(), "archives", None).await?;
    let found = all.iter().map(|a| {
        let name = a.name_any();
        // An archive without a purge, or with a purge that is not due yet, is well as long as it exists.
        let doomed = demand_holds(&a.spec, session.now()) || crate::archive::keep::phase(a) == ArchivePhase::Purging;
        let conditions = a.status.as_ref().filter(|_| doomed).map(|s| s.conditions.clone());
        let title = format!("archive {name} ({})", crate::archive::keep::label(a));
        watched(a, title, format!("archive show {name}"), Some(conditions.unwrap_or_default()))
    });
    Ok(found.chain(unreadable.iter().map(left_alone)).collect())
}

async fn blueprints(session: &Session) -> Result<Vec<Watched>, Problem> {
    let (all, unreadable) = session.cluster.read_list(&session.cluster.blueprints(), "blueprints", None).await?;
    let found = all.iter().map(|b| {
        let name = b.name_any();
        let conditions = b.status.as_ref().map(|s| s.conditions.clone());
        watched(b, format!("blueprint {name}"), format!("blueprint show {name}"), conditions)
    });
    Ok(found.chain(unreadable.iter().map(left_alone)).collect())
}

/// An object that cannot be read.
fn left_alone(object: &InvalidObject) -> Watched {
    let title = crate::cluster::name_of(object);
    let unreadable = Some(object.error.clone());
    Watched { title, conditions: Vec::new(), deleting: None, unseen_since: None, unreadable, help: String::new() }
}
