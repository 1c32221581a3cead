//! Layer 3: golden plans of the real Tryton blueprint, and that planning twice gives the same. Reads files only.

// Helpers of tests are not inside a #[test], where the workspace allows these.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tenantry_api::blueprint::{Blueprint, Effective};
use tenantry_api::crm_instance::CrmInstance;
use tenantry_api::plan::Plan;
use tenantry_api::site::Site;
use tenantry_api::tenant::Tenant;
use tenantry_core::secret::Secret;
use tenantry_core::yaml;
use tenantry_plan::context::{DatabaseAccess, Keys};
use tenantry_plan::instance::{Seen, Serving, desired};
use tenantry_plan::{Child, Claim, Kind, Settings, blueprint, instance, job, limits, tenant};

fn manifest(path: &str) -> String {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests/");
    std::fs::read_to_string(format!("{root}{path}")).unwrap()
}

struct World {
    settings: Settings,
    tenant: Tenant,
    plan: Plan,
    wanted: instance::Wanted,
    database: DatabaseAccess,
    keys: Keys,
}

fn world(suspended: bool) -> World {
    let site: Site = serde_json::from_value(json!({
        "apiVersion": "tenantry.dev/v1alpha1", "kind": "Site", "metadata": { "name": "site" },
        "spec": { "id": "site-1", "ingress": { "className": "nginx", "tls": true }, "ingressNamespaces": ["ingress"] },
    }))
    .unwrap();
    let settings = Settings::of_site(&site);
    let tenant: Tenant = serde_json::from_value(json!({
        "apiVersion": "tenantry.dev/v1alpha1", "kind": "Tenant", "metadata": { "name": "acme" },
        "spec": { "id": "abcdefghij", "plan": "fibo-2", "displayName": "Acme Trading Co.", "suspended": suspended,
                  "suspendedReason": if suspended { Some("invoice of May") } else { None } },
    }))
    .unwrap();
    let object: CrmInstance = serde_json::from_value(json!({
        "apiVersion": "tenantry.dev/v1alpha1", "kind": "CrmInstance",
        "metadata": { "name": "crm", "namespace": "tenant-abcdefghij" },
        "spec": { "id": "kkkkkkkkkk", "tenant": "acme", "blueprint": "tryton", "host": "crm.acme.example" },
    }))
    .unwrap();
    let tryton: Blueprint = yaml::from_str(&manifest("blueprints/tryton.yaml")).unwrap();
    let plan: Plan = yaml::from_str(&manifest("plans/fibo-2.yaml")).unwrap();
    let release = Effective::pin("tryton", &tryton.spec, None).unwrap();
    let wanted = instance::validate(&object, &tenant, &release, &settings, 1).unwrap();
    let database = DatabaseAccess {
        engine: "postgresql".into(),
        host: "pg".into(),
        port: 5432,
        name: "crm_kkkkkkkkkk_g1".into(),
        user: "crm_kkkkkkkkkk_g1".into(),
        password: Secret::new("database-password"),
    };
    let keys = Keys { admin_password: Secret::new("admin-password"), secrets: BTreeMap::new() };
    World { settings, tenant, plan, wanted, database, keys }
}

fn children(world: &World, seen: &Seen) -> Vec<Child> {
    let limits = limits::resolve(&world.tenant.spec, &world.plan.spec).unwrap();
    let plan = desired(&world.wanted, &world.settings, &limits, None, Some(&world.database), &world.keys, seen);
    plan.unwrap().children
}

/// What is compared: kind, name and content. Rendered files stand in Secrets and are left as they are.
fn shown(children: &[Child]) -> Vec<Value> {
    children.iter().map(|c| c.object.clone()).collect()
}

#[test]
fn the_children_of_a_tenant_are_as_written_down() {
    let world = world(false);
    let wanted = tenant::validate(&world.tenant, Some(&world.plan)).unwrap();
    insta::assert_yaml_snapshot!(shown(&tenant::children(&wanted, &world.settings, &[])));
}

#[test]
fn the_children_of_a_tryton_that_runs_are_as_written_down() {
    let world = world(false);
    let seen = Seen { serving: Some(Serving::App), app_ready: true, verified: true, ..Seen::default() };
    insta::assert_yaml_snapshot!(shown(&children(&world, &seen)));
}

#[test]
fn the_children_of_a_suspended_tryton_are_as_written_down() {
    let world = world(true);
    let seen = Seen { serving: Some(Serving::Page), page_ready: true, verified: true, ..Seen::default() };
    insta::assert_yaml_snapshot!(shown(&children(&world, &seen)));
}

#[test]
fn a_volume_that_exists_keeps_its_class_whatever_the_site_says_later() {
    let mut world = world(false);
    let volume = json!({ "name": "files", "mountPath": "/data", "percentOfStorage": 50 });
    world.wanted.release.spec.volumes = vec![serde_json::from_value(volume).unwrap()];
    let claims = |world: &World, seen: &Seen| -> Vec<Child> {
        children(world, seen).into_iter().filter(|c| c.kind == Kind::PersistentVolumeClaim).collect()
    };
    world.settings.site.storage_class = Some("slow".into());
    let made = claims(&world, &Seen::default());
    let name = made[0].name.clone();
    let seen = |class: Option<&str>, volume: Option<&str>| Seen {
        volumes: BTreeMap::from([(
            name.clone(),
            Claim { bytes: 10, class: class.map(Into::into), volume: volume.map(Into::into), grows: false },
        )]),
        ..Seen::default()
    };
    for later in [None, Some("fast".to_owned())] {
        world.settings.site.storage_class = later;
        for volume in [None, Some("pv-1")] {
            let now = claims(&world, &seen(Some("slow"), volume));
            assert_eq!(now[0].object["spec"]["storageClassName"], "slow");
        }
        assert!(claims(&world, &seen(None, Some("pv-1")))[0].object["spec"].get("storageClassName").is_none());
    }
    // One that waits for a class gets it once the Site names one.
    assert_eq!(claims(&world, &seen(None, None))[0].object["spec"]["storageClassName"], "fast");
    // One that cannot grow keeps its size, and that is said.
    let limits = limits::resolve(&world.tenant.spec, &world.plan.spec).unwrap();
    let small = seen(Some("slow"), Some("pv-1"));
    let plan = desired(&world.wanted, &world.settings, &limits, None, Some(&world.database), &world.keys, &small);
    assert!(plan.unwrap().too_small[0].contains("does not let volumes grow"));
    assert_eq!(claims(&world, &small)[0].object["spec"]["resources"]["requests"]["storage"], "10");
}

#[test]
fn only_pods_of_production_are_led_outside_and_others_to_each_other_alone() {
    let mut world = world(false);
    let wanted = tenant::validate(&world.tenant, Some(&world.plan)).unwrap();
    let all = tenant::children(&wanted, &world.settings, &[]);
    let policies: Vec<_> = all.iter().filter(|c| c.kind == Kind::NetworkPolicy).collect();
    let outside = |c: &&&Child| c.object["spec"]["egress"].to_string().contains("10.0.0.0/8");
    let found: Vec<_> = policies.iter().filter(outside).collect();
    assert_eq!(found.len(), 1);
    let labels = json!({ "matchLabels": { "tenantry.dev/environment": "production" } });
    assert_eq!(found[0].object["spec"]["podSelector"], labels);
    // The rule for all pods leads to no pod of the tenant: one of production would send mail on.
    let of_all = policies.iter().find(|c| c.object["spec"]["podSelector"] == json!({})).unwrap();
    assert!(!of_all.object["spec"]["egress"].to_string().contains(r#"{"podSelector":{}}"#), "{of_all:?}");

    let environment = |world: &World| -> Vec<(Kind, Value)> {
        let all = children(world, &Seen { verified: true, ..Seen::default() });
        let pod = |c: &Child| {
            let template = c.object.pointer("/spec/template").or(c.object.pointer("/spec/jobTemplate/spec/template"));
            template.map(|t| (c.kind, t["metadata"]["labels"]["tenantry.dev/environment"].clone()))
        };
        assert!(all.iter().all(|c| {
            let selector = c.object.pointer("/spec/selector").cloned().unwrap_or_default();
            !selector.to_string().contains("tenantry.dev/environment")
        }));
        all.iter().filter_map(pod).collect()
    };
    let is = |word: &str| [(Kind::Deployment, json!(word)), (Kind::CronJob, json!(word))];
    assert_eq!(environment(&world), is("production"));
    assert!(!children(&world, &Seen::default()).iter().any(|c| c.kind == Kind::NetworkPolicy));
    world.wanted.environment = tenantry_api::crm_instance::Environment::Staging;
    assert_eq!(environment(&world), is("staging"));
    let own = children(&world, &Seen::default());
    let first = &own[0];
    assert_eq!((first.kind, first.name.as_str()), (Kind::NetworkPolicy, "kkkkkkkkkk"), "before anything runs");
    let mine = json!({ "matchLabels": { "tenantry.dev/instance-id": "kkkkkkkkkk" } });
    assert_eq!(first.object["spec"]["podSelector"], mine);
    assert_eq!(first.object["spec"]["egress"], json!([{ "to": [{ "podSelector": mine }] }]));
}

#[test]
fn planning_twice_gives_the_same() {
    let world = world(false);
    let seen = Seen::default();
    assert_eq!(children(&world, &seen), children(&world, &seen));
}

#[test]
fn no_secret_stands_outside_a_secret() {
    let world = world(false);
    for child in children(&world, &Seen { verified: true, ..Seen::default() }) {
        if child.kind != tenantry_plan::Kind::Secret {
            let text = child.object.to_string();
            assert!(!text.contains("database-password") && !text.contains("admin-password"), "{}", child.describe());
        }
    }
}

#[test]
fn every_blueprint_that_is_shipped_is_sound() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests/blueprints");
    for file in std::fs::read_dir(root).unwrap() {
        let path = file.unwrap().path();
        let shipped: Blueprint = yaml::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(blueprint::problems(&shipped.spec), Vec::<String>::new(), "{}", path.display());
    }
}

#[test]
fn a_template_error_names_place_line_and_variable() {
    let world = world(false);
    let mut broken = world.wanted.clone();
    broken.release.spec.files[0].content = "fine\n{{ database.pasword }}\n".into();
    let limits = limits::resolve(&world.tenant.spec, &world.plan.spec).unwrap();
    let error = desired(&broken, &world.settings, &limits, None, Some(&world.database), &world.keys, &Seen::default());
    let said = error.unwrap_err().to_string();
    for word in ["files[/etc/tryton/trytond.conf]", "line 2", "database.pasword"] {
        assert!(said.contains(word), "{said}");
    }
}

#[test]
fn every_shipped_plan_resolves_to_limits() {
    let world = world(false);
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests/plans");
    for file in std::fs::read_dir(root).unwrap() {
        let path = file.unwrap().path();
        let plan: Plan = yaml::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let resolved = limits::resolve(&world.tenant.spec, &plan.spec).unwrap();
        assert!(resolved.storage_bytes > 0, "{}", path.display());
    }
    assert!(!job::is_sql(world.wanted.release.spec.install.as_ref().unwrap()));
}
