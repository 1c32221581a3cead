//! Planning of a managed DatabaseServer: Service and StatefulSet. No I/O.

use serde_json::{Value, json};
use tenantry_api::database_server::{DatabaseServer, Engine, Managed};
use tenantry_core::names::{LABEL_DATABASE_SERVER, LABEL_PURPOSE};

use crate::child::{Child, Kind};
use crate::labels::Labels;
use crate::{Settings, pod};

/// Name of the Service, StatefulSet and Secret of a managed server.
#[must_use]
pub fn object_name(server: &str) -> String {
    format!("dbs-{server}")
}

/// Name of the Secret with the administrator's password.
#[must_use]
pub fn secret_name(server: &DatabaseServer) -> String {
    match &server.spec.external {
        Some(external) => external.secret_name.clone(),
        None => format!("{}-admin", object_name(server.metadata.name.as_deref().unwrap_or_default())),
    }
}

/// Name of the administrator on a managed server.
#[must_use]
pub fn admin_user(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgresql => "postgres",
        Engine::Mariadb => "root",
    }
}

/// Host and port as the tenants' pods see them.
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

/// Labels of everything of a managed server.
#[must_use]
pub fn labels(name: &str) -> Labels {
    Labels::managed().and(LABEL_DATABASE_SERVER, name).and(LABEL_PURPOSE, "database-server")
}

/// The Secret with the administrator's password. Made once and never overwritten.
#[must_use]
pub fn build_secret(server: &DatabaseServer, settings: &Settings, password: &tenantry_core::secret::Secret) -> Child {
    let name = server.metadata.name.as_deref().unwrap_or_default();
    let rest = json!({ "type": "Opaque", "stringData": {
        "username": admin_user(server.spec.engine), "password": password.reveal() } });
    Child::new(Kind::Secret, Some(&settings.system_namespace), &secret_name(server), &labels(name), rest)
}

/// Service and StatefulSet of a managed server; nothing for an external one.
#[must_use]
pub fn children(server: &DatabaseServer, settings: &Settings) -> Vec<Child> {
    match &server.spec.managed {
        Some(managed) => vec![build_service(server, settings), build_stateful_set(server, managed, settings)],
        None => Vec::new(),
    }
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

fn build_stateful_set(server: &DatabaseServer, managed: &Managed, settings: &Settings) -> Child {
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
    let mut claim = json!({
        "metadata": { "name": "data", "labels": labels.to_map() },
        "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": managed.storage } } },
    });
    if let Some(class) = managed.storage_class.as_ref().or(settings.site.storage_class.as_ref()) {
        claim["spec"]["storageClassName"] = class.clone().into();
    }
    let mut container = json!({
        "name": engine.word(),
        "image": settings.image(&managed.image),
        "imagePullPolicy": "IfNotPresent",
        "env": [{ "name": password_env, "value": "/run/secrets/tenantry/password" }],
        "ports": [{ "name": "sql", "containerPort": engine.port(), "protocol": "TCP" }],
        "securityContext": pod::agent_security(),
        "resources": pod::resources(managed.resources.as_ref(), Some(&tenantry_api::plan::Resources {
            cpu_request: Some("100m".into()),
            memory_request: Some("256Mi".into()),
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
        ],
    });
    if !managed.args.is_empty() {
        container["args"] = json!(managed.args);
    }
    let rest = json!({ "spec": {
        "replicas": 1,
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
            ],
        }},
        "volumeClaimTemplates": [claim],
    }});
    Child::new(Kind::StatefulSet, Some(&settings.system_namespace), &object_name(name), &labels, rest)
}
