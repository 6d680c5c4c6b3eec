//! The table: medians, what they are compared with, and whether each bar is met.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::memory::Peak;

/// From the start of the hook to its verdict, in milliseconds, p50.
const VERDICT: f64 = 10.0;
/// A push through the gate, of the same to `git http-backend` and straight over ssh together.
const WHOLE_PUSH: f64 = 1.15;
/// A clone's speed, of `git daemon`'s.
const CLONE: f64 = 0.95;
/// Resident memory in MiB.
const MEMORY: f64 = 150.0;

/// All figures, each with every value that was measured.
#[derive(Default)]
pub(super) struct Report {
    took: BTreeMap<&'static str, Vec<f64>>,
    large: Option<(u64, f64, Peak)>,
}

/// A bar: what is measured, the figure, the limit, and whether it is met.
struct Bar {
    name: &'static str,
    value: f64,
    limit: f64,
    met: bool,
}

// === impl Report ===

impl Report {
    /// One more value of a figure.
    pub(super) fn add(&mut self, name: &'static str, took: Duration) {
        self.took.entry(name).or_default().push(took.as_secs_f64() * 1e3);
    }

    /// The large push: objects, time, memory.
    pub(super) fn large(&mut self, objects: u64, took: Duration, peak: Peak) {
        self.large = Some((objects, took.as_secs_f64() * 1e3, peak));
    }

    /// Milliseconds; NaN when there are none.
    fn at(&self, name: &str, share: f64) -> f64 {
        let mut values = self.took.get(name).cloned().unwrap_or_default();
        values.sort_by(f64::total_cmp);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a place in a short list"
        )]
        let place = (values.len() as f64 * share) as usize;
        values.get(place).copied().unwrap_or(f64::NAN)
    }

    fn median(&self, name: &str) -> f64 {
        self.at(name, 0.5)
    }

    fn bars(&self) -> Vec<Bar> {
        let at_most = |name, value: f64, limit| Bar {
            name,
            value,
            limit,
            met: value <= limit,
        };
        let whole = self.median("gate") / (self.median("backend") + self.median("ssh"));
        let speed = self.median("daemon clone") / self.median("gate clone");
        let mut bars = vec![
            at_most("hook start to verdict, ms, p50", self.median("hook"), VERDICT),
            at_most("whole push, of http-backend + ssh", whole, WHOLE_PUSH),
            Bar {
                name: "speed of a clone, of git daemon's",
                value: speed,
                limit: CLONE,
                met: speed >= CLONE,
            },
        ];
        if let Some((_, _, peak)) = &self.large {
            bars.push(at_most("large push: the gate, MiB", mib(peak.own), MEMORY));
            bars.push(at_most(
                "large push: its git processes, MiB",
                mib(peak.together),
                MEMORY,
            ));
        }
        bars
    }

    /// For people.
    pub(super) fn render(&self) -> String {
        let mut text = String::from("one commit of 200 lines, ms                 p50      p90\n");
        let mut row = |shown: &str, name: &str| {
            let (median, late) = (self.median(name), self.at(name, 0.9));
            if !median.is_nan() {
                let _ = writeln!(text, "  {shown:<36}{median:>9.2}{late:>9.2}");
            }
        };
        row("gate: hook start to verdict", "hook");
        row("gate: of that, in the gate", "decision");
        row("betterleaks, as a process", "betterleaks");
        row("gitleaks, as a process", "gitleaks");
        row("whole push through the gate", "gate");
        row("push to git http-backend, no hook", "backend");
        row("push straight over ssh", "ssh");
        row("the same, the connection kept", "kept ssh");
        row("CPU of the gate process per push", "push cpu");
        row("clone of 50 MiB through the gate", "gate clone");
        row("clone of 50 MiB from git daemon", "daemon clone");
        row("the first clone, with the mirror's", "first clone");
        row("CPU of the gate process per clone", "clone cpu");
        if let Some((objects, took, peak)) = &self.large {
            let _ = writeln!(
                text,
                "push of {objects} objects: {:.1} s; resident at most: the gate {:.0} MiB, its git processes {:.0} MiB together, the \
                 largest of them {:.0} MiB",
                took / 1e3,
                mib(peak.own),
                mib(peak.together),
                mib(peak.largest)
            );
        }
        text.push_str("bars\n");
        for bar in self.bars() {
            let met = if bar.met { "met" } else { "MISSED" };
            let _ = writeln!(
                text,
                "  {:<36}{:>9.2}  bar {:<6} {met}",
                bar.name, bar.value, bar.limit
            );
        }
        text.truncate(text.trim_end().len());
        text
    }

    /// For programs: every value in milliseconds, and the bars.
    pub(super) fn json(&self) -> Value {
        let bars = self.bars();
        let bars: Vec<Value> = bars
            .iter()
            .map(|bar| json!({"name": bar.name, "value": bar.value, "limit": bar.limit, "met": bar.met}))
            .collect();
        let large = self.large.as_ref().map(|(objects, took, peak)| {
            json!({
                "objects": objects, "milliseconds": took,
                "gate_kib": peak.own, "git_kib": peak.together, "largest_git_kib": peak.largest,
            })
        });
        json!({"milliseconds": self.took, "large_push": large, "bars": bars})
    }
}

fn mib(kib: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let kib = kib as f64;
    kib / 1024.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_that_is_not_met_says_so() {
        let mut report = Report::default();
        for (name, took) in [("hook", 11), ("gate", 100), ("backend", 40), ("ssh", 60)] {
            report.add(name, Duration::from_millis(took));
        }
        let bars = report.bars();
        assert!(!bars[0].met && bars[1].met, "{}", report.render());
        assert!(!bars[2].met, "nothing was measured");
    }
}
