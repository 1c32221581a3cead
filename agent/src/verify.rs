//! Runs a verification over HTTP. Does I/O: one connection for each request, no redirects, no TLS.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request as HttpRequest, Uri};
use hyper_util::rt::TokioIo;
use tenantry_core::progress::Event;
use tenantry_core::template::Redactor;
use tenantry_core::verify::{BODY_MAX, Program, Request, Response, VerifyFile, check};
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep, timeout_at};

use crate::report::{Outcome, Reporter};
use crate::run::read_json;

/// Time of one try of one request.
const TRY: Duration = Duration::from_secs(30);
/// First and longest pause between two tries.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));

/// Where one process is reached: `host:port`.
type Targets = BTreeMap<String, String>;

/// Verifies; the outcome is the exit code.
pub async fn verify(file: &Path, base_url: &str, termination_log: &Path) -> Outcome {
    let bare = || Reporter::new(&[], &Redactor::default(), termination_log);
    let job: VerifyFile = match read_json(file) {
        Ok(job) => job,
        Err(why) => return bare().end(Outcome::BadFile, &why),
    };
    let reporter = Reporter::new(&[], &Redactor::new(&job.context), termination_log);
    let problems: Vec<String> = check(&job.verify).iter().map(ToString::to_string).collect();
    if !problems.is_empty() {
        return reporter.end(Outcome::BadFile, &problems.join("; "));
    }
    let targets = match targets(base_url, &job) {
        Ok(targets) => targets,
        Err(why) => return reporter.end(Outcome::BadFile, &why),
    };
    let mut stop = match signal(SignalKind::terminate()) {
        Ok(stop) => stop,
        Err(e) => return reporter.end(Outcome::Failed, &format!("SIGTERM cannot be watched: {e}")),
    };
    reporter.say("", Event::Started, &format!("{} steps", job.verify.steps.len()));
    let program = Program::new(&job.verify, job.context.clone());
    let deadline = Instant::now() + Duration::from_secs(job.verify.timeout_seconds.into());
    tokio::select! {
        outcome = all(program, &targets, deadline, &reporter) => outcome,
        _ = stop.recv() => reporter.end(Outcome::Stopped, "stopped by SIGTERM"),
    }
}

async fn all(mut program: Program, targets: &Targets, deadline: Instant, reporter: &Reporter) -> Outcome {
    while let Some(next) = program.next() {
        let request = match next {
            Ok(request) => request,
            Err(failure) => {
                return fail(reporter, &program, Outcome::Failed, &failure.step.clone(), &failure.to_string());
            }
        };
        let step = request.step.clone();
        reporter.say(&step, Event::Started, "");
        let response = match ask(&request, targets, deadline).await {
            Ok(response) => response,
            Err((outcome, why)) => {
                return fail(reporter, &program, outcome, &step, &format!("{step}: {why}"));
            }
        };
        if let Err(failure) = program.answer(&response) {
            return fail(reporter, &program, Outcome::Failed, &step, &failure.to_string());
        }
        reporter.say(&step, Event::Finished, "");
    }
    reporter.end(Outcome::Passed, "verified")
}

fn fail(reporter: &Reporter, program: &Program, outcome: Outcome, step: &str, message: &str) -> Outcome {
    let message = program.redact(message);
    reporter.say(step, outcome.event(), &message);
    reporter.end(outcome, &message)
}

fn targets(base_url: &str, job: &VerifyFile) -> Result<Targets, String> {
    let mut targets = Targets::from([(String::new(), authority(base_url)?)]);
    for (name, url) in &job.processes {
        targets.insert(name.clone(), authority(url)?);
    }
    match job.verify.steps.iter().filter_map(|s| s.process.as_ref()).find(|p| !targets.contains_key(*p)) {
        Some(process) => Err(format!("the base URL of process {process} is not given")),
        None => Ok(targets),
    }
}

/// `host:port` of `http://host:port`.
fn authority(url: &str) -> Result<String, String> {
    let wrong = || format!("{url:?} is not of the form http://host:port");
    let uri: Uri = url.parse().map_err(|_| wrong())?;
    let plain = uri.scheme_str() == Some("http") && matches!(uri.path(), "" | "/") && uri.query().is_none();
    match uri.authority() {
        Some(a) if plain && !a.as_str().contains('@') => Ok(format!("{}:{}", a.host(), a.port_u16().unwrap_or(80))),
        _ => Err(wrong()),
    }
}

/// Why one try came to nothing.
enum Miss {
    /// Nothing was sent: trying again does no harm.
    NotSent(String),
    /// It may have been done.
    Sent(String),
}

/// Asks until there is an answer or the time is over.
async fn ask(request: &Request, targets: &Targets, deadline: Instant) -> Result<Response, (Outcome, String)> {
    let process = request.process.clone().unwrap_or_default();
    let Some(target) = targets.get(&process) else {
        return Err((Outcome::BadFile, format!("the base URL of process {process} is not given")));
    };
    let mut pause = PAUSE.0;
    loop {
        let until = deadline.min(Instant::now() + TRY);
        let missed = match timeout_at(until, once(request, target)).await {
            Ok(Ok(response)) => return Ok(response),
            Ok(Err(miss)) => miss,
            Err(_) => Miss::Sent(format!("no answer from {target} in time")),
        };
        let again = matches!(missed, Miss::NotSent(_)) || matches!(request.method.as_str(), "GET" | "HEAD" | "OPTIONS");
        let (Miss::NotSent(why) | Miss::Sent(why)) = missed;
        if Instant::now() + pause >= deadline {
            return Err((Outcome::TimedOut, format!("no answer before the time was over: {why}")));
        }
        if !again {
            return Err((Outcome::Failed, why));
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE.1);
    }
}

async fn once(request: &Request, target: &str) -> Result<Response, Miss> {
    let http = build(request, target).map_err(|e| Miss::Sent(format!("the request cannot be made: {e}")))?;
    let stream = TcpStream::connect(target).await.map_err(|e| Miss::NotSent(format!("{target}: {e}")))?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|e| Miss::NotSent(format!("{target}: {e}")))?;
    let driver = tokio::spawn(async move {
        // Its error is the request's error, too.
        let _ = connection.await;
    });
    let answered = exchange(&mut sender, http).await;
    driver.abort();
    answered.map_err(|e| Miss::Sent(format!("{target}: {e}")))
}

fn build(request: &Request, target: &str) -> Result<HttpRequest<Full<Bytes>>, hyper::http::Error> {
    let mut http = HttpRequest::builder().method(request.method.as_str()).uri(request.path.as_str());
    if !request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        http = http.header("Host", target);
    }
    for (name, value) in &request.headers {
        http = http.header(name, value);
    }
    http.body(Full::new(Bytes::from(request.body.clone().unwrap_or_default())))
}

async fn exchange(
    sender: &mut http1::SendRequest<Full<Bytes>>,
    request: HttpRequest<Full<Bytes>>,
) -> Result<Response, hyper::Error> {
    let response = sender.send_request(request).await?;
    let (head, mut body) = response.into_parts();
    let text = |v: &hyper::header::HeaderValue| String::from_utf8_lossy(v.as_bytes()).into_owned();
    let headers = head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
    let mut read = Vec::new();
    // One byte more than is allowed is enough to know that it is too much.
    while read.len() <= BODY_MAX {
        let Some(frame) = body.frame().await else { break };
        if let Ok(data) = frame?.into_data() {
            let room = (BODY_MAX + 1).saturating_sub(read.len());
            read.extend(data.iter().take(room));
        }
    }
    Ok(Response { status: head.status.as_u16(), headers, body: read })
}
