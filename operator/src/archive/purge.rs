//! Destroys archived data: only what the Archive names, and only what the server's record says is its own. Does I/O.

use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::{Api, DynamicObject, ListParams, PartialObjectMeta};
use tenantry_api::archive::{Archive, ArchivePhase, ArchiveStatus, ArchivedKind};
use tenantry_api::crm_instance::CrmInstance;
use tenantry_core::class::ErrorClass;
use tenantry_core::id::Id;
use tenantry_core::ledger::{Facts, Life};
use tenantry_core::names;
use tenantry_database::Page;
use tenantry_plan::archive::{demand_holds, is_put_back};
use tenantry_plan::event::Subject;
use tenantry_plan::{Kind, Settings};

use super::pace::{CONDITION, again, has_namespace};
use super::{orphans, volumes};
use crate::cluster::dynamic_api;
use crate::context::Ctx;
use crate::error::Error;
use crate::halt::{Halt, OrHalt};
use crate::instance::database;
use crate::life::adopt::{archives_of, ledger_of};
use crate::life::{Stream, claim, record, replay};
use crate::sql;
use crate::status::write;

/// Longest pause before the next look at the clock.
const LONGEST: Duration = Duration::from_secs(86_400);

fn blocked(message: String) -> Halt {
    Halt::fail(CONDITION, "Blocked", message, ErrorClass::Blocked)
}

/// Whether the data may be destroyed: a person confirmed the purge by name, and no living object uses the data. Changes
/// nothing.
///
/// # Errors
/// [`Halt`] at `Purged` that says what prevents the purge.
pub async fn may(archive: &Archive, ctx: &Ctx, now: Timestamp) -> Result<(), Halt> {
    let spec = &archive.spec;
    let id = Id::parse(&spec.id).map_err(|e| blocked(e.to_string()))?;
    let tenant_id = Id::parse(&spec.tenant_id).map_err(|e| blocked(e.to_string()))?;
    let name = archive.name_any();
    // Earlier versions asked for the name of the archived object.
    if spec.purge.as_ref().is_none_or(|p| p.confirm != name && p.confirm != spec.name) {
        return Err(blocked(format!("spec.purge.confirm is not {name}, the name of this Archive")));
    }
    // A purge that has begun cannot be taken back, not even by a longer retention.
    let begun = archive.status.as_ref().is_some_and(|s| s.phase == ArchivePhase::Purging);
    if !begun && !demand_holds(spec, now) {
        return Err(retained(archive, now));
    }
    if is_put_back(archive) {
        let text = format!(
            "this Archive was put back from a backup without its status, which says whether somebody took its data over after the purge was asked for; nothing is destroyed before it is asked for again: tenantry archive purge {name}"
        );
        return Err(Halt::fail(CONDITION, "PutBack", text, ErrorClass::Blocked));
    }
    let all = archives_of(ctx, &tenant_id).await?;
    if let Some(later) = all.iter().find(|a| supersedes(a, archive)) {
        return Err(blocked(format!(
            "archive {} holds the same data for a later life; purge that one",
            later.name_any()
        )));
    }
    if let Some(holder) = claim::living(ctx, &id).await? {
        return Err(blocked(format!("{holder} lives on this data; archive it first")));
    }
    match spec.kind {
        ArchivedKind::CrmInstance => nobody_lives_on(archive, ctx, &id).await,
        ArchivedKind::Tenant => {
            nobody_lives_in(archive, &all, ctx, &id).await?;
            // Once the purge has begun, a search would find only what is being removed.
            match archive.status.as_ref().map(|s| s.phase) {
                Some(ArchivePhase::Purging) => Ok(()),
                _ => orphans::none_of(ctx, &all, &id).await,
            }
        }
    }
}

/// The halt while the retention is not over: the purge waits for its end.
fn retained(archive: &Archive, now: Timestamp) -> Halt {
    let (name, until) = (archive.name_any(), &archive.spec.retain_until);
    let message = format!(
        "the data is kept until {until} at least; nothing was destroyed, and the purge begins after that day. Sooner: `tenantry archive purge {name} --before-retention`. Not at all: adopt it, or set spec.retainUntil to a later day"
    );
    let left = until.parse::<Timestamp>().map_or(LONGEST, |day| {
        // One second more, so that the clock has passed that time.
        Duration::try_from(day.duration_since(now)).unwrap_or_default().saturating_add(Duration::from_secs(1))
    });
    Halt::wait(CONDITION, "Retained", message, left.min(LONGEST))
}

/// Destroys the data of an archive and records that. Called only after [`may`] has agreed and the phase `Purging` was
/// written, so that nobody takes the data over meanwhile.
///
/// # Errors
/// [`Halt`] at `Purged` while something holds up the purge.
#[tracing::instrument(target = "tenantry::trace", level = "debug", name = "purge", skip_all)]
pub async fn run(archive: &Archive, ctx: &Ctx, status: &mut ArchiveStatus, now: Timestamp) -> Result<(), Halt> {
    let spec = &archive.spec;
    let id = Id::parse(&spec.id).map_err(|e| blocked(e.to_string()))?;
    let tenant_id = Id::parse(&spec.tenant_id).map_err(|e| blocked(e.to_string()))?;
    match spec.kind {
        ArchivedKind::CrmInstance => instance(archive, ctx, status, &id).await?,
        ArchivedKind::Tenant => tenant(archive, ctx, &id).await?,
    }
    let subject = Subject {
        id,
        kind: match spec.kind {
            ArchivedKind::CrmInstance => "instance",
            ArchivedKind::Tenant => "tenant",
        },
        tenant_id,
        tenant_name: spec.tenant_name.clone(),
    };
    let mut recorded = ledger_of(archive)?;
    if recorded.sequence == 0 {
        // This is an orphan's archive that was written without the operator.
        recorded = replay(ctx, &subject.id).await.halt(CONDITION)?;
    }
    let facts = Facts { life: Life::Purged, ..recorded.facts.clone() };
    record(ctx, &Stream { subject, recorded }, &facts, now).await.halt(CONDITION)?;
    Ok(())
}

/// Refuses the purge while an instance with the id lives: it has taken the data over, and the archive may no longer
/// destroy it. The id's claim shows that already; this check asks the objects themselves.
async fn nobody_lives_on(archive: &Archive, ctx: &Ctx, id: &Id) -> Result<(), Halt> {
    let living: Api<CrmInstance> = Api::namespaced(ctx.client.clone(), &archive.spec.namespace);
    let list = living.list(&ListParams::default()).await;
    let list = list.map_err(Error::kube("list instances")).halt(CONDITION)?;
    match list.items.iter().find(|i| i.spec.id.as_deref() == Some(id.as_str())) {
        Some(alive) => Err(blocked(format!("instance {:?} lives on this data; archive it first", alive.name_any()))),
        None => Ok(()),
    }
}

/// Notes the volumes behind the claims, stores the note, and removes all data. Succeeds when nothing of it exists any
/// more.
async fn instance(archive: &Archive, ctx: &Ctx, status: &mut ArchiveStatus, id: &Id) -> Result<(), Halt> {
    let claims = volumes::claims_of(archive, ctx).await.halt(CONDITION)?;
    if volumes::note(&claims, &mut status.volumes) {
        write(ctx, archive, status.clone()).await.halt(CONDITION)?;
    }
    volumes::remove(archive, ctx, &claims).await.halt(CONDITION)?;
    if !status.databases_gone {
        databases(archive, ctx, id).await?;
        status.databases_gone = true;
    }
    let secrets = secrets(archive, ctx, id).await.halt(CONDITION)?;
    if !claims.is_empty() {
        let names: Vec<String> = claims.iter().map(ResourceExt::name_any).collect();
        return Err(volumes::going(
            archive,
            ctx,
            &format!("waiting until these claims are gone: {}", names.join(", ")),
        ));
    }
    if secrets > 0 {
        let text = format!("waiting until {secrets} Secrets are gone");
        return Err(Halt::wait(CONDITION, "RemovingSecrets", text, again(archive, ctx)));
    }
    volumes::gone(archive, ctx, &status.volumes).await
}

async fn databases(archive: &Archive, ctx: &Ctx, id: &Id) -> Result<(), Halt> {
    let settings = ctx.settings().await.halt(CONDITION)?;
    let owner = names::owner_of_instance(id);
    for database in &archive.spec.databases {
        let object = ctx.database_server(&database.server).await.halt(CONDITION)?;
        let object = object.ok_or_else(|| {
            blocked(format!(
                "DatabaseServer {:?}, which holds {}, does not exist; create it again",
                database.server, database.name
            ))
        })?;
        let server = sql::administration(ctx, &object, &settings).await.halt(CONDITION)?;
        // An Archive that was written for an orphan, and a server that was restored from an older backup, have a database
        // that nobody has archived. People work in none of them any more.
        let kept = database::look(ctx, id, database, &settings).await.halt(CONDITION)?;
        database::lock(&kept).await.halt(CONDITION)?;
        server.admin.drop_database(&database.name, &owner).await.halt(CONDITION)?;
        // Last, tombstones included: until then the numbers of generations are not used again.
        server.admin.forget_generations(&owner).await.halt(CONDITION)?;
        drop_templates(archive, ctx, &database.server, &server).await?;
    }
    if archive.spec.databases.is_empty() {
        templates_anywhere(archive, ctx, &settings).await;
    }
    Ok(())
}

/// Drops the templates that are left of an install that never led to a database; they may be on any server. A server
/// that cannot be asked does not hold up the purge, because the reconcile of each server collects its unneeded
/// templates anyway.
async fn templates_anywhere(archive: &Archive, ctx: &Ctx, settings: &Settings) {
    for object in ctx.database_servers().await.unwrap_or_default() {
        let name = object.name_any();
        let dropped = match sql::administration(ctx, &object, settings).await {
            Ok(server) => drop_templates(archive, ctx, &name, &server).await.map_err(|halt| halt.message),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = dropped {
            tracing::warn!(server = name, error, "templates that nobody needs were not looked for");
        }
    }
}

/// Removes every Secret of the instance, whether the archive lists it or not: rendered configuration and the Secrets of
/// jobs hold passwords, too. Returns how many Secrets were found.
async fn secrets(archive: &Archive, ctx: &Ctx, id: &Id) -> crate::error::Result<usize> {
    let namespace = archive.spec.namespace.as_str();
    let all = dynamic_api(&ctx.client, Kind::Secret, Some(namespace)).list_metadata(&ListParams::default()).await;
    let all = match all.map_err(Error::kube("list the Secrets")) {
        Ok(all) => all.items,
        // The namespace is gone, and with it both the Secrets and the right to read them.
        Err(e) if e.api_code() == Some(403) && !has_namespace(ctx, namespace).await? => return Ok(0),
        Err(e) => return Err(e),
    };
    let of_it = |s: &&PartialObjectMeta<DynamicObject>| {
        s.labels().get(names::LABEL_INSTANCE_ID).map(String::as_str) == Some(id.as_str())
            || archive.spec.secrets.contains(&s.name_any())
    };
    let mine: Vec<_> = all.iter().filter(of_it).collect();
    for secret in mine.iter().filter(|s| s.metadata.deletion_timestamp.is_none()) {
        ctx.remove(Kind::Secret, Some(namespace), &secret.name_any()).await?;
    }
    Ok(mine.len())
}

/// Drops the templates of a Blueprint that was deleted. Nobody copies them any more, so they go with the data that was
/// made from them, including the templates of releases that were corrected later. They belong to no tenant, and would
/// be built again if an instance of that Blueprint had to be installed again.
async fn drop_templates(archive: &Archive, ctx: &Ctx, name: &str, server: &sql::Server) -> Result<(), Halt> {
    let blueprint = serde_json::from_str::<serde_json::Value>(&archive.spec.object).ok();
    let blueprint = blueprint.and_then(|o| o.get("blueprint").and_then(|b| b.as_str()).map(str::to_owned));
    let Some(blueprint) = blueprint else { return Ok(()) };
    if ctx.blueprint(&blueprint).await.halt(CONDITION)?.is_some() {
        return Ok(());
    }
    // Only databases that the server's own registry records as templates of this Blueprint.
    let whose = names::owner_of_template(&blueprint, "");
    let mut page = Page { prefix: names::TEMPLATE_PREFIX.into(), after: None, limit: 0 };
    loop {
        let records = server.admin.records(&page).await.halt(CONDITION)?;
        let Some(last) = records.last() else { return Ok(()) };
        page.after = Some(last.name.clone());
        for record in records.iter().filter(|r| r.owner.starts_with(&whose)) {
            // Instances of one release are often purged at the same time. With the lock, nobody builds the template
            // meanwhile.
            let turn = ctx.servers.lock_template(name, &record.name).await;
            let _mine = turn.lock().await;
            server.admin.drop_database(&record.name, &record.owner).await.halt(CONDITION)?;
        }
    }
}

/// Whether the data of an archive passed on to a later life, which has an archive of its own.
///
/// # Errors
/// [`Error::Kube`].
pub async fn is_superseded(archive: &Archive, ctx: &Ctx) -> crate::error::Result<bool> {
    let api: Api<Archive> = Api::all(ctx.client.clone());
    let params = ListParams::default().labels(&format!("{}={}", names::LABEL_TENANT_ID, archive.spec.tenant_id));
    let all = api.list(&params).await.map_err(Error::kube("list archives"))?;
    Ok(all.items.iter().any(|a| supersedes(a, archive)))
}

/// Whether archive `a` holds the data that archive `b` held, for a later life.
fn supersedes(a: &Archive, b: &Archive) -> bool {
    a.spec.id == b.spec.id && a.spec.life > b.spec.life
}

async fn nobody_lives_in(archive: &Archive, all: &[Archive], ctx: &Ctx, id: &Id) -> Result<(), Halt> {
    let name = archive.name_any();
    let open: Vec<String> = all
        .iter()
        .filter(|a| a.name_any() != name && !all.iter().any(|b| supersedes(b, a)))
        .filter(|a| {
            let phase = a.status.as_ref().map(|s| s.phase).unwrap_or_default();
            !matches!(phase, ArchivePhase::Purged | ArchivePhase::Adopted)
        })
        .map(|a| format!("{} ({})", a.name_any(), a.spec.name))
        .collect();
    if !open.is_empty() {
        return Err(blocked(format!("its instances' archives are not purged yet: {}", open.join(", "))));
    }
    let namespace = names::namespace(id);
    let living: Api<CrmInstance> = Api::namespaced(ctx.client.clone(), &namespace);
    let list = living.list(&ListParams::default()).await.map_err(Error::kube("list instances")).halt(CONDITION)?;
    if let Some(alive) = list.items.first() {
        return Err(blocked(format!("instance {:?} lives in its namespace; archive it first", alive.name_any())));
    }
    Ok(())
}

async fn tenant(archive: &Archive, ctx: &Ctx, id: &Id) -> Result<(), Halt> {
    let namespace = names::namespace(id);
    let api = dynamic_api(&ctx.client, Kind::Namespace, None);
    let found = api.get_opt(&namespace).await.map_err(Error::kube("get the namespace")).halt(CONDITION)?;
    match found {
        None => Ok(()),
        Some(ns) => {
            if ns.labels().get(names::LABEL_TENANT_ID).map(String::as_str) != Some(id.as_str()) {
                return Err(blocked(format!("namespace {namespace} is not this tenant's; it is left alone")));
            }
            ctx.remove(Kind::Namespace, None, &namespace).await.halt(CONDITION)?;
            Err(Halt::wait(
                CONDITION,
                "RemovingNamespace",
                format!("namespace {namespace} is going"),
                again(archive, ctx),
            ))
        }
    }
}
