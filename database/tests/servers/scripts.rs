//! A blueprint's SQL as the instance's own role, and servers that do not answer — does I/O.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tenantry_core::calls::{Gate, Open};
use tenantry_core::class::ErrorClass;
use tenantry_core::secret::Secret;
use tenantry_database::{Endpoint, Engine, Error, Login, Tls, connect, run_as};

use crate::support::World;

crate::on_every_server!(
    a_script_that_fails_leaves_nothing,
    a_failed_script_names_the_statement_but_not_its_text,
    a_script_that_takes_too_long_is_ended,
);

async fn a_script_that_fails_leaves_nothing(w: World) {
    let new = w.empty("scr_atomic");
    w.admin().create(&new).await.unwrap();
    w.script(&new, "CREATE TABLE t (a int PRIMARY KEY)").await.unwrap();
    let error = w
        .script(&new, "INSERT INTO t VALUES (1); INSERT INTO t VALUES (2); INSERT INTO t VALUES (1)")
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Script { statement: 3, .. }), "{error}");
    assert_eq!(error.class(), ErrorClass::Invalid);
    assert_eq!(w.ask(&new, "SELECT count(*) FROM t").await.unwrap().as_deref(), Some("0"));
    w.script(&new, "INSERT INTO t VALUES (1); -- a; comment\nINSERT INTO t VALUES (2)").await.unwrap();
    assert_eq!(w.ask(&new, "SELECT count(*) FROM t").await.unwrap().as_deref(), Some("2"));
}

async fn a_failed_script_names_the_statement_but_not_its_text(w: World) {
    let new = w.empty("scr_text");
    w.admin().create(&new).await.unwrap();
    w.script(&new, "CREATE TABLE t (a int PRIMARY KEY, b varchar(3) UNIQUE)").await.unwrap();
    for sql in [
        "INSERT INTO t VALUES ('hunter2', 'x')",
        "INSERT INTO t VALUES (1, 'hunter2')",
        "INSERT INTO t VALUES (1, 'h2'); INSERT INTO t VALUES (2, 'h2')",
        "INSERT INTO t VALUES (1, 'hunter2'",
        "SELEKT 'hunter2'",
        "UPDATE t SET hunter2h2",
        "INSERT INTO t VALUES (1, 'h2') ON 'hunter2' it",
    ] {
        let error = w.script(&new, sql).await.err();
        let Some(error) = error else { panic!("{sql} was allowed") };
        let text = format!("{error} {error:?}");
        assert!(!text.contains("hunter2") && !text.contains("h2'"), "{text}");
        assert!(!text.contains("secretOf"), "{text}");
    }
    let missing = w.script(&new, "SELECT * FROM nothing_here").await.unwrap_err();
    assert!(missing.to_string().contains("nothing_here"), "{missing}");
}

async fn a_script_that_takes_too_long_is_ended(w: World) {
    let new = w.empty("scr_long");
    w.admin().create(&new).await.unwrap();
    let gate: Arc<dyn Gate> = Arc::new(Open);
    let sleep = if w.is_mariadb() { "SELECT SLEEP(30) FROM seq_1_to_3" } else { "SELECT pg_sleep(30)" };
    let started = Instant::now();
    let error =
        run_as(&w.endpoint, &w.login_of(&new), "scr_long", sleep, &gate, Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Transient, "{error}");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

fn login() -> Login {
    Login { user: "admin".into(), password: Secret::new("hunter2") }
}

#[tokio::test]
async fn a_server_that_is_away_is_a_transient_error_at_once() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    for engine in [Engine::Postgresql, Engine::Mariadb] {
        let endpoint = Endpoint { name: None, engine, host: "127.0.0.1".into(), port, tls: Tls::Disable };
        let started = Instant::now();
        let error = connect(endpoint, login(), Arc::new(Open)).unwrap().probe().await.unwrap_err();
        assert!(matches!(error, Error::Unreachable { .. }), "{error}");
        assert_eq!(error.class(), ErrorClass::Transient);
        assert!(started.elapsed() < Duration::from_secs(2));
    }
}

#[tokio::test]
async fn a_server_that_hangs_ends_in_a_transient_error() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    for engine in [Engine::Postgresql, Engine::Mariadb] {
        let endpoint = Endpoint { name: None, engine, host: "127.0.0.1".into(), port, tls: Tls::Disable };
        let started = Instant::now();
        let error = connect(endpoint, login(), Arc::new(Open)).unwrap().probe().await.unwrap_err();
        assert!(matches!(error, Error::Timeout { .. }), "{error}");
        assert_eq!(error.class(), ErrorClass::Transient);
        assert!(started.elapsed() < Duration::from_secs(7));
    }
    drop(listener);
}

#[tokio::test]
async fn a_server_without_tls_is_refused_when_tls_is_required() {
    let mut world = World::new(crate::support::Kind::Postgresql);
    world.endpoint.tls = Tls::Require { ca: None };
    let error = world.admin().probe().await.unwrap_err();
    assert!(matches!(error, Error::Tls { .. }), "{error:?}");
}
