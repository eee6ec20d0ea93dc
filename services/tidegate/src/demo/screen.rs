//! The live picture: counts, rates, latency and the last verdicts, drawn in place.

use super::counts::Counts;

/// Draws the picture; `rate` is records per second over the last moment.
#[must_use]
pub(super) fn picture(counts: &Counts, rate: f64, header: &str) -> String {
    let now = counts.summary();
    let mut out = String::new();
    // What follows on the line is left from the picture before: it is erased.
    let mut line = |text: String| out.push_str(&format!("{text}\x1b[K\n"));
    line(format!(
        "\x1b[1mTidegate\x1b[0m  {header}  {:>4.0} s  Ctrl-C ends it",
        now.seconds
    ));
    line(String::new());
    line(format!(
        "  consumed {:>10}    {:>8.0} events/s    p50 {} ms    p99 {} ms",
        now.consumed, rate, now.latency_ms.p50, now.latency_ms.p99
    ));
    line(format!(
        "  verdicts {:>10}    dead letters {:>6}    hidden {:>8}",
        now.verdicts, now.dead_letters, now.hidden
    ));
    let by = now.scored_by;
    let share = |count: u64| count as f64 * 100.0 / now.verdicts.max(1) as f64;
    line(format!(
        "  scored by screen {:>5.1} %    by deep {:>5.1} %",
        share(by.screen),
        share(by.deep)
    ));
    line(String::new());
    let routed = now.routed;
    let most = now.consumed.max(1);
    for (name, color, count) in [
        ("spam", 33, routed.spam),
        ("hate", 31, routed.hate),
        ("purchase intent", 32, routed.purchase_intent),
        ("escalations", 35, routed.escalations),
    ] {
        let share = count as f64 / most as f64;
        let bar = "█".repeat((share * 60.0).round() as usize);
        line(format!(
            "  {name:<16} {count:>8}  {:>5.1} %  \x1b[{color}m{bar}\x1b[0m",
            share * 100.0
        ));
    }
    line(String::new());
    let cases = counts.cases;
    line(format!(
        "  cases {:>6} open    {:>4} claimed    {:>6} resolved    {:>3} overdue    oldest {} s",
        cases.open, cases.claimed, cases.resolved, cases.breached, cases.oldest_s
    ));
    line(String::new());
    for recent in &counts.recent {
        line(format!(
            "  {:<15} {:<44} {}",
            recent.action, recent.reasons, recent.about
        ));
    }
    out
}

/// One line, for a terminal that can't be drawn on.
#[must_use]
pub(super) fn line(counts: &Counts, rate: f64) -> String {
    let now = counts.summary();
    format!(
        "{:.0} s: consumed {} ({rate:.0}/s), verdicts {}, dead letters {}, hidden {}, p99 {} ms, \
         cases {} open, {} resolved",
        now.seconds,
        now.consumed,
        now.verdicts,
        now.dead_letters,
        now.hidden,
        now.latency_ms.p99,
        now.cases.open,
        now.cases.resolved
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_shows_each_count_and_the_last_verdict() {
        let mut counts = Counts::new();
        (counts.consumed, counts.verdicts, counts.dead_letters) = (1234, 1200, 34);
        counts.routed.hate = 77;
        (counts.scored_by.screen, counts.scored_by.deep) = (1050, 150);
        counts.cases.resolved = 4321;
        counts.keep(super::super::counts::Recent {
            action: "hide".to_owned(),
            reasons: "spam 0.97".to_owned(),
            about: "evt-1".to_owned(),
        });
        let picture = picture(&counts, 10.0, "embedded broker");
        for shown in [
            "1234",
            "1200",
            "34",
            "77",
            "hide",
            "spam 0.97",
            "evt-1",
            "87.5 %",
            "12.5 %",
            "4321",
        ] {
            assert!(picture.contains(shown), "{shown} is missing in {picture}");
        }
    }
}
