//! Tests of progress: lines and the steps of an installation. No I/O.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use tenantry_api::condition::{ConditionType, Said, set};
use tenantry_api::crm_instance::{CrmInstance, CrmInstanceSpec, CrmInstanceStatus, DatabaseStatus, InstancePhase};

use super::line::{Mark, line};
use super::steps::{Back, Change, End, Tracker, back};
use crate::output::paint::Paint;

fn instance(phase: InstancePhase, said: &[Said]) -> CrmInstance {
    let spec: CrmInstanceSpec = serde_json::from_value(serde_json::json!({
        "tenant": "acme", "blueprint": "tryton", "host": "crm.acme.vn"
    }))
    .unwrap();
    let mut made = CrmInstance::new("crm", spec);
    made.metadata.generation = Some(1);
    let mut status = CrmInstanceStatus {
        observed_generation: Some(1),
        phase,
        release: Some("7.0".into()),
        database: Some(DatabaseStatus { server: "pg-shared-1".into(), name: "crm_k_g1".into() }),
        ..CrmInstanceStatus::default()
    };
    for s in said {
        set(&mut status.conditions, s.clone(), Some(1), Timestamp::UNIX_EPOCH);
    }
    made.status = Some(status);
    made
}

fn play(scenes: &[(u64, CrmInstance)]) -> (String, Option<End>) {
    let mut tracker = Tracker::default();
    let mut lines = Vec::new();
    for (ms, scene) in scenes {
        for change in tracker.see(Some(scene), Duration::from_millis(*ms)) {
            lines.push(match change {
                Change::Now { label, detail } => line(Mark::Running, label, &detail, None, Paint::default()),
                Change::Done { label, detail, took } => line(Mark::Done, label, &detail, Some(took), Paint::default()),
            });
        }
    }
    (lines.join("\n"), tracker.end().cloned())
}

#[test]
fn an_installation_is_told_step_by_step_without_control_characters() {
    let host = Said::yes(ConditionType::HostClaimed, "Claimed", "");
    let database = Said::yes(ConditionType::DatabaseReady, "FromTemplate", "from template");
    let waiting = Said::no(ConditionType::Installed, "Personalising", "personalise runs");
    let installed = Said::yes(ConditionType::Installed, "Installed", "personalised");
    let processes = Said::yes(ConditionType::ProcessesReady, "Ready", "1 process");
    let verified = Said::yes(ConditionType::Verified, "Passed", "log-in as admin answered");
    let scenes = [
        (100, instance(InstancePhase::Pending, &[])),
        (400, instance(InstancePhase::Installing, &[host.clone(), database.clone(), waiting.clone()])),
        (900, instance(InstancePhase::Installing, &[host.clone(), database.clone(), waiting])),
        (3_300, instance(InstancePhase::Starting, &[host.clone(), database.clone(), installed.clone()])),
        (4_200, instance(InstancePhase::Ready, &[host, database, installed, processes, verified])),
    ];
    let (text, end) = play(&scenes);
    assert_eq!(end, Some(End::Ready));
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'));
    insta::assert_snapshot!(text);
}

#[test]
fn a_failure_names_its_step_and_the_reason() {
    let said = [
        Said::yes(ConditionType::HostClaimed, "Claimed", ""),
        Said::no(ConditionType::DatabaseReady, "NoServer", "no server fits"),
    ];
    let (_, end) = play(&[(100, instance(InstancePhase::Failed, &said))]);
    assert_eq!(
        end,
        Some(End::Failed {
            at: Some(ConditionType::DatabaseReady),
            label: "database".into(),
            why: "NoServer: no server fits".into()
        })
    );
}

#[test]
fn a_host_that_another_tenant_has_is_not_waited_for() {
    let said = [Said::no(ConditionType::HostClaimed, "HostTaken", "crm.acme.vn belongs to beta/crm")];
    let (_, end) = play(&[(100, instance(InstancePhase::Pending, &said))]);
    assert_eq!(
        end,
        Some(End::Failed {
            at: Some(ConditionType::HostClaimed),
            label: "host".into(),
            why: "HostTaken: crm.acme.vn belongs to beta/crm".into()
        })
    );
}

#[test]
fn an_old_status_ends_nothing() {
    let mut stale = instance(InstancePhase::Ready, &[]);
    stale.metadata.generation = Some(2);
    assert_eq!(play(&[(100, stale)]).1, None);
}

#[test]
fn an_instance_that_disappears_ends_the_wait() {
    let mut tracker = Tracker::default();
    tracker.see(None, Duration::ZERO);
    assert_eq!(tracker.end(), None);
    tracker.see(Some(&instance(InstancePhase::Pending, &[])), Duration::ZERO);
    tracker.see(None, Duration::ZERO);
    assert_eq!(tracker.end(), Some(&End::Gone));
}

#[test]
fn an_instance_is_back_when_it_says_so_of_the_tenant_as_it_is_now() {
    let at = |tenant: i64, phase, said: &[Said]| {
        let mut made = instance(phase, said);
        made.status.as_mut().unwrap().tenant_generation = Some(tenant);
        back(&made, Some(7))
    };
    let through =
        Said::yes(ConditionType::Reachable, "ThroughIngress", "it answers through the ingress at 10.0.0.9:80");
    let invalid = Said::no(ConditionType::SpecValid, "Invalid", "spec.host: no");
    assert!(matches!(at(6, InstancePhase::Ready, std::slice::from_ref(&through)), Back::Comes(_)), "before the resume");
    assert!(matches!(at(7, InstancePhase::Suspended, &[]), Back::Comes(_)));
    assert_eq!(
        at(7, InstancePhase::Ready, &[through]),
        Back::Reached("it answers through the ingress at 10.0.0.9:80".into())
    );
    assert_eq!(at(7, InstancePhase::Ready, &[]), Back::Reached("verified and serving".into()));
    assert_eq!(at(7, InstancePhase::Invalid, &[invalid]), Back::Failed("SpecValid: Invalid: spec.host: no".into()));
}
