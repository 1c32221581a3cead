//! One reconcile of a DatabaseServer. Does I/O (Kubernetes, SQL).

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::{Api, DynamicObject, Patch};
use serde_json::json;
use tenantry_api::condition::{ConditionType, Said, find, set};
use tenantry_api::database_server::{DatabaseServer, DatabaseServerPhase, DatabaseServerStatus};
use tenantry_core::class::ErrorClass;
use tenantry_core::names;
use tenantry_plan::{Kind, Settings, lost, server};

use super::freezes;
use super::observe::{VOLUME_LOST, observe, volume};
use super::stuck::explain;
use super::sweep::sweep;
use super::templates;
use super::turn;
use super::uses::uses;
use crate::archive::orphans;
use crate::cluster::{dynamic_api, patch_params};
use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::halt::{Halt, OrHalt};
use crate::life::{metadata, release};
use crate::requeue::pause;
use crate::sql;
use crate::status::write;

/// How often a healthy server is asked: SQL has no watch.
const PULSE: Duration = Duration::from_secs(30);

/// How long to wait for a server that never answered: a quarter of the time that it has had to start. A server that
/// starts well is noticed soon, and a server that does not start is asked less and less often.
fn starting(object: &DatabaseServer, now: Timestamp) -> Duration {
    let age = object.metadata.creation_timestamp.as_ref().map_or(0, |t| now.duration_since(t.0).as_secs());
    Duration::from_secs(u64::try_from(age / 4).unwrap_or(0)).clamp(Duration::from_secs(1), PULSE)
}

/// Reconciles a database server.
///
/// # Errors
/// [`Error::Kube`] while the status is written.
pub async fn reconcile(object: Arc<DatabaseServer>, ctx: &Ctx, now: Timestamp) -> Result<Option<Duration>> {
    let api: Api<DatabaseServer> = Api::all(ctx.client.clone());
    let uid = object.metadata.uid.as_deref().unwrap_or_default();
    let generation = object.metadata.generation;
    let mut status = object.status.clone().unwrap_or_default();
    status.observed_generation = generation;
    let was = status.phase;
    let outcome = if object.metadata.deletion_timestamp.is_some() {
        end(&object, ctx, &api, &mut status, now).await.map(|()| None)
    } else {
        live(&object, ctx, &api, &mut status, now).await
    };
    let again = match outcome {
        Ok(waits) => {
            ctx.memory.retries.recovered(uid);
            if object.metadata.deletion_timestamp.is_some() {
                return Ok(None);
            }
            status.phase = DatabaseServerPhase::Ready;
            let said = match waits {
                None => answers(&status),
                Some(other) => format!(
                    "{}; a change that is not its own (of the Site, or another version of the operator) waits until database server {other} has been exchanged",
                    answers(&status)
                ),
            };
            set(&mut status.conditions, Said::yes(ConditionType::Ready, "Answers", said), generation, now);
            PULSE
        }
        Err(halt) if !halt.is_told(ctx.memory.retries.failures(uid)) => return Ok(Some(pause(ctx, uid, &halt))),
        Err(halt) => {
            let transient = matches!(halt.class, None | Some(ErrorClass::Transient));
            set(&mut status.conditions, Said::no(halt.condition, &halt.reason, halt.message.clone()), generation, now);
            let answers = find(&status.conditions, ConditionType::Reachable).is_some_and(|c| c.status == "True");
            status.phase = server::phase_when_halted(halt.class, answers, was);
            if halt.condition != ConditionType::Ready {
                set(
                    &mut status.conditions,
                    Said::no(ConditionType::Ready, &halt.reason, halt.message.clone()),
                    generation,
                    now,
                );
            }
            // A new password or certificate is read when the server is connected again.
            if transient || halt.condition == ConditionType::Reachable {
                ctx.servers.forget(&object.name_any()).await;
            }
            if status.version.is_none() && transient {
                starting(&object, now)
            } else {
                pause(ctx, uid, &halt).min(PULSE)
            }
        }
    };
    write(ctx, &*object, status).await?;
    Ok(Some(again))
}

/// Brings a server to its desired state, and asks whether it answers. Returns the other server that a change has to
/// wait for, if any.
#[tracing::instrument(target = "tenantry::trace", level = "debug", name = "live", skip_all)]
async fn live(
    object: &DatabaseServer,
    ctx: &Ctx,
    api: &Api<DatabaseServer>,
    status: &mut DatabaseServerStatus,
    now: Timestamp,
) -> std::result::Result<Option<String>, Halt> {
    let settings = ctx.settings().await.halt(ConditionType::Ready)?;
    let kept = upkeep(object, ctx, api, &settings, status, now).await;
    // A server that ran before is asked all the same: whether it answers concerns the CRMs on it.
    let ran = kept.as_ref().is_err_and(|halt| halt.condition != ConditionType::Reachable) && status.version.is_some();
    if (kept.is_ok() || ran)
        && let Err(halt) = probe(object, ctx, &settings, status, now).await
    {
        return Err(match object.spec.managed {
            Some(_) => explain(ctx, &object.name_any(), halt).await,
            None => halt,
        });
    }
    kept
}

/// Maintains everything that belongs to a server that the operator runs. Returns the other server that a change has to
/// wait for, as [`live`].
async fn upkeep(
    object: &DatabaseServer,
    ctx: &Ctx,
    api: &Api<DatabaseServer>,
    settings: &Settings,
    status: &mut DatabaseServerStatus,
    now: Timestamp,
) -> std::result::Result<Option<String>, Halt> {
    let mut waits = None;
    metadata(ctx, api, object, true, &[]).await.halt(ConditionType::Ready)?;
    if let Some(managed) = &object.spec.managed {
        let problems = server::problems(managed);
        if !problems.is_empty() {
            let text = format!("{}; nothing was changed", problems.join("; "));
            return Err(Halt::fail(ConditionType::Ready, "Invalid", text, ErrorClass::Invalid));
        }
        let secret = server::build_secret(object, settings, &ctx.password(32).halt(ConditionType::Ready)?);
        let name = server::secret_name(object);
        let secrets = dynamic_api(&ctx.client, Kind::Secret, Some(&ctx.system_namespace));
        let found = secrets
            .get_opt(&name)
            .await
            .map_err(Error::kube("get the administrator's Secret"))
            .halt(ConditionType::Ready)?;
        if found.is_none() {
            if status.version.is_some() {
                let text = format!(
                    "Secret {}/{name} with the administrator's password is gone; the server still has the old password. Restore the Secret; it is not made anew",
                    ctx.system_namespace
                );
                return Err(Halt::fail(ConditionType::Reachable, "AdminSecretMissing", text, ErrorClass::Blocked));
            }
            ctx.create_once(&secret).await.halt(ConditionType::Ready)?;
        } else if let Some(found) = found {
            note_made(object, &secrets, &found, status).await.halt(ConditionType::Ready)?;
        }
        let seen = observe(ctx, object, managed).await.halt(ConditionType::Ready)?;
        let mut refused = None;
        for child in server::children(object, settings, &seen) {
            // A server that lost its volume is stopped, even while another server's pod is being replaced.
            if child.kind == Kind::StatefulSet && seen.lost.is_none() {
                waits = turn::apply(ctx, object, &child).await.halt(ConditionType::Ready)?;
                continue;
            }
            match ctx.apply(&child).await {
                Ok(_) => {}
                // A volume that may not grow is no reason to stop maintaining the server.
                Err(e) if child.kind == Kind::PersistentVolumeClaim && matches!(e.api_code(), Some(403 | 422)) => {
                    refused = Some(e);
                }
                Err(e) => return Err(Halt::at(ConditionType::Ready)(e)),
            }
        }
        if let Some(said) = volume(managed, &seen, refused.as_ref()) {
            set(&mut status.conditions, said, object.metadata.generation, now);
        }
        if let Some(lost) = &seen.lost {
            let said = lost::said(&ctx.system_namespace, std::slice::from_ref(lost));
            let text = format!(
                "{said}. The server is stopped, and nothing empty is made in its place; it starts by itself within half a minute of the volume's return"
            );
            let volume = Said::no(ConditionType::VolumeReady, VOLUME_LOST, text.clone());
            set(&mut status.conditions, volume, object.metadata.generation, now);
            return Err(Halt::fail(ConditionType::Reachable, VOLUME_LOST, text, ErrorClass::Blocked));
        }
    }
    Ok(waits)
}

/// Writes into the administrator's Secret that the server's data was created, once the server has answered. Removes
/// that note when a person lets the server begin empty again.
async fn note_made(
    object: &DatabaseServer,
    secrets: &Api<DynamicObject>,
    found: &DynamicObject,
    status: &DatabaseServerStatus,
) -> Result<()> {
    let noted = found.data.get("data").and_then(|d| d.get(server::KEY_MADE)).is_some();
    let anew = object.annotations().get(names::ANNOTATION_CONFIRM_EMPTY) == Some(&object.name_any());
    let made = find(&status.conditions, ConditionType::Reachable).is_some_and(|c| c.status == "True");
    let patch = match (noted, anew) {
        (false, false) if made => json!({ "stringData": { server::KEY_MADE: "yes" } }),
        (true, true) => json!({ "data": { server::KEY_MADE: null } }),
        _ => return Ok(()),
    };
    let patched = secrets.patch(&found.name_any(), &patch_params(), &Patch::Merge(&patch)).await;
    patched.map(drop).map_err(Error::kube("note that the server's data was made"))
}

fn answers(status: &DatabaseServerStatus) -> String {
    format!("{} answers", status.version.clone().unwrap_or_default())
}

/// What is said of the server's own databases that the operator may not close to all roles. Empty if there are none.
fn open_to_all(databases: &[String]) -> String {
    match databases {
        [] => String::new(),
        some => format!(
            "; every role may enter its own databases {}, which belong to another administrator and hold nothing of a tenant",
            some.join(", ")
        ),
    }
}

#[tracing::instrument(target = "tenantry::trace", level = "debug", name = "probe", skip_all)]
async fn probe(
    object: &DatabaseServer,
    ctx: &Ctx,
    settings: &Settings,
    status: &mut DatabaseServerStatus,
    now: Timestamp,
) -> std::result::Result<(), Halt> {
    let (host, port) = server::address(object, settings);
    status.host = Some(host);
    status.port = Some(port);
    let server = sql::administration(ctx, object, settings).await.halt(ConditionType::Reachable)?;
    let facts = server.admin.probe().await.halt(ConditionType::Reachable)?;
    status.version = Some(facts.version_text);
    status.version_major = Some(facts.version_major);
    status.databases = Some(server.admin.count().await.halt(ConditionType::Reachable)?);
    // Before anything else that may fail: people cannot write until it is done.
    freezes::lift(&object.name_any(), server.admin.as_ref()).await.halt(ConditionType::Reachable)?;
    sweep(ctx, &object.name_any(), server.admin.as_ref()).await.halt(ConditionType::Reachable)?;
    let text = format!("{}{}", answers(status), open_to_all(&facts.open_to_all));
    let said = Said::yes(ConditionType::Reachable, "Answers", text);
    set(&mut status.conditions, said, object.metadata.generation, now);
    if object.metadata.deletion_timestamp.is_none()
        && let Err(error) = templates::collect(ctx, &object.name_any(), &server, status, now).await
    {
        // The server answers all the same; the next look tries again.
        tracing::warn!(%error, "the server's templates were not looked at");
    }
    let uid = object.metadata.uid.as_deref().unwrap_or_default();
    if orphans::is_due(ctx, uid, status, now) {
        // The server answers: a failure of this look is no reason to report otherwise. The look is repeated when it is
        // due again.
        ctx.memory.looked(uid, now);
        match orphans::on_server(ctx, &server).await {
            Ok((count, told)) => {
                if !told.is_empty() || !status.orphans.is_empty() {
                    let said = orphans::said(&object.name_any(), count, &told);
                    set(&mut status.conditions, said, object.metadata.generation, now);
                }
                status.orphans = told;
            }
            Err(error) => tracing::warn!(%error, "databases to which nothing leads were not looked for"),
        }
    }
    Ok(())
}

/// Lets a server go only when nobody has data on it. The volume of a managed server stays even then.
async fn end(
    object: &DatabaseServer,
    ctx: &Ctx,
    api: &Api<DatabaseServer>,
    status: &mut DatabaseServerStatus,
    now: Timestamp,
) -> std::result::Result<(), Halt> {
    if !object.finalizers().iter().any(|f| f == names::FINALIZER) {
        return Ok(());
    }
    let settings = ctx.settings().await.halt(ConditionType::Ready)?;
    holds_nothing(object, ctx, &settings, status, now).await?;
    for child in server::children(object, &settings, &server::Seen::default()) {
        ctx.remove(child.kind, child.namespace.as_deref(), &child.name).await.halt(ConditionType::Ready)?;
    }
    ctx.servers.forget(&object.name_any()).await;
    release(api, object).await.halt(ConditionType::Ready)
}

/// Makes sure that nobody has data on a server that is to be deleted: the server's own record says so, and no instance
/// or archive says otherwise. The status of the server proves nothing, because it may be lost. A server that cannot be
/// asked stays.
async fn holds_nothing(
    object: &DatabaseServer,
    ctx: &Ctx,
    settings: &Settings,
    status: &mut DatabaseServerStatus,
    now: Timestamp,
) -> std::result::Result<(), Halt> {
    let stays = |reason: &str, text: String| Err(Halt::fail(ConditionType::Ready, reason, text, ErrorClass::Blocked));
    let name = object.name_any();
    let asked = recorded(object, ctx, settings, status, now).await;
    if let Ok(count @ 1..) = asked {
        let text = format!("{count} databases of tenants or archives are on it; it stays until they are purged");
        return stays("HoldsDatabases", text);
    }
    let users = uses(ctx, &name).await.halt(ConditionType::Ready)?.join(", ");
    let Err(away) = asked else {
        return match users.as_str() {
            "" => Ok(()),
            users => stays(
                "HoldsDatabases",
                format!(
                    "{users} have data on it, and its own record has none of it: give it its data back; it stays until they are purged"
                ),
            ),
        };
    };
    let why = away.message.clone();
    set(
        &mut status.conditions,
        Said::no(ConditionType::Reachable, &away.reason, away.message),
        object.metadata.generation,
        now,
    );
    ctx.servers.forget(&name).await;
    if !users.is_empty() {
        return stays(
            "HoldsDatabases",
            format!("{users} have data on it; it stays until they are purged. It does not answer: {why}"),
        );
    }
    if let Some(managed) = &object.spec.managed
        && observe(ctx, object, managed)
            .await
            .halt(ConditionType::Ready)?
            .claim
            .is_none_or(|claim| claim.volume.is_none())
    {
        // The server never had a volume, so it never held anything.
        return Ok(());
    }
    if object.annotations().get(names::ANNOTATION_CONFIRM_DELETION) == Some(&name) {
        return Ok(());
    }
    stays(
        "CannotBeAsked",
        format!(
            "it does not answer, so that nobody knows what is on it, and it stays: {why}. No instance and no archive says that it has data there; if it never held any: kubectl annotate databaseserver {name} {}={name}",
            names::ANNOTATION_CONFIRM_DELETION
        ),
    )
}

/// How many databases a server's own record has. Nothing is created on a server that has no record.
async fn recorded(
    object: &DatabaseServer,
    ctx: &Ctx,
    settings: &Settings,
    status: &mut DatabaseServerStatus,
    now: Timestamp,
) -> std::result::Result<u32, Halt> {
    let server = sql::administration(ctx, object, settings).await.halt(ConditionType::Reachable)?;
    if !server.admin.has_registry().await.halt(ConditionType::Reachable)? {
        return Ok(0);
    }
    probe(object, ctx, settings, status, now).await?;
    Ok(status.databases.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_that_every_role_may_enter_are_named_and_nothing_is_said_without_them() {
        assert_eq!(open_to_all(&[]), "");
        let said = open_to_all(&["postgres".to_owned(), "template1".to_owned()]);
        assert!(said.starts_with("; every role may enter its own databases postgres, template1, "), "{said}");
    }
}
