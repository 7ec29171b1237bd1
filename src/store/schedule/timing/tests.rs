//! Times of rules over changes of clocks, and what becomes of times that were missed.

use super::*;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn cron(expression: &str, zone: &str) -> Rule {
    Rule::Cron {
        cron: Box::new(Cron::with_seconds(expression).unwrap()),
        zone: zone.parse().unwrap(),
    }
}

fn timing(rule: Rule, missed: Missed) -> Timing {
    Timing {
        rule,
        missed,
        grace: TimeDelta::seconds(60),
        jitter: TimeDelta::zero(),
        name: "nightly".to_owned(),
    }
}

fn each(most: u32) -> Missed {
    Missed::Each(NonZeroU32::new(most).unwrap())
}

/// The times at which it fires between two, watched over by a process that looks every so often and fires what is due.
fn fired(timing: &Timing, from: &str, to: &str, look: TimeDelta) -> Vec<String> {
    let (mut now, end) = (at(from), at(to));
    let mut next = timing.rule.next_after(now);
    let mut fired = Vec::new();
    while now <= end {
        while let Some(due) = next
            && let Turn::Fire(due) = timing.turn(due, now)
        {
            assert_eq!(due.missed, 0, "{due:?} at {now}");
            fired.push(due.due_at.format("%d %H:%M").to_string());
            next = due.next_at;
        }
        now += look;
    }
    fired
}

/// At 02:30, which does not come on the day on which clocks are put forward and comes twice on that on which they are put back.
#[test]
fn a_fixed_time_fires_once_on_every_day() {
    for (zone, from, to, expected) in [
        // 01:00 UTC: 02:00 CET becomes 03:00 CEST.
        (
            "Europe/Berlin",
            "2027-03-27T00:00:00Z",
            "2027-03-30T00:00:00Z",
            ["27 01:30", "28 01:00", "29 00:30"],
        ),
        // 01:00 UTC: 03:00 CEST becomes 02:00 CET. The first of the two is at 00:30 UTC.
        (
            "Europe/Berlin",
            "2027-10-30T00:00:00Z",
            "2027-11-02T00:00:00Z",
            ["30 00:30", "31 00:30", "01 01:30"],
        ),
        // 07:00 UTC: 02:00 EST becomes 03:00 EDT.
        (
            "America/New_York",
            "2027-03-13T00:00:00Z",
            "2027-03-16T00:00:00Z",
            ["13 07:30", "14 07:00", "15 06:30"],
        ),
        // 06:00 UTC: 02:00 EDT becomes 01:00 EST, so 02:30 comes once.
        (
            "America/New_York",
            "2027-11-06T00:00:00Z",
            "2027-11-09T00:00:00Z",
            ["06 06:30", "07 07:30", "08 07:30"],
        ),
    ] {
        let daily = timing(cron("30 2 * * *", zone), Missed::Once);
        for look in [1, 60, 600] {
            assert_eq!(
                fired(&daily, from, to, TimeDelta::seconds(look)),
                expected,
                "{zone} from {from}, looked at every {look} s"
            );
        }
    }
    // The hour that New York has twice is the one from 01:00 on.
    let daily = timing(cron("30 1 * * *", "America/New_York"), Missed::Once);
    let (from, to) = ("2027-11-06T00:00:00Z", "2027-11-09T00:00:00Z");
    assert_eq!(
        fired(&daily, from, to, TimeDelta::seconds(60)),
        ["06 05:30", "07 05:30", "08 06:30"]
    );
}

/// What fires every hour or minute does so in real time: no hour is left out, and none has it twice.
#[test]
fn every_hour_and_every_minute_go_on_over_both_changes() {
    for (zone, change) in [
        ("Europe/Berlin", "2027-03-28T01:00:00Z"),
        ("Europe/Berlin", "2027-10-31T01:00:00Z"),
        ("America/New_York", "2027-03-14T07:00:00Z"),
        ("America/New_York", "2027-11-07T06:00:00Z"),
    ] {
        for (expression, seconds) in [
            ("0 * * * *", 3600),
            ("* * * * *", 60),
            ("*/15 * * * * *", 15),
        ] {
            let rule = cron(expression, zone);
            let start = at(change) - TimeDelta::hours(3);
            let count = usize::try_from(6 * 3600 / seconds).unwrap();
            let times = std::iter::successors(Some(start), |time| rule.next_after(*time));
            let times: Vec<DateTime<Utc>> = times.take(count).collect();
            for (number, pair) in times.windows(2).enumerate() {
                assert_eq!(
                    (pair[1] - pair[0]).num_seconds(),
                    seconds,
                    "{expression} in {zone}, step {number} from {start}"
                );
            }
            // And the same when it is looked for from any moment in between, rather than from its last time.
            for (number, pair) in times.windows(2).enumerate() {
                let between = pair[0] + TimeDelta::milliseconds(400);
                assert_eq!(rule.next_after(between), Some(pair[1]), "{zone} {number}");
            }
        }
    }
}

/// The guide's daily task stands at two o'clock, where Berlin's clocks are changed.
#[test]
fn two_in_the_morning_comes_once_whatever_clocks_do() {
    let nightly = timing(cron("0 2 * * *", "Europe/Berlin"), Missed::Once);
    let minute = TimeDelta::seconds(60);
    assert_eq!(
        fired(
            &nightly,
            "2027-03-26T12:00:00Z",
            "2027-03-29T12:00:00Z",
            minute
        ),
        ["27 01:00", "28 01:00", "29 00:00"]
    );
    assert_eq!(
        fired(
            &nightly,
            "2027-10-29T12:00:00Z",
            "2027-11-02T00:00:00Z",
            minute
        ),
        ["30 00:00", "31 00:00", "01 01:00"]
    );
}

#[test]
fn missed_times_are_left_out_fired_for_once_or_each() {
    let hourly = || cron("0 * * * *", "UTC");
    let next_at = at("2027-01-01T10:00:00Z");
    let due = |due_at: &str, missed, next_at: &str| Due {
        due_at: at(due_at),
        missed,
        next_at: Some(at(next_at)),
    };
    let twelve = "2027-01-01T12:00:00Z";
    for (missed, now, expected) in [
        (
            Missed::Once,
            "2027-01-01T09:59:59.999Z",
            Turn::Wait(Some(next_at)),
        ),
        // In time.
        (
            Missed::Skip,
            "2027-01-01T10:00:00Z",
            Turn::Fire(due("2027-01-01T10:00:00Z", 0, "2027-01-01T11:00:00Z")),
        ),
        (
            Missed::Skip,
            "2027-01-01T10:01:00Z",
            Turn::Fire(due("2027-01-01T10:00:00Z", 0, "2027-01-01T11:00:00Z")),
        ),
        // Too late.
        (
            Missed::Skip,
            "2027-01-01T10:01:01Z",
            Turn::Leave(due("2027-01-01T10:00:00Z", 1, "2027-01-01T11:00:00Z")),
        ),
        (
            Missed::Skip,
            "2027-01-01T12:30:00Z",
            Turn::Leave(due(twelve, 3, "2027-01-01T13:00:00Z")),
        ),
        // The last is in time.
        (
            Missed::Skip,
            "2027-01-01T12:00:30Z",
            Turn::Fire(due(twelve, 2, "2027-01-01T13:00:00Z")),
        ),
        (
            Missed::Once,
            "2027-01-01T12:30:00Z",
            Turn::Fire(due(twelve, 2, "2027-01-01T13:00:00Z")),
        ),
        (
            each(10),
            "2027-01-01T12:30:00Z",
            Turn::Fire(due("2027-01-01T10:00:00Z", 0, "2027-01-01T11:00:00Z")),
        ),
        (
            each(2),
            "2027-01-01T12:30:00Z",
            Turn::Fire(due("2027-01-01T11:00:00Z", 1, twelve)),
        ),
    ] {
        for rule in [hourly(), Rule::Every(TimeDelta::hours(1))] {
            let timing = timing(rule, missed);
            assert_eq!(
                timing.turn(next_at, at(now)),
                expected,
                "{missed:?} at {now}: {:?}",
                timing.rule
            );
        }
    }
}

/// Nobody ran for a month, and it fires every second.
#[test]
fn very_many_missed_times_take_no_time_to_see_to() {
    let (next_at, now) = (at("2027-01-01T00:00:00Z"), at("2027-02-01T00:00:00.5Z"));
    let last = at("2027-02-01T00:00:00Z");
    for (rule, missed) in [
        (cron("* * * * * *", "Europe/Berlin"), 10_000),
        (Rule::Every(TimeDelta::seconds(1)), 31 * 86_400),
    ] {
        let once = timing(rule.clone(), Missed::Once);
        assert_eq!(
            once.turn(next_at, now),
            Turn::Fire(Due {
                due_at: last,
                missed,
                next_at: Some(last + TimeDelta::seconds(1)),
            })
        );
        let thrice = timing(rule, each(3));
        let Turn::Fire(due) = thrice.turn(next_at, now) else {
            panic!("it is due");
        };
        assert_eq!(due.due_at, last - TimeDelta::seconds(2));
    }
}

#[test]
fn what_is_skipped_to_is_one_of_its_own_times() {
    let every = Rule::Every(TimeDelta::hours(6));
    let from = at("2027-01-01T01:00:00Z");
    for (time, expected) in [
        ("2027-01-01T00:00:00Z", "2027-01-01T01:00:00Z"),
        ("2027-01-01T01:00:00Z", "2027-01-01T07:00:00Z"),
        ("2027-01-02T00:00:00Z", "2027-01-02T01:00:00Z"),
    ] {
        assert_eq!(every.first_after(from, at(time)), Some(at(expected)));
    }
    let daily = cron("0 1 * * *", "UTC");
    assert_eq!(
        daily.first_after(from, at("2027-01-05T12:00:00Z")),
        Some(at("2027-01-06T01:00:00Z"))
    );
}

#[test]
fn jitter_puts_off_and_never_forward_and_is_the_same_everywhere() {
    let jittered = |name: &str| Timing {
        jitter: TimeDelta::seconds(30),
        name: name.to_owned(),
        ..timing(cron("* * * * *", "UTC"), Missed::Once)
    };
    let (one, other) = (jittered("one"), jittered("other"));
    let times: Vec<DateTime<Utc>> = one
        .upcoming(at("2027-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z"), 500)
        .clone();
    let delays: Vec<TimeDelta> = times.iter().map(|time| one.delay(*time)).collect();
    assert!(
        delays
            .iter()
            .all(|delay| *delay >= TimeDelta::zero() && *delay < one.jitter)
    );
    let spread = delays.iter().max().unwrap().num_milliseconds()
        - delays.iter().min().unwrap().num_milliseconds();
    assert!(spread > 25_000, "{spread}");
    let same = times
        .iter()
        .filter(|time| one.delay(**time) == other.delay(**time));
    assert!(same.count() < 5);
    for time in times.into_iter().take(20) {
        let delay = one.delay(time);
        assert_eq!(jittered("one").delay(time), delay);
        let just_before = time + delay - TimeDelta::milliseconds(1);
        assert_eq!(one.turn(time, just_before), Turn::Wait(Some(time + delay)));
        assert!(matches!(one.turn(time, time + delay), Turn::Fire(due) if due.due_at == time));
    }
}
