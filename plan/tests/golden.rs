//! Layer 3: golden plans of the real Tryton blueprint, and that planning twice gives the same. Reads files only.

// Helpers of tests are not inside a #[test], where the workspace allows these.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tenantry_api::blueprint::{Blueprint, BlueprintSpec, Effective};
use tenantry_api::crm_instance::CrmInstance;
use tenantry_api::plan::Plan;
use tenantry_api::site::Site;
use tenantry_api::tenant::Tenant;
use tenantry_core::secret::Secret;
use tenantry_core::yaml;
use tenantry_plan::context::{DatabaseAccess, Keys};
use tenantry_plan::instance::{Seen, Serving, desired};
use tenantry_plan::{Child, Claim, Kind, PlanError, Settings, blueprint, instance, job, limits, tenant};

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
    let tryton: Blueprint = yaml::from_str(&manifest("blueprints/tryton.yaml")).unwrap();
    world_of("tryton", &tryton.spec, suspended).unwrap()
}

fn world_of(blueprint: &str, spec: &BlueprintSpec, suspended: bool) -> Result<World, PlanError> {
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
        "spec": { "id": "kkkkkkkkkk", "tenant": "acme", "blueprint": blueprint, "host": "crm.acme.example" },
    }))
    .unwrap();
    let plan: Plan = yaml::from_str(&manifest("plans/fibo-2.yaml")).unwrap();
    let release = Effective::pin(blueprint, spec, None).unwrap();
    let wanted = instance::validate(&object, &tenant, &release, &settings, 1, &BTreeMap::new())?;
    let database = DatabaseAccess {
        engine: "postgresql".parse().unwrap(),
        host: "pg".into(),
        port: 5432,
        name: "crm_kkkkkkkkkk_g1".into(),
        user: "crm_kkkkkkkkkk_g1".into(),
        password: Secret::new("database-password"),
    };
    let keys = Keys { admin_password: Secret::new("admin-password"), secrets: BTreeMap::new() };
    Ok(World { settings, tenant, plan, wanted, database, keys })
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

/// A product with a queue of another image beside it, a worker on the same files, and a job by the clock.
const DESK: &str = r#"
title: Desk
database: {engines: [{engine: postgresql}]}
volumes:
  - {name: files, mountPath: /srv/files, percentOfStorage: 50}
  - {name: queue, mountPath: /data, percentOfStorage: 5, backup: false}
files:
  - {path: /srv/files/desk.ini, content: "queue = {{ processes.queue.host }}:{{ processes.queue.port }} "}
env:
  DATABASE_PASSWORD: "{{ database.password }}"
releases:
  - {version: "1", image: "registry.example/desk:1"}
processes:
  - {name: web, port: 3000, serves: true, volumes: [files]}
  - name: worker
    command: [worker, --queue, "{{ processes['queue'].host }}"]
    volumes: [files]
    afterVerify: true
  - name: queue
    image: registry.example/queue:7
    command: [queue-server, --dir, /data]
    env: {QUEUE_MEMORY: 64mb}
    port: 6379
    volumes: [queue]
    readiness: {command: [queue-cli, ping]}
    podSecurity: {level: restricted, runAsUser: 999, runAsGroup: 999}
schedules:
  - name: tidy
    cron: "H * * * *"
    command: [tidy]
    env: {TIDY_PASSWORD: "{{ admin.password }}"}
    workingDir: /srv
podSecurity: {runAsUser: 1000, runAsGroup: 1000, writablePaths: [/tmp]}
"#;

fn desk() -> BlueprintSpec {
    yaml::from_str(DESK).unwrap()
}

fn shape_of<'a>(children: &'a [Child], kind: Kind, name: &str) -> &'a Value {
    let found = children.iter().find(|c| c.kind == kind && c.name == format!("kkkkkkkkkk-{name}"));
    &found.unwrap_or_else(|| panic!("{kind:?} {name}")).object["spec"]
}

#[test]
fn the_children_of_a_product_with_a_companion_and_volumes_are_as_written_down() {
    assert_eq!(blueprint::problems(&desk()), Vec::<String>::new());
    let world = world_of("desk", &desk(), false).unwrap();
    let seen = Seen { serving: Some(Serving::App), app_ready: true, verified: true, ..Seen::default() };
    insta::assert_yaml_snapshot!(shown(&children(&world, &seen)));
}

#[test]
fn a_companion_gets_its_own_environment_and_volumes_and_nothing_of_the_product() {
    let mut world = world_of("desk", &desk(), false).unwrap();
    world.settings.site.image_registry = Some("mirror.example".into());
    let all = children(&world, &Seen::default());
    let pod = &shape_of(&all, Kind::Deployment, "queue")["template"]["spec"];
    let container = &pod["containers"][0];
    assert_eq!(container["image"], "mirror.example/queue:7");
    let env: Vec<_> = container["env"].as_array().unwrap().iter().map(|e| e["name"].as_str().unwrap()).collect();
    assert_eq!(env, ["QUEUE_MEMORY"]);
    assert_eq!(container["volumeMounts"], json!([{ "name": "data-queue", "mountPath": "/data" }]));
    assert_eq!(pod["volumes"].as_array().unwrap().len(), 1);
    assert_eq!(pod["securityContext"]["runAsUser"], 999);
    // Nobody shares its volume, so that it may run anywhere.
    assert!(pod.get("affinity").is_none());
    let web = &shape_of(&all, Kind::Deployment, "web")["template"]["spec"];
    assert_eq!(web["securityContext"]["runAsUser"], 1000);
    assert_eq!(web["containers"][0]["env"][0]["name"], "DATABASE_PASSWORD");
}

#[test]
fn pods_on_the_same_volume_look_for_the_same_node_and_the_first_of_them_finds_any() {
    let world = world_of("desk", &desk(), false).unwrap();
    let all = children(&world, &Seen::default());
    let tidy = &shape_of(&all, Kind::CronJob, "tidy")["jobTemplate"]["spec"]["template"];
    for template in [
        &shape_of(&all, Kind::Deployment, "web")["template"],
        &shape_of(&all, Kind::Deployment, "worker")["template"],
        tidy,
    ] {
        let terms = &template["spec"]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
        let wanted = terms[0]["labelSelector"]["matchLabels"].as_object().unwrap();
        assert_eq!(wanted["tenantry.dev/volumes"], "files-g1");
        let labels = &template["metadata"]["labels"];
        assert!(wanted.iter().all(|(key, value)| labels[key] == *value), "{labels}");
    }
    let mounts = tidy["spec"]["containers"][0]["volumeMounts"].to_string();
    assert!(mounts.contains("data-files") && !mounts.contains("data-queue"), "{mounts}");
}

#[test]
fn a_process_that_needs_a_looser_level_than_the_site_allows_is_refused() {
    let mut spec = desk();
    spec.processes[2].pod_security.as_mut().unwrap().level = tenantry_api::site::PodSecurityLevel::Baseline;
    let said = world_of("desk", &spec, false).err().unwrap().to_string();
    assert!(said.contains("needs Pod Security level baseline"), "{said}");
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

/// Where the pods of a child are described.
fn pod_of(child: &Child) -> Option<&Value> {
    let path = match child.kind {
        Kind::Deployment | Kind::StatefulSet => "/spec/template/spec",
        Kind::CronJob => "/spec/jobTemplate/spec/template/spec",
        _ => return None,
    };
    child.object.pointer(path)
}

#[test]
fn every_pod_fetches_its_images_with_the_credentials_that_the_site_names_and_asks_for_none_otherwise() {
    let mut world = world_of("desk", &desk(), true).unwrap();
    let server = serde_json::from_value(json!({
        "apiVersion": "tenantry.dev/v1alpha1", "kind": "DatabaseServer", "metadata": { "name": "pg-1" },
        "spec": { "engine": "postgresql", "managed": { "image": "pg:15", "storage": "10G" } },
    }));
    let server = server.unwrap();
    for names in [Vec::new(), vec!["registry".to_owned()]] {
        world.settings.site.image_pull_secrets = names.clone();
        let mut all = children(&world, &Seen { serving: Some(Serving::App), app_ready: true, ..Seen::default() });
        all.extend(tenantry_plan::server::children(&server, &world.settings, &tenantry_plan::server::Seen::default()));
        let pods: Vec<&Value> = all.iter().filter_map(pod_of).collect();
        // Three processes, the page, a schedule, a database server.
        assert_eq!(pods.len(), 6);
        for pod in pods {
            let expected = (!names.is_empty()).then(|| json!([{ "name": "tenantry-image-pull" }]));
            assert_eq!(pod.get("imagePullSecrets"), expected.as_ref(), "{pod}");
        }
    }
}

#[test]
fn another_number_of_pods_changes_that_number_and_a_budget_and_nothing_else() {
    let mut world = world(false);
    let one = children(&world, &Seen::default());
    assert!(one.iter().all(|c| c.kind != Kind::PodDisruptionBudget), "a single pod must not keep its node busy");
    world.wanted.replicas.insert("web".into(), 3);
    let mut three = children(&world, &Seen::default());
    let budget = three.iter().position(|c| c.kind == Kind::PodDisruptionBudget).map(|at| three.remove(at)).unwrap();
    assert_eq!(budget.object["spec"]["minAvailable"], 1);
    for (a, b) in one.iter().zip(&mut three) {
        if a.kind == Kind::Deployment {
            assert_eq!(budget.object["spec"]["selector"], b.object["spec"]["selector"]);
            assert_eq!(b.object["spec"]["replicas"], 3);
            b.object["spec"]["replicas"] = 1.into();
        }
        assert_eq!(a, b);
    }
    // One that is left from more pods goes; that of others stays.
    world.wanted.replicas.clear();
    let seen = Seen { budgets: [budget.name.clone(), "another".into()].into(), ..Seen::default() };
    let limits = limits::resolve(&world.tenant.spec, &world.plan.spec).unwrap();
    let plan = desired(&world.wanted, &world.settings, &limits, None, Some(&world.database), &world.keys, &seen);
    assert_eq!(plan.unwrap().prunes, [(Kind::PodDisruptionBudget, budget.name)]);
}

#[test]
fn pods_that_run_stay_as_an_older_operator_built_them_until_something_else_changes() {
    let mut world = world(false);
    let web = |world: &World, live: Option<&Value>| {
        let processes = live.map(|live| ("web".to_owned(), live.clone())).into_iter().collect();
        let all = children(world, &Seen { serving: Some(Serving::App), app_ready: true, processes, ..Seen::default() });
        all.into_iter().find(|c| c.kind == Kind::Deployment).unwrap().object
    };
    let drains = |object: &Value| object.pointer("/spec/template/spec/containers/0/lifecycle/preStop").is_some();
    let new = web(&world, None);
    assert!(drains(&new));
    let mut old = new.clone();
    let spec = &mut old["spec"]["template"]["spec"];
    spec["terminationGracePeriodSeconds"] = 20.into();
    spec["containers"][0].as_object_mut().unwrap().remove("lifecycle");
    assert_eq!(web(&world, Some(&old)), old, "a newer operator would restart everybody");
    assert_eq!(web(&world, Some(&new)), new, "what is new stays");
    // More of the same pods are no change of them.
    world.wanted.replicas.insert("web".into(), 2);
    let mut more = old.clone();
    more["spec"]["replicas"] = 2.into();
    assert_eq!(web(&world, Some(&old)), more);
    world.wanted.replicas.clear();
    // Where nothing runs nothing is restarted, and what changes anyway is built anew.
    let mut rests = old.clone();
    rests["spec"]["replicas"] = 0.into();
    assert_eq!(web(&world, Some(&rests)), new);
    world.wanted.scheduling = Some(serde_json::from_value(json!({ "nodeSelector": { "pool": "acme" } })).unwrap());
    assert!(drains(&web(&world, Some(&old))));
}

#[test]
fn everything_of_an_instance_but_its_page_runs_on_the_nodes_that_it_asks_for() {
    for suspended in [false, true] {
        let mut world = world(suspended);
        let plain = children(&world, &Seen { verified: true, ..Seen::default() });
        let wish =
            json!({ "nodeSelector": { "pool": "acme" }, "tolerations": [{ "key": "acme", "operator": "Exists" }] });
        world.wanted.scheduling = Some(serde_json::from_value(wish.clone()).unwrap());
        let mut placed = 0;
        for (child, before) in children(&world, &Seen { verified: true, ..Seen::default() }).iter().zip(&plain) {
            let (Some(pod), Some(before)) = (pod_of(child), pod_of(before)) else { continue };
            assert!(before.get("nodeSelector").is_none() && before.get("tolerations").is_none());
            let page = child.name.ends_with(instance::PAGE);
            let expected = |field: &str| if page { Value::Null } else { wish[field].clone() };
            for field in ["nodeSelector", "tolerations"] {
                assert_eq!(pod.get(field).cloned().unwrap_or_default(), expected(field), "{}", child.describe());
            }
            placed += usize::from(!page);
        }
        assert_eq!(placed, 2, "the process and the schedule");
    }
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
fn a_blueprint_that_lets_several_writers_of_a_volume_run_is_not_sound() {
    let mut spec = world(false).wanted.release.spec;
    assert!(spec.processes[0].replicas.max > 1 && blueprint::problems(&spec).is_empty());
    spec.processes[0].strategy = tenantry_api::blueprint::Strategy::Recreate;
    let said = blueprint::problems(&spec).join("; ");
    assert!(said.contains("processes[web].replicas") && said.contains("strategy: rolling"), "{said}");
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
