//! Tests of pages and of what is checked before an instance is stored. No I/O.

use jiff::Timestamp;
use serde_json::{Value, json};
use tenantry_api::blueprint::BlueprintSpec;

use super::{make, password, view};
use crate::error::Exit;
use crate::listing::table;
use crate::output::paint::Paint;
use crate::tenant::tests::{instance, tenant};

fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

fn ready() -> tenantry_api::crm_instance::CrmInstance {
    instance(
        "crm",
        json!({"settings": {"language": "vi"}}),
        json!({
            "phase": "Ready", "release": "7.0", "url": "https://crm.acme.vn", "installedAt": "2026-11-18T12:00:00Z",
            "dataGeneration": 2, "database": {"server": "pg-shared-1", "name": "crm_kzzzzzzzzz_g2"},
            "conditions": [{"type": "Ready", "status": "True", "reason": "Verified", "message": "", "lastTransitionTime": "2026-11-18T12:00:00Z"}],
        }),
    )
}

#[test]
fn an_instance_shows_where_it_is_and_never_its_password() {
    let spec: BlueprintSpec = serde_json::from_value(json!({
        "title": "T", "processes": [{"name": "web"}], "settings": {"language": {"default": "en"}},
        "releases": [{"version": "7.0", "image": "i"}],
    }))
    .unwrap();
    let page = |wide| view::page(&ready(), Some(&spec), wide, now());
    insta::assert_snapshot!(page(false).render(&Paint::default(), None));
    insta::assert_snapshot!("wide", page(true).render(&Paint::default(), None));
    insta::assert_snapshot!("list", table(&[ready()], true, now()).render(&Paint::default(), None));
}

#[test]
fn the_password_is_that_of_the_data_in_use() {
    assert_eq!(password::secret_name(&ready()).unwrap(), "kzzzzzzzzz-keys-g2");
    let new = instance("crm", json!({}), Value::Null);
    assert_eq!(password::secret_name(&new).unwrap_err().exit, Exit::FAILED);
}

#[test]
fn an_instance_shows_how_big_it_is_and_where_it_may_run() {
    let big = instance(
        "crm",
        json!({
            "replicas": {"web": 3},
            "scheduling": {"nodeSelector": {"pool": "acme"}, "spread": false,
                "tolerations": [{"key": "for", "operator": "Equal", "value": "acme", "effect": "NoSchedule"}, {"operator": "Exists"}]},
        }),
        Value::Null,
    );
    let page = view::page(&big, None, false, now()).render(&Paint::default(), None);
    for said in ["3 of web", "only with pool=acme", "for=acme:NoSchedule, any", "not over several nodes"] {
        assert!(page.contains(said), "{said} is not in:\n{page}");
    }
    let small = view::page(&ready(), None, true, now()).render(&Paint::default(), None);
    assert!(["Pods", "Nodes", "taints", "Spread"].iter().all(|word| !small.contains(word)), "{small}");
}

#[test]
fn pods_that_the_blueprint_does_not_bear_are_refused_before_anything_is_stored() {
    let spec: BlueprintSpec = serde_json::from_value(json!({
        "title": "Demo", "processes": [{"name": "web", "strategy": "rolling", "replicas": {"default": 1, "max": 4}}],
        "releases": [{"version": "1.0", "image": "demo:1.0"}],
    }))
    .unwrap();
    for (line, exit) in [
        (vec!["--replicas", "web=4"], None),
        (vec!["--replicas", "web=5"], Some(Exit::REFUSED)),
        (vec!["--replicas", "wep=2"], Some(Exit::NOT_FOUND)),
    ] {
        assert_eq!(make::fits("demo", &spec, &product(&line)).err().map(|p| p.exit), exit, "{line:?}");
    }
    let spec = make::spec("acme", &product(&["--replicas", "web=2", "--node-selector", "pool=acme"])).unwrap();
    assert_eq!(spec.replicas["web"], 2);
    assert_eq!(spec.scheduling.unwrap().node_selector["pool"], "acme");
    assert_eq!(make::spec("acme", &product(&["--replicas", "web=default"])).unwrap().replicas.len(), 0);
}

fn product(line: &[&str]) -> make::Product {
    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        product: make::Product,
    }
    use clap::Parser;
    Line::parse_from(["x", "--blueprint", "demo", "--host", "CRM.acme.vn"].iter().chain(line)).product
}

#[test]
fn release_and_settings_are_checked_before_anything_is_stored() {
    let spec: BlueprintSpec = serde_json::from_value(json!({
        "title": "Demo", "processes": [{"name": "web"}],
        "settings": {"language": {"default": "en"}, "currency": {}, "key": {"secret": true}},
        "releases": [{"version": "1.0", "image": "demo:1.0"}],
    }))
    .unwrap();
    for (line, exit) in [
        (vec!["--setting", "currency=VND"], None),
        (vec!["--setting", "currency=VND", "--setting", "key=hunter22"], Some(Exit::REFUSED)),
        (vec![], Some(Exit::USAGE)),
        (vec!["--setting", "currency=VND", "--setting", "langage=vi"], Some(Exit::NOT_FOUND)),
        (vec!["--setting", "currency=VND", "--release", "2.0"], Some(Exit::NOT_FOUND)),
    ] {
        assert_eq!(make::fits("demo", &spec, &product(&line)).err().map(|p| p.exit), exit, "{line:?}");
    }
}

#[test]
fn an_instance_carries_the_labels_of_its_tenant_and_an_id() {
    let tenant = tenant(json!({"id": "kabcdefghi", "plan": "p"}), Value::Null);
    let spec = make::spec("acme", &product(&[])).unwrap();
    assert_eq!(spec.host, "crm.acme.vn", "hosts are written small");
    let made = make::instance(&tenant, "crm", spec, &[("tier".into(), "gold".into())]).unwrap();
    assert_eq!(made.metadata.namespace.as_deref(), Some("tenant-kabcdefghi"));
    let labels = made.metadata.labels.unwrap();
    assert_eq!(labels["tenantry.dev/tenant-id"], "kabcdefghi");
    assert_eq!(labels["tenantry.dev/tenant"], "acme");
    assert_eq!(labels["tier"], "gold");
    assert_eq!(made.spec.id.unwrap().len(), 10);
    assert!(made.metadata.annotations.unwrap().contains_key("tenantry.dev/id-minted-at"));
    // An instance that comes out of an archive has its id, and data.
    let back = tenantry_api::crm_instance::CrmInstanceSpec {
        id: Some("kbbbbbbbbb".into()),
        ..make::spec("acme", &product(&[])).unwrap()
    };
    assert_eq!(make::instance(&tenant, "crm", back, &[]).unwrap().metadata.annotations, None);
}

#[test]
fn an_existing_object_that_is_different_is_refused_with_the_difference() {
    let problem = make::same("tenant", "acme", &json!({"plan": "fibo-2"}), &json!({"plan": "fibo-3"})).unwrap_err();
    assert_eq!(problem.exit, Exit::REFUSED);
    insta::assert_snapshot!(problem.render(Paint::default()));
    assert!(make::same("tenant", "acme", &json!({"a": 1}), &json!({"a": 1})).is_ok());
}
