//! An Archive that was put back from a backup: nothing of it goes before it is asked for again. Does I/O.

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tenantry_api::archive::{Archive, ArchivePhase, BLANK};
use tenantry_core::names;
use tenantry_operator::cluster::dynamic_api;
use tenantry_plan::Kind;

use crate::life::{Life, Step};
use crate::picture::{Picture, same};
use crate::purges::{events, lose, purging, rounds};
use crate::scenarios::{ready, run};
use crate::unfinished::root;
use crate::world::Operator;

/// Where `kubectl apply` keeps the whole of what was applied.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

fn ago(hours: i64) -> String {
    let then = Timestamp::now().checked_sub(SignedDuration::from_hours(hours)).unwrap();
    then.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

async fn change(life: &Life, archive: &str, change: Value) {
    life.archives().patch(archive, &PatchParams::default(), &Patch::Merge(&change)).await.unwrap();
}

/// What `tenantry archive purge` writes: the name, and of which object it was asked.
async fn ask_by_command(life: &Life, archive: &str) {
    let of = life.archives().get(archive).await.unwrap().metadata.uid;
    let asked = json!({"annotations": {names::ANNOTATION_PURGE_ASKED: of}});
    change(life, archive, json!({"metadata": asked, "spec": {"purge": {"confirm": archive}}})).await;
}

/// Takes an archive away and makes it again as a backup has it: without its status, and by now its day has passed.
async fn put_back(life: &Life, archive: &str) {
    let Archive { metadata, mut spec, .. } = life.archives().get(archive).await.unwrap();
    let ObjectMeta { name, labels, annotations, finalizers, uid, .. } = metadata;
    lose(&life.archives(), archive).await;
    (spec.archived_at, spec.retain_until) = (ago(2), ago(1));
    let metadata = ObjectMeta { name, labels, annotations, finalizers, ..ObjectMeta::default() };
    let saved = Archive { metadata, spec, status: None };
    let back = life.archives().create(&PostParams::default(), &saved).await.unwrap();
    assert!(back.metadata.uid != uid && back.status.is_none());
}

/// All that there is but the archives themselves.
async fn things(life: &Life) -> Picture {
    let all = life.picture().await.unwrap();
    all.into_iter().filter(|(what, _)| !what.starts_with("archive ")).collect()
}

#[test]
fn an_archive_that_was_put_back_is_purged_only_when_it_is_asked_again_and_then_whole() {
    run(false, |base| async move {
        for by_command in [true, false] {
            let mut life = ready(&base, "put-back").await;
            life.drive(Step::Delete, None).await.unwrap_or_else(|e| panic!("{e}"));
            let (tenant_id, id) = life.ids().unwrap();
            let archives = [format!("{id}-1"), format!("{tenant_id}-1")];
            for archive in &archives {
                if by_command {
                    ask_by_command(&life, archive).await;
                } else {
                    life.demand(archive, &json!({"confirm": archive})).await.unwrap();
                }
            }
            rounds(&mut life).await;
            for archive in &archives {
                let (phase, reason, message) = purging(&life, archive).await;
                assert_eq!((phase, reason.as_str()), (ArchivePhase::Archived, "Retained"), "{archive}: {message}");
            }
            let before = things(&life).await;
            for archive in &archives {
                put_back(&life, archive).await;
            }

            // At its first look the operator writes a status: at the next one that says nothing either.
            for operator in [life.operator.clone(), Operator::new(&base)] {
                life.operator = operator;
                rounds(&mut life).await;
                for archive in &archives {
                    let (phase, reason, message) = purging(&life, archive).await;
                    assert_eq!((phase, reason.as_str()), (ArchivePhase::Archived, "PutBack"), "{archive}: {message}");
                    assert!(message.contains(&format!("tenantry archive purge {archive}")), "{message}");
                }
                same(&before, &things(&life).await).unwrap_or_else(|e| panic!("something was destroyed: {e}"));
            }
            assert_eq!(events(&life, "purged").await, 0);
            life.check_rest().await.unwrap_or_else(|e| panic!("{e}"));

            // Whoever asks for one has asked for that one.
            ask_by_command(&life, &archives[0]).await;
            rounds(&mut life).await;
            assert_eq!(purging(&life, &archives[0]).await.0, ArchivePhase::Purged);
            let (phase, reason, message) = purging(&life, &archives[1]).await;
            assert_eq!((phase, reason.as_str()), (ArchivePhase::Archived, "PutBack"), "{message}");
            let namespaces = dynamic_api(&base, Kind::Namespace, None);
            assert!(namespaces.get_opt(&life.namespace()).await.unwrap().is_some());

            ask_by_command(&life, &archives[1]).await;
            rounds(&mut life).await;
            for archive in &archives {
                let (phase, reason, message) = purging(&life, archive).await;
                assert_eq!((phase, reason.as_str()), (ArchivePhase::Purged, "Done"), "{archive}: {message}");
                assert_eq!(life.archives().get(archive).await.unwrap().spec.object, BLANK);
            }
            assert_eq!(events(&life, "purged").await, 2);
            let left = format!(
                "SELECT (SELECT count(*) FROM databases WHERE tenant = '{tenant_id}') \
                 + (SELECT count(*) FROM pg_database WHERE datname = '{name}') \
                 + (SELECT count(*) FROM pg_roles WHERE rolname = '{name}')",
                name = life.database_name()
            );
            assert_eq!(root(&left).await, "0");
            assert!(namespaces.get_opt(&life.namespace()).await.unwrap().is_none());
            life.check_rest().await.unwrap_or_else(|e| panic!("{e}"));
        }
    });
}

/// What somebody leaves who writes an archive with `kubectl apply`: its text once more, and here a note beside it.
async fn applied_by_kubectl(life: &Life, archive: &str) {
    let Archive { metadata, spec, .. } = life.archives().get(archive).await.unwrap();
    let text = json!({"apiVersion": "tenantry.dev/v1alpha1", "kind": "Archive",
        "metadata": {"name": metadata.name, "labels": metadata.labels}, "spec": spec});
    let kept = json!({LAST_APPLIED: text.to_string(), "example.org/note": "of a person"});
    change(life, archive, json!({"metadata": {"annotations": kept}})).await;
}

#[test]
fn what_kubectl_keeps_of_an_archive_that_it_wrote_knows_nobody_any_more_once_that_was_purged() {
    run(false, |base| async move {
        let mut life = Life::new(&base, "applied");
        let address = "boss@customer.example";
        let tenant = life.tenant_object(&json!({"contacts": [address]}));
        life.tenants().create(&PostParams::default(), &tenant).await.unwrap();
        rounds(&mut life).await;
        let instance = life.instance_object(&json!({"adminEmail": address}));
        life.instances().create(&PostParams::default(), &instance).await.unwrap();
        life.drive(Step::Create, None).await.unwrap_or_else(|e| panic!("{e}"));
        life.work().await.unwrap();
        // Twice, so that there are archives that were adopted, and those that are purged.
        for step in [Step::Delete, Step::Adopt, Step::DeleteAgain] {
            life.drive(step, None).await.unwrap_or_else(|e| panic!("{e}"));
            if step == Step::Delete {
                for archive in life.my_archives().await.unwrap() {
                    applied_by_kubectl(&life, &archive.name_any()).await;
                    let kept = life.archives().get(&archive.name_any()).await.unwrap();
                    assert!(kept.annotations()[LAST_APPLIED].contains(address), "{kept:?}");
                }
            }
        }
        let (tenant_id, id) = life.ids().unwrap();
        for archive in [format!("{id}-2"), format!("{tenant_id}-2")] {
            applied_by_kubectl(&life, &archive).await;
        }
        life.drive(Step::Purge, None).await.unwrap_or_else(|e| panic!("{e}"));
        let archives = life.my_archives().await.unwrap();
        assert_eq!(archives.len(), 4);
        for archive in archives {
            let (name, notes) = (archive.name_any(), archive.annotations().clone());
            assert_eq!(notes.get(LAST_APPLIED), None, "{name}");
            assert_eq!(notes.get("example.org/note").map(String::as_str), Some("of a person"), "{name}");
            let text = serde_json::to_string(&archive).unwrap();
            assert!(!text.contains("customer.example"), "{text}");
        }
        life.check_rest().await.unwrap_or_else(|e| panic!("{e}"));
    });
}

#[test]
fn an_archive_that_was_put_back_with_an_old_demand_can_be_taken_over() {
    run(false, |base| async move {
        let mut life = ready(&base, "back-again").await;
        life.drive(Step::Delete, None).await.unwrap_or_else(|e| panic!("{e}"));
        let (tenant_id, id) = life.ids().unwrap();
        for archive in [format!("{id}-1"), format!("{tenant_id}-1")] {
            ask_by_command(&life, &archive).await;
            put_back(&life, &archive).await;
        }
        life.drive(Step::Adopt, None).await.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(life.phase_of(&format!("{id}-1")).await.unwrap(), Some(ArchivePhase::Adopted));
    });
}

#[test]
fn a_crm_that_was_taken_over_before_the_day_of_a_purge_outlives_the_loss_of_every_status_after_that_day() {
    run(false, |base| async move {
        for anew in [false, true] {
            let mut life = ready(&base, "outlives").await;
            life.drive(Step::Delete, None).await.unwrap_or_else(|e| panic!("{e}"));
            let (tenant_id, id) = life.ids().unwrap();
            let archives = [format!("{id}-1"), format!("{tenant_id}-1")];
            for archive in &archives {
                ask_by_command(&life, archive).await;
            }
            rounds(&mut life).await;
            life.drive(Step::Adopt, None).await.unwrap_or_else(|e| panic!("{e}"));
            let (params, none) = (PatchParams::default(), Patch::Merge(json!({"status": null})));
            for archive in &archives {
                assert_eq!(life.phase_of(archive).await.unwrap(), Some(ArchivePhase::Adopted));
                if anew {
                    put_back(&life, archive).await;
                } else {
                    change(&life, archive, json!({"spec": {"retainUntil": ago(1)}})).await;
                    life.archives().patch_status(archive, &params, &none).await.unwrap();
                }
            }
            life.tenants().patch_status(&life.name, &params, &none).await.unwrap();
            life.instances().patch_status(crate::life::INSTANCE, &params, &none).await.unwrap();
            life.operator = Operator::new(&base);
            life.drive(Step::Adopt, None).await.unwrap_or_else(|e| panic!("{e}"));
            for archive in &archives {
                assert_eq!(life.phase_of(archive).await.unwrap(), Some(ArchivePhase::Adopted));
            }
        }
    });
}

#[test]
fn an_archive_that_was_put_back_soon_is_known_by_the_uid_of_the_one_that_was_asked() {
    run(false, |base| async move {
        let mut life = ready(&base, "soon").await;
        life.drive(Step::Delete, None).await.unwrap_or_else(|e| panic!("{e}"));
        let archive = format!("{}-1", life.ids().unwrap().1);
        ask_by_command(&life, &archive).await;
        let Archive { metadata, mut spec, .. } = life.archives().get(&archive).await.unwrap();
        let ObjectMeta { name, labels, annotations, finalizers, .. } = metadata;
        lose(&life.archives(), &archive).await;
        spec.retain_until = ago(0);
        let metadata = ObjectMeta { name, labels, annotations, finalizers, ..ObjectMeta::default() };
        life.archives().create(&PostParams::default(), &Archive { metadata, spec, status: None }).await.unwrap();
        rounds(&mut life).await;
        let (phase, reason, message) = purging(&life, &archive).await;
        assert_eq!((phase, reason.as_str()), (ArchivePhase::Archived, "PutBack"), "{message}");
    });
}
