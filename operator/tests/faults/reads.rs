//! What a new instance costs: reads that nobody needs are not made. Does I/O.

use kube::api::PostParams;
use serde_json::json;
use tenantry_api::crm_instance::InstancePhase;
use tenantry_plan::Kind;

use crate::life::Life;
use crate::scenarios::run;

#[test]
fn a_new_instance_looks_for_no_process_that_cannot_be_there() {
    run(false, |base| async move {
        let mut life = Life::new(&base, "reads");
        life.tenants().create(&PostParams::default(), &life.tenant_object(&json!({}))).await.unwrap();
        for _ in 0..3 {
            life.round().await.unwrap();
        }
        life.instances().create(&PostParams::default(), &life.instance_object(&json!({}))).await.unwrap();
        // The watches have told of all there is, and there was nothing of this instance.
        let operator = life.operator.clone();
        for kind in [Kind::Service, Kind::Deployment, Kind::PersistentVolumeClaim, Kind::Ingress] {
            operator.ctx.memory.children.watch_is_whole(kind);
        }
        operator.gate.count_anew();
        life.round().await.unwrap();
        let kinds = ["/services", "/deployments", "/persistentvolumeclaims", "/ingresses"];
        let reads: Vec<String> = operator.gate.all().into_iter().filter(|call| call.starts_with("kube GET")).collect();
        // Other people's Ingresses are looked through once, before a host is claimed.
        let own = |call: &&String| call.contains("/namespaces/");
        let needless: Vec<&String> =
            reads.iter().filter(own).filter(|call| kinds.iter().any(|kind| call.contains(kind))).collect();
        assert_eq!(reads.iter().filter(|call| call.ends_with("/v1/ingresses")).count(), 1, "{reads:?}");
        assert!(needless.is_empty(), "{needless:?}");
        println!("{} reads for a new instance: {reads:?}", reads.len());
        let status = life.instance().await.unwrap().unwrap().status.unwrap();
        assert_eq!(status.phase, InstancePhase::Ready, "{status:?}");
    });
}
