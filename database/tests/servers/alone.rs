//! A leader that is paused in the middle of its work and lost the lease meanwhile — does I/O.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use sha2::{Digest, Sha256};
use tenantry_core::calls::{Gate, Injected};
use tenantry_database::{Dropped, Error, NewDatabase, Result};

use crate::support::{Kind, World};

crate::on_every_server!(who_works_on_a_database_works_alone, a_leader_whose_session_ended_meanwhile_does_nothing_more,);

/// Stops whoever makes the `nth` call of a name, until it is let go.
#[derive(Debug)]
struct Pause {
    call: &'static str,
    nth: usize,
    state: Mutex<(usize, Option<Receiver<()>>)>,
    reached: Sender<()>,
}

impl Gate for Pause {
    fn before(&self, call: &str) -> std::result::Result<(), Injected> {
        let waits = {
            let mut state = self.state.lock().unwrap();
            state.0 += usize::from(call == self.call);
            if call == self.call && state.0 == self.nth { state.1.take() } else { None }
        };
        if let Some(waits) = waits {
            self.reached.send(()).unwrap();
            waits.recv().unwrap();
        }
        Ok(())
    }

    fn after(&self, _call: &str) -> std::result::Result<(), Injected> {
        Ok(())
    }
}

/// Makes a database in a thread of its own and stops it at a call. Gives it, and what lets it go on.
fn paused(w: &World, new: &NewDatabase, call: &'static str, nth: usize) -> (JoinHandle<Result<()>>, Sender<()>) {
    let (go, waits) = channel();
    let (reached, is_there) = channel();
    let gate = Arc::new(Pause { call, nth, state: Mutex::new((0, Some(waits))), reached });
    let (w, new) = (w.clone(), new.clone());
    let leader = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { w.gated(gate).create(&new).await })
    });
    is_there.recv().unwrap();
    (leader, go)
}

/// Ends the session that holds the lock of a name, as the server does with one that was idle for too long.
async fn end_of_holder(w: &World, name: &str) {
    let hash = Sha256::digest(format!("tenantry/{name}"));
    let half = |from: usize| u32::from_be_bytes(hash[from..from + 4].try_into().unwrap());
    let (high, low) = (half(0), half(4));
    if w.is_mariadb() {
        let holder = w.root("mysql", &format!("SELECT IS_USED_LOCK('tenantry/{high:08x}{low:08x}')")).await;
        w.root("mysql", &format!("KILL {holder}")).await;
        let left = format!("SELECT count(*) FROM information_schema.PROCESSLIST WHERE ID = {holder}");
        while w.root("mysql", &left).await != "0" {}
        return;
    }
    let holder = format!("FROM pg_locks WHERE locktype = 'advisory' AND classid = {high} AND objid = {low}");
    assert_eq!(w.root("postgres", &format!("SELECT count(pg_terminate_backend(pid)) {holder}")).await, "1");
    while w.root("postgres", &format!("SELECT count(*) {holder}")).await != "0" {}
}

async fn who_works_on_a_database_works_alone(w: World) {
    let new = w.empty("alo_one");
    let (leader, go) = paused(&w, &new, "sql put role", 1);
    let next = w.admin();
    let error = next.drop_database(&new.name, &new.owner).await.unwrap_err();
    assert!(matches!(&error, Error::Busy { message, .. } if message.contains("another process")), "{error}");
    // Others are not kept waiting.
    let beside = w.empty("alo_beside");
    next.create(&beside).await.unwrap();
    go.send(()).unwrap();
    leader.join().unwrap().unwrap();
    assert!(w.ask(&new, "SELECT 1").await.is_ok());
    assert_eq!(next.drop_database(&new.name, &new.owner).await.unwrap(), Dropped::Dropped);
}

async fn a_leader_whose_session_ended_meanwhile_does_nothing_more(w: World) {
    w.sealed("alo_tpl").await;
    let new = w.copy_of("alo_tpl", "alo_two");
    // The last moment before something would be made in the place of the other's: on MariaDB, where the copy has a
    // session of its own, before that one has its lock.
    let (call, nth) = if w.kind == Kind::Mariadb { ("sql lock name", 3) } else { ("sql create database", 1) };
    let (leader, go) = paused(&w, &new, call, nth);
    end_of_holder(&w, &new.name).await;
    let next = w.admin();
    assert_eq!(next.drop_database(&new.name, &new.owner).await.unwrap(), Dropped::Dropped);
    // It has another owner now, and is worked in.
    let other = NewDatabase { owner: "instance/alo_other".into(), ..w.empty("alo_two") };
    next.create(&other).await.unwrap();
    w.script(&other, "CREATE TABLE mine (a int); INSERT INTO mine VALUES (7)").await.unwrap();
    let before = w.dump("alo_two", Some("alo_two")).await;
    go.send(()).unwrap();
    assert!(leader.join().unwrap().is_err());
    assert_eq!(w.dump("alo_two", Some("alo_two")).await, before);
    assert_eq!(w.ask(&other, "SELECT a FROM mine").await.unwrap().as_deref(), Some("7"));
}
