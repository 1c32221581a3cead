//! How often an object failed, or waited for the same reason, in a row. No I/O.

use std::collections::HashMap;
use std::sync::Mutex;

use super::lock::lock;

/// Counts of failures and waits. Losing them makes the next pauses shorter.
#[derive(Debug, Default)]
pub struct Retries {
    /// Failures in a row, by uid.
    failures: Mutex<HashMap<String, u32>>,
    /// The reason why an object waits, and how often the object was looked at since, by uid.
    waits: Mutex<HashMap<String, (String, u32)>>,
}

impl Retries {
    /// Counts a failure of an object and returns how many there were in a row.
    pub fn failed(&self, uid: &str) -> u32 {
        let mut all = lock(&self.failures);
        let count = all.entry(uid.to_owned()).or_insert(0);
        *count = count.saturating_add(1);
        *count
    }

    /// Counts a look at a waiting object, and returns how many looks there were for the same reason.
    pub fn waited(&self, uid: &str, reason: &str) -> u32 {
        let mut all = lock(&self.waits);
        let entry = all.entry(uid.to_owned()).or_default();
        if entry.0 != reason {
            *entry = (reason.to_owned(), 0);
        }
        entry.1 = entry.1.saturating_add(1);
        entry.1
    }

    /// How many failures in a row there were.
    #[must_use]
    pub fn failures(&self, uid: &str) -> u32 {
        lock(&self.failures).get(uid).copied().unwrap_or_default()
    }

    /// The object is fine again: its failures and waits are forgotten.
    pub fn recovered(&self, uid: &str) {
        lock(&self.failures).remove(uid);
        lock(&self.waits).remove(uid);
    }
}
