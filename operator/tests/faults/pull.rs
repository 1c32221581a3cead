//! Credentials of registries reach every place where pods run, whatever call fails, and leave it again. Does I/O.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::json;
use tenantry_api::condition::find;
use tenantry_api::site::Site;
use tenantry_core::names::SITE_NAME;
use tenantry_plan::pull::{PULL_KEY, PULL_SECRET, PULL_TYPE};

use crate::gate::Mode;
use crate::life::{Life, Step};
use crate::scenarios::{ready, run};
use crate::world::{Operator, World, apply};

async fn name_in_site(base: &Client, names: &[&str]) {
    let api: Api<Site> = Api::all(base.clone());
    let patch = Patch::Merge(json!({"spec": {"imagePullSecrets": names}}));
    api.patch(SITE_NAME, &PatchParams::default(), &patch).await.unwrap();
}

async fn credentials(base: &Client, operator: &Operator, name: &str, type_: &str, password: &str) {
    let content = json!({"auths": {"registry.test": {"auth": password}}}).to_string();
    apply(
        base,
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": operator.ctx.system_namespace},
            "type": type_, "stringData": {PULL_KEY: content}}),
    )
    .await;
}

/// Reconciles Site and tenant until both are at rest.
async fn settle(base: &Client, life: &mut Life, fault: Option<(usize, Mode)>) -> Site {
    let api: Api<Site> = Api::all(base.clone());
    life.operator = Operator::new(base);
    life.operator.gate.arm(fault);
    for _ in 0..6 {
        let site = Arc::new(api.get(SITE_NAME).await.unwrap());
        let _ = tenantry_operator::site::reconcile(site, &life.operator.ctx, Timestamp::now()).await;
        let _trouble = life.round().await.unwrap();
        if life.operator.gate.dead() {
            life.operator = Operator::new(base);
        }
    }
    api.get(SITE_NAME).await.unwrap()
}

/// What a namespace has of registries' credentials.
async fn copied(base: &Client, namespace: &str) -> Option<String> {
    let api: Api<Secret> = Api::namespaced(base.clone(), namespace);
    let secret = api.get_opt(PULL_SECRET).await.unwrap()?;
    assert_eq!(secret.type_.as_deref(), Some(PULL_TYPE));
    Some(String::from_utf8(secret.data.unwrap()[PULL_KEY].0.clone()).unwrap())
}

/// Whether the processes of a CRM fetch their images with the copy.
async fn fetches(life: &Life) -> bool {
    let api: Api<Deployment> = Api::namespaced(life.base.clone(), &life.namespace());
    let all = api.list(&ListParams::default()).await.unwrap().items;
    assert!(!all.is_empty());
    let with = |d: &Deployment| {
        let spec = d.spec.as_ref().and_then(|s| s.template.spec.as_ref());
        spec.and_then(|s| s.image_pull_secrets.as_ref())
            .is_some_and(|all| all.iter().any(|one| one.name == PULL_SECRET))
    };
    all.iter().all(with)
}

fn said(site: &Site) -> Option<(String, String)> {
    let conditions = &site.status.as_ref()?.conditions;
    find(conditions, "ImagePullSecretsReady").map(|c| (c.status.clone(), c.message.clone()))
}

#[test]
fn credentials_of_registries_are_copied_follow_their_source_and_go_when_the_site_names_none() {
    run(true, |base| async move {
        let mut life = ready(&base, "pull").await;
        let name = World::get().name("registry");
        let tried = AssertUnwindSafe(story(&base, &mut life, &name)).catch_unwind().await;
        // The other tests have the Site as it was.
        name_in_site(&base, &[]).await;
        if let Err(panic) = tried {
            std::panic::resume_unwind(panic);
        }
    });
}

async fn story(base: &Client, life: &mut Life, name: &str) {
    let system = life.operator.ctx.system_namespace.clone();
    let (own, other) = (life.namespace(), format!("{name}-other"));
    // Of another type: it holds whatever else, and is copied to nobody.
    credentials(base, &life.operator, &other, "Opaque", "not-for-registries").await;
    name_in_site(base, &[name, &other]).await;
    let site = settle(base, life, None).await;
    let (status, message) = said(&site).unwrap();
    assert_eq!(status, "False");
    assert!(message.contains(&format!("{name:?} does not exist")) && message.contains("Opaque"), "{message}");
    assert_eq!((copied(base, &own).await, copied(base, &system).await), (None, None));

    credentials(base, &life.operator, name, PULL_TYPE, "first").await;
    name_in_site(base, &[name]).await;
    let site = settle(base, life, None).await;
    assert_eq!(said(&site).unwrap().0, "True");
    for namespace in [&own, &system] {
        assert!(copied(base, namespace).await.unwrap().contains("first"), "{namespace}");
    }
    assert!(fetches(life).await);
    life.operator.gate.count_anew();
    let _trouble = life.round().await.unwrap();
    assert_eq!(life.operator.gate.writes(), Vec::<String>::new(), "a second look writes nothing");

    // A new password arrives, whatever fails on the way.
    for (n, mode) in [Mode::Error, Mode::Timeout, Mode::CrashBefore, Mode::CrashAfter].into_iter().enumerate() {
        for call in 1..8 {
            let password = format!("password-{n}-{call}");
            credentials(base, &life.operator, name, PULL_TYPE, &password).await;
            settle(base, life, Some((call, mode))).await;
            for namespace in [&own, &system] {
                let now = copied(base, namespace).await.unwrap();
                assert!(now.contains(&password), "{namespace}, {mode:?} at call {call}");
            }
        }
    }
    // And when somebody deletes or changes the copy, at the next look.
    let copies: Api<Secret> = Api::namespaced(base.clone(), &own);
    copies.delete(PULL_SECRET, &kube::api::DeleteParams::default()).await.unwrap();
    let _trouble = life.round().await.unwrap();
    assert!(copied(base, &own).await.is_some_and(|text| text.contains("password-3-7")));
    // What was copied stays while its source is gone: pods may start anew at any time.
    let secrets: Api<Secret> = Api::namespaced(base.clone(), &system);
    secrets.delete(name, &kube::api::DeleteParams::default()).await.unwrap();
    let site = settle(base, life, None).await;
    assert_eq!(said(&site).unwrap().0, "False");
    assert!(copied(base, &own).await.unwrap().contains("password-3-7"));

    // They go when no workload names them any more, and not before: its pods may be started on another node.
    name_in_site(base, &[]).await;
    life.operator = Operator::new(base);
    let tenant = Arc::new(life.tenant().await.unwrap().unwrap());
    let again = tenantry_operator::tenant::reconcile(tenant, &life.operator.ctx, Timestamp::now()).await.unwrap();
    assert!(again.is_some() && copied(base, &own).await.is_some() && fetches(life).await);
    // A lost status of the Site keeps no copy.
    let sites: Api<Site> = Api::all(base.clone());
    let lost = Patch::Merge(json!({"status": null}));
    sites.patch_status(SITE_NAME, &PatchParams::default(), &lost).await.unwrap();
    let site = settle(base, life, Some((3, Mode::CrashBefore))).await;
    assert_eq!(said(&site), None);
    assert_eq!((copied(base, &own).await, copied(base, &system).await), (None, None));
    assert!(!fetches(life).await);
    secrets.delete(&other, &kube::api::DeleteParams::default()).await.unwrap();
    // A tenant that comes while there are credentials has them from its beginning.
    credentials(base, &life.operator, name, PULL_TYPE, "late").await;
    name_in_site(base, &[name]).await;
    let mut late = Life::new(base, "pull-late");
    late.drive(Step::Create, None).await.unwrap_or_else(|e| panic!("{e}"));
    assert!(copied(base, &late.namespace()).await.unwrap().contains("late") && fetches(&late).await);
    secrets.delete(name, &kube::api::DeleteParams::default()).await.unwrap();
}
