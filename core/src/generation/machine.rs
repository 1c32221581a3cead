//! Replacing the current generation: what is done next, from what is seen. Each step is one conditional write that is
//! safe to repeat, or work whose end is written afterwards. No I/O.
//!
//! Before the decision every recovery goes back, after it forward. The decision is one conditional write to the row of
//! the old generation, while the freeze under which the candidate was filled is held and not over: an operator that
//! stood still while its freeze was lifted decides nothing.
//!
//! What must hold of whoever carries the steps out (the model test shows what breaks without it):
//! - Rights are read **before** rows. A freeze is written to the row before it takes rights, so that rights which are
//!   taken for a freeze that no row has any more are nobody's.
//! - Rights are taken for a token only when they are not taken for a greater one, and never for one that gave them back
//!   before; they are given back only for the token that has them. Each is one statement, carried out by the server
//!   itself, in the database whose rights they are.
//! - The decision looks at the token in the same statement. Numbers and tokens are never used again.

use super::row::{Number, Progress, Rights, Role, Row, Token};
use super::truth::{Truth, truth};

/// What the operation wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wish {
    /// Make the first generation: an install or a copy of another instance. Nobody works in anything yet, so there is
    /// nothing to freeze and nothing to decide against.
    Begin,
    /// Replace this generation.
    Replace(Number),
    /// Give up: it was cancelled, a step failed for good, or its time is over.
    Abandon,
}

/// What is seen of an instance, in the order in which it must be read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Seen {
    /// The rights of each generation's role.
    pub rights: Vec<(Number, Rights)>,
    /// The rows, read after the rights.
    pub rows: Vec<Row>,
    /// The generation that people reach; none: the page, or nothing yet.
    pub served: Option<Number>,
    /// Whether anything beside the rows says that there is data.
    pub had_data: bool,
}

/// What is done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Hold a freeze with a new token on this generation, while it is current and none is held.
    Freeze(Number),
    /// Take the rights to write for this freeze.
    TakeRights(Number, Token),
    /// End writers, wait for what they have begun, and note that this freeze is fenced.
    Fence(Number, Token),
    /// Make the empty candidate of an instance that has no generation yet.
    MakeFirst,
    /// Make an empty candidate for this freeze.
    MakeCandidate {
        /// The generation that it replaces.
        supersedes: Number,
        /// The freeze.
        under: Token,
    },
    /// Fill the candidate from the generation that it replaces.
    Fill(Number),
    /// Migrate, neutralise, personalise.
    Transform(Number),
    /// Verify the candidate.
    Verify(Number),
    /// The decision: retire the old one in favour of the new one, while it is current and this freeze is held, fenced and
    /// not over.
    Decide {
        /// The old one.
        from: Number,
        /// The new one.
        to: Number,
        /// The freeze under which the new one was filled.
        token: Token,
    },
    /// Keep the role of a generation that is decided against from logging in, and end its sessions.
    Lock(Number),
    /// Note that a generation is current.
    MakeCurrent(Number),
    /// Let the role of the current generation log in.
    Unlock(Number),
    /// Lead people to the current generation.
    Serve(Number),
    /// Clear a token: nobody decides by it from now on.
    ClearToken(Number, Token),
    /// Give rights back that were taken for this token.
    GiveBack(Number, Token),
    /// Drop a candidate that replaces nothing any more, and leave its tombstone.
    Drop(Number),
    /// Nothing is left to be done.
    Done,
    /// The rows contradict each other: nothing starts, and a person decides.
    Dispute,
}

/// What is done next.
#[must_use]
pub fn next(seen: &Seen, wish: Wish) -> Step {
    let rights = |number| seen.rights.iter().find(|(n, _)| *n == number).map(|(_, rights)| *rights);
    match truth(&seen.rows, seen.had_data) {
        Truth::Disputed => Step::Dispute,
        Truth::Empty => first(seen.rows.iter().find(|r| r.role == Role::Candidate), wish),
        Truth::Decided { from, .. } if rights(from) != Some(Rights::Locked) => Step::Lock(from),
        Truth::Decided { to, .. } => Step::MakeCurrent(to),
        Truth::Current(current) => {
            let row = seen.rows.iter().find(|r| r.number == current);
            let candidate = seen.rows.iter().find(|r| r.role == Role::Candidate);
            // An operation replaces the generation that it was begun for, and no other.
            match row {
                Some(row) if wish == Wish::Replace(current) => forward(row, candidate, seen, rights(current)),
                Some(row) => back(row, candidate, seen, rights(current)),
                None => Step::Dispute,
            }
        }
    }
}

/// An instance that has no generation yet.
fn first(candidate: Option<&Row>, wish: Wish) -> Step {
    match (wish, candidate) {
        // Nothing is current that could be replaced.
        (Wish::Replace(_), _) => Step::Dispute,
        (Wish::Begin, None) => Step::MakeFirst,
        (Wish::Begin, Some(c)) => match c.progress {
            Progress::Filling => Step::Fill(c.number),
            Progress::Filled => Step::Transform(c.number),
            Progress::Transformed => Step::Verify(c.number),
            Progress::Verified => Step::MakeCurrent(c.number),
        },
        (Wish::Abandon, Some(c)) => Step::Drop(c.number),
        (Wish::Abandon, None) => Step::Done,
    }
}

fn forward(row: &Row, candidate: Option<&Row>, seen: &Seen, rights: Option<Rights>) -> Step {
    let Some(freeze) = row.freeze else {
        // What was made under an earlier freeze lacks what was written since, and rights that were taken for one are
        // given back first.
        let way_back = back(row, candidate, seen, rights);
        return if way_back == Step::Done { Step::Freeze(row.number) } else { way_back };
    };
    if freeze.is_over {
        return Step::ClearToken(row.number, freeze.token);
    }
    if rights != Some(Rights::Taken(freeze.token)) {
        // Once fenced they stay taken: where they are not, somebody wrote, and what was filled is not all.
        let (number, token) = (row.number, freeze.token);
        return if freeze.is_fenced { Step::ClearToken(number, token) } else { Step::TakeRights(number, token) };
    }
    match candidate {
        Some(c) if c.filled_under != Some(freeze.token) => Step::Drop(c.number),
        _ if !freeze.is_fenced => Step::Fence(row.number, freeze.token),
        None => Step::MakeCandidate { supersedes: row.number, under: freeze.token },
        Some(c) => match c.progress {
            Progress::Filling => Step::Fill(c.number),
            Progress::Filled => Step::Transform(c.number),
            Progress::Transformed => Step::Verify(c.number),
            Progress::Verified => Step::Decide { from: row.number, to: c.number, token: freeze.token },
        },
    }
}

/// The way back, which is also how an instance comes to rest: first the token, then the rights, then whom people reach,
/// then what was made.
fn back(row: &Row, candidate: Option<&Row>, seen: &Seen, rights: Option<Rights>) -> Step {
    if let Some(freeze) = row.freeze {
        return Step::ClearToken(row.number, freeze.token);
    }
    match rights {
        Some(Rights::Taken(token)) => return Step::GiveBack(row.number, token),
        Some(Rights::Locked) => return Step::Unlock(row.number),
        Some(Rights::Whole) | None => {}
    }
    if seen.served != Some(row.number) {
        return Step::Serve(row.number);
    }
    candidate.map_or(Step::Done, |c| Step::Drop(c.number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(rows: &[Row], wish: Wish) -> Step {
        next(&Seen { rights: Vec::new(), rows: rows.to_vec(), served: None, had_data: false }, wish)
    }

    #[test]
    fn a_first_generation_is_filled_transformed_verified_and_then_current() {
        assert_eq!(step(&[], Wish::Begin), Step::MakeFirst);
        for (progress, wanted) in [
            (Progress::Filling, Step::Fill(1)),
            (Progress::Filled, Step::Transform(1)),
            (Progress::Transformed, Step::Verify(1)),
            (Progress::Verified, Step::MakeCurrent(1)),
        ] {
            assert_eq!(step(&[Row { progress, ..Row::new(1, Role::Candidate) }], Wish::Begin), wanted);
        }
        // People have not been led to it yet.
        assert_eq!(step(&[Row::new(1, Role::Current)], Wish::Begin), Step::Serve(1));
    }

    #[test]
    fn a_first_generation_that_is_given_up_is_dropped_and_its_number_is_gone() {
        assert_eq!(step(&[Row::new(1, Role::Candidate)], Wish::Abandon), Step::Drop(1));
        assert_eq!(step(&[Row::new(1, Role::Dropped)], Wish::Abandon), Step::Done);
        assert_eq!(step(&[Row::new(1, Role::Dropped)], Wish::Begin), Step::MakeFirst);
        assert_eq!(step(&[], Wish::Replace(1)), Step::Dispute);
    }
}
