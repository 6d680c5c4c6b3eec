//! Names and identifiers: of agents, bottles, launches, environment variables, events and grants.

use crate::text::{harmless, validated_text};

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// an agent, bottle or skill name outside the charset
    #[error(
        "`{0}` is not a name; use 1 to 64 letters, digits, `-`, `_` or `.`, starting with a letter or digit"
    )]
    Name(String),
    /// a launch's slug outside its form
    #[error(
        "`{0}` is not a slug (at most 40 of a–z, 0–9 and -, ending in five random characters, as `bottle list` shows)"
    )]
    Slug(String),
    /// an environment variable outside the POSIX charset
    #[error(
        "`{0}` is not an environment variable name; use letters, digits and `_`, not starting with a digit"
    )]
    EnvName(String),
    /// an identifier outside its form
    #[error("`{0}` is not an identifier of the form {1}")]
    Identifier(String, &'static str),
}

fn name(text: &str) -> Result<String, NameError> {
    let starts_well = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    let charset = text
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if starts_well && charset && text.len() <= 64 {
        Ok(text.to_owned())
    } else {
        Err(NameError::Name(harmless(text)))
    }
}

fn env_name(text: &str) -> Result<String, NameError> {
    let starts_well = text
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    let charset = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if starts_well && charset && text.len() <= 255 {
        Ok(text.to_owned())
    } else {
        Err(NameError::EnvName(harmless(text)))
    }
}

fn slug(text: &str) -> Result<String, NameError> {
    let charset = text
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    let tail = text.rsplit('-').next().unwrap_or_default();
    if charset
        && text.len() <= Slug::MAX
        && tail.len() == Slug::RANDOM
        && text.len() > Slug::RANDOM + 1
        && !text.starts_with('-')
    {
        Ok(text.to_owned())
    } else {
        Err(NameError::Slug(harmless(text)))
    }
}

fn identifier(text: &str, prefix: &str, form: &'static str) -> Result<String, NameError> {
    let well_formed = text.strip_prefix(prefix).is_some_and(|rest| {
        (4..=40).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    });
    if well_formed {
        Ok(text.to_owned())
    } else {
        Err(NameError::Identifier(harmless(text), form))
    }
}

fn grant_id(text: &str) -> Result<String, NameError> {
    identifier(text, "g-", "g-1a2b3c4d")
}

fn proposal_id(text: &str) -> Result<String, NameError> {
    identifier(text, "p-", "p-1a2b3c4d")
}

fn event_id(text: &str) -> Result<String, NameError> {
    identifier(text, "e-", "e-1a2b3c4d")
}

fn nonce(text: &str) -> Result<String, NameError> {
    identifier(text, "n-", "n-1a2b3c4d")
}

validated_text!(
    /// The name of an agent: the file `agents/<name>.md`.
    AgentName,
    NameError,
    name
);
validated_text!(
    /// The name of a bottle: the file `bottles/<name>.md`.
    BottleName,
    NameError,
    name
);
validated_text!(
    /// The name of a skill: the folder `skills/<name>/`.
    SkillName,
    NameError,
    name
);
validated_text!(
    /// The name of an environment variable.
    EnvName,
    NameError,
    env_name
);
validated_text!(
    /// One launch of an agent: slugified agent name, `-`, five random base-36 characters.
    Slug,
    NameError,
    slug
);
validated_text!(
    /// An expiring or single-use permission, `g-…`; it joins audit, routes and access events.
    GrantId,
    NameError,
    grant_id
);
validated_text!(
    /// One ask of an agent, `p-…`: the name of its files, and the id of its task.
    ProposalId,
    NameError,
    proposal_id
);
validated_text!(
    /// One access event, `e-…`.
    EventId,
    NameError,
    event_id
);
validated_text!(
    /// One launch's own mark, `n-…`: an ack that does not carry it belongs to an earlier launch.
    LaunchNonce,
    NameError,
    nonce
);

impl Slug {
    /// The longest slug, so that `claude-bottle-<guard>-<slug>` stays a valid DNS label.
    pub const MAX: usize = 40;
    /// Length of the random tail.
    pub const RANDOM: usize = 5;

    /// The slug of one launch: `random` supplies the five base-36 digits (each taken modulo 36).
    pub fn of_launch(agent: &AgentName, random: [u8; Self::RANDOM]) -> Self {
        let mut slug = String::new();
        for character in agent.as_str().chars() {
            let next = character.to_ascii_lowercase();
            if next.is_ascii_alphanumeric() {
                slug.push(next);
            } else if !slug.ends_with('-') {
                slug.push('-');
            }
        }
        slug.truncate(Self::MAX - Self::RANDOM - 1);
        let stem = slug.trim_matches('-').to_owned();
        let tail: String = random.iter().map(|byte| base36(*byte)).collect();
        Self(format!("{stem}-{tail}"))
    }
}

impl ProposalId {
    /// A new identifier: `random` supplies eight base-36 digits (each byte taken modulo 36).
    pub fn of_random(random: [u8; 8]) -> Self {
        let digits: String = random.iter().map(|byte| base36(*byte)).collect();
        Self(format!("p-{digits}"))
    }

    /// The grant that an approval of this ask gives, by the same digits: it joins proposal, route, audit and access events.
    pub fn grant(&self) -> GrantId {
        GrantId(self.0.replacen("p-", "g-", 1))
    }
}

impl GrantId {
    /// The proposal that it was made of.
    pub fn proposal(&self) -> ProposalId {
        ProposalId(self.0.replacen("g-", "p-", 1))
    }
}

impl EventId {
    /// The identifier of a program's `number`th event: by them, the events of one guard sort in order, and two runs
    /// of it never share one.
    pub fn numbered(program_start: crate::Timestamp, number: u64) -> Self {
        let start = u64::try_from(program_start.as_millis()).unwrap_or_default();
        Self(format!(
            "e-{}{}",
            base36_number(start, 9),
            base36_number(number, 7)
        ))
    }
}

/// In base 36, with leading zeros to at least this many digits.
fn base36_number(mut number: u64, digits: usize) -> String {
    let mut reversed = Vec::with_capacity(13);
    while number > 0 || reversed.len() < digits {
        reversed.push(base36(u8::try_from(number % 36).unwrap_or_default()));
        number /= 36;
    }
    reversed.into_iter().rev().collect()
}

/// The base-36 digit of a byte modulo 36.
pub fn base36(byte: u8) -> char {
    char::from_digit(u32::from(byte) % 36, 36).unwrap_or('0')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_slug_is_the_slugified_name_and_five_random_characters() {
        let agent: AgentName = "My_Agent.v2".parse().unwrap();
        assert_eq!(
            Slug::of_launch(&agent, [0, 1, 10, 35, 36]).as_str(),
            "my-agent-v2-01az0"
        );
    }

    #[test]
    fn names_that_could_leave_their_folder_are_refused() {
        for bad in ["", "..", ".hidden", "a/b", "a b", "-x", "a\0", &"a".repeat(65)] {
            assert!(bad.parse::<AgentName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn environment_names_are_posix() {
        assert!("GITHUB_TOKEN".parse::<EnvName>().is_ok());
        for bad in ["", "1A", "A-B", "A=B", "A B", "Ä"] {
            assert!(bad.parse::<EnvName>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn numbered_events_sort_in_order(start in 0_i64..4_102_444_800_000, number in 0_u64..78_364_164_095) {
            let start = crate::Timestamp::from_millis(start);
            let (this, next) = (EventId::numbered(start, number), EventId::numbered(start, number + 1));
            prop_assert!(this < next);
            prop_assert_eq!(this.as_str().parse::<EventId>().unwrap(), this);
        }

        #[test]
        fn every_slug_of_a_launch_is_a_valid_slug(agent in "[A-Za-z0-9][A-Za-z0-9._-]{0,63}", random in any::<[u8; 5]>()) {
            let slug = Slug::of_launch(&agent.parse().unwrap(), random);
            prop_assert!(slug.as_str().len() <= Slug::MAX);
            prop_assert_eq!(slug.as_str().parse::<Slug>().unwrap(), slug);
        }
    }
}
