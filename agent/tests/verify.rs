//! `tenantry-agent verify` against small servers in the test. Does I/O.
// Helpers and closures of tests, which the lint does not take for tests.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Output;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Folder, agent, finish, messages, reports};
use serde_json::{Value, json};

/// Answers connections one after the other with these texts and keeps what it was asked.
fn serve(listener: TcpListener, answers: Vec<String>) -> Arc<Mutex<Vec<String>>> {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&asked);
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            keep.lock().unwrap().push(read(&mut stream));
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    asked
}

fn read(stream: &mut TcpStream) -> String {
    let (mut all, mut chunk) = (Vec::new(), [0_u8; 4096]);
    loop {
        let n = stream.read(&mut chunk).unwrap();
        all.extend_from_slice(&chunk[..n]);
        let text = String::from_utf8_lossy(&all).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|l| l.to_lowercase().strip_prefix("content-length: ").map(str::to_owned));
        if n == 0 || body.len() >= length.map_or(0, |l| l.parse().unwrap()) {
            return text;
        }
    }
}

fn ok(headers: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{headers}Connection: close\r\n\r\n{body}", body.len())
}

fn verify(file: Value, address: &str) -> Output {
    let folder = Folder::new();
    let path = folder.file("verify.json", &file.to_string());
    let url = format!("http://{address}");
    finish(agent(&folder, &["verify", "--file", path.to_str().unwrap(), "--base-url", &url]).spawn().unwrap())
}

fn session() -> Value {
    json!({
        "verify": {"timeoutSeconds": 60, "steps": [
            {"name": "log in", "method": "POST", "path": "/login", "headers": {"Content-Type": "application/json"},
             "body": "{\"password\":{{ admin.password|tojson }}}", "capture": {"token": {"json": "/token"}}},
            {"name": "read", "path": "/me?t={{ captures.token|urlencode }}", "headers": {"Host": "crm.example"},
             "expect": [{"json": "/name", "equals": "admin"}]},
        ]},
        "context": {"admin": {"password": "hunter22"}},
    })
}

#[test]
fn a_session_is_verified_with_cookies_and_captures() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = serve(
        listener,
        vec![ok("Set-Cookie: sid=abc; Path=/\r\n", r#"{"token":"a b"}"#), ok("", r#"{"name":"admin"}"#)],
    );
    let done = verify(session(), &address);
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stdout));
    let asked = asked.lock().unwrap().clone();
    assert!(asked[0].starts_with("POST /login HTTP/1.1\r\n") && asked[0].ends_with("{\"password\":\"hunter22\"}"));
    let second = asked[1].to_lowercase();
    assert!(second.starts_with("get /me?t=a%20b http/1.1\r\n"), "{second}");
    assert!(second.contains("host: crm.example\r\n") && second.contains("cookie: sid=abc\r\n"), "{second}");
    assert!(!second.contains(&address), "{second}");
    assert!(!String::from_utf8_lossy(&done.stdout).contains("hunter22"));
}

#[test]
fn a_wrong_answer_fails_and_shows_what_was_seen_without_secrets() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    serve(listener, vec!["HTTP/1.1 403 No\r\nContent-Length: 18\r\n\r\nhunter22 was wrong".into()]);
    let done = verify(session(), &address);
    assert_eq!(done.status.code(), Some(1));
    assert_eq!(
        messages(&reports(&done.stdout), "failed")[1],
        "log in: expected status 200, seen status 403: *** was wrong"
    );
}

#[test]
fn a_server_that_is_not_there_yet_is_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let later = address.clone();
    let server = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(1));
        serve(TcpListener::bind(later).unwrap(), vec![ok("", r#"{"token":"t"}"#), ok("", r#"{"name":"admin"}"#)])
    });
    let done = verify(session(), &address);
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stdout));
    server.join().unwrap();
}

#[test]
fn a_server_that_never_comes_or_never_answers_is_a_timeout() {
    let mut file = session();
    file["verify"]["timeoutSeconds"] = json!(2);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let done = verify(file.clone(), &address);
    assert_eq!(done.status.code(), Some(3));
    assert!(messages(&reports(&done.stdout), "timedOut")[0].contains("no answer"));
    drop(silent);
    assert_eq!(verify(file, &address).status.code(), Some(3));
}

#[test]
fn an_endless_body_is_not_read_to_its_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        read(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[b'x'; 4096]).is_ok() {}
    });
    let done = verify(session(), &address);
    assert_eq!(done.status.code(), Some(1));
    assert!(messages(&reports(&done.stdout), "failed")[0].contains("at most 1048576 bytes"));
}

#[test]
fn wrong_files_and_urls_are_refused() {
    let mut unknown = session();
    unknown["verify"]["steps"][1]["process"] = json!("worker");
    let mut late = session();
    late["verify"]["steps"][0]["path"] = json!("/{{ captures.token }}");
    for file in [unknown, late, json!({"verify": 1})] {
        assert_eq!(verify(file.clone(), "127.0.0.1:1").status.code(), Some(2), "{file}");
    }
    for address in ["", "u:p@h:1", "h:1/path"] {
        assert_eq!(verify(session(), address).status.code(), Some(2), "{address}");
    }
}
