//! Liveness from successful watches and reads, readiness from the start. No I/O.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A process that has heard nothing from the API for this long is stuck and must be restarted.
pub const SILENCE: Duration = Duration::from_secs(300);
/// If a single watch has failed for this long, the process is not alive, however well everything else works.
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
    /// The API has answered.
    pub fn sign_of_life(&self) {
        self.last_sign.store(self.start.elapsed().as_secs(), Ordering::Relaxed);
    }

    /// A watch has brought something, or has failed.
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

    /// Whether the API has answered lately and every watch works.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        let silent = self.start.elapsed().as_secs().saturating_sub(self.last_sign.load(Ordering::Relaxed));
        let failing = self.failing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        silent < SILENCE.as_secs() && failing.values().all(|since| since.elapsed() < WATCH_FAILING)
    }
}
