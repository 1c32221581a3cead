//! Templates: sealed, copied, handed over, and nothing else changes hands — does I/O.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tenantry_core::calls::{Gate, Injected};
use tenantry_database::{Dropped, Error, State};

use crate::support::{Kind, World};

crate::on_every_server!(
    a_copy_has_the_content_and_belongs_to_the_tenant,
    a_sealed_template_is_entered_by_nobody,
    an_unsealed_template_is_not_copied,
    no_other_database_changes_hands_with_a_copy,
    copies_of_one_template_side_by_side_all_succeed,
    as_many_copies_run_at_once_as_the_engine_can_and_a_drop_waits_for_all,
    a_template_can_be_dropped_while_its_copies_live_on,
);

async fn a_copy_has_the_content_and_belongs_to_the_tenant(w: World) {
    w.sealed("tpla").await;
    let new = w.copy_of("tpla", "tpla_copy");
    w.admin().create(&new).await.unwrap();
    let ask = async |sql: &str| w.ask(&new, sql).await.unwrap().unwrap_or_default();
    assert_eq!(ask("SELECT count(*) FROM orders").await, "3");
    assert_eq!(ask("SELECT note FROM users WHERE id = 1").await, "it's; fine");
    assert_eq!(ask("SELECT twice(21)").await, "42");
    // It is the tenant's own: it may change and drop everything.
    if w.is_mariadb() {
        assert_eq!(ask("SELECT login FROM users WHERE id = 0").await, "zero");
        assert_eq!(ask("SELECT sum(doubled) + sum(tripled) FROM orders").await, "75");
        assert_eq!(ask("SELECT concat(l, four) FROM aa_upper WHERE l = 'ANN'").await, "ANN4");
        assert_eq!(ask("SELECT NEXTVAL(numbers) > 40").await, "1");
        w.script(&new, "INSERT INTO orders (by_user) VALUES (1); CALL touch()").await.unwrap();
        assert_eq!(ask("SELECT max(id) FROM orders").await, "503");
        assert!(w.script(&new, "INSERT INTO orders (by_user) VALUES (99)").await.is_err());
        // The guard that the administrator put there works, and works as the administrator.
        w.script(&new, "INSERT INTO users (login) VALUES ('cid')").await.unwrap();
        assert_eq!(ask("SELECT used FROM seats").await, "1");
        let root = |sql: &'static str| w.root("tpla_copy", sql);
        assert_eq!(
            root("SELECT DEFINER FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = 'tpla_copy'").await,
            "admin@%"
        );
        let definers =
            "SELECT group_concat(DISTINCT DEFINER) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = 'tpla_copy'";
        assert_eq!(root(definers).await, "tpla_copy@%");
        assert_eq!(root("SELECT count(*) FROM information_schema.EVENTS WHERE EVENT_SCHEMA = 'tpla_copy'").await, "1");
        w.script(&new, "DROP VIEW aa_upper; DROP FUNCTION twice; DROP TABLE orders").await.unwrap();
    } else {
        w.script(
            &new,
            "ALTER TABLE users ADD x int; DROP FUNCTION twice(int); INSERT INTO users (login) VALUES ('cid')",
        )
        .await
        .unwrap();
        w.script(&new, "DROP TABLE orders, users CASCADE").await.unwrap();
        assert!(!w.dump("tpla_copy", Some("tpla_copy")).await.contains("tpla="), "rights of the build role are left");
    }
}

async fn a_sealed_template_is_entered_by_nobody(w: World) {
    let template = w.sealed("tplb").await;
    assert!(matches!(w.ask(&template, "SELECT 1").await, Err(Error::Authentication { .. })));
    assert_eq!(w.admin().record("tplb").await.unwrap().unwrap().state, State::Template);
    if !w.is_mariadb() {
        let flags = w
            .root("postgres", "SELECT datallowconn::text || datistemplate FROM pg_database WHERE datname = 'tplb'")
            .await;
        assert_eq!(flags, "falsetrue");
        assert!(w.script_in(&w.empty("postgres"), "tplb", "SELECT 1").await.is_err());
    }
    let before = w.dump("tplb", None).await;
    w.admin().seal_template("tplb", &template.owner).await.unwrap();
    w.admin().create(&template).await.unwrap();
    assert_eq!(w.dump("tplb", None).await, before);
    assert!(w.admin().unlock_role("tplb", &template.owner).await.is_err());
}

async fn an_unsealed_template_is_not_copied(w: World) {
    w.unsealed("tplc").await;
    for template in ["tplc", "tplc_nothing"] {
        let error = w.admin().create(&w.copy_of(template, "tplc_copy")).await.unwrap_err();
        assert!(matches!(error, Error::State { .. } | Error::Absent { .. }), "{error}");
    }
    assert!(!w.dump("tplc_copy", None).await.contains("tplc_copy"), "something was left");
}

async fn no_other_database_changes_hands_with_a_copy(w: World) {
    w.sealed("tpld").await;
    let other = w.copy_of("tpld", "tpld_other");
    w.admin().create(&other).await.unwrap();
    let template = w.dump("tpld", None).await;
    let content = w.dump("tpld_other", Some("tpld_other")).await;
    let owners = "SELECT string_agg(datname || datdba::regrole, ',' ORDER BY datname) FROM pg_database WHERE datname LIKE 'tpld%'";
    let before = if w.is_mariadb() { String::new() } else { w.root("postgres", owners).await };
    let new = w.copy_of("tpld", "tpldnew");
    w.admin().create(&new).await.unwrap();
    assert_eq!(w.dump("tpld_other", Some("tpld_other")).await, content);
    w.admin().drop_database("tpldnew", &new.owner).await.unwrap();
    assert_eq!(w.dump("tpld", None).await, template);
    if !w.is_mariadb() {
        assert_eq!(w.root("postgres", owners).await, before);
        assert!(before.split(',').all(|d| d.ends_with(&w.login.user)), "the administrator owns all: {before}");
    }
}

async fn copies_of_one_template_side_by_side_all_succeed(w: World) {
    w.sealed("tple").await;
    let (one, two) = (w.admin(), w.admin());
    let names: Vec<_> = (0..6).map(|i| w.copy_of("tple", &format!("tple_{i}"))).collect();
    let all = names.iter().enumerate().map(|(i, new)| if i % 2 == 0 { one.create(new) } else { two.create(new) });
    for result in futures::future::join_all(all).await {
        result.unwrap();
    }
    for new in &names {
        assert_eq!(w.ask(new, "SELECT count(*) FROM orders").await.unwrap().as_deref(), Some("3"));
    }
}

/// Writes down when calls begin (true) and end.
#[derive(Debug, Default)]
struct Diary(Mutex<Vec<(bool, String)>>);

impl Diary {
    fn note(&self, begins: bool, call: &str) {
        self.0.lock().unwrap().push((begins, call.to_owned()));
    }

    /// Places of the begins or ends of a call.
    fn places(&self, begins: bool, call: &str) -> Vec<usize> {
        let all = self.0.lock().unwrap();
        (0..all.len()).filter(|i| all[*i].0 == begins && all[*i].1 == call).collect()
    }

    /// How much was under way at the same time that begins with one call and ends with another.
    fn at_once(&self, first: &str, last: &str) -> usize {
        let (mut now, mut most) = (0_usize, 0);
        for (begins, call) in self.0.lock().unwrap().iter() {
            now += usize::from(*begins && call == first);
            now -= usize::from(!*begins && call == last);
            most = most.max(now);
        }
        most
    }
}

impl Gate for Diary {
    fn before(&self, call: &str) -> Result<(), Injected> {
        self.note(true, call);
        Ok(())
    }

    fn after(&self, call: &str) -> Result<(), Injected> {
        self.note(false, call);
        Ok(())
    }
}

async fn as_many_copies_run_at_once_as_the_engine_can_and_a_drop_waits_for_all(w: World) {
    let template = w.sealed("tplg").await;
    let diary = Arc::new(Diary::default());
    let admin = w.gated(diary.clone());
    let names: Vec<_> = (0..6).map(|i| w.copy_of("tplg", &format!("tplg_{i}"))).collect();
    let copies = futures::future::join_all(names.iter().map(|new| admin.create(new)));
    let dropped = async {
        // A copy waits for its turn as soon as it has given back the lock of its name, which comes after its record. What
        // is finished gives it back once more.
        let finished = || diary.places(true, "sql registry state loaded").len();
        while diary.places(false, "sql unlock name").len() < names.len() + finished() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        admin.drop_database("tplg", &template.owner).await
    };
    let (copies, dropped) = futures::future::join(copies, dropped).await;
    assert!(copies.iter().all(Result::is_ok), "{copies:?}");
    assert_eq!(dropped.unwrap(), Dropped::Dropped);
    let at_once = diary.at_once("sql create database", "sql registry state loaded");
    match w.kind {
        Kind::Postgresql => assert!((2..=4).contains(&at_once), "{at_once} at once: {diary:?}"),
        Kind::Provider | Kind::Mariadb => assert_eq!(at_once, 1),
    }
    let last = diary.places(false, "sql registry state loaded").pop().unwrap();
    let first = diary.places(true, "sql registry state dropping")[0];
    assert!(last < first, "dropped while it was copied");
    for new in &names {
        assert_eq!(w.ask(new, "SELECT count(*) FROM orders").await.unwrap().as_deref(), Some("3"));
    }
}

async fn a_template_can_be_dropped_while_its_copies_live_on(w: World) {
    let template = w.sealed("tplf").await;
    let new = w.copy_of("tplf", "tplf_copy");
    w.admin().create(&new).await.unwrap();
    assert_eq!(w.admin().drop_database("tplf", &template.owner).await.unwrap(), Dropped::Dropped);
    assert!(w.ask(&new, "SELECT count(*) FROM users").await.unwrap().is_some());
    let found = w.admin().find_by_owner(&new.owner).await.unwrap();
    assert_eq!(found[0].template.as_deref(), Some("tplf"));
}
