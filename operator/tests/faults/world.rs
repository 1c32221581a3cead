//! What every test needs: the cluster of KUBECONFIG, two private PostgreSQL servers, a product, plans. Does I/O.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tenantry_api::database_server::{DatabaseServer, DatabaseServerPhase};
use tenantry_core::calls::{Gate, Open};
use tenantry_core::secret::Secret;
use tenantry_database::{Endpoint, Engine, Login, Tls};
use tenantry_operator::context::Ctx;

use crate::gate::{FaultGate, gated};

pub const PG_BIN: &str = "/usr/lib/postgresql/15/bin";
const PASSWORD: &str = "adminPassword7x";
pub const SYSTEM: &str = tenantry_core::names::SYSTEM_NAMESPACE;
/// Names of the two database servers; placement takes the first.
pub const SERVERS: [&str; 2] = ["pg-a", "pg-b"];

/// What lives as long as the test process.
pub struct World {
    _alive: ChildStdin,
    pub ports: [u16; 2],
    dir: String,
    /// Part of all names, so that a cluster can be used again.
    run: String,
    next: AtomicU32,
}

impl World {
    pub fn get() -> &'static Self {
        static WORLD: OnceLock<Option<World>> = OnceLock::new();
        let world = WORLD.get_or_init(|| {
            let _ = rustls::crypto::ring::default_provider().install_default();
            assert!(
                std::env::var_os("KUBECONFIG").is_some_and(|p| Path::new(&p).exists()),
                "KUBECONFIG does not name a file. These tests need a real API server; tests/faults starts one and runs them"
            );
            let world = start_servers();
            if std::thread::scope(|s| s.spawn(|| prepare(&world)).join()).is_err() {
                // Said by the thread; tried once for all tests.
                return None;
            }
            std::thread::spawn(|| runtime().block_on(play_kubelet()));
            Some(world)
        });
        world.as_ref().expect("the cluster could not be prepared; the first failure above says why")
    }

    /// A name that no test had before.
    pub fn name(&self, what: &str) -> String {
        format!("{what}-{}-{}", self.run, self.next.fetch_add(1, Ordering::Relaxed))
    }

    pub fn endpoint(&self, server: &str) -> Endpoint {
        let n = usize::from(server == SERVERS[1]);
        let (engine, host) = (Engine::Postgresql, "127.0.0.1".into());
        Endpoint { name: None, engine, host, port: self.ports[n], tls: Tls::Disable }
    }

    /// Asks a server as its administrator.
    pub async fn root(&self, server: &str, sql: &str) -> Result<String, String> {
        self.root_in(server, tenantry_database::REGISTRY, sql).await
    }

    /// The same in another of its databases.
    pub async fn root_in(&self, server: &str, database: &str, sql: &str) -> Result<String, String> {
        let gate: Arc<dyn Gate> = Arc::new(Open);
        let login = Login { user: "postgres".into(), password: Secret::new(PASSWORD) };
        let answer = tenantry_database::query_text(&self.endpoint(server), &login, database, sql, &gate).await;
        answer.map(Option::unwrap_or_default).map_err(|e| e.to_string())
    }

    /// Stops a server in its tracks, or lets it go on.
    pub fn signal(&self, server: &str, signal: &str) {
        let n = usize::from(server == SERVERS[1]);
        let main = std::fs::read_to_string(format!("{}/{n}.pid", self.dir)).unwrap();
        let children = Command::new("pgrep").args(["-P", main.trim()]).output().unwrap().stdout;
        let children = String::from_utf8(children).unwrap();
        for pid in std::iter::once(main.trim()).chain(children.lines()) {
            // A child may have ended meanwhile.
            let _ = Command::new("kill").args([signal, pid]).status().unwrap();
        }
    }
}

// It ends by itself when the pipe to it closes, which is when this process ends.
#[allow(clippy::zombie_processes)]
fn start_servers() -> World {
    for needed in [&format!("{PG_BIN}/initdb"), "/usr/bin/setpriv"] {
        assert!(Path::new(needed).exists(), "{needed} is missing: install postgresql-15");
    }
    let held: Vec<_> = (0..2).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let ports = [0, 1].map(|i: usize| held[i].local_addr().unwrap().port());
    drop(held);
    let dir = format!("/tmp/tenantry-faults-pg-{}", std::process::id());
    let mut child = Command::new("bash")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/postgres.sh"))
        .args([&dir, &ports[0].to_string(), &ports[1].to_string(), PG_BIN, PASSWORD])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // A group of its own: an interrupt at the terminal must reach the tests, not the clean-up.
        .process_group(0)
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line.trim(), "ready", "the database servers did not start");
    let run = format!("{:x}", Timestamp::now().as_second() & 0xf_ffff);
    World { _alive: child.stdin.take().unwrap(), ports, dir, run, next: AtomicU32::new(1) }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// A client that nothing disturbs, for the runtime it is made in.
pub async fn client() -> Client {
    let config = kube::Config::infer().await.expect("KUBECONFIG cannot be read");
    Client::try_from(config).expect("no client")
}

/// One process of the operator: its context and the gate of all its calls.
#[derive(Clone)]
pub struct Operator {
    pub ctx: Ctx,
    pub gate: Arc<FaultGate>,
}

impl Operator {
    /// A new process: nothing is remembered.
    pub fn new(base: &Client) -> Self {
        let gate = Arc::new(FaultGate::default());
        let ctx = Ctx::new(gated(base, &gate), gate.clone());
        // Nothing answers at a Service here, so that nobody waits for it.
        let ctx = Ctx { patience: std::time::Duration::ZERO, ..ctx };
        Self { ctx, gate }
    }
}

fn prepare(world: &World) {
    runtime().block_on(async {
        let client = client().await;
        for crd in tenantry_api::definitions() {
            apply(&client, serde_json::to_value(&crd).unwrap()).await;
        }
        let objects = base_objects(world);
        for attempt in 0.. {
            let api: Api<tenantry_api::archive::Archive> = Api::all(client.clone());
            if api.list(&ListParams::default()).await.is_ok() {
                break;
            }
            assert!(attempt < 300, "the definitions are not served");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        for object in objects {
            apply(&client, object).await;
        }
        let operator = Operator::new(&client);
        let servers: Api<DatabaseServer> = Api::all(client.clone());
        for name in SERVERS {
            for _ in 0..3 {
                let server = servers.get(name).await.unwrap();
                tenantry_operator::server::reconcile(Arc::new(server), &operator.ctx, Timestamp::now()).await.unwrap();
            }
            let status = servers.get(name).await.unwrap().status.unwrap();
            assert_eq!(status.phase, DatabaseServerPhase::Ready, "{status:?}");
        }
    });
}

/// Applies any object as a person would.
pub async fn apply(client: &Client, object: Value) -> DynamicObject {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (version, kind, name) = (text("/apiVersion"), text("/kind"), text("/metadata/name"));
    let (group, version) = version.split_once('/').unwrap_or(("", &version));
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &kind));
    let namespace = text("/metadata/namespace");
    let api: Api<DynamicObject> = if namespace.is_empty() {
        Api::all_with(client.clone(), &kind)
    } else {
        Api::namespaced_with(client.clone(), &namespace, &kind)
    };
    let params = PatchParams::apply("a-person").force();
    api.patch(&name, &params, &Patch::Apply(&object))
        .await
        .unwrap_or_else(|e| panic!("apply {} {name}: {e}", kind.kind))
}

/// Writes a Blueprint as its author would.
pub async fn blueprint(base: &Client, name: &str, spec: Value) {
    let object = json!({"apiVersion": "tenantry.dev/v1alpha1", "kind": "Blueprint",
        "metadata": {"name": name}, "spec": spec});
    apply(base, object).await;
}

fn base_objects(world: &World) -> Vec<Value> {
    let ours = |kind: &str, name: &str, spec: Value| json!({"apiVersion": "tenantry.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec});
    let mut all = vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}}),
        ours("Site", "site", json!({"id": "faults", "storageClass": "standard", "ingress": {"className": "tenantry"}})),
        ours("Plan", "small", json!({"seats": 5, "storage": "1G"})),
        ours("Plan", "large", json!({"seats": 10, "storage": "2G"})),
        ours(
            "Blueprint",
            "fixture",
            fixture("seats={{ plan.seats }}\npassword={{ database.password }}\nkey={{ secrets.key }}\n"),
        ),
    ];
    for (i, name) in SERVERS.iter().enumerate() {
        all.push(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": SYSTEM},
            "stringData": {"username": "postgres", "password": PASSWORD}}));
        all.push(ours(
            "DatabaseServer",
            name,
            json!({"engine": "postgresql", "clientImage": "tenantry.local/postgresql:15", "external":
            {"host": "127.0.0.1", "port": world.ports[i], "secretName": name, "cidrs": ["127.0.0.1/32"]}}),
        ));
    }
    all
}

/// The product of these tests: a database, one process that is never started, one file, one key, one volume.
pub fn fixture(file: &str) -> Value {
    let sql = "CREATE TABLE IF NOT EXISTS facts (id int PRIMARY KEY, note text NOT NULL);\n\
               INSERT INTO facts VALUES (1, '{{ instance.id }}') ON CONFLICT (id) DO UPDATE SET note = EXCLUDED.note";
    json!({
        "title": "A product of the tests",
        "database": {"engines": [{"engine": "postgresql", "minVersion": 13}]},
        "secrets": [{"name": "key"}],
        "volumes": [{"name": "files", "mountPath": "/data", "percentOfStorage": 50}],
        "files": [{"path": "/etc/product.conf", "content": file}],
        "releases": [{"version": "1.0", "image": "tenantry.local/product:1.0"}],
        "personalise": {"steps": [{"name": "facts", "sql": sql}]},
        "processes": [{"name": "web", "port": 8080, "serves": true, "replicas": {"default": 0, "max": 1}}],
    })
}

/// Without a node no pod becomes ready, so this says of every pod of a tenant what a kubelet would say.
async fn play_kubelet() {
    let client = client().await;
    let pods: Api<Pod> = Api::all(client.clone());
    let config = kube::runtime::watcher::Config::default().labels(&format!(
        "{}={}",
        tenantry_core::names::LABEL_MANAGED_BY,
        tenantry_core::names::MANAGED_BY
    ));
    let mut stream =
        std::pin::pin!(kube::runtime::WatchStreamExt::default_backoff(kube::runtime::watcher(pods, config)));
    while let Some(event) = stream.next().await {
        let Ok(kube::runtime::watcher::Event::Apply(pod) | kube::runtime::watcher::Event::InitApply(pod)) = event
        else {
            continue;
        };
        let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
        // What has ended was told so by a test that plays a job.
        let told = matches!(phase, Some("Running" | "Succeeded" | "Failed"));
        if told || pod.metadata.deletion_timestamp.is_some() {
            continue;
        }
        let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let status = json!({"status": {"phase": "Running", "conditions":
            [{"type": "Ready", "status": "True", "lastTransitionTime": now}]}});
        let api: Api<Pod> = Api::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
        // A pod that went meanwhile is no matter.
        let _ = api.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(&status)).await;
    }
}
