//! Health and metrics over HTTP. Does I/O.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;

use super::health::Health;
use super::metrics::Metrics;

/// What the endpoints show.
#[derive(Clone)]
struct Shown {
    health: Arc<Health>,
    metrics: Arc<Metrics>,
}

/// Serves `/healthz`, `/readyz` and `/metrics` until the process ends.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn serve(address: SocketAddr, health: Arc<Health>, metrics: Arc<Metrics>) -> std::io::Result<()> {
    let app = Router::new()
        .route("/healthz", get(|State(s): State<Shown>| async move { answer(s.health.is_alive()) }))
        .route("/readyz", get(|State(s): State<Shown>| async move { answer(s.health.is_ready()) }))
        .route("/metrics", get(|State(s): State<Shown>| async move { s.metrics.text() }))
        .with_state(Shown { health, metrics });
    axum::serve(listener(address).await?, app).await
}

/// Listens. Where IPv6 exists, the address `[::]` means every address of IPv6 and IPv4; where it does not exist, every
/// address of IPv4.
async fn listener(address: SocketAddr) -> std::io::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Err(e) if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && e.kind() != std::io::ErrorKind::AddrInUse => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        other => other,
    }
}

fn answer(well: bool) -> (StatusCode, &'static str) {
    if well { (StatusCode::OK, "ok\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "no\n") }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn every_address_is_one_of_each_family() {
        let bound = listener("[::]:0".parse().unwrap()).await.unwrap();
        let port = bound.local_addr().unwrap().port();
        TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        if bound.local_addr().unwrap().is_ipv6() {
            TcpStream::connect(("::1", port)).await.unwrap();
        }
        // If the address is taken, no other address is used instead.
        let again = listener(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)).await;
        assert!(again.is_err() || bound.local_addr().unwrap().is_ipv4(), "{again:?}");
    }
}
