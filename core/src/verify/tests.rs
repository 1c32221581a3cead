//! Tests: whole sessions against recorded forms of answers, and sessions that fail. No I/O.

use serde_json::{Value, json};

use super::*;
use crate::yaml;

fn verify(text: &str) -> Verify {
    let verify: Verify = yaml::from_str(text).unwrap();
    assert_eq!(check(&verify), [], "the example itself is right");
    verify
}

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Response {
    Response {
        status,
        headers: headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
        body: body.into(),
    }
}

fn ask(program: &mut Program) -> Request {
    program.next().unwrap().unwrap()
}

fn one_step(step: Value) -> Verify {
    serde_json::from_value(json!({"steps": [step]})).unwrap()
}

const TRYTON: &str = r#"
timeoutSeconds: 60
steps:
  - name: version
    method: POST
    path: /
    headers: {Content-Type: application/json}
    body: '{"id":0,"method":"common.server.version","params":[]}'
    expect: [{json: /result, matches: '^7\.0\.'}]
  - name: log in
    method: POST
    path: /{{ database.name }}/
    headers: {Content-Type: application/json}
    body: '{"id":1,"method":"common.db.login","params":[{{ admin.login|tojson }},{"password":{{ admin.password|tojson }}},"en"]}'
    expect: [{json: /result, exists: true}]
    capture: {uid: {json: /result/0}, session: {json: /result/1}}
  - name: create a party
    method: POST
    path: /{{ database.name }}/
    headers: &session
      Content-Type: application/json
      Authorization: Session {{ (admin.login ~ ":" ~ captures.uid ~ ":" ~ captures.session)|base64 }}
    body: '{"id":2,"method":"model.party.party.create","params":[[{"name":"Tenantry check"}],{}]}'
    expect: [{json: /result/0, exists: true}, {json: /error, exists: false}]
    capture: {party: {json: /result}}
  - name: read it
    method: POST
    path: /{{ database.name }}/
    headers: *session
    body: '{"id":3,"method":"model.party.party.read","params":[{{ captures.party|tojson }},["name"],{}]}'
    expect: [{json: /result/0/name, equals: Tenantry check}]
  - name: delete it
    method: POST
    path: /{{ database.name }}/
    headers: *session
    body: '{"id":4,"method":"model.party.party.delete","params":[{{ captures.party|tojson }},{}]}'
    expect: [{json: /error, exists: false}]
"#;

fn tryton_context() -> Value {
    json!({"database": {"name": "t_1"}, "admin": {"login": "admin", "password": "s3cret\"x"}})
}

#[test]
fn a_tryton_session_logs_in_creates_reads_and_deletes() {
    let mut program = Program::new(&verify(TRYTON), tryton_context());
    assert_eq!(ask(&mut program).path, "/");
    program.answer(&answer(200, &[], r#"{"id":0,"result":"7.0.30"}"#)).unwrap();

    let login = ask(&mut program);
    assert_eq!((login.method.as_str(), login.path.as_str()), ("POST", "/t_1/"));
    let body: Value = serde_json::from_str(login.body.as_deref().unwrap()).unwrap();
    assert_eq!(body["params"], json!(["admin", {"password": "s3cret\"x"}, "en"]));
    program.answer(&answer(200, &[], r#"{"id":1,"result":[1,"abcdef0123456789"]}"#)).unwrap();

    let create = ask(&mut program);
    // echo -n admin:1:abcdef0123456789 | base64
    let session = ("Authorization".to_owned(), "Session YWRtaW46MTphYmNkZWYwMTIzNDU2Nzg5".to_owned());
    assert!(create.headers.contains(&session), "{:?}", create.headers);
    program.answer(&answer(200, &[], r#"{"id":2,"result":[17]}"#)).unwrap();

    let read = ask(&mut program);
    assert!(read.body.as_deref().unwrap().contains(r#""params":[[17],["name"],{}]"#));
    assert_eq!(ask(&mut program), read, "until it is answered, the same request comes again");
    program.answer(&answer(200, &[], r#"{"id":3,"result":[{"id":17,"name":"Tenantry check"}]}"#)).unwrap();
    ask(&mut program);
    assert!(!program.passed());
    program.answer(&answer(200, &[], r#"{"id":4,"result":null}"#)).unwrap();
    assert!(program.next().is_none());
    assert!(program.passed());
}

#[test]
fn a_refused_log_in_of_tryton_says_what_was_seen_and_ends() {
    let mut program = Program::new(&verify(TRYTON), tryton_context());
    ask(&mut program);
    program.answer(&answer(200, &[], r#"{"id":0,"result":"7.0.30"}"#)).unwrap();
    ask(&mut program);
    let failure = program
        .answer(&answer(200, &[], r#"{"id":1,"result":null,"error":["LoginException",["s3cret\"x"]]}"#))
        .unwrap_err();
    assert_eq!(failure.step, "log in");
    assert_eq!(failure.expected, "JSON /result to exist");
    assert!(failure.seen.contains("LoginException"), "{failure}");
    assert!(program.next().is_none() && !program.passed());
}

const VTIGER: &str = r#"
steps:
  - name: challenge
    path: /webservice.php?operation=getchallenge&username={{ admin.login|urlencode }}
    expect: [{json: /success, equals: "true"}]
    capture: {token: {json: /result/token}}
  - name: webservice log-in
    method: POST
    path: /webservice.php
    headers: &form {Content-Type: application/x-www-form-urlencoded}
    body: operation=login&username={{ admin.login|urlencode }}&accessKey={{ (captures.token ~ secrets.accesskey)|md5 }}
    expect: [{json: /success, equals: "true"}]
    capture: {session: {json: /result/sessionName}, user: {json: /result/userId}}
  - name: create a lead
    method: POST
    path: /webservice.php
    headers: *form
    body: operation=create&sessionName={{ captures.session|urlencode }}&elementType=Leads&element={{
      ('{"lastname":"Tenantry check","company":"-","assigned_user_id":' ~ captures.user|tojson ~ '}')|urlencode }}
    expect: [{json: /success, equals: "true"}]
    capture: {lead: {json: /result/id}}
  - name: delete the lead
    method: POST
    path: /webservice.php
    headers: *form
    body: operation=delete&sessionName={{ captures.session|urlencode }}&id={{ captures.lead|urlencode }}
    expect: [{json: /result/status, equals: successful}]
  - name: form log-in
    method: POST
    path: /index.php
    headers: *form
    body: module=Users&action=Login&username={{ admin.login|urlencode }}&password={{ admin.password|urlencode }}
    status: [302]
    expect:
      - {header: Location, notContains: error=login}
      - {header: Location, matches: 'view=SystemSetup|module=Home|index\.php$'}
      - {cookie: PHPSESSID, exists: true}
  - name: home
    path: /index.php?module=Home&view=DashBoard
    expect: [{notContains: "Sorry! Attempt to access restricted file."}, {contains: "__vtrftk"}]
    capture: {csrf: {regex: "name=\"__vtrftk\" value=\"([^\"]+)\""}}
"#;

fn vtiger_context() -> Value {
    json!({"admin": {"login": "admin", "password": "p@ss w"}, "secrets": {"accesskey": "KEY"}})
}

#[test]
fn a_vtiger_session_logs_in_by_webservice_and_by_form() {
    let mut program = Program::new(&verify(VTIGER), vtiger_context());
    assert_eq!(ask(&mut program).path, "/webservice.php?operation=getchallenge&username=admin");
    let challenge = r#"{"success":true,"result":{"token":"5f1","serverTime":1,"expireTime":2}}"#;
    program.answer(&answer(200, &[("Set-Cookie", "PHPSESSID=one; path=/")], challenge)).unwrap();

    let login = ask(&mut program);
    // echo -n 5f1KEY | md5sum
    assert_eq!(
        login.body.as_deref(),
        Some("operation=login&username=admin&accessKey=abbe5163d567d1240117aeb908c4e809")
    );
    assert!(login.headers.contains(&("Cookie".into(), "PHPSESSID=one".into())));
    program
        .answer(&answer(200, &[], r#"{"success":true,"result":{"sessionName":"sess 123456","userId":"19x1"}}"#))
        .unwrap();

    let create = ask(&mut program).body.unwrap();
    assert!(create.contains("sessionName=sess%20123456&elementType=Leads&element=%7B%22lastname%22"), "{create}");
    assert!(create.ends_with("%22assigned_user_id%22%3A%2219x1%22%7D"), "{create}");
    program.answer(&answer(200, &[], r#"{"success":true,"result":{"id":"10x5"}}"#)).unwrap();
    ask(&mut program);
    program.answer(&answer(200, &[], r#"{"success":true,"result":{"status":"successful"}}"#)).unwrap();

    assert!(ask(&mut program).body.unwrap().ends_with("password=p%40ss%20w"));
    let headers =
        [("location", "index.php?module=Users&parent=Settings&view=SystemSetup"), ("set-cookie", "PHPSESSID=two")];
    program.answer(&answer(302, &headers, "")).unwrap();
    let home = ask(&mut program);
    assert_eq!(home.headers, [("Cookie".to_owned(), "PHPSESSID=two".to_owned())]);
    let page = r#"<input type="hidden" name="__vtrftk" value="sid:abc,1">"#;
    program.answer(&answer(200, &[], page)).unwrap();
    assert!(program.passed());
}

#[test]
fn an_error_of_vtiger_with_status_200_is_a_failure() {
    let mut program = Program::new(&verify(VTIGER), vtiger_context());
    ask(&mut program);
    let refused = r#"{"success":false,"error":{"code":"INVALID_AUTH_TOKEN","message":"..."}}"#;
    let failure = program.answer(&answer(200, &[], refused)).unwrap_err();
    assert_eq!(failure.expected, "JSON /success to be \"true\"");
    assert!(failure.seen.starts_with("\"false\" with status 200"), "{failure}");
}

#[test]
fn a_form_log_in_that_is_refused_shows_where_it_was_sent() {
    let step = json!({"name": "form", "path": "/", "status": [302], "expect": [{"header": "location", "notContains": "error=login"}]});
    let mut program = Program::new(&one_step(step), json!({}));
    ask(&mut program);
    let failure = program.answer(&answer(302, &[("Location", "index.php?error=login")], "")).unwrap_err();
    assert!(failure.seen.contains("to index.php?error=login"), "{failure}");
}

#[test]
fn failures_show_neither_secrets_nor_sessions_nor_long_pages() {
    let text = r"
steps:
  - {name: a, path: /, capture: {session: {json: /s}}}
  - {name: b, path: '/{{ captures.session }}', expect: [{contains: ok}]}
";
    let mut program = Program::new(&verify(text), json!({"admin": {"password": "hunter22"}}));
    ask(&mut program);
    program.answer(&answer(200, &[], r#"{"s":"sessionsession"}"#)).unwrap();
    assert_eq!(ask(&mut program).path, "/sessionsession");
    let page = format!("hunter22 sessionsession {}", "x".repeat(5000));
    let failure = program.answer(&answer(200, &[], &page)).unwrap_err();
    assert!(failure.seen.contains("*** *** xxx") && failure.seen.ends_with("(cut)"), "{failure}");
    assert!(failure.seen.len() < 500);
    assert!(!format!("{:?}", answer(200, &[], "hunter22")).contains("hunter22"));
}

#[test]
fn a_request_that_cannot_be_made_ends_the_verification() {
    for step in [
        json!({"name": "a", "path": "/{{ nosuch.x }}"}),
        json!({"name": "a", "path": "{{ v }}"}),
        json!({"name": "a", "path": "/", "headers": {"X": "{{ v }}"}}),
        json!({"name": "a", "path": "/", "method": "get"}),
    ] {
        let mut program = Program::new(&one_step(step.clone()), json!({"v": "a b\r\nHost: evil"}));
        let failure = program.next().unwrap().unwrap_err();
        assert_eq!(failure.expected, "a request that can be made", "{step}");
        assert!(program.next().is_none() && !program.passed());
    }
}

#[test]
fn an_answer_that_is_too_long_or_not_json_fails() {
    let step = json!({"name": "a", "path": "/", "expect": [{"json": "/x", "exists": true}]});
    let mut program = Program::new(&one_step(step), json!({}));
    ask(&mut program);
    let mut long = program.clone();
    assert!(program.answer(&answer(200, &[], "<html>")).unwrap_err().seen.starts_with("nothing there"));
    assert!(long.answer(&answer(200, &[], &"x".repeat(BODY_MAX + 1))).unwrap_err().expected.contains("at most"));
}

#[test]
fn the_check_finds_what_would_fail_later() {
    let wrong: Verify = yaml::from_str(
        r#"
timeoutSeconds: 0
steps:
  - {name: a, path: x, method: get, status: [99]}
  - {name: a, path: "/{{ captures.later }}", headers: {"a b": "{{ x"}}
  - name: b
    path: "/{{ captures.own }}"
    expect:
      - {json: x, equals: "1"}
      - {json: /x, header: y, equals: "1"}
      - {json: /x, equals: "1", contains: "2"}
      - {json: /x}
      - {matches: "("}
      - {exists: true}
    capture: {own: {json: /x}, 1bad: {json: /x}, two: {json: /x, header: y}, none: {}, re: {regex: "["}}
  - {name: c, path: "/{{ captures.own }}"}
"#,
    )
    .unwrap();
    let places: Vec<String> = check(&wrong).into_iter().map(|p| p.place).collect();
    assert_eq!(
        places,
        [
            "verify.timeoutSeconds",
            "verify.steps[0].method",
            "verify.steps[0].path",
            "verify.steps[0].status",
            "verify.steps[1].name",
            "verify.steps[1].path",
            "verify.steps[1].headers.a b",
            "verify.steps[1].headers.a b",
            "verify.steps[2].path",
            "verify.steps[2].expect[0].json",
            "verify.steps[2].expect[1]",
            "verify.steps[2].expect[2]",
            "verify.steps[2].expect[3]",
            "verify.steps[2].expect[4].matches",
            "verify.steps[2].expect[5].exists",
            "verify.steps[2].capture.1bad",
            "verify.steps[2].capture.none",
            "verify.steps[2].capture.re",
            "verify.steps[2].capture.two",
        ]
    );
    let many = Verify { timeout_seconds: 1, steps: vec![wrong.steps[3].clone(); STEPS_MAX + 1] };
    assert!(check(&many).iter().any(|p| p.place == "verify.steps"));
}

#[test]
fn a_request_looks_like_one_that_came_through_an_ingress_unless_the_blueprint_says_otherwise() {
    let of = |headers: &[(&str, &str)]| Request {
        step: "s".into(),
        process: None,
        method: "GET".into(),
        path: "/".into(),
        headers: headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        body: None,
    };
    let names = |all: Vec<(String, String)>| all.into_iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>();
    assert_eq!(
        names(of(&[("Accept", "a")]).headers_at("https://crm.acme.example:8443")),
        ["host=crm.acme.example:8443", "x-forwarded-proto=https", "x-forwarded-host=crm.acme.example:8443", "Accept=a"]
    );
    assert_eq!(
        names(of(&[("HOST", "other"), ("X-Forwarded-Proto", "http")]).headers_at("https://crm.acme.example")),
        ["x-forwarded-host=crm.acme.example", "HOST=other", "X-Forwarded-Proto=http"]
    );
}
