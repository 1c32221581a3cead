//! The database of an instance: made or copied, then made its own. Does I/O (SQL, Kubernetes).

use tenantry_api::archive::KeptDatabase;
use tenantry_api::condition::ConditionType;
use tenantry_api::database_server::DatabaseServer;
use tenantry_core::class::ErrorClass;
use tenantry_core::names;
use tenantry_database::{DatabaseRecord, NewDatabase, Source, State};
use tenantry_plan::Settings;
pub use tenantry_plan::instance::Found;
use tenantry_plan::instance::{DatabaseFacts, DatabaseRow, DatabaseStep, Missing, Unlocked, database_step};

use super::inputs::{Inputs, Placed};
use super::pass::Pass;
use super::{copy, personalise, place, template};
use crate::context::Ctx;
use crate::error::Error;
use crate::generation;
use crate::halt::{Halt, OrHalt};
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
    let Inputs { wanted, settings, .. } = *inputs;
    let known = pass.held(CONDITION, wanted.generation) && pass.held(ConditionType::Installed, wanted.generation);
    let told = known && !placed.untold;
    let uid = pass.instance.metadata.uid.as_deref().unwrap_or_default();
    // Until the instance was verified once, its blueprint may be fixed: then the server is asked which release
    // personalised the database.
    if told && pass.installed_before() && !ctx.memory.is_doubted(uid) {
        // The database is made. If somebody drops it by hand, the sweeps of its server report that.
        return Ok(());
    }
    let (object, server) = server_of(ctx, placed, settings).await?;
    let fill = generation::check(&server, wanted).await?;
    let name = &placed.access.name;
    let owner = names::owner_of_instance(&wanted.id);
    let record = server.admin.record(name).await.halt(CONDITION)?;
    let of_another_release = record.as_ref().is_some_and(|r| r.release_hash != wanted.release.hash);
    let step = database_step(&DatabaseFacts {
        row: record.as_ref().map(|r| DatabaseRow {
            state: r.state,
            mine: r.owner == owner,
            same_release: !of_another_release,
        }),
        found: found(&server, name, record.as_ref()).await.halt(CONDITION)?,
        installed_before: pass.installed_before(),
        taken_over: pass.taken_over(),
        adopted: pass.instance.spec.adopt.is_some(),
        copy: pass.instance.spec.from.is_some(),
        told,
    });
    let target = copy::Target { placed, object: &object, server: &server };
    match step {
        DatabaseStep::Keep => {
            ctx.memory.trust(uid);
            Ok(())
        }
        DatabaseStep::TellPassword => {
            ctx.memory.trust(uid);
            place::tell(ctx, wanted, placed, &server).await
        }
        DatabaseStep::PersonaliseAgain => {
            // The server may not know this password of the role yet, and the steps log in with it.
            place::tell(ctx, wanted, placed, &server).await?;
            personalise::run(ctx, inputs, placed, &server).await?;
            server.admin.set_release(name, &owner, &wanted.release.hash).await.halt(CONDITION)?;
            ctx.memory.trust(uid);
            Ok(())
        }
        DatabaseStep::Copy => {
            let filling = copy::Filling { ctx, pass, inputs };
            Box::pin(copy::database(&filling, &target, record)).await
        }
        DatabaseStep::RefuseUnfinishedCopy => Err(copy::unfinished()),
        DatabaseStep::DropAndMake => {
            generation::begin(&server, wanted, name).await?;
            let fill = server.admin.begin_fill(&owner, name).await.halt(CONDITION)?;
            // None: it is not a candidate any more, so that nothing of it is dropped or made.
            make(ctx, inputs, &target, fill.ok_or_else(generation::changed)?, of_another_release).await
        }
        DatabaseStep::Unlock(unlocked) => {
            server.admin.unlock_role(name, &owner).await.halt(CONDITION)?;
            let state = match unlocked {
                Unlocked::Keep | Unlocked::TellPassword => State::Personalised,
                Unlocked::Make => State::Loaded,
            };
            server.admin.set_state(name, &owner, state).await.halt(CONDITION)?;
            match unlocked {
                Unlocked::Keep => Ok(()),
                Unlocked::TellPassword => place::tell(ctx, wanted, placed, &server).await,
                Unlocked::Make => make(ctx, inputs, &target, fill, of_another_release).await,
            }
        }
        DatabaseStep::Make => make(ctx, inputs, &target, fill, of_another_release).await,
        DatabaseStep::Halt(why) => Err(match why {
            Missing::Gone => missing(name, &placed.server, GONE, RESTORE),
            Missing::GoneUnused => missing(name, &placed.server, GONE, ANEW),
            Missing::NotRecorded => missing(name, &placed.server, "is not in the record of server", RESTORE),
        }),
    }
}

/// Makes the database, or goes on making it, and makes it the instance's own. `new_release` means that another release
/// made the content of the database, and this release works with it from now on. `fill` is the beginning of the filling
/// that this is.
async fn make(
    ctx: &Ctx,
    inputs: &Inputs<'_>,
    target: &copy::Target<'_>,
    fill: u64,
    new_release: bool,
) -> Result<(), Halt> {
    let Inputs { wanted, settings, now, .. } = *inputs;
    let copy::Target { placed, object, server } = *target;
    let (name, owner) = (&placed.access.name, names::owner_of_instance(&wanted.id));
    let source = match &wanted.release.spec.install {
        None => Source::Empty,
        Some(_) => {
            Source::Template { name: template::ensure(ctx, object, server, &wanted.release, settings, now).await? }
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
    generation::begin(server, wanted, name).await?;
    server.admin.create(&new).await.halt(CONDITION)?;
    if placed.untold {
        place::tell(ctx, wanted, placed, server).await?;
    }
    personalise::run(ctx, inputs, placed, server).await?;
    if new_release {
        server.admin.set_release(name, &owner, &wanted.release.hash).await.halt(CONDITION)?;
    }
    server.admin.set_state(name, &owner, State::Personalised).await.halt(CONDITION)?;
    generation::transformed(server, wanted, fill).await
}

/// What of the instance's data is about to be verified. None: its generation is current already.
///
/// # Errors
/// [`Halt`] at `DatabaseReady`.
pub async fn candidate(ctx: &Ctx, inputs: &Inputs<'_>, placed: &Placed) -> Result<Option<u64>, Halt> {
    let (_, server) = server_of(ctx, placed, inputs.settings).await?;
    generation::candidate(&server, inputs.wanted, &placed.access.name).await
}

/// Notes on its server that people work in the instance's data from now on.
///
/// # Errors
/// [`Halt`] at `DatabaseReady`.
pub async fn settle(ctx: &Ctx, inputs: &Inputs<'_>, placed: &Placed, fill: u64) -> Result<(), Halt> {
    let (_, server) = server_of(ctx, placed, inputs.settings).await?;
    generation::settle(&server, inputs.wanted, fill).await
}

/// The server on which a database lies.
async fn server_of(ctx: &Ctx, placed: &Placed, settings: &Settings) -> Result<(DatabaseServer, Server), Halt> {
    let object = ctx.database_server(&placed.server).await.halt(CONDITION)?;
    let object = object.ok_or_else(|| {
        let text =
            format!("DatabaseServer {:?} with this instance's data does not exist; create it again", placed.server);
        Halt::fail(CONDITION, "NoSuchServer", text, ErrorClass::Blocked)
    })?;
    let server = sql::administration(ctx, &object, settings).await.halt(CONDITION)?;
    Ok((object, server))
}

/// How to restore a database that somebody dropped.
const RESTORE: &str = "No new one is made in its place. Restore it on that server from the server's own backup; the instance goes on by itself within two minutes";

/// The remedy for an instance that never ran: there is nothing to restore.
const ANEW: &str = "Nobody has worked in it: delete this instance and make a new one";
/// What the message says of a database that is not where it was.
pub const GONE: &str = "is gone from server";

/// Finds out whether a database exists, which its server's record alone does not tell.
async fn found(server: &Server, name: &str, record: Option<&DatabaseRecord>) -> crate::error::Result<Found> {
    let row = record.map(|r| r.state);
    // A database that was never finished need not be looked for.
    let exists = row.is_none_or(State::was_made) && server.admin.exists(name).await?;
    Ok(Found::of(row, exists))
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
