//! The lock of a map that many tasks share. No I/O.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a map. A panic elsewhere leaves the map intact: every change is one insert or remove.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
