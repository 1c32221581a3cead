//! Credentials of registries as this process read them last. No I/O.

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};

use tenantry_plan::pull::Merged;

/// The credentials that were read last, with the versions of their Secrets, so that they are not read again for each
/// tenant.
#[derive(Default)]
pub struct Credentials {
    last: Mutex<Option<(String, Merged)>>,
    /// Whether the operator's namespace is known to have no copy.
    pub(super) are_gone: AtomicBool,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

impl Credentials {
    pub(super) fn of(&self, versions: &str) -> Option<Merged> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().filter(|(known, _)| known == versions).map(|(_, merged)| merged.clone())
    }

    pub(super) fn note(&self, versions: &str, merged: &Merged) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((versions.to_owned(), merged.clone()));
    }
}
