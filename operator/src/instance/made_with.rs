//! Values that only `personalise` uses, of an instance that was made with others: reported, and never run again. Does
//! I/O (Kubernetes).

use std::collections::BTreeMap;

use kube::ResourceExt;
use kube::api::Api;
use serde::{Deserialize, Serialize};
use tenantry_api::condition::{ConditionType, Said};
use tenantry_api::crm_instance::CrmInstance;
use tenantry_core::names;
use tenantry_plan::made_with::{CONDITION, changed, given_once, prints};

use super::inputs::Inputs;
use super::pass::Pass;
use crate::context::Ctx;
use crate::halt::{Halt, OrHalt};
use crate::life::metadata;

/// The note of how an instance was made.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    /// Hash of the release that made it.
    release: String,
    /// Prints of the values that only `personalise` uses, by name.
    prints: BTreeMap<String, String>,
}

/// Compares the values that a personalised instance should be made with and the values that it was made with. A value
/// that was never noted is noted as it is now. If the instance was just made, that is the value that it was made with;
/// otherwise nothing tells what that value was.
///
/// # Errors
/// [`Halt`] at `Ready` when the note cannot be written.
pub async fn look(ctx: &Ctx, pass: &mut Pass, inputs: &Inputs<'_>) -> Result<(), Halt> {
    let wanted = inputs.wanted;
    let now = prints(&given_once(&wanted.release.spec, &inputs.values()), &inputs.keys.admin_password);
    if now.is_empty() {
        pass.settings_applied = Some(None);
        return Ok(());
    }
    let noted = pass.instance.annotations().get(names::ANNOTATION_MADE_WITH);
    let noted: Option<Note> = noted.and_then(|text| serde_json::from_str(text).ok());
    // For an instance that was never Ready, the steps of a fixed release run again, with the values of that time: the
    // note of another release does not count.
    let noted = noted.filter(|n| n.release == wanted.release.hash || pass.installed_before());
    let made = noted.map(|n| n.prints).unwrap_or_default();
    // An operator that compares more values than the operator before it adds the values that were not noted.
    let note: BTreeMap<_, _> = now.clone().into_iter().chain(made.clone()).collect();
    if note != made {
        let note = Note { release: wanted.release.hash.clone(), prints: note };
        let text = serde_json::to_string(&note).halt(ConditionType::Ready)?;
        let api: Api<CrmInstance> = Api::namespaced(ctx.client.clone(), &wanted.namespace);
        let note = [(names::ANNOTATION_MADE_WITH, text)];
        if let Some(stored) = metadata(ctx, &api, &pass.instance, true, &note).await.halt(ConditionType::Ready)? {
            pass.instance = stored;
        }
    }
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
