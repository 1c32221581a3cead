//! How one gets the administration of a server. No I/O by itself.

use std::sync::Arc;

use tenantry_core::calls::Gate;

use crate::admin::Administration;
use crate::error::Result;
use crate::flow::Flow;
use crate::mariadb::Mariadb;
use crate::model::{Endpoint, Engine, Login};
use crate::postgresql::Postgresql;

/// Makes the administration of a server. Connects at the first call, not here.
///
/// At most six operations run at a time, each with at most two connections; connecting is bounded by
/// 5 s, a statement by 60 s, the copy of a database by 300 s.
///
/// # Errors
/// [`crate::Error::Invalid`] when the endpoint is not valid.
pub fn connect(endpoint: Endpoint, admin: Login, gate: Arc<dyn Gate>) -> Result<Box<dyn Administration>> {
    if endpoint.host.is_empty() || endpoint.port == 0 {
        return Err(crate::Error::invalid("endpoint", "host or port is missing"));
    }
    Ok(match endpoint.engine {
        Engine::Postgresql => Box::new(Flow::new(Postgresql::new(endpoint, admin, gate))),
        Engine::Mariadb => Box::new(Flow::new(Mariadb::new(endpoint, admin, gate))),
    })
}
