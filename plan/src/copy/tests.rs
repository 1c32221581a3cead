//! Tests of the jobs that fill a copy. No I/O.

use tenantry_core::secret::Secret;

use super::*;
use crate::context::DatabaseAccess;

fn access(engine: &str, name: &str) -> DatabaseAccess {
    DatabaseAccess {
        engine: engine.parse().unwrap(),
        host: "db.example".into(),
        port: 5432,
        name: name.into(),
        user: name.into(),
        password: Secret::new(format!("password-of-{name}")),
    }
}

fn settings() -> Settings {
    let site = serde_json::from_value(json!({
        "apiVersion": "tenantry.dev/v1alpha1", "kind": "Site", "metadata": { "name": "site" }, "spec": { "id": "s" },
    }));
    Settings::of_site(&site.unwrap())
}

fn made() -> Made<'static> {
    Made { at: "2026-01-01T00:00:00Z", fill: 3 }
}

fn place() -> Place<'static> {
    let labels = Labels::managed().and(LABEL_INSTANCE_ID, "kcopycopyk");
    Place {
        namespace: "tenant-a",
        name: "job",
        labels,
        purpose: "copy-database-g1",
        image: "pg:15".into(),
        scheduling: None,
    }
}

#[test]
fn a_copy_leaves_a_tenth_of_the_servers_disk_to_its_tenants() {
    for (storage, used, size, fits) in [
        (Some(100), 40, 50, true),
        (Some(100), 40, 51, false),
        (Some(100), 95, 1, false),
        (None, u64::MAX, u64::MAX, true),
        (Some(0), 0, 1, false),
    ] {
        assert_eq!(has_room(storage, used, size), fits, "{storage:?} {used} {size}");
    }
}

#[test]
fn an_original_that_waits_on_another_node_goes_before_its_copy() {
    let nodes = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    for (original, job, waits) in [
        (&["a"][..], &["b"][..], true),
        (&["a"], &["a"], false),
        (&["a", "b"], &["a"], true),
        (&[], &["b"], false),
        (&["a"], &[], false),
    ] {
        assert_eq!(original_waits(&nodes(original), &nodes(job)), waits, "{original:?} {job:?}");
    }
}

#[test]
fn no_password_stands_in_a_command_line_or_in_the_job_itself() {
    for engine in ["postgresql", "mariadb"] {
        let (a, b) = (access(engine, "crm_a_g1"), access(engine, "crm_b_g1"));
        let (from, to) = (Side { access: &a, tls: true, ca: Some("PEM") }, Side { access: &b, tls: false, ca: None });
        let file = database_file(&from, &to);
        for step in &file.steps {
            assert!(!step.command.iter().any(|w| w.contains("password-of")), "{step:?}");
        }
        assert_eq!(file.redact, ["password-of-crm_a_g1", "password-of-crm_b_g1"]);
        let job = build_database_job(&place(), &file, 1_000_000_000, 70_000, &made(), &settings());
        assert!(!job.object.to_string().contains("password-of"));
        let room = job.object.pointer("/spec/template/spec/containers/0/resources/requests/ephemeral-storage");
        assert_eq!(room, Some(&json!("70000")), "a node with less room is not chosen");
        let secret = build_secret(&place(), &file, &[("from", &from), ("to", &to)]).unwrap();
        assert_eq!(secret.object["stringData"]["from-ca.pem"], "PEM");
        assert!(secret.object["stringData"].get("to-ca.pem").is_none());
    }
}

#[test]
fn the_original_is_read_by_its_own_role_and_the_copy_written_by_its_own() {
    for (engine, reads, writes) in
        [("postgresql", "pg_dump", "pg_restore"), ("mariadb", "mariadb-dump", "exec mariadb")]
    {
        let (a, b) = (access(engine, "crm_a_g1"), access(engine, "crm_b_g1"));
        let side = |access| Side { access, tls: false, ca: None };
        let file = database_file(&side(&a), &side(&b));
        let line = |n: usize| file.steps[n].command.join(" ");
        let last = file.steps.len() - 1;
        assert!(line(0).contains(reads) && line(0).contains("crm_a_g1") && !line(0).contains("crm_b_g1"));
        assert!(line(last).contains(writes) && line(last).contains("crm_b_g1") && !line(last).contains("crm_a_g1"));
        assert!(file.steps[0].env.values().any(|v| v == "password-of-crm_a_g1"));
        assert!(file.steps[last].env.values().any(|v| v == "password-of-crm_b_g1"));
        // The steps between touch neither database: they check the dump and rewrite it for the copy.
        assert!(file.steps[1..last].iter().all(|s| s.env.is_empty()));
    }
}

#[test]
fn a_certificate_is_checked_when_its_authority_is_known_and_never_asked_for_without_tls() {
    let a = access("postgresql", "crm_a_g1");
    for (tls, ca, mode) in
        [(true, Some("PEM"), Some("verify-full")), (true, None, Some("require")), (false, None, None)]
    {
        let side = Side { access: &a, tls, ca };
        let env = database_file(&side, &side).steps[0].env.clone();
        assert_eq!(env.get("PGSSLMODE").map(String::as_str), mode);
        assert_eq!(env.contains_key("PGSSLROOTCERT"), ca.is_some());
    }
}

#[test]
fn the_files_of_the_original_are_mounted_read_only_and_beside_the_pods_that_hold_them() {
    let spec: BlueprintSpec = serde_json::from_value(json!({
        "title": "x", "processes": [{ "name": "web" }], "releases": [{ "version": "1", "image": "x:1" }],
        "volumes": [{ "name": "files", "mountPath": "/data", "percentOfStorage": 50 }],
    }))
    .unwrap();
    let pairs = [Pair { name: "files".into(), from: "a-files-g1".into(), to: "b-files-g1".into() }];
    let file = files_file(&pairs);
    let original = Id::parse("koriginalk").unwrap();
    let processes = BTreeSet::from(["web".to_owned(), "worker".to_owned()]);
    let beside = Beside { original: &original, processes: &processes };
    let job = build_files_job(&place(), &file, &spec, &pairs, Some(beside), &settings());
    let pod = job.object.pointer("/spec/template/spec").unwrap();
    let find = |list: &str, name: &str| -> Value {
        let all = pod.pointer(list).and_then(Value::as_array).unwrap();
        all.iter().find(|v| v["name"] == name).cloned().unwrap()
    };
    assert_eq!(find("/volumes", "from-files")["persistentVolumeClaim"], json!({ "claimName": "a-files-g1" }));
    assert_eq!(find("/containers/0/volumeMounts", "from-files")["readOnly"], true);
    assert!(find("/containers/0/volumeMounts", "to-files").get("readOnly").is_none());
    let terms = &pod["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    let of = |i: usize| terms[i]["labelSelector"]["matchLabels"].clone();
    assert_eq!(of(0), json!({ "tenantry.dev/instance-id": "koriginalk", "tenantry.dev/process": "web" }));
    assert_eq!(of(1)["tenantry.dev/process"], "worker");
    assert_eq!(file.steps[0].command[2..], ["--from", "/tenantry/from/files", "--to", "/tenantry/to/files"]);
    let alone = build_files_job(&place(), &file, &spec, &pairs, None, &settings());
    assert!(alone.object.pointer("/spec/template/spec/affinity").is_none());
}

#[test]
fn client_programs_come_from_the_named_image_or_from_that_of_a_managed_server() {
    let server = |spec: Value| -> DatabaseServer {
        serde_json::from_value(json!({ "apiVersion": "tenantry.dev/v1alpha1", "kind": "DatabaseServer",
            "metadata": { "name": "one" }, "spec": spec }))
        .unwrap()
    };
    let managed = json!({ "image": "pg:15", "storage": "1G" });
    let external = json!({ "host": "db.example", "secretName": "s" });
    for (spec, image) in [
        (json!({ "engine": "postgresql", "managed": managed }), Some("pg:15")),
        (json!({ "engine": "postgresql", "managed": managed, "clientImage": "pg:16" }), Some("pg:16")),
        (json!({ "engine": "postgresql", "external": external, "clientImage": "pg:16" }), Some("pg:16")),
        (json!({ "engine": "postgresql", "external": external }), None),
    ] {
        assert_eq!(client_image(&server(spec), &settings()).as_deref(), image);
    }
}

#[test]
fn jobs_run_on_the_nodes_of_the_copy_and_bear_the_taints_of_both() {
    let wish = |pool: &str, taint: &str| -> Scheduling {
        serde_json::from_value(json!({ "nodeSelector": { "pool": pool },
            "tolerations": [{ "key": taint, "operator": "Exists" }] }))
        .unwrap()
    };
    let (copy, original) = (wish("copies", "a"), wish("big", "b"));
    assert_eq!(nodes(None, None), None);
    assert_eq!(nodes(Some(&copy), None), Some(copy.clone()));
    let both = nodes(Some(&copy), Some(&original)).unwrap();
    assert_eq!(both.node_selector, copy.node_selector);
    assert_eq!(both.tolerations, [&copy.tolerations[..], &original.tolerations[..]].concat());
    assert_eq!(nodes(Some(&copy), Some(&copy)), Some(copy.clone()));
    let theirs = nodes(None, Some(&original)).unwrap();
    assert!(theirs.node_selector.is_empty(), "the copy may run anywhere");
    assert_eq!(theirs.tolerations, original.tolerations);

    let place = Place { scheduling: Some(&copy), ..place() };
    let access = access("postgresql", "crm_a_g1");
    let side = Side { access: &access, tls: false, ca: None };
    let job = build_database_job(&place, &database_file(&side, &side), 1, 1, &made(), &settings());
    assert_eq!(job.object["spec"]["template"]["spec"]["nodeSelector"], json!({ "pool": "copies" }));
}
