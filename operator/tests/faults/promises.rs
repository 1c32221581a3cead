//! `tenantry diff` promises what the operator does: for a pinned, a copied and an adopted instance. Does I/O.
//!
//! The program itself is asked before the operator acts. Afterwards, the objects are as it said.

use std::collections::BTreeMap;
use std::path::Path;

use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tenantry_api::crm_instance::{CrmInstance, InstancePhase};
use tenantry_core::{names, quantity};
use tenantry_operator::cluster::dynamic_api;
use tenantry_plan::Kind;

use crate::copies::{Copy, original, product};
use crate::life::{INSTANCE, Life, Step};
use crate::scenarios::{condition, run};
use crate::unfinished::rounds;
use crate::world::{Operator, World, blueprint, fixture};

/// What an instance is made of, except Secrets with random content and what controllers make.
const KINDS: [Kind; 7] = [
    Kind::Deployment,
    Kind::Service,
    Kind::Ingress,
    Kind::PersistentVolumeClaim,
    Kind::NetworkPolicy,
    Kind::CronJob,
    Kind::PodDisruptionBudget,
];

/// Objects by kind and name.
type Objects = BTreeMap<(String, String), Value>;

/// Runs `tenantry diff` on an instance. Returns its document, or what it says instead.
async fn ask(instance: &CrmInstance) -> Result<Vec<Value>, String> {
    let program = Path::new(env!("CARGO_BIN_EXE_tenantry-operator")).with_file_name("tenantry");
    assert!(program.exists(), "{} is missing; tests/faults builds it", program.display());
    let file = std::env::temp_dir().join(format!("{}.json", World::get().name("tenantry-faults-diff")));
    let metadata = json!({"name": instance.name_any(), "namespace": instance.namespace()});
    let object = json!({"apiVersion": "tenantry.dev/v1alpha1", "kind": "CrmInstance",
        "metadata": metadata, "spec": instance.spec});
    std::fs::write(&file, object.to_string()).unwrap();
    let asked = tokio::process::Command::new(program).args(["diff", "-o", "json", "-f"]).arg(&file).output().await;
    std::fs::remove_file(&file).unwrap();
    let asked = asked.unwrap();
    if !asked.status.success() {
        return Err(format!("{}{}", String::from_utf8_lossy(&asked.stdout), String::from_utf8_lossy(&asked.stderr)));
    }
    let document: Value = serde_json::from_slice(&asked.stdout).unwrap();
    Ok(document["changes"].as_array().cloned().unwrap_or_default())
}

/// The objects of an instance, without what changes by itself.
async fn objects(life: &Life, id: &str) -> Objects {
    let params = ListParams::default().labels(&format!("{}={id}", names::LABEL_INSTANCE_ID));
    let mut all = Objects::new();
    for kind in KINDS {
        for object in dynamic_api(&life.base, kind, Some(&life.namespace())).list(&params).await.unwrap().items {
            let name = object.name_any();
            let mut object = serde_json::to_value(object).unwrap();
            object.as_object_mut().unwrap().remove("status");
            // A list says once what its items are.
            object["apiVersion"] = kind.api().api_version.into();
            object["kind"] = kind.api().kind.into();
            for field in ["managedFields", "resourceVersion", "generation"] {
                object["metadata"].as_object_mut().unwrap().remove(field);
            }
            // Kubernetes numbers the revisions of a Deployment, and binds claims.
            if let Some(annotations) = object["metadata"].get_mut("annotations").and_then(Value::as_object_mut) {
                annotations.retain(|name, _| !name.contains("kubernetes.io/"));
            }
            all.insert((format!("{kind:?}"), name), object);
        }
    }
    all
}

/// Whether everything that was promised is in what there is.
fn within(promised: &Value, is: Option<&Value>, path: &str) -> Result<(), String> {
    match (promised, is) {
        (Value::Object(promised), Some(is)) => {
            promised.iter().try_for_each(|(key, value)| within(value, is.get(key), &format!("{path}.{key}")))
        }
        (Value::Array(promised), Some(Value::Array(is))) if promised.len() == is.len() => {
            let mut both = promised.iter().zip(is).enumerate();
            both.try_for_each(|(i, (promised, is))| within(promised, Some(is), &format!("{path}[{i}]")))
        }
        (Value::Null, None) => Ok(()),
        // The API server writes quantities in its own way.
        (Value::String(promised), Some(Value::String(is))) if bytes(promised) == bytes(is) => Ok(()),
        (promised, is) if Some(promised) == is => Ok(()),
        (promised, is) => Err(format!("{path}: {promised} was promised, and it is {is:?}")),
    }
}

/// A quantity of bytes; any other text as it is.
fn bytes(text: &str) -> Result<u64, &str> {
    quantity::bytes(text).map_err(|_| text)
}

/// Compares what was promised with what there was before and what there is now.
fn kept(promise: &[Value], before: &Objects, after: &Objects) {
    let text = |change: &Value, field: &str| change[field].as_str().unwrap_or_default().to_owned();
    let mut named = Vec::new();
    for change in promise {
        let key = (text(change, "kind"), text(change, "name"));
        if !KINDS.iter().any(|kind| format!("{kind:?}") == key.0) {
            continue;
        }
        let (was, is) = (before.get(&key), after.get(&key));
        match change["action"].as_str() {
            Some("create") => {
                assert!(was.is_none(), "{key:?} was there");
                within(&change["after"], is, &format!("{key:?}")).unwrap_or_else(|e| panic!("{e}"));
            }
            Some("remove") => assert!(was.is_some() && is.is_none(), "{key:?} was to be removed: {is:?}"),
            Some("keep") => assert_eq!(was, is, "{key:?} was to be kept"),
            Some("change") => {
                assert!(is.is_some() && was != is, "{key:?} was to be changed");
                for field in change["fields"].as_array().unwrap() {
                    let pointer = format!("/{}", field["path"].as_str().unwrap_or_default().replace('.', "/"));
                    if let Some(value) = is.and_then(|is| is.pointer(&pointer)) {
                        assert_eq!(value, &field["after"], "{key:?} {pointer}");
                    }
                }
            }
            other => panic!("{key:?}: {other:?}"),
        }
        named.push(key);
    }
    assert!(named.iter().any(|(kind, _)| kind == "Deployment"), "nothing was promised: {promise:?}");
    let silent: Vec<_> = after.keys().filter(|key| !named.contains(key)).collect();
    assert!(silent.is_empty(), "nothing was said of {silent:?}");
}

/// Nothing is left to do, as the program says.
async fn settled(instance: &CrmInstance) {
    let changes = ask(instance).await.unwrap_or_else(|e| panic!("{e}"));
    let left: Vec<_> = changes.iter().filter(|c| c["action"] != "keep" && c["kind"] != "CrmInstance").collect();
    assert!(left.is_empty(), "{left:#?}");
}

fn images(objects: &Objects) -> Vec<&str> {
    let deployments = objects.iter().filter(|((kind, _), _)| kind == "Deployment");
    deployments.filter_map(|(_, d)| d.pointer("/spec/template/spec/containers/0/image")?.as_str()).collect()
}

fn spec(mut spec: Value, versions: &[&str], file: &str) -> Value {
    let release = |v: &&str| json!({"version": v, "image": format!("tenantry.local/product:{v}")});
    spec["releases"] = versions.iter().map(release).collect();
    spec["files"][0]["content"] = file.into();
    spec
}

const FILE: &str = "seats={{ plan.seats }}\nhost={{ instance.host }}\n";
const NEWER: &str = "newer={{ plan.seats }}\nhost={{ instance.host }}\n";

/// An instance that runs 1.0 of a product of its own, of which there is another 2.0 by now.
async fn behind(base: &Client, what: &str) -> Life {
    let mut life = Life::new(base, what);
    life.blueprint = World::get().name(what);
    blueprint(base, &life.blueprint, spec(fixture(FILE), &["1.0"], FILE)).await;
    life.drive(Step::Create, None).await.unwrap_or_else(|e| panic!("{e}"));
    life.work().await.unwrap();
    blueprint(base, &life.blueprint, spec(fixture(NEWER), &["1.0", "2.0"], NEWER)).await;
    life
}

async fn ready(life: &Life) -> CrmInstance {
    let instance = life.instance().await.unwrap().unwrap();
    let status = instance.status.clone().unwrap();
    assert_eq!(status.phase, InstancePhase::Ready, "{status:?}");
    instance
}

#[test]
fn a_pinned_instance_is_promised_the_release_that_it_runs() {
    run(false, |base| async move {
        let mut life = behind(&base, "promised").await;
        let id = life.instance_id.clone().unwrap();
        let before = objects(&life, &id).await;
        settled(&ready(&life).await).await;

        let host = format!("other.{}", life.host);
        let mut wanted = ready(&life).await;
        wanted.spec.host.clone_from(&host);
        let promise = ask(&wanted).await.unwrap_or_else(|e| panic!("{e}"));
        let patch = Patch::Merge(json!({"spec": {"host": host}}));
        life.instances().patch(INSTANCE, &PatchParams::default(), &patch).await.unwrap();
        life.operator = Operator::new(&base);
        rounds(&mut life).await;
        let after = objects(&life, &id).await;
        kept(&promise, &before, &after);
        assert_eq!(images(&after), ["tenantry.local/product:1.0"]);
        settled(&ready(&life).await).await;
    });
}

#[test]
fn an_adopted_instance_is_promised_the_release_of_its_archive_and_its_own_data() {
    run(false, |base| async move {
        let mut life = behind(&base, "taken").await;
        let id = life.instance_id.clone().unwrap();
        life.instances().delete(INSTANCE, &DeleteParams::default()).await.unwrap();
        rounds(&mut life).await;
        assert_eq!(life.instance().await.unwrap(), None);
        // Nothing but the archive has the release any more.
        let archive = life.archives().get(&format!("{id}-1")).await.unwrap();
        let kept_release = names::pinned_release(archive.spec.release_hash.as_deref().unwrap());
        let releases = dynamic_api(&base, Kind::ConfigMap, Some(names::SYSTEM_NAMESPACE));
        releases.delete(&kept_release, &DeleteParams::default()).await.unwrap();

        let object = life.instance_object(&json!({"id": id, "adopt": format!("{id}-1")}));
        let before = objects(&life, &id).await;
        let promise = ask(&object).await.unwrap_or_else(|e| panic!("{e}"));
        life.instances().create(&PostParams::default(), &object).await.unwrap();
        life.operator = Operator::new(&base);
        rounds(&mut life).await;
        let adopted = ready(&life).await;
        let after = objects(&life, &id).await;
        kept(&promise, &before, &after);
        assert_eq!(images(&after), ["tenantry.local/product:1.0"]);
        settled(&adopted).await;

        // Who has another id is refused by both.
        let mut other = life.instance_object(&json!({"adopt": format!("{id}-1"), "id": "kkkkkkkkkk"}));
        other.metadata.name = Some("other".into());
        let said = ask(&other).await.unwrap_err();
        assert!(said.contains("not this one"), "{said}");
    });
}

#[test]
fn a_copy_is_promised_the_release_of_its_original_with_the_neutralise_steps_of_today() {
    run(false, |base| async move {
        let life = original(&base, true).await.unwrap_or_else(|e| panic!("{e}"));
        let mut copy = Copy::of(&life, "copy", &json!({})).await.unwrap();
        // Before the operator has seen it at all: keys and id are stand-ins, the release is the original's.
        blueprint(&base, &life.blueprint, spec(product(true), &["1.0", "2.0"], NEWER)).await;
        let new = copy.object().await.unwrap().unwrap();
        let promise = ask(&new).await.unwrap_or_else(|e| panic!("{e}"));
        let image = |change: &Value| change.pointer("/after/spec/template/spec/containers/0/image").cloned();
        let promised: Vec<Value> = promise.iter().filter_map(image).collect();
        assert_eq!(promised, [json!("tenantry.local/product:1.0")]);

        for _ in 0..3 {
            copy.look().await.unwrap_or_else(|e| panic!("{e}"));
        }
        assert_eq!(copy.state().await.unwrap(), "installing");
        // Steps that do not fit the release of the original are refused by both.
        let mut unfit = spec(product(true), &["1.0", "2.0"], NEWER);
        unfit["neutralise"]["steps"][0]["sql"] = json!("DELETE FROM mail WHERE id = {{ no.such.value }}");
        blueprint(&base, &life.blueprint, unfit).await;
        let begun = copy.object().await.unwrap().unwrap();
        let said = ask(&begun).await.unwrap_err();
        assert!(said.contains("does not fit the release"), "{said}");
        copy.look().await.unwrap_or_else(|e| panic!("{e}"));
        let (_, reason, message) = condition(&life, "copy", "Neutralised").await;
        assert_eq!(reason, "BlueprintInvalid", "{message}");

        // The steps that the product has by now.
        let mut newer = spec(product(true), &["1.0", "2.0"], NEWER);
        newer["neutralise"]["steps"][0]["name"] = json!("no mail at all");
        blueprint(&base, &life.blueprint, newer).await;
        let before = objects(&life, &copy.id).await;
        let promise = ask(&begun).await.unwrap_or_else(|e| panic!("{e}"));
        copy.until_ready().await.unwrap_or_else(|e| panic!("{e}"));
        copy.check(&life).await.unwrap_or_else(|e| panic!("{e}"));
        let after = objects(&life, &copy.id).await;
        kept(&promise, &before, &after);
        assert_eq!(images(&after), ["tenantry.local/product:1.0"]);
        settled(&copy.object().await.unwrap().unwrap()).await;
    });
}
