//! Tests of the traces, with a small collector. I/O on this machine only.

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::json;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tracing_subscriber::layer::SubscriberExt;

use super::*;
use crate::error::Error;

/// Takes traces as a collector does. Returns the collector's address and what was sent to it.
async fn collector() -> (String, UnboundedReceiver<Bytes>) {
    let (tell, told) = unbounded_channel();
    let app = Router::new()
        .route(
            PATH,
            post(|State(tell): State<UnboundedSender<Bytes>>, body: Bytes| async move {
                tell.send(body).unwrap();
            }),
        )
        .with_state(tell);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (address, told)
}

/// Everything that was sent, after the traces were stopped.
fn sent(told: &mut UnboundedReceiver<Bytes>) -> Vec<Span> {
    let mut spans = Vec::new();
    while let Ok(body) = told.try_recv() {
        let request = ExportTraceServiceRequest::decode(body).unwrap();
        spans.extend(request.resource_spans.into_iter().flat_map(|r| r.scope_spans).flat_map(|s| s.spans));
    }
    spans
}

fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let names: Vec<&str> = spans.iter().map(|s| s.name.as_str()).collect();
    spans.iter().find(|s| s.name == name).unwrap_or_else(|| panic!("no span {name:?} in {names:?}"))
}

fn attribute(span: &Span, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|a| a.key == key)?;
    match found.value.clone()?.value? {
        Value::StringValue(text) => Some(text),
        other => Some(format!("{other:?}")),
    }
}

#[tracing::instrument(target = "tenantry::trace", level = "debug", name = "keys", skip_all)]
async fn a_step(_password: &str) {
    tokio::task::yield_now().await;
    tracing::warn!("the password is hunter2");
}

/// An object's metadata with its name, for as long as the test runs.
fn meta() -> &'static ObjectMeta {
    let meta =
        ObjectMeta { name: Some("crm".into()), namespace: Some("tenant-abcdefghij".into()), ..ObjectMeta::default() };
    Box::leak(Box::new(meta))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reconcile_and_its_steps_come_to_the_collector_without_what_they_worked_with() {
    let (address, mut told) = collector().await;
    let traces = Traces::start(&address, 1.0, "operator-1", Handle::current()).unwrap();
    let guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(traces.layer()));
    let well = reconciled("instance", meta(), async {
        a_step("hunter2").await;
        Ok(None)
    });
    assert!(matches!(well.await, (Ok(None), "done")));
    // What stops a reconcile is reported by the object's conditions, and counted by its class.
    let held = reconciled("archive", meta(), async {
        stopped(ErrorClass::Bug);
        Ok(Some(Duration::from_secs(1)))
    });
    assert!(matches!(held.await, (Ok(Some(_)), "bug")));
    let failed = reconciled("tenant", meta(), async { Err(Error::Blocked("the word is hunter2".into())) });
    assert!(matches!(failed.await, (Err(_), "blocked")));
    // A request of a watch belongs to no reconcile; neither does a step outside of a reconcile.
    a_step("hunter2").await;
    drop(guard);
    tokio::task::spawn_blocking(move || traces.stop()).await.unwrap();

    let spans = sent(&mut told);
    assert_eq!(spans.len(), 4, "{spans:?}");
    let (root, step) = (named(&spans, "reconcile instance"), named(&spans, "keys"));
    assert_eq!((&step.trace_id, &step.parent_span_id), (&root.trace_id, &root.span_id));
    assert_eq!(attribute(root, "tenantry.name").as_deref(), Some("crm"));
    assert_eq!(attribute(root, "k8s.namespace.name").as_deref(), Some("tenant-abcdefghij"));
    assert_eq!(attribute(root, "tenantry.outcome").as_deref(), Some("done"));
    let blocked = named(&spans, "reconcile tenant");
    assert_eq!(attribute(blocked, "tenantry.class").as_deref(), Some("blocked"));
    assert_eq!(blocked.status.as_ref().unwrap().code, 2, "an error");
    assert!(!format!("{spans:?}").contains("hunter2"), "{spans:?}");
}

fn job(start: &str, end: Option<&str>, kind: &str) -> Job {
    let ended: Vec<_> =
        end.iter().map(|at| json!({ "type": kind, "status": "True", "lastTransitionTime": at })).collect();
    serde_json::from_value(json!({
        "metadata": { "name": "template-1-1", "namespace": "tenantry-system", "uid": "u" },
        "status": { "startTime": start, "conditions": ended },
    }))
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_told_once_with_the_times_at_which_it_ran() {
    let (address, mut told) = collector().await;
    let mut traces = Traces::start(&address, 1.0, "operator-1", Handle::current()).unwrap();
    traces.begun = "2026-05-01T10:00:30Z".parse().unwrap();
    let guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(traces.layer()));
    let done = job("2026-05-01T10:00:00Z", Some("2026-05-01T10:01:30Z"), "Failed");
    let seen = reconciled("instance", meta(), async {
        traces.job("install", &job("2026-05-01T10:00:00Z", None, ""));
        traces.job("install", &done);
        traces.job("install", &done);
        Ok(None)
    });
    assert!(seen.await.0.is_ok());
    drop(guard);
    tokio::task::spawn_blocking(move || traces.stop()).await.unwrap();

    let spans = sent(&mut told);
    assert_eq!(spans.len(), 2, "{spans:?}");
    let (span, reconcile) = (named(&spans, "job install"), named(&spans, "reconcile instance"));
    assert_eq!(span.end_time_unix_nano - span.start_time_unix_nano, 90_000_000_000);
    assert_eq!(attribute(span, "tenantry.outcome").as_deref(), Some("failed"));
    assert_eq!(span.links[0].span_id, reconcile.span_id);
    assert_ne!(span.trace_id, reconcile.trace_id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_ended_before_the_process_began_is_not_told_again() {
    let (address, mut told) = collector().await;
    let traces = Traces::start(&address, 1.0, "operator-1", Handle::current()).unwrap();
    traces.job("install", &job("2020-01-01T00:00:00Z", Some("2020-01-01T00:01:00Z"), "Complete"));
    tokio::task::spawn_blocking(move || traces.stop()).await.unwrap();
    assert!(sent(&mut told).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_away_holds_nothing_up() {
    let traces = Traces::start("http://127.0.0.1:1", 1.0, "operator-1", Handle::current()).unwrap();
    let guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(traces.layer()));
    assert!(reconciled("site", meta(), async { Ok(None) }).await.0.is_ok());
    drop(guard);
    let begun = std::time::Instant::now();
    tokio::task::spawn_blocking(move || traces.stop()).await.unwrap();
    assert!(begun.elapsed() < PATIENCE * 2);
}

#[test]
fn an_endpoint_is_plain_http_to_a_host_and_gets_the_path_of_traces() {
    assert_eq!(url("http://c.monitoring:4318").as_deref(), Ok("http://c.monitoring:4318/v1/traces"));
    assert_eq!(url("http://c:4318/").as_deref(), Ok("http://c:4318/v1/traces"));
    assert_eq!(url("http://c:4318/v1/traces").as_deref(), Ok("http://c:4318/v1/traces"));
    for wrong in
        ["", "collector", "/v1/traces", "https://c:4318", "http://u:p@c:4318", "http://c:4318/?key=1", "http://"]
    {
        assert!(url(wrong).is_err(), "{wrong:?}");
    }
    assert!(url(&format!("http://{}", "a".repeat(600))).is_err());
}
