//! Planning of a managed DatabaseServer: Service and StatefulSet. No I/O.

mod phase;

use serde_json::{Value, json};
use tenantry_api::database_server::{DatabaseServer, Engine, Managed};
use tenantry_core::names::{LABEL_DATABASE_SERVER, LABEL_PURPOSE};
use tenantry_core::quantity;

use crate::child::{Child, Kind};
use crate::labels::Labels;
use crate::lost::Lost;
use crate::{Claim, Settings, pod, pull, resources, scheduling};

pub use phase::phase_when_halted;

/// The observed state of a managed server.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seen {
    /// Claim templates of the server's StatefulSet, which nobody can change. None means that the StatefulSet does not
    /// exist yet.
    pub claim_templates: Option<Value>,
    /// The server's volume claim.
    pub claim: Option<Claim>,
    /// The server's volume claim, if it is gone although there was data on it. Nothing runs then.
    pub lost: Option<Lost>,
}

/// Name of the Service, StatefulSet and Secret of a managed server.
#[must_use]
pub fn object_name(server: &str) -> String {
    format!("dbs-{server}")
}

/// Name of the volume claim of a managed server, as its StatefulSet names it.
#[must_use]
pub fn claim_name(server: &str) -> String {
    format!("data-{}-0", object_name(server))
}

/// Size of the volume to request, in bytes.
#[must_use]
pub fn volume_bytes(managed: &Managed) -> u64 {
    quantity::bytes(&managed.storage).unwrap_or(0)
}

/// Name of the Secret with the administrator's password.
#[must_use]
pub fn secret_name(server: &DatabaseServer) -> String {
    match &server.spec.external {
        Some(external) => external.secret_name.clone(),
        None => format!("{}-admin", object_name(server.metadata.name.as_deref().unwrap_or_default())),
    }
}

/// Key of the administrator's Secret that records that the server's data was created once. With it the image does not
/// initialise an empty volume, even if the StatefulSet has already created a new claim.
pub const KEY_MADE: &str = "data-made";

/// Name of the administrator on a managed server.
#[must_use]
pub fn admin_user(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgresql => "postgres",
        Engine::Mariadb => "root",
    }
}

/// Host and port under which the tenants' pods reach the server.
#[must_use]
pub fn address(server: &DatabaseServer, settings: &Settings) -> (String, u16) {
    let spec = &server.spec;
    match &spec.external {
        Some(external) => (external.host.clone(), external.port.unwrap_or_else(|| spec.engine.port())),
        None => {
            let name = object_name(server.metadata.name.as_deref().unwrap_or_default());
            (format!("{name}.{}.svc", settings.system_namespace), spec.engine.port())
        }
    }
}

/// Labels of all objects of a managed server.
#[must_use]
pub fn labels(name: &str) -> Labels {
    Labels::managed().and(LABEL_DATABASE_SERVER, name).and(LABEL_PURPOSE, "database-server")
}

/// The Secret with the administrator's password. Created once and never overwritten.
#[must_use]
pub fn build_secret(server: &DatabaseServer, settings: &Settings, password: &tenantry_core::secret::Secret) -> Child {
    let name = server.metadata.name.as_deref().unwrap_or_default();
    let rest = json!({ "type": "Opaque", "stringData": {
        "username": admin_user(server.spec.engine), "password": password.reveal() } });
    Child::new(Kind::Secret, Some(&settings.system_namespace), &secret_name(server), &labels(name), rest)
}

/// All problems in the spec of a managed server because of which the API server would refuse its children, each with
/// its place.
#[must_use]
pub fn problems(managed: &Managed) -> Vec<String> {
    let mut found = Vec::new();
    if managed.image.contains(char::is_whitespace) {
        found.push(format!("spec.managed.image: {:?} has a space: an image is one word", managed.image));
    }
    if let Err(e) = quantity::bytes(&managed.storage) {
        found.push(format!("spec.managed.storage: {e}"));
    }
    if let Some(resources) = &managed.resources {
        found.extend(resources::problems("spec.managed.resources", resources));
    }
    let wish = managed.scheduling.as_ref().map(|wish| scheduling::check("spec.managed.scheduling", wish));
    found.extend(wish.and_then(Result::err).map(|e| e.to_string()));
    found
}

/// Service and StatefulSet of a managed server, and its volume claim if the claim has to grow. Nothing for an external
/// server.
#[must_use]
pub fn children(server: &DatabaseServer, settings: &Settings, seen: &Seen) -> Vec<Child> {
    let Some(managed) = &server.spec.managed else { return Vec::new() };
    let mut all = vec![build_service(server, settings)];
    if seen.lost.is_none() || seen.claim_templates.is_some() {
        all.push(build_stateful_set(server, managed, settings, seen));
    }
    all.extend(build_growth(server, managed, settings, seen));
    all
}

/// The volume claim with its new size. The claim itself is changed, because its template cannot change.
fn build_growth(server: &DatabaseServer, managed: &Managed, settings: &Settings, seen: &Seen) -> Option<Child> {
    let claim = seen.claim.as_ref()?;
    if !claim.is_short_of(volume_bytes(managed)) || !claim.grows {
        return None;
    }
    let name = server.metadata.name.as_deref().unwrap_or_default();
    let rest = json!({ "spec": { "resources": { "requests": { "storage": managed.storage } } } });
    let namespace = Some(settings.system_namespace.as_str());
    Some(Child::new(Kind::PersistentVolumeClaim, namespace, &claim_name(name), &labels(name), rest))
}

fn build_service(server: &DatabaseServer, settings: &Settings) -> Child {
    let name = server.metadata.name.as_deref().unwrap_or_default();
    let rest = json!({ "spec": {
        "type": "ClusterIP",
        "selector": { LABEL_DATABASE_SERVER: name, LABEL_PURPOSE: "database-server" },
        "ports": [{ "name": "sql", "port": server.spec.engine.port(), "targetPort": "sql", "protocol": "TCP" }],
    }});
    Child::new(Kind::Service, Some(&settings.system_namespace), &object_name(name), &labels(name), rest)
}

/// User and group of the server's image (images/README.md).
const USER: i64 = 10001;

fn build_stateful_set(server: &DatabaseServer, managed: &Managed, settings: &Settings, seen: &Seen) -> Child {
    let name = server.metadata.name.as_deref().unwrap_or_default();
    let engine = server.spec.engine;
    let (password_env, run_dir, probe): (&str, &str, Value) = match engine {
        Engine::Postgresql => (
            "POSTGRES_PASSWORD_FILE",
            "/run/postgresql",
            json!(["pg_isready", "-q", "-h", "127.0.0.1", "-U", "postgres"]),
        ),
        Engine::Mariadb => (
            "MARIADB_ROOT_PASSWORD_FILE",
            "/run/mysqld",
            json!(["mariadb-admin", "ping", "--silent", "--connect-timeout=3"]),
        ),
    };
    let labels = labels(name);
    let templates = match &seen.claim_templates {
        Some(live) => carried(live),
        None => json!([build_claim_template(managed, settings, &labels)]),
    };
    let mut container = json!({
        "name": engine.word(),
        "image": settings.image(&managed.image),
        "imagePullPolicy": "IfNotPresent",
        "env": [
            { "name": password_env, "value": "/run/secrets/tenantry/password" },
            // The image uses it to limit the memory of a single session.
            { "name": "MEMORY_LIMIT", "valueFrom": { "resourceFieldRef": {
                "containerName": engine.word(), "resource": "limits.memory", "divisor": "0" } } },
        ],
        "ports": [{ "name": "sql", "containerPort": engine.port(), "protocol": "TCP" }],
        // If the server ends with an error, such as a wrong argument or a full disk, the last lines of its log are
        // reported.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": pod::agent_security(),
        "resources": pod::resources(managed.resources.as_ref(), Some(&tenantry_api::plan::Resources {
            cpu_request: Some("250m".into()),
            // Enough for the caches and some sessions. A node that runs short of memory first ends containers that use
            // more than their request.
            memory_request: Some("768Mi".into()),
            memory_limit: Some("2Gi".into()),
            cpu_limit: None,
        })),
        "startupProbe": { "exec": { "command": probe }, "periodSeconds": 1, "failureThreshold": 300, "timeoutSeconds": 5 },
        "readinessProbe": { "exec": { "command": probe }, "periodSeconds": 10, "failureThreshold": 3, "timeoutSeconds": 5 },
        "volumeMounts": [
            { "name": "data", "mountPath": "/data" },
            { "name": "run", "mountPath": run_dir },
            { "name": "tmp", "mountPath": "/tmp" },
            { "name": "admin", "mountPath": "/run/secrets/tenantry", "readOnly": true },
            { "name": "made", "mountPath": "/run/secrets/tenantry-made", "readOnly": true },
        ],
    });
    if !managed.args.is_empty() {
        container["args"] = json!(managed.args);
    }
    let mut rest = json!({ "spec": {
        "replicas": i32::from(seen.lost.is_none()),
        "serviceName": object_name(name),
        "revisionHistoryLimit": 2,
        "persistentVolumeClaimRetentionPolicy": { "whenDeleted": "Retain", "whenScaled": "Retain" },
        "selector": { "matchLabels": { LABEL_DATABASE_SERVER: name, LABEL_PURPOSE: "database-server" } },
        "template": { "metadata": { "labels": labels.to_map() }, "spec": {
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "terminationGracePeriodSeconds": 60,
            "securityContext": { "runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER,
                "fsGroupChangePolicy": "OnRootMismatch", "seccompProfile": { "type": "RuntimeDefault" } },
            "containers": [container],
            "volumes": [
                { "name": "run", "emptyDir": { "sizeLimit": "64Mi" } },
                { "name": "tmp", "emptyDir": { "sizeLimit": "1Gi" } },
                { "name": "admin", "secret": { "secretName": secret_name(server), "defaultMode": 0o440,
                    "items": [{ "key": "password", "path": "password" }] } },
                // The key does not exist until the server has answered once.
                { "name": "made", "secret": { "secretName": secret_name(server), "defaultMode": 0o440, "optional": true,
                    "items": [{ "key": KEY_MADE, "path": KEY_MADE }] } },
            ],
        }},
        "volumeClaimTemplates": templates,
    }});
    if let Some(class) = managed.priority_class_name.as_ref().or(settings.database_priority_class.as_ref()) {
        rest["spec"]["template"]["spec"]["priorityClassName"] = class.as_str().into();
    }
    pull::allow(&mut rest["spec"]["template"]["spec"], settings);
    scheduling::place(&mut rest["spec"]["template"]["spec"], managed.scheduling.as_ref());
    Child::new(Kind::StatefulSet, Some(&settings.system_namespace), &object_name(name), &labels, rest)
}

fn build_claim_template(managed: &Managed, settings: &Settings, labels: &Labels) -> Value {
    let mut claim = json!({
        "metadata": { "name": "data", "labels": labels.to_map() },
        "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": managed.storage } } },
    });
    if let Some(class) = managed.storage_class.as_ref().or(settings.site.storage_class.as_ref()) {
        claim["spec"]["storageClassName"] = class.clone().into();
    }
    claim
}

/// The existing claim templates without the fields that only the API server sets.
fn carried(live: &Value) -> Value {
    let mut templates = live.clone();
    for template in templates.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        template.remove("status");
        if let Some(metadata) = template.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.retain(|_, value| !value.is_null());
        }
    }
    templates
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::child::holds;

    fn settings(class: Option<&str>) -> Settings {
        let site = serde_json::from_value(json!({
            "apiVersion": "tenantry.dev/v1alpha1", "kind": "Site", "metadata": { "name": "site" },
            "spec": { "id": "site-1", "storageClass": class },
        }));
        Settings::of_site(&site.unwrap())
    }

    fn server(storage: &str) -> DatabaseServer {
        let server = serde_json::from_value(json!({
            "apiVersion": "tenantry.dev/v1alpha1", "kind": "DatabaseServer", "metadata": { "name": "one" },
            "spec": { "engine": "postgresql", "managed": { "image": "pg:15", "storage": storage } },
        }));
        server.unwrap()
    }

    fn templates(children: &[Child]) -> Value {
        let set = children.iter().find(|c| c.kind == Kind::StatefulSet).unwrap();
        set.object["spec"]["volumeClaimTemplates"].clone()
    }

    /// The templates as the API server returns them.
    fn stored(children: &[Child]) -> Value {
        let mut all = templates(children);
        let one = &mut all[0];
        one["apiVersion"] = "v1".into();
        one["kind"] = "PersistentVolumeClaim".into();
        one["metadata"]["creationTimestamp"] = Value::Null;
        one["spec"]["volumeMode"] = "Filesystem".into();
        one["status"] = json!({ "phase": "Pending" });
        all
    }

    #[test]
    fn what_is_permitted_to_change_never_touches_the_templates_of_a_stateful_set() {
        let live = stored(&children(&server("50G"), &settings(Some("slow")), &Seen::default()));
        let seen = Seen { claim_templates: Some(live.clone()), ..Seen::default() };
        for (storage, class) in [("50G", Some("slow")), ("100G", Some("slow")), ("50G", Some("fast")), ("50G", None)] {
            let now = templates(&children(&server(storage), &settings(class), &seen));
            assert_eq!(now[0]["spec"], live[0]["spec"], "{storage} {class:?}");
            assert!(holds(&now, &live), "{now} {live}");
            assert!(now[0].get("status").is_none() && now[0]["metadata"].get("creationTimestamp").is_none(), "{now}");
        }
    }

    #[test]
    fn a_server_whose_claim_is_gone_is_stopped_and_one_that_is_not_there_is_not_made() {
        let lost = Some(Lost { claim: claim_name("one"), left: Vec::new() });
        let live = stored(&children(&server("50G"), &settings(None), &Seen::default()));
        let replicas = |seen: &Seen| {
            let all = children(&server("50G"), &settings(None), seen);
            let set = all.iter().find(|c| c.kind == Kind::StatefulSet);
            set.map(|set| set.object["spec"]["replicas"].clone())
        };
        assert_eq!(replicas(&Seen::default()), Some(json!(1)));
        let seen = Seen { claim_templates: Some(live), lost: lost.clone(), claim: None };
        assert_eq!(replicas(&seen), Some(json!(0)), "the StatefulSet would make an empty claim");
        assert_eq!(replicas(&Seen { lost, ..Seen::default() }), None);
    }

    #[test]
    fn a_server_runs_on_the_nodes_that_are_set_aside_for_it() {
        let mut wished = server("50G");
        let scheduling =
            json!({ "nodeSelector": { "pool": "acme" }, "tolerations": [{ "key": "acme", "operator": "Exists" }] });
        wished.spec.managed.as_mut().unwrap().scheduling = Some(serde_json::from_value(scheduling.clone()).unwrap());
        let pod = |server: &DatabaseServer| -> Value {
            let all = children(server, &settings(None), &Seen::default());
            all.iter().find(|c| c.kind == Kind::StatefulSet).unwrap().object["spec"]["template"]["spec"].clone()
        };
        let (with, without) = (pod(&wished), pod(&server("50G")));
        assert_eq!(with["nodeSelector"], scheduling["nodeSelector"]);
        assert_eq!(with["tolerations"], scheduling["tolerations"]);
        assert!(without.get("nodeSelector").is_none() && without.get("tolerations").is_none());
    }

    #[test]
    fn what_the_api_server_would_refuse_of_a_server_is_told_with_its_place() {
        let managed = |more: Value| -> Managed {
            let mut managed = json!({ "image": "pg:15", "storage": "10G" });
            managed.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            serde_json::from_value(managed).unwrap()
        };
        assert_eq!(problems(&managed(json!({ "resources": { "memoryLimit": "4Gi" } }))), Vec::<String>::new());
        for (wrong, told) in [
            (json!({ "resources": { "memoryLimit": "64MB" } }), "spec.managed.resources.memoryLimit: \"64MB\""),
            (json!({ "resources": { "cpuRequest": "2", "cpuLimit": "1" } }), "cpuRequest is above cpuLimit"),
            (json!({ "image": "pg: 15" }), "spec.managed.image"),
            (json!({ "storage": "10GB" }), "spec.managed.storage"),
            (json!({ "scheduling": { "nodeSelector": { "a b": "c" } } }), "spec.managed.scheduling.nodeSelector[a b]"),
        ] {
            let said = problems(&managed(wrong.clone())).join("; ");
            assert!(said.contains(told), "{wrong}: {said}");
        }
        // A limit below the default request is no contradiction in the spec, because the request follows the limit.
        let mut small = server("50G");
        let limit = json!({ "memoryLimit": "128Mi" });
        small.spec.managed.as_mut().unwrap().resources = Some(serde_json::from_value(limit).unwrap());
        let all = children(&small, &settings(None), &Seen::default());
        let set = all.iter().find(|c| c.kind == Kind::StatefulSet).unwrap();
        let resources = &set.object["spec"]["template"]["spec"]["containers"][0]["resources"];
        assert_eq!(resources["requests"]["memory"], "128Mi");
    }

    #[test]
    fn a_volume_grows_by_its_claim_where_the_class_lets_it() {
        let claim = |grows| Claim { bytes: 50_000_000_000, class: None, volume: Some("pv-1".into()), grows };
        let claims = |storage, grows| -> Vec<Child> {
            let seen = Seen { claim: Some(claim(grows)), ..Seen::default() };
            let all = children(&server(storage), &settings(None), &seen);
            all.into_iter().filter(|c| c.kind == Kind::PersistentVolumeClaim).collect()
        };
        assert_eq!(claims("50G", true), Vec::new());
        assert_eq!(claims("100G", false), Vec::new());
        let grown = claims("100G", true);
        assert_eq!(grown[0].name, "data-dbs-one-0");
        assert_eq!(grown[0].object["spec"], json!({ "resources": { "requests": { "storage": "100G" } } }));
    }
}
