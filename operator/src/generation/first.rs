//! The first generation of an instance, step by step. Each step is safe to repeat, and says which beginning of the
//! filling it worked on: what another process began meanwhile is not taken for it. Does I/O (SQL).

use std::time::Duration;

use tenantry_api::condition::ConditionType;
use tenantry_core::generation::{Number, Progress, Role};
use tenantry_core::names;
use tenantry_database::{Administration, Change, Changed, GenerationRow, NewGeneration};
use tenantry_plan::instance::Wanted;

use super::dispute::disputed;
use crate::error::Result as Plain;
use crate::halt::{Halt, OrHalt};
use crate::sql::Server;

const CONDITION: ConditionType = ConditionType::DatabaseReady;

/// Writes the row before anything of the generation exists.
///
/// # Errors
/// [`Halt`] at `DatabaseReady`.
pub async fn begin(server: &Server, wanted: &Wanted, database: &str) -> Result<(), Halt> {
    let number = wanted.generation;
    let new = NewGeneration { number, database: database.to_owned(), supersedes: None, operation: None };
    if change(server, wanted, &Change::Begin(new)).await? == Changed::Done {
        return Ok(());
    }
    // It is current already, or another one is in its place.
    let rows = rows(server, wanted).await?;
    if of(&rows, number).is_some_and(|g| g.row.role == Role::Current) { Ok(()) } else { Err(disputed(&rows, wanted)) }
}

/// Notes that the generation has all of its source.
///
/// # Errors
/// [`Halt`] at `DatabaseReady`.
pub async fn filled(server: &Server, wanted: &Wanted, fill: u64) -> Result<(), Halt> {
    // A row that is further says so already.
    change(server, wanted, &Change::Progress { number: wanted.generation, to: Progress::Filled, fill }).await.map(drop)
}

/// Notes that the content is what it must be: neutralised, personalised.
///
/// # Errors
/// [`Halt`] at `DatabaseReady`.
pub async fn transformed(server: &Server, wanted: &Wanted, fill: u64) -> Result<(), Halt> {
    let to = Progress::Transformed;
    match change(server, wanted, &Change::Progress { number: wanted.generation, to, fill }).await? {
        Changed::Done => Ok(()),
        Changed::NotNow => current_or_changed(server, wanted).await,
    }
}

/// What is about to be verified: the beginning of the filling whose work it is. None: the generation is current already.
///
/// # Errors
/// [`Halt`] at `DatabaseReady`; `GenerationDisputed` when the rows say something else.
pub async fn candidate(server: &Server, wanted: &Wanted, database: &str) -> Result<Option<u64>, Halt> {
    let rows = rows(server, wanted).await?;
    let fill = match of(&rows, wanted.generation) {
        Some(g) if g.row.role == Role::Current => return Ok(None),
        Some(g) if g.row.role == Role::Candidate => g.fills,
        None if rows.iter().all(|g| matches!(g.row.role, Role::Candidate | Role::Dropped)) => {
            // An older version of the operator made it, or it came out of an archive unfinished.
            begin(server, wanted, database).await?;
            0
        }
        _ => return Err(disputed(&rows, wanted)),
    };
    transformed(server, wanted, fill).await?;
    Ok(Some(fill))
}

/// Notes that the generation was verified and people work in it from now on.
///
/// # Errors
/// [`Halt`] at `DatabaseReady`.
pub async fn settle(server: &Server, wanted: &Wanted, fill: u64) -> Result<(), Halt> {
    match change(server, wanted, &Change::MakeCurrent { number: wanted.generation, fill }).await? {
        Changed::Done => Ok(()),
        Changed::NotNow => current_or_changed(server, wanted).await,
    }
}

/// Notes it for an instance that was verified and whose row lags behind, as after an older operator or a restore of the
/// server.
///
/// # Errors
/// [`crate::error::Error`] of the server.
pub async fn settle_late(admin: &dyn Administration, owner: &str, number: Number) -> Plain<()> {
    let rows = admin.generations(owner).await?;
    if let Some(fill) = of(&rows, number).filter(|g| g.row.role == Role::Candidate).map(|g| g.fills) {
        admin.change(owner, &Change::MakeCurrent { number, fill }).await?;
    }
    Ok(())
}

/// The wait after a row was changed in between.
#[must_use]
pub fn changed() -> Halt {
    let text = "the generation's row was changed in between; it is looked at again";
    Halt::wait(CONDITION, "GenerationChanged", text, Duration::from_secs(2))
}

async fn current_or_changed(server: &Server, wanted: &Wanted) -> Result<(), Halt> {
    let rows = rows(server, wanted).await?;
    if of(&rows, wanted.generation).is_some_and(|g| g.row.role == Role::Current) { Ok(()) } else { Err(changed()) }
}

fn of(rows: &[GenerationRow], number: Number) -> Option<&GenerationRow> {
    rows.iter().find(|g| g.row.number == number)
}

async fn rows(server: &Server, wanted: &Wanted) -> Result<Vec<GenerationRow>, Halt> {
    server.admin.generations(&names::owner_of_instance(&wanted.id)).await.halt(CONDITION)
}

async fn change(server: &Server, wanted: &Wanted, change: &Change) -> Result<Changed, Halt> {
    server.admin.change(&names::owner_of_instance(&wanted.id), change).await.halt(CONDITION)
}
