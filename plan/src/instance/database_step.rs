//! The next step of an instance's database, from its row on the server and what is known of the instance. No I/O.

use tenantry_core::database_state::State;

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

impl Found {
    /// Decides by the state in the row, if there is a row, and whether the server has a database of that name.
    #[must_use]
    pub fn of(row: Option<State>, exists: bool) -> Self {
        match (row, exists) {
            (Some(state), _) if !state.was_made() => Self::Unmade,
            (_, true) => Self::There,
            (None, false) => Self::Unknown,
            (Some(_), false) => Self::Lost,
        }
    }
}

/// The row of the database in its server's own record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatabaseRow {
    /// How far the database is.
    pub state: State,
    /// Whether the row belongs to this instance.
    pub mine: bool,
    /// Whether the row names the release that the instance runs now.
    pub same_release: bool,
}

/// The facts that decide about the next step of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatabaseFacts {
    /// The row of the database. None means that the server has no record of the database.
    pub row: Option<DatabaseRow>,
    /// What exists of the database.
    pub found: Found,
    /// Whether the instance was installed once, in the life of this object or of an archived one.
    pub installed_before: bool,
    /// Whether the data existed before this object, which took the data over.
    pub taken_over: bool,
    /// Whether the instance was adopted from an archive.
    pub adopted: bool,
    /// Whether the instance is a copy of another instance.
    pub copy: bool,
    /// Whether the status says that the database was made, and the server knows the password of the Secret.
    pub told: bool,
}

/// The next step of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseStep {
    /// The database is as it should be.
    Keep,
    /// The database is made. Whether the server knows the password is not known.
    TellPassword,
    /// Another release personalised the database. The steps of this release run in it.
    PersonaliseAgain,
    /// The database is filled with the data of another instance, and neutralised.
    Copy,
    /// The database holds an unfinished copy, and this instance is no copy. The data may hold the original's passwords
    /// and mail, so nothing starts on it.
    RefuseUnfinishedCopy,
    /// The database is dropped, because nobody has worked in it, and made with this release.
    DropAndMake,
    /// The database came out of an archive: its role is unlocked, and the row says from then on what the database was
    /// before.
    Unlock(Unlocked),
    /// The database is made, or its making goes on.
    Make,
    /// The database is not where it was. Nothing is made in its place.
    Halt(Missing),
}

/// A database that was archived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unlocked {
    /// The database was the instance's own, and is kept.
    Keep,
    /// The database was the instance's own. Whether the server knows the password is not known.
    TellPassword,
    /// The database may never have been personalised: it may still have the template's passwords, and the steps may be
    /// repeated.
    Make,
}

/// Why a database is missing, and what helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// The database is gone. A backup of the server brings it back.
    Gone,
    /// The database is gone, and nobody has worked in it.
    GoneUnused,
    /// The database exists, and the server's record does not say that it was ever finished.
    NotRecorded,
}

impl DatabaseFacts {
    /// Whether the instance had data before, so that an absent database is a loss and not a beginning.
    fn had_data(&self) -> bool {
        self.installed_before || self.taken_over
    }

    /// Why the database is missing, if it is.
    fn missing(&self) -> Option<Missing> {
        let unrecorded = self.row.is_none_or(|row| row.state == State::Creating);
        if self.found != Found::Lost && !(unrecorded && self.had_data()) {
            return None;
        }
        Some(match self.found {
            Found::There => Missing::NotRecorded,
            _ if self.had_data() => Missing::Gone,
            _ => Missing::GoneUnused,
        })
    }

    /// Whether a database of another release may be dropped. The drop of a database in the state `dropping` was begun
    /// for the same reason and broken off. It is finished, because otherwise no new database could be made in its
    /// place.
    ///
    /// People may have worked in a database that came out of an archive or existed before this object, however far its
    /// installation came: such a database is never dropped. In all others nobody has worked yet, because processes
    /// start only after the database is personalised.
    fn may_be_replaced(&self, row: DatabaseRow) -> bool {
        let replaced = match row.state {
            State::Dropping => true,
            State::Loaded => !row.same_release,
            _ => false,
        };
        replaced && row.mine && !self.had_data() && !self.adopted
    }
}

/// Decides about the next step of a database.
#[must_use]
pub fn database_step(facts: &DatabaseFacts) -> DatabaseStep {
    if let Some(missing) = facts.missing() {
        return DatabaseStep::Halt(missing);
    }
    match facts.row {
        Some(row) if row.state == State::Personalised => {
            // A database that came out of an archive and a copy of another instance keep the release that made them.
            let as_it_is = facts.had_data() || facts.adopted || facts.copy;
            match (row.mine && !row.same_release && !as_it_is, facts.told) {
                (true, _) => DatabaseStep::PersonaliseAgain,
                (false, true) => DatabaseStep::Keep,
                (false, false) => DatabaseStep::TellPassword,
            }
        }
        _ if facts.copy => DatabaseStep::Copy,
        None => DatabaseStep::Make,
        Some(row) => match row.state {
            // Only an unfinished copy is left in this state.
            State::Installing => DatabaseStep::RefuseUnfinishedCopy,
            State::Archived => DatabaseStep::Unlock(match (facts.installed_before, facts.told) {
                (true, true) => Unlocked::Keep,
                (true, false) => Unlocked::TellPassword,
                (false, _) => Unlocked::Make,
            }),
            _ if facts.may_be_replaced(row) => DatabaseStep::DropAndMake,
            _ => DatabaseStep::Make,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A new instance that nobody worked in, and no row.
    const NEW: DatabaseFacts = DatabaseFacts {
        row: None,
        found: Found::Unknown,
        installed_before: false,
        taken_over: false,
        adopted: false,
        copy: false,
        told: false,
    };

    /// The facts with a row of the instance's own. The database exists, if the state says that it was made.
    fn row(state: State, same_release: bool, facts: DatabaseFacts) -> DatabaseFacts {
        let row = DatabaseRow { state, mine: true, same_release };
        DatabaseFacts { row: Some(row), found: Found::of(Some(state), true), ..facts }
    }

    #[test]
    fn each_state_leads_to_a_step() {
        use State::{Archived, Creating, Dropping, Installing, Loaded, Personalised, Template};
        let installed = DatabaseFacts { installed_before: true, ..NEW };
        let told = DatabaseFacts { told: true, ..NEW };
        let both = DatabaseFacts { told: true, ..installed };
        let taken = DatabaseFacts { taken_over: true, ..NEW };
        let adopted = DatabaseFacts { adopted: true, ..NEW };
        let copy = DatabaseFacts { copy: true, ..NEW };
        let again = DatabaseStep::PersonaliseAgain;
        for (facts, step) in [
            (NEW, DatabaseStep::Make),
            (DatabaseFacts { found: Found::There, ..NEW }, DatabaseStep::Make),
            (copy, DatabaseStep::Copy),
            (installed, DatabaseStep::Halt(Missing::Gone)),
            (taken, DatabaseStep::Halt(Missing::Gone)),
            (DatabaseFacts { found: Found::There, ..installed }, DatabaseStep::Halt(Missing::NotRecorded)),
            (row(Creating, true, NEW), DatabaseStep::Make),
            (row(Creating, false, NEW), DatabaseStep::Make),
            (row(Creating, true, copy), DatabaseStep::Copy),
            (row(Creating, true, installed), DatabaseStep::Halt(Missing::Gone)),
            (row(Loaded, true, NEW), DatabaseStep::Make),
            (row(Loaded, false, NEW), DatabaseStep::DropAndMake),
            (row(Loaded, false, adopted), DatabaseStep::Make),
            (row(Loaded, false, taken), DatabaseStep::Make),
            (row(Loaded, false, installed), DatabaseStep::Make),
            (row(Loaded, false, copy), DatabaseStep::Copy),
            (row(Installing, true, NEW), DatabaseStep::RefuseUnfinishedCopy),
            (row(Installing, false, adopted), DatabaseStep::RefuseUnfinishedCopy),
            (row(Installing, true, copy), DatabaseStep::Copy),
            (row(Template, true, NEW), DatabaseStep::Make),
            (row(Template, true, copy), DatabaseStep::Copy),
            (row(Personalised, true, NEW), DatabaseStep::TellPassword),
            (row(Personalised, true, told), DatabaseStep::Keep),
            (row(Personalised, false, told), again),
            (row(Personalised, false, NEW), again),
            (row(Personalised, false, both), DatabaseStep::Keep),
            (row(Personalised, false, taken), DatabaseStep::TellPassword),
            (row(Personalised, false, adopted), DatabaseStep::TellPassword),
            (row(Personalised, false, copy), DatabaseStep::TellPassword),
            (row(Archived, true, both), DatabaseStep::Unlock(Unlocked::Keep)),
            (row(Archived, true, installed), DatabaseStep::Unlock(Unlocked::TellPassword)),
            (row(Archived, false, adopted), DatabaseStep::Unlock(Unlocked::Make)),
            (row(Archived, false, taken), DatabaseStep::Unlock(Unlocked::Make)),
            (row(Archived, true, copy), DatabaseStep::Copy),
            (row(Dropping, true, NEW), DatabaseStep::DropAndMake),
            (row(Dropping, true, adopted), DatabaseStep::Make),
            (row(Dropping, true, installed), DatabaseStep::Make),
            (row(Dropping, true, copy), DatabaseStep::Copy),
        ] {
            assert_eq!(database_step(&facts), step, "{facts:?}");
        }
        let lost = |facts| DatabaseFacts { found: Found::Lost, ..facts };
        for state in State::ALL.into_iter().filter(|state| state.was_made()) {
            assert_eq!(database_step(&lost(row(state, true, NEW))), DatabaseStep::Halt(Missing::GoneUnused));
            assert_eq!(database_step(&lost(row(state, true, installed))), DatabaseStep::Halt(Missing::Gone));
        }
    }

    /// All facts that there can be, also those that nobody has seen yet.
    fn all() -> Vec<DatabaseFacts> {
        let mut all = Vec::new();
        for bits in 0..256_u16 {
            let bit = |n: u16| bits & (1 << n) != 0;
            for state in State::ALL.into_iter().map(Some).chain([None]) {
                all.push(DatabaseFacts {
                    row: state.map(|state| DatabaseRow { state, mine: bit(0), same_release: bit(1) }),
                    found: Found::of(state, bit(2)),
                    installed_before: bit(3),
                    taken_over: bit(4),
                    adopted: bit(5),
                    copy: bit(6),
                    told: bit(7),
                });
            }
        }
        all
    }

    #[test]
    fn whatever_the_facts_a_database_that_people_may_have_worked_in_is_neither_dropped_nor_replaced() {
        for facts in all() {
            let step = database_step(&facts);
            let (had_data, mine) = (facts.installed_before || facts.taken_over, facts.row.is_some_and(|row| row.mine));
            if had_data || facts.adopted || !mine {
                assert_ne!(step, DatabaseStep::DropAndMake, "{facts:?}");
            }
            if had_data && facts.row.is_none() {
                assert!(matches!(step, DatabaseStep::Halt(_)), "made in the place of lost data: {facts:?}");
            }
            if had_data || facts.adopted || facts.copy || !mine {
                assert_ne!(step, DatabaseStep::PersonaliseAgain, "{facts:?}");
            }
            if facts.found == Found::Lost {
                assert!(matches!(step, DatabaseStep::Halt(_)), "{facts:?}");
            }
        }
    }

    #[test]
    fn whatever_the_facts_nothing_starts_on_an_unfinished_copy() {
        for facts in all() {
            let installing = facts.row.is_some_and(|row| row.state == State::Installing);
            let step = database_step(&facts);
            if installing && facts.found == Found::There {
                let wanted = if facts.copy { DatabaseStep::Copy } else { DatabaseStep::RefuseUnfinishedCopy };
                assert_eq!(step, wanted, "{facts:?}");
            }
            let made = matches!(step, DatabaseStep::Keep | DatabaseStep::TellPassword);
            assert!(!made || facts.row.is_some_and(|row| row.state == State::Personalised), "{facts:?}");
        }
    }

    #[test]
    fn a_row_without_its_database_is_a_loss_unless_it_says_that_the_database_was_never_finished() {
        assert_eq!(Found::of(None, false), Found::Unknown);
        assert_eq!(Found::of(None, true), Found::There);
        for state in State::ALL {
            let unmade = matches!(state, State::Creating | State::Dropping);
            assert_eq!(Found::of(Some(state), false), if unmade { Found::Unmade } else { Found::Lost });
            assert_eq!(Found::of(Some(state), true), if unmade { Found::Unmade } else { Found::There });
        }
    }
}
