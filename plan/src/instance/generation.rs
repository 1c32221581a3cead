//! Which generation of its data an instance uses. No I/O.

use kube::ResourceExt;
use tenantry_api::crm_instance::CrmInstance;
use tenantry_core::names;

/// The generation of the data in use: from the annotation of an adoption, else from the status, else the first.
#[must_use]
pub fn data_generation(instance: &CrmInstance) -> u32 {
    instance
        .annotations()
        .get(names::ANNOTATION_DATA_GENERATION)
        .and_then(|text| text.parse().ok())
        .or_else(|| instance.status.as_ref().and_then(|s| s.data_generation))
        .unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_note_of_an_adoption_goes_before_the_status_and_the_first_generation_is_1() {
        let object = |note: Option<&str>, status: Option<u32>| -> CrmInstance {
            let annotations =
                note.map(|n| json!({ names::ANNOTATION_DATA_GENERATION: n })).unwrap_or_else(|| json!({}));
            let status = status.map(|g| json!({ "dataGeneration": g }));
            serde_json::from_value(json!({
                "apiVersion": "tenantry.dev/v1alpha1", "kind": "CrmInstance",
                "metadata": { "name": "crm", "annotations": annotations }, "status": status,
                "spec": { "tenant": "acme", "blueprint": "b", "host": "crm.acme.vn" },
            }))
            .unwrap()
        };
        for (note, status, generation) in [
            (None, None, 1),
            (None, Some(3), 3),
            (Some("2"), None, 2),
            (Some("2"), Some(1), 2),
            (Some("x"), Some(4), 4),
        ] {
            assert_eq!(data_generation(&object(note, status)), generation, "{note:?} {status:?}");
        }
    }
}
