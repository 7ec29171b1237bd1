//! Stages: the column group on any table through which rows are claimed, settled and rescued in place.
//!
//! This module owns those columns. One set of SQL serves every stage: the files in `stage/` name the table as `{table}` and
//! the group as `{stage}`, filled in from the constants of a workflow, never from outside. Every write after a claim is
//! fenced by lease and attempt. What others ask of rows they write through [`Group::ask`].

mod frontier;
mod progress;
mod queues;
mod records;
mod request;
mod share;

use std::time::Duration;

use crate::db::statement::sql_query;
use diesel::sql_types::{Array, BigInt, Double, Integer, Nullable, SmallInt, Text};
use diesel::{QueryResult, QueryableByName};
use diesel_async::{AsyncConnection, AsyncPgConnection};
use gleaner_actors::port::{ItemId, LeaseId};

use super::aside::{self, Key, Work};
use crate::db;
use crate::db::halves::Halves;
use crate::db::statement::{seconds, statement};

pub use frontier::{Frontier, Frontiers, LOOK_INTERVAL, Patrol, Ranges, are_in_use, patrol};
pub use progress::Mark;
pub use queues::{Gauge, Gauges, Need, gauges, in_need};
pub use records::Records;
pub(crate) use records::bounded;
pub use request::{Group, Request};
pub use share::Share;

/// Rows freed by one rescue statement.
const RESCUE_BATCH: i64 = 1_000;

/// A stage: which table, which column group, and its statements.
#[derive(Clone, Debug)]
pub struct Stage {
    table: &'static str,
    stage: &'static str,
    touches: bool,
    claim: String,
    claim_past: String,
    look: String,
    claim_these: String,
    settle: String,
    locked: String,
    disown: String,
    take_back: String,
    readopt: String,
    excuse: String,
    rescue: String,
    rescue_foreign: String,
    gauge: String,
    excused: String,
    /// Whether rows have limits of their own, in a column.
    is_limited: bool,
    /// The name under which rows that cannot be rescued are set aside.
    rescue_work: String,
    /// Where it is claimed in shares.
    share: Option<share::Shared>,
    /// Where its rows tell how far they have come.
    progress: Option<String>,
}

/// A row just claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, QueryableByName)]
pub struct Claimed {
    #[diesel(sql_type = BigInt)]
    pub id: ItemId,
    /// Its attempt, counted by the claim.
    #[diesel(sql_type = SmallInt)]
    pub attempt: i16,
}

/// A row at its last attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, QueryableByName)]
pub struct Excused {
    #[diesel(sql_type = BigInt)]
    pub id: ItemId,
    /// How many of its attempts do not count.
    #[diesel(sql_type = SmallInt)]
    pub excused: i16,
}

/// What a rescue did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, QueryableByName)]
pub struct Rescued {
    /// Rows taken back in all.
    #[diesel(sql_type = BigInt)]
    pub freed: i64,
    /// Of these, rows that had used up their attempts and are `Error` now.
    #[diesel(sql_type = BigInt)]
    pub quarantined: i64,
    /// Rows that were to be taken back and are as they were, since somebody else has locked them.
    #[diesel(sql_type = BigInt)]
    pub locked: i64,
}

impl Rescued {
    fn add(&mut self, other: Self) {
        self.freed += other.freed;
        self.quarantined += other.quarantined;
        self.locked += other.locked;
    }
}

/// How rows of a lease are freed.
#[derive(Clone, Copy, Debug)]
struct Term<'a> {
    lease: LeaseId,
    /// Attempts to give back.
    given_back: i16,
    max_attempts: i16,
    /// For the history.
    outcome: &'static str,
    /// Rows to leave alone.
    keep: &'a [ItemId],
}

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

impl Stage {
    /// The stage `stage` of `table`. `touches` where the table has an `updated_at` to keep true.
    #[must_use]
    pub fn new(table: &'static str, stage: &'static str, touches: bool) -> Self {
        Self::limited(table, stage, touches, None)
    }

    /// The same, on a table whose rows say in the column `limit` how many attempts each has; never more than the workflow's.
    #[must_use]
    pub fn limited(
        table: &'static str,
        stage: &'static str,
        touches: bool,
        limit: Option<&'static str>,
    ) -> Self {
        let touch = if touches { ", updated_at = now()" } else { "" };
        let limit_of = |parameter: &str| match limit {
            Some(column) => format!("least({parameter}, item.{column})"),
            None => parameter.to_owned(),
        };
        let excused = include_str!("stage/excused.sql");
        let used_up = |parameter: &str| {
            let condition = include_str!("stage/used_up.sql")
                .replace("{excused}", excused)
                .replace("{limit}", &limit_of(parameter));
            format!("({condition})")
        };
        let at_the_last = format!(
            "SELECT item.id::bigint AS id, ({excused})::smallint AS excused FROM {table} AS item \
             WHERE item.id = ANY ($1) AND item.{stage}_attempts >= {}",
            limit_of("$2")
        );
        let rescue_work = format!("timeout-checker {table}/{stage}");
        let takes = Work {
            name: &rescue_work,
            table,
        }
        .takes("item.id");
        let fill = |template: &str| {
            template
                .replace("{takes}", &takes)
                .replace("{used_up:$1}", &used_up("$1"))
                .replace("{used_up:$3}", &used_up("$3"))
                .replace("{table}", table)
                .replace("{stage}", stage)
                .replace("{touch}", touch)
        };
        let group = Group::new(table, stage);
        Self {
            table,
            stage,
            touches,
            claim: fill(&group.claim_under(include_str!("stage/claim.sql"), "$1")),
            claim_past: fill(&group.claim_under(include_str!("stage/claim_past.sql"), "$1")),
            look: fill(include_str!("stage/look.sql")),
            claim_these: fill(&group.claim_under(include_str!("stage/claim_these.sql"), "$1")),
            settle: fill(include_str!("stage/settle.sql")),
            locked: fill(include_str!("stage/locked.sql")),
            disown: fill(include_str!("stage/disown.sql")),
            take_back: fill(include_str!("stage/take_back.sql")),
            readopt: fill(include_str!("stage/readopt.sql")),
            excuse: fill(include_str!("stage/excuse.sql")),
            rescue: fill(include_str!("stage/rescue.sql")),
            rescue_foreign: fill(include_str!("stage/rescue_foreign.sql")),
            gauge: fill(include_str!("stage/gauge.sql")),
            excused: fill(&at_the_last),
            is_limited: limit.is_some(),
            rescue_work,
            share: None,
            progress: None,
        }
    }

    #[must_use]
    pub fn table(&self) -> &'static str {
        self.table
    }

    /// The name of its column group.
    #[must_use]
    pub fn column_group(&self) -> &'static str {
        self.stage
    }

    /// Its column group, for statements that ask for something.
    #[must_use]
    pub fn group(&self) -> Group {
        Group::new(self.table, self.stage)
    }

    /// `table/stage`, as notifications and the history name it.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.table, self.stage)
    }

    /// The text of the claim statement, for plans and benchmarks.
    #[must_use]
    pub fn claim_sql(&self) -> &str {
        &self.claim
    }

    /// The text of the statement that claims named rows, for benchmarks.
    #[must_use]
    pub fn claim_these_sql(&self) -> &str {
        &self.claim_these
    }

    /// The text of the settle statement, for benchmarks.
    #[must_use]
    pub fn settle_sql(&self) -> &str {
        &self.settle
    }

    /// Claims up to `limit` due rows, highest priority first, oldest first, without waiting for rows locked by others.
    /// Nothing is claimed under a lease that has expired.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn claim(
        &self,
        conn: &mut AsyncPgConnection,
        lease: LeaseId,
        limit: usize,
    ) -> QueryResult<Vec<Claimed>> {
        statement(&self.claim)
            .bind::<BigInt, _>(lease.0)
            .bind::<BigInt, _>(i64::try_from(limit).unwrap_or(i64::MAX))
            .load(conn)
            .await
    }

    /// Claims those of the rows named that are due, as [`Stage::claim`] does.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn claim_these(
        &self,
        conn: &mut AsyncPgConnection,
        lease: LeaseId,
        ids: &[ItemId],
    ) -> QueryResult<Vec<Claimed>> {
        statement(&self.claim_these)
            .bind::<BigInt, _>(lease.0)
            .bind::<Array<BigInt>, _>(ids)
            .load(conn)
            .await
    }

    /// As [`Stage::claim`], of which this is the slow way: for when that was refused for a row's sake. Those that the database does
    /// not let be taken are set aside, and only here passed over, so that claims pay nothing for it in the ordinary case.
    ///
    /// # Errors
    /// Whatever the database answers, but for a row's sake.
    pub async fn claim_around(
        &self,
        conn: &mut AsyncPgConnection,
        lease: LeaseId,
        limit: usize,
    ) -> QueryResult<Vec<Claimed>> {
        let (table, stage) = (self.table, self.stage);
        let work = format!("claim {table}/{stage}");
        let work = Work { name: &work, table };
        let due: Vec<Key> = sql_query(format!(
            "SELECT id::bigint AS id FROM {table} WHERE {stage}_status = 'Queued' AND {stage}_due_at <= now() AND {} \
             ORDER BY {stage}_priority DESC, {stage}_due_at, id LIMIT $1",
            work.takes("id")
        ))
        .bind::<BigInt, _>(i64::try_from(limit).unwrap_or(i64::MAX))
        .load(conn)
        .await?;
        let (due, mut claimed) = (Key::numbers(&due), Vec::new());
        let mut halves = Halves::of(&due);
        while let Some(part) = halves.next_part() {
            match self.claim_these(conn, lease, part).await {
                Ok(rows) => claimed.extend(rows),
                Err(error) => aside::refused(conn, work, &mut halves, part, error).await?,
            }
        }
        Ok(claimed)
    }

    /// Which of these rows have attempts that do not count: others' fault, in such a way that they could not be given back. Looked up
    /// only of rows that would otherwise be at their last.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn excused(
        &self,
        conn: &mut AsyncPgConnection,
        claimed: &[Claimed],
        max_attempts: i16,
    ) -> QueryResult<Vec<Excused>> {
        // Of one attempt, none can have been another's.
        let from = if self.is_limited {
            2
        } else {
            max_attempts.max(2)
        };
        let late = claimed.iter().filter(|row| row.attempt >= from);
        let late: Vec<ItemId> = late.map(|row| row.id).collect();
        if late.is_empty() {
            return Ok(Vec::new());
        }
        let rows: Vec<Excused> = statement(&self.excused)
            .bind::<Array<BigInt>, _>(late)
            .bind::<SmallInt, _>(max_attempts)
            .load(conn)
            .await?;
        Ok(rows.into_iter().filter(|row| row.excused > 0).collect())
    }

    /// Records verdicts, and returns the rows that were still ours. Belongs into the transaction that stores their results,
    /// before these.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn settle(
        &self,
        conn: &mut AsyncPgConnection,
        lease: LeaseId,
        records: &Records,
    ) -> QueryResult<Vec<ItemId>> {
        let settled: Vec<Id> = statement(&self.settle)
            .bind::<BigInt, _>(lease.0)
            .bind::<Array<BigInt>, _>(&records.ids)
            .bind::<Array<SmallInt>, _>(&records.attempts)
            .bind::<Array<Text>, _>(&records.statuses)
            .bind::<Array<Double>, _>(&records.after_seconds)
            .bind::<Array<Nullable<Text>>, _>(&records.errors)
            .bind::<Array<SmallInt>, _>(&records.given_back)
            .bind::<Array<Text>, _>(&records.outcomes)
            .bind::<Array<Nullable<Text>>, _>(&records.classes)
            .bind::<Array<Integer>, _>(&records.elapsed_ms)
            .load(conn)
            .await?;
        Ok(settled.into_iter().map(|row| row.id).collect())
    }

    /// Locks those of the rows that nobody else has locked, and returns the others.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn locked(
        &self,
        conn: &mut AsyncPgConnection,
        ids: &[ItemId],
    ) -> QueryResult<Vec<ItemId>> {
        let locked: Vec<Id> = sql_query(&self.locked)
            .bind::<Array<BigInt>, _>(ids)
            .load(conn)
            .await?;
        Ok(locked.into_iter().map(|row| row.id).collect())
    }

    /// Lets go of rows, named with their attempts, whose status somebody changed while they were in hand.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn disown(
        &self,
        conn: &mut AsyncPgConnection,
        lease: LeaseId,
        dropped: &[(ItemId, i16)],
    ) -> QueryResult<usize> {
        let (ids, attempts): (Vec<ItemId>, Vec<i16>) = dropped.iter().copied().unzip();
        sql_query(&self.disown)
            .bind::<BigInt, _>(lease.0)
            .bind::<Array<BigInt>, _>(ids)
            .bind::<Array<SmallInt>, _>(attempts)
            .execute(conn)
            .await
    }

    /// Takes back every row of a lease whose holder died: attempts stay counted. One that somebody else has locked is left to
    /// the rescue.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn take_back(
        &self,
        conn: &mut AsyncPgConnection,
        lease: LeaseId,
        max_attempts: i16,
    ) -> QueryResult<Rescued> {
        let term = Term {
            lease,
            given_back: 0,
            max_attempts,
            outcome: "rescued",
            keep: &[],
        };
        self.free(conn, term).await
    }

    /// Hands back every row of a lease but `keep` unharmed: attempts given back. One that somebody else has locked is not
    /// waited for.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn release(
        &self,
        conn: &mut AsyncPgConnection,
        lease: LeaseId,
        keep: &[ItemId],
    ) -> QueryResult<Rescued> {
        let term = Term {
            lease,
            given_back: 1,
            max_attempts: i16::MAX,
            outcome: "released",
            keep,
        };
        self.free(conn, term).await
    }

    /// Hands back, unharmed, every row of a lease that its holder could not keep, though it lives: what is still stamped with it,
    /// and what others have rescued or quarantined meanwhile, where nobody has touched that since. What somebody has taken
    /// stays with them, and the attempt does not count when that row's deaths are counted.
    ///
    /// Belongs into a transaction.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn release_lost(
        &self,
        conn: &mut AsyncPgConnection,
        lease: LeaseId,
    ) -> QueryResult<Rescued> {
        // First what is still held, which waits for a rescue under way; what that one has charged is then there to be seen.
        let mut total = self.release(conn, lease, &[]).await?;
        let regained: Rescued = sql_query(&self.excuse)
            .bind::<BigInt, _>(lease.0)
            .get_result(conn)
            .await?;
        if regained.freed > 0 {
            total.add(self.release(conn, lease, &[]).await?);
        }
        Ok(total)
    }

    /// Frees rows of a lease. Those that the database does not let go are set aside: whoever opens or closes a lease goes on.
    async fn free(&self, conn: &mut AsyncPgConnection, term: Term<'_>) -> QueryResult<Rescued> {
        match self.free_of(conn, term, None).await {
            Err(error) if db::is_of_a_row(&error) => {}
            done => return done,
        }
        let (table, stage) = (self.table, self.stage);
        let held: Vec<Key> = sql_query(format!(
            "SELECT id::bigint AS id FROM {table} WHERE {stage}_lease = $1 AND id <> ALL ($2) ORDER BY id"
        ))
        .bind::<BigInt, _>(term.lease.0)
        .bind::<Array<BigInt>, _>(term.keep)
        .load(conn)
        .await?;
        let (held, mut total) = (Key::numbers(&held), Rescued::default());
        let mut halves = Halves::of(&held);
        while let Some(part) = halves.next_part() {
            match self.free_of(conn, term, Some(part)).await {
                Ok(some) => total.add(some),
                Err(error) => {
                    aside::refused(conn, self.rescue_work(), &mut halves, part, error).await?;
                }
            }
        }
        Ok(total)
    }

    /// All of them or none, also within a transaction of the caller's.
    async fn free_of(
        &self,
        conn: &mut AsyncPgConnection,
        term: Term<'_>,
        only: Option<&[ItemId]>,
    ) -> QueryResult<Rescued> {
        conn.transaction(async |conn| {
            sql_query(&self.take_back)
                .bind::<BigInt, _>(term.lease.0)
                .bind::<SmallInt, _>(term.given_back)
                .bind::<SmallInt, _>(term.max_attempts)
                .bind::<Text, _>(term.outcome)
                .bind::<Array<BigInt>, _>(term.keep)
                .bind::<Nullable<Array<BigInt>>, _>(only)
                .get_result(conn)
                .await
        })
        .await
    }

    fn rescue_work(&self) -> Work<'_> {
        Work {
            name: &self.rescue_work,
            table: self.table,
        }
    }

    /// Gives rows that nobody has in hand back to somebody who once had them, under a lease that stands: a result that comes late
    /// can be settled then. The caller has locked them, and judged that each attempt was its holder's.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn readopt(
        &self,
        conn: &mut AsyncPgConnection,
        lease: LeaseId,
        ids: &[ItemId],
        attempts: &[i16],
    ) -> QueryResult<usize> {
        sql_query(&self.readopt)
            .bind::<BigInt, _>(lease.0)
            .bind::<Array<BigInt>, _>(ids)
            .bind::<Array<SmallInt>, _>(attempts)
            .execute(conn)
            .await
    }

    /// Takes back rows whose lease has ended, whoever held them. One that the database does not let go is set aside.
    ///
    /// # Errors
    /// Whatever the database answers, but for a row's sake.
    pub async fn rescue(
        &self,
        conn: &mut AsyncPgConnection,
        max_attempts: i16,
    ) -> QueryResult<Rescued> {
        let mut total = Rescued::default();
        loop {
            let step = match self.rescue_of(conn, max_attempts, None).await {
                Err(error) if db::is_of_a_row(&error) => break,
                step => step?,
            };
            total.add(step);
            if step.freed < RESCUE_BATCH {
                return Ok(total);
            }
        }
        let lost = self.fill_condition(
            "item.{stage}_lease IS NOT NULL \
             AND NOT EXISTS (SELECT 1 FROM lease WHERE lease.id = item.{stage}_lease AND lease.expires_at > now())",
        );
        let lost = self.found(conn, &lost).await?;
        let mut halves = Halves::of(&lost);
        while let Some(part) = halves.next_part() {
            match self.rescue_of(conn, max_attempts, Some(part)).await {
                Ok(some) => total.add(some),
                Err(error) => {
                    aside::refused(conn, self.rescue_work(), &mut halves, part, error).await?;
                }
            }
        }
        Ok(total)
    }

    async fn rescue_of(
        &self,
        conn: &mut AsyncPgConnection,
        max_attempts: i16,
        only: Option<&[ItemId]>,
    ) -> QueryResult<Rescued> {
        sql_query(&self.rescue)
            .bind::<SmallInt, _>(max_attempts)
            .bind::<BigInt, _>(RESCUE_BATCH)
            .bind::<Nullable<Array<BigInt>>, _>(only)
            .get_result(conn)
            .await
    }

    /// Queues rows again that other software left in `Processing` for longer than `age`. One that the database does not let be
    /// queued is set aside.
    ///
    /// # Errors
    /// Whatever the database answers, but for a row's sake.
    pub async fn rescue_foreign(
        &self,
        conn: &mut AsyncPgConnection,
        age: Duration,
    ) -> QueryResult<Rescued> {
        match self.rescue_foreign_of(conn, age, None).await {
            Err(error) if db::is_of_a_row(&error) => {}
            done => return done,
        }
        let stuck = self
            .fill_condition("item.{stage}_status = 'Processing' AND item.{stage}_lease IS NULL");
        let (stuck, mut total) = (self.found(conn, &stuck).await?, Rescued::default());
        let mut halves = Halves::of(&stuck);
        while let Some(part) = halves.next_part() {
            match self.rescue_foreign_of(conn, age, Some(part)).await {
                Ok(some) => total.add(some),
                Err(error) => {
                    aside::refused(conn, self.rescue_work(), &mut halves, part, error).await?;
                }
            }
        }
        Ok(total)
    }

    async fn rescue_foreign_of(
        &self,
        conn: &mut AsyncPgConnection,
        age: Duration,
        only: Option<&[ItemId]>,
    ) -> QueryResult<Rescued> {
        sql_query(&self.rescue_foreign)
            .bind::<Double, _>(seconds(age))
            .bind::<BigInt, _>(RESCUE_BATCH)
            .bind::<Nullable<Array<BigInt>>, _>(only)
            .get_result(conn)
            .await
    }

    fn fill_condition(&self, condition: &str) -> String {
        condition.replace("{stage}", self.stage)
    }

    /// Rows for which a condition holds and that are not set aside, as many as one rescue sees to.
    async fn found(&self, conn: &mut AsyncPgConnection, condition: &str) -> QueryResult<Vec<i64>> {
        let (table, takes) = (self.table, self.rescue_work().takes("item.id"));
        let found: Vec<Key> = sql_query(format!(
            "SELECT id::bigint AS id FROM {table} AS item WHERE {condition} AND {takes} ORDER BY id LIMIT $1"
        ))
        .bind::<BigInt, _>(RESCUE_BATCH)
        .load(conn)
        .await?;
        Ok(Key::numbers(&found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_filled_in() {
        let stage = Stage::new("place", "deep_scan", true);
        for text in [
            &stage.claim,
            &stage.claim_past,
            &stage.look,
            &stage.claim_these,
            &stage.settle,
            &stage.locked,
            &stage.disown,
            &stage.take_back,
            &stage.readopt,
            &stage.excuse,
            &stage.rescue,
            &stage.rescue_foreign,
            &stage.gauge,
            &stage.excused,
        ] {
            assert!(!text.contains('{'), "{text}");
        }
        assert!(stage.claim.contains("updated_at = now()"));
        assert_eq!(stage.name(), "place/deep_scan");
    }
}
