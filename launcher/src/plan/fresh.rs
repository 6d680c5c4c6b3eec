//! What makes one launch differ from every other: chance and the clock, drawn in one place.

use contract::gate::FingerprintKey;
use contract::{AgentName, LaunchNonce, Slug, Timestamp};
use rand::Rng as _;

/// Drawn once per launch.
#[derive(Debug, Clone)]
pub struct Fresh {
    /// For the slug's tail.
    pub tail: [u8; Slug::RANDOM],
    /// The launch's own mark.
    pub nonce: LaunchNonce,
    /// The key of git-gate's fingerprints.
    pub fingerprint_key: FingerprintKey,
    /// When the launch began.
    pub started_at: Timestamp,
}

impl Fresh {
    /// From the system's generator and clock; `None` never happens with a nonce of the right form.
    pub fn draw() -> Option<Self> {
        let mut rng = rand::rng();
        // 256 is no multiple of 36: a byte of 252 or more would favour the first four digits.
        let mut digit = || loop {
            let byte: u8 = rng.random();
            if byte < 252 {
                return byte;
            }
        };
        let tail = [(); Slug::RANDOM].map(|()| digit());
        let nonce: String = (0..16).map(|_| contract::name::base36(digit())).collect();
        Some(Self {
            tail,
            nonce: format!("n-{nonce}").parse().ok()?,
            fingerprint_key: FingerprintKey::new(rng.random()),
            started_at: std::time::SystemTime::now().into(),
        })
    }

    /// The slug of this launch of an agent.
    pub fn slug(&self, agent: &AgentName) -> Slug {
        Slug::of_launch(agent, self.tail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_launches_share_neither_slug_nor_nonce() {
        let agent: AgentName = "dev".parse().unwrap();
        let (one, other) = (Fresh::draw().unwrap(), Fresh::draw().unwrap());
        assert_ne!(one.slug(&agent), other.slug(&agent));
        assert_ne!(one.nonce, other.nonce);
    }
}
