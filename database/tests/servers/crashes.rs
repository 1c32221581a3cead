//! An error, a lost answer or a crash at the k-th statement, for every k; the next call puts it right — does I/O.

use std::sync::Arc;

use tenantry_core::calls::Fault;
use tenantry_database::{Administration, NewDatabase, Result};

use crate::support::{Breaking, World};

crate::on_every_server!(
    creating_an_empty_database_survives_every_fault,
    creating_a_copy_survives_every_fault,
    sealing_a_template_survives_every_fault,
    dropping_a_database_survives_every_fault,
);

const FAULTS: [Fault; 3] = [Fault::Error, Fault::Timeout, Fault::Crash];

/// Breaks `call` at every statement in every way; `ready` puts the world as it is before, `look` dumps it after.
pub async fn every_fault(
    w: &World,
    ready: impl AsyncFn(&dyn Administration),
    call: impl AsyncFn(&dyn Administration) -> Result<()>,
    look: impl AsyncFn() -> String,
) {
    let steady = w.admin();
    ready(steady.as_ref()).await;
    call(steady.as_ref()).await.unwrap();
    let expected = look().await;
    for fault in FAULTS {
        for k in 1.. {
            ready(steady.as_ref()).await;
            let gate = Arc::new(Breaking::new(k, fault));
            let admin = w.gated(gate.clone());
            let result = call(admin.as_ref()).await;
            if !gate.fired() {
                result.unwrap();
                assert!(k > 5, "only {k} calls passed the gate");
                println!("{:?}: {} calls, {fault:?}", w.kind, k - 1);
                break;
            }
            let what = format!("{fault:?} at call {k} ({})", gate.last());
            assert!(result.is_err(), "{what} was swallowed");
            // After a crash another process goes on; after an error the same one.
            let again = if fault == Fault::Crash { w.admin() } else { admin };
            call(again.as_ref()).await.unwrap_or_else(|e| panic!("{what}: not repaired: {e}"));
            assert_eq!(look().await, expected, "{what}");
            if fault == Fault::Crash {
                call(again.as_ref()).await.unwrap_or_else(|e| panic!("{what}: not repeatable: {e}"));
                assert_eq!(look().await, expected, "{what}, repeated");
            }
        }
    }
}

async fn gone(admin: &dyn Administration, new: &NewDatabase) {
    admin.drop_database(&new.name, &new.owner).await.unwrap();
}

async fn creating_an_empty_database_survives_every_fault(w: World) {
    let new = w.empty("cre_empty");
    let look = async || {
        assert!(w.ask(&new, "SELECT 1").await.is_ok());
        w.dump("cre_empty", Some("cre_empty")).await
    };
    every_fault(&w, async |a| gone(a, &new).await, async |a| a.create(&new).await, look).await;
}

async fn creating_a_copy_survives_every_fault(w: World) {
    w.sealed("crc_tpl").await;
    let new = w.copy_of("crc_tpl", "crc_copy");
    let look = async || {
        assert_eq!(w.ask(&new, "SELECT count(*) FROM orders").await.unwrap().as_deref(), Some("3"));
        w.dump("crc_", Some("crc_copy")).await
    };
    every_fault(&w, async |a| gone(a, &new).await, async |a| a.create(&new).await, look).await;
}

async fn sealing_a_template_survives_every_fault(w: World) {
    let new = NewDatabase { owner: "template/crs_tpl".into(), tenant: String::new(), ..w.empty("crs_tpl") };
    let ready = async |a: &dyn Administration| {
        gone(a, &new).await;
        a.create(&new).await.unwrap();
    };
    every_fault(&w, ready, async |a| a.seal_template("crs_tpl", &new.owner).await, async || w.dump("crs_", None).await)
        .await;
}

async fn dropping_a_database_survives_every_fault(w: World) {
    // A sealed template is the harder case: it refuses to be dropped.
    let new = NewDatabase { owner: "template/crd_tpl".into(), tenant: String::new(), ..w.empty("crd_tpl") };
    let ready = async |a: &dyn Administration| {
        a.create(&new).await.unwrap();
        a.seal_template("crd_tpl", &new.owner).await.unwrap();
    };
    let call = async |a: &dyn Administration| a.drop_database("crd_tpl", &new.owner).await.map(drop);
    every_fault(&w, ready, call, async || w.dump("crd_", None).await).await;
}
