//! MariaDB: the executable objects in a copy of a template: routines, views, triggers, events — does I/O.

use super::copying::Copy;
use super::definer;
use super::{ident, literal};
use crate::error::{Error, Result};

pub(super) async fn copy(copy: &mut Copy<'_>) -> Result<()> {
    // The server returns definitions without the name of their database only when it is the current one. All
    // definitions are read first, so that the current database changes only twice and not for every object.
    copy.session.run("enter template", format!("USE {}", ident(copy.from))).await?;
    let routines = copy.routines().await?;
    let views = copy.views().await?;
    let triggers = copy.triggers().await?;
    let events = copy.events().await?;
    copy.session.run("enter database", format!("USE {}", ident(copy.to))).await?;
    for object in &routines {
        copy.make("create routine", object).await?;
    }
    copy.make_views(views).await?;
    for object in triggers.iter().chain(&events) {
        copy.make("create trigger or event", object).await?;
    }
    Ok(())
}

/// A definition and the modes under which it was written.
struct Object {
    sql: String,
    mode: Option<String>,
}

impl Copy<'_> {
    async fn make(&mut self, label: &str, object: &Object) -> Result<()> {
        if let Some(mode) = &object.mode {
            self.session.run("set mode", format!("SET SESSION sql_mode = {}", literal(mode))).await?;
        }
        let sql = definer::rewrite(&object.sql, self.build, self.tenant);
        self.session.run(label, sql).await.map(drop)
    }

    async fn views(&mut self) -> Result<Vec<Object>> {
        let mut views = Vec::new();
        for name in self.names("VIEW").await? {
            let sql = self.shown("show view", format!("SHOW CREATE VIEW {}", ident(&name)), 1).await?;
            views.push(Object { sql, mode: None });
        }
        Ok(views)
    }

    /// Creates views in rounds, because views may read each other. Each round must create at least one view.
    async fn make_views(&mut self, mut views: Vec<Object>) -> Result<()> {
        while !views.is_empty() {
            let mut left = Vec::new();
            let mut last = None;
            let before = views.len();
            for view in views {
                match self.make_or_keep(&view).await? {
                    None => {}
                    Some(error) => {
                        last = Some(error);
                        left.push(view);
                    }
                }
            }
            match last {
                Some(error) if left.len() == before => return Err(error),
                _ => views = left,
            }
        }
        Ok(())
    }

    /// Creates a view. Returns the error if the view reads another view that does not exist yet.
    async fn make_or_keep(&mut self, view: &Object) -> Result<Option<Error>> {
        let sql = definer::rewrite(&view.sql, self.build, self.tenant);
        match self.session.attempt("create view", sql).await {
            Ok(_) => Ok(None),
            Err(error @ Error::Server { .. }) if matches!(&error, Error::Server { code, .. } if code == "1146" || code == "1356") => {
                Ok(Some(error))
            }
            Err(error) => Err(error),
        }
    }

    async fn routines(&mut self) -> Result<Vec<Object>> {
        let mut routines = Vec::new();
        for kind in ["FUNCTION", "PROCEDURE"] {
            let sql = format!(
                "SELECT ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = {} AND ROUTINE_TYPE = '{kind}' \
                 ORDER BY ROUTINE_NAME",
                literal(self.from)
            );
            for name in self.column("list routines", sql).await? {
                // Columns: name, sql_mode, definition.
                routines.push(self.object("show routine", format!("SHOW CREATE {kind} {}", ident(&name)), 1, 2).await?);
            }
        }
        Ok(routines)
    }

    async fn triggers(&mut self) -> Result<Vec<Object>> {
        let sql = format!(
            "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = {} \
             ORDER BY EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_ORDER",
            literal(self.from)
        );
        let mut triggers = Vec::new();
        for name in self.column("list triggers", sql).await? {
            triggers.push(self.object("show trigger", format!("SHOW CREATE TRIGGER {}", ident(&name)), 1, 2).await?);
        }
        Ok(triggers)
    }

    async fn events(&mut self) -> Result<Vec<Object>> {
        let sql = format!(
            "SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = {} ORDER BY EVENT_NAME",
            literal(self.from)
        );
        let mut events = Vec::new();
        for name in self.column("list events", sql).await? {
            // Columns: name, sql_mode, time_zone, definition.
            events.push(self.object("show event", format!("SHOW CREATE EVENT {}", ident(&name)), 1, 3).await?);
        }
        Ok(events)
    }

    async fn object(&mut self, label: &str, sql: String, mode: usize, text: usize) -> Result<Object> {
        let mut row = self.session.run(label, sql).await?.pop().unwrap_or_default();
        let mode = row.get_mut(mode).and_then(Option::take);
        let text = row.get_mut(text).and_then(Option::take);
        let sql = text.ok_or_else(|| Error::Registry { why: format!("a definition cannot be seen ({label})") })?;
        Ok(Object { sql, mode })
    }
}
