//! Which instances and archives have data on a database server: they outlive its status. Does I/O (reads).

use kube::ResourceExt;
use kube::api::{Api, ListParams};
use tenantry_api::crm_instance::CrmInstance;

use crate::archive::{Entry, PAGE};
use crate::context::Ctx;
use crate::error::{Error, Result};
use crate::life::recorded_of;

/// Largest number of names that are reported of each kind; there may be thousands.
const TOLD: usize = 3;

/// The instances and archives that have data on a server, a few of them by name. An empty list means that none of them
/// says so. All instances and archives are read: this is called only when a server is to be deleted, or holds nothing.
///
/// # Errors
/// [`Error::Kube`].
pub async fn uses(ctx: &Ctx, server: &str) -> Result<Vec<String>> {
    let mut told = Vec::new();
    let instances: Api<CrmInstance> = Api::all(ctx.client.clone());
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = instances.list(&params).await.map_err(Error::kube("list instances"))?;
        let here = page.items.iter().filter(|i| lies_on(i, server));
        told.extend(here.map(|i| format!("instance {}/{}", i.spec.tenant, i.name_any())));
        match page.metadata.continue_.filter(|token| !token.is_empty() && told.len() < TOLD) {
            Some(token) => params = params.continue_token(&token),
            None => break,
        }
    }
    told.truncate(TOLD);
    let archives: Api<Entry> = Api::all(ctx.client.clone());
    let (mut params, most) = (ListParams::default().limit(PAGE), told.len() + TOLD);
    loop {
        let page = archives.list(&params).await.map_err(Error::kube("list archives"))?;
        let here = page.items.iter().filter(|a| a.is_kept() && a.spec.databases.iter().any(|d| d.server == server));
        told.extend(here.map(|a| format!("archive {}", a.name_any())));
        match page.metadata.continue_.filter(|token| !token.is_empty() && told.len() < most) {
            Some(token) => params = params.continue_token(&token),
            None => break,
        }
    }
    told.truncate(most);
    Ok(told)
}

/// Whether an instance has its data on a server, according to its status. If the status was lost, the server that the
/// spec names counts.
fn lies_on(instance: &CrmInstance, server: &str) -> bool {
    match instance.status.as_ref().and_then(|s| s.database.as_ref()) {
        Some(database) => database.server == server,
        None => {
            let installed = match recorded_of(instance.annotations()) {
                Ok(recorded) => recorded.is_some_and(|r| r.facts.installed.is_some()),
                // A ledger that cannot be read may contain anything.
                Err(_) => true,
            };
            installed && instance.spec.database_server.as_deref() == Some(server)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn instance(annotations: Value, status: Value) -> CrmInstance {
        serde_json::from_value(json!({
            "apiVersion": "tenantry.dev/v1alpha1", "kind": "CrmInstance",
            "metadata": { "name": "crm", "namespace": "tenant-abcdefghij", "annotations": annotations },
            "spec": { "tenant": "acme", "blueprint": "tryton", "host": "crm.acme.example", "databaseServer": "pg-1" },
            "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn the_status_says_where_data_lies_and_without_it_the_wish_of_one_that_was_installed() {
        let on = |server: &str| json!({ "phase": "Ready", "database": { "server": server, "name": "crm_x_g1" } });
        assert!(lies_on(&instance(json!({}), on("pg-1")), "pg-1"));
        assert!(!lies_on(&instance(json!({}), on("pg-2")), "pg-1"));
        assert!(!lies_on(&instance(json!({}), Value::Null), "pg-1"), "nothing was ever made");
        let unreadable = json!({ tenantry_core::names::ANNOTATION_LEDGER: "{" });
        assert!(lies_on(&instance(unreadable.clone(), Value::Null), "pg-1"));
        assert!(!lies_on(&instance(unreadable, Value::Null), "pg-2"));
    }
}
