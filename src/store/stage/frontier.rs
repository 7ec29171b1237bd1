//! The frontier: from where claims read the queue while somebody's open transaction pins row versions.
//!
//! A claimed row leaves an entry in the index of the queue, which the next reader clears away, unless a transaction is open
//! that began before the claim: then every claim reads the entries of all rows claimed since. So while there is one
//! ([`crate::store::pin`]), each process remembers per priority up to where it has claimed, and its claims begin there. Nobody's frontier
//! but its own: nothing is written, and no process waits for another.
//!
//! Rows may come to lie before it all the same: queued with an earlier due time, with another priority, by a rescue, or by a
//! transaction that was long on its way. A [look](Stage::look) finds them, and the next claim takes them in their place. Looks
//! come every [`LOOK_INTERVAL`], or, where what they read again has grown, so that they take a tenth of the time. Nothing waits
//! longer than that. What this process itself puts back makes it [forget](Frontier::forget) the frontier, so that its next claim reads all.
//!
//! While nothing is pinned there is no frontier, and a claim reads all.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::result::Error as DieselError;
use diesel::sql_types::{Array, BigInt, Double, Integer, Nullable, SmallInt, Timestamptz};
use diesel::{QueryResult, QueryableByName};
use diesel_async::AsyncPgConnection;
use gleaner_actors::port::{ItemId, LeaseId};
use tokio::time::Instant;

use super::{Claimed, Stage};
use crate::db;
use crate::db::locks;
use crate::db::statement::statement;
use crate::store::pin;
use crate::store::pin::Holder;

/// How often rows before the frontier are looked for, while there is one.
pub const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// Looks take at most this part of the time: one that takes a second comes every ten.
const LOOK_SHARE: u32 = 10;
/// The frontier stays this far behind the present, in seconds: a row is due from the start of the transaction that queues it,
/// and is seen at its end. One that takes less than this cannot slip behind.
const SLACK_SECONDS: f64 = 0.5;
/// Priorities that have a place of their own. Those of others are read whole.
const PRIORITIES: usize = 64;
/// Of each priority, so many waiting rows before the frontier are kept by their keys; with more, it goes back.
const STRAYS: usize = 1_000;

/// From where one process claims the rows of one stage. Reads everything until [`Frontier::set_pinned`].
#[derive(Debug, Default)]
pub struct Frontier(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    is_pinned: bool,
    /// Moved on by whatever makes what a statement under way will tell untrue.
    epoch: u64,
    has_claimed: bool,
    next_look: Option<Instant>,
    marks: BTreeMap<i16, Mark>,
}

/// A place in the queue: due time, then key.
type Place = (DateTime<Utc>, i64);

/// Before all rows.
const BEGINNING: Place = (DateTime::UNIX_EPOCH, i64::MIN);

#[derive(Clone, Debug, PartialEq)]
struct Mark {
    /// Up to here all rows of the priority have been claimed, as far as they were to be seen,
    place: Place,
    /// but for these.
    strays: Vec<ItemId>,
    /// Up to here rows have been handed out by statements that pass over those which may not be taken yet: the next look tells
    /// which these are, and moves the frontier on.
    handed_out: Place,
}

impl Mark {
    fn new() -> Self {
        Self {
            place: BEGINNING,
            strays: Vec::new(),
            handed_out: BEGINNING,
        }
    }
}

/// What a statement is told of the frontier.
#[derive(Clone, Debug, Default, PartialEq)]
struct View {
    epoch: u64,
    marks: BTreeMap<i16, Mark>,
}

/// Ranges of the queue in its order, as `claim_past.sql` takes them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ranges {
    pub(crate) above: Vec<i32>,
    pub(crate) upto: Vec<i32>,
    pub(crate) kinds: Vec<i16>,
    pub(crate) due_at: Vec<Option<DateTime<Utc>>>,
    pub(crate) ids: Vec<Option<i64>>,
    pub(crate) strays: Vec<ItemId>,
}

const ALL: i16 = 0;
const SEEN: i16 = 1;
const PAST: i16 = 2;

#[derive(Debug, QueryableByName)]
struct Taken {
    #[diesel(sql_type = Nullable<BigInt>)]
    id: Option<ItemId>,
    #[diesel(sql_type = Nullable<SmallInt>)]
    attempt: Option<i16>,
    #[diesel(sql_type = Nullable<SmallInt>)]
    priority: Option<i16>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    due_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    read_until: Option<DateTime<Utc>>,
}

#[derive(Clone, Debug, QueryableByName)]
struct Stray {
    #[diesel(sql_type = Integer)]
    priority: i32,
    #[diesel(sql_type = Timestamptz)]
    reached_at: DateTime<Utc>,
    #[diesel(sql_type = BigInt)]
    reached_id: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    id: Option<ItemId>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    due_at: Option<DateTime<Utc>>,
}

impl View {
    /// The whole queue, less what lies before the marks.
    fn ranges(&self) -> Ranges {
        let mut ranges = Ranges::default();
        let mut highest = i32::from(i16::MAX);
        for (&priority, mark) in self.marks.iter().rev() {
            let priority = i32::from(priority);
            if priority < highest {
                ranges.push(priority, highest, ALL, None);
            }
            if !mark.strays.is_empty() {
                ranges.push(priority, priority, SEEN, None);
                ranges.strays.extend(&mark.strays);
            }
            ranges.push(priority, priority, PAST, Some(mark.place));
            highest = priority - 1;
        }
        let lowest = i32::from(i16::MIN) - 1;
        if highest > lowest {
            ranges.push(lowest, highest, ALL, None);
        }
        ranges
    }
}

impl Ranges {
    fn push(&mut self, above: i32, upto: i32, kind: i16, place: Option<Place>) {
        self.above.push(above);
        self.upto.push(upto);
        self.kinds.push(kind);
        self.due_at.push(place.map(|(due_at, _)| due_at));
        self.ids.push(place.map(|(_, id)| id));
    }
}

impl State {
    /// Takes in what a claim of at most `limit` rows has read. All was to be seen that was committed by the time that the claim
    /// began, of transactions begun before `read_until`.
    fn claimed(
        &mut self,
        limit: usize,
        claimed: &[(ItemId, i16, DateTime<Utc>)],
        read_until: DateTime<Utc>,
    ) {
        // Before any row that is due at that time or later.
        let present: Place = (read_until, i64::MIN);
        let lowest = claimed.iter().map(|&(_, priority, _)| priority).min();
        let is_full = claimed.len() >= limit;
        let taken: HashSet<ItemId> = claimed.iter().map(|&(id, _, _)| id).collect();
        for &(_, priority, _) in claimed {
            if self.marks.len() < PRIORITIES {
                self.marks.entry(priority).or_insert_with(Mark::new);
            }
        }
        for (&priority, mark) in &mut self.marks {
            mark.strays.retain(|stray| !taken.contains(stray));
            let reached = match lowest.filter(|_| is_full) {
                // It stopped before.
                Some(lowest) if priority < lowest => continue,
                Some(lowest) if priority == lowest => claimed
                    .iter()
                    .filter(|(_, own, _)| *own == priority)
                    .map(|&(id, _, due_at)| (due_at, id))
                    .max()
                    .unwrap_or(mark.place)
                    .min(present),
                Some(_) | None => present,
            };
            mark.place = mark.place.max(reached);
        }
    }

    /// Takes in what a look at these marks found.
    fn looked(&mut self, view: &View, found: &[Stray]) {
        for &priority in view.marks.keys() {
            let Some(mark) = self.marks.get_mut(&priority) else {
                continue;
            };
            let mut reached = mark.place;
            let mut waiting: Vec<(Place, ItemId)> = Vec::new();
            for stray in found
                .iter()
                .filter(|stray| stray.priority == i32::from(priority))
            {
                reached = reached.max((stray.reached_at, stray.reached_id));
                waiting.extend(
                    stray
                        .id
                        .zip(stray.due_at)
                        .map(|(id, due_at)| ((due_at, id), id)),
                );
            }
            mark.place = match waiting.iter().map(|(place, _)| *place).max() {
                // There are more than these; and a claim under way, which began further on, is not to move it past them.
                Some(last) if waiting.len() >= STRAYS && last < mark.place => {
                    self.epoch += 1;
                    last
                }
                Some(last) if waiting.len() >= STRAYS => last,
                Some(_) | None => reached,
            };
            mark.strays = waiting.into_iter().map(|(_, id)| id).collect();
        }
    }

    /// Takes in that rows were handed out which somebody has chosen.
    fn handed_out(&mut self, rows: &[(ItemId, i16, DateTime<Utc>)]) {
        let taken: HashSet<ItemId> = rows.iter().map(|&(id, _, _)| id).collect();
        for mark in self.marks.values_mut() {
            mark.strays.retain(|stray| !taken.contains(stray));
        }
        for &(id, priority, due_at) in rows {
            if self.marks.len() < PRIORITIES || self.marks.contains_key(&priority) {
                let mark = self.marks.entry(priority).or_insert_with(Mark::new);
                mark.handed_out = mark.handed_out.max((due_at, id));
            }
        }
    }
}

impl Frontier {
    fn state(&self) -> MutexGuard<'_, State> {
        // Whole between any two statements.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says whether row versions are pinned. As soon as they are not, claims read everything again.
    pub fn set_pinned(&self, is_pinned: bool) {
        let mut state = self.state();
        if state.is_pinned == is_pinned {
            return;
        }
        let epoch = state.epoch + 1;
        *state = State {
            is_pinned,
            epoch,
            has_claimed: state.has_claimed,
            ..State::default()
        };
    }

    /// Has the next claim read everything: rows were put back that may lie before.
    pub fn forget(&self) {
        let mut state = self.state();
        state.epoch += 1;
        state.marks.clear();
    }

    /// Whether rows were claimed since this was last asked, or row versions are pinned: only then does it matter who pins them.
    pub fn is_in_use(&self) -> bool {
        let mut state = self.state();
        std::mem::take(&mut state.has_claimed) || state.is_pinned
    }

    /// Whether a look is due.
    #[must_use]
    pub fn is_look_due(&self) -> bool {
        let state = self.state();
        state.is_pinned && state.next_look.is_none_or(|at| at <= Instant::now())
    }

    /// What a statement is to be told; `None` if all is to be read.
    fn view(&self) -> Option<View> {
        let state = self.state();
        state.is_pinned.then(|| View {
            epoch: state.epoch,
            marks: state.marks.clone(),
        })
    }

    /// What a statement is to read that hands out rows by a choice of its own; `None` if all is to be read.
    pub(crate) fn ranges_for_choice(&self) -> Option<Ranges> {
        Some(self.view()?.ranges())
    }

    /// That statement has handed out these rows, of these priorities and due times.
    pub(crate) fn handed_out(&self, rows: &[(ItemId, i16, DateTime<Utc>)]) {
        let mut state = self.state();
        state.has_claimed |= !rows.is_empty();
        if state.is_pinned {
            state.handed_out(rows);
        }
    }

    /// Changes it by what a statement has told, unless that is no longer true.
    fn learn(&self, view: &View, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        if state.is_pinned && state.epoch == view.epoch {
            change(&mut state);
        }
    }
}

impl Stage {
    /// Claims as [`Stage::claim`] does, reading from the frontier on where row versions are pinned.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn claim_past(
        &self,
        conn: &mut AsyncPgConnection,
        lease: LeaseId,
        limit: usize,
        frontier: &Frontier,
    ) -> QueryResult<Vec<Claimed>> {
        let Some(view) = frontier.view() else {
            let claimed = self.claim(conn, lease, limit).await?;
            // Claims of nothing leave nothing behind: a program that has nothing to do asks for nothing else either.
            frontier.state().has_claimed |= !claimed.is_empty();
            return Ok(claimed);
        };
        let ranges = view.ranges();
        let rows: Vec<Taken> = statement(&self.claim_past)
            .bind::<BigInt, _>(lease.0)
            .bind::<BigInt, _>(i64::try_from(limit).unwrap_or(i64::MAX))
            .bind::<Array<Integer>, _>(ranges.above)
            .bind::<Array<Integer>, _>(ranges.upto)
            .bind::<Array<SmallInt>, _>(ranges.kinds)
            .bind::<Array<Nullable<Timestamptz>>, _>(ranges.due_at)
            .bind::<Array<Nullable<BigInt>>, _>(ranges.ids)
            .bind::<Array<BigInt>, _>(ranges.strays)
            .bind::<Double, _>(SLACK_SECONDS)
            .load(conn)
            .await?;
        let places: Vec<(ItemId, i16, DateTime<Utc>)> = rows
            .iter()
            .filter_map(|row| Some((row.id?, row.priority?, row.due_at?)))
            .collect();
        if let Some(read_until) = rows.first().and_then(|row| row.read_until) {
            frontier.learn(&view, |state| state.claimed(limit, &places, read_until));
        }
        Ok(rows
            .into_iter()
            .filter_map(|row| {
                Some(Claimed {
                    id: row.id?,
                    attempt: row.attempt?,
                })
            })
            .collect())
    }

    /// Looks for rows that are due and lie before the frontier, for the next claim to take; returns how many there are. Reads
    /// all that is pinned.
    ///
    /// # Errors
    /// Whatever the database answers.
    pub async fn look(
        &self,
        conn: &mut AsyncPgConnection,
        frontier: &Frontier,
    ) -> QueryResult<usize> {
        let Some(view) = frontier.view() else {
            return Ok(0);
        };
        let begun = Instant::now();
        let (due_at, ids): (Vec<DateTime<Utc>>, Vec<i64>) = view
            .marks
            .values()
            .map(|mark| mark.place.max(mark.handed_out))
            .unzip();
        let priorities: Vec<i32> = view.marks.keys().copied().map(i32::from).collect();
        let found = statement(&self.look)
            .bind::<Array<Integer>, _>(priorities)
            .bind::<Array<Timestamptz>, _>(due_at)
            .bind::<Array<BigInt>, _>(ids)
            .bind::<BigInt, _>(i64::try_from(STRAYS).unwrap_or(i64::MAX))
            .bind::<Double, _>(SLACK_SECONDS)
            .load::<Stray>(conn)
            .await;
        let next = Instant::now() + LOOK_INTERVAL.max(begun.elapsed() * LOOK_SHARE);
        frontier.state().next_look = Some(next);
        let found = found?;
        frontier.learn(&view, |state| state.looked(&view, &found));
        Ok(found.iter().filter(|stray| stray.id.is_some()).count())
    }
}

/// The frontiers of a process, one for each stage.
#[derive(Debug, Default)]
pub struct Frontiers(Mutex<HashMap<String, Arc<Frontier>>>);

impl Frontiers {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Arc<Frontier>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// That of this stage.
    #[must_use]
    pub fn get(&self, stage: &Stage) -> Arc<Frontier> {
        Arc::clone(self.all().entry(stage.name()).or_default())
    }

    /// Forgets those of all other stages.
    pub fn keep<'a>(&self, stages: impl IntoIterator<Item = &'a Stage>) {
        let kept: HashSet<String> = stages.into_iter().map(Stage::name).collect();
        self.all().retain(|stage, _| kept.contains(stage));
    }
}

/// What a patrol shows.
#[derive(Debug, Default)]
pub struct Patrol {
    /// Who pins row versions, the oldest first.
    pub holders: Vec<Holder>,
    /// Of the stages, those that have rows waiting before their frontiers: by their places.
    pub waiting: Vec<usize>,
    /// Why a stage could not be looked at, where the fault is its own. The others were.
    pub refusal: Option<DieselError>,
}

/// Whether any of these is [in use](Frontier::is_in_use), so that a patrol is worth its statement.
#[must_use]
pub fn are_in_use(places: &[(&Stage, Arc<Frontier>)]) -> bool {
    let in_use = places.iter().filter(|(_, frontier)| frontier.is_in_use());
    // All are asked: each forgets its claims with the answer.
    in_use.count() > 0
}

/// Sees who pins row versions, tells the frontiers, and looks before those whose look is due.
///
/// # Errors
/// Whatever the database answers.
pub async fn patrol(
    conn: &mut AsyncPgConnection,
    places: &[(&Stage, Arc<Frontier>)],
) -> QueryResult<Patrol> {
    let mut patrol = Patrol {
        holders: pin::holders(conn).await?,
        ..Patrol::default()
    };
    let is_pinned = patrol.holders.iter().any(Holder::pins_rows);
    for (place, (stage, frontier)) in places.iter().enumerate() {
        frontier.set_pinned(is_pinned);
        if !frontier.is_look_due() {
            continue;
        }
        match stage.look(conn, frontier).await {
            Ok(strays) if strays > 0 => patrol.waiting.push(place),
            Ok(_none) => {}
            Err(error) if !db::is_trouble(&error) && !locks::is_locked(&error) => {
                patrol.refusal = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(patrol)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_000_000 + second, 0).unwrap()
    }

    fn mark(second: i64, id: i64, strays: &[ItemId]) -> Mark {
        Mark {
            place: (at(second), id),
            strays: strays.to_vec(),
            ..Mark::new()
        }
    }

    fn state(marks: &[(i16, Mark)]) -> State {
        State {
            is_pinned: true,
            marks: marks.iter().cloned().collect(),
            ..State::default()
        }
    }

    /// Every priority is in exactly one range that is read whole, or in those past a mark; in the order of the queue.
    #[test]
    fn the_ranges_are_the_whole_queue() {
        let (low, high) = (i32::from(i16::MIN), i32::from(i16::MAX));
        for (marks, expected) in [
            (vec![], vec![(low - 1, high, ALL)]),
            (
                vec![(0, mark(1, 1, &[]))],
                vec![(0, high, ALL), (0, 0, PAST), (low - 1, -1, ALL)],
            ),
            (
                vec![(4, mark(1, 1, &[])), (5, mark(1, 1, &[7, 8]))],
                vec![
                    (5, high, ALL),
                    (5, 5, SEEN),
                    (5, 5, PAST),
                    (4, 4, PAST),
                    (low - 1, 3, ALL),
                ],
            ),
            (
                vec![(i16::MIN, mark(1, 1, &[])), (i16::MAX, mark(1, 1, &[]))],
                vec![(high, high, PAST), (low, high - 1, ALL), (low, low, PAST)],
            ),
        ] {
            let view = View {
                marks: marks.into_iter().collect(),
                ..View::default()
            };
            let ranges = view.ranges();
            let got: Vec<(i32, i32, i16)> = (0..ranges.kinds.len())
                .map(|place| (ranges.above[place], ranges.upto[place], ranges.kinds[place]))
                .collect();
            assert_eq!(got, expected, "{view:?}");
        }
    }

    #[test]
    fn a_claim_moves_the_frontier_over_what_it_has_read() {
        let old = || {
            state(&[
                (5, mark(10, 1, &[])),
                (0, mark(10, 1, &[3, 4])),
                (-5, mark(10, 1, &[])),
            ])
        };
        for (limit, claimed, expected) in [
            // Not as many as asked for: all that there was.
            (
                9,
                vec![(7, 0, at(20))],
                [(100, i64::MIN), (100, i64::MIN), (100, i64::MIN)],
            ),
            (
                9,
                vec![],
                [(100, i64::MIN), (100, i64::MIN), (100, i64::MIN)],
            ),
            // It stopped in the middle of a priority, those above are empty.
            (
                2,
                vec![(7, 0, at(20)), (8, 0, at(21))],
                [(100, i64::MIN), (21, 8), (10, 1)],
            ),
            (
                2,
                vec![(7, 5, at(20)), (8, 0, at(21))],
                [(100, i64::MIN), (21, 8), (10, 1)],
            ),
            (1, vec![(7, 5, at(20))], [(20, 7), (10, 1), (10, 1)]),
            // What was taken lies before: nothing is known of what comes after.
            (1, vec![(3, 0, at(2))], [(100, i64::MIN), (10, 1), (10, 1)]),
            // Too near to the present.
            (
                1,
                vec![(7, 5, at(103))],
                [(100, i64::MIN), (10, 1), (10, 1)],
            ),
        ] {
            let mut state = old();
            state.claimed(limit, &claimed, at(100));
            let places = [5, 0, -5].map(|priority| state.marks[&priority].place);
            assert_eq!(
                places,
                expected.map(|(second, id)| (at(second), id)),
                "{claimed:?}"
            );
            let is_taken = |id| claimed.iter().any(|row| row.0 == id);
            let left: Vec<ItemId> = [3, 4].into_iter().filter(|&id| !is_taken(id)).collect();
            assert_eq!(state.marks[&0].strays, left);
        }
    }

    #[test]
    fn no_more_priorities_have_a_place_than_fit() {
        let mut state = state(&[]);
        let rows: Vec<(ItemId, i16, DateTime<Utc>)> =
            (0..200).map(|n| (i64::from(n), n, at(1))).collect();
        state.claimed(1_000, &rows, at(100));
        assert_eq!(state.marks.len(), PRIORITIES);
    }

    #[test]
    fn a_frontier_goes_back_only_before_more_rows_than_can_be_named() {
        let reached = |second: i64| {
            move |id: Option<i64>| Stray {
                priority: 0,
                reached_at: at(second),
                reached_id: 1,
                id,
                due_at: id.map(at),
            }
        };
        let mut own = state(&[(0, mark(5_000, 1, &[9_999]))]);
        let view = View {
            marks: own.marks.clone(),
            ..View::default()
        };
        own.looked(&view, &[Some(3), Some(4)].map(reached(5_000)));
        assert_eq!(own.marks[&0], mark(5_000, 1, &[3, 4]));
        // It has looked further than the frontier was.
        own.looked(&view, &[Some(4)].map(reached(6_000)));
        assert_eq!(own.marks[&0], mark(6_000, 1, &[4]));
        // A claim has moved on meanwhile.
        own.looked(&view, &[None].map(reached(5_000)));
        assert_eq!(own.marks[&0], mark(6_000, 1, &[]));
        let many: Vec<Stray> = (0..1_000).map(Some).map(reached(7_000)).collect();
        own.looked(&view, &many);
        assert_eq!(own.marks[&0].place, (at(999), 999));
        assert_eq!(own.epoch, 1, "a claim under way teaches nothing");
        own.handed_out(&[(0, 0, at(0)), (1, 0, at(1)), (5, 7, at(5))]);
        assert_eq!(own.marks[&0].strays.len(), 997);
        assert_eq!(own.marks[&0].handed_out, (at(1), 1));
        assert_eq!(own.marks[&7].place, BEGINNING);
        own.marks.insert(0, mark(999, 999, &[]));
        own.looked(&view, &[None].map(reached(5_000)));
        assert_eq!(own.marks[&0], mark(5_000, 1, &[]));
    }

    #[test]
    fn what_was_under_way_when_it_was_forgotten_teaches_nothing() {
        let frontier = Frontier::default();
        assert_eq!(frontier.view(), None);
        frontier.set_pinned(true);
        let view = frontier.view().unwrap();
        frontier.forget();
        frontier.learn(&view, |state| state.claimed(1, &[(1, 0, at(1))], at(2)));
        assert!(frontier.view().unwrap().marks.is_empty());
        let view = frontier.view().unwrap();
        frontier.learn(&view, |state| state.claimed(1, &[(1, 0, at(1))], at(2)));
        assert_eq!(frontier.view().unwrap().marks.len(), 1);
        frontier.set_pinned(true);
        assert_eq!(
            frontier.view().unwrap().marks.len(),
            1,
            "nothing has changed"
        );
        frontier.set_pinned(false);
        assert_eq!(frontier.view(), None);
    }
}
