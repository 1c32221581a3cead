//! A purge waits for the end of the retention, unless that was set aside in so many words. Does I/O.

use jiff::{SignedDuration, Timestamp};
use kube::Resource;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tenantry_api::archive::{Archive, ArchivePhase};
use tenantry_api::condition::find;

use crate::life::{Life, Step};
use crate::picture::{Picture, same};
use crate::scenarios::{ready, run};
use crate::world::Operator;

async fn archive(life: &Life, name: &str) -> Archive {
    life.archives().get(name).await.unwrap()
}

/// Phase, reason and message of an archive's purge.
fn told(archive: &Archive) -> (ArchivePhase, String, String) {
    let status = archive.status.clone().unwrap_or_default();
    let said = find(&status.conditions, "Purged").map(|c| (c.reason.clone(), c.message.clone())).unwrap_or_default();
    (status.phase, said.0, said.1)
}

#[test]
fn a_purge_without_the_word_waits_for_the_retention_and_leaves_the_archive_to_who_adopts_it() {
    run(false, |base| async move {
        let mut life = ready(&base, "retained").await;
        for step in [Step::Suspend, Step::Resume, Step::ChangePlan, Step::Delete] {
            life.drive(step, None).await.unwrap_or_else(|e| panic!("{e}"));
        }
        let (tenant_id, instance_id) = life.ids().unwrap();
        let (of_tenant, of_instance) = (format!("{tenant_id}-1"), format!("{instance_id}-1"));
        // What the archives themselves say of the purge is looked at below.
        let things = |picture: &Picture| -> Picture {
            let all = picture.iter().filter(|(what, _)| !what.starts_with("archive "));
            all.map(|(what, state)| (what.clone(), state.clone())).collect()
        };
        let before = things(&life.picture().await.unwrap());
        for name in [&of_instance, &of_tenant] {
            life.demand(name, &json!({"confirm": name})).await.unwrap();
        }
        for _ in 0..3 {
            life.round().await.unwrap();
        }
        for name in [&of_instance, &of_tenant] {
            let (phase, reason, message) = told(&archive(&life, name).await);
            assert_eq!((phase, reason.as_str()), (ArchivePhase::Archived, "Retained"), "{name}: {message}");
            assert!(message.contains("--before-retention") && message.contains(name.as_str()), "{message}");
        }
        let after = things(&life.picture().await.unwrap());
        assert!(before.keys().any(|what| what != "rows"), "{before:?}");
        same(&before, &after).unwrap_or_else(|e| panic!("something was destroyed: {e}"));
        // It waits with neither a write nor a look at anything else, and until that day or for a day.
        let versions = [archive(&life, &of_instance).await, archive(&life, &of_tenant).await];
        life.operator = Operator::new(&base);
        life.round().await.unwrap();
        for seen in &versions {
            let now = archive(&life, seen.meta().name.as_deref().unwrap()).await;
            assert_eq!(now.meta().resource_version, seen.meta().resource_version);
            let pass = tenantry_operator::archive::reconcile(now.into(), &life.operator.ctx, Timestamp::now());
            assert_eq!(pass.await.unwrap().map(|d| d.as_secs()), Some(86_400));
        }

        // The customer comes back in time.
        life.drive(Step::Adopt, None).await.unwrap_or_else(|e| panic!("{e}"));
        life.check(Step::Adopt, None).await.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(life.phase_of(&of_instance).await.unwrap(), Some(ArchivePhase::Adopted));
        assert_eq!(life.phase_of(&of_tenant).await.unwrap(), Some(ArchivePhase::Adopted));

        // When its day has passed, the name is enough; and before that, the word may come later than the name.
        life.drive(Step::DeleteAgain, None).await.unwrap_or_else(|e| panic!("{e}"));
        let (of_tenant, of_instance) = (format!("{tenant_id}-2"), format!("{instance_id}-2"));
        let over = Timestamp::now().checked_sub(SignedDuration::from_hours(1)).unwrap();
        let patch = json!({"spec": {"retainUntil": over.to_string(), "purge": {"confirm": of_instance}}});
        life.archives().patch(&of_instance, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
        life.demand(&of_tenant, &json!({"confirm": of_tenant})).await.unwrap();
        life.round().await.unwrap();
        life.round().await.unwrap();
        assert_eq!(life.phase_of(&of_instance).await.unwrap(), Some(ArchivePhase::Purged));
        assert_eq!(told(&archive(&life, &of_tenant).await).1, "Retained");
        life.demand(&of_tenant, &json!({"beforeRetention": true})).await.unwrap();
        life.drive(Step::Purge, None).await.unwrap_or_else(|e| panic!("{e}"));
        life.check(Step::Purge, None).await.unwrap_or_else(|e| panic!("{e}"));
    });
}
