//! Every function of the crate on real servers: PostgreSQL as superuser and as a provider's administrator, MariaDB — does I/O.
//!
//! The tests take the kind of server as an argument and run on each of the three.

// Helpers of tests are not inside a #[test], where the workspace allows these.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

mod alone;
mod crashes;
mod generations;
mod isolation;
mod life;
mod limits;
mod named;
mod scripts;
mod secrets;
mod support;
mod templates;

/// Runs tests, functions of a kind of server, on all kinds.
#[macro_export]
macro_rules! on_every_server {
    ($($name:ident),* $(,)?) => {
        mod postgresql {
            $(#[tokio::test] async fn $name() { super::$name($crate::support::World::new($crate::support::Kind::Postgresql)).await; })*
        }
        mod provider {
            $(#[tokio::test] async fn $name() { super::$name($crate::support::World::new($crate::support::Kind::Provider)).await; })*
        }
        mod mariadb {
            $(#[tokio::test] async fn $name() { super::$name($crate::support::World::new($crate::support::Kind::Mariadb)).await; })*
        }
    };
}
