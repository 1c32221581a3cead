//! Passwords: in no error, no Debug, no label of a call and no log of a server — does I/O.

use std::sync::Arc;

use tenantry_core::calls::Fault;
use tenantry_core::secret::Secret;
use tenantry_database::NewDatabase;

use crate::support::{Breaking, World};

crate::on_every_server!(passwords_appear_nowhere);

async fn passwords_appear_nowhere(w: World) {
    let gate = Arc::new(Breaking::new(0, Fault::Error));
    let admin = w.gated(gate.clone());
    let new = NewDatabase { password: Secret::new("veryHidden1Word"), ..w.empty("sec_one") };
    admin.create(&new).await.unwrap();
    let other = NewDatabase { password: Secret::new("veryHidden2Word"), ..new.clone() };
    admin.create(&other).await.unwrap();
    admin.set_password("sec_one", &new.owner, &Secret::new("veryHidden3Word")).await.unwrap();
    let error = w.ask(&new, "SELECT 1").await.unwrap_err();
    let texts = format!("{error} {error:?} {new:?} {admin:?} {:?} {:?}", w.login, gate.calls());
    let log = w.statements();
    assert!(log.contains("sec_one"), "the log of statements is empty");
    for text in [texts, log] {
        assert!(!text.contains("veryHidden"), "a password is shown");
    }
}
