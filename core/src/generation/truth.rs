//! Which generation is current, as the rows say it. Everything else (status, annotations, Secrets) is a cache of this.
//! No I/O.

use super::row::{Number, Role, Row};

/// What the rows say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Truth {
    /// There is no generation yet: the first may be made.
    Empty,
    /// This one is current, and nothing else is decided.
    Current(Number),
    /// The switch is decided and not finished: only forward, to this one.
    Decided {
        /// The generation that was current.
        from: Number,
        /// The generation that is to be served.
        to: Number,
    },
    /// The rows contradict each other, or the chain ends nowhere: nothing starts, and a person decides.
    Disputed,
}

/// Reads it. `had_data`: anything else (a status, a Secret, a volume claim, an Archive) says that there was data, so that
/// rows which are not there were lost.
#[must_use]
pub fn truth(rows: &[Row], had_data: bool) -> Truth {
    let of = |role: Role| rows.iter().filter(move |r| r.role == role);
    let (current, retired): (Vec<_>, Vec<_>) = (of(Role::Current).collect(), of(Role::Retired).collect());
    let find = |number: Option<Number>| rows.iter().find(|r| Some(r.number) == number);
    // Retired ones that point to a candidate: their switch was decided, and its end was not written.
    let open: Vec<_> =
        retired.iter().filter(|r| find(r.successor).is_some_and(|s| s.role == Role::Candidate)).collect();
    match (current.as_slice(), open.as_slice()) {
        ([one], []) => Truth::Current(one.number),
        ([], [from]) => match find(from.successor) {
            Some(to) if to.supersedes == Some(from.number) => Truth::Decided { from: from.number, to: to.number },
            _ => Truth::Disputed,
        },
        ([], []) if !had_data && retired.is_empty() && of(Role::Candidate).all(|r| r.supersedes.is_none()) => {
            Truth::Empty
        }
        _ => Truth::Disputed,
    }
}

/// The number of the next generation: above every number that was ever used.
#[must_use]
pub fn next_number(rows: &[Row], other_traces: impl IntoIterator<Item = Number>) -> Number {
    let used = rows.iter().map(|r| r.number).chain(other_traces).max();
    used.unwrap_or(0).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_never_used_again() {
        assert_eq!(next_number(&[], []), 1);
        assert_eq!(next_number(&[Row::new(2, Role::Dropped)], [1, 5]), 6);
    }

    #[test]
    fn rows_that_are_gone_are_no_beginning_where_there_was_data() {
        assert_eq!((truth(&[], false), truth(&[], true)), (Truth::Empty, Truth::Disputed));
        let two = [Row::new(1, Role::Current), Row::new(2, Role::Current)];
        assert_eq!(truth(&two, true), Truth::Disputed);
    }
}
