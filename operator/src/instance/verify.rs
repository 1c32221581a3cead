//! Verification: the blueprint's requests against the instance's Service. Does I/O (HTTP).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tenantry_api::condition::ConditionType;
use tenantry_core::address::authority;
use tenantry_core::class::ErrorClass;
use tenantry_core::names;
use tenantry_core::verify::{Program, Request, Response, Verify};
use tenantry_plan::instance::Wanted;

use super::inputs::Inputs;
use crate::context::Ctx;
use crate::error::Result;
use crate::halt::{Halt, OrHalt};

const CONDITION: ConditionType = ConditionType::Verified;
/// Largest answer that is read, in bytes.
const BODY_MAX: usize = 1024 * 1024;
/// Longest time of one request.
const REQUEST: Duration = Duration::from_secs(30);
/// How long one reconcile keeps trying; after that it lets other instances have their turn and comes back.
const TURN: Duration = Duration::from_secs(20);

/// Verifies an instance whose processes are ready.
///
/// # Errors
/// [`Halt`] at `Verified`.
#[tracing::instrument(target = "tenantry::trace", level = "debug", name = "verify", skip_all)]
pub async fn run(ctx: &Ctx, inputs: &Inputs<'_>) -> std::result::Result<(), Halt> {
    let Inputs { wanted, settings, .. } = *inputs;
    let spec = &wanted.release.spec;
    let Some(verify) = &spec.verify else { return Ok(()) };
    if spec.processes.iter().all(|p| wanted.pods(p) == 0) {
        return Ok(());
    }
    let doors = doors(ctx, wanted, verify).await.halt(CONDITION)?;
    let url = settings.url(&wanted.host);
    let values = inputs.values();
    let client: Client<HttpConnector, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let start = Instant::now();
    let longest = Duration::from_secs(u64::from(verify.timeout_seconds));
    let turn = TURN.min(longest);
    loop {
        let mut program = Program::new(verify, values.clone());
        let end = Instant::now() + longest;
        match attempt(ctx, &client, &doors, &url, &mut program, end).await {
            Ok(()) => return Ok(()),
            Err(Attempt::Unreachable(why)) if start.elapsed() < turn => {
                // A new Service refuses connections for the moment that kube-proxy takes.
                tracing::debug!(%why, "not reachable yet");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(Attempt::Unreachable(why)) => {
                let text = format!(
                    "it does not answer: {why}. The processes run; their log: tenantry instance logs {}/{}",
                    wanted.tenant, wanted.name
                );
                return Err(Halt::fail(CONDITION, "NotReachable", text, ErrorClass::Transient));
            }
            Err(Attempt::Failed(why)) => {
                let text = format!(
                    "{why}. The data is untouched; the log: tenantry instance logs {}/{}",
                    wanted.tenant, wanted.name
                );
                return Err(Halt::fail(CONDITION, "VerificationFailed", text, ErrorClass::Transient));
            }
        }
    }
}

/// Base URLs by the process that a step asks. None means the process that serves.
type Doors = BTreeMap<Option<String>, String>;

/// Where the steps of a verification ask: the instance's Service, and the inner Services of other processes.
async fn doors(ctx: &Ctx, wanted: &Wanted, verify: &Verify) -> Result<Doors> {
    let serving = ctx.service_ip(&wanted.namespace, &names::service(&wanted.id)).await?;
    let mut doors = Doors::from([(None, format!("http://{}", authority(&serving, 80)))]);
    for name in verify.steps.iter().filter_map(|s| s.process.as_ref()) {
        let process = wanted.release.spec.processes.iter().find(|p| p.name == *name);
        let door = match process {
            Some(p) if p.serves => doors.get(&None).cloned(),
            Some(p) => match p.inner_port() {
                Some(port) => {
                    let address = ctx.service_ip(&wanted.namespace, &names::process(&wanted.id, name)).await?;
                    Some(format!("http://{}", authority(&address, port)))
                }
                None => None,
            },
            None => None,
        };
        doors.extend(door.map(|door| (Some(name.clone()), door)));
    }
    Ok(doors)
}

/// The message for a step that the blueprint's checks should have refused.
fn no_door(request: &Request) -> String {
    let process = request.process.as_deref().unwrap_or_default();
    format!("{:?} asks process {process:?}, which has no port", request.step)
}

enum Attempt {
    Unreachable(String),
    Failed(String),
}

async fn attempt(
    ctx: &Ctx,
    client: &Client<HttpConnector, Full<Bytes>>,
    doors: &Doors,
    url: &str,
    program: &mut Program,
    end: Instant,
) -> std::result::Result<(), Attempt> {
    while let Some(request) = program.next() {
        let request = request.map_err(|f| Attempt::Failed(f.to_string()))?;
        let gate = |e: tenantry_core::calls::Injected| Attempt::Unreachable(e.to_string());
        let door = doors.get(&request.process).ok_or_else(|| Attempt::Failed(no_door(&request)))?;
        ctx.gate.before("http verify").map_err(gate)?;
        // All steps together have one time limit: a step whose answer trickles in must not keep others waiting for a
        // verdict.
        let patience = REQUEST.min(end.saturating_duration_since(Instant::now()));
        let answer = tokio::time::timeout(patience, send(client, door, url, &request)).await;
        ctx.gate.after("http verify").map_err(gate)?;
        let response = match answer {
            Ok(Ok(response)) => response,
            Ok(Err(why)) => return Err(Attempt::Unreachable(why)),
            Err(_) => {
                return Err(Attempt::Failed(format!(
                    "{:?} got no answer within {} s",
                    request.step,
                    patience.as_secs_f32().ceil()
                )));
            }
        };
        program.answer(&response).map_err(|f| Attempt::Failed(f.to_string()))?;
    }
    Ok(())
}

async fn send(
    client: &Client<HttpConnector, Full<Bytes>>,
    base: &str,
    url: &str,
    request: &Request,
) -> std::result::Result<Response, String> {
    let mut builder = hyper::Request::builder().method(request.method.as_str()).uri(format!("{base}{}", request.path));
    for (name, value) in request.headers_at(url) {
        builder = builder.header(name, value);
    }
    let body = Full::new(Bytes::from(request.body.clone().unwrap_or_default()));
    let built = builder.body(body).map_err(|e| e.to_string())?;
    let answer = client
        .request(built)
        .await
        .map_err(|e| std::error::Error::source(&e).map_or_else(|| e.to_string(), |source| format!("{e}: {source}")))?;
    let status = answer.status().as_u16();
    let headers = answer
        .headers()
        .iter()
        .map(|(k, v)| (k.as_str().to_owned(), String::from_utf8_lossy(v.as_bytes()).into_owned()))
        .collect();
    let body = Limited::new(answer.into_body(), BODY_MAX).collect().await.map_err(|e| e.to_string())?;
    Ok(Response { status, headers, body: body.to_bytes().to_vec() })
}
