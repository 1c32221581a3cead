//! What this process keeps of database servers: open administrations, locks of templates, failed builds. No I/O.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use tenantry_database::{Administration, Endpoint};
use tokio::sync::Mutex;

/// Administration of one server together with its endpoint as the operator reaches it.
#[derive(Debug, Clone)]
pub struct Server {
    /// Endpoint for the operator.
    pub endpoint: Endpoint,
    /// Its administration.
    pub admin: Arc<dyn Administration>,
    /// The versions of the object and the Secret from which the administration was made.
    pub(super) key: String,
}

/// A build of a template by SQL that failed. Such a build has no job that could be asked later.
#[derive(Debug, Clone)]
pub struct FailedBuild {
    /// Number of the attempt.
    pub attempt: u32,
    /// The step, and the server's message.
    pub said: String,
    /// When it failed.
    pub since: Instant,
}

/// Open administrations by name of the server.
#[derive(Debug, Default)]
pub struct Servers {
    pub(super) open: Mutex<HashMap<String, Server>>,
    locks: Mutex<HashMap<String, Arc<Mutex<()>>>>,
    /// Failed builds by the key of the template. Losing them costs one more attempt, whose number the server's registry
    /// keeps.
    failed_builds: Mutex<HashMap<String, FailedBuild>>,
    /// When the templates of a server were looked at, and how many databases were on it.
    templates: Mutex<HashMap<String, (u32, Timestamp)>>,
}

impl Servers {
    /// The lock of this process for a template of a server: only one task builds the template at a time, and no task
    /// drops it meanwhile. The server itself keeps different processes apart.
    pub async fn lock_template(&self, server: &str, name: &str) -> Arc<Mutex<()>> {
        self.locks.lock().await.entry(format!("{server}/{name}")).or_default().clone()
    }

    /// The last build of a template by SQL, if it failed.
    pub async fn failed_build(&self, key: &str) -> Option<FailedBuild> {
        self.failed_builds.lock().await.get(key).cloned()
    }

    /// Remembers how a build of a template by SQL ended. None means that it succeeded.
    pub async fn build_ended(&self, key: &str, failed: Option<FailedBuild>) {
        let mut all = self.failed_builds.lock().await;
        match failed {
            Some(failed) => all.insert(key.to_owned(), failed),
            None => all.remove(key),
        };
    }

    /// Whether the templates of a server are to be looked at: the number of its databases has changed, or the last look
    /// was long ago.
    pub async fn templates_due(&self, server: &str, databases: u32, now: Timestamp, every: SignedDuration) -> bool {
        let all = self.templates.lock().await;
        all.get(server).is_none_or(|(then, at)| *then != databases || now.duration_since(*at) >= every)
    }

    /// Remembers that the templates of a server were looked at.
    pub async fn templates_seen(&self, server: &str, databases: u32, now: Timestamp) {
        self.templates.lock().await.insert(server.to_owned(), (databases, now));
    }

    /// Forgets a server, so that it is connected again.
    pub async fn forget(&self, name: &str) {
        self.open.lock().await.remove(name);
    }
}
