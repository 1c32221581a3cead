//! A few connections of the administrator, opened when first needed, lent and returned — does I/O.
//!
//! This is not the driver's own pool, for two reasons: that pool hides "connection refused" behind its waiting time,
//! and its choice between opening and reusing a connection would change the numbers of the gate's calls.

use std::sync::Arc;
use std::time::Duration;

use tenantry_core::calls::Gate;
use tokio::sync::Semaphore;

use crate::classify::Place;
use crate::error::{Error, Result};
use crate::home::{Home, Idle};
use crate::model::{Endpoint, Login};
use crate::session::{CONNECT, STATEMENT, Session};
use crate::wire::Wire;

/// Maximum number of operations at a time: two more than copies of one template, because copies take seconds.
const MOST: usize = crate::limits::COPIES as usize + 2;
/// A connection that was idle for longer than this may be dead and is not used again.
const REST: Duration = Duration::from_secs(30);

/// The connections of the administrator to one server.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) endpoint: Endpoint,
    pub(crate) admin: Login,
    pub(crate) gate: Arc<dyn Gate>,
    database: Option<&'static str>,
    permits: Arc<Semaphore>,
    idle: Idle,
}

impl Pool {
    pub(crate) fn new(endpoint: Endpoint, admin: Login, gate: Arc<dyn Gate>, database: Option<&'static str>) -> Self {
        let permits = Arc::new(Semaphore::new(MOST));
        Self { endpoint, admin, gate, database, permits, idle: Idle::default() }
    }

    /// Lends a connection of the administrator.
    pub(crate) async fn session(&self) -> Result<Session> {
        let label = "sql connect";
        self.gate.before(label)?;
        let lent = self.lend(label).await;
        self.gate.after(label)?;
        lent
    }

    async fn lend(&self, label: &str) -> Result<Session> {
        let permit = match tokio::time::timeout(CONNECT, Arc::clone(&self.permits).acquire_owned()).await {
            Ok(Ok(permit)) => permit,
            _ => {
                let message = "all connections of the administrator are in use".into();
                return Err(Error::Busy { server: self.endpoint.to_string(), what: label.into(), message });
            }
        };
        let wire = match self.rested() {
            Some(wire) => wire,
            None => self.open(label).await?,
        };
        let home = Home::new(&self.idle, permit);
        Ok(Session::lent(wire, &self.gate, self.place(), home))
    }

    async fn open(&self, label: &str) -> Result<Box<dyn Wire>> {
        let mut fresh =
            Session::open_quietly(&self.endpoint, &self.admin, self.database, STATEMENT, &self.gate, label).await?;
        fresh.take_wire().ok_or_else(|| Error::Unreachable {
            server: self.endpoint.to_string(),
            what: label.into(),
            why: "no connection".into(),
        })
    }

    fn rested(&self) -> Option<Box<dyn Wire>> {
        let mut idle = self.idle.lock().ok()?;
        idle.retain(|(_, since)| since.elapsed() < REST);
        idle.pop().map(|(wire, _)| wire)
    }

    /// Opens a connection of the administrator for one purpose, into another database or with another limit.
    pub(crate) async fn own(&self, database: Option<&str>, limit: Duration, label: &str) -> Result<Session> {
        Session::open(&self.endpoint, &self.admin, database, limit, &self.gate, label).await
    }

    /// Whether a role can log in with a password.
    pub(crate) async fn logs_in(&self, login: &Login, database: &str) -> Result<bool> {
        match Session::open(&self.endpoint, login, Some(database), STATEMENT, &self.gate, "connect as the role").await {
            Ok(session) => {
                session.close().await;
                Ok(true)
            }
            Err(Error::Authentication { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn place(&self) -> Place {
        Place { engine: self.endpoint.engine, server: self.endpoint.to_string(), user: self.admin.user.clone() }
    }
}
