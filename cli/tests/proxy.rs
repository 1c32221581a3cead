//! The program itself behind a proxy: a real CONNECT proxy in front of a real TLS server, with the variables and the
//! kubeconfig as people have them. Does I/O on the loopback; needs openssl for a certificate.

// A test that cannot go on says so and ends.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::thread;

use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A name that nobody but the proxy can resolve.
const NAME: &str = "api.cluster.test";

struct Place(PathBuf);

impl Place {
    fn new(what: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tenantry-proxy-{what}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A TLS server that answers every request with an empty list of tenants. Gives its address.
fn server(place: &Path) -> SocketAddr {
    let (key, cert) = (place.join("key.pem"), place.join("cert.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=api.cluster.test", "-addext", "subjectAltName=DNS:api.cluster.test"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .output()
        .expect("openssl is needed");
    assert!(made.status.success(), "{made:?}");
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_file(&cert).unwrap()],
            PrivateKeyDer::from_pem_file(&key).unwrap(),
        )
        .unwrap();
    let (config, listener) = (Arc::new(config), TcpListener::bind("0.0.0.0:0").unwrap());
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = ServerConnection::new(config.clone()).unwrap();
            thread::spawn(move || answer(StreamOwned::new(connection, stream)));
        }
    });
    ([127, 0, 0, 1], port).into()
}

fn answer(mut stream: StreamOwned<ServerConnection, TcpStream>) -> Option<()> {
    loop {
        head(&mut stream)?;
        let body = r#"{"kind":"TenantList","apiVersion":"tenantry.dev/v1alpha1","metadata":{"resourceVersion":"1"},"items":[]}"#;
        let length = body.len();
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
            .ok()?;
        stream.flush().ok()?;
    }
}

/// The head of a request.
fn head(stream: &mut impl Read) -> Option<String> {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        read.push(byte[0]);
    }
    String::from_utf8(read).ok()
}

/// A proxy that knows where [`NAME`] is. Gives its port, and what it was asked for.
fn proxy(to: SocketAddr) -> (u16, Arc<Mutex<Vec<String>>>) {
    let (listener, heads) = (TcpListener::bind("127.0.0.1:0").unwrap(), Arc::new(Mutex::new(Vec::new())));
    let (port, seen) = (listener.local_addr().unwrap().port(), heads.clone());
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let seen = seen.clone();
            thread::spawn(move || {
                let asked = head(&mut client)?;
                let known = asked.starts_with(&format!("CONNECT {NAME}:{} ", to.port()));
                seen.lock().ok()?.push(asked);
                if !known {
                    return client.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").ok();
                }
                let server = TcpStream::connect(to).ok()?;
                client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").ok()?;
                let (from_client, to_server) = (client.try_clone().ok()?, server.try_clone().ok()?);
                let there = thread::spawn(move || copy(from_client, to_server));
                copy(server, client);
                there.join().ok()
            });
        }
    });
    (port, heads)
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
}

/// Runs the program with a kubeconfig and with nothing of our own environment that could matter.
fn tenantry(place: &Path, server: &str, more: &str, words: &[&str], variables: &[(&str, &str)]) -> Output {
    let text = format!(
        r"apiVersion: v1
kind: Config
current-context: far
contexts: [{{name: far, context: {{cluster: far, user: me}}}}]
users: [{{name: me, user: {{token: not-a-secret}}}}]
clusters:
  - name: far
    cluster: {{server: '{server}', certificate-authority: '{}', tls-server-name: {NAME}{more}}}
",
        place.join("cert.pem").display()
    );
    let file = place.join("kubeconfig");
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tenantry"));
    for name in ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "NO_PROXY", "no_proxy"] {
        command.env_remove(name);
    }
    command.args(words).arg("--kubeconfig").arg(&file).envs(variables.iter().copied()).output().unwrap()
}

/// A port that nobody listens on.
fn nobody() -> String {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    format!("http://127.0.0.1:{port}")
}

#[test]
fn commands_work_through_a_proxy_and_past_it() {
    let place = Place::new("works");
    let place = place.0.as_path();
    let api = server(place);
    let (port, asked) = proxy(api);
    let through = format!("http://127.0.0.1:{port}");
    let far = format!("https://{NAME}:{}", api.port());
    let count = || asked.lock().unwrap().len();
    let fine = |output: &Output| {
        assert!(output.status.success(), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("\"items\": []"), "{output:?}");
    };
    let list = ["tenant", "list", "-o", "json"];

    // Both spellings; what NO_PROXY says of the proxy itself, or what nobody can read there, does not matter.
    for variables in [
        vec![("HTTPS_PROXY", through.as_str())],
        vec![("https_proxy", through.as_str())],
        vec![("HTTPS_PROXY", through.as_str()), ("NO_PROXY", "127.0.0.1,localhost")],
        vec![("HTTPS_PROXY", through.as_str()), ("no_proxy", "localhost,,10.0.0.0/x,")],
    ] {
        let before = count();
        fine(&tenantry(place, &far, "", &list, &variables));
        assert!(count() > before, "{variables:?}: not through the proxy");
    }

    // The kubeconfig's own proxy holds whatever the variables say.
    let (own, dead) = (format!(", proxy-url: '{through}'"), nobody());
    let before = count();
    fine(&tenantry(place, &far, &own, &list, &[("HTTPS_PROXY", dead.as_str()), ("NO_PROXY", "*")]));
    assert!(count() > before, "not through the kubeconfig's proxy");

    // A name and a password are the proxy's to see, and nobody else's.
    let before = count();
    let named = through.replace("http://", "http://user:pa%40ss@");
    fine(&tenantry(place, &far, "", &list, &[("HTTPS_PROXY", named.as_str())]));
    let head = asked.lock().unwrap()[before].to_ascii_lowercase();
    assert!(head.contains("proxy-authorization: basic dxnlcjpwyubzcw=="), "{head}");
    assert!(!head.contains("not-a-secret"), "the token of the cluster went to the proxy: {head}");
    let told = tenantry(place, &far, "", &["version"], &[("HTTPS_PROXY", named.as_str())]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains(&format!("through http://127.0.0.1:{port} (HTTPS_PROXY)")), "{told}");

    // Past it: what NO_PROXY names, and the machine itself. (0.0.0.0 is this machine, but no loopback address.)
    let before = count();
    let near = format!("https://0.0.0.0:{}", api.port());
    for no_proxy in ["0.0.0.0", "0.0.0.0/8", "10.0.0.0/8,0.0.0.0/8", "*"] {
        fine(&tenantry(place, &near, "", &list, &[("HTTPS_PROXY", dead.as_str()), ("NO_PROXY", no_proxy)]));
    }
    fine(&tenantry(place, &format!("https://{api}"), "", &list, &[("HTTPS_PROXY", dead.as_str())]));
    let lost = tenantry(place, &far, "", &list, &[("HTTPS_PROXY", through.as_str()), ("NO_PROXY", ".cluster.test")]);
    assert_eq!(lost.status.code(), Some(1), "nobody but the proxy knows this name: {lost:?}");
    assert_eq!(count(), before, "the proxy was asked all the same");
}

#[test]
fn a_proxy_that_is_away_or_refuses_is_named_without_its_password() {
    let place = Place::new("fails");
    let place = place.0.as_path();
    let api = server(place);
    let (port, _asked) = proxy(([127, 0, 0, 1], 1).into());
    let refuses = format!("http://user:hunter22@127.0.0.1:{port}");
    let far = format!("https://{NAME}:{}", api.port());
    for url in [refuses, nobody().replace("http://", "http://user:hunter22@"), "ftp://user:hunter22@127.0.0.1".into()] {
        let output = tenantry(place, &far, "", &["tenant", "list"], &[("HTTPS_PROXY", url.as_str())]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("HTTPS_PROXY") && !said.contains("hunter22"), "{said}");
    }
}
