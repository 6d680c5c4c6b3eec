//! The table: medians of the rounds, the same as ratios, and whether each bar is met.

use crate::bench::bars::{self, Bar};
use crate::bench::figure::{Figure, Figures};
use crate::bench::measure::{figures, latency};
use crate::bench::peer::Kind;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// All rounds of all peers.
#[derive(Default)]
pub struct Report {
    rounds: Vec<(Kind, Vec<Figures>)>,
}

impl Report {
    /// Adds one round of one peer. What a proxy adds to a direct request is taken to the same round's: direct comes first.
    pub fn add(&mut self, kind: Kind, mut figures: Figures) {
        let number = self.of(kind).map_or(0, <[Figures]>::len);
        if kind != Kind::Direct
            && let Some(direct) = self.of(Kind::Direct).and_then(|rounds| rounds.get(number))
        {
            for (added, whole) in latency::ADDED {
                if let (Some(ours), Some(direct)) = (figures.get(whole.name), direct.get(whole.name)) {
                    figures.insert(added.name, ours - direct);
                }
            }
        }
        match self.rounds.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, rounds)) => rounds.push(figures),
            None => self.rounds.push((kind, vec![figures])),
        }
    }

    fn of(&self, kind: Kind) -> Option<&[Figures]> {
        let (_, rounds) = self.rounds.iter().find(|(known, _)| *known == kind)?;
        Some(rounds)
    }

    /// The median of a figure over the rounds.
    pub fn median(&self, kind: Kind, figure: Figure) -> Option<f64> {
        let mut values: Vec<f64> = self
            .of(kind)?
            .iter()
            .filter_map(|round| round.get(figure.name).copied())
            .collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    }

    /// The median in proportion to that of the figure's own reference.
    fn ratio(&self, kind: Kind, figure: Figure) -> Option<f64> {
        Some(self.median(kind, figure)? / self.median(figure.against, figure)?)
    }

    fn kinds(&self) -> Vec<Kind> {
        self.rounds.iter().map(|(kind, _)| *kind).collect()
    }

    fn rows(
        &self,
        table: &mut String,
        value: impl Fn(Kind, Figure) -> Option<f64>,
        end: impl Fn(Figure) -> String,
    ) {
        for figure in figures() {
            if self.kinds().iter().all(|kind| value(*kind, figure).is_none()) {
                continue;
            }
            let _ = write!(table, "{:24}", figure.name);
            for kind in self.kinds() {
                let shown = value(kind, figure).map_or_else(|| "–".to_owned(), show);
                let _ = write!(table, "{shown:>13}");
            }
            let _ = writeln!(table, "{}", end(figure));
        }
    }

    fn heading(&self, what: &str) -> String {
        let names = self
            .kinds()
            .into_iter()
            .map(|kind| format!("{:>13}", kind.name()));
        format!("{what:24}{}", names.collect::<String>())
    }

    /// The table for people.
    pub fn render(&self) -> String {
        let mut table = self.heading("median of rounds") + "\n";
        self.rows(
            &mut table,
            |kind, figure| self.median(kind, figure),
            |_| String::new(),
        );
        let _ = writeln!(table, "\n{}  to", self.heading("as a ratio"));
        self.rows(
            &mut table,
            |kind, figure| self.ratio(kind, figure),
            |figure| format!("  {}", figure.against.name()),
        );
        let _ = writeln!(table, "\nbars");
        for bar in bars::of(self) {
            let shown = bar
                .value
                .map_or_else(|| "–".to_owned(), |value| format!("{value:.3}"));
            let verdict = match bar.met() {
                Some(true) => "met",
                Some(false) => "NOT MET",
                None => "not measured",
            };
            let Bar { what, most, .. } = bar;
            let _ = writeln!(table, "{what:50} {shown:>9}  at most {most:<6} {verdict}");
        }
        table
    }

    /// For programs: `{"peers": {"<peer>": {"<figure>": {"median", "ratio"?, "rounds"}}}, "bars": [{"what", "value", "at_most",
    /// "met"}]}`. A ratio is to `"ratios_to"`'s peer.
    pub fn json(&self) -> serde_json::Value {
        let mut peers = BTreeMap::new();
        for (kind, rounds) in &self.rounds {
            let mut by_name = BTreeMap::new();
            for figure in figures() {
                let Some(median) = self.median(*kind, figure) else {
                    continue;
                };
                let values: Vec<f64> = rounds
                    .iter()
                    .filter_map(|round| round.get(figure.name).copied())
                    .collect();
                let ratio = self.ratio(*kind, figure);
                by_name.insert(
                    figure.name,
                    serde_json::json!({"median": median, "ratio": ratio, "rounds": values}),
                );
            }
            peers.insert(kind.name(), by_name);
        }
        let ratios_to: BTreeMap<_, _> = figures()
            .into_iter()
            .map(|figure| (figure.name, figure.against.name()))
            .collect();
        let bars: Vec<serde_json::Value> = bars::of(self)
            .iter()
            .map(|bar| {
                serde_json::json!({"what": bar.what, "value": bar.value, "at_most": bar.most, "met": bar.met()})
            })
            .collect();
        serde_json::json!({"schema_version": 2, "peers": peers, "ratios_to": ratios_to, "bars": bars})
    }
}

fn show(value: f64) -> String {
    if value.abs() >= 1000.0 {
        format!("{value:.0}")
    } else if value.abs() >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}
