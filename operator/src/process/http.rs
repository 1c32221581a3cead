//! Health and metrics over HTTP. Does I/O.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;

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
    let listener = tokio::net::TcpListener::bind(address).await?;
    axum::serve(listener, app).await
}

fn answer(well: bool) -> (StatusCode, &'static str) {
    if well { (StatusCode::OK, "ok\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "no\n") }
}
