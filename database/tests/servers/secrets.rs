//! Passwords: in no error, no Debug, no label of a call and no log of a server — does I/O.

use std::sync::Arc;

use tenantry_core::calls::Fault;
use tenantry_core::secret::Secret;
use tenantry_database::NewDatabase;

use crate::support::{Breaking, Kind, World};

crate::on_every_server!(passwords_appear_nowhere, what_a_script_holds_is_in_no_log_when_it_fails);

async fn passwords_appear_nowhere(w: World) {
    let gate = Arc::new(Breaking::new(0, Fault::Error));
    let admin = w.gated(gate.clone());
    let new = NewDatabase { password: Secret::new("veryHidden1Word"), ..w.empty("sec_one") };
    admin.create(&new).await.unwrap();
    let other = NewDatabase { password: Secret::new("veryHidden2Word"), ..new.clone() };
    admin.create(&other).await.unwrap();
    admin.set_password("sec_one", &new.owner, &Secret::new("veryHidden3Word")).await.unwrap();
    let error = w.ask(&new, "SELECT 1").await.unwrap_err();
    let texts = format!("{error} {error:?} {new:?} {admin:?} {:?} {:?}", w.login, gate.calls());
    let log = w.statements();
    assert!(log.contains("sec_one"), "the log of statements is empty");
    for text in [texts, log] {
        assert!(!text.contains("veryHidden"), "a password is shown");
    }
}

async fn what_a_script_holds_is_in_no_log_when_it_fails(w: World) {
    if w.kind == Kind::Provider {
        // Only a superuser says what a role writes into the log (docs/protection.md).
        return;
    }
    let new = w.empty("sec_fails");
    w.admin().create(&new).await.unwrap();
    if !w.is_mariadb() {
        // All statements are logged on these servers, for the test above; not in this database.
        w.root("postgres", "ALTER DATABASE sec_fails SET log_statement = 'none'").await;
        assert_eq!(w.root("postgres", "SHOW log_min_error_statement").await, "panic");
    }
    w.script(&new, "CREATE TABLE people (login varchar(40) PRIMARY KEY)").await.unwrap();
    for sql in [
        "UPDATE nothing SET password = 'veryHidden4Word'",
        "INSERT INTO people VALUES ('veryHidden5Word'), ('veryHidden5Word')",
        "SELECT * FROM people WHERE login = 'veryHidden6Word",
        "SELECT (SELECT login FROM people WHERE login = 'veryHidden7Word' OR nothing(1)) + 1",
    ] {
        let error = w.script(&new, sql).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("veryHidden"), "{error}");
    }
    if w.is_mariadb() {
        // One that is broken off while it sorts.
        let sort = "CREATE TABLE many AS SELECT seq FROM seq_1_to_3000; SET SESSION max_session_mem_used = 50000; \
                    SELECT seq FROM many ORDER BY md5(concat(seq, 'veryHidden8Word')) LIMIT 2990, 1";
        assert!(w.script(&new, sort).await.is_err());
    } else {
        let inner = "DO $$ BEGIN EXECUTE 'SELECT ''veryHidden8Word''::int'; END $$";
        assert!(w.script(&new, inner).await.is_err());
        assert!(w.ask(&new, "SELECT 'veryHidden9Word'::int").await.is_err());
        // The tenant itself cannot have it otherwise.
        assert!(w.script(&new, "SET log_min_error_statement = 'error'").await.is_err());
    }
    let log = w.errors();
    assert!(!log.is_empty(), "there is no log");
    let shown = log.lines().find(|line| line.contains("veryHidden"));
    assert_eq!(shown, None, "a failing statement is shown");
}
