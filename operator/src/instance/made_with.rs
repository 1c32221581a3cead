//! Settings that only `personalise` uses, of an instance that was made with others: told, and never run again. Does I/O
//! (Kubernetes).

use std::collections::BTreeMap;

use kube::ResourceExt;
use kube::api::Api;
use tenantry_api::condition::Said;
use tenantry_api::crm_instance::CrmInstance;
use tenantry_core::names;
use tenantry_plan::context::Keys;
use tenantry_plan::instance::Wanted;
use tenantry_plan::made_with::{CONDITION, changed, only_personalise, prints};

use super::live::Pass;
use crate::context::Ctx;
use crate::halt::Halt;
use crate::tenant::metadata;

/// Compares what an installed instance is to be made with and what it was made with. What nobody noted is noted as it
/// is now: nothing tells how it was.
///
/// # Errors
/// [`Halt`] at `Ready` when it cannot be noted.
pub async fn look(ctx: &Ctx, pass: &mut Pass, wanted: &Wanted, keys: &Keys) -> Result<(), Halt> {
    let names = only_personalise(&wanted.release.spec);
    let now = prints(&names, &wanted.settings, &keys.admin_password);
    if now.is_empty() {
        pass.settings_applied = Some(None);
        return Ok(());
    }
    let noted = pass.instance.annotations().get(names::ANNOTATION_MADE_WITH);
    let noted: Option<BTreeMap<String, String>> = noted.and_then(|text| serde_json::from_str(text).ok());
    let Some(made) = noted else {
        let at = Halt::at("Ready");
        let text = serde_json::to_string(&now).map_err(|e| at(e.into()))?;
        let api: Api<CrmInstance> = Api::namespaced(ctx.client.clone(), &wanted.namespace);
        let note = [(names::ANNOTATION_MADE_WITH, text)];
        if let Some(stored) = metadata(ctx, &api, &pass.instance, true, &note).await.map_err(at)? {
            pass.instance = stored;
        }
        pass.settings_applied = Some(None);
        return Ok(());
    };
    let others = changed(&made, &now);
    pass.settings_applied = Some((!others.is_empty()).then(|| {
        let text = format!(
            "the CRM goes on with the values that it was made with of: {}. Only personalise of blueprint {:?} uses them, and it is not run again: it would take away what people changed since. Put them back, or change them inside the CRM and say so: kubectl -n {} annotate crminstance {} {}-",
            others.join(", "),
            wanted.release.blueprint,
            wanted.namespace,
            wanted.name,
            names::ANNOTATION_MADE_WITH
        );
        Said::no(CONDITION, "OnlyWhenMade", text)
    }));
    Ok(())
}
