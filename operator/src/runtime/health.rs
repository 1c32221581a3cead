//! Liveness from successful watches and reads, readiness from the start. No I/O.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A process that has heard nothing of the API for so long is wedged and must be started anew.
pub const SILENCE: Duration = Duration::from_secs(300);
/// A single watch that has failed for so long makes the process not alive, however well the rest is.
pub const WATCH_FAILING: Duration = Duration::from_secs(600);

/// Health of the process.
#[derive(Debug)]
pub struct Health {
    start: Instant,
    last_sign: AtomicU64,
    ready: AtomicBool,
    failing: Mutex<HashMap<String, Instant>>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            last_sign: AtomicU64::new(0),
            ready: AtomicBool::new(false),
            failing: Mutex::default(),
        }
    }
}

impl Health {
    /// The API was heard.
    pub fn sign_of_life(&self) {
        self.last_sign.store(self.start.elapsed().as_secs(), Ordering::Relaxed);
    }

    /// A watch brought something, or failed.
    pub fn watch(&self, name: &str, well: bool) {
        let mut failing = self.failing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if well {
            self.sign_of_life();
            failing.remove(name);
        } else {
            failing.entry(name.to_owned()).or_insert_with(Instant::now);
        }
    }

    /// The process can work (or stands by for its turn).
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
    }

    /// Whether it can work.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// Whether the API was heard lately and every watch works.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        let silent = self.start.elapsed().as_secs().saturating_sub(self.last_sign.load(Ordering::Relaxed));
        let failing = self.failing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        silent < SILENCE.as_secs() && failing.values().all(|since| since.elapsed() < WATCH_FAILING)
    }
}
