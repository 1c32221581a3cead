//! Words about an archive: until when it is kept, and what it keeps. No I/O.

use jiff::Timestamp;
use tenantry_api::archive::Archive;

use crate::output::text::{count, day};

/// The day until which the data is kept.
pub fn until(archive: &Archive) -> String {
    day_of(&archive.spec.retain_until)
}

/// The day of a time that is given as text.
pub fn day_of(text: &str) -> String {
    text.parse::<Timestamp>().map_or_else(|_| text.to_owned(), day)
}

/// `1 database, 2 volumes, 3 secrets`.
pub fn kept(archive: &Archive) -> String {
    let spec = &archive.spec;
    let parts: Vec<String> =
        [(spec.databases.len(), "database"), (spec.volumes.len(), "volume"), (spec.secrets.len(), "secret")]
            .iter()
            .filter(|(n, _)| *n > 0)
            .map(|(n, word)| count(*n, word))
            .collect();
    if parts.is_empty() { "its record".into() } else { parts.join(", ") }
}
