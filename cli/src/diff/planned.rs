//! What the operator would make of an object, and where that lies. Does I/O by what it returns (Kubernetes).

use kube::api::{Api, DynamicObject};
use tenantry_plan::{Child, Kind, PlanError};

use crate::error::Problem;
use crate::session::Session;

/// What the operator would make of a wanted object.
pub struct Planned {
    /// Objects as they should be.
    pub children: Vec<Child>,
    /// Objects that must not exist.
    pub prunes: Vec<(Kind, Option<String>, String)>,
}

/// The planner's refusal in our words.
pub fn cannot_be(name: &str, error: &PlanError) -> Problem {
    Problem::refused(format!("{name} cannot be as it is written")).safe("nothing was changed").why(error.to_string())
}

/// Where objects of a kind lie.
pub fn objects(session: &Session, kind: Kind, namespace: Option<&str>) -> Api<DynamicObject> {
    let (client, resource) = (session.cluster.client.clone(), kind.api());
    match namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, &resource),
        None => Api::all_with(client, &resource),
    }
}
