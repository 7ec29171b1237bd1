//! Shares: claims of a stage whose rows belong to many, none of whom is to keep the others waiting.
//!
//! Whoever has least in hand comes next, and nobody has more in hand than an owner's row allows, on all nodes together; two nodes that
//! claim in the same moment may each give what is free, so that an owner has up to twice as much for as long as that takes. Large
//! rows leave one place of each process to the others. See `claim_shared.sql`.
//!
//! A claim may find less than it could take though rows wait, since those of their owners that are in hand are as many as may be. So
//! whenever one is done, all nodes are told to look again.

use diesel::QueryResult;
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Bool, Double, Text};
use diesel_async::AsyncPgConnection;
use gleaner_actors::port::LeaseId;

use super::request::taken;
use super::{Claimed, Stage};
use crate::db::notify::STAGE_CHANNEL;
use crate::db::statement::statement;

/// Owners that a claim looks at.
const SEATS: &str = "64";

/// By whom the rows of a stage are shared out. SQL, constants all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// The column that says whose a row is, a `bigint`. An index over it, then the order of the claim, for the queued rows, is needed.
    pub owner: &'static str,
    /// The table of the owners; its key is `id`.
    pub owners: &'static str,
    /// How many rows of one owner may be in hand; over `owner`, a row of that table.
    pub cap: &'static str,
    /// Whether a row is large; over the row, by names of columns alone.
    pub large: &'static str,
}

/// The statements of a stage that is shared.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    claim: String,
    has_due: String,
    tell_room: String,
}

impl Stage {
    /// The same stage, claimed in shares.
    #[must_use]
    pub fn shared(mut self, share: Option<Share>) -> Self {
        self.share = share.map(|share| Shared::of(&self, share));
        self
    }

    /// Whether it is claimed in shares.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.share.is_some()
    }

    /// The text of the claim in shares, for plans and benchmarks.
    #[must_use]
    pub fn claim_shared_sql(&self) -> Option<&str> {
        Some(&self.share.as_ref()?.claim)
    }

    /// Claims as [`Stage::claim`] does, in shares. Of large rows no more than `large` are in hand under this lease. Nothing, if the stage is
    /// not shared.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn claim_shared(
        &self,
        conn: &mut AsyncPgConnection,
        lease: LeaseId,
        limit: usize,
        large: usize,
    ) -> QueryResult<Vec<Claimed>> {
        let Some(share) = &self.share else {
            return Ok(Vec::new());
        };
        let number = |number: usize| i64::try_from(number).unwrap_or(i64::from(u32::MAX));
        statement(&share.claim)
            .bind::<BigInt, _>(lease.0)
            .bind::<BigInt, _>(number(limit))
            .bind::<Double, _>(rand::random::<f64>())
            .bind::<BigInt, _>(number(large))
            .load(conn)
            .await
    }

    /// Whether rows wait that a claim in shares could take.
    pub(super) async fn has_due_share(
        &self,
        conn: &mut AsyncPgConnection,
    ) -> Option<QueryResult<bool>> {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = Bool)]
            due: bool,
        }
        let share = self.share.as_ref()?;
        let row: QueryResult<Row> = statement(&share.has_due)
            .bind::<BigInt, _>(0_i64)
            .bind::<BigInt, _>(1_i64)
            .bind::<Double, _>(rand::random::<f64>())
            .bind::<BigInt, _>(i64::from(u32::MAX))
            .get_result(conn)
            .await;
        Some(row.map(|row| row.due))
    }

    /// Has all nodes claim again, if rows wait: a place has come free. Belongs into the transaction that frees it.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn tell_room(&self, conn: &mut AsyncPgConnection) -> QueryResult<()> {
        if let Some(share) = &self.share {
            statement(&share.tell_room)
                .bind::<Text, _>(STAGE_CHANNEL)
                .bind::<Text, _>(self.name())
                .execute(conn)
                .await?;
        }
        Ok(())
    }
}

impl Shared {
    fn of(stage: &Stage, share: Share) -> Self {
        let fill = |template: &str| {
            let template = template
                .replace("{round}", include_str!("shared_round.sql").trim_end())
                .replace("{set}", &taken("$1"))
                .replace("{owner}", share.owner)
                .replace("{owners}", share.owners)
                .replace("{cap}", share.cap)
                .replace("{large}", share.large)
                .replace("{seats}", SEATS);
            stage.names.fill(&template)
        };
        Self {
            claim: fill(include_str!("claim_shared.sql")),
            has_due: fill("{round} SELECT EXISTS (SELECT 1 FROM picked) AS due"),
            tell_room: fill(
                "SELECT pg_notify($1, $2) WHERE EXISTS \
                 (SELECT 1 FROM {table} WHERE {stage}_status = 'Queued'{given} AND {stage}_due_at <= now())",
            ),
        }
    }
}
