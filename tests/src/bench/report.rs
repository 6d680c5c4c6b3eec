//! The table: medians of the rounds, ratios against a peer, and whether each bar is met.

use crate::bench::measure::Figures;
use crate::bench::peer::Kind;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Every figure, in the order of the table.
pub const FIGURES: [&str; 17] = [
    "req/s c=1",
    "req/s c=16",
    "req/s c=64",
    "p50 µs c=1",
    "p99 µs c=1",
    "CPU µs/req c=16",
    "CPU µs/req c=16, auth",
    "new connection p50 µs",
    "new host p50 µs",
    "first SSE event µs",
    "down MiB/s",
    "up MiB/s",
    "down MiB/s, auth",
    "up MiB/s, auth",
    "RSS idle MiB",
    "RSS peak MiB",
    "start ms",
];

/// All rounds of all peers.
#[derive(Default)]
pub struct Report {
    rounds: Vec<(Kind, Vec<Figures>)>,
}

/// One bar: a ratio (or figure) and what it must not pass.
struct Bar {
    what: &'static str,
    value: Option<f64>,
    most: f64,
}

impl Report {
    /// Adds one round of one peer.
    pub fn add(&mut self, kind: Kind, figures: Figures) {
        match self.rounds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, rounds)) => rounds.push(figures),
            None => self.rounds.push((kind, vec![figures])),
        }
    }

    /// The median of a figure over the rounds.
    pub fn median(&self, kind: Kind, figure: &str) -> Option<f64> {
        let (_, rounds) = self.rounds.iter().find(|(known, _)| *known == kind)?;
        let mut values: Vec<f64> = rounds
            .iter()
            .filter_map(|round| round.get(figure).copied())
            .collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    }

    fn kinds(&self) -> Vec<Kind> {
        self.rounds.iter().map(|(kind, _)| *kind).collect()
    }

    /// Ratio of the same figure of two peers.
    fn ratio(&self, figure: &str, of: Kind, to: Kind) -> Option<f64> {
        Some(self.median(of, figure)? / self.median(to, figure)?)
    }

    fn bars(&self) -> Vec<Bar> {
        let cpu = "CPU µs/req c=16";
        let inverse = |ratio: Option<f64>| ratio.map(|ratio| 1.0 / ratio);
        let bar = |what, value, most| Bar { what, value, most };
        vec![
            bar(
                "CPU/request, bare, against hudsucker",
                self.ratio(cpu, Kind::EgressBare, Kind::Hudsucker),
                1.0,
            ),
            bar(
                "CPU/request, as shipped, against hudsucker",
                self.ratio(cpu, Kind::Egress, Kind::Hudsucker),
                1.25,
            ),
            bar(
                "CPU/request, as shipped, against mitmproxy",
                self.ratio(cpu, Kind::Egress, Kind::Mitmproxy),
                0.025,
            ),
            bar(
                "new connection against the tunnel",
                self.ratio("new connection p50 µs", Kind::Egress, Kind::Tunnel),
                1.0,
            ),
            bar(
                "new host against the tunnel",
                self.ratio("new host p50 µs", Kind::Egress, Kind::Tunnel),
                1.2,
            ),
            bar(
                "first SSE event against direct",
                self.ratio("first SSE event µs", Kind::Egress, Kind::Direct),
                2.0,
            ),
            bar(
                "64 MiB down: the tunnel against ours",
                inverse(self.ratio("down MiB/s", Kind::Egress, Kind::Tunnel)),
                1.25,
            ),
            bar(
                "64 MiB down with auth: the tunnel against ours",
                self.down_with_auth(),
                2.0,
            ),
            bar("RSS idle MiB", self.median(Kind::Egress, "RSS idle MiB"), 8.0),
            bar("RSS peak MiB", self.median(Kind::Egress, "RSS peak MiB"), 20.0),
            bar(
                "start to listening ms",
                self.median(Kind::Egress, "start ms"),
                10.0,
            ),
        ]
    }

    fn down_with_auth(&self) -> Option<f64> {
        Some(self.median(Kind::Tunnel, "down MiB/s")? / self.median(Kind::Egress, "down MiB/s, auth")?)
    }

    /// The table for people.
    pub fn render(&self) -> String {
        let mut table = format!("{:24}", "median of rounds");
        for kind in self.kinds() {
            let _ = write!(table, "{:>13}", kind.name());
        }
        table.push('\n');
        for figure in FIGURES {
            let _ = write!(table, "{figure:24}");
            for kind in self.kinds() {
                let shown = self.median(kind, figure).map_or_else(|| "–".to_owned(), show);
                let _ = write!(table, "{shown:>13}");
            }
            table.push('\n');
        }
        table.push('\n');
        for Bar { what, value, most } in self.bars() {
            let (shown, verdict) = match value {
                Some(value) => (
                    format!("{value:.3}"),
                    if value <= most { "met" } else { "NOT MET" },
                ),
                None => ("–".to_owned(), "not measured"),
            };
            let _ = writeln!(table, "{what:50} {shown:>9}  at most {most:<6} {verdict}");
        }
        table
    }

    /// Every median, for programs: `{"<peer>": {"<figure>": value}}`, and the bars.
    pub fn json(&self) -> serde_json::Value {
        let mut peers = BTreeMap::new();
        for kind in self.kinds() {
            let figures: BTreeMap<&str, f64> = FIGURES
                .iter()
                .filter_map(|figure| Some((*figure, self.median(kind, figure)?)))
                .collect();
            peers.insert(kind.name(), figures);
        }
        let bars: Vec<serde_json::Value> = self
            .bars()
            .iter()
            .map(|bar| serde_json::json!({"what": bar.what, "value": bar.value, "at_most": bar.most}))
            .collect();
        serde_json::json!({"schema_version": 1, "peers": peers, "bars": bars})
    }
}

fn show(value: f64) -> String {
    if value >= 1000.0 {
        format!("{value:.0}")
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}
