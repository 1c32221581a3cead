//! Whether the application or the page answers. No I/O.

/// What answers behind the Service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serving {
    /// The application.
    App,
    /// The page.
    Page,
}

impl Serving {
    /// Value of the label that the Service selects.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Page => "page",
        }
    }
}

/// What answers, what runs, and whether the page exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// What answers behind the Service.
    pub serving: Serving,
    /// Whether the application's processes run.
    pub app_runs: bool,
    /// Whether the page runs.
    pub page_runs: bool,
}

/// Decides so that there is never a gap: the next one to answer is ready before the previous one stops.
///
/// `now` is what answers at the moment. None means that nothing has answered yet.
#[must_use]
pub fn serving(suspended: bool, now: Option<Serving>, app_ready: bool, page_ready: bool) -> Decision {
    match (suspended, now) {
        (true, Some(Serving::App)) if !page_ready => {
            Decision { serving: Serving::App, app_runs: true, page_runs: true }
        }
        (true, _) => Decision { serving: Serving::Page, app_runs: false, page_runs: true },
        (false, Some(Serving::Page)) if !app_ready => {
            Decision { serving: Serving::Page, app_runs: true, page_runs: true }
        }
        (false, _) => Decision { serving: Serving::App, app_runs: true, page_runs: false },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suspension_waits_for_the_page_and_resumption_for_the_application() {
        let app = Some(Serving::App);
        let page = Some(Serving::Page);
        assert!(serving(true, app, true, false).app_runs);
        let stopped = serving(true, app, true, true);
        assert_eq!((stopped.serving, stopped.app_runs), (Serving::Page, false));
        let starting = serving(false, page, false, true);
        assert_eq!((starting.serving, starting.app_runs, starting.page_runs), (Serving::Page, true, true));
        let back = serving(false, page, true, true);
        assert_eq!((back.serving, back.page_runs), (Serving::App, false));
    }

    #[test]
    fn every_state_of_readiness_ends_in_the_wanted_one() {
        for suspended in [true, false] {
            for start in [None, Some(Serving::App), Some(Serving::Page)] {
                let (mut app, mut page) = (false, false);
                let mut now = start;
                for _ in 0..4 {
                    let d = serving(suspended, now, app, page);
                    now = Some(d.serving);
                    (app, page) = (d.app_runs, d.page_runs);
                }
                assert_eq!(now == Some(Serving::Page), suspended);
                assert_eq!((app, page), (!suspended, suspended));
            }
        }
    }
}
