//! What a server holds of one test, as text that can be compared: registry, roles, databases, content — does I/O.

use super::World;

impl World {
    /// Everything whose name begins with `prefix`; `inside` is a database whose content is looked at as well.
    pub async fn dump(&self, prefix: &str, inside: Option<&str>) -> String {
        let mut out = self.together("tenantry_registry", self.questions(prefix)).await;
        if let Some(inside) = inside {
            let questions = if self.is_mariadb() { mariadb_inside(inside) } else { postgresql_inside() };
            out.push_str(&self.together(inside, questions).await);
        }
        out
    }

    /// Asks several questions over one connection: each test asks them many times.
    async fn together(&self, database: &str, questions: Vec<(&'static str, String)>) -> String {
        let parts: Vec<_> =
            questions.iter().map(|(title, sql)| format!("'\n{title}: ', coalesce(({sql}), '-')")).collect();
        self.root(database, &format!("SELECT concat({})", parts.join(", "))).await
    }

    fn questions(&self, prefix: &str) -> Vec<(&'static str, String)> {
        if self.is_mariadb() {
            return vec![
                (
                    "registry",
                    format!(
                        "SELECT group_concat(concat_ws('|', name, owner, tenant, generation, role, state, coalesce(template, '-'), \
                     release_hash) ORDER BY name SEPARATOR '\n') FROM `databases` WHERE left(name, {}) = '{prefix}'",
                        prefix.len()
                    ),
                ),
                (
                    "accounts",
                    format!(
                        "SELECT group_concat(concat_ws('|', User, Host, json_value(Priv, '$.account_locked'), \
                     json_value(Priv, '$.max_user_connections'), json_value(Priv, '$.access'), \
                     json_value(Priv, '$.authentication_string')) ORDER BY User SEPARATOR '\n') \
                     FROM mysql.global_priv WHERE left(User, {}) = '{prefix}'",
                        prefix.len()
                    ),
                ),
                (
                    "rights",
                    format!(
                        "SELECT group_concat(concat_ws('|', GRANTEE, TABLE_SCHEMA, PRIVILEGE_TYPE) ORDER BY GRANTEE, TABLE_SCHEMA, \
                     PRIVILEGE_TYPE SEPARATOR '\n') FROM information_schema.SCHEMA_PRIVILEGES WHERE GRANTEE LIKE '''{prefix}%'"
                    ),
                ),
                (
                    "databases",
                    format!(
                        "SELECT group_concat(concat_ws('|', SCHEMA_NAME, DEFAULT_COLLATION_NAME) ORDER BY SCHEMA_NAME SEPARATOR '\n') \
                     FROM information_schema.SCHEMATA WHERE left(SCHEMA_NAME, {}) = '{prefix}'",
                        prefix.len()
                    ),
                ),
            ];
        }
        vec![
            (
                "registry",
                format!(
                    "SELECT string_agg(concat_ws('|', name, owner, tenant, generation, role, state, coalesce(template, '-'), \
                 release_hash), E'\\n' ORDER BY name) FROM databases WHERE starts_with(name, '{prefix}')"
                ),
            ),
            (
                "roles",
                format!(
                    "SELECT string_agg(concat_ws('|', rolname, rolcanlogin, rolsuper, rolcreatedb, rolcreaterole, rolreplication, \
                 rolconnlimit, rolpassword IS NOT NULL), E'\\n' ORDER BY rolname) FROM pg_authid WHERE starts_with(rolname, '{prefix}')"
                ),
            ),
            (
                "members",
                format!(
                    "SELECT string_agg(concat_ws('|', r.rolname, m.member::regrole), E'\\n' ORDER BY 1) FROM pg_auth_members m \
                 JOIN pg_roles r ON r.oid = m.roleid WHERE starts_with(r.rolname, '{prefix}')"
                ),
            ),
            (
                "databases",
                format!(
                    "SELECT string_agg(concat_ws('|', datname, datdba::regrole, datallowconn, datistemplate, encoding, \
                 (SELECT string_agg(a::text, ',' ORDER BY a::text) FROM unnest(datacl) a), \
                 shobj_description(oid, 'pg_database')), E'\\n' ORDER BY datname) \
                 FROM pg_database WHERE starts_with(datname, '{prefix}')"
                ),
            ),
        ]
    }
}

fn postgresql_inside() -> Vec<(&'static str, String)> {
    let agg = |what: &str, from: &str| {
        format!("SELECT string_agg(x, E'\\n' ORDER BY x) FROM (SELECT {what} AS x FROM {from}) q")
    };
    vec![
        ("schema", agg("concat_ws('|', nspname, nspowner::regrole, \
             (SELECT string_agg(a::text, ',' ORDER BY a::text) FROM unnest(nspacl) a))",
             "pg_namespace WHERE nspname = 'public'")),
        ("relations", agg("concat_ws('|', relname, relkind, relowner::regrole, relacl::text)",
             "pg_class WHERE relnamespace = 'public'::regnamespace")),
        ("functions", agg("concat_ws('|', proname, proowner::regrole)",
             "pg_proc WHERE pronamespace = 'public'::regnamespace AND proname = 'twice'")),
        ("defaults", agg("concat_ws('|', defaclrole::regrole, defaclacl::text)", "pg_default_acl")),
        ("extensions", agg("concat_ws('|', extname, extowner::regrole)", "pg_extension")),
        ("rows", "SELECT coalesce((SELECT string_agg(t::text, ',') FROM \
             (SELECT query_to_xml('SELECT * FROM users ORDER BY id', true, true, '') AS t WHERE to_regclass('users') IS NOT NULL) q), '-')".into()),
    ]
}

fn mariadb_inside(database: &str) -> Vec<(&'static str, String)> {
    let agg = |what: &str, from: &str, key: &str| {
        format!(
            "SELECT group_concat(concat_ws('|', {what}) ORDER BY 1 SEPARATOR '\n') FROM information_schema.{from} WHERE {key} = '{database}'"
        )
    };
    vec![
        ("tables", agg("TABLE_NAME, TABLE_TYPE, AUTO_INCREMENT, TABLE_COLLATION", "TABLES", "TABLE_SCHEMA")),
        (
            "columns",
            agg("TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, EXTRA, GENERATION_EXPRESSION", "COLUMNS", "TABLE_SCHEMA"),
        ),
        ("keys", agg("TABLE_NAME, CONSTRAINT_NAME, CONSTRAINT_TYPE", "TABLE_CONSTRAINTS", "TABLE_SCHEMA")),
        ("views", agg("TABLE_NAME, DEFINER, VIEW_DEFINITION", "VIEWS", "TABLE_SCHEMA")),
        (
            "routines",
            agg("ROUTINE_NAME, ROUTINE_TYPE, DEFINER, SQL_MODE, ROUTINE_DEFINITION", "ROUTINES", "ROUTINE_SCHEMA"),
        ),
        ("triggers", agg("TRIGGER_NAME, DEFINER, SQL_MODE, ACTION_STATEMENT", "TRIGGERS", "TRIGGER_SCHEMA")),
        ("events", agg("EVENT_NAME, DEFINER, EVENT_DEFINITION", "EVENTS", "EVENT_SCHEMA")),
    ]
}
