//! Layer 2: the rules of the definitions in tables, without a cluster. No I/O.

// Helpers of tests are not inside a #[test], where the workspace allows these.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use kube_cel::Validator;
use serde_json::{Value, json};
use tenantry_api::definitions;

fn schema(kind: &str) -> Value {
    let crd = definitions().into_iter().find(|c| c.spec.names.kind == kind).unwrap();
    serde_json::to_value(&crd.spec.versions[0].schema.as_ref().unwrap().open_api_v3_schema).unwrap()
}

/// Messages of the rules that an object (after an older one) breaks.
fn broken(kind: &str, object: &Value, old: Option<&Value>) -> Vec<String> {
    match Validator::new().validate(&schema(kind), object, old) {
        Ok(()) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

fn accepted(kind: &str, object: &Value, old: Option<&Value>) {
    assert_eq!(broken(kind, object, old), Vec::<String>::new(), "{object}");
}

fn refused(kind: &str, object: &Value, old: Option<&Value>, words: &str) {
    let said = broken(kind, object, old).join("\n");
    assert!(said.contains(words), "{object}\nwas expected to be refused with {words:?}, said: {said:?}");
}

fn object(kind: &str, name: &str, spec: Value) -> Value {
    json!({ "apiVersion": "tenantry.dev/v1alpha1", "kind": kind, "metadata": { "name": name }, "spec": spec })
}

fn with(base: &Value, change: Value) -> Value {
    let mut made = base.clone();
    for (key, value) in change.as_object().unwrap() {
        if value.is_null() {
            made.as_object_mut().unwrap().remove(key);
        } else {
            made[key] = value.clone();
        }
    }
    made
}

#[test]
fn a_tenant_keeps_its_id_and_its_storage_does_not_shrink() {
    let spec = json!({ "id": "abcdefghij", "plan": "fibo-2", "storage": "10G" });
    let tenant = |change: Value| object("Tenant", "acme", with(&spec, change));
    let old = tenant(json!({}));
    accepted("Tenant", &old, None);
    accepted("Tenant", &tenant(json!({ "storage": "20G", "plan": "fibo-3" })), Some(&old));
    refused("Tenant", &tenant(json!({ "id": "bbbbbbbbbb" })), Some(&old), "minted once");
    refused("Tenant", &tenant(json!({ "id": null })), Some(&old), "minted once");
    refused("Tenant", &tenant(json!({ "storage": "5G" })), Some(&old), "storage cannot shrink");
    refused("Tenant", &tenant(json!({ "seats": 5, "unlimitedSeats": true })), None, "either seats or unlimitedSeats");
    refused("Tenant", &tenant(json!({ "id": null, "adopt": "abcdefghij-1" })), None, "needs the archive's id");
    // The first write of an id is allowed.
    accepted("Tenant", &old, Some(&tenant(json!({ "id": null }))));
}

#[test]
fn names_that_do_not_fit_are_refused() {
    let spec = json!({ "plan": "fibo-2" });
    refused("Tenant", &object("Tenant", &"a".repeat(41), spec.clone()), None, "too long");
    refused("Tenant", &object("Tenant", "Acme", spec), None, "lower-case");
    let spec = json!({ "tenant": "acme", "blueprint": "tryton", "host": "a.example" });
    refused("CrmInstance", &object("CrmInstance", &"a".repeat(31), spec), None, "too long");
}

#[test]
fn an_instance_keeps_product_release_tenant_and_server() {
    let spec = json!({ "id": "abcdefghij", "tenant": "acme", "blueprint": "tryton", "release": "7.0",
        "environment": "production", "host": "crm.acme.example", "databaseServer": "pg-1" });
    let instance = |change: Value| object("CrmInstance", "crm", with(&spec, change));
    let old = instance(json!({}));
    accepted("CrmInstance", &instance(json!({ "host": "other.example" })), Some(&old));
    for (field, value, words) in [
        ("tenant", "beta", "spec.tenant cannot change"),
        ("blueprint", "odoo", "another product is another instance"),
        ("release", "8.0", "needs an upgrade"),
        ("environment", "staging", "make a new instance"),
        ("databaseServer", "pg-2", "the data would stay behind"),
        ("id", "bbbbbbbbbb", "minted once"),
    ] {
        refused("CrmInstance", &instance(json!({ field: value })), Some(&old), words);
    }
}

#[test]
fn a_copy_is_no_production_keeps_its_original_and_only_what_is_no_production_ends_by_itself() {
    let spec = json!({ "tenant": "acme", "blueprint": "tryton", "environment": "staging", "host": "s.acme.example",
        "from": { "instance": "crm" } });
    let instance = |change: Value| object("CrmInstance", "staging", with(&spec, change));
    let old = instance(json!({}));
    accepted("CrmInstance", &old, None);
    accepted("CrmInstance", &instance(json!({ "environment": "rehearsal" })), None);
    accepted("CrmInstance", &instance(json!({ "expires": "2026-12-31T23:59:59+07:00" })), Some(&old));
    accepted("CrmInstance", &instance(json!({ "from": null, "expires": "2026-12-31T23:59:59Z" })), None);
    let production = json!({ "environment": "production" });
    refused("CrmInstance", &instance(production.clone()), None, "for staging or rehearsal");
    refused("CrmInstance", &instance(json!({ "environment": null })), None, "for staging or rehearsal");
    let ends = json!({ "environment": "production", "from": null, "expires": "2026-12-31T23:59:59Z" });
    refused("CrmInstance", &instance(ends), None, "does not end by itself");
    for other in [json!({ "from": null }), json!({ "from": { "instance": "other" } })] {
        refused("CrmInstance", &instance(other), Some(&old), "make a new copy");
    }
    refused("CrmInstance", &old, Some(&instance(json!({ "from": null }))), "make a new copy");
    let both = json!({ "id": "abcdefghij", "adopt": "abcdefghij-1" });
    refused("CrmInstance", &instance(both), None, "not from both");
    refused("CrmInstance", &instance(json!({ "from": { "instance": "staging" } })), None, "names this instance itself");
}

#[test]
fn a_setting_stands_in_the_spec_or_in_a_secret() {
    let instance = |settings: Value, from: Value| {
        let spec = json!({ "tenant": "acme", "blueprint": "tryton", "host": "a.example" });
        object("CrmInstance", "crm", with(&spec, json!({ "settings": settings, "settingsFrom": from })))
    };
    let source = json!({ "secret": "mine", "key": "password" });
    accepted("CrmInstance", &instance(json!({ "smtp_host": "mx" }), json!({ "smtp_password": source })), None);
    accepted("CrmInstance", &instance(json!(null), json!({ "smtp_password": source })), None);
    let both = instance(json!({ "smtp_password": "x" }), json!({ "smtp_password": source }));
    refused("CrmInstance", &both, None, "in settings or in settingsFrom, not in both");
    let long = instance(json!({}), json!({ "a".repeat(64): source }));
    refused("CrmInstance", &long, None, "at most 63 characters");
}

#[test]
fn an_integration_names_settings_that_there_are() {
    let blueprint = |settings: Value, names: Value| {
        let integration = json!({ "name": "mail", "kind": "smtp", "settings": names });
        let release = json!({ "version": "1", "image": "i" });
        let spec = json!({ "title": "T", "releases": [release], "processes": [{ "name": "web" }],
            "integrations": [integration] });
        object("Blueprint", "notes", with(&spec, json!({ "settings": settings })))
    };
    accepted("Blueprint", &blueprint(json!({ "smtp_host": {} }), json!(["smtp_host"])), None);
    accepted("Blueprint", &blueprint(json!(null), json!([])), None);
    for settings in [json!({ "smtp_host": {} }), json!(null)] {
        refused(
            "Blueprint",
            &blueprint(settings, json!(["smpt_host"])),
            None,
            "a setting that the blueprint does not have",
        );
    }
}

#[test]
fn a_site_opens_ranges_of_addresses_and_nothing_else() {
    let spec = &schema("Site")["properties"]["spec"]["properties"];
    let pattern = spec["internalCidrs"]["items"]["pattern"].as_str().unwrap();
    for field in ["ingressCidrs", "closedCidrs", "dnsCidrs"] {
        assert_eq!(spec[field]["items"]["pattern"], pattern, "{field}");
    }
    for (text, fits) in [
        ("10.20.0.25/32", true),
        ("192.168.0.0/16", true),
        ("0.0.0.0/0", true),
        ("10.20.0.25", false),
        ("10.20.0.256/32", false),
        ("10.20.0.0/33", false),
        ("fd00::/8", true),
        ("2a00:1450:4001:80b::200e/128", true),
        ("1:2:3:4:5:6:7:8/64", true),
        ("::/0", true),
        ("::1/128", true),
        ("1::/129", false),
        ("1:2:3:4:5:6:7:8:9/64", false),
        ("1::2::3/64", false),
        ("fd00::1", false),
        ("FD00::/8", false),
        ("::ffff:10.0.0.1/128", false),
    ] {
        assert_eq!(tenantry_core::pattern::matches_whole(pattern, text), Ok(fits), "{text}");
        assert!(!fits || tenantry_core::address::Cidr::parse(text).is_some(), "{text}");
    }
}

#[test]
fn public_ipv6_is_opened_only_where_the_cluster_says_which_of_it_is_its_own() {
    let site = |more: Value| object("Site", "site", with(&json!({ "id": "site-1" }), more));
    accepted("Site", &site(json!({ "outsideIpv6": false })), None);
    accepted("Site", &site(json!({ "outsideIpv6": true, "closedCidrs": ["10.0.0.0/8", "fd00::/8"] })), None);
    for closed in [json!(null), json!(["10.0.0.0/8"])] {
        let open = site(json!({ "outsideIpv6": true, "closedCidrs": closed }));
        refused("Site", &open, None, "name at least one IPv6 range");
    }
}

#[test]
fn a_plan_cannot_contradict_itself_or_change() {
    let spec = json!({ "seats": 7, "storage": "2500M" });
    let plan = |change: Value| object("Plan", "fibo-2", with(&spec, change));
    accepted("Plan", &plan(json!({})), None);
    refused("Plan", &plan(json!({ "seats": null })), None, "either seats or unlimitedSeats");
    refused("Plan", &plan(json!({ "unlimitedSeats": true })), None, "either seats or unlimitedSeats");
    refused("Plan", &plan(json!({ "storage": "0" })), None, "storage must be more than 0");
    let resources = json!({ "resources": { "memoryRequest": "2Gi", "memoryLimit": "1Gi" } });
    refused("Plan", &plan(resources), None, "memoryRequest is above");
    refused("Plan", &plan(json!({ "seats": 8 })), Some(&plan(json!({}))), "a Plan cannot be changed");
}

#[test]
fn a_database_server_is_managed_or_external_and_keeps_its_engine() {
    let managed = json!({ "image": "i", "storage": "10G" });
    let spec = json!({ "engine": "postgresql", "managed": managed });
    let server = |change: Value| object("DatabaseServer", "pg-1", with(&spec, change));
    let old = server(json!({}));
    accepted("DatabaseServer", &old, None);
    refused("DatabaseServer", &server(json!({ "managed": null })), None, "either managed");
    let host =
        &schema("DatabaseServer")["properties"]["spec"]["properties"]["external"]["properties"]["host"]["pattern"];
    for (text, fits) in [("db.example", true), ("192.0.2.7", true), ("fd00::5", false)] {
        assert_eq!(tenantry_core::pattern::matches_whole(host.as_str().unwrap(), text), Ok(fits), "{text}");
    }
    refused("DatabaseServer", &server(json!({ "engine": "mariadb" })), Some(&old), "cannot change");
    let smaller = json!({ "managed": { "image": "i", "storage": "5G" } });
    refused("DatabaseServer", &server(smaller), Some(&old), "cannot shrink");
}

#[test]
fn a_database_server_that_has_answered_keeps_its_address_and_one_in_use_is_not_set_aside() {
    let server = |change: Value, status: Value| {
        let spec =
            json!({ "engine": "postgresql", "external": { "host": "db.example", "port": 5432, "secretName": "s" } });
        let mut made = object("DatabaseServer", "pg-1", with(&spec, change));
        made["status"] = status;
        made
    };
    let external = |host: &str, port: Value| {
        let given = json!({ "host": host, "secretName": "s", "cidrs": ["10.0.0.1/32"] });
        json!({ "external": with(&given, json!({ "port": port })) })
    };
    let never = server(json!({}), json!({ "phase": "Pending" }));
    let used = server(json!({}), json!({ "phase": "Ready", "version": "16.4", "databases": 2 }));
    let same = external("db.example", json!(5432));
    // A mistake can be mended, and addresses for network rules change at any time.
    accepted("DatabaseServer", &server(external("db2.example", json!(5433)), json!({})), Some(&never));
    accepted("DatabaseServer", &server(same, json!({ "version": "16.4" })), Some(&used));
    for other in
        [external("db2.example", json!(5432)), external("db.example", json!(5433)), external("db.example", json!(null))]
    {
        refused("DatabaseServer", &server(other, json!({ "version": "16.4" })), Some(&used), "let DNS lead it");
    }
    let aside = || server(json!({ "dedicatedTo": "abcdefghij" }), json!({ "version": "16.4" }));
    let empty = server(json!({}), json!({ "version": "16.4", "databases": 0 }));
    accepted("DatabaseServer", &aside(), Some(&empty));
    accepted("DatabaseServer", &aside(), Some(&aside()));
    refused("DatabaseServer", &aside(), Some(&used), "would lose the way to theirs");
}

#[test]
fn what_goes_into_the_objects_of_every_tenant_is_checked_where_it_is_written() {
    // One word that the API server refuses in a network rule would stop all of them.
    let site = &schema("Site")["properties"]["spec"]["properties"];
    let server = &schema("DatabaseServer")["properties"]["spec"]["properties"];
    let ranges = &server["external"]["properties"]["cidrs"]["items"]["pattern"];
    assert_eq!(*ranges, site["internalCidrs"]["items"]["pattern"]);
    for (pattern, good, bad) in [
        (&site["ingressNamespaces"]["items"]["pattern"], "ingress-nginx", "Ingress Nginx"),
        (&site["storageClass"]["pattern"], "local-path", "Fast Disks"),
        (&site["ingress"]["properties"]["className"]["pattern"], "nginx", "a b"),
        (&site["imagePullSecrets"]["items"]["pattern"], "registry.acme", "Registry!"),
    ] {
        let pattern = pattern.as_str().unwrap();
        assert_eq!(tenantry_core::pattern::matches_whole(pattern, good), Ok(true), "{pattern}");
        assert_eq!(tenantry_core::pattern::matches_whole(pattern, bad), Ok(false), "{pattern}");
    }
    let named = |name: &str| object("Site", "site", json!({ "id": "site-1", "imagePullSecrets": [name] }));
    accepted("Site", &named("registry"), None);
    refused("Site", &named("tenantry-image-pull"), None, "give your own Secret another name");
}

#[test]
fn a_release_stays_as_it_is_but_can_be_promoted() {
    let release = json!({ "version": "7.0", "image": "i:7", "channel": "early" });
    let spec = json!({ "title": "T", "releases": [release], "processes": [{ "name": "web" }] });
    let blueprint = |change: Value| object("Blueprint", "tryton", with(&spec, change));
    let old = blueprint(json!({}));
    let stable = json!({ "version": "7.0", "image": "i:7", "channel": "stable" });
    accepted("Blueprint", &blueprint(json!({ "releases": [stable] })), Some(&old));
    let other = json!({ "version": "7.0", "image": "i:8" });
    refused("Blueprint", &blueprint(json!({ "releases": [other] })), Some(&old), "cannot change");
    refused("Blueprint", &blueprint(json!({ "install": { "steps": [] } })), None, "install fills a database");
    let two = json!([{ "name": "a", "serves": true, "port": 1 }, { "name": "b", "serves": true, "port": 1 }]);
    refused("Blueprint", &blueprint(json!({ "processes": two })), None, "only one process can serve");
}

#[test]
fn a_companion_may_be_anything_but_the_one_that_serves() {
    let spec = json!({ "title": "T", "releases": [{ "version": "1", "image": "i" }] });
    let blueprint = |process: Value| object("Blueprint", "desk", with(&spec, json!({ "processes": [process] })));
    let companion = json!({ "name": "redis", "image": "redis:7", "port": 6379, "volumes": ["queue"],
        "env": { "MODE": "small" }, "podSecurity": { "runAsUser": 999, "readOnlyRootFilesystem": false } });
    accepted("Blueprint", &blueprint(companion.clone()), None);
    accepted("Blueprint", &blueprint(with(&companion, json!({ "serves": false }))), None);
    accepted("Blueprint", &blueprint(with(&companion, json!({ "serves": true, "image": null }))), None);
    refused("Blueprint", &blueprint(with(&companion, json!({ "serves": true }))), None, "cannot serve");
}

#[test]
fn a_toleration_is_one_that_kubernetes_takes() {
    let spec = json!({ "tenant": "acme", "blueprint": "tryton", "host": "crm.acme.example", "replicas": { "web": 2 } });
    let instance = |toleration: Value| {
        let scheduling = json!({ "nodeSelector": { "pool": "acme" }, "tolerations": [toleration] });
        object("CrmInstance", "crm", with(&spec, json!({ "scheduling": scheduling })))
    };
    for fits in [
        json!({ "key": "for", "value": "acme", "effect": "NoSchedule" }),
        json!({ "operator": "Exists" }),
        json!({ "key": "for", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60 }),
    ] {
        accepted("CrmInstance", &instance(fits), None);
    }
    for (wrong, words) in [
        (json!({ "key": "for", "operator": "Exists", "value": "acme" }), "has no value"),
        (json!({ "value": "acme" }), "needs operator Exists"),
        (json!({ "key": "for", "operator": "Exists", "tolerationSeconds": 60 }), "needs effect NoExecute"),
    ] {
        refused("CrmInstance", &instance(wrong), None, words);
    }
}

#[test]
fn an_archive_is_a_record_and_is_purged_only_by_its_name() {
    let spec = json!({ "kind": "Tenant", "id": "abcdefghij", "name": "acme", "life": 1, "tenantId": "abcdefghij",
        "tenantName": "acme", "namespace": "tenant-abcdefghij", "databases": [], "volumes": [], "secrets": [],
        "dataGeneration": 1, "releaseHash": "a", "release": "{}", "object": "{}", "ledger": "{}", "archivedAt": "t", "retainUntil": "t" });
    let archive = |change: Value| object("Archive", "abcdefghij-1", with(&spec, change));
    let old = archive(json!({}));
    accepted("Archive", &archive(json!({ "retainUntil": "later" })), Some(&old));
    accepted("Archive", &archive(json!({ "purge": { "confirm": "abcdefghij-1" } })), Some(&old));
    for name in ["beta", "abcdefghij-2"] {
        let wrong = archive(json!({ "purge": { "confirm": name } }));
        refused("Archive", &wrong, Some(&old), "must be the name of this Archive");
        refused("Archive", &wrong, None, "must be the name of this Archive");
    }
    // The archived name is one that others may have as well; what earlier versions stored stays valid.
    let of_name = archive(json!({ "purge": { "confirm": "acme" } }));
    refused("Archive", &of_name, Some(&old), "must be the name of this Archive");
    accepted("Archive", &with(&of_name, json!({ "status": { "phase": "Purging" } })), Some(&of_name));
    accepted("Archive", &of_name, None);
    for change in [
        json!({ "databases": [{ "server": "s", "name": "n" }] }),
        json!({ "life": 2 }),
        json!({ "dataGeneration": 2 }),
        json!({ "dataGeneration": null }),
        json!({ "releaseHash": "b" }),
        json!({ "releaseHash": null }),
        json!({ "release": "{ }" }),
        json!({ "release": null }),
    ] {
        refused("Archive", &archive(change), Some(&old), "is a record");
    }
    let waiting = archive(json!({ "purge": { "confirm": "abcdefghij-1" } }));
    refused("Archive", &old, Some(&waiting), "cannot be taken back");
    let now = archive(json!({ "purge": { "confirm": "abcdefghij-1", "beforeRetention": true } }));
    accepted("Archive", &now, Some(&waiting));
    accepted("Archive", &archive(json!({ "purge": { "confirm": "acme", "beforeRetention": true } })), Some(&of_name));
    refused("Archive", &waiting, Some(&now), "cannot be taken back");
    refused("Archive", &old, Some(&now), "cannot be taken back");
}

#[test]
fn what_an_archive_knows_of_the_object_is_only_ever_blanked_and_only_when_it_is_needed_no_more() {
    let spec = |object: &str| {
        json!({ "kind": "Tenant", "id": "abcdefghij", "name": "acme", "life": 1, "tenantId": "abcdefghij",
            "tenantName": "acme", "namespace": "tenant-abcdefghij", "object": object, "ledger": "{}",
            "archivedAt": "t", "retainUntil": "t" })
    };
    let archive = |text: &str, phase: Option<&str>| {
        let mut made = object("Archive", "abcdefghij-1", spec(text));
        if let Some(phase) = phase {
            made["status"] = json!({ "phase": phase });
        }
        made
    };
    let known = r#"{"contacts":["a@b.example"]}"#;
    for (phase, blanked) in [
        (None, false),
        (Some("Archived"), false),
        (Some("Adopted"), true),
        (Some("Purging"), true),
        (Some("Purged"), true),
    ] {
        let old = archive(known, phase);
        refused("Archive", &archive("x", phase), Some(&old), "is a record");
        match blanked {
            true => accepted("Archive", &archive("{}", phase), Some(&old)),
            false => refused("Archive", &archive("{}", phase), Some(&old), "is a record"),
        }
    }
}

#[test]
fn an_event_cannot_be_changed_and_there_is_one_site() {
    let spec = json!({ "id": "a-1", "source": "s", "type": "t", "time": "t", "sequence": 1, "subject": "s",
        "tenantId": "abcdefghij", "tenantName": "acme", "after": { "suspended": false, "life": "Active" } });
    let old = object("BillingEvent", "a-1", spec.clone());
    let changed = object("BillingEvent", "a-1", with(&spec, json!({ "time": "later" })));
    refused("BillingEvent", &changed, Some(&old), "is a record");
    let site = |name: &str, id: &str| object("Site", name, json!({ "id": id }));
    accepted("Site", &site("site", "site-1"), None);
    refused("Site", &site("other", "site-1"), None, "its name is `site`");
    refused("Site", &site("site", "site-2"), Some(&site("site", "site-1")), "cannot change");
}

/// Every place of a schema that admits what has no end, or an integer that its type in Rust cannot hold.
fn boundless(path: &str, schema: &Value, found: &mut Vec<String>) {
    let has = |key: &str| !schema[key].is_null();
    let fits = |key: &str, least: f64, most: f64| schema[key].as_f64().is_some_and(|n| n >= least && n <= most);
    let bounded = match schema["type"].as_str() {
        Some("integer") => match schema["format"].as_str() {
            Some("uint8") => fits("minimum", 0.0, 255.0) && fits("maximum", 0.0, 255.0),
            Some("uint16") => fits("minimum", 0.0, 65_535.0) && fits("maximum", 0.0, 65_535.0),
            Some("uint32") => fits("minimum", 0.0, 4e9) && fits("maximum", 0.0, 4e9),
            Some("uint64") => fits("minimum", 0.0, 9e15) && fits("maximum", 0.0, 9e15),
            _ => fits("maximum", -9e15, 9e15),
        },
        Some("string") => has("maxLength") || has("enum"),
        Some("array") => has("maxItems"),
        Some("object") => {
            !schema["additionalProperties"].is_object() || (has("maxProperties") && has("x-kubernetes-validations"))
        }
        Some("boolean") => true,
        _ => false,
    };
    if !bounded {
        found.push(path.to_owned());
    }
    for (name, below) in schema["properties"].as_object().into_iter().flatten() {
        boundless(&format!("{path}.{name}"), below, found);
    }
    for (key, below) in [("[]", &schema["items"]), ("{}", &schema["additionalProperties"])] {
        if below.is_object() {
            boundless(&format!("{path}{key}"), below, found);
        }
    }
}

#[test]
fn everything_that_people_write_has_an_end_and_fits_its_type() {
    let mut found = Vec::new();
    // BillingEvents are written by the operator alone.
    for kind in ["Site", "Plan", "Blueprint", "DatabaseServer", "Tenant", "CrmInstance", "Archive"] {
        boundless(kind, &schema(kind)["properties"]["spec"], &mut found);
    }
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn names_in_maps_are_bounded_too() {
    let instance = |name: &str| {
        let spec = json!({ "tenant": "acme", "blueprint": "tryton", "host": "a.example", "settings": { name: "x" } });
        object("CrmInstance", "crm", spec)
    };
    accepted("CrmInstance", &instance(&"a".repeat(63)), None);
    refused("CrmInstance", &instance(&"a".repeat(64)), None, "at most 63 characters");
}

/// The largest value that a schema admits, of characters that JSON writes as six.
fn largest(schema: &Value) -> Value {
    let most = |key: &str| usize::try_from(schema[key].as_u64().unwrap()).unwrap();
    match schema["type"].as_str() {
        Some("string") => match schema["enum"].as_array() {
            Some(words) => words.iter().max_by_key(|w| w.to_string().len()).unwrap().clone(),
            None => "\u{1}".repeat(most("maxLength")).into(),
        },
        Some("integer") => schema["maximum"].clone(),
        Some("boolean") => false.into(),
        Some("array") => vec![largest(&schema["items"]); most("maxItems")].into(),
        Some("object") if schema["additionalProperties"].is_object() => {
            let name = |n: usize| format!("{n:03}{}", "\u{1}".repeat(60));
            (0..most("maxProperties")).map(|n| (name(n), largest(&schema["additionalProperties"]))).collect()
        }
        Some("object") => {
            let all = schema["properties"].as_object().into_iter().flatten();
            all.map(|(name, below)| (name.clone(), largest(below))).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_largest_tenant_and_instance_fit_into_their_archive() {
    let archive = &schema("Archive")["properties"]["spec"]["properties"]["object"]["maxLength"];
    let room = usize::try_from(archive.as_u64().unwrap()).unwrap();
    for kind in ["Tenant", "CrmInstance"] {
        let text = largest(&schema(kind)["properties"]["spec"]).to_string();
        assert!(text.chars().count() <= room, "{kind}: {} characters, {room} fit", text.chars().count());
    }
}
