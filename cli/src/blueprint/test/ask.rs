//! Asks an instance over HTTP through the pods of its Service, which needs no ingress. Does I/O.

use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::{Api, ResourceExt};
use serde_json::Value;
use tenantry_api::crm_instance::CrmInstance;
use tenantry_core::names;
use tenantry_core::verify::{BODY_MAX, Program, Request, Response, Verify};
use tenantry_plan::instance::{access_of, data_generation, keys_of, validate};
use tenantry_plan::{Settings, context};
use tokio::time::Instant;

use crate::diff::instance::{referenced, secret};
use crate::diff::release::release;
use crate::error::{Problem, api};
use crate::session::Session;
use crate::target;

/// Longest time of one request.
const REQUEST: Duration = Duration::from_secs(30);
/// How long to try when the blueprint names no time; a shorter time of the blueprint is raised to this one.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pause before a request is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// The questions that show whether an instance works.
pub struct Questions {
    verify: Option<Verify>,
    values: Value,
}

impl Questions {
    /// Number of steps; None means that the blueprint has no verification.
    pub fn steps(&self) -> Option<usize> {
        self.verify.as_ref().map(|v| v.steps.len())
    }
}

/// The verification of an instance, with all values that its templates know. Reads Secrets; prints nothing.
pub async fn questions(session: &Session, instance: &CrmInstance, settings: &Settings) -> Result<Questions, Problem> {
    let cannot = |e: tenantry_plan::PlanError| Problem::failed(format!("cannot ask {}: {e}", instance.name_any()));
    let tenant = target::tenant(session, &instance.spec.tenant).await?;
    let plan = target::one(session, &session.cluster.plans(), target::PLAN, &tenant.spec.plan).await?;
    let limits = tenantry_plan::limits::resolve(&tenant.spec, &plan.spec).map_err(cannot)?;
    let release = release(session, instance).await?;
    let generation = data_generation(instance);
    let wanted = validate(instance, &tenant, &release, settings, generation, &referenced(session, instance).await?);
    let wanted = wanted.map_err(cannot)?;
    let keys = secret(session, &wanted, &names::keys_secret(&wanted.id, generation)).await?;
    let keys = keys.as_ref().and_then(keys_of);
    let keys = keys.ok_or_else(|| Problem::failed(format!("{} has no keys", instance.name_any())))?;
    let database = secret(session, &wanted, &names::database_secret(&wanted.id, generation)).await?;
    let database = database.as_ref().and_then(access_of).map(|(_, access)| access);
    let values = context::instance(&wanted, settings, &limits, database.as_ref(), &keys);
    Ok(Questions { verify: release.spec.verify, values })
}

/// Asks all questions again and again until they pass or the blueprint's time is over; returns the last status.
pub async fn all(session: &Session, instance: &CrmInstance, questions: &Questions) -> Result<u16, String> {
    let patience =
        questions.verify.as_ref().map_or(PATIENCE, |v| Duration::from_secs(u64::from(v.timeout_seconds)).max(PATIENCE));
    let begun = Instant::now();
    loop {
        let tried = match &questions.verify {
            Some(verify) => verified(session, instance, verify, questions.values.clone()).await,
            None => root(session, instance).await,
        };
        match tried {
            Ok(status) => return Ok(status),
            Err(why) if begun.elapsed() > patience => return Err(why),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn verified(session: &Session, instance: &CrmInstance, verify: &Verify, values: Value) -> Result<u16, String> {
    let mut program = Program::new(verify, values);
    let mut status = 0;
    while let Some(request) = program.next() {
        let request = request.map_err(|f| f.to_string())?;
        let response = ask(session, instance, &request).await.map_err(|why| format!("{}: {why}", request.step))?;
        status = response.status;
        program.answer(&response).map_err(|f| f.to_string())?;
    }
    Ok(status)
}

/// The status with which the instance answers at `/`.
pub async fn root(session: &Session, instance: &CrmInstance) -> Result<u16, String> {
    let request = Request {
        step: "/".into(),
        process: None,
        method: "GET".into(),
        path: "/".into(),
        headers: Vec::new(),
        body: None,
    };
    ask(session, instance, &request).await.map(|r| r.status)
}

async fn ask(session: &Session, instance: &CrmInstance, request: &Request) -> Result<Response, String> {
    let answer = tokio::time::timeout(REQUEST, exchange(session, instance, request)).await;
    answer.unwrap_or_else(|_| Err(format!("no answer within {} s", REQUEST.as_secs())))
}

async fn exchange(session: &Session, instance: &CrmInstance, request: &Request) -> Result<Response, String> {
    let namespace = instance.namespace().unwrap_or_default();
    let pods: Api<Pod> = Api::namespaced(session.cluster.client.clone(), &namespace);
    let selector = selector(session, instance, request.process.as_deref()).await?;
    let found = session.cluster.list(&pods, "pods", Some(&selector)).await.map_err(|p| p.what)?;
    let pod = found.iter().find(|p| is_ready(p)).ok_or("no pod behind the Service is ready")?;
    let port = port_of(pod).ok_or("the pod behind the Service has no port named http")?;
    let forward = pods.portforward(&pod.name_any(), &[port]).await;
    let mut forward = forward.map_err(|e| api::problem("reach the pod", &e).render_plain())?;
    let stream = forward.take_stream(port).ok_or("the way to the pod is closed")?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
    let driven = tokio::spawn(connection);
    let answer = send(&mut sender, instance, request).await;
    driven.abort();
    answer
}

async fn send(
    sender: &mut hyper::client::conn::http1::SendRequest<Full<Bytes>>,
    instance: &CrmInstance,
    request: &Request,
) -> Result<Response, String> {
    let mut builder = hyper::Request::builder().method(request.method.as_str()).uri(request.path.as_str());
    let url = instance.status.as_ref().and_then(|s| s.url.clone());
    let url = url.unwrap_or_else(|| format!("http://{}", instance.spec.host));
    for (name, value) in request.headers_at(&url) {
        builder = builder.header(name, value);
    }
    let body = Full::new(Bytes::from(request.body.clone().unwrap_or_default()));
    let built = builder.body(body).map_err(|e| e.to_string())?;
    let answer = sender.send_request(built).await.map_err(|e| crate::error::api::sources(&e))?;
    let status = answer.status().as_u16();
    let headers = answer.headers().iter();
    let headers =
        headers.map(|(k, v)| (k.as_str().to_owned(), String::from_utf8_lossy(v.as_bytes()).into_owned())).collect();
    let body = Limited::new(answer.into_body(), BODY_MAX).collect().await.map_err(|e| e.to_string())?;
    Ok(Response { status, headers, body: body.to_bytes().to_vec() })
}

/// Selects the pods to ask: those of the Service, or those of one process.
async fn selector(session: &Session, instance: &CrmInstance, process: Option<&str>) -> Result<String, String> {
    let id = instance.spec.id.clone().unwrap_or_default();
    if let Some(process) = process {
        return Ok(format!("{}={id},{}={process}", names::LABEL_INSTANCE_ID, names::LABEL_PROCESS));
    }
    let services: Api<Service> =
        Api::namespaced(session.cluster.client.clone(), &instance.namespace().unwrap_or_default());
    // The Service is named after the instance's id.
    let service = services.get(&id).await.map_err(|e| api::problem("read the Service", &e).render_plain())?;
    let selector =
        service.spec.and_then(|s| s.selector).filter(|s| !s.is_empty()).ok_or("the Service selects nothing")?;
    Ok(selector.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(","))
}

/// Whether a pod is ready and is not being deleted.
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|s| s.conditions.as_ref());
    pod.metadata.deletion_timestamp.is_none()
        && conditions.into_iter().flatten().any(|c| c.type_ == "Ready" && c.status == "True")
}

fn port_of(pod: &Pod) -> Option<u16> {
    let ports = pod.spec.as_ref()?.containers.iter().flat_map(|c| c.ports.iter().flatten());
    ports.filter(|p| p.name.as_deref() == Some("http")).find_map(|p| u16::try_from(p.container_port).ok())
}
