//! Replaces the generations of one owner, as the operator does: looks, asks the rules for the next step, carries it out
//! — does I/O.

use std::sync::Arc;
use std::time::Duration;

use tenantry_core::calls::{Gate, Open};
use tenantry_core::generation::{Number, Progress, Seen, Step, Wish, next, next_number};
use tenantry_core::secret::Secret;
use tenantry_database::{
    Administration, Change, Changed, Error, GenerationRow, Login, NewDatabase, NewGeneration, Other, Result,
    query_text, run_as,
};

use super::World;

/// Longest time that a freeze of these tests is held, unless a test says otherwise.
const HOLDS: Duration = Duration::from_secs(120);

/// An operator that replaces generations of one owner. The odd ones lie on one server, the even ones on the other; both
/// may be the same.
pub struct Mover {
    pub worlds: [World; 2],
    pub admins: [Box<dyn Administration>; 2],
    pub name: String,
    pub holds: Duration,
    /// What it has done.
    pub steps: Vec<Step>,
}

/// What outlives an operator: the generation that people reach.
pub type Served = std::sync::Mutex<Option<Number>>;

impl Mover {
    pub fn new(worlds: [World; 2], gate: &Arc<dyn Gate>, name: &str) -> Self {
        let admins = [worlds[0].gated(gate.clone()), worlds[1].gated(gate.clone())];
        Self { worlds, admins, name: name.into(), holds: HOLDS, steps: Vec::new() }
    }

    pub fn owner(&self) -> String {
        format!("instance/{}", self.name)
    }

    fn at(number: Number) -> usize {
        usize::from(number.is_multiple_of(2))
    }

    fn is_one_server(&self) -> bool {
        self.worlds[0].endpoint == self.worlds[1].endpoint
    }

    pub fn world(&self, number: Number) -> &World {
        &self.worlds[Self::at(number)]
    }

    pub fn admin(&self, number: Number) -> &dyn Administration {
        self.admins[Self::at(number)].as_ref()
    }

    /// The database of a generation.
    pub fn database(&self, number: Number) -> NewDatabase {
        let name = format!("{}_g{number}", self.name);
        NewDatabase { owner: self.owner(), generation: number, ..self.world(number).empty(&name) }
    }

    /// The rows of both servers, rights and rows of each as of one moment.
    pub async fn rows(&self) -> Result<Vec<GenerationRow>> {
        let mut all = self.admins[0].generations(&self.owner()).await?;
        if !self.is_one_server() {
            all.extend(self.admins[1].generations(&self.owner()).await?);
        }
        Ok(all)
    }

    pub async fn change(&self, change: &Change) -> Result<Changed> {
        self.admin(change.number()).change(&self.owner(), change).await
    }

    /// What is done next.
    pub async fn next(&self, wish: Wish, served: &Served) -> Result<Step> {
        let rights = self.rows().await?.iter().map(|g| (g.row.number, g.rights)).collect();
        // On two servers nothing is read as of one moment: rights are read first.
        let rows = self.rows().await?.into_iter().map(|g| g.row).collect();
        let seen = Seen { rights, rows, served: *served.lock().unwrap(), had_data: false };
        Ok(next(&seen, wish))
    }

    /// Looks and carries out steps until nothing is left to be done.
    pub async fn drive(&mut self, wish: Wish, served: &Served) -> Result<()> {
        loop {
            let step = self.next(wish, served).await?;
            self.steps.push(step);
            match step {
                Step::Done => return Ok(()),
                Step::Dispute => panic!("disputed: {:?}", self.rows().await?),
                _ => self.carry_out(step, served).await?,
            }
        }
    }

    pub async fn carry_out(&self, step: Step, served: &Served) -> Result<()> {
        let operation = format!("op-{}", self.name);
        let change = match step {
            Step::Done | Step::Dispute => return Ok(()),
            Step::Serve(number) => {
                *served.lock().unwrap() = Some(number);
                return Ok(());
            }
            Step::MakeFirst => self.begin(None).await?,
            Step::MakeCandidate { supersedes, under } => {
                let other = Other { server: format!("server-{}", Self::at(supersedes)), number: supersedes };
                self.begin(Some((other, under))).await?
            }
            Step::Fill(number) => {
                // Another one may have filled it since it was looked at.
                let Some(fill) = self.fill(number).await? else { return Ok(()) };
                Change::Progress { number, to: Progress::Filled, fill }
            }
            Step::Transform(number) => {
                Change::Progress { number, to: Progress::Transformed, fill: self.fills(number).await? }
            }
            Step::Verify(number) => {
                // From now on it has the password that people's processes know.
                let db = self.database(number);
                self.admin(number).keep_password(&db.name, &db.owner, &db.password).await?;
                Change::Progress { number, to: Progress::Verified, fill: self.fills(number).await? }
            }
            Step::Drop(number) => {
                self.admin(number).drop_database(&self.database(number).name, &self.owner()).await?;
                Change::Bury(number)
            }
            Step::Freeze(number) => Change::Freeze { number, operation, holds: self.holds },
            Step::TakeRights(number, token) => Change::TakeRights { number, token },
            Step::Fence(number, token) => Change::Fence { number, token },
            Step::Decide { from, to, token } => {
                self.admin(from).close_reader(&self.owner(), from).await?;
                let to = Other { server: format!("server-{}", Self::at(to)), number: to };
                Change::Decide { number: from, to, token }
            }
            Step::Lock(number) => Change::Lock(number),
            Step::MakeCurrent(number) => Change::MakeCurrent { number, fill: self.fills(number).await? },
            Step::Unlock(number) => Change::Unlock(number),
            Step::ClearToken(number, token) => Change::ClearToken { number, token },
            Step::GiveBack(number, token) => {
                self.admin(number).close_reader(&self.owner(), number).await?;
                Change::GiveBack { number, token }
            }
        };
        self.change(&change).await.map(drop)
    }

    async fn fills(&self, number: Number) -> Result<u64> {
        let rows = self.rows().await?;
        Ok(rows.iter().find(|g| g.row.number == number).map_or(0, |g| g.fills))
    }

    async fn begin(&self, supersedes: Option<(Other, u64)>) -> Result<Change> {
        let number = next_number(&self.rows().await?.into_iter().map(|g| g.row).collect::<Vec<_>>(), []);
        let database = self.database(number).name;
        Ok(Change::Begin(NewGeneration { number, database, supersedes, operation: Some(format!("op-{}", self.name)) }))
    }

    /// Fills a candidate with what the generation has that it replaces: always from the beginning.
    async fn fill(&self, number: Number) -> Result<Option<u64>> {
        let rows = self.rows().await?;
        let source = rows.iter().find(|g| g.row.number == number).and_then(|g| g.row.supersedes);
        let new = self.database(number);
        let Some(fill) = self.admin(number).begin_fill(&new.owner, &new.name).await? else { return Ok(None) };
        // A password of its own for each beginning: what was begun before cannot go on beside it.
        let new = NewDatabase { password: Secret::new(format!("fill{fill}Of{}", new.name)), ..new };
        self.admin(number).create(&new).await?;
        let mut script = "CREATE TABLE t (id int PRIMARY KEY, word varchar(40) NOT NULL)".to_owned();
        if let Some(source) = source {
            let old = self.database(source);
            let own = Login { user: old.role.clone(), password: old.password.clone() };
            let reader =
                self.admin(source).open_reader(&self.owner(), source, &own, &Secret::new("readerPassword7x")).await?;
            let list = if self.world(source).is_mariadb() {
                "SELECT GROUP_CONCAT(CONCAT('(', id, ',''', word, ''')')) FROM t"
            } else {
                "SELECT string_agg('(' || id || ',''' || word || ''')', ',') FROM t"
            };
            let gate: Arc<dyn Gate> = Arc::new(Open);
            let rows = query_text(&self.world(source).endpoint, &reader, &old.name, list, &gate).await?;
            script += &rows.map(|rows| format!("; INSERT INTO t VALUES {rows}")).unwrap_or_default();
        }
        let gate: Arc<dyn Gate> = Arc::new(Open);
        let login = self.world(number).login_of(&new);
        run_as(&self.world(number).endpoint, &login, &new.name, &script, &gate, Duration::from_secs(20)).await?;
        Ok(Some(fill))
    }

    /// The content of a generation, read as its own role.
    pub async fn content(&self, number: Number) -> Result<String> {
        let list = if self.world(number).is_mariadb() {
            "SELECT GROUP_CONCAT(id ORDER BY id) FROM t"
        } else {
            "SELECT string_agg(id::text, ',' ORDER BY id) FROM t"
        };
        Ok(self.world(number).ask(&self.database(number), list).await?.unwrap_or_default())
    }

    /// Writes one row where people are led to. Whether it was accepted.
    pub async fn write(&self, number: Number, id: u32) -> bool {
        let sql = format!("INSERT INTO t VALUES ({id}, 'written')");
        match self.world(number).script(&self.database(number), &sql).await {
            Ok(()) => true,
            Err(Error::Registry { why }) => panic!("{why}"),
            Err(_) => false,
        }
    }
}
