//! What the sitemaps of one site may cost: budgets of a registrable domain, and of each root sitemap with all below it.
//!
//! The rows of `sitemap_budget` are locked first thing in the transaction that stores what an import found, always in the same
//! order, and written last thing in it. So imports of siblings, in whatever process, share what is left to the last row; and
//! imports of different domains never wait for each other. What is counted is what is stored: sitemaps and pages that are new,
//! sizes as last read. To store the same again changes nothing.

use std::collections::HashSet;

use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Nullable, Text};
use diesel_async::AsyncPgConnection;
use serde_json::{Value, json};

use crate::db::statement::{sql_query, statement};

/// Makes the rows that are missing; see its file.
const OPEN: &str = include_str!("sitemap_budget/open.sql");

/// Ended budgets that the status document shows.
const SHOWN: i64 = 10;
/// Of these, the ones that the command line tells.
const TOLD: usize = 3;

/// A budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    /// Sitemaps stored.
    Files,
    /// Pages stored.
    Pages,
    /// Bytes of the sitemaps, decompressed.
    Bytes,
    /// Hosts on which sitemaps stand.
    Hosts,
    /// Indexes below each other.
    Depth,
}

impl Measure {
    const ALL: [Self; 5] = [
        Self::Files,
        Self::Pages,
        Self::Bytes,
        Self::Hosts,
        Self::Depth,
    ];

    /// Its name, as it is stored.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Pages => "pages",
            Self::Bytes => "bytes",
            Self::Hosts => "hosts",
            Self::Depth => "depth",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|own| own.as_str() == name)
    }
}

/// What has a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// A registrable domain.
    Domain,
    /// A root sitemap.
    Root,
}

impl Scope {
    /// Its name, as it is stored.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Domain => "domain",
            Self::Root => "root",
        }
    }
}

/// A limit that left something out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stop {
    pub(super) scope: Scope,
    pub(super) measure: Measure,
}

impl Stop {
    /// Its name, as it stands on the sitemap.
    pub(super) fn name(self) -> String {
        format!("{}_{}", self.scope.as_str(), self.measure.as_str())
    }
}

/// The most of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) files: i64,
    pub(super) pages: i64,
    pub(super) bytes: i64,
    pub(super) hosts: usize,
}

impl Limits {
    /// No limit at all, for who only counts.
    pub(super) const NONE: Self = Self {
        files: i64::MAX,
        pages: i64::MAX,
        bytes: i64::MAX,
        hosts: usize::MAX,
    };
}

/// A budget that ended, and how far it went: for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) stop: Stop,
    pub(super) domain: String,
    pub(super) root: Option<i64>,
    pub(super) files: i64,
    pub(super) pages: i64,
    pub(super) bytes: i64,
    pub(super) hosts: usize,
}

#[derive(Debug, QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    registrable: String,
    #[diesel(sql_type = Nullable<BigInt>)]
    root: Option<i64>,
    #[diesel(sql_type = BigInt)]
    files: i64,
    #[diesel(sql_type = BigInt)]
    pages: i64,
    #[diesel(sql_type = BigInt)]
    bytes: i64,
    #[diesel(sql_type = Array<Text>)]
    hosts: Vec<String>,
    #[diesel(sql_type = Nullable<Text>)]
    ended_by: Option<String>,
}

/// What one domain, or one root, has spent.
#[derive(Debug)]
struct Account {
    row: Row,
    scope: Scope,
    limits: Limits,
    hosts: HashSet<String>,
    /// The measure that left something out in this transaction: the first.
    stopped: Option<Measure>,
    is_changed: bool,
}

impl Account {
    fn new(row: Row, limits: [Limits; 2]) -> Self {
        let [of_domain, of_root] = limits;
        let (scope, limits) = match row.root {
            None => (Scope::Domain, of_domain),
            Some(_) => (Scope::Root, of_root),
        };
        Self {
            hosts: row.hosts.iter().cloned().collect(),
            scope,
            limits,
            row,
            stopped: None,
            is_changed: false,
        }
    }

    fn room(&self, measure: Measure) -> i64 {
        let room = match measure {
            Measure::Files => self.limits.files.saturating_sub(self.row.files),
            Measure::Pages => self.limits.pages.saturating_sub(self.row.pages),
            Measure::Bytes => self.limits.bytes.saturating_sub(self.row.bytes),
            Measure::Hosts => {
                let room = self.limits.hosts.saturating_sub(self.hosts.len());
                i64::try_from(room).unwrap_or(i64::MAX)
            }
            Measure::Depth => i64::MAX,
        };
        room.max(0)
    }

    fn add(&mut self, measure: Measure, amount: i64) {
        let sum = match measure {
            Measure::Files => &mut self.row.files,
            Measure::Pages => &mut self.row.pages,
            Measure::Bytes => &mut self.row.bytes,
            Measure::Hosts | Measure::Depth => return,
        };
        *sum = sum.saturating_add(amount).max(0);
        self.is_changed |= amount != 0;
    }

    /// What the row says from now on, and whether that is news.
    fn verdict(&self) -> (Option<&'static str>, bool) {
        let before = self.row.ended_by.as_deref().and_then(Measure::named);
        let after = match (before, self.stopped) {
            (None, stopped) => stopped,
            (Some(before), Some(stopped)) if self.room(before) > 0 => Some(stopped),
            (Some(before), None) if before != Measure::Depth && self.room(before) > 0 => None,
            (Some(before), _) => Some(before),
        };
        (
            after.map(Measure::as_str),
            after.is_some() && before != after,
        )
    }
}

/// The accounts of a batch, locked to the end of the transaction.
#[derive(Debug)]
pub(super) struct Ledger {
    accounts: Vec<Account>,
}

impl Ledger {
    /// Locks the accounts of these domains, and of these root sitemaps of theirs; an account that is missing is made, with
    /// what is stored already. `limits` are those of a domain, then those of a root.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub(super) async fn open(
        conn: &mut AsyncPgConnection,
        wanted: &[(&str, Option<i64>)],
        limits: [Limits; 2],
    ) -> QueryResult<Self> {
        let mut wanted: Vec<(&str, Option<i64>)> = wanted
            .iter()
            .flat_map(|(domain, root)| [(*domain, None), (*domain, *root)])
            .collect();
        wanted.sort_unstable();
        wanted.dedup();
        let (domains, roots): (Vec<&str>, Vec<Option<i64>>) = wanted.into_iter().unzip();
        statement(OPEN)
            .bind::<Array<Text>, _>(&domains)
            .bind::<Array<Nullable<BigInt>>, _>(&roots)
            .execute(conn)
            .await?;
        let rows: Vec<Row> = statement(
            "SELECT id, registrable_domain AS registrable, root_id AS root, files, pages, bytes, hosts, ended_by \
             FROM sitemap_budget WHERE root_id = ANY ($2) OR (root_id IS NULL AND registrable_domain = ANY ($1)) \
             ORDER BY id FOR NO KEY UPDATE",
        )
        .bind::<Array<Text>, _>(&domains)
        .bind::<Array<Nullable<BigInt>>, _>(&roots)
        .load(conn)
        .await?;
        let accounts = rows.into_iter().map(|row| Account::new(row, limits));
        Ok(Self {
            accounts: accounts.collect(),
        })
    }

    /// The accounts that a sitemap of this domain, below this root, is charged to.
    pub(super) fn of(&mut self, domain: &str, root: Option<i64>) -> Purse<'_> {
        let is_its = |account: &&mut Account| match account.row.root {
            None => account.row.registrable == domain,
            Some(own) => Some(own) == root,
        };
        Purse {
            accounts: self.accounts.iter_mut().filter(is_its).collect(),
        }
    }

    /// Writes what was spent, and tells which budgets have ended that had not before.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub(super) async fn close(self, conn: &mut AsyncPgConnection) -> QueryResult<Vec<Ended>> {
        let changed: Vec<(&Account, Option<&'static str>)> = self
            .accounts
            .iter()
            .filter_map(|account| {
                let (ended_by, _) = account.verdict();
                let is_same = !account.is_changed && account.row.ended_by.as_deref() == ended_by;
                (!is_same).then_some((account, ended_by))
            })
            .collect();
        if !changed.is_empty() {
            let records: Vec<Value> = changed
                .iter()
                .map(|(account, ended_by)| {
                    let row = &account.row;
                    json!({ "id": row.id, "files": row.files, "pages": row.pages, "bytes": row.bytes,
                        "hosts": row.hosts, "ended_by": ended_by })
                })
                .collect();
            statement(
                "UPDATE sitemap_budget SET files = new.files, pages = new.pages, bytes = new.bytes, hosts = new.hosts, \
                 ended_by = new.ended_by, ended_at = CASE WHEN new.ended_by IS NOT NULL THEN coalesce(ended_at, now()) END, \
                 updated_at = now() \
                 FROM jsonb_to_recordset($1) AS new (id bigint, files bigint, pages bigint, bytes bigint, hosts text[], ended_by text) \
                 WHERE sitemap_budget.id = new.id",
            )
            .bind::<diesel::sql_types::Jsonb, _>(Value::Array(records))
            .execute(conn)
            .await?;
        }
        Ok(self.accounts.iter().filter_map(Account::ended).collect())
    }
}

impl Account {
    fn ended(&self) -> Option<Ended> {
        let (Some(name), true) = self.verdict() else {
            return None;
        };
        Some(Ended {
            stop: Stop {
                scope: self.scope,
                measure: Measure::named(name)?,
            },
            domain: self.row.registrable.clone(),
            root: self.row.root,
            files: self.row.files,
            pages: self.row.pages,
            bytes: self.row.bytes,
            hosts: self.hosts.len(),
        })
    }
}

/// Both accounts of one sitemap: what it takes, it takes of both.
#[derive(Debug)]
pub(super) struct Purse<'a> {
    accounts: Vec<&'a mut Account>,
}

impl Purse<'_> {
    /// How many, or how much, there is still room for.
    pub(super) fn room(&self, measure: Measure) -> i64 {
        let rooms = self.accounts.iter().map(|account| account.room(measure));
        rooms.min().unwrap_or(i64::MAX)
    }

    /// Spends, whether there is room or not: for what is there already.
    pub(super) fn add(&mut self, measure: Measure, amount: i64) {
        for account in &mut self.accounts {
            account.add(measure, amount);
        }
    }

    /// Whether a sitemap on this host may be stored too, as far as hosts go; then it counts from now on.
    ///
    /// # Errors
    /// The budget that has no room for another host.
    pub(super) fn take_host(&mut self, host: &str) -> Result<(), Stop> {
        let full = |account: &&&mut Account| {
            !account.hosts.contains(host) && account.room(Measure::Hosts) == 0
        };
        if let Some(scope) = self.accounts.iter().find(full).map(|account| account.scope) {
            return Err(self.stop_in(scope, Measure::Hosts));
        }
        for account in &mut self.accounts {
            if account.hosts.insert(host.to_owned()) {
                account.row.hosts.push(host.to_owned());
                account.is_changed = true;
            }
        }
        Ok(())
    }

    /// Notes that for want of room something was left out, and says of which budget.
    pub(super) fn stop(&mut self, measure: Measure) -> Stop {
        let tightest = self
            .accounts
            .iter()
            .min_by_key(|account| account.room(measure))
            .map_or(Scope::Root, |account| account.scope);
        self.stop_in(tightest, measure)
    }

    /// The same, where it is known whose budget it is.
    pub(super) fn stop_in(&mut self, scope: Scope, measure: Measure) -> Stop {
        let own = self.accounts.iter_mut().find(|own| own.scope == scope);
        if let Some(account) = own {
            account.stopped.get_or_insert(measure);
        }
        Stop { scope, measure }
    }
}

/// The budgets that have ended: the newest of them, and how many there are.
///
/// # Errors
/// Whatever the database answers.
pub(super) async fn ended(conn: &mut AsyncPgConnection) -> QueryResult<(Vec<Value>, i64)> {
    #[derive(QueryableByName)]
    struct Shown {
        #[diesel(sql_type = diesel::sql_types::Jsonb)]
        own: Value,
    }
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        count: i64,
    }
    let newest: Vec<Shown> = sql_query(
        "SELECT jsonb_build_object('scope', scope, 'registrable_domain', registrable_domain, 'root_id', root_id, \
         'root', (SELECT url FROM sitemap_file WHERE sitemap_file.id = root_id), 'ended_by', ended_by, 'ended_at', ended_at, \
         'files', files, 'pages', pages, 'bytes', bytes, 'hosts', cardinality(hosts)) AS own \
         FROM sitemap_budget WHERE ended_at IS NOT NULL ORDER BY ended_at DESC, id DESC LIMIT $1",
    )
    .bind::<BigInt, _>(SHOWN)
    .load(conn)
    .await?;
    let count: Count =
        sql_query("SELECT count(*) AS count FROM sitemap_budget WHERE ended_at IS NOT NULL")
            .get_result(conn)
            .await?;
    Ok((newest.into_iter().map(|row| row.own).collect(), count.count))
}

/// What [`ended`] found, in lines for people: `values` are its two, as JSON.
pub(super) fn told(values: &[Value]) -> Vec<String> {
    let [Value::Array(newest), count] = values else {
        return Vec::new();
    };
    let mut lines: Vec<String> = newest
        .iter()
        .take(TOLD)
        .map(|own| {
            let text = |key: &str| own.get(key).and_then(Value::as_str).unwrap_or("-");
            let number = |key: &str| own.get(key).and_then(Value::as_i64).unwrap_or_default();
            format!(
                "sitemaps of {}: {} of the {} ended the budget after {} files, {} pages, {} bytes, {} hosts",
                text("registrable_domain"),
                text("ended_by"),
                text("scope"),
                number("files"),
                number("pages"),
                number("bytes"),
                number("hosts")
            )
        })
        .collect();
    let count = count.as_i64().unwrap_or_default();
    let more = count.saturating_sub(i64::try_from(lines.len()).unwrap_or(i64::MAX));
    if more > 0 {
        lines.push(format!("sitemaps: {more} more budgets have ended"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        files: 10,
        pages: 100,
        bytes: 1_000,
        hosts: 2,
    };

    fn account(root: Option<i64>, files: i64, ended_by: Option<&str>) -> Account {
        let row = Row {
            id: 1,
            registrable: "kettle-example.com".to_owned(),
            root,
            files,
            pages: 0,
            bytes: 0,
            hosts: vec!["kettle-example.com".to_owned()],
            ended_by: ended_by.map(str::to_owned),
        };
        let wider = Limits {
            files: 20,
            ..LIMITS
        };
        Account::new(row, [wider, LIMITS])
    }

    #[test]
    fn a_budget_ends_once_and_goes_on_when_there_is_room_again() {
        for (files, before, stopped, after, is_news) in [
            (9, None, None, None, false),
            (10, None, None, None, false),
            (10, None, Some(Measure::Files), Some("files"), true),
            // Again, of the same root: nothing new.
            (
                10,
                Some("files"),
                Some(Measure::Files),
                Some("files"),
                false,
            ),
            (10, Some("files"), None, Some("files"), false),
            // The one that ended has been made larger, or another one has ended since.
            (9, Some("files"), None, None, false),
            (9, Some("files"), Some(Measure::Hosts), Some("hosts"), true),
            (
                10,
                Some("files"),
                Some(Measure::Hosts),
                Some("files"),
                false,
            ),
            (1, Some("depth"), None, Some("depth"), false),
        ] {
            let mut account = account(Some(7), files, before);
            account.stopped = stopped;
            assert_eq!(
                account.verdict(),
                (after, is_news),
                "{files} {before:?} {stopped:?}"
            );
            assert_eq!(account.ended().is_some(), is_news);
        }
    }

    #[test]
    fn what_is_taken_is_taken_of_both_and_the_tighter_one_ends() {
        let mut ledger = Ledger {
            accounts: vec![account(None, 15, None), account(Some(7), 3, None)],
        };
        let mut purse = ledger.of("kettle-example.com", Some(7));
        assert_eq!(purse.room(Measure::Files), 5);
        purse.add(Measure::Files, 5);
        assert_eq!(purse.room(Measure::Files), 0);
        assert_eq!(purse.stop(Measure::Files).name(), "domain_files");
        assert_eq!(purse.take_host("shop.kettle-example.com"), Ok(()));
        assert_eq!(purse.take_host("shop.kettle-example.com"), Ok(()));
        let full = purse.take_host("m.kettle-example.com").unwrap_err();
        assert_eq!(full.name(), "domain_hosts");
        // Of another root's nothing was taken, of another domain's neither.
        assert_eq!(
            ledger.of("pot-example.com", Some(8)).room(Measure::Files),
            i64::MAX
        );
        let ended: Vec<Ended> = ledger.accounts.iter().filter_map(Account::ended).collect();
        let told: Vec<(String, i64, usize)> = ended
            .iter()
            .map(|own| (own.stop.name(), own.files, own.hosts))
            .collect();
        assert_eq!(told, [("domain_files".to_owned(), 20, 2)]);
    }
}
