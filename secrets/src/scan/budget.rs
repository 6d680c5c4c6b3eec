//! How much work a scan may be.

/// What was spent, and the limits.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    /// Bytes that came out of decoders, and steps of patterns in [`STEPS_PER_BYTE`]s.
    spent: u64,
    steps: u64,
    allowed: u64,
    per_byte: u64,
    exceeded: bool,
}

/// A step of a pattern costs about as much as this fraction of scanning a byte.
const STEPS_PER_BYTE: u64 = 4;

// === impl Budget ===

impl Budget {
    pub(crate) fn new(base: u64, per_byte: u64) -> Self {
        Self {
            spent: 0,
            steps: 0,
            allowed: base,
            per_byte,
            exceeded: false,
        }
    }

    /// More was read, which allows more.
    pub(crate) fn read(&mut self, bytes: usize) {
        self.allowed = self
            .allowed
            .saturating_add((bytes as u64).saturating_mul(self.per_byte));
    }

    /// Whether `bytes` more may be scanned.
    pub(crate) fn spend(&mut self, bytes: usize) -> bool {
        self.spent = self.spent.saturating_add(bytes as u64);
        self.exceeded |= self.spent > self.allowed;
        !self.exceeded
    }

    /// Counts steps of patterns.
    pub(crate) fn step(&mut self, steps: usize) -> bool {
        self.steps += steps as u64;
        let whole = self.steps / STEPS_PER_BYTE;
        self.steps %= STEPS_PER_BYTE;
        self.spend(usize::try_from(whole).unwrap_or(usize::MAX))
    }

    /// There was more than can be followed.
    pub(crate) fn exceed(&mut self) {
        self.exceeded = true;
    }

    pub(crate) fn is_exceeded(&self) -> bool {
        self.exceeded
    }
}
