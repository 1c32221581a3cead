//! The rows of generations on the database servers, against what the cluster believes. Does I/O.

use kube::api::{Patch, PatchParams};
use serde_json::json;
use tenantry_api::archive::ArchivePhase;
use tenantry_api::crm_instance::InstancePhase;

use crate::life::{INSTANCE, Life, Step};
use crate::lost::{look_at_server, uncounted};
use crate::picture::versions;
use crate::scenarios::{condition, lose_status, ready, run};
use crate::unfinished::{begun, root, rounds};
use crate::world::{Operator, World, fixture};

async fn standing(life: &Life) -> String {
    let owner = format!("instance/{}", life.instance_id.as_deref().unwrap());
    let sql = format!(
        "SELECT string_agg(concat_ws(' ', number, standing, progress), ', ' ORDER BY number) FROM generations \
         WHERE owner = '{owner}'"
    );
    root(&sql).await
}

async fn phase(life: &Life) -> InstancePhase {
    life.instance().await.unwrap().unwrap().status.unwrap().phase
}

#[test]
fn a_generation_is_current_once_it_was_verified_and_a_candidate_before() {
    run(false, |base| async move {
        // The first step of personalise fails until this role exists.
        let switch = World::get().name("gswitch").replace('-', "_");
        let mut spec = fixture("key={{ secrets.key }}\n");
        let fails = format!("SELECT 1 / count(*) FROM pg_roles WHERE rolname = '{switch}'");
        spec["personalise"]["steps"].as_array_mut().unwrap().insert(0, json!({"name": "switch", "sql": fails}));
        let mut life = begun(&base, "candidate", spec).await;
        assert_eq!(standing(&life).await, "1 candidate filling");
        root(&format!("CREATE ROLE {switch}")).await;
        // The pause after a failure is over for a new process.
        life.operator = Operator::new(&base);
        rounds(&mut life).await;
        root(&format!("DROP ROLE {switch}")).await;
        assert_eq!(phase(&life).await, InstancePhase::Ready, "{}", life.describe().await);
        assert_eq!(standing(&life).await, "1 current verified");
    });
}

#[test]
fn an_object_that_believes_in_a_replaced_generation_starts_nothing_until_a_person_says_which_is_meant() {
    run(false, |base| async move {
        let mut life = ready(&base, "yesterday").await;
        let owner = format!("instance/{}", life.instance_id.as_deref().unwrap());
        let row = format!(
            "INSERT INTO generations (owner, number, database_name, role, standing, progress, created_at, updated_at) \
             VALUES ('{owner}', 2, 'elsewhere', 'elsewhere', 'current', 'verified', now(), now())"
        );
        root(&format!("UPDATE generations SET standing = 'retired', successor = 2 WHERE owner = '{owner}'")).await;
        root(&row).await;
        // The object came back without its status, and knows nothing of the switch.
        lose_status(&life).await;
        life.operator = Operator::new(&base);
        let before = versions(&life).await.unwrap();
        rounds(&mut life).await;
        let (_, reason, message) = condition(&life, INSTANCE, "DatabaseReady").await;
        assert_eq!(reason, "GenerationDisputed", "{message}");
        assert!(message.contains("2 (Current") && message.contains("annotate crm"), "{message}");
        let workloads = |all: &std::collections::BTreeMap<String, String>| {
            all.iter().filter(|(k, _)| k.starts_with("Deployment")).map(|(k, v)| format!("{k} {v}")).collect::<Vec<_>>()
        };
        assert_eq!(workloads(&versions(&life).await.unwrap()), workloads(&before), "what runs goes on");
        // The other row was a mistake of somebody who wrote in the registry by hand.
        root(&format!("DELETE FROM generations WHERE owner = '{owner}' AND number = 2")).await;
        root(&format!("UPDATE generations SET standing = 'current', successor = NULL WHERE owner = '{owner}'")).await;
        let look = Patch::Merge(json!({"metadata": {"annotations": {"example.com/look": "again"}}}));
        life.instances().patch(INSTANCE, &PatchParams::default(), &look).await.unwrap();
        rounds(&mut life).await;
        assert_eq!(phase(&life).await, InstancePhase::Ready, "{}", life.describe().await);
    });
}

#[test]
fn rows_that_are_lost_are_written_again_for_data_that_is_there() {
    run(false, |base| async move {
        let mut life = ready(&base, "rowless").await;
        let owner = format!("instance/{}", life.instance_id.as_deref().unwrap());
        root(&format!("DELETE FROM generations WHERE owner = '{owner}'")).await;
        lose_status(&life).await;
        rounds(&mut life).await;
        assert_eq!(phase(&life).await, InstancePhase::Ready, "{}", life.describe().await);
        assert_eq!(standing(&life).await, "1 current verified");
    });
}

#[test]
fn a_freeze_that_is_over_is_lifted_by_an_operator_that_knows_nothing_of_it() {
    run(true, |base| async move {
        let mut life = ready(&base, "thaw").await;
        let (owner, role) = (format!("instance/{}", life.instance_id.as_deref().unwrap()), life.database_name());
        let frozen = |until: &str| {
            format!(
                "UPDATE generations SET token = 1, is_frozen = true, is_fenced = true, taken = 1, frozen_until = {until} \
                 WHERE owner = '{owner}'"
            )
        };
        let logs_in = format!("SELECT rolcanlogin::text FROM pg_roles WHERE rolname = '{role}'");
        root(&frozen("now() + interval '1 hour'")).await;
        root(&format!("ALTER ROLE {role} NOLOGIN")).await;
        life.operator = Operator::new(&base);
        look_at_server(&life).await;
        assert_eq!(root(&logs_in).await, "false", "it is held, and not over");
        root(&frozen("now() - interval '1 second'")).await;
        look_at_server(&life).await;
        assert_eq!(root(&logs_in).await, "true");
        assert_eq!(standing(&life).await, "1 current verified");
        assert_eq!(phase(&life).await, InstancePhase::Ready, "{}", life.describe().await);
        uncounted(&base).await;
    });
}

#[test]
fn a_purge_drops_a_database_that_its_server_was_restored_with_from_before_the_archive() {
    run(false, |base| async move {
        let mut life = ready(&base, "unarchived").await;
        life.drive(Step::Delete, None).await.unwrap_or_else(|e| panic!("{e}"));
        let (owner, role) = (format!("instance/{}", life.instance_id.as_deref().unwrap()), life.database_name());
        root(&format!("UPDATE databases SET state = 'personalised' WHERE owner = '{owner}'")).await;
        root(&format!("ALTER ROLE {role} LOGIN")).await;
        assert_eq!(standing(&life).await, "1 current verified");
        let archive = format!("{}-1", life.ids().unwrap().1);
        life.ask_purge(&archive).await.unwrap();
        for _ in 0..25 {
            life.controllers_rest().await.unwrap();
            life.round().await.unwrap();
            if life.phase_of(&archive).await.unwrap() == Some(ArchivePhase::Purged) {
                break;
            }
        }
        assert_eq!(life.phase_of(&archive).await.unwrap(), Some(ArchivePhase::Purged), "{}", life.describe().await);
        assert_eq!(standing(&life).await, "");
        assert_eq!(root(&format!("SELECT count(*)::text FROM databases WHERE owner = '{owner}'")).await, "0");
    });
}

#[test]
fn a_row_that_lags_behind_a_verified_instance_is_settled_by_the_look_at_its_server() {
    run(true, |base| async move {
        let life = ready(&base, "lag").await;
        let owner = format!("instance/{}", life.instance_id.as_deref().unwrap());
        // An older operator finished what a newer one had begun.
        root(&format!(
            "UPDATE generations SET standing = 'candidate', progress = 'transformed' WHERE owner = '{owner}'"
        ))
        .await;
        look_at_server(&life).await;
        assert_eq!(standing(&life).await, "1 current verified");
        uncounted(&base).await;
    });
}
