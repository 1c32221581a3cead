//! Watches one object until something is true of it or the time is up. Does I/O.

use std::ops::ControlFlow;
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};

use crate::error::Problem;
use crate::error::api;

/// When to stop waiting.
#[derive(Debug, Clone, Copy)]
pub struct Until(Instant);

impl Until {
    /// A time from now.
    pub fn after(timeout: Duration) -> Self {
        Self(Instant::now() + timeout)
    }
}

/// Shows every state of an object to `see` until `see` breaks with a value; returns None when the time is over first.
/// An object that does not exist is shown as None. A cluster that cannot be reached for a moment is waited for.
pub async fn follow<K, T>(
    api: Api<K>,
    name: &str,
    until: Until,
    mut see: impl FnMut(Option<&K>) -> ControlFlow<T>,
) -> Result<Option<T>, Problem>
where
    K: Resource + Clone + std::fmt::Debug + DeserializeOwned + Send + 'static,
{
    let mut changes = pin!(watcher::watch_object(api, name).default_backoff());
    loop {
        let Ok(next) = timeout_at(until.0, changes.next()).await else { return Ok(None) };
        match next {
            Some(Ok(object)) => {
                if let ControlFlow::Break(value) = see(object.as_ref()) {
                    return Ok(Some(value));
                }
            }
            Some(Err(e)) => for_good(name, &e)?,
            None => return Err(Problem::failed(format!("the watch on {name} ended"))),
        }
    }
}

/// Fails for errors that waiting does not cure.
fn for_good(name: &str, error: &watcher::Error) -> Result<(), Problem> {
    let inner = match error {
        watcher::Error::InitialListFailed(e) | watcher::Error::WatchStartFailed(e) => e,
        _ => return Ok(()),
    };
    match inner {
        kube::Error::Api(status) if matches!(status.code, 401 | 403 | 404) => {
            Err(api::from_status(&format!("watch {name}"), status))
        }
        _ => Ok(()),
    }
}
