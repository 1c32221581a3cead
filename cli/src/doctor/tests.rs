//! Tests of the doctor's judgements. No I/O.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use tenantry_api::condition::{ConditionType, Said, set};

use super::report::{Check, Verdict, exit, text};
use super::stuck::{Watched, judged};
use super::{cluster, operator, passwords, records};
use crate::error::Exit;
use crate::output::paint::Paint;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

#[test]
fn the_report_names_what_is_wrong_and_the_command_that_helps() {
    let checks = [
        cluster::version("v1.34.4", "1", "34"),
        Check::new(Verdict::Warn, "Database servers").line("there is none"),
        operator::operator(None, "tenantry-system"),
    ];
    assert_eq!(exit(&checks), Exit(3));
    assert_eq!(exit(&checks[..2]), Exit(4));
    assert_eq!(exit(&checks[..1]), Exit(0));
    insta::assert_snapshot!(text(&checks, Paint::default()));
}

#[test]
fn versions_of_managed_clusters_are_understood() {
    for (minor, verdict) in [("34", Verdict::Pass), ("30+", Verdict::Pass), ("29", Verdict::Fail), ("", Verdict::Fail)]
    {
        assert_eq!(cluster::version("v", "1", minor).verdict, verdict, "{minor}");
    }
}

#[test]
fn definitions_of_another_version_are_seen() {
    let mut all = tenantry_api::definitions();
    for crd in &mut all {
        crd.status = serde_json::from_value(serde_json::json!({
            "acceptedNames": {"kind": "x", "plural": "x"}, "storedVersions": [],
            "conditions": [{"type": "Established", "status": "True"}],
        }))
        .unwrap();
    }
    assert_eq!(cluster::definitions(&all).verdict, Verdict::Pass);
    all[1].metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(1)));
    let going = cluster::definitions(&all);
    assert!(going.verdict == Verdict::Fail && going.lines[0].starts_with("being deleted: "), "{going:?}");
    all[1].metadata.deletion_timestamp = None;
    all[0].spec.versions[0].schema = None;
    assert_eq!(cluster::definitions(&all).verdict, Verdict::Warn);
    all[0].status = None;
    assert_eq!(cluster::definitions(&all).verdict, Verdict::Fail);
    assert!(!cluster::definitions(&all[1..]).is_ground);
    assert!(cluster::definitions(&[]).is_ground);
}

#[test]
fn a_storage_class_is_the_default_or_named_by_the_site() {
    let class = |default: bool| {
        let mut class = StorageClass::default();
        class.metadata.name = Some("local".into());
        if default {
            let key = "storageclass.kubernetes.io/is-default-class".to_owned();
            class.metadata.annotations = Some(BTreeMap::from([(key, "true".to_owned())]));
        }
        class
    };
    let site = |class: &str| serde_json::from_value(serde_json::json!({"id": "site", "storageClass": class})).unwrap();
    for (found, site, verdict) in [
        (vec![class(true)], None, Verdict::Pass),
        (vec![class(false)], None, Verdict::Fail),
        (vec![class(true), class(true)], None, Verdict::Warn),
        (vec![class(false)], Some(site("local")), Verdict::Pass),
        (vec![class(true)], Some(site("fast")), Verdict::Fail),
    ] {
        assert_eq!(cluster::storage(&found, site.as_ref()).verdict, verdict);
    }
}

#[test]
fn a_site_that_names_nobody_whose_requests_are_let_in_is_told_how() {
    let site = |more: serde_json::Value| {
        let mut spec = serde_json::json!({"id": "site"});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(spec).unwrap()
    };
    let nobody = cluster::admitted(&site(serde_json::json!({})));
    assert!(nobody.verdict == Verdict::Warn && nobody.lines[0].contains("kubectl patch site site"), "{nobody:?}");
    for named in
        [serde_json::json!({"ingressNamespaces": ["nginx"]}), serde_json::json!({"ingressCidrs": ["10.0.0.0/8"]})]
    {
        assert_eq!(cluster::admitted(&site(named)).verdict, Verdict::Pass);
    }
}

#[test]
fn a_lease_is_good_while_its_holder_renews_it() {
    let lease = |holder: &str, renewed: i64| {
        let mut lease = Lease::default();
        lease.metadata.name = Some("tenantry-operator".into());
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(holder.into()),
            renew_time: Some(MicroTime(at(renewed))),
            lease_duration_seconds: Some(15),
            ..LeaseSpec::default()
        });
        lease
    };
    for (leases, verdict) in [
        (vec![lease("a", 995)], Verdict::Pass),
        (vec![lease("a", 900)], Verdict::Fail),
        (vec![lease("", 999)], Verdict::Fail),
        (vec![], Verdict::Fail),
    ] {
        assert_eq!(operator::lease(&leases, at(1_000)).verdict, verdict);
    }
}

#[test]
fn only_what_is_wrong_for_long_is_stuck_and_ready_is_not_repeated() {
    let mut conditions = Vec::new();
    set(&mut conditions, Said::no(ConditionType::DatabaseReady, "NoServer", "no server fits"), None, at(1_000));
    set(&mut conditions, Said::no(ConditionType::Ready, "Waiting", "waits for the database"), None, at(1_000));
    let object = Watched {
        title: "acme/crm".into(),
        conditions,
        deleting: None,
        unseen_since: None,
        unreadable: None,
        help: "instance show acme/crm".into(),
    };
    let after = Duration::from_secs(600);
    assert_eq!(judged("Instances", std::slice::from_ref(&object), after, at(1_500)).verdict, Verdict::Pass);
    let stuck = judged("Instances", std::slice::from_ref(&object), after, at(9_000));
    assert_eq!(stuck.lines, ["acme/crm: DatabaseReady since 2 h: NoServer: no server fits"]);
    assert_eq!(stuck.help, ["tenantry instance show acme/crm"]);
    let unseen = Watched { conditions: Vec::new(), unseen_since: Some(at(0)), ..object };
    assert_eq!(judged("Instances", std::slice::from_ref(&unseen), after, at(9_000)).verdict, Verdict::Fail);
    let unreadable =
        Watched { unreadable: Some("missing field `plan`".into()), unseen_since: None, help: String::new(), ..unseen };
    let check = judged("Instances", &[unreadable], after, at(0));
    assert_eq!(check.verdict, Verdict::Fail, "at once, whatever its age");
    assert!(check.lines[0].contains("missing field `plan`") && check.help.is_empty(), "{check:?}");
}

#[test]
fn a_password_that_was_shown_is_reminded_of_until_it_was_changed() {
    let annotations = |shown: Option<&str>, changed: Option<&str>| {
        let pairs = [(crate::instance::password::SHOWN, shown), (crate::instance::password::CHANGED, changed)];
        pairs.into_iter().filter_map(|(k, v)| v.map(|v| (k.to_owned(), v.to_owned()))).collect::<BTreeMap<_, _>>()
    };
    for (shown, changed, open) in [
        (None, None, false),
        (Some("2026-01-02T00:00:00Z"), None, true),
        (Some("2026-01-02T00:00:00Z"), Some("2026-01-03T00:00:00Z"), false),
        (Some("2026-01-04T00:00:00Z"), Some("2026-01-03T00:00:00Z"), true),
    ] {
        assert_eq!(passwords::is_open(&annotations(shown, changed)), open, "{shown:?} {changed:?}");
    }
}

#[test]
fn archives_without_a_finalizer_and_such_as_go_are_seen() {
    let archive = |finalizers: &[&str], going: Option<&str>| {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "tenantry.dev/v1alpha1", "kind": "Archive",
            "metadata": {"name": "abcdefghij-1", "finalizers": finalizers, "deletionTimestamp": going},
            "spec": {"kind": "Tenant", "id": "abcdefghij", "name": "acme", "life": 1, "tenantId": "abcdefghij",
                "tenantName": "acme", "namespace": "tenant-abcdefghij", "object": "{}", "ledger": "{}",
                "archivedAt": "2026-01-01T00:00:00Z", "retainUntil": "2026-04-01T00:00:00Z"},
        }))
        .unwrap()
    };
    let kept = ["tenantry.dev/record"];
    assert_eq!(records::judged(&[archive(&kept, None)]).verdict, Verdict::Pass);
    let old = records::judged(&[archive(&kept, None), archive(&[], None)]);
    assert!(old.verdict == Verdict::Warn && old.help[0].contains("tenantry.dev/record"), "{old:?}");
    assert_eq!(records::judged(&[archive(&kept, Some("2026-01-02T00:00:00Z"))]).verdict, Verdict::Fail);
}
