//! What a figure is: a name, and the peer that it is shown in proportion to.

use crate::bench::peer::Kind;
use std::collections::BTreeMap;

/// One row of the table. Its unit is in its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figure {
    /// As the table and the results call it.
    pub name: &'static str,
    /// Whose figure the ratios are taken to: who does the same with the least, or the best of the peers.
    pub against: Kind,
}

/// The values of one round of one peer, by the figure's name.
pub type Figures = BTreeMap<&'static str, f64>;

impl Figure {
    /// A figure, and whom it is compared with.
    pub const fn new(name: &'static str, against: Kind) -> Self {
        Self { name, against }
    }
}
