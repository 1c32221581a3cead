//! A tenant's role tries everything on its neighbours; each attempt must fail — does I/O.

use tenantry_database::Error;

use crate::support::World;

crate::on_every_server!(
    a_neighbour_cannot_enter_read_list_or_drop_what_is_not_its_own,
    a_role_cannot_make_databases_or_roles_or_raise_itself,
    a_role_owns_neither_its_database_nor_its_schema,
);

async fn a_neighbour_cannot_enter_read_list_or_drop_what_is_not_its_own(w: World) {
    w.sealed("iso_tpl").await;
    let victim = w.copy_of("iso_tpl", "iso_victim");
    // Its name matches the pattern `iso_victim` would be, if a right were granted on a pattern.
    let thief = w.empty("isoxvictim");
    for new in [&victim, &thief] {
        w.admin().create(new).await.unwrap();
    }
    for database in ["iso_victim", "iso_tpl", "tenantry_registry"] {
        let error = w.script_in(&thief, database, "SELECT 1").await.unwrap_err();
        assert!(matches!(error, Error::Forbidden { .. } | Error::Server { .. }), "{database}: {error}");
    }
    if w.kind == crate::support::Kind::Postgresql {
        for database in ["postgres", "template1"] {
            assert!(w.script_in(&thief, database, "SELECT 1").await.is_err(), "{database}");
        }
    }
    let attempts: &[&str] = if w.is_mariadb() {
        &[
            "SELECT * FROM iso_victim.users",
            "SELECT * FROM iso_tpl.users",
            "SELECT * FROM tenantry_registry.`databases`",
            "SELECT * FROM mysql.global_priv",
            "SHOW TABLES FROM iso_victim",
            "SHOW CREATE TABLE iso_victim.users",
            "INSERT INTO iso_victim.users (login) VALUES ('x')",
            "CREATE TABLE iso_victim.mine (a int)",
            "CREATE VIEW mine AS SELECT * FROM iso_victim.users",
            "DROP TABLE iso_victim.orders",
            "DROP DATABASE iso_victim",
            "DROP DATABASE tenantry_registry",
            "CALL iso_victim.touch()",
            "GRANT SELECT ON iso_victim.* TO CURRENT_USER",
            "DROP USER iso_victim",
        ]
    } else {
        &[
            "DROP DATABASE iso_victim",
            "DROP DATABASE tenantry_registry",
            "ALTER DATABASE iso_victim RENAME TO mine",
            "ALTER DATABASE iso_victim OWNER TO isoxvictim",
            "GRANT CONNECT ON DATABASE iso_victim TO isoxvictim",
            "GRANT iso_victim TO isoxvictim",
            "SET ROLE iso_victim",
            "DROP ROLE iso_victim",
            "ALTER ROLE iso_victim PASSWORD 'x'",
            "SELECT pg_read_file('PG_VERSION')",
            "COPY (SELECT 1) TO PROGRAM 'true'",
            "SELECT rolpassword FROM pg_authid",
        ]
    };
    let look = async || w.dump("iso_victim", Some("iso_victim")).await + &w.dump("iso_tpl", None).await;
    let before = look().await;
    for sql in attempts {
        let result = w.script(&thief, sql).await;
        assert!(result.is_err(), "{sql} was allowed");
    }
    if w.is_mariadb() {
        let seen = w
            .ask(&thief, "SELECT group_concat(SCHEMA_NAME ORDER BY 1) FROM information_schema.SCHEMATA")
            .await
            .unwrap();
        assert_eq!(seen.as_deref(), Some("information_schema,isoxvictim"));
        let tables = "SELECT count(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA LIKE 'iso\\_%'";
        assert_eq!(w.ask(&thief, tables).await.unwrap().as_deref(), Some("0"));
    }
    assert_eq!(look().await, before);
}

async fn a_role_cannot_make_databases_or_roles_or_raise_itself(w: World) {
    let new = w.empty("iso_raise");
    w.admin().create(&new).await.unwrap();
    let attempts: &[&str] = if w.is_mariadb() {
        &[
            "CREATE DATABASE isozraise",
            "CREATE DATABASE other",
            "CREATE USER other",
            "CREATE ROLE other",
            "GRANT SUPER ON *.* TO CURRENT_USER",
            "GRANT SELECT ON iso_raise.* TO 'someone'@'%'",
            "SET GLOBAL max_connections = 1",
            "CREATE TABLE t (a int); CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET @a = 1",
            "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1",
            "CREATE DEFINER='admin'@'%' PROCEDURE p() SELECT 1",
            "SELECT 1 INTO OUTFILE '/tmp/tenantry-x'",
            "ALTER USER CURRENT_USER WITH MAX_USER_CONNECTIONS 0",
        ]
    } else {
        &[
            "CREATE ROLE other",
            "CREATE DATABASE other",
            "CREATE TABLESPACE x LOCATION '/tmp'",
            "ALTER ROLE iso_raise SUPERUSER",
            "ALTER ROLE iso_raise CREATEDB",
            "ALTER ROLE iso_raise CONNECTION LIMIT 1000",
            "GRANT pg_read_server_files TO iso_raise",
            "SET SESSION AUTHORIZATION postgres",
            "SET log_statement = 'none'",
            "CREATE EXTENSION adminpack",
        ]
    };
    let gate: std::sync::Arc<dyn tenantry_core::calls::Gate> = std::sync::Arc::new(tenantry_core::calls::Open);
    for sql in attempts {
        assert!(w.script(&new, sql).await.is_err(), "{sql} was allowed");
        // Alone as well: CREATE DATABASE is refused in a transaction for another reason.
        let alone = tenantry_database::query_text(&w.endpoint, &w.login_of(&new), &new.name, sql, &gate).await;
        assert!(alone.is_err(), "{sql} was allowed");
    }
}

async fn a_role_owns_neither_its_database_nor_its_schema(w: World) {
    if w.is_mariadb() {
        // No owners there; a grant on the database is all a role has.
        let new = w.empty("iso_owner");
        w.admin().create(&new).await.unwrap();
        let rights = "SELECT count(*) FROM information_schema.USER_PRIVILEGES WHERE GRANTEE = '''iso_owner''@''%''' AND PRIVILEGE_TYPE <> 'USAGE'";
        assert_eq!(w.root("mysql", rights).await, "0");
        return;
    }
    w.sealed("iso_otpl").await;
    for new in [w.empty("iso_owner"), w.copy_of("iso_otpl", "iso_owner2")] {
        w.admin().create(&new).await.unwrap();
        for sql in [
            "DROP SCHEMA public CASCADE".to_owned(),
            "ALTER SCHEMA public RENAME TO x".into(),
            "CREATE SCHEMA own".into(),
            format!("ALTER DATABASE {} SET work_mem = '1GB'", new.name),
            format!("GRANT CONNECT ON DATABASE {} TO PUBLIC", new.name),
        ] {
            let _ = w.script(&new, &sql).await;
        }
        let dump = w.dump(&new.name, Some(&new.name)).await;
        assert!(dump.contains("public|pg_database_owner"), "{dump}");
        assert!(!dump.contains(",=") && !dump.contains("{="), "open to the public: {dump}");
        let schemas = w.root(&new.name, "SELECT count(*) FROM pg_namespace WHERE nspname IN ('own', 'x')").await;
        assert_eq!(schemas, "0");
    }
}
