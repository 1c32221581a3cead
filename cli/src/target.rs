//! From what the person named to the objects in the cluster, with suggestions for near names. Does I/O.

use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tenantry_api::archive::{Archive, ArchivedKind};
use tenantry_api::crm_instance::CrmInstance;
use tenantry_api::tenant::Tenant;
use tenantry_core::id::Id;
use tenantry_core::names;

pub use crate::address::address_of;
use crate::args::Targets;
use crate::error::{Problem, api, near};
use crate::session::Session;

/// One kind of object, as people name it.
#[derive(Debug, Clone, Copy)]
pub struct Word {
    /// `tenant`.
    pub one: &'static str,
    /// The command that lists them.
    pub list: &'static str,
}

pub const TENANT: Word = Word { one: "tenant", list: "tenant list" };
pub const PLAN: Word = Word { one: "plan", list: "plan list" };
pub const BLUEPRINT: Word = Word { one: "blueprint", list: "blueprint list" };
pub const SERVER: Word = Word { one: "database server", list: "database-server list" };
pub const ARCHIVE: Word = Word { one: "archive", list: "archive list" };

/// One object by name; the error lists the names that exist.
pub async fn one<K>(session: &Session, api: &Api<K>, word: Word, name: &str) -> Result<K, Problem>
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug,
{
    let found = api.get_opt(name).await.map_err(|e| api::problem(&format!("read {} {name}", word.one), &e))?;
    if let Some(found) = found {
        return Ok(found);
    }
    let all = session.cluster.list(api, &format!("{}s", word.one), None).await?;
    Err(near::missing(word.one, name, all.iter().map(ResourceExt::name_any).collect(), word.list))
}

/// The objects that were named; when none was named and `all` is set, all objects.
pub async fn some<K>(
    session: &Session,
    api: &Api<K>,
    word: Word,
    targets: &Targets,
    all: bool,
) -> Result<Vec<K>, Problem>
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug,
{
    needs(targets, all, word.one)?;
    if targets.names.is_empty() {
        let found = session.cluster.list(api, &format!("{}s", word.one), targets.selector.as_deref()).await?;
        return if all { Ok(found) } else { not_none(found, word.one, targets) };
    }
    let mut found = Vec::with_capacity(targets.names.len());
    for name in &targets.names {
        found.push(one(session, api, word, name).await?);
    }
    Ok(found)
}

fn needs(targets: &Targets, all: bool, word: &str) -> Result<(), Problem> {
    if targets.is_empty() && !all {
        return Err(Problem::usage(format!("which {word}? name one, or use -l SELECTOR or --all")));
    }
    Ok(())
}

fn not_none<K>(found: Vec<K>, word: &str, targets: &Targets) -> Result<Vec<K>, Problem> {
    if found.is_empty() {
        let why = targets.selector.as_ref().map_or_else(String::new, |s| format!(" with {s}"));
        return Err(Problem::not_found(format!("there is no {word}{why}")));
    }
    Ok(found)
}

/// A tenant by name; for an archived tenant, the error points at its archive.
pub async fn tenant(session: &Session, name: &str) -> Result<Tenant, Problem> {
    let problem = match one(session, &session.cluster.tenants(), TENANT, name).await {
        Ok(found) => return Ok(found),
        Err(problem) => problem,
    };
    if problem.exit != crate::error::Exit::NOT_FOUND {
        return Err(problem);
    }
    let archives = session.cluster.list(&session.cluster.archives(), "archives", None).await.unwrap_or_default();
    let kept = |a: &&Archive| a.spec.tenant_name == name && crate::archive::keep::is_kept(a, session.now());
    let kept: Vec<&Archive> = archives.iter().filter(kept).collect();
    if kept.is_empty() {
        return Err(problem);
    }
    let archived = Problem::not_found(format!("tenant {name:?} is archived")).safe("its data is kept");
    let tenants: Vec<&&Archive> = kept.iter().filter(|a| a.spec.kind == ArchivedKind::Tenant).collect();
    let archived = match tenants.as_slice() {
        [one] => archived.next("bring back", format!("tenant adopt {}", one.name_any())),
        _ => archived,
    };
    Err(archived.next("look", format!("archive list --tenant {name}")))
}

/// The tenants that were named.
pub async fn tenants(session: &Session, targets: &Targets, all: bool) -> Result<Vec<Tenant>, Problem> {
    if let [name] = targets.names.as_slice() {
        return Ok(vec![tenant(session, name).await?]);
    }
    some(session, &session.cluster.tenants(), TENANT, targets, all).await
}

pub fn id_of(tenant: &Tenant) -> Result<Id, Problem> {
    let name = tenant.name_any();
    let id = tenant.spec.id.as_deref().ok_or_else(|| {
        Problem::failed(format!("tenant {name} has no id yet"))
            .why("the operator mints one as soon as it sees the tenant")
            .next("is it running?", "doctor")
    })?;
    Id::parse(id).map_err(|e| Problem::failed(format!("tenant {name} has a strange id: {e}")))
}

pub fn namespace_of(tenant: &Tenant) -> Result<String, Problem> {
    let told = tenant.status.as_ref().and_then(|s| s.namespace.clone());
    told.map_or_else(|| id_of(tenant).map(|id| names::namespace(&id)), Ok)
}

/// TENANT/INSTANCE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Name of the tenant.
    pub tenant: String,
    /// Name of the instance.
    pub instance: String,
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.tenant, self.instance)
    }
}

impl std::str::FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some((tenant, instance)) if !tenant.is_empty() && !instance.is_empty() && !instance.contains('/') => {
                Ok(Self { tenant: tenant.into(), instance: instance.into() })
            }
            _ => Err(format!("{text:?} is not TENANT/INSTANCE, for example acme/crm")),
        }
    }
}

/// One instance with its tenant.
pub async fn instance(session: &Session, address: &Address) -> Result<(Tenant, CrmInstance), Problem> {
    let tenant = tenant(session, &address.tenant).await?;
    let api = session.cluster.instances(&namespace_of(&tenant)?);
    let found =
        api.get_opt(&address.instance).await.map_err(|e| api::problem(&format!("read instance {address}"), &e))?;
    if let Some(found) = found {
        return Ok((tenant, found));
    }
    let names = session.cluster.list(&api, "instances", None).await?.iter().map(address_of).collect();
    let list = format!("instance list {}", address.tenant);
    Err(near::missing("instance", &address.to_string(), names, &list))
}

/// The instances that were named. With `all`, a tenant's name alone means all of its instances.
pub async fn instances(session: &Session, targets: &Targets, all: bool) -> Result<Vec<CrmInstance>, Problem> {
    needs(targets, all, "instance")?;
    if targets.names.is_empty() {
        let api = session.cluster.all_instances();
        let found = session.cluster.list(&api, "instances", targets.selector.as_deref()).await?;
        return if all { Ok(found) } else { not_none(found, "instance", targets) };
    }
    let mut found = Vec::new();
    for name in &targets.names {
        if all && !name.contains('/') {
            found.extend(of_tenant(session, &tenant(session, name).await?).await?);
        } else {
            let address: Address = name.parse().map_err(|e| wrong_address(name, e))?;
            found.push(instance(session, &address).await?.1);
        }
    }
    Ok(found)
}

/// The error for a name that is no address.
fn wrong_address(name: &str, error: String) -> Problem {
    let problem = Problem::usage(error);
    if name.contains('/') { problem } else { problem.next("which instances", format!("instance list {name}")) }
}

/// All instances of a tenant.
pub async fn of_tenant(session: &Session, tenant: &Tenant) -> Result<Vec<CrmInstance>, Problem> {
    let api = session.cluster.instances(&namespace_of(tenant)?);
    session.cluster.list(&api, "instances", None).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_are_addressed_with_their_tenant() {
        for (text, fits) in [("acme/crm", true), ("acme", false), ("/crm", false), ("acme/", false), ("a/b/c", false)] {
            assert_eq!(text.parse::<Address>().is_ok(), fits, "{text}");
        }
    }
}
