//! The templates of a server: lists them, and drops those that nothing needs any more. Does I/O (SQL, Kubernetes).

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use tenantry_api::blueprint::{Blueprint, Effective};
use tenantry_api::crm_instance::CrmInstance;
use tenantry_api::database_server::{DatabaseServerStatus, TemplateStatus};
use tenantry_core::names;
use tenantry_database::{DatabaseRecord, Page};

use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::sql::Server;
use tenantry_core::names::ANNOTATION_RELEASE;

/// How often templates are looked at when nothing on the server has changed.
const EVERY: SignedDuration = SignedDuration::from_hours(1);
/// Largest number of templates that a status lists.
const MOST: usize = 100;

/// Looks at the templates when that is due, drops those that nothing needs, and lists the others in the status.
///
/// A template contains only what its blueprint installs, and would be built again if needed. It is needed as long as a
/// Blueprint offers its release, or an instance runs with that release: only these build or copy it.
///
/// # Errors
/// [`Error`] of a call. Nothing that could be needed is dropped then.
pub async fn collect(
    ctx: &Ctx,
    name: &str,
    server: &Server,
    status: &mut DatabaseServerStatus,
    now: Timestamp,
) -> Result<()> {
    let databases = status.databases.unwrap_or_default();
    if !ctx.servers.templates_due(name, databases, now, EVERY).await {
        return Ok(());
    }
    let mut there = all(server).await?;
    let offered = offered(ctx, &there).await?;
    let (mut kept, doubtful): (Vec<_>, Vec<_>) = there.drain(..).partition(|r| offered.contains(&r.owner));
    if !doubtful.is_empty() {
        let pinned = pinned(ctx).await?;
        for record in doubtful {
            if of_template(&record.owner).is_none_or(|(_, hash)| pinned.contains(hash)) {
                kept.push(record);
                continue;
            }
            // With the lock, nobody in this process builds the template meanwhile. The server itself keeps other
            // processes apart.
            let turn = ctx.servers.lock_template(name, &record.name).await;
            let _mine = turn.lock().await;
            server.admin.drop_database(&record.name, &record.owner).await?;
            tracing::info!(
                template = record.name,
                owner = record.owner,
                "dropped: no blueprint and no instance needs it"
            );
        }
    }
    status.templates = told(&kept);
    ctx.servers.templates_seen(name, databases, now).await;
    Ok(())
}

async fn all(server: &Server) -> Result<Vec<DatabaseRecord>> {
    let mut page = Page { prefix: names::TEMPLATE_PREFIX.into(), after: None, limit: 0 };
    let mut all = Vec::new();
    loop {
        let records = server.admin.records(&page).await?;
        let Some(last) = records.last() else { return Ok(all) };
        page.after = Some(last.name.clone());
        all.extend(records);
    }
}

/// The blueprint and the release hash that the owner of a template names.
fn of_template(owner: &str) -> Option<(&str, &str)> {
    owner.strip_prefix("template/")?.split_once('/')
}

/// The owners among these records whose release is offered by the present version of a Blueprint.
async fn offered(ctx: &Ctx, records: &[DatabaseRecord]) -> Result<BTreeSet<String>> {
    let mut blueprints: BTreeMap<&str, Option<Blueprint>> = BTreeMap::new();
    for (name, _) in records.iter().filter_map(|r| of_template(&r.owner)) {
        if !blueprints.contains_key(name) {
            blueprints.insert(name, ctx.blueprint(name).await?);
        }
    }
    Ok(blueprints.into_iter().filter_map(|(name, found)| Some(owners(name, &found?))).flatten().collect())
}

/// The owners of the templates of all releases of a Blueprint.
fn owners(name: &str, blueprint: &Blueprint) -> Vec<String> {
    let pin = |version: &String| Effective::pin(name, &blueprint.spec, Some(version)).ok();
    let versions = blueprint.spec.releases.iter().map(|r| &r.version);
    versions.filter_map(pin).map(|release| names::owner_of_template(name, &release.hash)).collect()
}

/// The hashes of the releases that instances run with, including instances that are being deleted.
async fn pinned(ctx: &Ctx) -> Result<BTreeSet<String>> {
    let api: Api<CrmInstance> = Api::all(ctx.client.clone());
    let list = api.list_metadata(&ListParams::default()).await.map_err(Error::kube("list instances"))?;
    Ok(list.items.iter().filter_map(|i| i.annotations().get(ANNOTATION_RELEASE).cloned()).collect())
}

fn told(records: &[DatabaseRecord]) -> Vec<TemplateStatus> {
    let mut all: Vec<_> = records
        .iter()
        .filter_map(|r| {
            let (blueprint, hash) = of_template(&r.owner)?;
            let (blueprint, release_hash) = (blueprint.to_owned(), hash.to_owned());
            Some(TemplateStatus { blueprint, release_hash, state: r.state.to_string(), since: r.updated_at.clone() })
        })
        .collect();
    all.sort_by(|a, b| (&a.blueprint, &a.since).cmp(&(&b.blueprint, &b.since)));
    all.truncate(MOST);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_tells_blueprint_and_release() {
        assert_eq!(of_template(&names::owner_of_template("tryton", "ab12")), Some(("tryton", "ab12")));
        assert_eq!(of_template("instance/kkkkkkkkkk"), None);
    }
}
