//! The database of an instance: made or copied, then made its own. Does I/O (SQL, Kubernetes).

use tenantry_api::archive::KeptDatabase;
use tenantry_api::condition::ConditionType;
use tenantry_core::class::ErrorClass;
use tenantry_core::names;
use tenantry_database::{DatabaseRecord, NewDatabase, Source, State};
use tenantry_plan::Settings;

use super::inputs::{Inputs, Placed};
use super::pass::Pass;
use super::{copy, personalise, place, template};
use crate::context::Ctx;
use crate::error::Error;
use crate::halt::Halt;
use crate::sql::{self, Server};

/// The condition of an instance's database.
pub const CONDITION: ConditionType = ConditionType::DatabaseReady;
/// Reason of a halt: the database is not where it was.
pub const DATABASE_LOST: &str = "DatabaseLost";

/// Brings the database to the state in which processes can start.
///
/// # Errors
/// [`Halt`] at `DatabaseReady` or `Installed`.
#[tracing::instrument(target = "tenantry::trace", level = "debug", name = "database", skip_all)]
pub async fn ensure(ctx: &Ctx, pass: &Pass, inputs: &Inputs<'_>, placed: &Placed) -> Result<(), Halt> {
    let Inputs { wanted, settings, now, .. } = *inputs;
    let known = pass.held(CONDITION, wanted.generation) && pass.held(ConditionType::Installed, wanted.generation);
    let uid = pass.instance.metadata.uid.as_deref().unwrap_or_default();
    // Until the instance was verified once, its blueprint may be fixed: then the server is asked which release
    // personalised the database.
    if known && !placed.untold && pass.installed_before() && !ctx.memory.is_doubted(uid) {
        // The database is made. If somebody drops it by hand, the sweeps of its server report that.
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
    let found = found(&server, name, record.as_ref()).await.map_err(&at)?;
    if found == Found::Lost || (matches!(state, None | Some(State::Creating)) && lost(pass)) {
        let what = if found == Found::There { "is not in the record of server" } else { GONE };
        return Err(missing(name, &placed.server, what, if lost(pass) { RESTORE } else { ANEW }));
    }
    let of_another_release = record.as_ref().is_some_and(|r| r.release_hash != wanted.release.hash);
    if state == Some(State::Personalised) {
        // A database that came out of an archive and a copy of another instance keep the release that made them.
        let as_it_is = lost(pass) || pass.instance.spec.adopt.is_some() || pass.instance.spec.from.is_some();
        if of_another_release && !as_it_is && record.as_ref().is_some_and(|r| r.owner == owner) {
            // The server may not know this password of the role yet, and the steps log in with it.
            place::tell(ctx, wanted, placed, &server).await?;
            personalise::run(ctx, inputs, placed, &server).await?;
            server.admin.set_release(name, &owner, &wanted.release.hash).await.map_err(|e| at(e.into()))?;
        }
        ctx.memory.trust(uid);
        if known && !placed.untold {
            return Ok(());
        }
        return place::tell(ctx, wanted, placed, &server).await;
    }
    if pass.instance.spec.from.is_some() {
        let filling = copy::Filling { ctx, pass, inputs };
        let target = copy::Target { placed, object: &object, server: &server };
        return Box::pin(copy::database(&filling, &target, record)).await;
    }
    if state == Some(State::Installing) {
        // Only an unfinished copy is left in this state: it may hold the original's passwords and mail.
        return Err(copy::unfinished());
    }
    // `Dropping` is a drop that was begun for the same reason and broken off. It is finished here, because otherwise no
    // new database could be made in its place.
    let replaced = state == Some(State::Dropping) || (state == Some(State::Loaded) && of_another_release);
    if replaced
        && !lost(pass)
        // People may have worked in a database that came out of an archive or existed before this object, however far
        // its installation came: such a database is never dropped.
        && pass.instance.spec.adopt.is_none()
        && record.as_ref().is_some_and(|r| r.owner == owner)
    {
        // The database is a copy of what another release installed. Nobody has worked in it yet, because processes
        // start only after this step.
        server.admin.drop_database(name, &owner).await.map_err(|e| at(e.into()))?;
    }
    if state == Some(State::Archived) {
        server.admin.unlock_role(name, &owner).await.map_err(|e| at(e.into()))?;
        // A database that was archived before the instance was installed may never have been personalised: it still has
        // the template's passwords, and the steps may be repeated.
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
        Some(_) => {
            Source::Template { name: template::ensure(ctx, &object, &server, &wanted.release, settings, now).await? }
        }
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
    personalise::run(ctx, inputs, placed, &server).await?;
    if of_another_release {
        // Another release made the content of the database, and this release works with it from now on.
        server.admin.set_release(name, &owner, &wanted.release.hash).await.map_err(|e| at(e.into()))?;
    }
    server.admin.set_state(name, &owner, State::Personalised).await.map_err(|e| at(e.into()))
}

/// How to restore a database that somebody dropped.
const RESTORE: &str = "No new one is made in its place. Restore it on that server from the server's own backup; the instance goes on by itself within two minutes";

/// The remedy for an instance that never ran: there is nothing to restore.
const ANEW: &str = "Nobody has worked in it: delete this instance and make a new one";
/// What the message says of a database that is not where it was.
pub const GONE: &str = "is gone from server";

/// What exists of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The database exists.
    There,
    /// The database was never finished, or it is being dropped: nobody worked in it.
    Unmade,
    /// There is no trace of the database.
    Unknown,
    /// The server's own record says that the database was made, and the database is gone.
    Lost,
}

/// Finds out whether a database exists, which its server's record alone does not tell.
async fn found(server: &Server, name: &str, record: Option<&DatabaseRecord>) -> crate::error::Result<Found> {
    if record.is_some_and(|r| matches!(r.state, State::Creating | State::Dropping)) {
        return Ok(Found::Unmade);
    }
    Ok(match (server.admin.exists(name).await?, record) {
        (true, _) => Found::There,
        (false, None) => Found::Unknown,
        (false, Some(_)) => Found::Lost,
    })
}

/// A halt because a database is not where it was.
#[must_use]
pub fn missing(name: &str, server: &str, what: &str, remedy: &str) -> Halt {
    let text = format!("database {name} {what} {server:?}. {remedy}");
    Halt::fail(CONDITION, DATABASE_LOST, text, ErrorClass::Blocked)
}

/// A kept database, and what was found of it on its server.
#[derive(Debug)]
pub struct Kept {
    server: Server,
    owner: String,
    record: Option<DatabaseRecord>,
    /// What exists of the database.
    pub found: Found,
}

/// Looks for a database of an instance on the server that `kept` names.
///
/// # Errors
/// [`Error`] of the server; [`Error::Blocked`] while the server's object does not exist.
pub async fn look(
    ctx: &Ctx,
    instance_id: &tenantry_core::id::Id,
    kept: &KeptDatabase,
    settings: &Settings,
) -> crate::error::Result<Kept> {
    let object = ctx.database_server(&kept.server).await?;
    let object = object.ok_or_else(|| Error::Blocked(format!("DatabaseServer {:?} does not exist", kept.server)))?;
    let server = sql::administration(ctx, &object, settings).await?;
    let owner = names::owner_of_instance(instance_id);
    let record = server.admin.record(&kept.name).await?;
    let found = found(&server, &kept.name, record.as_ref()).await?;
    Ok(Kept { server, owner, record, found })
}

/// Whether the instance had data before, so that an absent database is a loss and not a beginning.
fn lost(pass: &Pass) -> bool {
    pass.installed_before() || pass.taken_over()
}

/// Locks the role of a database: nobody can log in with the role until the data is taken over again.
///
/// # Errors
/// [`Error`] of the server.
pub async fn lock(kept: &Kept) -> crate::error::Result<()> {
    let Kept { server, owner, record, .. } = kept;
    if let Some(record) = record
        && record.owner == *owner
        && record.state != State::Archived
        && record.state != State::Creating
    {
        server.admin.lock_role(&record.name, owner).await?;
        if matches!(record.state, State::Installing | State::Dropping) {
            // An unfinished copy keeps its state, so that nobody takes it for a neutralised copy. A database that was
            // being dropped, because nobody had worked in it, is gone for good when it is purged.
            return Ok(());
        }
        server.admin.set_state(&record.name, owner, State::Archived).await?;
    }
    Ok(())
}
