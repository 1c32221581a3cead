//! Optional traces for a collector (OTLP, protobuf over HTTP): reconciles, their steps, and jobs as spans. Does I/O.
//!
//! Without an endpoint there is no layer: a span costs one look at a flag. Spans carry names, outcomes and times, but
//! no text of an error and no value of a field.

use std::cell::Cell;
use std::collections::HashSet;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use k8s_openapi::api::batch::v1::Job;
use kube::api::ObjectMeta;
use opentelemetry::trace::{Link, Span as _, SpanKind, TraceContextExt, TraceId, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, SamplingResult, SdkTracerProvider, ShouldSample};
use tenantry_core::class::ErrorClass;
use tokio::runtime::Handle;
use tracing::Instrument;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::registry::LookupSpan;

use crate::error::Result;

/// Target of the spans that are exported. The `instrument` attributes repeat it, because a macro takes no constant
/// there.
pub const TARGET: &str = "tenantry::trace";
/// Target of the spans that the Kubernetes client makes of every request.
const KUBE: &str = "kube_client";
/// Path of traces below the endpoint.
const PATH: &str = "/v1/traces";
/// Longest endpoint, in bytes.
const ENDPOINT_MAX: usize = 500;
/// Longest time for one batch, and for the last one at the end of the process.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest answer of a collector, in bytes.
const ANSWER_MAX: usize = 64 * 1024;
/// Jobs that are remembered as exported; more than any site finishes in the life of one process.
const JOBS_MAX: usize = 10_000;

/// The connection to a collector.
#[derive(Debug, Clone)]
pub struct Traces {
    provider: SdkTracerProvider,
    begun: jiff::Timestamp,
    told: Arc<Mutex<HashSet<String>>>,
}

impl Traces {
    /// Opens the connection. Nothing is sent before the first span has ended.
    ///
    /// `ratio` is the share of reconciles that is traced, from 0 to 1; `identity` is the name of this process.
    ///
    /// # Errors
    /// When the endpoint or the ratio is not valid.
    pub fn start(endpoint: &str, ratio: f64, identity: &str, runtime: Handle) -> Result<Self, String> {
        let url = url(endpoint)?;
        if !(0.0..=1.0).contains(&ratio) {
            return Err(format!("{ratio} is no share of traces: from 0 to 1"));
        }
        let client = Client::builder(TokioExecutor::new()).build_http();
        let sender = Sender { client, runtime, silent: Arc::default() };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(sender)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(url)
            .with_timeout(PATIENCE)
            .build()
            .map_err(|e| format!("traces cannot be sent to {endpoint}: {e}"))?;
        let resource = Resource::builder()
            .with_service_name("tenantry-operator")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_attribute(KeyValue::new("service.instance.id", identity.to_owned()))
            .build();
        let roots = Roots(Sampler::TraceIdRatioBased(ratio));
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(Sampler::ParentBased(Box::new(roots)))
            .with_resource(resource)
            .build();
        Ok(Self { provider, begun: jiff::Timestamp::now(), told: Arc::default() })
    }

    /// The layer that exports the spans of this program.
    pub fn layer<S>(&self) -> impl Layer<S> + Send + Sync + 'static
    where
        S: tracing::Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        let ours = filter_fn(|m| m.is_span() && (m.target() == TARGET || m.target().starts_with(KUBE)));
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("tenantry"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_filter(ours.with_max_level_hint(LevelFilter::DEBUG))
    }

    /// Exports the span of a job that has ended, with the times that Kubernetes recorded. A job cannot reach a
    /// collector: its network rules forbid it. Each job is exported once; a job that ended before this process began is
    /// left out.
    pub fn job(&self, purpose: &'static str, job: &Job) {
        let Some((start, end, outcome)) = times(job) else { return };
        let uid = job.metadata.uid.clone().unwrap_or_default();
        {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if end < self.begun || told.len() >= JOBS_MAX || !told.insert(uid) {
                return;
            }
        }
        let tracer = self.provider.tracer("tenantry");
        // The job has a trace of its own: it began long before the reconcile that sees its end. The trace is linked to
        // that reconcile.
        let seen_by = tracing::Span::current().context().span().span_context().clone();
        let links = if seen_by.is_valid() { vec![Link::with_context(seen_by)] } else { Vec::new() };
        let meta = &job.metadata;
        let builder = tracer
            .span_builder(format!("job {purpose}"))
            .with_kind(SpanKind::Internal)
            .with_start_time(SystemTime::from(start))
            .with_links(links)
            .with_attributes([
                KeyValue::new("k8s.namespace.name", meta.namespace.clone().unwrap_or_default()),
                KeyValue::new("k8s.job.name", meta.name.clone().unwrap_or_default()),
                KeyValue::new("tenantry.outcome", outcome),
            ]);
        let mut span = tracer.build_with_context(builder, &Context::new());
        if outcome != "succeeded" {
            span.set_status(opentelemetry::trace::Status::error(outcome));
        }
        span.end_with_timestamp(SystemTime::from(end));
    }

    /// Sends the spans that are left, for a few seconds at most.
    pub fn stop(&self) {
        if let Err(error) = self.provider.shutdown_with_timeout(PATIENCE) {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

tokio::task_local! {
    /// The class of what stopped the reconcile that runs, if a condition reported it.
    static STOPPED: Cell<Option<ErrorClass>>;
}

/// Notes what stopped the reconcile that runs; the object's status contains the rest.
pub fn stopped(class: ErrorClass) {
    // Outside of a reconcile nothing is counted.
    let _ = STOPPED.try_with(|cell| cell.set(Some(class)));
}

/// Runs one reconcile inside its span: kind and name are set before it, the outcome and the class of an error after it.
/// Returns its result and the word for its end: `done`, `waiting`, or the class of what stopped it.
pub async fn reconciled(
    controller: &'static str,
    meta: &ObjectMeta,
    work: impl Future<Output = Result<Option<Duration>>>,
) -> (Result<Option<Duration>>, &'static str) {
    let span = tracing::debug_span!(
        target: "tenantry::trace",
        "reconcile",
        otel.name = %format_args!("reconcile {controller}"),
        otel.status_code = Empty,
        k8s.namespace.name = meta.namespace.as_deref(),
        tenantry.kind = controller,
        tenantry.name = meta.name.as_deref(),
        tenantry.generation = meta.generation,
        tenantry.outcome = Empty,
        tenantry.class = Empty,
    );
    let pass = async {
        let result = work.instrument(span.clone()).await;
        (result, STOPPED.with(Cell::get))
    };
    let (result, class) = STOPPED.scope(Cell::new(None), pass).await;
    let outcome = outcome(&result, class);
    span.record("tenantry.outcome", outcome);
    if let Err(error) = &result {
        span.record("tenantry.class", error.class().label()).record("otel.status_code", "ERROR");
    }
    (result, outcome)
}

fn outcome(result: &Result<Option<Duration>>, stopped: Option<ErrorClass>) -> &'static str {
    match (result, stopped) {
        (Err(error), _) => error.class().label(),
        (Ok(_), Some(class)) => class.label(),
        (Ok(None), None) => "done",
        (Ok(Some(_)), None) => "waiting",
    }
}

/// When a job began and ended, and how it ended. None while the job runs.
fn times(job: &Job) -> Option<(jiff::Timestamp, jiff::Timestamp, &'static str)> {
    let status = job.status.as_ref()?;
    let start = status.start_time.as_ref()?.0;
    let ended = |kind: &str| status.conditions.iter().flatten().find(|c| c.type_ == kind && c.status == "True");
    let (condition, outcome) = match (ended("Complete"), ended("Failed")) {
        (Some(complete), _) => (complete, "succeeded"),
        (None, Some(failed)) => (failed, "failed"),
        (None, None) => return None,
    };
    let end = status.completion_time.as_ref().or(condition.last_transition_time.as_ref())?.0;
    Some((start, end.max(start), outcome))
}

/// The address of traces at an endpoint.
fn url(endpoint: &str) -> Result<String, String> {
    let wrong = |why: &str| format!("the endpoint of traces {why}: for example http://collector.monitoring:4318");
    if endpoint.len() > ENDPOINT_MAX {
        return Err(wrong("is too long"));
    }
    let uri: Uri = endpoint.parse().map_err(|_| wrong("is no URL"))?;
    let authority = uri.authority().ok_or_else(|| wrong("names no host"))?;
    if authority.as_str().contains('@') {
        return Err(wrong("must not hold a password; headers go into OTEL_EXPORTER_OTLP_HEADERS"));
    }
    if uri.scheme_str() != Some("http") {
        return Err(wrong("must be http: a collector inside the cluster, which encrypts what leaves it"));
    }
    if uri.query().is_some() {
        return Err(wrong("must not have a query"));
    }
    let base = endpoint.trim_end_matches('/');
    Ok(if base.ends_with(PATH) { base.to_owned() } else { format!("{base}{PATH}") })
}

/// Decides which spans begin a trace here: those of reconciles and jobs. Requests of watches belong to no reconcile.
#[derive(Debug, Clone)]
struct Roots(Sampler);

impl ShouldSample for Roots {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        if name.starts_with("reconcile ") || name.starts_with("job ") {
            return self.0.should_sample(parent, trace_id, name, kind, attributes, links);
        }
        SamplingResult {
            decision: SamplingDecision::Drop,
            attributes: Vec::new(),
            trace_state: opentelemetry::trace::TraceState::default(),
        }
    }
}

/// Sends batches with the HTTP client that this program has anyway, on the runtime of the process: the exporter's own
/// thread has no runtime.
#[derive(Debug, Clone)]
struct Sender {
    client: Client<HttpConnector, Full<Bytes>>,
    runtime: Handle,
    /// Whether the log says already that the collector does not take traces.
    silent: Arc<AtomicBool>,
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let request = request.map(Full::new);
        let sent = self.runtime.spawn(async move {
            let answer = tokio::time::timeout(PATIENCE, async {
                let (head, body) = client.request(request).await?.into_parts();
                let body = Limited::new(body, ANSWER_MAX).collect().await?.to_bytes();
                Ok::<_, HttpError>(Response::from_parts(head, body))
            });
            answer.await?
        });
        let answer = sent.await.map_err(HttpError::from).and_then(|answer| answer);
        let trouble = match &answer {
            Ok(taken) if taken.status().is_success() => None,
            Ok(refused) => Some(format!("it answered {}", refused.status())),
            Err(error) => Some(error.to_string()),
        };
        match trouble {
            None => self.silent.store(false, Ordering::Relaxed),
            // Logged once, until the collector works again: a collector that is away is no reason to fill the log.
            Some(why) if !self.silent.swap(true, Ordering::Relaxed) => {
                tracing::warn!(%why, "the collector takes no traces; they are dropped, and nothing else suffers");
            }
            Some(_) => {}
        }
        answer
    }
}

#[cfg(test)]
#[path = "traces_tests.rs"]
mod tests;
