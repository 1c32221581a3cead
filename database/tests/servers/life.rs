//! The life of a database: made, found, counted, locked, dropped — does I/O.

use tenantry_core::class::ErrorClass;
use tenantry_core::secret::Secret;
use tenantry_database::{Dropped, Error, Login, NewDatabase, Page, State};

use crate::support::World;

crate::on_every_server!(
    a_probe_tells_the_facts_and_a_second_one_writes_nothing,
    a_database_is_made_once_and_its_role_works_in_it,
    the_secret_is_the_truth_about_the_password,
    a_password_is_tried_before_it_is_set_and_after,
    the_release_of_a_database_is_recorded_by_its_owner_only,
    records_are_found_by_name_page_and_owner,
    more_records_than_a_page_holds_are_all_found,
    a_database_that_was_dropped_by_hand_is_not_among_those_there_are,
    states_are_set_by_the_owner_only,
    a_locked_role_is_out_at_once_and_comes_back_when_unlocked,
    a_dropped_database_is_gone_with_its_role_and_record,
    a_database_that_is_not_in_the_registry_is_left_alone,
    a_database_of_another_owner_is_left_alone,
    a_role_that_is_not_ours_is_left_alone,
    sizes_grow,
    a_database_whose_drop_was_broken_off_in_the_server_is_dropped_all_the_same,
    names_that_could_leave_their_quotes_are_refused,
);

async fn a_probe_tells_the_facts_and_a_second_one_writes_nothing(w: World) {
    let facts = w.admin().probe().await.unwrap();
    assert_eq!(facts.version_major, if w.is_mariadb() { 10 } else { 15 });
    let open = if w.kind == crate::support::Kind::Provider { vec!["postgres", "template1"] } else { vec![] };
    assert_eq!(facts.open_to_all, open);
    let gate = std::sync::Arc::new(crate::support::Breaking::new(0, tenantry_core::calls::Fault::Error));
    w.gated(gate.clone()).probe().await.unwrap();
    let writes: Vec<_> =
        gate.calls().into_iter().filter(|c| ["create", "open", "close"].iter().any(|w| c.contains(w))).collect();
    assert!(writes.is_empty(), "{writes:?}");
}

async fn a_database_is_made_once_and_its_role_works_in_it(w: World) {
    let new = w.empty("life_made");
    let admin = w.admin();
    admin.create(&new).await.unwrap();
    w.script(&new, "CREATE TABLE t (a int); INSERT INTO t VALUES (7)").await.unwrap();
    let before = w.dump("life_made", Some("life_made")).await;
    admin.create(&new).await.unwrap();
    assert_eq!(w.dump("life_made", Some("life_made")).await, before);
    assert_eq!(w.ask(&new, "SELECT a FROM t").await.unwrap().as_deref(), Some("7"));
    assert_eq!(admin.record("life_made").await.unwrap().unwrap().state, State::Loaded);
}

async fn the_secret_is_the_truth_about_the_password(w: World) {
    let new = w.empty("life_password");
    let admin = w.admin();
    admin.create(&new).await.unwrap();
    let other = NewDatabase { password: Secret::new("another1Password"), ..new.clone() };
    admin.create(&other).await.unwrap();
    assert!(w.ask(&other, "SELECT 1").await.is_ok());
    let error = w.ask(&new, "SELECT 1").await.unwrap_err();
    assert!(matches!(&error, Error::Authentication { role, .. } if role == "life_password"), "{error}");
    admin.set_password("life_password", &new.owner, &new.password).await.unwrap();
    assert!(w.ask(&new, "SELECT 1").await.is_ok());
}

async fn a_password_is_tried_before_it_is_set_and_after(w: World) {
    let new = w.empty("life_kept");
    let admin = w.admin();
    admin.create(&new).await.unwrap();
    let gate = std::sync::Arc::new(crate::support::Breaking::new(0, tenantry_core::calls::Fault::Error));
    let watched = w.gated(gate.clone());
    watched.keep_password("life_kept", &new.owner, &new.password).await.unwrap();
    assert!(!gate.calls().iter().any(|c| c.contains("set password")), "{:?}", gate.calls());
    let other = NewDatabase { password: Secret::new("another1Password"), ..new.clone() };
    watched.keep_password("life_kept", &new.owner, &other.password).await.unwrap();
    assert!(w.ask(&other, "SELECT 1").await.is_ok());
    let error = admin.keep_password("life_kept", "instance/other", &new.password).await.unwrap_err();
    assert!(matches!(error, Error::Foreign { .. }), "{error}");
    // A locked role logs in with no password: that is said, and it stays locked.
    admin.lock_role("life_kept", &new.owner).await.unwrap();
    let error = admin.keep_password("life_kept", &new.owner, &new.password).await.unwrap_err();
    assert!(matches!(error, Error::Authentication { .. }), "{error}");
}

async fn the_release_of_a_database_is_recorded_by_its_owner_only(w: World) {
    let new = w.empty("life_release");
    let admin = w.admin();
    admin.create(&new).await.unwrap();
    admin.set_release("life_release", &new.owner, "cd34").await.unwrap();
    assert_eq!(admin.record("life_release").await.unwrap().unwrap().release_hash, "cd34");
    let error = admin.set_release("life_release", "instance/other", "ef56").await.unwrap_err();
    assert!(matches!(error, Error::Foreign { .. }), "{error}");
    admin.set_state("life_release", &new.owner, State::Archived).await.unwrap();
    assert!(matches!(admin.set_release("life_release", &new.owner, "ef56").await, Err(Error::State { .. })));
    assert_eq!(admin.record("life_release").await.unwrap().unwrap().release_hash, "cd34");
}

async fn records_are_found_by_name_page_and_owner(w: World) {
    let admin = w.admin();
    for name in ["lifeq_a", "lifeq_b", "lifeq_c"] {
        let owner = if name == "lifeq_a" { "instance/one" } else { "instance/two" }.to_owned();
        admin.create(&NewDatabase { owner, ..w.empty(name) }).await.unwrap();
    }
    let template = NewDatabase { owner: "template/x/y".into(), ..w.empty("lifeq_t") };
    admin.create(&template).await.unwrap();
    let names = |rows: Vec<tenantry_database::DatabaseRecord>| rows.into_iter().map(|r| r.name).collect::<Vec<_>>();
    let page = |after: Option<&str>| Page { prefix: "lifeq_".into(), after: after.map(Into::into), limit: 2 };
    assert_eq!(names(admin.records(&page(None)).await.unwrap()), ["lifeq_a", "lifeq_b"]);
    assert_eq!(names(admin.records(&page(Some("lifeq_b"))).await.unwrap()), ["lifeq_c", "lifeq_t"]);
    assert_eq!(names(admin.find_by_owner("instance/two").await.unwrap()), ["lifeq_b", "lifeq_c"]);
    let record = admin.record("lifeq_a").await.unwrap().unwrap();
    assert_eq!((record.tenant.as_str(), record.generation, record.release_hash.as_str()), ("t1", 1, "ab12"));
    assert!(record.created_at.ends_with('Z') && record.created_at.contains('T'), "{}", record.created_at);
    assert!(admin.record("lifeq_z").await.unwrap().is_none());
    // Other tests make and drop databases meanwhile; three of ours are there, and the template is not counted.
    assert!(admin.count().await.unwrap() >= 3);
    let table = if w.is_mariadb() { "`databases`" } else { "databases" };
    let templates = format!("SELECT count(*) FROM {table} WHERE owner LIKE 'template/%'");
    assert_ne!(w.root("tenantry_registry", &templates).await, "0");
}

async fn more_records_than_a_page_holds_are_all_found(w: World) {
    let (table, numbers) = if w.is_mariadb() {
        ("`databases`", "(SELECT seq n FROM seq_1_to_2000) numbers")
    } else {
        ("databases", "generate_series(1, 2000) n")
    };
    let rows = format!(
        "INSERT INTO {table} (name, owner, tenant, generation, role, state, release_hash, created_at, updated_at) \
         SELECT concat('pages_', n), 'template/pages', 'pages', 1, 'pages', 'loaded', 'ab12', now(), now() FROM {numbers}"
    );
    w.root(tenantry_database::REGISTRY, &rows).await;
    let (admin, mut names) = (w.admin(), std::collections::BTreeSet::new());
    // Two full pages: only the third, which is empty, says that there is no more.
    for records in [admin.find_by_owner("template/pages").await, admin.find_by_tenant("pages").await] {
        let records = records.unwrap();
        assert_eq!(records.len(), 2000);
        names.extend(records.into_iter().map(|record| record.name));
    }
    assert_eq!(names.len(), 2000, "a record was found twice and another one not at all");
    w.root(tenantry_database::REGISTRY, &format!("DELETE FROM {table} WHERE owner = 'template/pages'")).await;
}

async fn a_database_that_was_dropped_by_hand_is_not_among_those_there_are(w: World) {
    let admin = w.admin();
    assert!(admin.has_registry().await.unwrap(), "asked before anything was prepared by this one");
    admin.create(&w.empty("life_byhand")).await.unwrap();
    admin.create(&w.empty("life_stays")).await.unwrap();
    let is_there =
        async |name: &str| (admin.present().await.unwrap().contains(name), admin.exists(name).await.unwrap());
    assert_eq!(is_there("life_byhand").await, (true, true));
    let home = if w.is_mariadb() { "mysql" } else { "postgres" };
    w.root(home, "DROP DATABASE life_byhand").await;
    assert_eq!(is_there("life_byhand").await, (false, false));
    assert_eq!(is_there("life_stays").await, (true, true));
    assert_eq!(admin.record("life_byhand").await.unwrap().unwrap().state, State::Loaded);
    // One that nobody wrote down is there, and none of ours.
    w.root(home, "CREATE DATABASE life_stranger").await;
    assert_eq!(is_there("life_stranger").await, (false, true));
}

async fn states_are_set_by_the_owner_only(w: World) {
    let new = w.empty("life_states");
    let admin = w.admin();
    admin.create(&new).await.unwrap();
    admin.set_state("life_states", &new.owner, State::Personalised).await.unwrap();
    assert_eq!(admin.record("life_states").await.unwrap().unwrap().state, State::Personalised);
    let error = admin.set_state("life_states", "instance/other", State::Archived).await.unwrap_err();
    assert!(matches!(error, Error::Foreign { .. }), "{error}");
    assert!(admin.set_state("life_states", &new.owner, State::Template).await.is_err());
    assert!(matches!(admin.set_state("life_none", "x", State::Archived).await, Err(Error::Absent { .. })));
    admin.set_release("life_states", &new.owner, "mended").await.unwrap();
    let record = admin.record("life_states").await.unwrap().unwrap();
    assert_eq!((record.release_hash.as_str(), record.state), ("mended", State::Personalised));
    let error = admin.set_release("life_states", "instance/other", "theirs").await.unwrap_err();
    assert!(matches!(error, Error::Foreign { .. }), "{error}");
    let table = if w.is_mariadb() { "`databases`" } else { "public.databases" };
    w.root("tenantry_registry", &format!("UPDATE {table} SET state = 'dancing' WHERE name = 'life_states'")).await;
    let error = admin.record("life_states").await.unwrap_err();
    assert!(matches!(&error, Error::Registry { why } if why.contains("dancing")), "{error}");
    w.root("tenantry_registry", &format!("UPDATE {table} SET state = 'loaded' WHERE name = 'life_states'")).await;
}

async fn a_locked_role_is_out_at_once_and_comes_back_when_unlocked(w: World) {
    let new = w.empty("life_locked");
    let admin = w.admin();
    admin.create(&new).await.unwrap();
    let sleep = if w.is_mariadb() { "DO SLEEP(15)" } else { "SELECT pg_sleep(15)" };
    let (w2, new2) = (w.clone(), new.clone());
    let open = tokio::spawn(async move { w2.script(&new2, sleep).await });
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let started = std::time::Instant::now();
    admin.lock_role("life_locked", &new.owner).await.unwrap();
    assert!(open.await.unwrap().is_err());
    assert!(started.elapsed().as_secs() < 8, "{:?}", started.elapsed());
    assert!(matches!(w.ask(&new, "SELECT 1").await, Err(Error::Authentication { .. })));
    // Making it again must not unlock it.
    admin.create(&new).await.unwrap();
    assert!(matches!(w.ask(&new, "SELECT 1").await, Err(Error::Authentication { .. })));
    admin.unlock_role("life_locked", &new.owner).await.unwrap();
    assert!(w.ask(&new, "SELECT 1").await.is_ok());
    assert!(matches!(admin.lock_role("life_locked", "instance/other").await, Err(Error::Foreign { .. })));
}

async fn a_dropped_database_is_gone_with_its_role_and_record(w: World) {
    let new = w.empty("life_dropped");
    let admin = w.admin();
    admin.create(&new).await.unwrap();
    assert!(matches!(admin.drop_database("life_dropped", "instance/other").await, Err(Error::Foreign { .. })));
    let sleep = if w.is_mariadb() { "DO SLEEP(15)" } else { "SELECT pg_sleep(15)" };
    let (w2, new2) = (w.clone(), new.clone());
    let open = tokio::spawn(async move { w2.script(&new2, sleep).await });
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(admin.drop_database("life_dropped", &new.owner).await.unwrap(), Dropped::Dropped);
    assert!(open.await.unwrap().is_err());
    assert_eq!(admin.drop_database("life_dropped", &new.owner).await.unwrap(), Dropped::Absent);
    assert_eq!(w.dump("life_dropped", None).await.lines().filter(|l| l.contains("life_")).count(), 0);
}

async fn a_database_that_is_not_in_the_registry_is_left_alone(w: World) {
    let home = if w.is_mariadb() { "mysql" } else { "postgres" };
    w.root(home, "CREATE DATABASE life_unknown").await;
    let admin = w.admin();
    let before = w.dump("life_unknown", None).await;
    for error in [
        admin.create(&w.empty("life_unknown")).await.unwrap_err(),
        admin.drop_database("life_unknown", "instance/life_unknown").await.unwrap_err(),
    ] {
        assert!(matches!(error, Error::Unknown { kind: "database", .. }), "{error}");
        assert_eq!(error.class(), ErrorClass::Blocked);
        assert!(error.to_string().contains("life_unknown"));
    }
    assert_eq!(w.dump("life_unknown", None).await, before);
    w.root(home, "DROP DATABASE life_unknown").await;
}

async fn a_database_of_another_owner_is_left_alone(w: World) {
    let new = w.empty("life_foreign");
    let admin = w.admin();
    admin.create(&new).await.unwrap();
    let before = w.dump("life_foreign", None).await;
    let thief = NewDatabase { owner: "instance/thief".into(), password: Secret::new("x1"), ..new.clone() };
    let error = admin.create(&thief).await.unwrap_err();
    assert!(matches!(&error, Error::Foreign { owner, .. } if *owner == new.owner), "{error}");
    assert!(matches!(admin.seal_template("life_foreign", "instance/thief").await, Err(Error::Foreign { .. })));
    // A new database that would take over the other's role.
    let role = NewDatabase { role: "life_foreign".into(), ..w.empty("life_thief") };
    assert!(matches!(admin.create(&role).await, Err(Error::Foreign { .. })));
    assert_eq!(w.dump("life_foreign", None).await, before);
    assert!(w.ask(&new, "SELECT 1").await.is_ok());
}

async fn a_role_that_is_not_ours_is_left_alone(w: World) {
    let taken = NewDatabase { role: w.login.user.clone(), ..w.empty("life_admin_role") };
    let error = w.admin().create(&taken).await.unwrap_err();
    assert!(matches!(error, Error::Unknown { kind: "role", .. }), "{error}");
    assert!(w.admin().record("life_admin_role").await.unwrap().is_none());
    w.admin().probe().await.unwrap();
}

async fn sizes_grow(w: World) {
    let new = w.empty("life_size");
    let admin = w.admin();
    admin.create(&new).await.unwrap();
    let before = admin.size_bytes("life_size").await.unwrap();
    let fill = if w.is_mariadb() {
        "CREATE TABLE big (a varchar(1000)); INSERT INTO big SELECT repeat('x', 1000) FROM seq_1_to_3000; ANALYZE TABLE big"
    } else {
        "CREATE TABLE big AS SELECT repeat('x', 1000) AS a FROM generate_series(1, 3000)"
    };
    w.script(&new, fill).await.unwrap();
    let after = admin.size_bytes("life_size").await.unwrap();
    assert!(after >= before + 2_000_000, "{before} {after}");
    let all = admin.total_bytes().await.unwrap();
    assert!(all >= after, "{after} of {all}");
    assert!(matches!(admin.size_bytes("life_nothing").await, Err(Error::Absent { .. })));
}

async fn a_database_whose_drop_was_broken_off_in_the_server_is_dropped_all_the_same(w: World) {
    if w.is_mariadb() {
        // A drop is not marked there: what is left of it is a database like any other.
        return;
    }
    let new = w.empty("life_torn");
    let admin = w.admin();
    admin.create(&new).await.unwrap();
    // As PostgreSQL marks one whose files may be gone in part.
    let torn = "WITH torn AS (UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'life_torn' RETURNING 1) SELECT count(*) FROM torn";
    assert_eq!(w.root("postgres", torn).await, "1");
    assert_eq!(admin.drop_database("life_torn", &new.owner).await.unwrap(), Dropped::Dropped);
    assert!(admin.record("life_torn").await.unwrap().is_none());
    assert_eq!(w.root("postgres", "SELECT count(*) FROM pg_database WHERE datname = 'life_torn'").await, "0");
}

async fn names_that_could_leave_their_quotes_are_refused(w: World) {
    let admin = w.admin();
    for name in ["a\"b", "a`b", "a'b", "A", "", "a;b"] {
        for result in [
            admin.create(&w.empty(name)).await,
            admin.create(&w.copy_of(name, "life_fine")).await,
            admin.drop_database(name, "x").await.map(drop),
            admin.record(name).await.map(drop),
        ] {
            assert_eq!(result.unwrap_err().class(), ErrorClass::Invalid, "{name}");
        }
    }
    assert!(admin.find_by_owner("a'b").await.is_err());
    let wrong = Login { user: w.login.user.clone(), password: Secret::new("wrong") };
    let refused =
        tenantry_database::connect(w.endpoint.clone(), wrong, std::sync::Arc::new(tenantry_core::calls::Open));
    assert!(matches!(refused.unwrap().probe().await, Err(Error::Authentication { .. })));
}
