//! The servers of the test binary, started once; they end with the process, however it ends — does I/O.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tenantry_core::calls::{Gate, Open};
use tenantry_core::secret::Secret;
use tenantry_database::{
    Administration, Endpoint, Engine, Login, NewDatabase, Result, Source, Tls, connect, query_text, run_as,
};

const PG_BIN: &str = "/usr/lib/postgresql/15/bin";
pub const PASSWORD: &str = "adminPassword7x";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Postgresql,
    /// The administrator has only CREATEDB and CREATEROLE, as on a provider's server.
    Provider,
    Mariadb,
}

struct Servers {
    // Held with its input: when the process ends, however, the pipe closes and the servers go.
    _alive: Child,
    ports: [u16; 3],
    dir: String,
}

fn servers() -> &'static Servers {
    static SERVERS: OnceLock<Servers> = OnceLock::new();
    SERVERS.get_or_init(|| {
        for needed in
            [&format!("{PG_BIN}/initdb"), "/usr/sbin/mariadbd", "/usr/bin/mariadb-install-db", "/usr/bin/setpriv"]
        {
            assert!(Path::new(needed).exists(), "{needed} is missing: install postgresql-15 and mariadb-server");
        }
        let held: Vec<_> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<u16> = held.iter().map(|l| l.local_addr().unwrap().port()).collect();
        drop(held);
        let dir = format!("/tmp/tenantry-database-{}", std::process::id());
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/servers/support/servers.sh");
        let mut child = Command::new("bash")
            .arg(script)
            .arg(&dir)
            .args(ports.iter().map(ToString::to_string))
            .args([PG_BIN, PASSWORD, concat!(env!("CARGO_MANIFEST_DIR"), "/../images")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // A group of its own: an interrupt at the terminal must reach the tests, not the clean-up.
            .process_group(0)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "ready", "the servers did not start");
        let servers = Servers { _alive: child, ports: [ports[0], ports[1], ports[2]], dir };
        std::thread::scope(|s| s.spawn(|| prepare(&servers)).join().unwrap());
        servers
    })
}

/// The provider's administrator, and the registries, before tests run side by side.
fn prepare(servers: &Servers) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let provider = World::at(Kind::Provider, servers);
        let sql = format!("CREATE ROLE provider LOGIN CREATEDB CREATEROLE PASSWORD '{PASSWORD}'");
        provider.root("postgres", &sql).await;
        for kind in [Kind::Postgresql, Kind::Provider, Kind::Mariadb] {
            World::at(kind, servers).admin().probe().await.unwrap();
        }
    });
}

/// One server, as a test sees it.
#[derive(Debug, Clone)]
pub struct World {
    pub kind: Kind,
    pub endpoint: Endpoint,
    pub login: Login,
    root: Login,
    dir: String,
}

impl World {
    pub fn new(kind: Kind) -> Self {
        Self::at(kind, servers())
    }

    fn at(kind: Kind, servers: &Servers) -> Self {
        let (engine, port, user, root) = match kind {
            Kind::Postgresql => (Engine::Postgresql, servers.ports[0], "postgres", "postgres"),
            Kind::Provider => (Engine::Postgresql, servers.ports[1], "provider", "postgres"),
            Kind::Mariadb => (Engine::Mariadb, servers.ports[2], "admin", "admin"),
        };
        let login = |user: &str| Login { user: user.into(), password: Secret::new(PASSWORD) };
        let endpoint = Endpoint { name: None, engine, host: "127.0.0.1".into(), port, tls: Tls::Disable };
        Self { kind, endpoint, login: login(user), root: login(root), dir: servers.dir.clone() }
    }

    pub fn is_mariadb(&self) -> bool {
        self.kind == Kind::Mariadb
    }

    pub fn admin(&self) -> Box<dyn Administration> {
        self.gated(Arc::new(Open))
    }

    pub fn gated(&self, gate: Arc<dyn Gate>) -> Box<dyn Administration> {
        connect(self.endpoint.clone(), self.login.clone(), gate).unwrap()
    }

    /// All that the server logged of statements.
    pub fn statements(&self) -> String {
        let file = match self.kind {
            Kind::Postgresql => "one.log",
            Kind::Provider => "two.log",
            Kind::Mariadb => "my/statements.log",
        };
        String::from_utf8_lossy(&std::fs::read(format!("{}/{file}", self.dir)).unwrap()).into_owned()
    }

    /// What the server says of errors and of itself.
    pub fn errors(&self) -> String {
        match self.kind {
            Kind::Mariadb => {
                String::from_utf8_lossy(&std::fs::read(format!("{}/my/error.log", self.dir)).unwrap()).into_owned()
            }
            _ => self.statements(),
        }
    }

    pub fn empty(&self, name: &str) -> NewDatabase {
        NewDatabase {
            name: name.into(),
            owner: format!("instance/{name}"),
            tenant: "t1".into(),
            generation: 1,
            role: name.into(),
            password: password(name),
            connection_limit: Some(9),
            source: Source::Empty,
            release_hash: "ab12".into(),
            extensions: if self.is_mariadb() { vec![] } else { vec!["pg_trgm".into()] },
            charset: None,
        }
    }

    pub fn copy_of(&self, template: &str, name: &str) -> NewDatabase {
        NewDatabase { source: Source::Template { name: template.into() }, ..self.empty(name) }
    }

    /// A template with content, not yet sealed.
    pub async fn unsealed(&self, name: &str) -> NewDatabase {
        let new = NewDatabase { owner: format!("template/{name}"), tenant: String::new(), ..self.empty(name) };
        self.admin().create(&new).await.unwrap();
        self.script(&new, include_str_of(self.kind)).await.unwrap();
        if self.is_mariadb() {
            for sql in include_str!("admin_mariadb.sql").split("\n\n") {
                self.root(name, sql).await;
            }
        }
        new
    }

    pub async fn sealed(&self, name: &str) -> NewDatabase {
        let new = self.unsealed(name).await;
        self.admin().seal_template(name, &new.owner).await.unwrap();
        new
    }

    pub fn login_of(&self, new: &NewDatabase) -> Login {
        Login { user: new.role.clone(), password: new.password.clone() }
    }

    /// Runs a script as the role of a database, in it.
    pub async fn script(&self, new: &NewDatabase, sql: &str) -> Result<()> {
        self.script_in(new, &new.name, sql).await
    }

    pub async fn script_in(&self, new: &NewDatabase, database: &str, sql: &str) -> Result<()> {
        let gate: Arc<dyn Gate> = Arc::new(Open);
        run_as(&self.endpoint, &self.login_of(new), database, sql, &gate, Duration::from_secs(20)).await
    }

    /// Asks as the role of a database.
    pub async fn ask(&self, new: &NewDatabase, sql: &str) -> Result<Option<String>> {
        let gate: Arc<dyn Gate> = Arc::new(Open);
        query_text(&self.endpoint, &self.login_of(new), &new.name, sql, &gate).await
    }

    /// Asks as the highest administrator.
    pub async fn root(&self, database: &str, sql: &str) -> String {
        let gate: Arc<dyn Gate> = Arc::new(Open);
        let answer = query_text(&self.endpoint, &self.root, database, sql, &gate).await;
        answer.unwrap_or_else(|e| panic!("{sql}: {e}")).unwrap_or_default()
    }
}

fn password(name: &str) -> Secret {
    Secret::new(format!("secretOf{name}9Z"))
}

fn include_str_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Mariadb => include_str!("content_mariadb.sql"),
        _ => include_str!("content_postgresql.sql"),
    }
}
