//! Names of metrics, and that everything that uses them uses real ones.

use std::collections::{BTreeMap, BTreeSet};

use gleaner_actors::port::{LeaseId, SettleReport};

use super::*;
use crate::leads::metrics::sitemap_budget_ended;
use crate::prices::metrics::{
    Recorded, bot_answered, bot_pulled, bot_refused, bot_result, polls_waiting, record_head,
    record_queue, recorded,
};

/// Every metric with its labels, as `/metrics` shows them after everything has happened once.
fn rendered() -> String {
    let recorder = builder()
        .expect("the bounds are well-formed")
        .build_recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        describe();
        announce(["deep-scan"].into_iter());
        for area in crate::areas::AREAS {
            (area.metrics)();
        }
        let elapsed = Duration::from_millis(1);
        let report = SettleReport::default();
        let workflow = "deep-scan";
        for event in [
            Event::Claimed {
                workflow,
                items: 1,
                elapsed,
            },
            Event::ItemRun {
                workflow,
                outcome: "completed",
                elapsed,
            },
            Event::Settled {
                workflow,
                report: &report,
                elapsed,
            },
            Event::StoreTrouble {
                workflow,
                operation: "claim",
                error: "x",
            },
            Event::LeaseLost {
                workflow,
                lease: LeaseId(1),
                dropped: 0,
                reason: "x",
            },
            Event::ActorRestarted {
                workflow,
                reason: "x",
            },
            Event::Parked {
                workflow,
                reason: "x",
            },
            Event::Unparked { workflow },
            Event::Stalled {
                workflow,
                reason: "x",
            },
            Event::Heartbeat {
                ok: true,
                leases: 1,
                elapsed,
            },
            Event::HelperRun {
                name: "gauges",
                ok: true,
                elapsed,
            },
        ] {
            EngineMetrics.observe(event);
        }
        queue(workflow, 1, 1, 1, Some(1.0));
        in_flight(workflow, 1);
        set_aside(workflow, 1);
        rescued(workflow, 1, 1);
        config_reloaded("applied");
        pool(1, 1, 1);
        ready(true);
        workflow_healthy(workflow, true);
        announce_schedule("nightly");
        schedule_fired("nightly", "completed", 1);
        schedule_stands("nightly", elapsed, true, Some(DateTime::UNIX_EPOCH));
        fetch_turn(Pacing::Shared);
        redis_up(true);
        http_answered("/health".to_owned(), "GET", "2xx", elapsed);
        bot_answered("pull", 200);
        bot_refused("rate_limited");
        bot_pulled(1, elapsed);
        bot_result("done");
        polls_waiting(1);
        record_queue("queue", 1);
        record_head(1.0);
        recorded(Recorded::Recorded);
        crate::documents::metrics::all_once();
        sitemap_budget_ended("root", "pages");
        page_rendered(elapsed);
        render_failed("render_timeout");
        browser_started();
        browser_ended("crashed");
        browser_memory(1 << 30);
    });
    handle.render()
}

/// Type and labels of each metric in such a text.
fn series(text: &str) -> BTreeMap<&str, (&str, BTreeSet<&str>)> {
    let mut seen: BTreeMap<&str, (&str, BTreeSet<&str>)> = BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("name and type");
            seen.entry(name).or_default().0 = kind;
        } else if let Some((series, _value)) =
            line.split_once(' ').filter(|_| !line.starts_with('#'))
        {
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let name = ["_bucket", "_sum", "_count"]
                .iter()
                .filter_map(|part| name.strip_suffix(part))
                .find(|base| seen.contains_key(base))
                .unwrap_or(name);
            let names = labels.split(',').filter_map(|label| label.split_once('='));
            let labels = &mut seen.get_mut(name).expect("a type before the values").1;
            labels.extend(names.map(|(label, _)| label).filter(|label| *label != "le"));
        }
    }
    seen
}

#[test]
fn names_types_and_labels_stay_as_they_are() {
    let text = rendered();
    let lines: Vec<String> = series(&text)
        .iter()
        .map(|(name, (kind, labels))| {
            let labels: Vec<&str> = labels.iter().copied().collect();
            format!("{name} {kind} {{{}}}", labels.join(","))
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

/// The program's metrics, and every area's.
fn sources() -> String {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let areas = crate::areas::AREAS
        .iter()
        .map(|area| root.join(area.name).join("metrics.rs"));
    let files = std::iter::once(root.join("metrics.rs")).chain(areas);
    files
        .filter_map(|file| std::fs::read_to_string(file).ok())
        .collect()
}

#[test]
fn every_metric_is_described_and_shown() {
    let text = rendered();
    let source = sources();
    let names: BTreeSet<&str> = source
        .split('"')
        .filter(|part| part.starts_with("gleaner_"))
        .collect();
    assert!(names.len() > 20);
    for name in names {
        assert!(
            text.contains(&format!("# HELP {name} ")),
            "{name} has no description"
        );
        assert!(
            text.contains(&format!("# TYPE {name} ")),
            "{name} is never recorded"
        );
    }
}

/// Names that stand in a text as metrics: those of histograms without what Prometheus appends.
fn used(text: &str) -> BTreeSet<String> {
    text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'))
        .filter(|word| word.starts_with("gleaner_"))
        .map(|word| {
            let base = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|part| word.strip_suffix(part));
            base.unwrap_or(word).to_owned()
        })
        .collect()
}

/// What operators copy that asks for metrics.
const WATCHES: [(&str, &str); 2] = [
    (
        "deploy/prometheus-rules.yml",
        include_str!("../../deploy/prometheus-rules.yml"),
    ),
    (
        "deploy/grafana-dashboard.json",
        include_str!("../../deploy/grafana-dashboard.json"),
    ),
];

#[test]
fn rules_and_dashboard_use_only_metrics_that_exist() {
    let known = used(&sources());
    for (file, text) in WATCHES {
        let names = used(text);
        assert!(names.len() > 10, "{file} uses {names:?}");
        for name in names {
            assert!(
                known.contains(&name),
                "{file} uses {name}, which is no metric of ours"
            );
        }
    }
}

/// A selector by a label that a metric does not have finds nothing, and its alert never fires.
#[test]
fn rules_and_dashboard_select_only_by_labels_that_there_are() {
    let text = rendered();
    let series = series(&text);
    for (file, text) in WATCHES {
        let mut count = 0;
        for (before, behind) in text.match_indices('{').map(|(at, _)| text.split_at(at)) {
            let Some(name) = used(
                before
                    .rsplit(char::is_whitespace)
                    .next()
                    .unwrap_or_default(),
            )
            .into_iter()
            .next_back()
            .filter(|name| before.trim_end_matches("_bucket").ends_with(name.as_str())) else {
                continue;
            };
            let selector = behind.split('}').next().unwrap_or_default();
            let labels = selector
                .split([',', '{'])
                .filter_map(|matcher| Some(matcher.split_once(['=', '!'])?.0.trim()));
            for label in labels {
                count += 1;
                let is_there = series[name.as_str()].1.contains(label);
                assert!(
                    is_there || matches!(label, "instance" | "job" | "le"),
                    "{file} selects {name} by {label}"
                );
            }
        }
        assert!(count > 3, "{file} selects by {count} labels");
    }
}

/// The alerts that the guide of the service before asks for, of what there still is.
#[test]
fn the_guide_s_alerts_are_there() {
    let rules = WATCHES[0].1;
    for (wanted, alert) in [
        (
            "the worker is down for more than 5 minutes",
            "GleanerDocumentsNotRead",
        ),
        (
            "more than 10 % of the documents fail",
            "GleanerDocumentFailuresHigh",
        ),
        ("the API takes longer than 5 seconds", "GleanerHttpSlow"),
        ("quotas are exceeded", "GleanerDocumentQuotaRefusals"),
    ] {
        assert!(rules.contains(&format!("- alert: {alert}\n")), "{wanted}");
    }
}

#[test]
fn the_grafana_dashboard_is_json_and_every_alert_has_its_runbook() {
    let grafana: serde_json::Value =
        serde_json::from_str(include_str!("../../deploy/grafana-dashboard.json")).expect("JSON");
    assert!(
        grafana["panels"]
            .as_array()
            .is_some_and(|panels| panels.len() > 8)
    );
    let runbook = include_str!("../../deploy/README.md");
    let rules = include_str!("../../deploy/prometheus-rules.yml");
    let alerts: Vec<&str> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    assert!(alerts.len() >= 10, "{alerts:?}");
    for alert in alerts {
        assert!(
            runbook.contains(&format!("### {alert}\n")),
            "{alert} has no runbook"
        );
    }
}
