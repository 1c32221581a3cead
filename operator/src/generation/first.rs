//! The first generation of an instance, step by step. Each step is safe to repeat. Does I/O (SQL).

use std::time::Duration;

use tenantry_api::condition::ConditionType;
use tenantry_core::generation::{Progress, Role};
use tenantry_core::names;
use tenantry_database::{Change, Changed, GenerationRow, NewGeneration};
use tenantry_plan::instance::Wanted;

use super::dispute::disputed;
use crate::halt::{Halt, OrHalt};
use crate::sql::Server;

const CONDITION: ConditionType = ConditionType::DatabaseReady;

/// Writes the row before anything of the generation exists.
///
/// # Errors
/// [`Halt`] at `DatabaseReady`.
pub async fn begin(server: &Server, wanted: &Wanted, database: &str) -> Result<(), Halt> {
    let new =
        NewGeneration { number: wanted.generation, database: database.to_owned(), supersedes: None, operation: None };
    let begun =
        server.admin.change(&names::owner_of_instance(&wanted.id), &Change::Begin(new)).await.halt(CONDITION)?;
    if begun == Changed::Done {
        return Ok(());
    }
    // It is current already, or another one is in its place.
    let rows = rows(server, wanted).await?;
    match rows.iter().any(|g| g.row.number == wanted.generation && g.row.role == Role::Current) {
        true => Ok(()),
        false => Err(disputed(&rows, wanted)),
    }
}

/// Notes that the generation has all of its source, if this beginning of its filling is the newest.
///
/// # Errors
/// [`Halt`] at `DatabaseReady`.
pub async fn filled(server: &Server, wanted: &Wanted, fill: u64) -> Result<(), Halt> {
    let change = Change::Filled { number: wanted.generation, fill };
    // It says so already when this was noted before: then the next step looks at the row.
    server.admin.change(&names::owner_of_instance(&wanted.id), &change).await.map(drop).halt(CONDITION)
}

/// Notes that the content is what it must be: neutralised, personalised.
///
/// # Errors
/// [`Halt`] at `DatabaseReady`.
pub async fn transformed(server: &Server, wanted: &Wanted) -> Result<(), Halt> {
    let rows = rows(server, wanted).await?;
    advance(server, wanted, &rows, Progress::Transformed).await
}

/// Notes that the generation was verified and people work in it from now on.
///
/// # Errors
/// [`Halt`] at `DatabaseReady`; `GenerationDisputed` when the rows say something else.
pub async fn settle(server: &Server, wanted: &Wanted, database: &str) -> Result<(), Halt> {
    let mut all = rows(server, wanted).await?;
    if all.iter().any(|g| g.row.number == wanted.generation && g.row.role == Role::Current) {
        return Ok(());
    }
    if all.iter().any(|g| matches!(g.row.role, Role::Current | Role::Retired)) {
        return Err(disputed(&all, wanted));
    }
    if !all.iter().any(|g| g.row.number == wanted.generation) {
        // An older version of the operator made it, or it came out of an archive unfinished.
        begin(server, wanted, database).await?;
        all = rows(server, wanted).await?;
    }
    advance(server, wanted, &all, Progress::Verified).await?;
    let made =
        server.admin.change(&names::owner_of_instance(&wanted.id), &Change::MakeCurrent(wanted.generation)).await;
    match made.halt(CONDITION)? {
        Changed::Done => Ok(()),
        Changed::NotNow => Err(changed()),
    }
}

async fn rows(server: &Server, wanted: &Wanted) -> Result<Vec<GenerationRow>, Halt> {
    server.admin.generations(&names::owner_of_instance(&wanted.id)).await.halt(CONDITION)
}

/// Writes the steps that are left up to `to`.
async fn advance(server: &Server, wanted: &Wanted, rows: &[GenerationRow], to: Progress) -> Result<(), Halt> {
    let number = wanted.generation;
    let Some(found) = rows.iter().find(|g| g.row.number == number && g.row.role == Role::Candidate) else {
        return Ok(());
    };
    let mut at = found.row.progress;
    while at < to {
        let (change, next) = match at {
            Progress::Filling => (Change::Filled { number, fill: found.fills }, Progress::Filled),
            Progress::Filled => {
                (Change::Progress { number, from: at, to: Progress::Transformed }, Progress::Transformed)
            }
            Progress::Transformed | Progress::Verified => {
                (Change::Progress { number, from: at, to: Progress::Verified }, Progress::Verified)
            }
        };
        let made = server.admin.change(&names::owner_of_instance(&wanted.id), &change).await.halt(CONDITION)?;
        if made == Changed::NotNow {
            return Err(changed());
        }
        at = next;
    }
    Ok(())
}

fn changed() -> Halt {
    let text = "the generation's row was changed in between; it is looked at again";
    Halt::wait(CONDITION, "GenerationChanged", text, Duration::from_secs(2))
}
