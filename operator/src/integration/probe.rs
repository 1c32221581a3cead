//! One check of an integration: resolves the name, refuses internal addresses, connects, speaks. Does I/O (network).

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;

use http_body_util::Empty;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tenantry_api::integration::IntegrationState::{Answers, Refused, Unreachable};
use tenantry_core::address::{Ranges, authority, closed};
use tenantry_core::calls::Gate;
use tenantry_core::secret::Secret;
use tenantry_core::smtp::{Dialogue, Next, REPLY_MAX, Reply, Security, Verdict};
use tenantry_plan::integrations::{Aim, Target};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::{Found, tls};

/// How many addresses of a name are tried.
const ADDRESSES: usize = 3;

/// A connection, with TLS or without.
trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// Checks once.
pub async fn run(gate: &Arc<dyn Gate>, aim: &Aim) -> Found {
    if let Err(e) = gate.before("check integration") {
        return Found::new(Unreachable, e.to_string());
    }
    let found = match timeout(aim.timeout, attempt(aim)).await {
        Ok(Ok(found) | Err(found)) => found,
        Err(_) => {
            let seconds = aim.timeout.as_secs();
            Found::new(Unreachable, format!("no answer from {} within {seconds} s", place(&aim.target)))
        }
    };
    match gate.after("check integration") {
        Ok(()) => found,
        Err(e) => Found::new(Unreachable, e.to_string()),
    }
}

/// `mx.example:587`.
fn place(target: &Target) -> String {
    let (Target::Smtp { host, port, .. } | Target::Http { host, port, .. } | Target::Tcp { host, port }) = target;
    authority(host, *port)
}

async fn attempt(aim: &Aim) -> Result<Found, Found> {
    let place = place(&aim.target);
    match &aim.target {
        Target::Tcp { host, port } => {
            connect(host, *port, &aim.ranges).await?;
            Ok(Found::new(Answers, format!("{place} takes connections")))
        }
        Target::Http { host, port, tls, path } => {
            let stream = connect(host, *port, &aim.ranges).await?;
            http(stream, host, &place, *tls, path).await
        }
        Target::Smtp { host, port, security, login } => {
            let stream = connect(host, *port, &aim.ranges).await?;
            let verdict = smtp(Box::new(stream), host, *security, login.clone()).await;
            verdict.map(|v| judged(&place, v)).map_err(|why| Found::new(Refused, format!("{place}: {why}")))
        }
    }
}

fn judged(place: &str, verdict: Verdict) -> Found {
    match verdict {
        Verdict::Answers(remark) => Found::new(Answers, format!("{place} answers; {remark}")),
        Verdict::Refused(why) => Found::new(Refused, format!("{place}: {why}")),
    }
}

/// Connects to an address that tenants may reach, and never to another address that the name may have a moment later.
async fn connect(host: &str, port: u16, ranges: &Ranges) -> Result<TcpStream, Found> {
    let away = |text: String| Found::new(Unreachable, text);
    let resolved = lookup_host((host, port)).await;
    let all: Vec<SocketAddr> = resolved.map_err(|_| away(format!("the name {host} is not known")))?.collect();
    let open: Vec<&SocketAddr> = all.iter().filter(|a| closed(a.ip(), ranges).is_none()).collect();
    if open.is_empty() {
        // The message does not contain the address: it would reveal the internal network to everybody who may write an
        // instance.
        let why = all.iter().find_map(|a| closed(a.ip(), ranges)).unwrap_or("has no address");
        return Err(away(format!("tenants cannot reach {host}: it {why}")));
    }
    let mut last = ErrorKind::Other;
    for address in open.into_iter().take(ADDRESSES) {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(e) => last = e.kind(),
        }
    }
    let why = if last == ErrorKind::ConnectionRefused { "nobody listens there" } else { "there is no way to it" };
    Err(away(format!("no connection to {host}:{port}: {why}")))
}

async fn smtp(
    mut wire: Box<dyn Wire>,
    host: &str,
    security: Security,
    login: Option<(String, Secret)>,
) -> Result<Verdict, String> {
    let mut distrust = None;
    if security == Security::Tls {
        let (stream, wrong) = tls::begin(wire, host).await?;
        (wire, distrust) = (Box::new(stream), wrong);
    }
    let mut dialogue = Dialogue::new(security, login, distrust);
    let mut read = Vec::new();
    loop {
        let reply = reply(&mut wire, &mut read).await?;
        let mut next = dialogue.answer(&reply);
        if next == Next::BeginTls {
            let (stream, wrong) = tls::begin(wire, host).await?;
            wire = Box::new(stream);
            next = dialogue.secured(wrong);
        }
        match next {
            Next::Say(line) => say(&mut wire, line.reveal()).await?,
            Next::End(verdict) => {
                // QUIT is a courtesy: whether it succeeds does not matter.
                let _ = say(&mut wire, "QUIT").await;
                return Ok(verdict);
            }
            Next::BeginTls => return Err("TLS twice".into()),
        }
    }
}

async fn say(wire: &mut Box<dyn Wire>, line: &str) -> Result<(), String> {
    let written = async {
        wire.write_all(format!("{line}\r\n").as_bytes()).await?;
        wire.flush().await
    };
    written.await.map_err(|_| "it ends the connection".to_owned())
}

/// Reads the next reply. Data that was read together with it, but behind it, is discarded: it was not asked for, and
/// before TLS anybody could have sent it.
async fn reply(wire: &mut Box<dyn Wire>, read: &mut Vec<u8>) -> Result<Reply, String> {
    read.clear();
    let mut part = [0; 1024];
    loop {
        if let Some(found) = Reply::parse(read).map_err(|e| e.to_string())? {
            return Ok(found);
        }
        match wire.read(&mut part).await {
            Ok(0) | Err(_) => return Err("it ends the connection".into()),
            Ok(n) if read.len() + n <= REPLY_MAX => read.extend_from_slice(&part[..n]),
            Ok(_) => return Err("its answer is too long".into()),
        }
    }
}

async fn http(stream: TcpStream, host: &str, place: &str, tls: bool, path: &str) -> Result<Found, Found> {
    let refused = |why: &str| Found::new(Refused, format!("{place}: {why}"));
    let (mut wire, mut distrust): (Box<dyn Wire>, Option<String>) = (Box::new(stream), None);
    if tls {
        let (stream, wrong) = tls::begin(wire, host).await.map_err(|why| refused(&why))?;
        (wire, distrust) = (Box::new(stream), wrong);
    }
    let silent = || refused("it does not speak HTTP");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(wire)).await.map_err(|_| silent())?;
    let request = hyper::Request::get(path).header("host", place).header("user-agent", "tenantry");
    let request = request.body(Empty::<Bytes>::new()).map_err(|_| refused("the URL is none"))?;
    let answer = tokio::select! {
        answer = sender.send_request(request) => answer.map_err(|_| silent())?,
        _ = connection => return Err(silent()),
    };
    let status = answer.status();
    let remark = distrust.map(|why| format!("; its certificate is not trusted ({why})")).unwrap_or_default();
    if status.is_server_error() {
        return Ok(refused(&format!("it answers HTTP {}{remark}", status.as_u16())));
    }
    Ok(Found::new(Answers, format!("{place} answers HTTP {}{remark}", status.as_u16())))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tenantry_core::calls::Open;
    use tokio::net::TcpListener;

    use super::*;

    fn aim(target: Target) -> Aim {
        Aim {
            target,
            timeout: Duration::from_millis(300),
            ranges: Ranges { internal: vec!["0.0.0.0/0".into()], ..Ranges::default() },
        }
    }

    /// A server that sends these texts, each after it has read something, and then stays silent.
    async fn server(texts: &'static [&'static str]) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut part = [0; 512];
            for (i, text) in texts.iter().enumerate() {
                if i > 0 {
                    let _ = stream.read(&mut part).await;
                }
                stream.write_all(text.as_bytes()).await.unwrap();
            }
            tokio::time::sleep(Duration::from_secs(30)).await;
        });
        port
    }

    async fn asked(texts: &'static [&'static str]) -> Result<Verdict, String> {
        let stream = TcpStream::connect(("127.0.0.1", server(texts).await)).await.unwrap();
        let asked = smtp(Box::new(stream), "mx.example", Security::None, None);
        timeout(Duration::from_millis(500), asked).await.unwrap_or_else(|_| Err("hangs".into()))
    }

    #[tokio::test]
    async fn a_mail_server_is_asked_over_a_real_connection() {
        assert!(matches!(asked(&["220 a\r\n", "250-a\r\n250 SIZE\r\n"]).await, Ok(Verdict::Answers(_))));
        assert!(matches!(asked(&["554 no\r\n"]).await, Ok(Verdict::Refused(_))));
        assert_eq!(asked(&["SSH-2.0-x\r\n"]).await, Err("it does not speak SMTP".into()));
        assert_eq!(asked(&["220 a\r\n"]).await, Err("hangs".into()), "a greeting and then nothing");
        assert_eq!(asked(&[]).await, Err("hangs".into()));
    }

    #[tokio::test]
    async fn this_host_is_never_asked_whatever_the_site_opens() {
        let gate: Arc<dyn Gate> = Arc::new(Open);
        let port = server(&["220 a\r\n"]).await;
        for host in ["127.0.0.1", "localhost", "::1"] {
            let target = Target::Smtp { host: host.into(), port, security: Security::None, login: None };
            let found = run(&gate, &aim(target)).await;
            assert_eq!(found.state, Unreachable, "{found:?}");
            assert!(found.message.contains("tenants cannot reach"), "{found:?}");
            assert!(!found.message.contains("127.0.0.1") || host == "127.0.0.1", "{found:?}");
        }
    }
}
