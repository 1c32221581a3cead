//! The database of an instance: made or copied, then made its own. Does I/O (SQL, Kubernetes).

use std::time::{Duration, Instant};

use tenantry_api::archive::KeptDatabase;
use tenantry_core::class::ErrorClass;
use tenantry_core::ledger::Limits;
use tenantry_core::names;
use tenantry_database::{Login, NewDatabase, Source, State};
use tenantry_plan::context::Keys;
use tenantry_plan::instance::{Wanted, build_volume};
use tenantry_plan::{Settings, context, job};

use super::install::SHORTEST;
use super::live::Pass;
use super::place::Placed;
use super::{copy, place, template};
use crate::context::Ctx;
use crate::error::Error;
use crate::halt::Halt;
use crate::sql::{self, Server};

const CONDITION: &str = "DatabaseReady";

/// Brings the database to the state in which processes can start.
///
/// # Errors
/// [`Halt`] at `DatabaseReady` or `Installed`.
#[tracing::instrument(target = "tenantry::trace", level = "debug", name = "database", skip_all)]
pub async fn ensure(
    ctx: &Ctx,
    pass: &Pass,
    wanted: &Wanted,
    settings: &Settings,
    limits: &Limits,
    placed: &Placed,
    keys: &Keys,
) -> Result<(), Halt> {
    let known = pass.held(CONDITION, wanted.generation) && pass.held("Installed", wanted.generation);
    // Until it was verified once its blueprint may be mended: then the server is asked which one made it its own.
    if known && !placed.untold && pass.installed_before() {
        // Made, and nothing but a person with the administrator's password could have changed that.
        return Ok(());
    }
    let at = Halt::at(CONDITION);
    let object = ctx.database_server(&placed.server).await.map_err(&at)?;
    let object = object.ok_or_else(|| {
        let text =
            format!("DatabaseServer {:?} with this instance's data does not exist; create it again", placed.server);
        Halt::fail(CONDITION, "NoSuchServer", text, ErrorClass::Blocked)
    })?;
    let server = sql::administration(ctx, &object, settings).await.map_err(&at)?;
    let name = &placed.access.name;
    let owner = names::owner_of_instance(&wanted.id);
    let record = server.admin.record(name).await.map_err(|e| at(e.into()))?;
    let state = record.as_ref().map(|r| r.state);
    if matches!(state, None | Some(State::Creating)) && lost(pass) {
        let text = format!(
            "database {name} is not on server {:?}, and no new one is made in its place: restore the server from its own backup",
            placed.server
        );
        return Err(Halt::fail(CONDITION, "DatabaseLost", text, ErrorClass::Blocked));
    }
    let of_another_release = record.as_ref().is_some_and(|r| r.release_hash != wanted.release.hash);
    if state == Some(State::Personalised) {
        // What came out of an archive, and a copy of another instance, keep what they were made by.
        let as_it_is = lost(pass) || pass.instance.spec.adopt.is_some() || pass.instance.spec.from.is_some();
        if of_another_release && !as_it_is && record.as_ref().is_some_and(|r| r.owner == owner) {
            // Its role may not have been told this password yet, and the steps log in with it.
            place::tell(ctx, wanted, placed, &server).await?;
            personalise(ctx, wanted, settings, limits, placed, keys, &server).await?;
            server.admin.set_release(name, &owner, &wanted.release.hash).await.map_err(|e| at(e.into()))?;
        }
        if known && !placed.untold {
            return Ok(());
        }
        return place::tell(ctx, wanted, placed, &server).await;
    }
    if pass.instance.spec.from.is_some() {
        let filling = copy::Filling { ctx, pass, wanted, settings, limits, keys };
        let target = copy::Target { placed, object: &object, server: &server };
        return Box::pin(copy::database(&filling, &target, record)).await;
    }
    if state == Some(State::Installing) {
        // Only a copy that was never finished is left so: it may hold the original's passwords and mail.
        return Err(copy::unfinished());
    }
    // Begun for the same reason and broken off: it is finished, or nothing could be made in its place.
    let replaced = state == Some(State::Dropping) || (state == Some(State::Loaded) && of_another_release);
    if replaced
        && !lost(pass)
        // What came out of an archive, or was there before this object, may have been worked in, however far it was
        // installed: it is never dropped.
        && pass.instance.spec.adopt.is_none()
        && record.as_ref().is_some_and(|r| r.owner == owner)
    {
        // A copy of what another release installed. Nobody has worked in it yet: processes start after this.
        server.admin.drop_database(name, &owner).await.map_err(|e| at(e.into()))?;
    }
    if state == Some(State::Archived) {
        server.admin.unlock_role(name, &owner).await.map_err(|e| at(e.into()))?;
        // One that was archived before it was installed may never have been made this instance's own: it still
        // has the template's passwords, and the steps may be repeated.
        let was = if pass.installed_before() { State::Personalised } else { State::Loaded };
        server.admin.set_state(name, &owner, was).await.map_err(|e| at(e.into()))?;
        if was == State::Personalised {
            if known && !placed.untold {
            return Ok(());
        }
        return place::tell(ctx, wanted, placed, &server).await;
        }
    }
    let source = match &wanted.release.spec.install {
        None => Source::Empty,
        Some(_) => Source::Template { name: template::ensure(ctx, &object, &server, &wanted.release, settings).await? },
    };
    let database = wanted.release.spec.database.as_ref();
    let new = NewDatabase {
        name: name.clone(),
        owner: owner.clone(),
        tenant: wanted.tenant_id.to_string(),
        generation: wanted.generation,
        role: placed.access.user.clone(),
        password: placed.access.password.clone(),
        connection_limit: Some(object.spec.connections_per_tenant),
        source,
        release_hash: wanted.release.hash.clone(),
        extensions: database.map(|d| d.extensions.clone()).unwrap_or_default(),
        charset: database.and_then(|d| d.charset.clone()),
    };
    server.admin.create(&new).await.map_err(|e| at(e.into()))?;
    if placed.untold {
        place::tell(ctx, wanted, placed, &server).await?;
    }
    personalise(ctx, wanted, settings, limits, placed, keys, &server).await?;
    if of_another_release {
        // What is in it was made by that one, and this one works with it from now on.
        server.admin.set_release(name, &owner, &wanted.release.hash).await.map_err(|e| at(e.into()))?;
    }
    server.admin.set_state(name, &owner, State::Personalised).await.map_err(|e| at(e.into()))
}

/// Whether the instance had data before, so that an absent database is a loss and not a beginning.
fn lost(pass: &Pass) -> bool {
    pass.installed_before() || pass.taken_over()
}

/// Makes the database this instance's own: by SQL as its role, or by a job.
///
/// # Errors
/// [`Halt`] at `Installed`.
pub(super) async fn personalise(
    ctx: &Ctx,
    wanted: &Wanted,
    settings: &Settings,
    limits: &Limits,
    placed: &Placed,
    keys: &Keys,
    server: &Server,
) -> Result<(), Halt> {
    let Some(list) = &wanted.release.spec.personalise else { return Ok(()) };
    let at = Halt::at("Installed");
    let values = context::instance(wanted, settings, limits, Some(&placed.access), keys);
    let blueprint = &wanted.release.blueprint;
    // While a job of theirs runs or rests, and after one that succeeded, there is nothing to do here.
    let commands = match job::split(list).1 {
        [] => None,
        _ => match template::personalise_due(ctx, wanted).await? {
            None => return Ok(()),
            due => due,
        },
    };
    let login = Login { user: placed.access.user.clone(), password: placed.access.password.clone() };
    let (start, limit) = (Instant::now(), Duration::from_secs(list.timeout_seconds.into()));
    let left = || limit.saturating_sub(start.elapsed()).max(SHORTEST);
    for (step, sql) in job::sql(blueprint, "personalise", list, &values).map_err(|e| at(e.into()))? {
        tenantry_database::run_as(&server.endpoint, &login, &placed.access.name, &sql, &ctx.gate, left())
            .await
            .map_err(|e| {
                let halt = at(Error::Database(e));
                Halt { message: format!("personalise[{step}]: {}", halt.message), ..halt }
            })?;
    }
    let Some(attempt) = commands else { return Ok(()) };
    // The job may write into the volumes, and its pod waits for them.
    for volume in &wanted.release.spec.volumes {
        ctx.create_once(&build_volume(wanted, settings, limits, volume, None)).await.map_err(&at)?;
    }
    let mut file = job::file(blueprint, "personalise", list, &values).map_err(|e| at(e.into()))?;
    let spent = u32::try_from(start.elapsed().as_secs()).unwrap_or(u32::MAX);
    file.timeout_seconds = list.timeout_seconds.saturating_sub(spent).max(1);
    Err(template::start_personalise(ctx, wanted, settings, &values, &file, attempt).await?)
}

/// Locks the role of a database: nobody logs in with it until the data is taken over again.
///
/// # Errors
/// [`Error`] of the server.
pub async fn lock(
    ctx: &Ctx,
    instance_id: &tenantry_core::id::Id,
    kept: &KeptDatabase,
    settings: &Settings,
) -> crate::error::Result<()> {
    let object = ctx.database_server(&kept.server).await?;
    let object = object.ok_or_else(|| Error::Blocked(format!("DatabaseServer {:?} does not exist", kept.server)))?;
    let server = sql::administration(ctx, &object, settings).await?;
    let owner = names::owner_of_instance(instance_id);
    if let Some(record) = server.admin.record(&kept.name).await?
        && record.owner == owner
        && record.state != State::Archived
        && record.state != State::Creating
    {
        server.admin.lock_role(&kept.name, &owner).await?;
        if matches!(record.state, State::Installing | State::Dropping) {
            // A copy that was never finished keeps saying so: nobody may take it for one that was neutralised. One
            // that was being thrown away, for nobody had worked in it, is gone for good when it is purged.
            return Ok(());
        }
        server.admin.set_state(&kept.name, &owner, State::Archived).await?;
    }
    Ok(())
}
