//! What ours is held to: each bar a ratio of two medians of the same run, or a figure, and what it must not pass.

use crate::bench::figure::Figure;
use crate::bench::measure::{connections, events, large, process, throughput};
use crate::bench::peer::Kind;
use crate::bench::report::Report;

/// One bar.
pub struct Bar {
    /// What is held against what.
    pub what: &'static str,
    /// None: not measured in this run.
    pub value: Option<f64>,
    /// Higher than this is not met.
    pub most: f64,
}

impl Bar {
    /// Whether it is met; none when it was not measured.
    pub fn met(&self) -> Option<bool> {
        self.value.map(|value| value <= self.most)
    }
}

/// Every bar of this run.
pub fn of(report: &Report) -> Vec<Bar> {
    let bar = |what, value, most| Bar { what, value, most };
    let ratio = |of: (Kind, Figure), to: (Kind, Figure)| {
        Some(report.median(of.0, of.1)? / report.median(to.0, to.1)?)
    };
    let same = |figure: Figure, of: Kind, to: Kind| ratio((of, figure), (to, figure));
    let cpu = throughput::CPU;
    vec![
        bar(
            "CPU per request, bare, to hudsucker's",
            same(cpu, Kind::EgressBare, Kind::Hudsucker),
            1.0,
        ),
        bar(
            "CPU per request, as shipped, to hudsucker's",
            same(cpu, Kind::Egress, Kind::Hudsucker),
            1.25,
        ),
        bar(
            "CPU per request, as shipped, to mitmproxy's",
            same(cpu, Kind::Egress, Kind::Mitmproxy),
            1.0 / 40.0,
        ),
        bar(
            "new connection, to the tunnel's",
            same(connections::CONNECTION, Kind::Egress, Kind::Tunnel),
            1.0,
        ),
        bar(
            "new host, to the tunnel's",
            same(connections::HOST, Kind::Egress, Kind::Tunnel),
            1.2,
        ),
        bar(
            "first SSE event, to direct",
            same(events::FIRST, Kind::Egress, Kind::Direct),
            2.0,
        ),
        // A rate is held to a share of the tunnel's: here as the time that the same bytes take.
        bar(
            "time for 64 MiB down, to the tunnel's",
            same(large::DOWN, Kind::Tunnel, Kind::Egress),
            1.0 / 0.8,
        ),
        bar(
            "time for 64 MiB down with auth, to the tunnel's",
            ratio((Kind::Tunnel, large::DOWN), (Kind::Egress, large::DOWN_WITH_AUTH)),
            1.0 / 0.5,
        ),
        bar("RSS idle, MiB", report.median(Kind::Egress, process::IDLE), 8.0),
        bar("RSS peak, MiB", report.median(Kind::Egress, process::PEAK), 20.0),
        bar(
            "start to listening, ms",
            report.median(Kind::Egress, process::START),
            10.0,
        ),
    ]
}
