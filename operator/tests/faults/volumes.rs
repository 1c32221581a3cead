//! Volumes: kept from the moment they are bound, grown where they can be, and never a reason to stop. Does I/O.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tenantry_api::condition::find;
use tenantry_api::database_server::{DatabaseServer, DatabaseServerStatus};
use tenantry_api::site::Site;
use tenantry_core::names;
use tenantry_operator::cluster::dynamic_api;
use tenantry_plan::Kind;

use crate::life::{Life, Step};
use crate::scenarios::{children_of, condition, ready, run};
use crate::unfinished::rounds;
use crate::world::{Operator, SYSTEM, World, apply, blueprint, fixture};

/// A volume set aside for a claim, so that the claim is bound without a provisioner.
pub async fn volume_for(base: &Client, class: &str, namespace: &str, claim: &str) {
    let volume = json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": claim}, "spec": {
        "capacity": {"storage": "10G"}, "accessModes": ["ReadWriteOnce"], "storageClassName": class,
        "persistentVolumeReclaimPolicy": "Delete", "hostPath": {"path": "/var/empty"},
        "claimRef": {"namespace": namespace, "name": claim}}});
    apply(base, volume).await;
}

pub async fn bound(base: &Client, namespace: &str, claim: &str) {
    let (start, api) = (Instant::now(), Api::<PersistentVolumeClaim>::namespaced(base.clone(), namespace));
    loop {
        let found = api.get_opt(claim).await.unwrap();
        if found.and_then(|c| c.status).and_then(|s| s.phase).as_deref() == Some("Bound") {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(90), "{namespace}/{claim} is not bound");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A CRM that is ready and whose volume is kept when its claim is deleted. Returns the name of the claim, which is the
/// name of the volume too.
pub async fn with_volume(base: &Client, what: &str) -> (Life, String) {
    let mut life = ready(base, what).await;
    let (namespace, claim) = (life.namespace(), format!("{}-files-g1", life.ids().unwrap().1));
    volume_for(base, "standard", &namespace, &claim).await;
    bound(base, &namespace, &claim).await;
    life.drive(Step::Resume, None).await.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(policy(base, &claim).await.as_deref(), Some("Retain"));
    (life, claim)
}

/// Size and class that a claim asks for.
async fn asked(base: &Client, namespace: &str, claim: &str) -> (Value, Value) {
    let found = dynamic_api(base, Kind::PersistentVolumeClaim, Some(namespace)).get(claim).await.unwrap();
    let at = |pointer: &str| found.data.pointer(pointer).cloned().unwrap_or_default();
    (at("/spec/resources/requests/storage"), at("/spec/storageClassName"))
}

pub async fn policy(base: &Client, volume: &str) -> Option<String> {
    let api: Api<PersistentVolume> = Api::all(base.clone());
    api.get(volume).await.unwrap().spec.and_then(|s| s.persistent_volume_reclaim_policy)
}

async fn site_names(base: &Client, class: &str) {
    let api: Api<Site> = Api::all(base.clone());
    let patch = json!({"spec": {"storageClass": class}});
    api.patch("site", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
}

#[test]
fn the_volumes_of_an_instance_are_kept_once_bound_grow_with_its_plan_and_keep_their_class() {
    run(true, |base| async move {
        let (mut life, claim) = with_volume(&base, "volumes").await;
        let (namespace, standard) = (life.namespace(), |size: &str| (json!(size), json!("standard")));
        assert_eq!(asked(&base, &namespace, &claim).await, standard("500M"));
        life.check(Step::Create, None).await.unwrap_or_else(|e| panic!("{e}"));

        site_names(&base, "standard-immediate").await;
        for step in [Step::Suspend, Step::Resume, Step::ChangePlan] {
            life.operator = Operator::new(&base);
            life.drive(step, None).await.unwrap_or_else(|e| panic!("{step:?}: {e}"));
            life.check(step, None).await.unwrap_or_else(|e| panic!("{step:?}: {e}"));
        }
        site_names(&base, "standard").await;
        assert_eq!(asked(&base, &namespace, &claim).await, standard("1G"));
    });
}

/// A managed server that is looked at; it never answers, since nothing runs its pod.
pub struct Managed {
    pub base: Client,
    pub name: String,
    pub operator: Operator,
}

impl Managed {
    fn claim(&self) -> String {
        format!("data-dbs-{}-0", self.name)
    }

    pub fn servers(&self) -> Api<DatabaseServer> {
        Api::all(self.base.clone())
    }

    pub async fn look(&self) -> DatabaseServerStatus {
        let object = Arc::new(self.servers().get(&self.name).await.unwrap());
        tenantry_operator::server::reconcile(object, &self.operator.ctx, Timestamp::now()).await.unwrap();
        let status = self.servers().get(&self.name).await.unwrap().status.unwrap();
        let ready = find(&status.conditions, "Ready").unwrap();
        assert_ne!(ready.reason, "InternalError", "{}", ready.message);
        assert!(find(&status.conditions, "Reachable").is_some(), "it was not asked: {status:?}");
        status
    }

    pub async fn of(base: &Client, class: &str, named: bool) -> Self {
        let name = World::get().name("managed");
        let server = Self { base: base.clone(), name, operator: Operator::new(base) };
        volume_for(base, class, SYSTEM, &server.claim()).await;
        let mut managed = json!({"image": "tenantry.local/postgresql:15", "storage": "1G"});
        if named {
            managed["storageClass"] = class.into();
        }
        apply(base, json!({"apiVersion": "tenantry.dev/v1alpha1", "kind": "DatabaseServer",
            "metadata": {"name": server.name}, "spec": {"engine": "postgresql", "accepting": false, "managed": managed}}))
        .await;
        server.look().await;
        bound(base, SYSTEM, &server.claim()).await;
        server
    }

    async fn enlarge(&self) {
        let patch = json!({"spec": {"managed": {"storage": "2G"}}});
        self.servers().patch(&self.name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    }

    /// Removes it, with the claim and the volume that stay otherwise.
    pub async fn end(self) {
        // It never answered, and nobody knows what is on its volume.
        let confirmed = json!({"metadata": {"annotations": {names::ANNOTATION_CONFIRM_DELETION: self.name}}});
        self.servers().patch(&self.name, &PatchParams::default(), &Patch::Merge(&confirmed)).await.unwrap();
        self.servers().delete(&self.name, &DeleteParams::default()).await.unwrap();
        let object = Arc::new(self.servers().get(&self.name).await.unwrap());
        tenantry_operator::server::reconcile(object, &self.operator.ctx, Timestamp::now()).await.unwrap();
        assert!(self.servers().get_opt(&self.name).await.unwrap().is_none());
        let claims = dynamic_api(&self.base, Kind::PersistentVolumeClaim, Some(SYSTEM));
        claims.delete(&self.claim(), &DeleteParams::default()).await.unwrap();
        let volumes: Api<PersistentVolume> = Api::all(self.base.clone());
        volumes.delete(&self.claim(), &DeleteParams::default()).await.unwrap();
    }
}

fn volume_condition(status: &DatabaseServerStatus) -> (String, String) {
    let found = find(&status.conditions, "VolumeReady").unwrap_or_else(|| panic!("{status:?}"));
    (found.status.clone(), found.reason.clone())
}

#[test]
fn a_larger_volume_and_another_class_of_the_site_do_not_stop_a_managed_server() {
    run(true, |base| async move {
        let server = Managed::of(&base, "standard", false).await;
        let status = server.look().await;
        assert_eq!(volume_condition(&status), ("True".into(), "AsWanted".into()));
        assert_eq!(policy(&base, &server.claim()).await.as_deref(), Some("Retain"));
        server.enlarge().await;
        server.look().await;
        assert_eq!(asked(&base, SYSTEM, &server.claim()).await.0, "2G");
        site_names(&base, "standard-immediate").await;
        server.look().await;
        // The first look after a change may find its own write; the next one writes nothing of Kubernetes.
        server.look().await;
        server.operator.gate.count_anew();
        let status = server.look().await;
        site_names(&base, "standard").await;
        assert_eq!(volume_condition(&status), ("True".into(), "AsWanted".into()));
        let writes = server.operator.gate.writes();
        // What may change of the StatefulSet still does.
        let patch = json!({"spec": {"managed": {"image": "tenantry.local/postgresql:15.1"}}});
        server.servers().patch(&server.name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
        server.look().await;
        let sets = dynamic_api(&base, Kind::StatefulSet, Some(SYSTEM));
        let set = sets.get(&format!("dbs-{}", server.name)).await.unwrap();
        let image = set.data.pointer("/spec/template/spec/containers/0/image").cloned();
        assert_eq!(image, Some(json!("tenantry.local/postgresql:15.1")));
        assert!(!writes.iter().any(|w| w.starts_with("kube") && !w.contains("databaseservers")), "{writes:?}");
        server.end().await;
    });
}

#[test]
fn a_volume_that_its_class_does_not_let_grow_is_said_and_the_server_goes_on() {
    run(true, |base| async move {
        let class = World::get().name("stiff");
        apply(
            &base,
            json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": class},
            "provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "Immediate"}),
        )
        .await;
        let server = Managed::of(&base, &class, true).await;
        server.enlarge().await;
        let status = server.look().await;
        assert_eq!(volume_condition(&status), ("False".into(), "CannotGrow".into()));
        assert_eq!(asked(&base, SYSTEM, &server.claim()).await.0, "1G");
        server.end().await;
    });
}

/// An archive that says that it has data on a server.
async fn archive_on(base: &Client, server: &str) {
    let mut random = [0; 10];
    tenantry_operator::context::system_random(&mut random).unwrap();
    let id = tenantry_core::id::Id::mint(random);
    apply(
        base,
        json!({"apiVersion": "tenantry.dev/v1alpha1", "kind": "Archive", "metadata": {"name": format!("{id}-1")},
        "spec": {"kind": "CrmInstance", "id": id.as_str(), "name": "crm", "life": 1, "tenantId": id.as_str(),
            "tenantName": "acme", "namespace": format!("tenant-{id}"), "object": "{}", "ledger": "{}",
            "databases": [{"server": server, "name": format!("crm_{id}_g1")}],
            "archivedAt": "2026-01-01T00:00:00Z", "retainUntil": "2026-02-01T00:00:00Z"}}),
    )
    .await;
}

#[test]
fn a_managed_server_whose_claim_is_gone_is_stopped_and_does_not_come_up_empty() {
    run(true, |base| async move {
        let server = Managed::of(&base, "standard", false).await;
        archive_on(&base, &server.name).await;
        let sets = dynamic_api(&base, Kind::StatefulSet, Some(SYSTEM));
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(base.clone(), SYSTEM);
        let set = format!("dbs-{}", server.name);
        let replicas = async || sets.get(&set).await.unwrap().data.pointer("/spec/replicas").cloned();
        // Its pod went, and then its claim: what holds a claim is a pod.
        let none = Patch::Merge(json!({"spec": {"replicas": 0}}));
        sets.patch(&set, &PatchParams::default(), &none).await.unwrap();
        let pods: Api<k8s_openapi::api::core::v1::Pod> = Api::namespaced(base.clone(), SYSTEM);
        gone(&pods, &format!("{set}-0")).await;
        claims.delete(&server.claim(), &DeleteParams::default()).await.unwrap();
        gone(&claims, &server.claim()).await;

        let server = Managed { operator: Operator::new(&base), ..server };
        let status = server.look().await;
        assert_eq!(volume_condition(&status), ("False".into(), "VolumeLost".into()));
        let said = find(&status.conditions, "Ready").unwrap();
        let command = format!("kubectl patch pv {} --type=merge", server.claim());
        assert!(said.reason == "VolumeLost" && said.message.contains(&command), "{said:?}");
        assert_eq!(replicas().await, Some(json!(0)));
        assert!(claims.get_opt(&server.claim()).await.unwrap().is_none(), "an empty one was made");

        let volumes: Api<PersistentVolume> = Api::all(base.clone());
        let free = json!({"spec": {"claimRef": {"uid": null, "resourceVersion": null}}});
        volumes.patch(&server.claim(), &PatchParams::default(), &Patch::Merge(&free)).await.unwrap();
        server.look().await;
        assert_eq!(replicas().await, Some(json!(1)));
        bound(&base, SYSTEM, &server.claim()).await;
        let claim = claims.get(&server.claim()).await.unwrap();
        assert_eq!(claim.spec.and_then(|s| s.volume_name), Some(server.claim()));
    });
}

async fn gone<K>(api: &Api<K>, name: &str)
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let start = Instant::now();
    while api.get_opt(name).await.unwrap().is_some() {
        assert!(start.elapsed() < Duration::from_secs(90), "{name} stays");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[test]
fn archives_that_use_up_a_tenants_room_are_named_before_anything_is_made() {
    run(false, |base| async move {
        let mut life = Life::new(&base, "room");
        life.blueprint = World::get().name("room");
        let mut spec = fixture("nothing=secret\n");
        for part in ["database", "personalise"] {
            spec.as_object_mut().unwrap().remove(part);
        }
        spec["volumes"][0]["percentOfStorage"] = 100.into();
        blueprint(&base, &life.blueprint, spec).await;
        life.tenants().create(&PostParams::default(), &life.tenant_object(&json!({"storage": "10G"}))).await.unwrap();
        rounds(&mut life).await;
        let mut archived = Vec::new();
        for _ in 0..4 {
            life.instances().create(&PostParams::default(), &life.instance_object(&json!({}))).await.unwrap();
            rounds(&mut life).await;
            life.instances().delete("crm", &DeleteParams::default()).await.unwrap();
            life.controllers_rest().await.unwrap();
            rounds(&mut life).await;
            assert!(life.instance().await.unwrap().is_none(), "{}", life.describe().await);
            archived.push(format!("{}-1", life.instance_id.take().unwrap()));
        }
        life.instances().create(&PostParams::default(), &life.instance_object(&json!({}))).await.unwrap();
        rounds(&mut life).await;
        let (status, reason, message) = condition(&life, "crm", "SpecValid").await;
        assert_eq!((status.as_str(), reason.as_str()), ("False", "NoRoom"), "{message}");
        assert!(archived.iter().all(|a| message.contains(a)), "{archived:?}: {message}");
        assert!(message.contains("0 B of 40 GB") && !message.contains("exceeded quota"), "{message}");
        let (id, left) = (life.instance_id.clone().unwrap(), children_of(&life, "crm").await);
        assert!(!left.iter().any(|child| child.contains(&id)), "something was made: {left:?}");

        life.ask_purge(&archived[0]).await.unwrap();
        let start = Instant::now();
        // The controller of quotas counts anew when it hears of it.
        while condition(&life, "crm", "SpecValid").await.0 != "True" {
            assert!(start.elapsed() < Duration::from_secs(90), "{}", life.describe().await);
            life.controllers_rest().await.unwrap();
            rounds(&mut life).await;
        }
    });
}
