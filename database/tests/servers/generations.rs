//! One generation of an owner's data replaces another: nothing accepted is lost, and a step that comes late changes
//! nothing — does I/O.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tenantry_core::calls::{Fault, Gate, Open};
use tenantry_core::generation::{Progress, Rights, Role, Step, Token, Wish};
use tenantry_database::{Change, Changed, Error, GenerationRow, State};

use crate::support::{Breaking, Kind, Mover, Served, World};

crate::on_every_server!(
    a_generation_is_replaced_and_the_old_one_is_kept_locked,
    a_frozen_generation_takes_no_write_and_is_read,
    rights_come_back_as_they_were,
    steps_of_an_operator_that_stood_still_change_nothing,
    a_freeze_ends_by_its_deadline,
    a_write_after_the_fence_forbids_the_decision,
    replacing_a_generation_survives_every_fault,
    nothing_is_lost_while_two_operators_replace_and_people_write,
    generations_of_an_older_version_are_written_down,
    what_people_work_in_is_neither_filled_again_nor_dropped,
    a_freeze_that_nobody_holds_any_more_is_found_and_lifted,
);

fn open() -> Arc<dyn Gate> {
    Arc::new(Open)
}

/// An owner with a first generation in which three rows lie.
async fn first(worlds: [World; 2], name: &str) -> (Mover, Served) {
    let (mut mover, served) = (Mover::new(worlds, &open(), name), Served::default());
    mover.drive(Wish::Begin, &served).await.unwrap();
    for id in 1..=3 {
        assert!(mover.write(1, id).await);
    }
    (mover, served)
}

async fn row(mover: &Mover, number: u32) -> GenerationRow {
    mover.rows().await.unwrap().into_iter().find(|g| g.row.number == number).unwrap()
}

/// Freezes the first generation up to its fence.
async fn frozen(mover: &Mover) -> Token {
    mover.change(&Change::Freeze { number: 1, operation: "op".into(), holds: mover.holds }).await.unwrap();
    let token = row(mover, 1).await.row.freeze.unwrap().token;
    assert_eq!(mover.change(&Change::TakeRights { number: 1, token }).await.unwrap(), Changed::Done);
    assert_eq!(mover.change(&Change::Fence { number: 1, token }).await.unwrap(), Changed::Done);
    token
}

async fn a_generation_is_replaced_and_the_old_one_is_kept_locked(w: World) {
    let (mut mover, served) = first([w.clone(), w], "gen_rep").await;
    mover.drive(Wish::Replace(1), &served).await.unwrap();
    let (old, new) = (row(&mover, 1).await, row(&mover, 2).await);
    assert_eq!((old.row.role, old.row.successor, old.rights), (Role::Retired, Some(2), Rights::Locked));
    assert_eq!(old.successor_server.as_deref(), Some("server-1"));
    assert_eq!((new.row.role, new.row.supersedes, new.rights), (Role::Current, Some(1), Rights::Whole));
    assert_eq!(*served.lock().unwrap(), Some(2));
    assert_eq!(mover.content(2).await.unwrap(), "1,2,3");
    assert!(mover.write(2, 4).await);
    assert!(mover.content(1).await.is_err(), "nobody logs in to the old one");
    // The same wish again finds nothing to do, and another one replaces the second.
    mover.steps.clear();
    mover.drive(Wish::Replace(1), &served).await.unwrap();
    assert_eq!(mover.steps, [Step::Done]);
    mover.drive(Wish::Replace(2), &served).await.unwrap();
    assert_eq!(mover.content(3).await.unwrap(), "1,2,3,4");
    mover.admin(1).forget_generations(&mover.owner()).await.unwrap();
    assert!(mover.rows().await.unwrap().is_empty());
}

async fn a_frozen_generation_takes_no_write_and_is_read(w: World) {
    let (mover, _) = first([w.clone(), w.clone()], "gen_frz").await;
    let db = mover.database(1);
    if w.is_mariadb() {
        w.script(&db, "CREATE PROCEDURE sneak() SQL SECURITY DEFINER INSERT INTO t VALUES (9, 'x')").await.unwrap();
        w.script(&db, "CREATE VIEW v AS SELECT * FROM t").await.unwrap();
    }
    let token = frozen(&mover).await;
    for sql in [
        "INSERT INTO t VALUES (7, 'late')",
        "UPDATE t SET word = 'late'",
        "DELETE FROM t",
        "TRUNCATE t",
        "CREATE TABLE late (a int)",
        "DROP TABLE t",
        "ALTER TABLE t ADD late int",
        "CALL sneak()",
        "UPDATE v SET word = 'late'",
    ] {
        assert!(w.script(&db, sql).await.is_err(), "{sql}");
    }
    let own = w.login_of(&db);
    let password = tenantry_core::secret::Secret::new("readerPassword7x");
    let reader = mover.admin(1).open_reader(&mover.owner(), 1, &own, &password).await.unwrap();
    let count = tenantry_database::query_text(&w.endpoint, &reader, &db.name, "SELECT count(*) FROM t", &open()).await;
    assert_eq!(count.unwrap().as_deref(), Some("3"));
    let (gate, sql) = (open(), "INSERT INTO t VALUES (8, 'r')");
    let write = tenantry_database::run_as(&w.endpoint, &reader, &db.name, sql, &gate, Duration::from_secs(5)).await;
    assert!(write.is_err());
    // Whoever looks for the end of the freeze finds it in the row.
    let shown = row(&mover, 1).await;
    assert!(shown.frozen_until.is_some() && shown.rights == Rights::Taken(token), "{shown:?}");
    for _ in 0..2 {
        mover.admin(1).close_reader(&mover.owner(), 1).await.unwrap();
    }
    if w.kind != Kind::Mariadb {
        assert_eq!(w.root("postgres", "SELECT count(*) FROM pg_roles WHERE rolname = 'gen_frz_g1_r'").await, "0");
    }
}

async fn rights_come_back_as_they_were(w: World) {
    let (mut mover, served) = first([w.clone(), w.clone()], "gen_rig").await;
    let db = mover.database(1);
    let rights = async || {
        if w.is_mariadb() {
            w.root(
                "mysql",
                "SELECT CONCAT_WS('~', (SELECT GROUP_CONCAT(CONCAT_WS(',', Db, Select_priv, Insert_priv, Update_priv, \
                 Delete_priv, Create_priv, Drop_priv, Alter_priv, Execute_priv, Trigger_priv, Lock_tables_priv)) FROM db \
                 WHERE User = 'gen_rig_g1'), (SELECT GROUP_CONCAT(CONCAT_WS(',', Db, Table_name, Table_priv) ORDER BY Db) FROM \
                 tables_priv WHERE User = 'gen_rig_g1'), (SELECT GROUP_CONCAT(CONCAT_WS(',', Db, Routine_name, Proc_priv)) \
                 FROM procs_priv WHERE User = 'gen_rig_g1'))",
            )
            .await
        } else {
            w.root(
                &db.name,
                "SELECT string_agg(concat_ws(' ', relname, relowner::regrole, relacl), ';' ORDER BY relname) FROM pg_class \
                 WHERE relnamespace = 'public'::regnamespace",
            )
            .await
        }
    };
    if w.is_mariadb() {
        w.script(&db, "CREATE PROCEDURE mine() SELECT 1").await.unwrap();
        // By hand, as an administrator would: one right less on the database, one more on a table.
        w.root("mysql", r"REVOKE LOCK TABLES, DELETE ON `gen\_rig\_g1`.* FROM 'gen_rig_g1'@'%'").await;
        w.root("mysql", "GRANT DELETE ON gen_rig_g1.t TO 'gen_rig_g1'@'%'").await;
    }
    let before = rights().await;
    let token = frozen(&mover).await;
    if w.is_mariadb() {
        assert_ne!(rights().await, before);
    }
    assert!(!mover.write(1, 20).await);
    mover.drive(Wish::Abandon, &served).await.unwrap();
    assert_eq!(rights().await, before);
    assert!(mover.write(1, 21).await);
    // Never again for a token that gave its rights back.
    assert_eq!(mover.change(&Change::TakeRights { number: 1, token }).await.unwrap(), Changed::NotNow);
    if w.is_mariadb() {
        // The server keeps a right on a table that is gone. It cannot be given back, and keeps no other from it.
        w.root("gen_rig_g1", "CREATE TABLE gone (a int)").await;
        w.root("mysql", "GRANT INSERT ON gen_rig_g1.gone TO 'gen_rig_g1'@'%'").await;
        w.root("gen_rig_g1", "DROP TABLE gone").await;
        frozen(&mover).await;
        assert!(!mover.write(1, 22).await);
        mover.drive(Wish::Abandon, &served).await.unwrap();
        assert_eq!(row(&mover, 1).await.rights, Rights::Whole);
        assert_eq!(rights().await, before);
        assert!(mover.write(1, 22).await);
        // Rights that reach beyond the database would be left to it during a freeze: then nothing is frozen.
        w.root("mysql", "GRANT FILE ON *.* TO 'gen_rig_g1'@'%'").await;
        let before = rights().await;
        mover.change(&Change::Freeze { number: 1, operation: "op".into(), holds: mover.holds }).await.unwrap();
        let token = row(&mover, 1).await.row.freeze.unwrap().token;
        let error = mover.change(&Change::TakeRights { number: 1, token }).await.unwrap_err();
        assert!(matches!(&error, Error::State { why, .. } if why.contains("rights beyond it")), "{error}");
        assert_eq!(rights().await, before);
    }
}

async fn steps_of_an_operator_that_stood_still_change_nothing(w: World) {
    let (mut mover, served) = first([w.clone(), w], "gen_old").await;
    let old = frozen(&mover).await;
    mover.drive(Wish::Abandon, &served).await.unwrap();
    let token = frozen(&mover).await;
    assert!(token > old);
    let before = mover.rows().await.unwrap();
    let to = tenantry_database::Other { server: "server-1".into(), number: 2 };
    for late in [
        Change::Freeze { number: 1, operation: "late".into(), holds: mover.holds },
        Change::TakeRights { number: 1, token: old },
        Change::Fence { number: 1, token: old },
        Change::ClearToken { number: 1, token: old },
        Change::Decide { number: 1, to: to.clone(), token: old },
        Change::Lock(1),
        Change::MakeCurrent { number: 1, fill: 1 },
        Change::Bury(1),
    ] {
        let changed = mover.change(&late).await.unwrap();
        assert_eq!(changed, Changed::NotNow, "{late:?}");
        assert_eq!(mover.rows().await.unwrap(), before, "{late:?}");
    }
    // Whatever it answers, rights that were taken for another freeze stay taken.
    for late in [Change::GiveBack { number: 1, token: old }, Change::GiveBack { number: 1, token }, Change::Unlock(1)] {
        mover.change(&late).await.unwrap();
        assert_eq!(row(&mover, 1).await.rights, Rights::Taken(token), "{late:?}");
        assert!(!mover.write(1, 30).await, "{late:?}");
    }
    // After the decision nothing of the old one comes back.
    mover.drive(Wish::Replace(1), &served).await.unwrap();
    let before = mover.rows().await.unwrap();
    for late in [
        Change::GiveBack { number: 1, token },
        Change::Unlock(1),
        Change::TakeRights { number: 1, token },
        Change::Freeze { number: 1, operation: "late".into(), holds: mover.holds },
        Change::ClearToken { number: 1, token },
        Change::Decide { number: 1, to, token },
    ] {
        mover.change(&late).await.unwrap();
        assert_eq!(mover.rows().await.unwrap(), before, "{late:?}");
    }
    assert!(mover.content(1).await.is_err());
    assert_eq!(mover.content(2).await.unwrap(), "1,2,3");
}

async fn a_freeze_ends_by_its_deadline(w: World) {
    let (mut mover, served) = first([w.clone(), w], "gen_end").await;
    mover.holds = Duration::from_secs(2);
    let token = frozen(&mover).await;
    while !row(&mover, 1).await.row.freeze.unwrap().is_over {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let to = tenantry_database::Other { server: "server-1".into(), number: 2 };
    assert_eq!(mover.change(&Change::Decide { number: 1, to, token }).await.unwrap(), Changed::NotNow);
    mover.holds = Duration::from_secs(60);
    // The operation goes on with a freeze of its own.
    mover.drive(Wish::Replace(1), &served).await.unwrap();
    assert!(mover.steps.contains(&Step::ClearToken(1, token)) && mover.steps.contains(&Step::Freeze(1)));
    assert_eq!(mover.content(2).await.unwrap(), "1,2,3");
}

async fn a_write_after_the_fence_forbids_the_decision(w: World) {
    let (mover, _) = first([w.clone(), w.clone()], "gen_wrt").await;
    let token = frozen(&mover).await;
    // An administrator who does not know of the freeze.
    w.root("gen_wrt_g1", "INSERT INTO t VALUES (40, 'by hand')").await;
    let to = tenantry_database::Other { server: "server-1".into(), number: 2 };
    let error = mover.change(&Change::Decide { number: 1, to, token }).await.unwrap_err();
    assert!(matches!(&error, Error::State { why, .. } if why.contains("during the freeze")), "{error}");
    assert_eq!(row(&mover, 1).await.row.role, Role::Current);
}

async fn replacing_a_generation_survives_every_fault(w: World) {
    // Every eighth call, from one that the commit chooses, and at each another way of failing; `make test-all` tries each
    // way at each call.
    let ways = [Fault::Error, Fault::Timeout, Fault::Crash];
    let all = std::env::var_os("TENANTRY_TEST_ALL").is_some();
    let part = std::env::var("TENANTRY_FAULTS_PART").ok().and_then(|part| part.parse::<usize>().ok()).unwrap_or(0);
    let mut k = if all { 1 } else { 1 + part % 8 };
    loop {
        let some = [ways[k % ways.len()]];
        for &fault in if all { &ways[..] } else { &some[..] } {
            if !fault_at(&w, k, fault).await {
                assert!(k > 20, "only {k} calls passed the gate");
                println!("{:?}: {} calls", w.kind, k - 1);
                return;
            }
        }
        k += if all { 1 } else { 8 };
    }
}

/// Replaces a generation with a fault at a call, and repairs it. Whether there was such a call.
async fn fault_at(w: &World, k: usize, fault: Fault) -> bool {
    let name = format!("gen_flt{k}{}", format!("{fault:?}").to_lowercase());
    let (_, served) = first([w.clone(), w.clone()], &name).await;
    let gate = Arc::new(Breaking::new(k, fault));
    let mut mover = Mover::new([w.clone(), w.clone()], &(gate.clone() as Arc<dyn Gate>), &name);
    let result = mover.drive(Wish::Replace(1), &served).await;
    let what = format!("{:?}: {fault:?} at call {k} ({})", w.kind, gate.last());
    let mut after = Mover::new([w.clone(), w.clone()], &open(), &name);
    if gate.fired() {
        assert!(result.is_err(), "{what} was swallowed");
        // Every other one is given up instead.
        let wish = if k.is_multiple_of(2) { Wish::Abandon } else { Wish::Replace(1) };
        after.drive(wish, &served).await.unwrap_or_else(|e| panic!("{what}: not repaired: {e}"));
    }
    let current = served.lock().unwrap().unwrap();
    assert_eq!(after.content(current).await.unwrap(), "1,2,3", "{what}");
    assert!(after.write(current, 50).await, "{what}");
    let rows = after.rows().await.unwrap();
    assert!(rows.iter().all(|g| g.row.freeze.is_none()), "{what}: {rows:?}");
    let usable: Vec<_> = rows.iter().filter(|g| g.rights == Rights::Whole).map(|g| g.row.number).collect();
    assert_eq!(usable, [current], "{what}: {rows:?}");
    for g in rows.iter().filter(|g| g.row.role != Role::Dropped) {
        if g.row.role == Role::Current {
            let admin = after.admin(g.row.number);
            admin.set_state(&g.database, &after.owner(), State::Archived).await.unwrap();
        }
        after.admin(g.row.number).drop_database(&g.database, &after.owner()).await.unwrap();
    }
    after.admin(1).forget_generations(&after.owner()).await.unwrap();
    gate.fired()
}

async fn nothing_is_lost_while_two_operators_replace_and_people_write(w: World) {
    // Between two servers where the engine has two.
    let other = if w.is_mariadb() { w.clone() } else { World::new(Kind::Provider) };
    let name = format!("gen_two_{}", format!("{:?}", w.kind).to_lowercase());
    let (first, served) = first([w.clone(), other.clone()], &name).await;
    let (served, stop) = (Arc::new(served), Arc::new(AtomicBool::new(false)));
    let people = {
        let mover = Mover::new([w.clone(), other.clone()], &open(), &name);
        let (served, stop) = (served.clone(), stop.clone());
        tokio::spawn(async move {
            let mut accepted: Vec<u32> = vec![1, 2, 3];
            let (mut id, mut refused) = (100, 0);
            while !stop.load(Ordering::Acquire) {
                id += 1;
                let at = served.lock().unwrap().unwrap();
                if mover.write(at, id).await {
                    accepted.push(id)
                } else {
                    refused += 1
                }
                tokio::task::yield_now().await;
            }
            (accepted, refused)
        })
    };
    for turn in 0..6 {
        let current = served.lock().unwrap().unwrap();
        let mut one = Mover::new([w.clone(), other.clone()], &open(), &name);
        let mut two = Mover::new([w.clone(), other.clone()], &open(), &name);
        // The second one gives up now and then what the first one is about to finish.
        let wish = if turn % 3 == 2 { Wish::Abandon } else { Wish::Replace(current) };
        let (a, b) = tokio::join!(one.drive(Wish::Replace(current), &served), two.drive(wish, &served));
        // One of them may meet what the other one has just dropped.
        for result in [a, b] {
            if let Err(error) = result {
                println!("{:?}, turn {turn}: {error}", w.kind);
            }
        }
        let wish = if turn % 2 == 0 { Wish::Replace(current) } else { Wish::Abandon };
        one.drive(wish, &served).await.unwrap();
    }
    stop.store(true, Ordering::Release);
    let (accepted, refused) = people.await.unwrap();
    let current = served.lock().unwrap().unwrap();
    let wanted = accepted.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    assert_eq!(first.content(current).await.unwrap(), wanted);
    println!("{:?}: generation {current}, {} writes accepted, {refused} refused", w.kind, accepted.len());
    assert!(current > 2 && accepted.len() > 3);
    let rows = first.rows().await.unwrap();
    assert_eq!(rows.iter().filter(|g| g.rights == Rights::Whole).count(), 1, "{rows:?}");
}

async fn a_freeze_that_nobody_holds_any_more_is_found_and_lifted(w: World) {
    let (mut mover, _) = first([w.clone(), w.clone()], "gen_due").await;
    let owner = mover.owner();
    let mine = async |mover: &Mover| -> Vec<_> {
        mover.admin(1).overdue().await.unwrap().into_iter().filter(|o| o.owner == owner).collect()
    };
    let token = frozen(&mover).await;
    assert_eq!(mine(&mover).await, [], "it is held, and not over");
    // A process died after it had ended the freeze.
    mover.change(&Change::ClearToken { number: 1, token }).await.unwrap();
    let left = mine(&mover).await;
    assert_eq!((left.len(), left[0].held, left[0].taken), (1, None, Some(token)));
    // Meanwhile somebody holds another one: a late lift leaves it alone.
    mover.admin(1).lift(&left[0]).await.unwrap();
    assert_eq!(mine(&mover).await, []);
    mover.holds = Duration::from_secs(2);
    let second = frozen(&mover).await;
    mover.admin(1).lift(&left[0]).await.unwrap();
    assert_eq!(row(&mover, 1).await.rights, Rights::Taken(second));
    while mine(&mover).await.is_empty() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let over = mine(&mover).await;
    assert_eq!((over[0].held, over[0].taken), (Some(second), Some(second)));
    mover.admin(1).lift(&over[0]).await.unwrap();
    assert_eq!(row(&mover, 1).await.rights, Rights::Whole);
    assert!(mover.write(1, 60).await);
    assert_eq!(mine(&mover).await, []);
}

async fn what_people_work_in_is_neither_filled_again_nor_dropped(w: World) {
    let (mut mover, served) = first([w.clone(), w], "gen_keep").await;
    let (db, owner) = (mover.database(1), mover.owner());
    assert_eq!(mover.admin(1).begin_fill(&owner, &db.name).await.unwrap(), None);
    let error = mover.admin(1).drop_database(&db.name, &owner).await.unwrap_err();
    assert!(matches!(&error, Error::State { why, .. } if why.contains("people work in it")), "{error}");
    assert_eq!(mover.content(1).await.unwrap(), "1,2,3");
    // Of two that fill a candidate, only the newest beginning counts.
    while mover.next(Wish::Replace(1), &served).await.unwrap() != Step::Fill(2) {
        let step = mover.next(Wish::Replace(1), &served).await.unwrap();
        mover.carry_out(step, &served).await.unwrap();
    }
    let candidate = mover.database(2).name;
    let one = mover.admin(2).begin_fill(&owner, &candidate).await.unwrap().unwrap();
    let two = mover.admin(2).begin_fill(&owner, &candidate).await.unwrap().unwrap();
    assert_eq!(
        mover.change(&Change::Progress { number: 2, to: Progress::Filled, fill: one }).await.unwrap(),
        Changed::NotNow
    );
    assert_eq!(
        mover.change(&Change::Progress { number: 2, to: Progress::Filled, fill: two }).await.unwrap(),
        Changed::Done
    );
    assert_eq!(mover.admin(2).begin_fill(&owner, &candidate).await.unwrap(), None);
    mover.drive(Wish::Abandon, &served).await.unwrap();
    // An archive's purge drops it all the same.
    mover.admin(1).set_state(&db.name, &owner, State::Archived).await.unwrap();
    mover.admin(1).drop_database(&db.name, &owner).await.unwrap();
}

async fn generations_of_an_older_version_are_written_down(w: World) {
    let mover = Mover::new([w.clone(), w.clone()], &open(), "gen_oldv");
    let db = mover.database(1);
    mover.admin(1).create(&db).await.unwrap();
    // The half-made one of another owner is not taken for data.
    let half = w.empty("gen_half");
    mover.admin(1).create(&half).await.unwrap();
    mover.admin(1).set_state(&db.name, &db.owner, State::Personalised).await.unwrap();
    assert!(mover.rows().await.unwrap().is_empty());
    // A new process of the operator.
    let next = w.admin();
    next.probe().await.unwrap();
    let rows = next.generations(&db.owner).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].row.number, rows[0].row.role, rows[0].rights), (1, Role::Current, Rights::Whole));
    assert_eq!((rows[0].database.as_str(), rows[0].role.as_str()), (db.name.as_str(), db.role.as_str()));
    assert!(next.generations(&half.owner).await.unwrap().is_empty());
}
