//! `tenantry-agent page` over real sockets. Does I/O.
// Helpers and closures of tests, which the lint does not take for tests.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{AGENT, Folder, eventually, signal};

struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(page: Option<&str>) -> (Folder, Self) {
        let folder = Folder::new();
        // A free port, given back at once: nobody else takes it in between as a rule.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let mut command = Command::new(AGENT);
        command.args(["page", "--listen", &address]).stdin(Stdio::null());
        if let Some(page) = page {
            command.arg("--file").arg(folder.file("page.json", page));
        }
        let server = Self { child: command.spawn().unwrap(), address };
        eventually("the page listens", || TcpStream::connect(&server.address).is_ok());
        (folder, server)
    }

    fn ask(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8(answer).unwrap()
    }

    fn get(&self, path: &str, headers: &str) -> String {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn people_get_a_page_in_their_language_and_programs_a_problem() {
    let (_folder, server) = Server::start(Some(
        r#"{"kind":"suspended","reason":{"en":"<b>Unpaid</b>","vi":"Chưa thanh toán"},"contact":"a@b.c","retryAfterSeconds":120}"#,
    ));
    let english = server.get("/any/path?x=1", "Accept: text/html\r\n");
    assert!(english.starts_with("HTTP/1.1 503 "), "{english}");
    let head = english.to_lowercase();
    for header in
        ["retry-after: 120\r\n", "content-language: en\r\n", "cache-control: no-store\r\n", "connection: close\r\n"]
    {
        assert!(head.contains(header), "{header} in {english}");
    }
    assert!(english.contains("&lt;b&gt;Unpaid&lt;/b&gt;") && english.contains("Contact: a@b.c"));
    let vietnamese = server.get("/", "Accept: text/html\r\nAccept-Language: vi-VN,vi;q=0.9\r\n");
    assert!(vietnamese.contains("Chưa thanh toán") && vietnamese.contains("<html lang=\"vi\">"));

    let json = server.get("/api", "Accept: application/json\r\n");
    assert!(json.contains("content-type: application/problem+json"), "{json}");
    let body: serde_json::Value = serde_json::from_str(json.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!((body["status"].as_u64(), body["detail"].as_str()), (Some(503), Some("<b>Unpaid</b>")));
    let post = "POST /db/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    assert!(server.ask(post).contains("application/problem+json"));
}

#[test]
fn the_probe_is_well_and_head_has_no_body() {
    let (_folder, server) = Server::start(Some(r#"{"kind": "suspended"}"#));
    let health = server.get("/healthz", "");
    assert!(health.starts_with("HTTP/1.1 200 "));
    let head = server.ask("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 503 ") && head.ends_with("\r\n\r\n"), "{head}");
    let length: usize = head.lines().find_map(|l| l.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    assert!(length > 500);
    for answer in [health, head] {
        assert!(
            answer.contains("x-tenantry-page: suspended\r\n"),
            "nobody takes it for a CRM that is healthy: {answer}"
        );
    }
}

#[test]
fn large_heads_and_bodies_do_no_harm() {
    let (_folder, server) = Server::start(None);
    let many = "X: y\r\n".repeat(500);
    assert!(server.get("/", &many).starts_with("HTTP/1.1 431 "));
    let long = format!("X: {}\r\n", "y".repeat(100_000));
    let answer = server.get("/", &long);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let body = "x".repeat(500_000);
    let post = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    assert!(server.ask(&post).starts_with("HTTP/1.1 503 "));
    assert!(server.ask("nonsense\r\n\r\n").starts_with("HTTP/1.1 400 "));
    assert!(server.get("/healthz", "").starts_with("HTTP/1.1 200 "));
}

#[test]
fn idle_connections_do_not_keep_others_out_and_are_closed() {
    let (_folder, server) = Server::start(None);
    let mut idle: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(&server.address).unwrap()).collect();
    assert!(server.get("/healthz", "").starts_with("HTTP/1.1 200 "));
    let first = &mut idle[0];
    first.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    first.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    // Its head never ends: the server does not wait for ever.
    let mut rest = Vec::new();
    let _ = first.read_to_end(&mut rest);
}

#[test]
fn sigterm_ends_the_page_with_0() {
    let (_folder, mut server) = Server::start(None);
    signal(&server.child, "TERM");
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
    assert!(TcpStream::connect(&server.address).is_err());
}

#[test]
fn every_address_is_one_of_ipv4_and_of_ipv6() {
    let port = TcpListener::bind("[::]:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new(AGENT);
    command.args(["page", "--listen", &format!("[::]:{port}")]).stdin(Stdio::null());
    let mut server = Server { child: command.spawn().unwrap(), address: String::new() };
    for address in ["127.0.0.1", "::1"] {
        server.address = match address.contains(':') {
            true => format!("[{address}]:{port}"),
            false => format!("{address}:{port}"),
        };
        eventually("the page listens", || TcpStream::connect(&server.address).is_ok());
        assert!(server.get("/healthz", "").starts_with("HTTP/1.1 200"), "{address}");
    }
}

#[test]
fn a_wrong_file_or_address_is_refused() {
    let folder = Folder::new();
    let file = folder.file("page.json", r#"{"titel":"x"}"#);
    let refused = Command::new(AGENT).args(["page", "--listen", "127.0.0.1:0", "--file"]).arg(file).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    let refused = Command::new(AGENT).args(["page", "--listen", "192.0.2.1:80"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
}
