//! Times of schedules: five cron fields, in which `H` stands for a time that differs by instance, so that the schedules
//! of a thousand tenants do not all start in the same minute. No I/O.

use sha2::{Digest, Sha256};

/// A schedule that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CronError(String);

/// Fields by name, each with its smallest and largest number.
const FIELDS: [(&str, u32, u32); 5] =
    [("minute", 0, 59), ("hour", 0, 23), ("day of month", 1, 31), ("month", 1, 12), ("day of week", 0, 7)];

/// The schedule of one instance. `H` becomes a number derived from the key; `H/n` becomes every n-th value from a start
/// derived from the key. `H` is allowed in the minute and the hour.
///
/// # Errors
/// [`CronError`] when there are not five fields, or when a field contains something that cron does not know.
pub fn of_instance(cron: &str, key: &str) -> Result<String, CronError> {
    let fields: Vec<&str> = cron.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Err(CronError(format!("{cron:?} has {} fields; cron has five", fields.len())));
    }
    let digest = Sha256::digest(key.as_bytes());
    let mut own = Vec::with_capacity(FIELDS.len());
    for (n, (field, (name, low, high))) in fields.iter().zip(FIELDS).enumerate() {
        let number = u32::from_be_bytes([digest[4 * n], digest[4 * n + 1], digest[4 * n + 2], digest[4 * n + 3]]);
        own.push(match field.strip_prefix('H') {
            Some(rest) if n < 2 => spread(rest, number, high).ok_or_else(|| wrong(cron, name))?,
            Some(_) => return Err(CronError(format!("{cron:?}: H may stand in the minute and the hour only"))),
            None if is_known(field, low, high) => (*field).to_owned(),
            None => return Err(wrong(cron, name)),
        });
    }
    Ok(own.join(" "))
}

fn wrong(cron: &str, field: &str) -> CronError {
    CronError(format!("{cron:?}: the {field} cannot be read"))
}

fn spread(rest: &str, number: u32, high: u32) -> Option<String> {
    if rest.is_empty() {
        return Some((number % (high + 1)).to_string());
    }
    let every: u32 = rest.strip_prefix('/')?.parse().ok().filter(|n| (1..=high).contains(n))?;
    Some(format!("{}-{high}/{every}", number % every))
}

/// Whether a field is a list of `*`, numbers, ranges and names of days or months, each with or without a step.
fn is_known(field: &str, low: u32, high: u32) -> bool {
    let number = |text: &str| {
        let name = text.len() == 3 && text.bytes().all(|b| b.is_ascii_alphabetic()) && high < 13;
        name || text.parse::<u32>().is_ok_and(|n| (low..=high).contains(&n))
    };
    field.split(',').all(|part| {
        let (range, step) = part.split_once('/').unwrap_or((part, "1"));
        let span = match range.split_once('-') {
            Some((a, b)) => number(a) && number(b),
            None => range == "*" || number(range),
        };
        span && step.parse::<u32>().is_ok_and(|n| n >= 1 && n <= high)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn what_cron_knows_stays_as_it_is() {
        for cron in ["17 * * * *", "*/5 3-5 1,15 * mon", "0 0 31 12 7", "0,30 8-18/2 * jan-mar *"] {
            assert_eq!(of_instance(cron, "k"), Ok(cron.to_owned()));
        }
    }

    #[test]
    fn what_cron_does_not_know_is_refused_with_the_field() {
        for (cron, field) in [
            ("60 * * * *", "minute"),
            ("* 24 * * *", "hour"),
            ("* * 0 * *", "day of month"),
            ("* * * 13 *", "month"),
            ("* * * * 8", "day of week"),
            ("*/0 * * * *", "minute"),
            ("H/0 * * * *", "minute"),
            ("H5 * * * *", "minute"),
            ("$(x) * * * *", "minute"),
        ] {
            let error = of_instance(cron, "k").unwrap_err().to_string();
            assert!(error.contains(field), "{error}");
        }
        assert!(of_instance("* * * *", "k").unwrap_err().to_string().contains("4 fields"));
        assert!(of_instance("* * H * *", "k").unwrap_err().to_string().contains("hour only"));
    }

    #[test]
    fn instances_take_turns_and_keep_their_turn() {
        let minutes: BTreeSet<String> = (0..500).map(|n| of_instance("H 3 * * *", &n.to_string()).unwrap()).collect();
        assert_eq!(minutes.len(), 60, "every minute is somebody's");
        assert_eq!(of_instance("H H * * *", "a"), of_instance("H H * * *", "a"));
        let every = of_instance("H/15 * * * *", "a").unwrap();
        let (start, rest) = every.split_once('-').unwrap();
        assert!(start.parse::<u32>().unwrap() < 15 && rest == "59/15 * * * *", "{every}");
    }
}
