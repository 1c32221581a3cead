//! Names that were perhaps meant. No I/O.

use super::Problem;
use crate::output::text::some;

/// How many names an error lists.
const LISTED: usize = 8;

/// The nearest of the names, when it is near enough to be a typing error.
pub fn nearest<'a>(wanted: &str, names: &'a [String]) -> Option<&'a str> {
    let most = (wanted.chars().count() / 3).max(1);
    let mut near: Vec<(usize, &str)> =
        names.iter().map(|n| (distance(wanted, n), n.as_str())).filter(|(d, _)| *d <= most).collect();
    near.sort_unstable();
    // When several names are equally near, none was clearly meant.
    match near.as_slice() {
        [(a, _), (b, _), ..] if a == b => None,
        [(_, first), ..] => Some(first),
        [] => None,
    }
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// `plan "fibo-9" does not exist`, with the names that exist. `list` is the command that lists them.
pub fn missing(word: &str, wanted: &str, mut names: Vec<String>, list: &str) -> Problem {
    names.sort();
    let mut problem = Problem::not_found(format!("{word} {wanted:?} does not exist"));
    if let Some(near) = nearest(wanted, &names) {
        problem = problem.safe(format!("did you mean {near:?}?"));
    }
    if names.is_empty() {
        problem.why(format!("there are no {word}s")).next("", list)
    } else {
        problem.why(format!("{word}s: {}", some(&names, LISTED))).next("", list)
    }
}
