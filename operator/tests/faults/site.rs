//! Whether the Site fits the cluster is told, and written only when it changes. Does I/O.

use std::sync::Arc;

use jiff::Timestamp;
use kube::api::Api;
use tenantry_api::condition::find;
use tenantry_api::site::Site;

use crate::gate::{Mode, Nth, Planned};
use crate::scenarios::run;
use crate::world::Operator;

/// The Site as it is stored, seen as if its spec were another.
async fn seen(api: &Api<Site>, change: impl Fn(&mut Site)) -> Arc<Site> {
    let mut site = api.list(&kube::api::ListParams::default()).await.unwrap().items.remove(0);
    change(&mut site);
    Arc::new(site)
}

#[test]
fn a_class_that_is_missing_is_told_until_it_is_there_and_a_fault_is_made_good() {
    run(false, |base| async move {
        let api: Api<Site> = Api::all(base.clone());
        let missing = |site: &mut Site| site.spec.storage_class = Some("nowhere".into());
        let nobody = |site: &mut Site| site.spec.ingress.class_name = Some("nobody".into());
        let lost = |site: &mut Site| site.spec.time_zone = "Asia/Hanoi".into();
        let fits = |_: &mut Site| {};
        let ready = |site: &Site| {
            let conditions = &site.status.as_ref().unwrap().conditions;
            find(conditions, "Ready").map(|c| (c.status.clone(), c.reason.clone(), c.message.clone())).unwrap()
        };
        let mut operator = Operator::new(&base);
        for mode in [Mode::Error, Mode::Timeout, Mode::CrashBefore, Mode::CrashAfter] {
            // Whatever became of the write, the next pass says the same.
            operator.gate.arm(Some(Planned { nth: Nth::Change(1), mode }));
            let again =
                tenantry_operator::site::reconcile(seen(&api, missing).await, &operator.ctx, Timestamp::now()).await;
            if operator.gate.dead() || again.is_err() {
                operator = Operator::new(&base);
            }
            operator.gate.count_anew();
            let site = seen(&api, missing).await;
            let again = tenantry_operator::site::reconcile(site, &operator.ctx, Timestamp::now()).await.unwrap();
            assert!(again.is_some(), "classes are not watched");
            let (status, reason, message) = ready(&*seen(&api, fits).await);
            assert_eq!((status.as_str(), reason.as_str()), ("False", "StorageClassMissing"));
            assert!(message.contains("\"nowhere\"") && message.contains("kubectl get storageclass"), "{message}");

            let site = seen(&api, nobody).await;
            tenantry_operator::site::reconcile(site, &operator.ctx, Timestamp::now()).await.unwrap();
            assert_eq!(ready(&*seen(&api, fits).await).1, "IngressClassMissing");

            let site = seen(&api, lost).await;
            let again = tenantry_operator::site::reconcile(site, &operator.ctx, Timestamp::now()).await.unwrap();
            let (status, reason, message) = ready(&*seen(&api, fits).await);
            assert_eq!((status.as_str(), reason.as_str()), ("False", "UnknownTimeZone"));
            assert!(message.contains("\"Asia/Hanoi\"") && again.is_none(), "{message}");

            let site = seen(&api, fits).await;
            let again = tenantry_operator::site::reconcile(site, &operator.ctx, Timestamp::now()).await.unwrap();
            assert_eq!((again, ready(&*seen(&api, fits).await).0.as_str()), (None, "True"));
        }
        let admitted = |site: &Site| {
            let conditions = &site.status.as_ref().unwrap().conditions;
            find(conditions, "IngressAdmitted").map(|c| (c.reason.clone(), c.message.clone())).unwrap()
        };
        let (reason, message) = admitted(&*seen(&api, fits).await);
        assert!(reason == "NobodyNamed" && message.contains("ingressNamespaces"), "{message}");
        let strays = |site: &mut Site| site.spec.ingress_namespaces = vec!["kube-system".into(), "nowhere".into()];
        let site = seen(&api, strays).await;
        let again = tenantry_operator::site::reconcile(site, &operator.ctx, Timestamp::now()).await.unwrap();
        assert!(again.is_some() && admitted(&*seen(&api, fits).await).0 == "IngressNamespaceMissing");
        let named = |site: &mut Site| site.spec.ingress_namespaces = vec!["kube-system".into()];
        let site = seen(&api, named).await;
        tenantry_operator::site::reconcile(site, &operator.ctx, Timestamp::now()).await.unwrap();
        assert_eq!(admitted(&*seen(&api, fits).await).0, "Named");
        let site = seen(&api, fits).await;
        tenantry_operator::site::reconcile(site, &operator.ctx, Timestamp::now()).await.unwrap();

        operator.gate.count_anew();
        tenantry_operator::site::reconcile(seen(&api, fits).await, &operator.ctx, Timestamp::now()).await.unwrap();
        assert_eq!(operator.gate.writes(), Vec::<String>::new(), "it is written without a change");
    });
}
