//! What is refused, with words that help, and without anything half made. Does I/O.

use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tenantry_api::archive::ArchivePhase;
use tenantry_api::condition::find;
use tenantry_api::crm_instance::{CrmInstance, InstancePhase};
use tenantry_api::tenant::{Tenant, TenantPhase};
use tenantry_operator::cluster::dynamic_api;
use tenantry_plan::Kind;

use crate::life::{INSTANCE, Life, Step};
use crate::picture::{same, versions};
use crate::scenarios::{children_of, condition, ready, run};
use crate::world::{World, apply, fixture};

async fn tenant_with(base: &Client, what: &str, more: &Value) -> (Life, Tenant) {
    let mut life = Life::new(base, what);
    life.tenants().create(&PostParams::default(), &life.tenant_object(more)).await.unwrap();
    for _ in 0..3 {
        life.round().await.unwrap();
    }
    let tenant = life.tenant().await.unwrap().unwrap();
    (life, tenant)
}

async fn instance_with(life: &mut Life, name: &str, more: &Value) -> CrmInstance {
    let mut object = life.instance_object(more);
    object.metadata.name = Some(name.into());
    life.instances().create(&PostParams::default(), &object).await.unwrap();
    for _ in 0..3 {
        life.round().await.unwrap();
    }
    life.instances().get(name).await.unwrap()
}

fn ready_of(tenant: &Tenant) -> (String, String) {
    let status = tenant.status.clone().unwrap_or_default();
    let found = find(&status.conditions, "Ready").cloned().unwrap_or_else(|| panic!("{status:?}"));
    (found.reason, found.message)
}

#[test]
fn a_host_that_is_taken_names_its_owner_and_nothing_half_made_is_served() {
    run(false, |base| async move {
        let mut first = ready(&base, "host").await;
        let before = versions(&first).await.unwrap();
        let (mut second, _) = tenant_with(&base, "thief", &json!({})).await;
        let instance = instance_with(&mut second, INSTANCE, &json!({"host": first.host})).await;
        let (status, reason, message) = condition(&second, INSTANCE, "HostClaimed").await;
        assert_eq!((status.as_str(), reason.as_str()), ("False", "HostTaken"));
        assert!(message.contains(&format!("{}/{INSTANCE}", first.name)), "{message}");
        assert_eq!(instance.status.unwrap().phase, InstancePhase::Pending);
        assert_eq!(children_of(&second, INSTANCE).await, Vec::<String>::new());
        let mine = format!("SELECT count(*) FROM databases WHERE tenant = '{}'", second.tenant_id.clone().unwrap());
        assert_eq!(World::get().root("pg-a", &mine).await.unwrap(), "0");
        assert_eq!(versions(&first).await.unwrap(), before);
        first.check(Step::Create, None).await.unwrap_or_else(|e| panic!("{e}"));
        // It becomes free when its owner is archived, and goes to who asks for it.
        first.drive(Step::Delete, None).await.unwrap_or_else(|e| panic!("{e}"));
        second.drive(Step::Create, None).await.unwrap_or_else(|e| panic!("{e}"));
    });
}

#[test]
fn a_host_that_is_given_up_is_free_for_others() {
    run(false, |base| async move {
        let mut life = ready(&base, "moved").await;
        let old = life.host.clone();
        let patch = json!({"spec": {"host": format!("new-{old}")}});
        life.instances().patch(INSTANCE, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
        life.host = format!("new-{old}");
        life.drive(Step::Resume, None).await.unwrap_or_else(|e| panic!("{e}"));
        life.check(Step::Create, None).await.unwrap_or_else(|e| panic!("{e}"));
        let mut other = Life::new(&base, "heir");
        other.host = old;
        other.drive(Step::Create, None).await.unwrap_or_else(|e| panic!("{e}"));
    });
}

#[test]
fn an_unknown_plan_blueprint_or_release_is_named_with_what_helps() {
    run(false, |base| async move {
        let (mut life, tenant) = tenant_with(&base, "unknown", &json!({"plan": "golden"})).await;
        let status = tenant.status.unwrap();
        let plan = find(&status.conditions, "PlanKnown").unwrap();
        assert_eq!(plan.status, "False");
        assert!(plan.message.contains("\"golden\"") && plan.message.contains("tenantry plan list"), "{}", plan.message);
        let patch = json!({"spec": {"plan": "small"}});
        life.tenants().patch(&life.name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
        life.round().await.unwrap();
        assert_eq!(life.tenant().await.unwrap().unwrap().status.unwrap().phase, TenantPhase::Active);
        assert_eq!(life.events().await.unwrap().len(), 0, "the first plan is a baseline and no change");

        let host = |first: &str, life: &Life| format!("{first}.{}", life.host);
        let more = json!({"blueprint": "no-such", "host": host("a", &life)});
        instance_with(&mut life, "nothing", &more).await;
        let (_, reason, message) = condition(&life, "nothing", "SpecValid").await;
        assert_eq!(reason, "UnknownBlueprint");
        assert!(message.contains("\"no-such\"") && message.contains("tenantry blueprint list"), "{message}");
        let more = json!({"release": "0.9", "host": host("b", &life)});
        instance_with(&mut life, "old", &more).await;
        let (_, reason, message) = condition(&life, "old", "SpecValid").await;
        assert_eq!(reason, "UnknownRelease");
        assert!(message.contains("\"0.9\"") && message.contains("1.0"), "{message}");
        for name in ["nothing", "old"] {
            assert_eq!(children_of(&life, name).await, Vec::<String>::new());
            life.instances().delete(name, &DeleteParams::default()).await.unwrap();
        }
        life.drive(Step::Create, None).await.unwrap_or_else(|e| panic!("{e}"));
    });
}

#[test]
fn a_template_error_names_file_line_and_variable() {
    run(false, |base| async move {
        let name = World::get().name("broken");
        let spec = fixture("first line\nsecond {{ instance.nmae }}\n");
        apply(&base, json!({"apiVersion": "tenantry.dev/v1alpha1", "kind": "Blueprint", "metadata": {"name": name}, "spec": spec})).await;
        let (mut life, _) = tenant_with(&base, "template", &json!({})).await;
        instance_with(&mut life, INSTANCE, &json!({"blueprint": name})).await;
        let (_, reason, message) = condition(&life, INSTANCE, "SpecValid").await;
        assert_eq!(reason, "BlueprintInvalid");
        assert!(message.contains("/etc/product.conf") && message.contains("instance.nmae"), "{message}");

        // One that only shows when it is rendered: the line is known then.
        let name = World::get().name("late");
        let spec = fixture("first line\nsecond {{ instance.name.nothing.more }}\n");
        apply(&base, json!({"apiVersion": "tenantry.dev/v1alpha1", "kind": "Blueprint", "metadata": {"name": name}, "spec": spec})).await;
        let more = json!({"blueprint": name, "host": format!("late.{}", life.host)});
        instance_with(&mut life, "late", &more).await;
        let late = life.instances().get("late").await.unwrap().status.unwrap();
        let said = find(&late.conditions, "Ready").unwrap().message.clone();
        assert!(said.contains("/etc/product.conf") && said.contains("instance.name"), "{said}");
        assert!(said.contains('2') || said.contains("instance.name.nothing"), "{said}");
    });
}

#[test]
fn the_id_of_an_archive_is_refused_unless_the_archive_is_adopted_by_name() {
    run(false, |base| async move {
        let mut life = ready(&base, "taken").await;
        life.drive(Step::Suspend, None).await.unwrap_or_else(|e| panic!("{e}"));
        life.drive(Step::Resume, None).await.unwrap_or_else(|e| panic!("{e}"));
        life.drive(Step::ChangePlan, None).await.unwrap_or_else(|e| panic!("{e}"));
        life.drive(Step::Delete, None).await.unwrap_or_else(|e| panic!("{e}"));
        let before = life.picture().await.unwrap();
        let (tenant_id, instance_id) = life.ids().unwrap();
        let (_thief, tenant) = tenant_with(&base, "thief", &json!({"id": tenant_id})).await;
        let (reason, message) = ready_of(&tenant);
        assert_eq!(reason, "IdTaken");
        assert!(message.contains(&format!("{tenant_id}-1")) && message.contains("tenantry tenant adopt"), "{message}");
        same(&before, &life.picture().await.unwrap()).unwrap_or_else(|e| panic!("{e}"));

        // The tenant comes back; its instance's id is refused as long as its archive is not named.
        let object = life.tenant_object(&json!({"id": tenant_id, "adopt": format!("{tenant_id}-1"), "plan": "large"}));
        life.tenants().create(&PostParams::default(), &object).await.unwrap();
        life.round().await.unwrap();
        life.round().await.unwrap();
        instance_with(&mut life, INSTANCE, &json!({"id": instance_id})).await;
        let (_, reason, message) = condition(&life, INSTANCE, "Ready").await;
        assert_eq!(reason, "IdTaken");
        assert!(
            message.contains(&format!("{instance_id}-1")) && message.contains("tenantry instance adopt"),
            "{message}"
        );
        assert_eq!(life.sql("pg-a", "SELECT 1").await, Err("log-in refused".into()), "the archive's role was unlocked");
        life.instances().delete(INSTANCE, &DeleteParams::default()).await.unwrap();
        for _ in 0..3 {
            life.round().await.unwrap();
        }
        assert_eq!(life.instance().await.unwrap(), None, "an instance that never was cannot be removed");
        life.drive(Step::Adopt, None).await.unwrap_or_else(|e| panic!("{e}"));
        life.check(Step::Adopt, None).await.unwrap_or_else(|e| panic!("{e}"));

        // A copy of a living instance with its id does not get its data either.
        let more = json!({"id": instance_id, "host": format!("copy.{}", life.host)});
        let whole = life.picture().await.unwrap();
        instance_with(&mut life, "copy", &more).await;
        let (_, reason, message) = condition(&life, "copy", "Ready").await;
        assert_eq!(reason, "IdTaken", "{message}");
        // As `kubectl get -o yaml` gives it: annotations and finalizer included. Deleting it must hurt nobody.
        let original = life.instance().await.unwrap().unwrap();
        let meta = json!({"metadata": {"annotations": original.annotations(), "finalizers": original.finalizers()}});
        life.instances().patch("copy", &PatchParams::default(), &Patch::Merge(&meta)).await.unwrap();
        life.instances().delete("copy", &DeleteParams::default()).await.unwrap();
        for _ in 0..3 {
            life.round().await.unwrap();
        }
        assert_eq!(life.instances().list(&ListParams::default()).await.unwrap().items.len(), 1);
        same(&whole, &life.picture().await.unwrap()).unwrap_or_else(|e| panic!("{e}"));
        life.check(Step::Adopt, None).await.unwrap_or_else(|e| panic!("{e}"));

        life.drive(Step::DeleteAgain, None).await.unwrap_or_else(|e| panic!("{e}"));
        life.drive(Step::Purge, None).await.unwrap_or_else(|e| panic!("{e}"));
        let events = life.events().await.unwrap().len();
        let (_again, tenant) = tenant_with(&base, "again", &json!({"id": tenant_id})).await;
        assert_eq!(ready_of(&tenant).0, "IdTaken", "an id is never used again");
        assert_eq!(life.events().await.unwrap().len(), events);
    });
}

#[test]
fn a_tenant_with_the_name_of_an_archived_one_gets_a_new_id_and_never_touches_old_data() {
    run(false, |base| async move {
        let mut old = ready(&base, "same").await;
        old.drive(Step::Delete, None).await.unwrap_or_else(|e| panic!("{e}"));
        let before = old.picture().await.unwrap();
        let mut new = Life::new(&base, "unused");
        (new.name, new.host) = (old.name.clone(), format!("new.{}", old.host));
        new.drive(Step::Create, None).await.unwrap_or_else(|e| panic!("{e}"));
        new.work().await.unwrap();
        new.check(Step::Create, None).await.unwrap_or_else(|e| panic!("{e}"));
        assert_ne!(new.tenant_id, old.tenant_id);
        assert_ne!(new.instance_id, old.instance_id);
        let mut after = old.picture().await.unwrap();
        // The picture looks for a tenant by name; that is the new one.
        for of_the_new in ["tenant", "instance"] {
            after.remove(of_the_new);
        }
        same(&before, &after).unwrap_or_else(|e| panic!("{e}"));
    });
}

#[test]
fn a_purge_is_refused_while_something_lives_on_the_data_or_the_name_is_wrong() {
    run(false, |base| async move {
        let mut life = ready(&base, "purge").await;
        let mut neighbour = ready(&base, "neighbour").await;
        let untouched = versions(&neighbour).await.unwrap();
        for step in [Step::Suspend, Step::Resume, Step::ChangePlan, Step::Delete] {
            life.drive(step, None).await.unwrap_or_else(|e| panic!("{e}"));
        }
        let (tenant_id, instance_id) = life.ids().unwrap();
        // Neither another name nor the archived one, which archives of other tenants may have as well.
        for word in ["another", INSTANCE] {
            let wrong = life.demand(&format!("{instance_id}-1"), &json!({"confirm": word})).await;
            assert!(wrong.as_ref().is_err_and(|e| e.contains("spec.purge.confirm")), "{word}: {wrong:?}");
        }
        life.drive(Step::Adopt, None).await.unwrap_or_else(|e| panic!("{e}"));
        let before = life.picture().await.unwrap();
        life.ask_purge(&format!("{instance_id}-1")).await.unwrap();
        life.ask_purge(&format!("{tenant_id}-1")).await.unwrap();
        for _ in 0..3 {
            life.round().await.unwrap();
        }
        same(&before, &life.picture().await.unwrap()).unwrap_or_else(|e| panic!("a purge touched living data: {e}"));

        // Even when nobody remembers that the archives were adopted.
        let none = Patch::Merge(json!({"status": {"phase": "Archived"}}));
        for archive in [format!("{instance_id}-1"), format!("{tenant_id}-1")] {
            life.archives().patch_status(&archive, &PatchParams::default(), &none).await.unwrap();
        }
        for _ in 0..3 {
            life.round().await.unwrap();
        }
        let archive = life.archives().get(&format!("{instance_id}-1")).await.unwrap();
        let said = archive.status.unwrap_or_default();
        assert_ne!(said.phase, ArchivePhase::Purged);
        assert!(
            find(&said.conditions, "Purged").is_some_and(|c| c.status == "False" && c.message.contains(INSTANCE)),
            "{said:?}"
        );
        assert_eq!(life.picture().await.unwrap()["rows"], before["rows"]);

        // The tenant's own archive waits for its instances' archives.
        life.drive(Step::DeleteAgain, None).await.unwrap_or_else(|e| panic!("{e}"));
        life.ask_purge(&format!("{tenant_id}-2")).await.unwrap();
        life.round().await.unwrap();
        let waiting = life.archives().get(&format!("{tenant_id}-2")).await.unwrap().status.unwrap();
        assert!(
            find(&waiting.conditions, "Purged").is_some_and(|c| c.message.contains("not purged yet")),
            "{waiting:?}"
        );
        let namespaces = dynamic_api(&base, Kind::Namespace, None).list(&ListParams::default()).await.unwrap();
        assert!(namespaces.items.iter().any(|n| n.name_any() == life.namespace()));
        life.drive(Step::Purge, None).await.unwrap_or_else(|e| panic!("{e}"));
        neighbour.check(Step::Create, None).await.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(versions(&neighbour).await.unwrap(), untouched);
    });
}
