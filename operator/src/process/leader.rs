//! Leadership by Lease: only its holder writes, and losing it ends the process. Does I/O (Kubernetes).

use std::future::Future;

use kube::Client;
use kube_lease_manager::LeaseManagerBuilder;

/// Seconds that a leadership holds without being renewed.
const DURATION: u64 = 15;
/// Seconds before its end at which it is renewed.
const GRACE: u64 = 5;

/// Waits for the leadership, then runs `work` until it ends or the leadership is lost.
///
/// # Errors
/// When the Lease cannot be managed, when the leadership was lost, or the error of `work`.
pub async fn lead<F>(
    client: Client,
    namespace: &str,
    identity: &str,
    on_lead: impl FnOnce(),
    work: F,
) -> Result<(), String>
where
    F: Future<Output = Result<(), String>>,
{
    let manager = LeaseManagerBuilder::new(client, "tenantry-operator")
        .with_namespace(namespace)
        .with_identity(identity)
        .with_duration(DURATION)
        .with_grace(GRACE)
        .build()
        .await
        .map_err(|e| format!("the Lease {namespace}/tenantry-operator cannot be managed: {e}"))?;
    let (mut channel, task) = manager.watch().await;
    while !*channel.borrow_and_update() {
        tracing::info!("standing by for the leadership");
        channel.changed().await.map_err(|_| "the Lease is no longer watched".to_owned())?;
    }
    on_lead();
    tracing::info!(%identity, "leading");
    let lost = async {
        loop {
            if channel.changed().await.is_err() || !*channel.borrow_and_update() {
                break;
            }
        }
    };
    let result = tokio::select! {
        result = work => result,
        () = lost => return Err("the leadership was lost; ending so that nothing is written twice".into()),
    };
    drop(channel);
    // Gives the Lease back, so that the next process need not wait for it to run out.
    let _ = tokio::time::timeout(std::time::Duration::from_secs(5), task).await;
    result
}
