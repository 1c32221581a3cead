//! Serves the page of a suspended or maintained application. Does I/O: one small HTTP server.

mod content;

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tenantry_core::names::HEADER_PAGE;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use self::content::{Form, Page};
use crate::report::Outcome;

/// Maximum number of open connections. More connections wait in the kernel's queue.
const CONNECTIONS: u32 = 256;
/// Maximum time for a request's head, and for a whole connection.
const HEAD_TIME: Duration = Duration::from_secs(5);
const CONNECTION_TIME: Duration = Duration::from_secs(15);
/// Maximum size and number of a request's headers, and maximum size of its body, which is read and dropped.
const HEAD_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;
const BODY_MAX: usize = 1024 * 1024;
/// Time for open connections to end after SIGTERM.
const FAREWELL: Duration = Duration::from_secs(5);

/// Why the page is not served.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// The file with its texts is wrong.
    #[error("{0}")]
    File(String),
    /// The address cannot be used.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    /// The system refuses to report signals.
    #[error("signals cannot be watched: {0}")]
    Signal(std::io::Error),
}

impl PageError {
    /// The outcome that determines the exit code.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::File(_) => Outcome::BadFile,
            Self::Listen(..) | Self::Signal(_) => Outcome::Failed,
        }
    }
}

/// Opens the port. The address for all of IPv6 also covers IPv4; on a machine without IPv6 it is replaced by the
/// address for all of IPv4.
async fn listener(address: SocketAddr) -> std::io::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Err(e) if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && e.kind() != std::io::ErrorKind::AddrInUse => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        other => other,
    }
}

/// Serves until SIGTERM or SIGINT.
pub async fn serve(listen: SocketAddr, file: Option<&Path>) -> Result<(), PageError> {
    let page = Arc::new(Page::load(file, |name| std::env::var(name).ok()).map_err(PageError::File)?);
    let mut term = signal(SignalKind::terminate()).map_err(PageError::Signal)?;
    let mut int = signal(SignalKind::interrupt()).map_err(PageError::Signal)?;
    let listener = listener(listen).await.map_err(|e| PageError::Listen(listen, e))?;
    let permits = Arc::new(Semaphore::new(CONNECTIONS as usize));
    loop {
        let accepted = tokio::select! {
            _ = term.recv() => break,
            _ = int.recv() => break,
            accepted = accept(&listener, &permits) => accepted,
        };
        let Some((stream, permit)) = accepted else { continue };
        let page = Arc::clone(&page);
        tokio::spawn(async move {
            let _permit = permit;
            // A slow or broken client ends only its own connection.
            let _ = timeout(CONNECTION_TIME, connection(stream, page)).await;
        });
    }
    drop(listener);
    // Once all permits are back, no client is connected any more.
    let _ = timeout(FAREWELL, permits.acquire_many(CONNECTIONS)).await;
    Ok(())
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, permit)),
        Err(_) => {
            // Most likely there are no file handles left, so pause before the next attempt.
            sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

async fn connection(stream: TcpStream, page: Arc<Page>) -> Result<(), hyper::Error> {
    let service = service_fn(move |request| {
        let page = Arc::clone(&page);
        async move { Ok::<_, Infallible>(answer(request, &page).await) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_MAX)
        .max_headers(HEADERS_MAX)
        // One answer for each connection, so that no client stays connected and a switch of the Service takes effect at
        // once.
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

async fn answer(request: Request<Incoming>, page: &Page) -> Response<Full<Bytes>> {
    let mut response = content_of(request, page).await;
    response.headers_mut().insert(HEADER_PAGE, HeaderValue::from_static(page.kind()));
    response
}

async fn content_of(request: Request<Incoming>, page: &Page) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    drain(body).await;
    if head.uri.path() == "/healthz" {
        return respond(StatusCode::OK, &head.method, "text/plain; charset=utf-8", "ok\n".into());
    }
    let (form, vietnamese) = wanted(&head.headers);
    let (kind, text) = match form {
        Form::Html => ("text/html; charset=utf-8", page.html(vietnamese)),
        Form::Json => ("application/problem+json", page.json(vietnamese)),
    };
    let mut response = respond(StatusCode::SERVICE_UNAVAILABLE, &head.method, kind, text);
    let headers = response.headers_mut();
    headers.insert(header::RETRY_AFTER, HeaderValue::from(page.retry_after_seconds()));
    headers.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(if vietnamese { "vi" } else { "en" }));
    headers.insert(header::VARY, HeaderValue::from_static("Accept, Accept-Language, Content-Type"));
    response
}

/// Reads and drops the body that a client sends. Closing a connection with unread data would reset it before the client
/// has read the answer.
async fn drain(mut body: Incoming) {
    let mut read = 0;
    while read <= BODY_MAX {
        match body.frame().await {
            Some(Ok(frame)) => read += frame.data_ref().map_or(0, Bytes::len),
            Some(Err(_)) | None => return,
        }
    }
}

fn wanted(headers: &HeaderMap) -> (Form, bool) {
    let text = |name| headers.get(name).and_then(|v: &HeaderValue| v.to_str().ok()).unwrap_or_default();
    let form = content::form(text(header::ACCEPT), text(header::CONTENT_TYPE));
    (form, content::vietnamese(text(header::ACCEPT_LANGUAGE)))
}

fn respond(status: StatusCode, method: &Method, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let length = text.len();
    let body = if *method == Method::HEAD { Full::default() } else { Full::new(Bytes::from(text)) };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    );
    response
}
