//! The places of a port: who may hold a connection, and who makes room when there is none left.
//!
//! A port has [`MAX_CONNECTIONS`] places, fewer where descriptors are few, of which no address holds more than its share. Whoever comes when there is none for them
//! gets the place of a connection whose client has long owed us something: the rest of a head, of a body before we know whose it
//! is, the next request, or its reading of an answer. The longest first, of the same address where that has its share. Where
//! nobody owes anything there are a few more places, [`SPARE`], in which the health checks are answered and all else is turned
//! away; there it is whoever has not yet sent its head that makes room.
//!
//! A proxy is one address for all who come through it; so those that the configuration names have no share.
//!
//! What takes long (an upload, a stream of events) leaves its place for as long as it lasts, once it is known who asks, and counts
//! against a ceiling of its own ([`Place::long`]).

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::config::{Config, MAX_CONNECTIONS};
use crate::descriptors;
use crate::metrics;
use crate::metrics::TurnedAway;

/// Places beyond the others, for health checks.
const SPARE: usize = 32;
/// Who has owed us something for less is left alone: everybody does for a moment.
const GRACE: Duration = Duration::from_secs(1);
/// The log tells of connections that were turned away no more often than this.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// Whose share a connection counts against; nobody's, for those of a proxy.
type Holder = Option<IpAddr>;

/// A connection.
#[derive(Debug)]
struct Line {
    holder: Holder,
    is_spare: bool,
    /// Since when its client owes us something; `None` while it is for us to answer.
    owes_since: Option<Instant>,
    /// What takes long on it counts elsewhere.
    is_long: bool,
    hang_up: CancellationToken,
}

impl Line {
    fn is_general(&self) -> bool {
        !self.is_spare && !self.is_long
    }
}

/// The connections by their numbers, which grow.
type Lines = BTreeMap<u64, Line>;

/// Where there is room for one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    Free,
    InPlaceOf(u64),
    Nowhere,
}

/// The places of one port.
pub(super) struct Places {
    most: usize,
    share: usize,
    proxies: Vec<IpNet>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    lines: Lines,
    next: u64,
    warned_at: Option<Instant>,
}

/// A place, until it is dropped.
pub(crate) struct Place {
    places: Arc<Places>,
    number: u64,
    hang_up: CancellationToken,
    is_spare: bool,
    is_long: watch::Sender<bool>,
}

/// A request that takes long, until this is dropped: its connection counts against the ceiling that it was let in under, against no
/// place and nobody's share, and is not asked to end for its age. An answer that takes long holds this in its body.
pub(crate) struct Long {
    place: Arc<Place>,
    _permit: OwnedSemaphorePermit,
}

impl Places {
    pub(super) fn new(config: &Config) -> Arc<Self> {
        // With few descriptors, most of them are for the work that is asked about.
        let few = (descriptors::limit().soft / 4).max(1);
        Arc::new(Self {
            most: MAX_CONNECTIONS.min(few),
            share: config.max_connections_per_peer,
            proxies: config.trusted_proxies.clone(),
            state: Mutex::default(),
        })
    }

    /// A place for a connection from this address; `None` when not even a spare one is left.
    pub(super) fn enter(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let holder = self.holder(peer);
        let now = Instant::now();
        let mut state = self.state();
        let mut is_spare = false;
        let mut room = general_room(&state.lines, holder, (self.most, self.share), now);
        if room == Room::Nowhere {
            is_spare = true;
            room = spare_room(&state.lines);
            state.tell(peer, now);
            metrics::turned_away(match room {
                Room::Nowhere => TurnedAway::Refused,
                Room::Free | Room::InPlaceOf(_) => TurnedAway::Spared,
            });
        }
        match room {
            Room::Nowhere => return None,
            Room::Free => {}
            Room::InPlaceOf(number) => {
                if let Some(line) = state.lines.remove(&number) {
                    line.hang_up.cancel();
                }
                if !is_spare {
                    state.tell(peer, now);
                    metrics::turned_away(TurnedAway::HungUp);
                }
            }
        }
        let number = state.next;
        state.next += 1;
        let hang_up = CancellationToken::new();
        let line = Line {
            holder,
            is_spare,
            owes_since: Some(now),
            is_long: false,
            hang_up: hang_up.clone(),
        };
        state.lines.insert(number, line);
        drop(state);
        Some(Place {
            places: Arc::clone(self),
            number,
            hang_up,
            is_spare,
            is_long: watch::Sender::new(false),
        })
    }

    /// IPv6 clients have a network each.
    fn holder(&self, peer: IpAddr) -> Holder {
        let peer = peer.to_canonical();
        if self.proxies.iter().any(|network| network.contains(&peer)) {
            return None;
        }
        Some(match peer {
            IpAddr::V4(_) => peer,
            IpAddr::V6(address) => {
                let network = address.to_bits() >> 64 << 64;
                IpAddr::V6(Ipv6Addr::from_bits(network))
            }
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn tell(&mut self, peer: IpAddr, now: Instant) {
        let is_due = self
            .warned_at
            .is_none_or(|last| now.duration_since(last) >= WARN_EVERY);
        if is_due {
            self.warned_at = Some(now);
            warn!(
                %peer,
                connections = self.lines.len(),
                "more HTTP connections than there are places: those that only wait are hung up on, and others turned away"
            );
        }
    }
}

impl Place {
    /// Whether it is one of those in which only health checks are answered.
    pub(super) fn is_spare(&self) -> bool {
        self.is_spare
    }

    /// Done when somebody else needs the place more.
    pub(super) fn hang_up(&self) -> CancellationToken {
        self.hang_up.clone()
    }

    /// From now on we wait for the client.
    pub(crate) fn clients_turn(&self) {
        self.turn(Some(Instant::now()));
    }

    /// From now on the client waits for us.
    pub(crate) fn our_turn(&self) {
        self.turn(None);
    }

    /// Has the request that is being answered take as long as it needs, if there is room under this ceiling. Only for those of whom it
    /// is known who they are: nobody makes room for another here.
    pub(crate) fn long(self: &Arc<Self>, ceiling: &Arc<Semaphore>) -> Option<Long> {
        let permit = Arc::clone(ceiling).try_acquire_owned().ok()?;
        self.set_long(true);
        Some(Long {
            place: Arc::clone(self),
            _permit: permit,
        })
    }

    /// Done as soon as nothing that takes long is under way.
    pub(super) async fn short(&self) {
        // The sender is this place's.
        drop(self.is_long.subscribe().wait_for(|is_long| !is_long).await);
    }

    fn set_long(&self, is_long: bool) {
        if let Some(line) = self.places.state().lines.get_mut(&self.number) {
            line.is_long = is_long;
        }
        self.is_long.send_replace(is_long);
    }

    fn turn(&self, owes_since: Option<Instant>) {
        if let Some(line) = self.places.state().lines.get_mut(&self.number) {
            line.owes_since = owes_since;
        }
    }
}

impl Drop for Long {
    fn drop(&mut self) {
        self.place.set_long(false);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.state().lines.remove(&self.number);
    }
}

/// Room among the general places for somebody from here.
fn general_room(
    lines: &Lines,
    holder: Holder,
    (most, share): (usize, usize),
    now: Instant,
) -> Room {
    let mut held: BTreeMap<Holder, usize> = BTreeMap::new();
    for line in lines.values().filter(|line| line.is_general()) {
        *held.entry(line.holder).or_default() += 1;
    }
    let held_by = |holder: Holder| held.get(&holder).copied().unwrap_or_default();
    let has_its_share = holder.is_some() && held_by(holder) >= share;
    if held.values().sum::<usize>() < most && !has_its_share {
        return Room::Free;
    }
    let in_arrears = lines.iter().filter_map(|(number, line)| {
        let since = line.owes_since.filter(|_| line.is_general())?;
        let is_due = now.duration_since(since) >= GRACE;
        let may_go = !has_its_share || line.holder == holder;
        (is_due && may_go).then_some((Reverse(held_by(line.holder)), since, *number))
    });
    // Of those who hold the most, who has owed the longest.
    in_arrears
        .min()
        .map_or(Room::Nowhere, |(.., number)| Room::InPlaceOf(number))
}

/// Room among the spare places.
fn spare_room(lines: &Lines) -> Room {
    let spare = || lines.iter().filter(|(_, line)| line.is_spare);
    if spare().count() < SPARE {
        return Room::Free;
    }
    let oldest = spare()
        .filter_map(|(number, line)| Some((line.owes_since?, *number)))
        .min();
    oldest.map_or(Room::Nowhere, |(_, number)| Room::InPlaceOf(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARE: usize = 100;

    fn address(last: u8) -> Holder {
        Some(IpAddr::from([10, 0, 0, last]))
    }

    /// So many connections each, of which those at odd numbers have owed something for so many seconds.
    fn lines(parts: &[(Holder, bool, usize)], now: Instant, owed: u64) -> Lines {
        let mut lines = Lines::new();
        for (holder, is_spare, count) in parts {
            for _ in 0..*count {
                let number = u64::try_from(lines.len()).expect("few");
                // The lower the number, the longer it has owed.
                let since = now - Duration::from_secs(owed) - Duration::from_millis(500 - number);
                let line = Line {
                    holder: *holder,
                    is_spare: *is_spare,
                    owes_since: (number % 2 == 1).then_some(since),
                    is_long: false,
                    hang_up: CancellationToken::new(),
                };
                lines.insert(number, line);
            }
        }
        lines
    }

    #[test]
    fn room_is_made_by_those_who_owe_and_of_the_same_address_where_it_has_its_share() {
        use Room::{Free, InPlaceOf, Nowhere};
        let now = Instant::now() + Duration::from_secs(3600);
        for (what, parts, owed, expected) in [
            ("nobody is there", vec![], 2, Free),
            ("others are", vec![(address(2), false, 99)], 2, Free),
            (
                "its share is full",
                vec![(address(2), false, 3), (address(1), false, 100)],
                2,
                InPlaceOf(3),
            ),
            (
                "and nobody owes for long",
                vec![(address(1), false, 100)],
                0,
                Nowhere,
            ),
            (
                "all is full, and another holds the most",
                vec![
                    (address(1), false, 5),
                    (address(2), false, 60),
                    (None, false, 191),
                ],
                2,
                InPlaceOf(65),
            ),
            (
                "all is full of those who are served",
                vec![(address(2), false, 1), (None, false, 255)],
                0,
                Nowhere,
            ),
            (
                "spare places do not count",
                vec![(address(1), true, 32), (address(1), false, 99)],
                2,
                Free,
            ),
        ] {
            let lines = lines(&parts, now, owed);
            assert_eq!(
                general_room(&lines, address(1), (MAX_CONNECTIONS, SHARE), now),
                expected,
                "{what}"
            );
        }
        // A proxy has no share.
        let lines = lines(&[(None, false, 255)], now, 2);
        assert_eq!(
            general_room(&lines, None, (MAX_CONNECTIONS, SHARE), now),
            Free
        );
    }

    #[test]
    fn what_takes_long_counts_against_nobody_and_makes_no_room() {
        let now = Instant::now() + Duration::from_secs(3600);
        let mut full = lines(&[(address(1), false, 100)], now, 2);
        full.values_mut().for_each(|line| line.is_long = true);
        let room = |lines: &Lines| general_room(lines, address(1), (MAX_CONNECTIONS, SHARE), now);
        assert_eq!(room(&full), Room::Free);
        let mut all = lines(&[(None, false, 256)], now, 2);
        all.get_mut(&1).expect("a line").is_long = true;
        assert_eq!(room(&all), Room::Free);
        all.insert(
            256,
            lines(&[(None, false, 1)], now, 2)
                .remove(&0)
                .expect("a line"),
        );
        assert_eq!(room(&all), Room::InPlaceOf(3));
    }

    #[tokio::test]
    async fn a_place_is_left_for_something_long_under_a_ceiling() {
        let places = Arc::new(Places {
            most: 1,
            share: 1,
            proxies: Vec::new(),
            state: Mutex::default(),
        });
        let peer = IpAddr::from([10, 0, 0, 1]);
        let ceiling = Arc::new(Semaphore::new(1));
        let first = Arc::new(places.enter(peer).expect("a place"));
        assert!(!first.is_spare());
        let long = first.long(&ceiling).expect("room for something long");
        let second = Arc::new(places.enter(peer).expect("a place"));
        assert!(!second.is_spare());
        assert!(second.long(&ceiling).is_none());
        let ending = first.short();
        tokio::pin!(ending);
        assert!(futures_util::poll!(ending.as_mut()).is_pending());
        drop(long);
        ending.await;
        // It counts again.
        drop(second);
        assert!(places.enter(peer).expect("a place").is_spare());
    }

    #[test]
    fn in_the_spare_places_the_oldest_without_a_head_makes_room() {
        let now = Instant::now() + Duration::from_secs(3600);
        for (count, expected) in [(31, Room::Free), (32, Room::InPlaceOf(1))] {
            let lines = lines(&[(address(1), true, count)], now, 0);
            assert_eq!(spare_room(&lines), expected, "{count}");
        }
        let mut served = lines(&[(address(1), true, 32)], now, 0);
        served.values_mut().for_each(|line| line.owes_since = None);
        assert_eq!(spare_room(&served), Room::Nowhere);
    }

    #[test]
    fn an_address_is_a_network_in_ipv6_and_nobody_behind_a_proxy() {
        let places = Places {
            most: MAX_CONNECTIONS,
            share: SHARE,
            proxies: vec!["10.9.0.0/16".parse().expect("a network")],
            state: Mutex::default(),
        };
        let holder = |text: &str| places.holder(text.parse().expect("an address"));
        assert_eq!(holder("10.0.0.1"), address(1));
        assert_eq!(holder("::ffff:10.0.0.1"), address(1));
        assert_eq!(holder("2001:db8:1:2:3::4"), holder("2001:db8:1:2:ffff::5"));
        assert_ne!(holder("2001:db8:1:2:3::4"), holder("2001:db8:1:3::4"));
        assert_eq!(holder("10.9.8.7"), None);
        assert_eq!(holder("::ffff:10.9.8.7"), None);
    }
}
