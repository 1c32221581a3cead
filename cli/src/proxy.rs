//! The way to the cluster: directly, or through a proxy that the kubeconfig or the environment names. Reads variables.
//!
//! kube has this as well, but compares `NO_PROXY` with the proxy instead of the cluster, and gives up on an entry
//! that it cannot read. So the kubeconfig's `proxy-url` and the variables are judged here.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::rt::{TokioExecutor, TokioIo};
use kube::client::{Body, ConfigExt};
use kube::config::Kubeconfig;
use kube::{Client, Config};
use tenantry_core::proxy;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tower::util::option_layer;
use tower::{BoxError, Layer, Service, ServiceExt};

use crate::error::Problem;
use crate::error::api::problem;

/// A proxy on the way to the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    url: Uri,
    /// Where the proxy was named.
    by: &'static str,
}

impl std::fmt::Display for Proxy {
    /// Leaves out the name and the password that may stand in the address.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (scheme, host) = (self.url.scheme_str().unwrap_or("http"), self.url.host().unwrap_or_default());
        let port = self.url.port_u16().map(|p| format!(":{p}")).unwrap_or_default();
        write!(f, "{scheme}://{host}{port} ({})", self.by)
    }
}

/// The `proxy-url` of the cluster that a kubeconfig selects.
pub fn of_kubeconfig(read: &Kubeconfig, context: Option<&str>) -> Option<String> {
    let wanted = context.or(read.current_context.as_deref())?;
    let context = read.contexts.iter().find(|c| c.name == wanted)?.context.as_ref()?;
    let cluster = read.clusters.iter().find(|c| c.name == context.cluster)?.cluster.as_ref()?;
    cluster.proxy_url.clone().filter(|url| !url.trim().is_empty())
}

/// Removes the proxies from a kubeconfig, so that kube does not judge them.
pub fn without(read: &mut Kubeconfig) {
    read.clusters.iter_mut().filter_map(|c| c.cluster.as_mut()).for_each(|c| c.proxy_url = None);
}

/// The proxy for a cluster: the kubeconfig's, whatever the variables say, else the variables'.
pub fn chosen(
    cluster: &Uri,
    of_kubeconfig: Option<&str>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<Proxy>, Problem> {
    let first = |names: [&str; 2]| names.into_iter().filter_map(&variable).find(|v| !v.trim().is_empty());
    if let Some(url) = of_kubeconfig {
        return parsed(url, "proxy-url in the kubeconfig").map(Some);
    }
    if cluster.scheme_str() != Some("https") {
        return Ok(None);
    }
    let (https, no) = (first(["HTTPS_PROXY", "https_proxy"]), first(["NO_PROXY", "no_proxy"]));
    let host = cluster.host().unwrap_or_default();
    match proxy::of(host, cluster.port_u16().unwrap_or(443), https.as_deref(), no.as_deref()) {
        Some(url) => parsed(url, "HTTPS_PROXY").map(Some),
        None => Ok(None),
    }
}

fn parsed(text: &str, by: &'static str) -> Result<Proxy, Problem> {
    let text = text.trim();
    let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = whole.parse::<Uri>().ok().filter(|u| u.host().is_some_and(|h| !h.is_empty()));
    // The text may hold a password, so it is not repeated.
    let Some(url) = url else {
        return Err(
            Problem::failed(format!("{by} is no address of a proxy")).why("for example http://proxy.example.org:3128")
        );
    };
    match url.scheme_str() {
        Some("http") => Ok(Proxy { url, by }),
        other => Err(Problem::failed(format!(
            "{by} asks for {}, which this program does not know",
            other.unwrap_or("it")
        ))
        .why(
            "it knows proxies that are spoken to with http, whatever goes through them: http://proxy.example.org:3128",
        )),
    }
}

/// A client of a cluster, through a proxy if there is one.
pub fn client(mut config: Config, proxy: Option<&Proxy>, patience: Duration) -> Result<Client, Problem> {
    let told = |e: kube::Error| problem("connect", &e);
    // Ignore the proxy that kube found by itself.
    config.proxy_url = None;
    config.connect_timeout = Some(patience);
    match proxy {
        None => Client::try_from(config).map_err(told),
        Some(proxy) => through(&config, Tunnel::to(proxy), patience).map_err(told),
    }
}

/// Builds a client as kube does, with another way to the cluster.
fn through(config: &Config, tunnel: Tunnel, patience: Duration) -> Result<Client, kube::Error> {
    let mut connector = TimeoutConnector::new(config.rustls_https_connector_with_connector(tunnel)?);
    connector.set_connect_timeout(Some(patience));
    let client: HttpClient<_, Body> = HttpClient::builder(TokioExecutor::new()).build(connector);
    let headers = config.extra_headers_layer()?.layer(client.map_err(BoxError::from));
    let known = option_layer(config.auth_layer()?).layer(headers);
    Ok(Client::new(config.base_uri_layer().layer(known), config.default_namespace.clone()))
}

/// Connections through a proxy (`CONNECT`); the cluster's own TLS goes through them.
#[derive(Clone)]
struct Tunnel {
    host: String,
    port: u16,
    /// `Basic ...`, when the address holds the name of a user.
    user: Option<String>,
}

/// Longest answer of a proxy, in bytes.
const ANSWER: usize = 16 * 1024;

impl Tunnel {
    fn to(Proxy { url, .. }: &Proxy) -> Self {
        let host = url.host().unwrap_or_default();
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host).to_owned();
        let user = url.authority().and_then(|a| a.as_str().rsplit_once('@')).map(|(user, _)| basic(user));
        Self { host, port: url.port_u16().unwrap_or(80), user }
    }

    async fn open(self, target: Uri) -> Result<TokioIo<TcpStream>, BoxError> {
        let place = format!("{}:{}", target.host().unwrap_or_default(), target.port_u16().unwrap_or(443));
        let away = |e: std::io::Error| format!("proxy error: {}:{}: {e}", self.host, self.port);
        let mut stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(away)?;
        stream.set_nodelay(true)?;
        let user = self.user.as_ref().map(|u| format!("Proxy-Authorization: {u}\r\n")).unwrap_or_default();
        let request = format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n{user}\r\n");
        stream.write_all(request.as_bytes()).await.map_err(away)?;
        let mut answer = Vec::new();
        // One byte at a time, because the bytes after the answer are no longer the proxy's.
        while !answer.ends_with(b"\r\n\r\n") {
            if answer.len() > ANSWER {
                return Err("proxy error: its answer has no end".into());
            }
            answer.push(stream.read_u8().await.map_err(away)?);
        }
        let text = String::from_utf8_lossy(&answer);
        let first = text.lines().next().unwrap_or_default();
        let code = first.split(' ').nth(1).unwrap_or_default();
        if !first.starts_with("HTTP/1.") || code.len() != 3 || !code.starts_with('2') {
            return Err(format!("proxy error: no way to {place}: {}", crate::output::text::clean(first)).into());
        }
        Ok(TokioIo::new(stream))
    }
}

impl Service<Uri> for Tunnel {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        Box::pin(self.clone().open(target))
    }
}

/// The header value for `name:password`, in which characters may be written as `%40`.
fn basic(user: &str) -> String {
    use base64::Engine;
    let (mut plain, mut rest) = (Vec::new(), user.as_bytes());
    while let Some((&first, after)) = rest.split_first() {
        // Two digits only, and no other text that parses as a number, such as `+A`.
        let digits = after.get(..2).filter(|d| first == b'%' && d.iter().all(u8::is_ascii_hexdigit));
        let sign = digits.and_then(|d| std::str::from_utf8(d).ok());
        match sign.and_then(|h| u8::from_str_radix(h, 16).ok()) {
            Some(sign) => {
                plain.push(sign);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                plain.push(first);
                rest = after;
            }
        }
    }
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(cluster: &str, own: Option<&str>, variables: &[(&str, &str)]) -> Result<Option<String>, Problem> {
        let variable = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        Ok(chosen(&cluster.parse().unwrap(), own, variable)?.map(|p| p.to_string()))
    }

    #[test]
    fn the_kubeconfig_comes_first_then_the_variables_in_both_spellings() {
        let (api, corp) = ("https://api.example.org:6443", "http://proxy.corp:3128");
        let by_variable = Ok(Some("http://proxy.corp:3128 (HTTPS_PROXY)".to_owned()));
        assert_eq!(found(api, None, &[]), Ok(None));
        for name in ["HTTPS_PROXY", "https_proxy"] {
            assert_eq!(found(api, None, &[(name, corp)]), by_variable);
            assert_eq!(found(api, None, &[(name, "proxy.corp:3128")]), by_variable, "without http://");
            for no in ["NO_PROXY", "no_proxy"] {
                assert_eq!(found(api, None, &[(name, corp), (no, ".example.org")]), Ok(None));
                assert_eq!(found(api, None, &[(name, corp), (no, "proxy.corp")]), by_variable);
                assert_eq!(found(api, None, &[(name, corp), (no, "localhost,,")]), by_variable);
            }
        }
        assert_eq!(found(api, None, &[("HTTPS_PROXY", ""), ("https_proxy", corp)]), by_variable);
        let own = found(api, Some("http://own.corp:3128"), &[("HTTPS_PROXY", corp), ("NO_PROXY", "*")]);
        assert_eq!(own, Ok(Some("http://own.corp:3128 (proxy-url in the kubeconfig)".into())));
        assert_eq!(found("http://127.0.0.1:8001", None, &[("HTTPS_PROXY", corp)]), Ok(None));
    }

    #[test]
    fn a_password_in_the_address_is_sent_decoded_and_never_told() {
        let api = "https://api.example.org:6443";
        assert_eq!(basic("user:pa%40ss%3Aword"), "Basic dXNlcjpwYUBzczp3b3Jk");
        assert_eq!(basic("user:pass%+A%"), "Basic dXNlcjpwYXNzJStBJQ==");
        let told = found(api, None, &[("HTTPS_PROXY", "http://user:hunter22@proxy.corp:3128")]);
        assert_eq!(told, Ok(Some("http://proxy.corp:3128 (HTTPS_PROXY)".into())));
        for wrong in ["http://user:hunter22@", "ftp://user:hunter22@proxy.corp", "user:hunter22@proxy corp"] {
            let said = found(api, None, &[("HTTPS_PROXY", wrong)]).unwrap_err();
            assert!(!said.render_plain().contains("hunter22"), "{said:?}");
        }
    }

    #[test]
    fn a_kubeconfig_names_the_proxy_of_each_cluster() {
        let read = Kubeconfig::from_yaml(
            "{apiVersion: v1, kind: Config, current-context: a, users: [],
            contexts: [{name: a, context: {cluster: a}}, {name: b, context: {cluster: b}}],
            clusters: [{name: a, cluster: {server: 'https://a', proxy-url: 'http://p:1'}}, {name: b, cluster: {server: 'https://b'}}]}",
        );
        let read = read.unwrap();
        assert_eq!(of_kubeconfig(&read, None).as_deref(), Some("http://p:1"));
        assert_eq!(of_kubeconfig(&read, Some("b")), None);
        assert_eq!(of_kubeconfig(&read, Some("none")), None);
    }
}
