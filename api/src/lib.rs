//! tenantry-api: the kinds of Tenantry, one file each, with the rules that the API server itself enforces.
//!
//! No I/O. Group `tenantry.dev`, version `v1alpha1`. Names in code are the words of docs/introduction.md.

pub mod archive;
pub mod billing_event;
pub mod blueprint;
pub mod condition;
mod condition_type;
pub mod crm_instance;
pub mod database_server;
pub mod integration;
pub mod plan;
pub mod scheduling;
pub mod site;
pub mod tenant;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

/// The API group of all kinds.
pub const GROUP: &str = "tenantry.dev";
/// The version of all kinds.
pub const VERSION: &str = "v1alpha1";

/// Every custom resource definition, in the order in which they are installed.
#[must_use]
pub fn definitions() -> Vec<CustomResourceDefinition> {
    let mut all = vec![
        site::Site::crd(),
        plan::Plan::crd(),
        blueprint::Blueprint::crd(),
        database_server::DatabaseServer::crd(),
        tenant::Tenant::crd(),
        crm_instance::CrmInstance::crd(),
        archive::Archive::crd(),
        billing_event::BillingEvent::crd(),
    ];
    for crd in &mut all {
        // Kept on uninstall: removing the chart must never remove tenants.
        crd.metadata.annotations.get_or_insert_default().insert("helm.sh/resource-policy".into(), "keep".into());
    }
    all
}
