//! Where the time of a start goes; kept in `bringup.log`.

use crate::error::Result;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// The phases so far.
pub struct Phases {
    begun: Instant,
    last: Instant,
    ended: Vec<(&'static str, Duration)>,
}

impl Phases {
    /// From now on.
    pub fn begin() -> Self {
        let now = Instant::now();
        Self {
            begun: now,
            last: now,
            ended: Vec::new(),
        }
    }

    /// This phase has just ended.
    pub fn ended(&mut self, phase: &'static str) {
        let now = Instant::now();
        self.ended.push((phase, now.duration_since(self.last)));
        self.last = now;
    }

    /// A pause that is not the program's: the operator was asked.
    pub fn resume(&mut self) {
        self.begun += self.last.elapsed();
        self.last = Instant::now();
    }

    /// Everything until now.
    pub fn total(&self) -> Duration {
        self.last.duration_since(self.begun)
    }

    /// One line: `start took 812 ms: engine 31, plan 2, …`.
    pub fn line(&self) -> String {
        let phases: Vec<String> = self
            .ended
            .iter()
            .map(|(phase, took)| format!("{phase} {}", took.as_millis()))
            .collect();
        format!(
            "start took {} ms: {}",
            self.total().as_millis(),
            phases.join(", ")
        )
    }

    /// Adds the line to a log.
    pub fn keep(&self, log: &Path) -> Result<()> {
        let mut file = fs_err::OpenOptions::new().append(true).create(true).open(log)?;
        Ok(writeln!(file, "{}", self.line())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_is_told_in_order() {
        let mut phases = Phases::begin();
        phases.ended("engine");
        phases.resume();
        phases.ended("up");
        let line = phases.line();
        assert!(line.starts_with("start took "), "{line}");
        let (engine, up) = (line.find("engine "), line.find("up "));
        assert!(engine.is_some() && engine < up, "{line}");
    }
}
