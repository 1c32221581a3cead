//! What one tenant can take from others with one query, and what it can read of them — does I/O.

use crate::support::{Kind, World};

crate::on_every_server!(
    a_session_cannot_raise_what_bounds_it,
    one_query_that_wants_all_memory_ends_itself_and_nobody_else,
    nothing_of_ours_tells_a_tenant_about_its_neighbours,
    what_an_older_version_left_is_put_right,
);

async fn a_session_cannot_raise_what_bounds_it(w: World) {
    let new = w.empty("lim_bound");
    w.admin().create(&new).await.unwrap();
    if w.is_mariadb() {
        let tmpdir = w.ask(&new, "SELECT @@tmpdir").await.unwrap().unwrap();
        assert!(tmpdir.ends_with("/my/tmp"), "temporary files lie in {tmpdir}, not on the volume of the data");
        for (name, most) in [
            ("max_session_mem_used", "268435456"),
            ("tmp_memory_table_size", "67108864"),
            ("max_heap_table_size", "67108864"),
            ("tmp_disk_table_size", "2147483648"),
        ] {
            let sql = format!("SET SESSION {name} = 1000000000000; SELECT @@{name}");
            assert_eq!(w.ask(&new, &sql).await.unwrap().as_deref(), Some(most), "{name}");
        }
        return;
    }
    let idle = w.ask(&new, "SELECT reset_val FROM pg_settings WHERE name = 'idle_in_transaction_session_timeout'");
    // Our own sessions ask for less; the role's setting is what the application gets.
    assert!(idle.await.unwrap().is_some());
    let of_role = "SELECT array_to_string(setconfig, ' ') FROM pg_db_role_setting WHERE setrole = 'lim_bound'::regrole";
    let of_role = w.root("postgres", of_role).await;
    assert!(of_role.contains("idle_in_transaction_session_timeout=30min"), "{of_role}");
    if w.kind == Kind::Postgresql {
        assert_eq!(w.ask(&new, "SHOW temp_file_limit").await.unwrap().as_deref(), Some("2GB"));
        // Where the server has a bound of its own, it is the one.
        assert!(!of_role.contains("temp_file_limit"), "{of_role}");
    }
    assert!(w.script(&new, "SET temp_file_limit = -1").await.is_err());
}

async fn one_query_that_wants_all_memory_ends_itself_and_nobody_else(w: World) {
    let (greedy, neighbour) = (w.empty("lim_greedy"), w.empty("lim_beside"));
    for new in [&greedy, &neighbour] {
        w.admin().create(new).await.unwrap();
    }
    // Only what our images start is bounded: a session of PostgreSQL to a quarter of the tests' 1 GiB.
    let (since, all) = match w.kind {
        Kind::Provider => return,
        Kind::Postgresql => ("SELECT pg_postmaster_start_time()", "SELECT length(repeat('x', 700000000))".to_owned()),
        Kind::Mariadb => {
            let parts: Vec<_> = (0..6).map(|n| format!("SET @v{n} = repeat('x', 60000000)")).collect();
            let since =
                "SELECT VARIABLE_VALUE < 0 FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'UPTIME'";
            (since, parts.join("; ") + "; SELECT seq FROM seq_1_to_3000 ORDER BY md5(seq) LIMIT 2990, 1")
        }
    };
    let before = w.ask(&neighbour, since).await.unwrap();
    assert!(w.ask(&greedy, &all).await.is_err(), "it got what it wanted");
    assert_eq!(w.ask(&neighbour, since).await.unwrap(), before);
    assert_eq!(w.ask(&greedy, "SELECT 1").await.unwrap().as_deref(), Some("1"));
}

async fn nothing_of_ours_tells_a_tenant_about_its_neighbours(w: World) {
    let (one, other) = (w.empty("lim_one"), w.empty("lim_other"));
    for new in [&one, &other] {
        w.admin().create(new).await.unwrap();
    }
    if w.is_mariadb() {
        let seen = w.ask(&one, "SELECT count(*) FROM information_schema.PROCESSLIST WHERE USER <> 'lim_one'").await;
        assert_eq!(seen.unwrap().as_deref(), Some("0"));
        return;
    }
    let comments = "SELECT count(*) FROM pg_shdescription d JOIN pg_database b ON b.oid = d.objoid \
                    WHERE datname IN ('lim_one', 'lim_other')";
    assert_eq!(w.ask(&one, comments).await.unwrap().as_deref(), Some("0"));
    let names = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE '%tenantry%'";
    assert_eq!(w.ask(&one, names).await.unwrap().as_deref(), Some("0"));
}

async fn what_an_older_version_left_is_put_right(w: World) {
    if w.is_mariadb() {
        // Nothing of the kind is written there.
        return;
    }
    let new = w.empty("lim_old");
    w.admin().create(&new).await.unwrap();
    let settings = "SELECT array_to_string(setconfig, ' ') FROM pg_db_role_setting WHERE setrole = 'lim_old'::regrole";
    let wanted = w.root("postgres", settings).await;
    w.root("postgres", "ALTER ROLE lim_old RESET ALL").await;
    w.root("postgres", "COMMENT ON DATABASE lim_old IS 'tenantry: instance/lim_old generation 1 tenant t1'").await;
    w.admin().probe().await.unwrap();
    assert_eq!(w.root("postgres", settings).await, wanted);
    let comment = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = 'lim_old'";
    assert_eq!(w.root("postgres", comment).await, "");
}
