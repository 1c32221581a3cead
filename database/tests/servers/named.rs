//! A neighbour names a role in rights, default rights and policies of its own database: the role is dropped all the
//! same, and nothing of the neighbour's goes — does I/O.

use tenantry_database::{Administration, Dropped, NewDatabase};

use crate::support::World;

crate::on_every_server!(
    a_role_that_neighbours_name_is_dropped_and_their_data_stays,
    a_role_that_neighbours_name_is_dropped_after_every_fault,
);

/// All ways in which a tenant can name another.
const NAMING: &str = "CREATE TABLE own (a int); INSERT INTO own VALUES (1), (2); \
    GRANT SELECT ON own TO VICTIM WITH GRANT OPTION; GRANT SELECT ON own TO OTHER; \
    GRANT UPDATE (a) ON own TO VICTIM; \
    CREATE SEQUENCE s; GRANT USAGE ON SEQUENCE s TO VICTIM; \
    CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; GRANT EXECUTE ON FUNCTION f() TO VICTIM; \
    CREATE TYPE mood AS ENUM ('a'); GRANT USAGE ON TYPE mood TO VICTIM; \
    SELECT lo_create(4711); GRANT SELECT ON LARGE OBJECT 4711 TO VICTIM; \
    ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO VICTIM; \
    ALTER TABLE own ENABLE ROW LEVEL SECURITY; \
    CREATE POLICY only_victim ON own TO VICTIM USING (true); \
    CREATE POLICY shared ON own TO VICTIM, OTHER USING (a = 1)";

/// What of the neighbour's must be as before.
const LOOK: &str = "SELECT concat((SELECT string_agg(a::text, ',') FROM own), '|', \
    (SELECT relacl::text FROM pg_class WHERE relname = 'own'), '|', \
    (SELECT string_agg(polname || polroles::regrole[]::text, ',') FROM pg_policy), '|', \
    (SELECT string_agg(relname || '=' || relowner::regrole, ',' ORDER BY relname) FROM pg_class WHERE relnamespace = 'public'::regnamespace), '|', \
    (SELECT count(*) FROM pg_largeobject_metadata))";

/// A role to be dropped, the neighbour that names it, and another one.
async fn named(w: &World, prefix: &str) -> [NewDatabase; 3] {
    let all = ["victim", "names", "other"].map(|name| w.empty(&format!("{prefix}_{name}")));
    for new in &all {
        w.admin().create(new).await.unwrap();
    }
    name_it(w, &all).await;
    all
}

async fn name_it(w: &World, [victim, names, other]: &[NewDatabase; 3]) {
    let sql = NAMING.replace("VICTIM", &victim.role).replace("OTHER", &other.role);
    w.script(names, &sql).await.unwrap();
    // Both are friends: the other is a member of the one (before PostgreSQL 15 a role could see to that itself), and
    // gives it what it has made.
    w.root("postgres", &format!("GRANT {} TO {}", victim.role, names.role)).await;
    w.root(&names.name, &format!("GRANT CREATE ON SCHEMA public TO {}", victim.role)).await;
    let gift = format!("CREATE TABLE gift AS SELECT 7 AS a; ALTER TABLE gift OWNER TO {}", victim.role);
    w.script(names, &gift).await.unwrap();
}

async fn a_role_that_neighbours_name_is_dropped_and_their_data_stays(w: World) {
    if w.is_mariadb() {
        // Nobody may grant there (isolation.rs), and DROP USER asks for nothing.
        return;
    }
    let [victim, names, other] = named(&w, "nam").await;
    let dropped = w.admin().drop_database(&victim.name, &victim.owner).await.unwrap();
    assert_eq!(dropped, Dropped::Dropped);
    assert_eq!(w.root("postgres", "SELECT count(*) FROM pg_roles WHERE rolname = 'nam_victim'").await, "0");
    let seen = w.root("nam_names", LOOK).await;
    let expected = "1,2|{nam_names=arwdDxt/nam_names,nam_other=r/nam_names}|shared{nam_other}|\
                    gift=nam_names,own=nam_names,s=nam_names|1";
    assert_eq!(seen, expected);
    assert_eq!(w.ask(&names, "SELECT a FROM gift").await.unwrap().as_deref(), Some("7"));
    assert!(w.ask(&other, "SELECT 1").await.is_ok());
    // No membership of the administrator is left.
    let left = "SELECT count(*) FROM pg_auth_members WHERE roleid::regrole::text LIKE 'nam\\_%' AND member::regrole::text = 'provider'";
    assert_eq!(w.root("postgres", left).await, "0");
}

async fn a_role_that_neighbours_name_is_dropped_after_every_fault(w: World) {
    if w.is_mariadb() {
        return;
    }
    let all = named(&w, "naf").await;
    let [victim, names, _] = &all;
    let ready = async |admin: &dyn Administration| {
        admin.drop_database(&victim.name, &victim.owner).await.unwrap();
        let again = "DROP TABLE own, gift; DROP SEQUENCE s; DROP FUNCTION f(); DROP TYPE mood; SELECT lo_unlink(4711)";
        w.root(&names.name, again).await;
        admin.create(victim).await.unwrap();
        name_it(&w, &all).await;
    };
    let call = async |admin: &dyn Administration| admin.drop_database(&victim.name, &victim.owner).await.map(drop);
    crate::crashes::every_fault(&w, ready, call, async || w.root("naf_names", LOOK).await).await;
}
