//! Leadership by Lease: only its holder writes, and losing it ends the process. Does I/O (Kubernetes).

use std::future::Future;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Client;
use kube::api::Api;
use kube_lease_manager::LeaseManagerBuilder;
use tokio::time::{Instant, sleep_until, timeout_at};

/// Name of the Lease.
const LEASE: &str = "tenantry-operator";
/// Seconds that a leadership holds without being renewed.
const DURATION: u64 = 15;
/// Seconds before the end of a leadership at which it is renewed.
const GRACE: u64 = 10;
/// Milliseconds before the end of a leadership at which its holder no longer trusts it: the holder needs time to stop,
/// and clocks differ.
const MARGIN: u64 = 3_000;
/// Milliseconds of a leadership that its holder trusts.
const TRUSTED: u64 = DURATION * 1_000 - MARGIN;
const _: () = assert!((DURATION - GRACE) * 1_000 < TRUSTED, "it is renewed while it is trusted");

/// How the holder watches over its own leadership.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// Pause between two looks.
    every: Duration,
    /// How long an answer may take.
    patience: Duration,
    /// How long the holder goes on without an answer.
    blind: Duration,
}

const PACE: Pace =
    Pace { every: Duration::from_secs(3), patience: Duration::from_secs(3), blind: Duration::from_secs(10) };

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
    let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
    let manager = LeaseManagerBuilder::new(client, LEASE)
        .with_namespace(namespace)
        .with_identity(identity)
        .with_duration(DURATION)
        .with_grace(GRACE)
        .build()
        .await
        .map_err(|e| format!("the Lease {namespace}/{LEASE} cannot be managed: {e}"))?;
    let (mut channel, task) = manager.watch().await;
    while !*channel.borrow_and_update() {
        tracing::info!("standing by for the leadership");
        channel.changed().await.map_err(|_| "the Lease is no longer watched".to_owned())?;
    }
    on_lead();
    tracing::info!(%identity, "leading");
    let told = async {
        loop {
            if channel.changed().await.is_err() || !*channel.borrow_and_update() {
                break;
            }
        }
        "the Lease was given up".to_owned()
    };
    let result = tokio::select! {
        result = work => Ok(result),
        why = told => Err(why),
        // The Lease manager reports nothing while the API server is away, and another process may lead meanwhile.
        why = watch_over(&leases, identity, PACE) => Err(why),
    };
    let result =
        result.map_err(|why| format!("the leadership was lost ({why}); ending so that nothing is written twice"))?;
    drop(channel);
    // Gives the Lease back, so that the next process need not wait until it expires.
    let _ = tokio::time::timeout(Duration::from_secs(5), task).await;
    result
}

/// Looks at the Lease again and again; returns why this process may no longer lead.
async fn watch_over(leases: &Api<Lease>, identity: &str, pace: Pace) -> String {
    let mut trusted = Instant::now() + pace.blind;
    loop {
        let asked = Instant::now();
        match timeout_at(trusted.min(asked + pace.patience), leases.get_opt(LEASE)).await {
            Ok(Ok(lease)) => match trust(lease.as_ref(), identity, Timestamp::now()) {
                Ok(left) => trusted = asked + left.min(pace.blind),
                Err(why) => return why,
            },
            Ok(Err(error)) => tracing::warn!(%error, "the Lease cannot be read"),
            Err(_) => tracing::warn!("the API server does not answer about the Lease"),
        }
        sleep_until(trusted.min(Instant::now() + pace.every)).await;
        if Instant::now() >= trusted {
            return "it was not seen to be renewed in time".to_owned();
        }
    }
}

/// How long a Lease that was just read may be trusted.
///
/// # Errors
/// The holder of the Lease, if this process does not hold it.
fn trust(lease: Option<&Lease>, identity: &str, now: Timestamp) -> Result<Duration, String> {
    let spec = lease.and_then(|l| l.spec.as_ref());
    match spec.and_then(|s| s.holder_identity.as_deref()) {
        Some(holder) if holder == identity => {}
        Some(other) => return Err(format!("{other} leads")),
        None => return Err("nobody holds the Lease".to_owned()),
    }
    let renewed = spec.and_then(|s| s.renew_time.as_ref()).map_or(now, |t| t.0);
    // This process wrote the time of the renewal, so both times are of one clock.
    let age = now.as_millisecond().saturating_sub(renewed.as_millisecond());
    Ok(Duration::from_millis(TRUSTED.saturating_sub(u64::try_from(age).unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
    use kube::client::Body;
    use serde_json::{Value, json};

    use super::*;

    fn lease(holder: Option<&str>, renewed: Timestamp) -> Value {
        json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": LEASE},
            "spec": {"holderIdentity": holder, "renewTime": MicroTime(renewed), "leaseDurationSeconds": DURATION}})
    }

    fn typed(lease: Value) -> Lease {
        serde_json::from_value(lease).unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// An API server that answers the n-th request (from 0), or never answers it.
    fn api(answer: impl Fn(usize) -> Option<Value> + Send + Sync + 'static) -> Api<Lease> {
        let asked = Arc::new(AtomicUsize::new(0));
        let service = tower::service_fn(move |_: http::Request<Body>| {
            let answer = answer(asked.fetch_add(1, Ordering::Relaxed));
            async move {
                let Some(lease) = answer else { return std::future::pending().await };
                Ok::<_, Infallible>(http::Response::new(Body::from(lease.to_string().into_bytes())))
            }
        });
        Api::namespaced(Client::new(service, "default"), "default")
    }

    const QUICK: Pace = Pace {
        every: Duration::from_millis(10),
        patience: Duration::from_millis(40),
        blind: Duration::from_millis(200),
    };
    const SOON: Duration = Duration::from_secs(5);

    #[test]
    fn a_lease_is_trusted_until_shortly_before_another_may_take_it() {
        let mine = typed(lease(Some("me"), at(100)));
        assert_eq!(trust(Some(&mine), "me", at(100)), Ok(Duration::from_secs(12)));
        assert_eq!(trust(Some(&mine), "me", at(105)), Ok(Duration::from_secs(7)));
        assert_eq!(trust(Some(&mine), "me", at(113)), Ok(Duration::ZERO));
        assert_eq!(trust(Some(&mine), "you", at(100)), Err("me leads".to_owned()));
        assert!(trust(Some(&typed(lease(None, at(100)))), "me", at(100)).is_err());
        assert!(trust(None, "me", at(100)).is_err());
    }

    #[tokio::test]
    async fn a_leader_that_reads_nothing_ends_before_another_may_lead() {
        let api = api(|n| (n < 3).then(|| lease(Some("me"), Timestamp::now())));
        let began = Instant::now();
        let why = tokio::time::timeout(SOON, watch_over(&api, "me", QUICK)).await.unwrap();
        assert!(why.contains("not seen to be renewed"), "{why}");
        assert!(began.elapsed() >= QUICK.blind, "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn a_leader_that_sees_another_one_ends_at_once_and_one_that_is_renewed_goes_on() {
        let taken = api(|n| Some(lease(Some(if n < 2 { "me" } else { "you" }), Timestamp::now())));
        let why = tokio::time::timeout(SOON, watch_over(&taken, "me", QUICK)).await.unwrap();
        assert_eq!(why, "you leads");
        let mine = api(|_| Some(lease(Some("me"), Timestamp::now())));
        assert!(tokio::time::timeout(QUICK.blind * 3, watch_over(&mine, "me", QUICK)).await.is_err());
        // Nobody renews this Lease, although the API server answers.
        let old = Timestamp::from_second(Timestamp::now().as_second() - 60).unwrap();
        let forgotten = api(move |_| Some(lease(Some("me"), old)));
        let why = tokio::time::timeout(SOON, watch_over(&forgotten, "me", QUICK)).await.unwrap();
        assert!(why.contains("not seen to be renewed"), "{why}");
    }
}
