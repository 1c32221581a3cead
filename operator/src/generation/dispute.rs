//! Rows that contradict each other, or what the cluster believes: nothing starts, and a person decides. Does I/O (SQL).

use tenantry_api::condition::ConditionType;
use tenantry_core::class::ErrorClass;
use tenantry_core::generation::{Number, Role, Truth, truth};
use tenantry_core::names;
use tenantry_database::GenerationRow;
use tenantry_plan::instance::Wanted;

use crate::halt::{Halt, OrHalt};
use crate::sql::Server;

/// Refuses to work with a generation that the rows of its server do not say to be current. While there is no row of a
/// generation that was ever current, nothing contradicts. Gives the newest beginning of the filling of a candidate.
///
/// # Errors
/// [`Halt`] at `DatabaseReady`.
pub async fn check(server: &Server, wanted: &Wanted) -> Result<u64, Halt> {
    let rows =
        server.admin.generations(&names::owner_of_instance(&wanted.id)).await.halt(ConditionType::DatabaseReady)?;
    agrees(&rows, wanted.generation).map_err(|()| disputed(&rows, wanted))?;
    Ok(rows.iter().find(|g| g.row.number == wanted.generation).map_or(0, |g| g.fills))
}

/// Whether the rows say that this generation is current, or say nothing of any.
fn agrees(rows: &[GenerationRow], number: Number) -> Result<(), ()> {
    if rows.iter().all(|g| matches!(g.row.role, Role::Candidate | Role::Dropped)) {
        return Ok(());
    }
    let plain: Vec<_> = rows.iter().map(|g| g.row.clone()).collect();
    if truth(&plain, true) == Truth::Current(number) { Ok(()) } else { Err(()) }
}

/// The generation that the rows of all servers say to be current, or the one that a decided switch leads to. None: they
/// say nothing, or contradict each other.
#[must_use]
pub fn current(rows: &[GenerationRow]) -> Option<Number> {
    let plain: Vec<_> = rows.iter().map(|g| g.row.clone()).collect();
    match truth(&plain, true) {
        Truth::Current(number) | Truth::Decided { to: number, .. } => Some(number),
        Truth::Empty | Truth::Disputed => None,
    }
}

/// The rows in words.
#[must_use]
pub fn described(rows: &[GenerationRow]) -> String {
    let each = rows.iter().map(|g| {
        let successor = g.row.successor.map(|n| format!(", replaced by {n}")).unwrap_or_default();
        format!("{} ({:?} since {}{successor})", g.row.number, g.row.role, g.updated_at)
    });
    each.collect::<Vec<_>>().join("; ")
}

/// The halt that names the rows.
#[must_use]
pub fn disputed(rows: &[GenerationRow], wanted: &Wanted) -> Halt {
    let text = format!(
        "the cluster believes that generation {} of this instance's data is current, and the database server's own record says otherwise: {}. Nothing was started or changed, and the data is safe. If this object was put back from an old backup, say which generation is meant: kubectl -n {} annotate crm {} {}=NUMBER --overwrite. If the record is wrong, because a server was restored or is lost for good, correct it in database {}: UPDATE generations SET standing = 'current', successor = NULL WHERE owner = '{}' AND number = NUMBER",
        wanted.generation,
        described(rows),
        wanted.namespace,
        wanted.name,
        names::ANNOTATION_DATA_GENERATION,
        tenantry_database::REGISTRY,
        names::owner_of_instance(&wanted.id),
    );
    Halt::fail(ConditionType::DatabaseReady, "GenerationDisputed", text, ErrorClass::Blocked)
}

#[cfg(test)]
mod tests {
    use tenantry_core::generation::{Rights, Row};

    use super::*;

    fn row(number: Number, role: Role, successor: Option<Number>) -> GenerationRow {
        GenerationRow {
            row: Row { successor, ..Row::new(number, role) },
            rights: Rights::Whole,
            fills: 0,
            database: format!("crm_a_g{number}"),
            role: format!("crm_a_g{number}"),
            supersedes_server: None,
            successor_server: None,
            operation: None,
            frozen_until: None,
            created_at: String::new(),
            updated_at: String::new(),
        }
    }

    #[test]
    fn only_the_generation_that_the_rows_say_to_be_current_is_worked_with() {
        let replaced = [row(1, Role::Retired, Some(2)), row(2, Role::Current, None)];
        assert_eq!(agrees(&replaced, 2), Ok(()));
        assert_eq!(agrees(&replaced, 1), Err(()), "an object from yesterday");
        assert_eq!(agrees(&[row(1, Role::Current, None), row(2, Role::Current, None)], 1), Err(()));
        assert_eq!(agrees(&replaced[..1], 1), Err(()), "it was replaced on another server");
    }

    #[test]
    fn of_several_generations_the_rows_choose_and_never_the_highest_number() {
        let candidate = GenerationRow {
            row: Row { supersedes: Some(1), ..Row::new(2, Role::Candidate) },
            ..row(2, Role::Candidate, None)
        };
        assert_eq!(current(&[row(1, Role::Current, None), candidate.clone()]), Some(1));
        assert_eq!(current(&[row(1, Role::Retired, Some(2)), candidate.clone()]), Some(2), "decided, and not finished");
        assert_eq!(current(&[candidate]), None);
        assert_eq!(current(&[row(1, Role::Retired, Some(2))]), None);
    }

    #[test]
    fn where_nothing_was_ever_current_nothing_contradicts() {
        assert_eq!(agrees(&[], 1), Ok(()));
        assert_eq!(agrees(&[row(1, Role::Candidate, None)], 1), Ok(()));
        assert_eq!(agrees(&[row(1, Role::Dropped, None)], 2), Ok(()));
    }
}
