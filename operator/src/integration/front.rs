//! One request to the front of an instance, as a browser or an ingress would make it. Does I/O (network).

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tenantry_core::calls::Gate;
use tenantry_core::names::{HEADER_PAGE, PAGE_SUSPENDED};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::tls;

/// Name of the call at the gate.
const CALL: &str = "http front";
/// Longest time to connect, and of one request.
const CONNECT: Duration = Duration::from_secs(3);
const REQUEST: Duration = Duration::from_secs(10);
/// Largest body that is compared, in bytes.
const BODY_MAX: usize = 64 * 1024;
/// How long an address that could not be reached is not tried again.
const AWAY: Duration = Duration::from_secs(60);

/// Addresses that could not be reached a short while ago, and why: the next callers do not have to wait for them again.
#[derive(Debug, Default)]
pub struct Away(Mutex<HashMap<String, (Instant, String)>>);

impl Away {
    /// Remembers an address that could not be reached.
    pub fn note(&self, address: &str, why: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(address.to_owned(), (Instant::now(), why.to_owned()));
    }

    /// Why an address could not be reached a short while ago. None means that it may be tried.
    #[must_use]
    pub fn why(&self, address: &str) -> Option<String> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(address).filter(|(since, _)| since.elapsed() < AWAY).map(|(_, why)| why.clone())
    }
}

/// What is requested.
#[derive(Debug, Clone, Copy)]
pub struct Front<'a> {
    /// URL for people, without a path.
    pub url: &'a str,
    /// Path that answers when all is well.
    pub path: &'a str,
    /// Whether the ingress is asked (with TLS where people use TLS) instead of the Service behind it.
    pub through_ingress: bool,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Whether the answer identifies itself as the page of a suspended instance.
    says_page: bool,
    /// Content type.
    kind: Option<String>,
    /// The body, as far as it is compared.
    body: Vec<u8>,
}

impl Answer {
    /// Whether the answer identifies itself as the page of a suspended instance.
    #[must_use]
    pub fn says_page(&self) -> bool {
        self.says_page
    }

    /// Whether the answer may be the page of a suspended instance: an ingress, and an older page, show that by the
    /// status code alone.
    #[must_use]
    pub fn is_page(&self) -> bool {
        self.says_page || self.status == 503
    }

    /// Whether this is the answer of an ingress that does not know the CRM, or does not know it yet. Any other answer
    /// is a barrier of the ingress itself, such as a log-in or a redirection, and waiting does not remove it.
    #[must_use]
    pub fn is_absence(&self) -> bool {
        self.says_page || matches!(self.status, 404 | 500 | 502..=504)
    }

    /// Whether this answer came from the same place as `own`. The body distinguishes an error of the CRM itself from an
    /// error of the ingress.
    #[must_use]
    pub fn is_of(&self, own: &Self) -> bool {
        let alike = self.status == own.status && self.kind == own.kind && self.says_page == own.says_page;
        alike && (own.status < 400 || self.body == own.body)
    }
}

/// Why the expected answer did not come.
#[derive(Debug)]
pub enum Missed {
    /// No answer at all.
    Away(String),
    /// Another answer.
    Otherwise(Answer),
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Away(why) => f.write_str(why),
            Self::Otherwise(answer) => write!(f, "HTTP {}", answer.status),
        }
    }
}

/// Asks once. The certificate is not verified: the question is only who answers, whoever issued the certificate.
///
/// # Errors
/// A text when there is no answer.
pub async fn ask(gate: &Arc<dyn Gate>, front: &Front<'_>, host: &str, port: u16) -> Result<Answer, String> {
    gate.before(CALL).map_err(|e| e.to_string())?;
    let answer = asked(front, host, port).await;
    gate.after(CALL).map_err(|e| e.to_string())?;
    answer
}

async fn asked(front: &Front<'_>, host: &str, port: u16) -> Result<Answer, String> {
    let stream = match timeout(CONNECT, TcpStream::connect((host, port))).await {
        Ok(connected) => connected.map_err(|e| format!("{host}:{port}: {}", e.kind()))?,
        Err(_) => return Err(format!("{host}:{port}: no connection within {} s", CONNECT.as_secs())),
    };
    let (scheme, authority) = front.url.split_once("://").unwrap_or(("http", front.url));
    let request = async {
        if front.through_ingress && scheme == "https" {
            let name = authority.split(':').next().unwrap_or_default();
            request(tls::begin(stream, name).await?.0, front, scheme, authority).await
        } else {
            request(stream, front, scheme, authority).await
        }
    };
    let answered = timeout(REQUEST, request).await;
    answered.unwrap_or_else(|_| Err(format!("no answer within {} s", REQUEST.as_secs())))
}

async fn request<IO>(stream: IO, front: &Front<'_>, scheme: &str, authority: &str) -> Result<Answer, String>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let silent = |_| "it does not speak HTTP".to_owned();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(silent)?;
    let mut request = hyper::Request::get(front.path).header("host", authority).header("user-agent", "tenantry");
    if !front.through_ingress {
        // Headers that the ingress would add.
        request = request.header("x-forwarded-proto", scheme).header("x-forwarded-host", authority);
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|_| "the path is none".to_owned())?;
    let exchange = async {
        let answer = sender.send_request(request).await.map_err(silent)?;
        let status = answer.status().as_u16();
        let kind = answer.headers().get("content-type").map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned());
        let says_page = answer.headers().get(HEADER_PAGE).is_some_and(|kind| kind == PAGE_SUSPENDED);
        // A body that is too long or breaks off counts as empty: the answer is compared by everything else that is
        // known about it.
        let body = Limited::new(answer.into_body(), BODY_MAX).collect().await;
        let body = body.map(|b| b.to_bytes().to_vec()).unwrap_or_default();
        Ok(Answer { status, says_page, kind, body })
    };
    tokio::pin!(exchange, connection);
    tokio::select! {
        answer = &mut exchange => answer,
        // The server has closed the connection: what the server sent before is read to its end.
        _ = &mut connection => exchange.await,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use tenantry_core::calls::Open;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A server that answers each request with the next of these answers, and reports each request.
    pub async fn server(answers: &'static [&'static str]) -> (u16, tokio::sync::mpsc::UnboundedReceiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tell, told) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut part = [0; 2048];
                let n = stream.read(&mut part).await.unwrap();
                tell.send(String::from_utf8_lossy(&part[..n]).to_ascii_lowercase()).unwrap();
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        (port, told)
    }

    pub const PAGE: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 4\r\n\r\ncrm\n";
    pub const OTHER_PAGE: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n\r\nanother day";
    pub const PAGE_IS_WELL: &str = "HTTP/1.1 200 OK\r\nX-Tenantry-Page: suspended\r\ncontent-length: 3\r\n\r\nok\n";
    pub const NO_ENDPOINT: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 10\r\n\r\nno backend";
    pub const OWN_503: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 10\r\n\r\nmaintained";

    #[tokio::test]
    async fn an_answer_of_the_ingress_itself_is_told_from_one_of_the_crm() {
        let gate: Arc<dyn Gate> = Arc::new(Open);
        let (port, mut told) = server(&[PAGE, NO_ENDPOINT, OTHER_PAGE, OWN_503]).await;
        let inside = Front { url: "https://crm.acme.vn:8443", path: "/ready?x=1", through_ingress: false };
        let own = ask(&gate, &inside, "127.0.0.1", port).await.unwrap();
        let said = told.recv().await.unwrap();
        for line in
            ["get /ready?x=1 http/1.1\r\n", "\r\nhost: crm.acme.vn:8443\r\n", "\r\nx-forwarded-proto: https\r\n"]
        {
            assert!(said.contains(line), "{said}");
        }
        let outside = Front { url: "http://crm.acme.vn", through_ingress: true, ..inside };
        let away = ask(&gate, &outside, "127.0.0.1", port).await.unwrap();
        assert!(!away.is_of(&own) && away.status == 503 && away.is_absence(), "{away:?}");
        let there = ask(&gate, &outside, "127.0.0.1", port).await.unwrap();
        assert!(there.is_of(&own), "a page may say something else each time: {there:?}");
        let own_503 = ask(&gate, &inside, "127.0.0.1", port).await.unwrap();
        assert!(!away.is_of(&own_503), "an error of the CRM is another one");
        let (port, _told) = server(&[]).await;
        assert!(ask(&gate, &outside, "127.0.0.1", port).await.is_err(), "nobody listens any more");
    }
}
