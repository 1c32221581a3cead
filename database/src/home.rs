//! The place to which a lent connection returns. No I/O.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::sync::OwnedSemaphorePermit;

use crate::wire::Wire;

/// Connections that wait to be lent, each with the time since which it waits.
pub(crate) type Idle = Arc<Mutex<Vec<(Box<dyn Wire>, Instant)>>>;

/// The place to which a lent connection returns.
#[derive(Debug)]
pub(crate) struct Home {
    idle: Idle,
    _permit: OwnedSemaphorePermit,
}

impl Home {
    /// The place of a connection that is lent with a permit.
    pub(crate) fn new(idle: &Idle, permit: OwnedSemaphorePermit) -> Self {
        Self { idle: Arc::clone(idle), _permit: permit }
    }

    /// Takes a working connection back.
    pub(crate) fn take_back(self, wire: Box<dyn Wire>) {
        if let Ok(mut idle) = self.idle.lock() {
            idle.push((wire, Instant::now()));
        }
    }
}
