//! Hosts that an Ingress of somebody else serves: told before anything is made, and never held against what was claimed.
//! Does I/O.

use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;
use tenantry_api::crm_instance::InstancePhase;
use tenantry_api::site::Site;
use tenantry_core::names::SITE_NAME;
use tenantry_operator::cluster::dynamic_api;
use tenantry_plan::Kind;

use crate::life::{INSTANCE, Life};
use crate::scenarios::{children_of, condition, ready, run};
use crate::unfinished::rounds;
use crate::world::{Operator, apply};

#[test]
fn a_host_that_a_foreign_ingress_serves_is_told_by_name_and_taken_when_it_is_free() {
    run(false, |base| async move {
        let mut life = Life::new(&base, "elsewhere");
        let backend = json!({"service": {"name": "shop", "port": {"number": 80}}});
        let foreign = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": {"name": life.name, "namespace": "default"},
            "spec": {"ingressClassName": "tenantry", "rules": [{"host": life.host,
                "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}]}});
        apply(&base, foreign.clone()).await;
        life.tenants().create(&PostParams::default(), &life.tenant_object(&json!({}))).await.unwrap();
        rounds(&mut life).await;
        life.instances().create(&PostParams::default(), &life.instance_object(&json!({}))).await.unwrap();
        rounds(&mut life).await;
        let (status, reason, message) = condition(&life, INSTANCE, "HostClaimed").await;
        assert_eq!((status.as_str(), reason.as_str()), ("False", "HostServedElsewhere"), "{message}");
        assert!(message.contains(&format!("default/{}", life.name)), "{message}");
        assert_eq!(children_of(&life, INSTANCE).await, Vec::<String>::new());
        life.check_rest().await.unwrap();

        let ingresses = dynamic_api(&base, Kind::Ingress, Some("default"));
        ingresses.delete(&life.name, &DeleteParams::default()).await.unwrap();
        rounds(&mut life).await;
        let ready = |life: &Life| {
            let instances = life.instances();
            async move { instances.get(INSTANCE).await.unwrap().status.unwrap().phase == InstancePhase::Ready }
        };
        assert!(ready(&life).await, "{}", life.describe().await);

        // What came later takes nothing from an instance that has its host, not even when its status is lost.
        apply(&base, foreign).await;
        let lost = Patch::Merge(json!({"status": null}));
        life.instances().patch_status(INSTANCE, &PatchParams::default(), &lost).await.unwrap();
        life.operator = Operator::new(&base);
        rounds(&mut life).await;
        assert!(ready(&life).await, "{}", life.describe().await);
        ingresses.delete(&life.name, &DeleteParams::default()).await.unwrap();
    });
}

#[test]
fn another_host_or_another_ingress_of_the_site_is_another_way_and_is_looked_for_once() {
    run(true, |base| async move {
        let mut life = ready(&base, "way").await;
        let way = |life: &Life| {
            let instances = life.instances();
            async move { instances.get(INSTANCE).await.unwrap().status.unwrap().reachable_for.unwrap() }
        };
        let first = way(&life).await;
        rounds(&mut life).await;
        assert_eq!(way(&life).await, first);
        let host = Patch::Merge(json!({"spec": {"host": format!("other-{}", life.host)}}));
        life.instances().patch(INSTANCE, &PatchParams::default(), &host).await.unwrap();
        rounds(&mut life).await;
        let second = way(&life).await;
        assert_ne!(second, first);

        let sites: Api<Site> = Api::all(base.clone());
        let port = |port: Option<u16>| Patch::Merge(json!({"spec": {"ingress": {"port": port}}}));
        sites.patch(SITE_NAME, &PatchParams::default(), &port(Some(8443))).await.unwrap();
        rounds(&mut life).await;
        let third = way(&life).await;
        // The other tests have the Site as it was.
        sites.patch(SITE_NAME, &PatchParams::default(), &port(None)).await.unwrap();
        assert_ne!(third, second);
        rounds(&mut life).await;
        life.check_rest().await.unwrap();
    });
}
