//! Who is charged, with a clock that stands still.

use tokio::time::advance;

use super::*;

const NOBODY: [&str; 0] = [];

fn waits(failure: &Failure) -> (Duration, bool) {
    match failure {
        Failure::Snooze {
            after,
            whole_workflow,
            ..
        } => (*after, *whole_workflow),
        other => panic!("{other:?}"),
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn the_waits_of_an_outage_grow_and_one_answer_ends_it() {
    let outage = Outage::new("ocr");
    let fail = || waits(&outage.unreachable("refused"));
    assert_eq!(fail(), (seconds(1), false));
    assert_eq!(fail(), (seconds(1), false));
    assert!(matches!(outage.entry(NOBODY), Entry::Open));
    let mut expected = 1;
    for _ in 0..12 {
        assert_eq!(fail(), (seconds(expected), true));
        // What fails while it is down is the same outage.
        assert_eq!(fail(), (seconds(expected), true));
        let Entry::Closed(waiting) = outage.entry(NOBODY) else {
            panic!("open");
        };
        assert_eq!(waits(&waiting), (seconds(expected), true));
        advance(seconds(expected)).await;
        assert!(matches!(outage.entry(NOBODY), Entry::Probe));
        expected = (expected * 2).min(300);
    }
    outage.answered(NOBODY);
    assert!(matches!(outage.entry(NOBODY), Entry::Open));
    assert_eq!(fail(), (seconds(1), false));
}

#[tokio::test(start_paused = true)]
async fn a_row_is_charged_once_the_handler_has_answered_in_between() {
    let outage = Outage::new("ocr");
    let fail = |key: &str| outage.doubtful(key, None, "502");
    assert!(fail("1").is_some() && outage.is_suspect("1"));
    // Nothing has been answered since: it is looked whether somebody is there.
    assert!(matches!(outage.entry(["1"]), Entry::Probe));
    assert!(matches!(outage.entry(["2"]), Entry::Open));
    assert!(fail("1").is_some());
    outage.answered(["2"]);
    assert!(matches!(outage.entry(["1"]), Entry::Open));
    assert!(fail("1").is_none());
    // And again by what was answered since then.
    assert!(matches!(outage.entry(["1"]), Entry::Probe));
    outage.answered(NOBODY);
    assert!(fail("1").is_none());
    assert!(fail("3").is_some());
    outage.answered(["1", "3"]);
    assert!(!outage.is_suspect("1") && !outage.is_suspect("3"));
    assert!(fail("1").is_some());
}

#[tokio::test(start_paused = true)]
async fn who_waited_while_others_were_answered_is_charged_at_once() {
    let outage = Outage::new("ocr");
    let since = Some(outage.answers());
    assert!(outage.doubtful("1", since, "no word").is_some());
    let since = Some(outage.answers());
    outage.answered(["2"]);
    assert!(outage.doubtful("3", since, "no word").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_rest_is_kept_and_needs_no_probe() {
    let outage = Outage::new("ocr");
    assert_eq!(waits(&outage.rest(seconds(30), "429")), (seconds(30), true));
    // A shorter one ends no longer one.
    outage.rest(seconds(5), "429");
    advance(seconds(29)).await;
    outage.answered(["1"]);
    assert!(matches!(outage.entry(NOBODY), Entry::Closed(_)));
    advance(seconds(1)).await;
    assert!(matches!(outage.entry(NOBODY), Entry::Open));
}
