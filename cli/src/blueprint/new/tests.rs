//! Tests of drafts: several Compose files, and bad ones.

use super::*;

fn made(compose: &str) -> Draft {
    compose::draft("demo", compose).unwrap()
}

const ODOO: &str = r#"
services:
  web:
    image: odoo:17.0
    depends_on: [db]
    ports: ["8069:8069", "8072:8072"]
    volumes:
      - odoo-web-data:/var/lib/odoo
      - ./config:/etc/odoo
    environment:
      - HOST=db
      - USER=odoo
      - PASSWORD=hunter2hunter2
    cap_add: [SYS_ADMIN]
  db:
    image: postgres:15
    environment:
      - POSTGRES_DB=postgres
      - POSTGRES_PASSWORD=hunter2hunter2
      - POSTGRES_USER=odoo
volumes:
  odoo-web-data:
"#;

const DESK: &str = r#"
x-app: &app
  image: registry.example.org/desk/desk:v4.2
  environment: &env
    DATABASE_URL: mysql://desk:hunter2hunter2@mysql:3306/desk
    SECRET_KEY_BASE: 4f6e7a1b2c3d4e5f
    MAIL_FROM: "${MAIL_FROM:-desk@example.org}"
    SMTP_URL: smtp://desk:hunter2hunter2@mail.example.org:587
    LOCALE: ${LOCALE}
services:
  mysql:
    image: mysql:8
    environment: {MYSQL_DATABASE: desk, MYSQL_USER: desk, MYSQL_PASSWORD: hunter2hunter2, MYSQL_ROOT_PASSWORD: other-hunter2}
  worker:
    <<: *app
    command: bundle exec "sidekiq -q mail"
  app:
    <<: *app
    user: "1000:1001"
    entrypoint: ["/entry.sh"]
    command: ["server", "--bind", "0.0.0.0"]
    ports:
      - {target: 3000, published: 80}
    volumes:
      - {type: volume, source: storage, target: /rails/storage}
    healthcheck:
      test: ["CMD", "curl", "-f", "http://localhost:3000/up"]
"#;

const BUILT: &str = r#"
services:
  Page Server!:
    build: .
    expose: [8080]
    healthcheck: {test: "wget -q localhost:8080 || exit 1"}
    environment: {TEMPLATE: "{{ greeting }}", EMPTY: , NUMBER: 5, YES: true}
"#;

#[test]
fn drafts_of_compose_files_are_valid_and_hold_no_password() {
    for compose in [ODOO, DESK, BUILT] {
        let text = made(compose).text();
        assert_eq!(problems_of(&text), Vec::<String>::new(), "{text}");
        for password in ["hunter2", "4f6e7a1b"] {
            assert!(!text.contains(password), "{text}");
        }
    }
}

#[test]
fn the_published_service_serves_and_the_database_is_one_of_the_instance() {
    let draft = made(ODOO);
    assert_eq!((draft.image.as_str(), draft.engine), ("odoo:17.0", Some(Engine::Postgresql)));
    let [web] = draft.processes.as_slice() else { panic!("{:?}", draft.processes) };
    assert_eq!((web.name.as_str(), web.port, web.serves), ("web", Some(8069), true));
    assert_eq!(draft.env["HOST"], "{{ database.host }}");
    assert_eq!(draft.env["USER"], "{{ database.user }}");
    assert_eq!(draft.env["PASSWORD"], "{{ database.password }}");
    assert_eq!(draft.volumes, [("odoo-web-data".to_owned(), "/var/lib/odoo".to_owned())]);
    for word in ["`cap_add` of service web", "./config", "more ports"] {
        assert!(draft.remarks.iter().any(|r| r.contains(word)), "{word}: {:?}", draft.remarks);
        assert!(draft.text().lines().any(|l| l.starts_with("# TO DO: ") && l.contains(word)));
    }
}

#[test]
fn services_of_the_same_image_are_processes_and_share_their_environment() {
    let draft = made(DESK);
    let names: Vec<&str> = draft.processes.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["app", "worker"]);
    assert_eq!(draft.processes[0].command, ["/entry.sh", "server", "--bind", "0.0.0.0"]);
    assert_eq!(draft.processes[0].readiness, ["curl", "-f", "http://localhost:3000/up"]);
    assert_eq!(draft.processes[1].command, ["bundle", "exec", "sidekiq -q mail"]);
    assert_eq!(draft.user, Some((1000, Some(1001))));
    assert!(draft.processes.iter().all(|p| p.env.is_empty() && p.image.is_none()));
    assert!(draft.env["DATABASE_URL"].starts_with("mysql://{{ database.user|urlencode }}:"));
    assert_eq!(draft.env["SECRET_KEY_BASE"], "{{ secrets.secret_key_base }}");
    assert_eq!(draft.env["SMTP_URL"], "smtp://desk:{{ secrets.smtp_url_password }}@mail.example.org:587");
    assert_eq!(draft.env["MAIL_FROM"], "desk@example.org");
    assert_eq!(draft.env["LOCALE"], "{{ settings.locale }}");
    assert!(draft.remarks.iter().any(|r| r.contains("MySQL there and MariaDB here")));
    assert!(draft.text().contains("afterVerify: true"));
}

#[test]
fn a_program_beside_the_product_becomes_a_companion() {
    let draft = made(
        r#"
services:
  redis: {image: "redis:7", command: redis-server --requirepass hunter2hunter2, volumes: ["cache:/data"]}
  db: {image: "postgres:16"}
  server: {image: "crm/server:1.0", ports: [3000], environment: {REDIS_URL: "redis://redis:6379"}}
"#,
    );
    assert_eq!(draft.env["REDIS_URL"], "redis://{{ processes.redis.host }}:{{ processes.redis.port }}");
    let redis = draft.processes.iter().find(|p| p.name == "redis").unwrap();
    assert_eq!((redis.image.as_deref(), redis.port, redis.serves), (Some("redis:7"), Some(6379), false));
    assert_eq!((redis.command.len(), redis.volumes.as_slice()), (0, ["cache".to_owned()].as_slice()));
    assert!(draft.remarks.iter().any(|r| r.contains("holds a password")), "{:?}", draft.remarks);
    assert!(!draft.text().contains("hunter2"));
}

#[test]
fn what_is_no_compose_file_is_refused_with_the_reason() {
    for (text, words) in [
        ("a: [", "not YAML"),
        ("- one\n- two", "no `services`"),
        ("services: {}", "which one is the product"),
        ("services: {db: {image: postgres}}", "which one is the product"),
    ] {
        let why = compose::draft("demo", text).unwrap_err();
        assert!(why.contains(words), "{text}: {why}");
    }
    let long = format!("services: {{}}\n# {}", "x".repeat(compose::MAX_BYTES));
    assert!(compose::draft("demo", &long).unwrap_err().contains("at most"));
}

fn args(to: &std::path::Path) -> Args {
    Args {
        name: "demo".into(),
        from_compose: None,
        engine: Some(Database::Postgresql),
        image: Some("demo:2.0".into()),
        port: Some(8080),
        to: Some(to.to_owned()),
        force: false,
    }
}

fn out(asks: bool) -> Out {
    Out { asks, ..Out::new(crate::output::Format::Name) }
}

fn ran(args: &Args) -> Result<Exit, Problem> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(run(args, &out(false)))
}

#[test]
fn a_file_that_exists_is_written_over_only_when_that_was_asked_for() {
    let path = std::env::temp_dir().join(format!("tenantry-draft-{}.yaml", std::process::id()));
    let _ = std::fs::remove_file(&path);
    assert_eq!(ran(&args(&path)), Ok(Exit::DONE));
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(problems_of(&text), Vec::<String>::new());
    assert!(text.contains("version: \"2.0\"") && text.contains("{{ database.password }}"));
    std::fs::write(&path, "mine").unwrap();
    assert_eq!(ran(&args(&path)).unwrap_err().exit, Exit::REFUSED);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    assert_eq!(ran(&Args { force: true, ..args(&path) }), Ok(Exit::DONE));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    let _ = std::fs::remove_file(&path);
}

#[test]
fn without_a_terminal_a_missing_flag_is_named() {
    let path = std::env::temp_dir().join(format!("tenantry-never-{}.yaml", std::process::id()));
    let problem = ran(&Args { port: None, engine: None, ..args(&path) }).unwrap_err();
    assert_eq!(problem.exit, Exit::USAGE);
    assert!(problem.what.contains("--port, --engine") && !path.exists(), "{}", problem.what);
}
