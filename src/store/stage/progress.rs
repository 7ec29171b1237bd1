//! How far rows in hand have come, for stages whose workflows tell it.

use std::collections::HashSet;

use diesel::QueryResult;
use diesel::sql_types::{Array, BigInt, Bool, Integer, Nullable, SmallInt, Text};
use diesel_async::AsyncPgConnection;
use gleaner_actors::port::{ItemId, LeaseId};

use super::{Id, Stage};
use crate::db::statement::statement;

/// How far a row has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub item: ItemId,
    pub attempt: i16,
    /// What is being done.
    pub step: &'static str,
    /// Parts done.
    pub done: i32,
    /// Of so many, once that is known.
    pub total: Option<i32>,
    pub percent: i16,
    /// Whether anything of it is new; otherwise it is only looked whether the row is still ours.
    pub is_new: bool,
}

impl Stage {
    /// The same stage, on a table that takes how far its rows have come: the assignments, over `item` and `told` (`step`, `done`, `total`,
    /// `percent`). SQL, a constant.
    #[must_use]
    pub fn telling(mut self, progress: Option<&'static str>) -> Self {
        self.progress = progress.map(|assignments| {
            let template = include_str!("progress.sql").replace("{progress}", assignments);
            self.names.fill(&template)
        });
        self
    }

    /// Whether its rows tell how far they have come.
    #[must_use]
    pub fn tells(&self) -> bool {
        self.progress.is_some()
    }

    /// Writes how far these rows have come, and returns those that are still ours. The others were cancelled, deleted or lost.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn report(
        &self,
        conn: &mut AsyncPgConnection,
        lease: LeaseId,
        marks: &[Mark],
    ) -> QueryResult<HashSet<ItemId>> {
        let Some(progress) = &self.progress else {
            return Ok(marks.iter().map(|mark| mark.item).collect());
        };
        let ours: Vec<Id> = statement(progress)
            .bind::<BigInt, _>(lease.0)
            .bind::<Array<BigInt>, _>(marks.iter().map(|mark| mark.item).collect::<Vec<_>>())
            .bind::<Array<SmallInt>, _>(marks.iter().map(|mark| mark.attempt).collect::<Vec<_>>())
            .bind::<Array<Text>, _>(marks.iter().map(|mark| mark.step).collect::<Vec<_>>())
            .bind::<Array<Integer>, _>(marks.iter().map(|mark| mark.done).collect::<Vec<_>>())
            .bind::<Array<Nullable<Integer>>, _>(
                marks.iter().map(|mark| mark.total).collect::<Vec<_>>(),
            )
            .bind::<Array<SmallInt>, _>(marks.iter().map(|mark| mark.percent).collect::<Vec<_>>())
            .bind::<Array<Bool>, _>(marks.iter().map(|mark| mark.is_new).collect::<Vec<_>>())
            .load(conn)
            .await?;
        Ok(ours.into_iter().map(|row| row.id).collect())
    }
}
