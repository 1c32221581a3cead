//! The upgrade from an operator that wrote statuses under another name: what it left goes with the next write of the
//! status, and an object at rest is not written for that. Does I/O.

use kube::Client;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tenantry_api::crm_instance::CrmInstance;
use tenantry_operator::cluster::FIELD_MANAGER;

use crate::gate::{Mode, Nth, Planned};
use crate::life::{INSTANCE, Life, Step};
use crate::scenarios::{ready, run};
use crate::world::Operator;

/// Who owns fields of the instance's status.
fn managers(instance: &CrmInstance) -> Vec<&str> {
    let entries = instance.metadata.managed_fields.iter().flatten();
    entries.filter(|e| e.subresource.as_deref() == Some("status")).filter_map(|e| e.manager.as_deref()).collect()
}

/// Writes the status as an operator of an earlier version did, with `more` in it. From then on no other manager owns
/// any field of the status.
async fn write_as_earlier(life: &Life, more: &Value) {
    let api = life.instances();
    let bare = json!({"apiVersion": "tenantry.dev/v1alpha1", "kind": "CrmInstance", "metadata": {"name": INSTANCE}});
    let mut object = bare.clone();
    object["status"] = serde_json::to_value(life.instance().await.unwrap().unwrap().status).unwrap();
    object["status"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let earlier = PatchParams::apply("tenantry").force();
    api.patch_status(INSTANCE, &earlier, &Patch::Apply(&object)).await.unwrap();
    let stored = api.patch_status(INSTANCE, &PatchParams::apply(FIELD_MANAGER), &Patch::Apply(&bare)).await.unwrap();
    assert_eq!(managers(&stored), ["tenantry"]);
}

/// The statuses that the operator wrote since its gate was armed.
fn status_writes(operator: &Operator) -> usize {
    operator.gate.writes().iter().filter(|call| call.contains("/status")).count()
}

/// A CRM whose last status was written by an earlier operator, with a field that the status no longer has.
async fn upgraded(base: &Client) -> Life {
    let mut life = ready(base, "upgraded").await;
    write_as_earlier(&life, &json!({"exchangingSince": "2020-01-01T00:00:00Z"})).await;
    life.operator = Operator::new(base);
    life
}

#[test]
fn what_an_earlier_operator_wrote_into_a_status_goes_and_what_rests_is_not_written_for_that() {
    run(false, |base| async move {
        let mut life = upgraded(&base).await;
        life.round().await.unwrap();
        assert_eq!(status_writes(&life.operator), 2, "{:?}", life.operator.gate.writes());
        let instance = life.instance().await.unwrap().unwrap();
        assert_eq!(managers(&instance), [FIELD_MANAGER]);
        assert_eq!(instance.status.unwrap().exchanging_since, None);
        life.check(Step::Create, None).await.unwrap_or_else(|e| panic!("{e}"));

        write_as_earlier(&life, &json!({})).await;
        life.check_rest().await.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(managers(&life.instance().await.unwrap().unwrap()), ["tenantry"]);
        life.drive(Step::Suspend, None).await.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(managers(&life.instance().await.unwrap().unwrap()), [FIELD_MANAGER]);
    });
}

#[test]
fn a_fault_between_the_two_writes_leaves_nothing_of_an_earlier_operator() {
    run(false, |base| async move {
        let mut life = upgraded(&base).await;
        for mode in Mode::ALL {
            for call in 1..=2 {
                write_as_earlier(&life, &json!({"exchangingSince": "2020-01-01T00:00:00Z"})).await;
                life.operator = Operator::new(&base);
                let fault = Planned { nth: Nth::Change(call), mode };
                let done = life.drive(Step::Resume, Some(fault)).await.unwrap_or_else(|e| panic!("{e}"));
                let fired = done.fired.unwrap_or_else(|| panic!("{mode:?}: there was no call {call}"));
                assert!(fired.contains("/status"), "{fired}");
                let instance = life.instance().await.unwrap().unwrap();
                assert_eq!(managers(&instance), [FIELD_MANAGER], "{mode:?} at call {call}");
                assert_eq!(instance.status.unwrap().exchanging_since, None, "{mode:?} at call {call}");
            }
        }
        life.check(Step::Create, None).await.unwrap_or_else(|e| panic!("{e}"));
    });
}
