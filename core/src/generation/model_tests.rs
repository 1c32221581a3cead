//! The model test: every order in which two operators, an application that writes, deadlines, crashes and lost caches can
//! come, up to a bound. From each state that is reached, an operator that is left alone brings the instance to rest.

use std::collections::hash_map::{DefaultHasher, Entry};
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{Hash, Hasher};

use super::machine::{Seen, Step, Wish, next};
use super::row::{Freeze, Number, Progress, Rights, Role, Row, Token};
use super::truth::{Truth, truth};

/// Turns of one operator after which it should have come to rest.
const STEPS: usize = 150;
/// How often one operator comes between another one's turns. `make test-all` looks at more (TENANTRY_MODEL_SWITCHES): 2 are
/// 150,000 states, 4 are 3 million.
const SWITCHES: u8 = 2;

fn switches() -> u8 {
    std::env::var("TENANTRY_MODEL_SWITCHES").ok().and_then(|text| text.parse().ok()).unwrap_or(SWITCHES)
}

/// What an operator has done of its turn: a turn is not at one instant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Operator {
    Idle,
    /// It has read the rights.
    HasRights(Vec<(Number, Rights)>),
    /// It has read the rows first, which is wrong.
    HasRows(Vec<Row>),
    /// It has decided on a step, and may stand still for any time before it carries it out.
    Decided(Step),
}

/// Everything that is kept outside of operators.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    rows: Vec<Row>,
    rights: Vec<(Number, Rights)>,
    /// Of each generation, the greatest token that gave its rights back.
    released: Vec<(Number, Token)>,
    served: Option<Number>,
    /// Of each generation, the writes that it has.
    content: Vec<(Number, u8)>,
    /// All writes that were accepted.
    accepted: u8,
    tokens: Token,
    numbers: Number,
    wish: Wish,
    operators: [Operator; 2],
    writes_left: u8,
    deadlines_left: u8,
    /// Whose turn it was last, and how often another one may still come between.
    last: usize,
    switches_left: u8,
    /// Rules that are broken on purpose, to see that they are needed.
    broken: Broken,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Broken {
    Nothing,
    /// Rows are read before rights.
    RowsBeforeRights,
    /// Rights are given back whichever freeze has taken them.
    RightsOfAnyToken,
    /// The decision does not look at the freeze.
    DecisionWithoutToken,
}

fn get<T: Copy>(list: &[(Number, T)], number: Number) -> Option<T> {
    list.iter().find(|(n, _)| *n == number).map(|(_, value)| *value)
}

fn put<T>(list: &mut Vec<(Number, T)>, number: Number, value: T) {
    match list.iter_mut().find(|(n, _)| *n == number) {
        Some((_, old)) => *old = value,
        None => list.push((number, value)),
    }
}

impl World {
    fn new(broken: Broken) -> Self {
        Self {
            rows: vec![Row::new(1, Role::Current)],
            rights: vec![(1, Rights::Whole)],
            released: Vec::new(),
            served: Some(1),
            content: vec![(1, 0)],
            accepted: 0,
            tokens: 0,
            numbers: 1,
            wish: Wish::Replace(1),
            operators: [Operator::Idle, Operator::Idle],
            writes_left: 1,
            deadlines_left: 1,
            last: 0,
            switches_left: switches(),
            broken,
        }
    }

    fn row(&mut self, number: Number) -> Option<&mut Row> {
        self.rows.iter_mut().find(|r| r.number == number)
    }

    /// Carries a step out, as a database server and the API server would: what it is conditional on is looked at then.
    fn carry_out(&mut self, step: Step) {
        let broken = self.broken;
        match step {
            Step::Freeze(n) => {
                let token = self.tokens + 1;
                if let Some(r) = self.row(n).filter(|r| r.role == Role::Current && r.freeze.is_none()) {
                    r.freeze = Some(Freeze { token, is_over: false, is_fenced: false });
                    self.tokens = token;
                }
            }
            Step::TakeRights(n, token) => {
                let released = get(&self.released, n).unwrap_or(0);
                let may = match get(&self.rights, n) {
                    Some(Rights::Whole) => released < token,
                    Some(Rights::Taken(other)) => other < token,
                    _ => false,
                };
                if may {
                    put(&mut self.rights, n, Rights::Taken(token));
                }
            }
            Step::Fence(n, token) => {
                let taken = get(&self.rights, n) == Some(Rights::Taken(token));
                let held = |f: &Freeze| f.token == token && !f.is_over;
                if let Some(f) = self.row(n).and_then(|r| r.freeze.as_mut()).filter(|f| held(f) && taken) {
                    f.is_fenced = true;
                }
            }
            Step::MakeCandidate { supersedes, under } => {
                self.numbers += 1;
                let made = Row {
                    filled_under: Some(under),
                    supersedes: Some(supersedes),
                    ..Row::new(self.numbers, Role::Candidate)
                };
                // One candidate at a time: the registry has one row for it (a unique index).
                if !self.rows.iter().any(|r| r.role == Role::Candidate) {
                    self.rights.push((made.number, Rights::Locked));
                    self.content.push((made.number, 0));
                    self.rows.push(made);
                } else {
                    self.numbers -= 1;
                }
            }
            Step::Fill(c) => {
                let Some(from) = self.row(c).filter(|r| r.role == Role::Candidate).and_then(|r| r.supersedes) else {
                    return;
                };
                let content = get(&self.content, from).unwrap_or(0);
                put(&mut self.content, c, content);
                self.progress(c, Progress::Filling, Progress::Filled);
            }
            Step::Transform(c) => self.progress(c, Progress::Filled, Progress::Transformed),
            Step::Verify(c) => self.progress(c, Progress::Transformed, Progress::Verified),
            Step::Decide { from, to, token } => {
                // The candidate may lie on another server: nothing of it is looked at in this write.
                let held = |f: Freeze| f.token == token && !f.is_over && f.is_fenced;
                let any = broken == Broken::DecisionWithoutToken;
                let old = self.row(from).filter(|r| r.role == Role::Current && (r.freeze.is_some_and(held) || any));
                if let Some(r) = old {
                    (r.role, r.successor, r.freeze) = (Role::Retired, Some(to), None);
                }
            }
            Step::Lock(n) => {
                // Only what is decided against: a row that is current is never locked by it.
                if self.row(n).is_some_and(|r| r.role == Role::Retired) {
                    put(&mut self.rights, n, Rights::Locked);
                }
            }
            Step::MakeCurrent(n) => {
                // The retired one may lie on another server: nothing of it is looked at in this write.
                if let Some(r) = self.row(n).filter(|r| r.role == Role::Candidate) {
                    r.role = Role::Current;
                }
            }
            Step::Unlock(n) => {
                if self.row(n).is_some_and(|r| r.role == Role::Current) && get(&self.rights, n) == Some(Rights::Locked)
                {
                    put(&mut self.rights, n, Rights::Whole);
                }
            }
            // Nothing in the cluster knows of the rows: a late one leads people astray until the next look.
            Step::Serve(n) => self.served = Some(n),
            Step::ClearToken(n, token) => {
                if let Some(r) =
                    self.row(n).filter(|r| r.role == Role::Current && r.freeze.is_some_and(|f| f.token == token))
                {
                    r.freeze = None;
                }
            }
            Step::GiveBack(n, token) => {
                let has = get(&self.rights, n) == Some(Rights::Taken(token));
                let any = broken == Broken::RightsOfAnyToken && matches!(get(&self.rights, n), Some(Rights::Taken(_)));
                if has || any {
                    put(&mut self.rights, n, Rights::Whole);
                    let released = get(&self.released, n).unwrap_or(0).max(token);
                    put(&mut self.released, n, released);
                }
            }
            Step::Drop(c) => {
                let decided = self.rows.iter().any(|r| r.role == Role::Retired && r.successor == Some(c));
                if let Some(r) = self.row(c).filter(|r| r.role == Role::Candidate && !decided) {
                    (r.role, r.filled_under) = (Role::Dropped, None);
                    put(&mut self.content, c, 0);
                }
            }
            Step::MakeFirst | Step::Done | Step::Dispute => {}
        }
    }

    fn progress(&mut self, c: Number, from: Progress, to: Progress) {
        if let Some(r) = self.row(c).filter(|r| r.role == Role::Candidate && r.progress == from) {
            r.progress = to;
        }
    }

    /// What an operator does at one instant. One that dies is one that never gets another turn: what it had decided on is
    /// lost, and all that is known lies outside of it.
    fn turn(&self, who: usize) -> Self {
        let mut after = self.clone();
        let decide = |rights: &[(Number, Rights)], rows: &[Row]| {
            let seen = Seen { rights: rights.to_vec(), rows: rows.to_vec(), served: self.served, had_data: true };
            Operator::Decided(next(&seen, self.wish))
        };
        after.operators[who] = match &self.operators[who] {
            Operator::Idle if self.broken == Broken::RowsBeforeRights => Operator::HasRows(self.rows.clone()),
            Operator::Idle => Operator::HasRights(self.rights.clone()),
            Operator::HasRights(rights) => decide(rights, &self.rows),
            Operator::HasRows(rows) => decide(&self.rights, rows),
            Operator::Decided(step) => {
                after.carry_out(*step);
                Operator::Idle
            }
        };
        after
    }

    /// The turn of an operator, when it may have it.
    fn scheduled(&self, who: usize) -> Option<Self> {
        let mut after = self.turn(who);
        if who != self.last {
            (after.last, after.switches_left) = (who, self.switches_left.checked_sub(1)?);
        }
        Some(after)
    }

    /// Every state that can come next, and how.
    fn all_next(&self) -> Vec<(String, Self)> {
        let mut all: Vec<(String, Self)> = (0..2)
            .filter_map(|who| Some((format!("{who}: {:?}", self.operators[who]), self.scheduled(who)?)))
            .collect();
        // The application writes wherever its role may, whoever is served: it may have kept a session open.
        for (n, _) in self.rights.iter().filter(|(_, rights)| *rights == Rights::Whole) {
            if self.writes_left > 0 {
                let mut after = self.clone();
                after.writes_left -= 1;
                let write = 1 << after.writes_left;
                after.accepted |= write;
                let content = get(&after.content, *n).unwrap_or(0) | write;
                put(&mut after.content, *n, content);
                all.push((format!("a write to {n}"), after));
            }
        }
        if self.deadlines_left > 0 && self.rows.iter().any(|r| r.freeze.is_some_and(|f| !f.is_over)) {
            let mut after = self.clone();
            after.deadlines_left -= 1;
            after.rows.iter_mut().filter_map(|r| r.freeze.as_mut()).for_each(|f| f.is_over = true);
            all.push(("the deadline passes".into(), after));
        }
        if self.wish != Wish::Abandon {
            let mut after = self.clone();
            after.wish = Wish::Abandon;
            all.push(("it is cancelled".into(), after));
        }
        all
    }

    /// What must hold at every instant.
    fn check(&self) -> Result<(), String> {
        let current = self.rows.iter().filter(|r| r.role == Role::Current).count();
        if current > 1 {
            return Err("two generations are current".into());
        }
        let now = truth(&self.rows, true);
        if now == Truth::Disputed {
            return Err("the rows contradict each other".into());
        }
        // A row that is lost never makes another generation current, and never lets one begin.
        for lost in 0..self.rows.len() {
            let left: Vec<Row> =
                self.rows.iter().enumerate().filter(|(at, _)| *at != lost).map(|(_, r)| r.clone()).collect();
            let then = truth(&left, true);
            if then != now && then != Truth::Disputed {
                return Err(format!("without row {lost} it would be {then:?} and not {now:?}"));
            }
        }
        Ok(())
    }

    /// Lets one operator alone bring it to rest. What another one may still carry out late is a state of its own.
    fn rest(&self) -> Result<(), String> {
        let mut world = self.clone();
        world.operators = [Operator::Idle, Operator::Idle];
        for step in 0..STEPS {
            if step == STEPS / 2 {
                // Whatever holds it up, time passes.
                world.rows.iter_mut().filter_map(|r| r.freeze.as_mut()).for_each(|f| f.is_over = true);
            }
            if world.operators[0] == Operator::Decided(Step::Done) {
                return world.is_at_rest();
            }
            world = world.turn(0);
            world.check()?;
        }
        Err(format!("it never comes to rest: {:?}", world.operators[0]))
    }

    fn is_at_rest(&self) -> Result<(), String> {
        let Truth::Current(current) = truth(&self.rows, true) else { return Err("nothing is current".into()) };
        if self.served != Some(current) || get(&self.rights, current) != Some(Rights::Whole) {
            return Err(format!("at rest people reach {:?}, rights {:?}", self.served, self.rights));
        }
        if self.rows.iter().any(|r| r.freeze.is_some()) {
            return Err("a freeze outlives its operation".into());
        }
        match get(&self.content, current) {
            Some(content) if content == self.accepted => Ok(()),
            content => Err(format!("accepted {:b}, served {content:?}", self.accepted)),
        }
    }

    /// The same without what operators hold.
    fn core(&self) -> u64 {
        print(&(&self.rows, &self.rights, &self.released, self.served, &self.content, self.accepted, self.wish))
    }
}

fn print(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Looks at every state; gives how many there are, or how the first that is wrong came about. States are remembered by a
/// print of 64 bits: two with one print would be taken for one, which a million of them make unlikely.
fn explore(broken: Broken) -> Result<usize, String> {
    let first = World::new(broken);
    let mut from: HashMap<u64, (u64, String)> = HashMap::from([(print(&first), (0, String::new()))]);
    let mut at_rest: HashSet<u64> = HashSet::new();
    let mut queue = VecDeque::from([first]);
    while let Some(world) = queue.pop_front() {
        let own = print(&world);
        let mut found = world.check();
        if found.is_ok() && at_rest.insert(world.core()) {
            found = world.rest();
        }
        if let Err(why) = found {
            let (mut story, mut at) = (vec![format!("{world:?}")], own);
            while let Some((before, what)) = from.get(&at).filter(|(before, _)| *before != 0) {
                story.push(what.clone());
                at = *before;
            }
            story.reverse();
            return Err(format!("{why}\n{}", story.join("\n")));
        }
        for (what, after) in world.all_next() {
            if let Entry::Vacant(new) = from.entry(print(&after)) {
                new.insert((own, what));
                queue.push_back(after);
            }
        }
    }
    Ok(from.len())
}

#[test]
fn whatever_comes_in_whatever_order_nothing_accepted_is_lost_and_all_comes_to_rest() {
    let states = explore(Broken::Nothing).unwrap_or_else(|e| panic!("{e}"));
    assert!(states > 100_000, "only {states} states were looked at");
}

#[test]
fn without_any_one_of_the_rules_the_model_finds_the_loss() {
    for broken in [Broken::RowsBeforeRights, Broken::RightsOfAnyToken, Broken::DecisionWithoutToken] {
        let found = explore(broken);
        let why = found.err().unwrap_or_default();
        assert!(why.starts_with("accepted"), "{broken:?} loses nothing: {why}");
    }
}
