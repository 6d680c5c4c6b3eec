//! Compiled patterns: what a rule's text becomes.
//!
//! A pattern that begins with its keyword is compiled into a DFA that can be asked, byte by byte, whether it may
//! still match: that is what lets a stream go on at once when it cannot. Compiled when first needed, since most
//! streams touch few rules.

use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::meta;
use regex_automata::util::primitives::StateID;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, Span};
use std::sync::OnceLock;

/// The most memory for one DFA. Larger patterns than any sane rule.
const DFA_LIMIT: usize = 4 << 20;

/// Bytes, not characters: what is looked at need not be UTF-8, and secrets are ASCII.
pub(crate) fn syntax() -> syntax::Config {
    syntax::Config::new().unicode(false).utf8(false)
}

/// Whether `pattern` can be compiled.
pub(crate) fn check(pattern: &str) -> Result<(), String> {
    syntax::parse_with(pattern, &syntax())
        .map(drop)
        .map_err(|error| error.to_string())
}

/// A pattern that may begin anywhere in the text that it is given.
pub(crate) fn searcher(pattern: &str) -> Result<meta::Regex, String> {
    let config = meta::Config::new().utf8_empty(false);
    meta::Builder::new()
        .configure(config)
        .syntax(syntax())
        .build(pattern)
        .map_err(|error| error.to_string())
}

/// A pattern that is tried at one place.
pub(crate) struct Anchor {
    text: String,
    dfa: OnceLock<Option<dense::DFA<Vec<u32>>>>,
    groups: OnceLock<Option<meta::Regex>>,
}

/// A try that is under way.
#[derive(Clone, Copy)]
pub(crate) struct Attempt {
    state: StateID,
    /// The end of the longest match so far.
    end: Option<u64>,
}

/// What a try came to.
pub(crate) enum Outcome {
    /// More bytes decide.
    Open(Attempt),
    /// Matched up to here, or not at all.
    Over(Option<u64>),
}

// === impl Anchor ===

impl Anchor {
    pub(crate) fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            dfa: OnceLock::new(),
            groups: OnceLock::new(),
        }
    }

    /// `None` when the pattern is too large; a test sees to it that no built-in one is.
    pub(crate) fn dfa(&self) -> Option<&dense::DFA<Vec<u32>>> {
        let build = || {
            let config = dense::Config::new()
                .start_kind(StartKind::Anchored)
                .accelerate(false)
                .dfa_size_limit(Some(DFA_LIMIT))
                .determinize_size_limit(Some(DFA_LIMIT));
            dense::Builder::new()
                .configure(config)
                .syntax(syntax())
                .build(&self.text)
                .ok()
        };
        self.dfa.get_or_init(build).as_ref()
    }

    /// A try at `at` of `text`.
    pub(crate) fn begin(&self, text: &[u8], at: usize) -> Option<Attempt> {
        let input = Input::new(text).span(at..text.len()).anchored(Anchored::Yes);
        let state = self.dfa()?.start_state_forward(&input).ok()?;
        Some(Attempt { state, end: None })
    }

    /// Goes on with `bytes`, of which the first has the offset `offset`. `last` says that nothing follows them.
    /// Also gives the number of bytes that were looked at.
    pub(crate) fn go_on(&self, attempt: Attempt, bytes: &[u8], offset: u64, last: bool) -> (Outcome, usize) {
        let Some(dfa) = self.dfa() else {
            return (Outcome::Over(None), 0);
        };
        let Attempt { mut state, mut end } = attempt;
        for (at, (steps, &byte)) in (offset..).zip(bytes.iter().enumerate()) {
            state = dfa.next_state(state, byte);
            if dfa.is_special_state(state) {
                // A match is told one byte late.
                if dfa.is_match_state(state) {
                    end = Some(at);
                } else if dfa.is_dead_state(state) || dfa.is_quit_state(state) {
                    return (Outcome::Over(end), steps);
                }
            }
        }
        if !last {
            return (Outcome::Open(Attempt { state, end }), bytes.len());
        }
        if dfa.is_match_state(dfa.next_eoi_state(state)) {
            end = Some(offset + bytes.len() as u64);
        }
        (Outcome::Over(end), bytes.len())
    }

    /// Where the first capture group that took part is, in a match of all of `text` from `at` to `end`.
    pub(crate) fn group(&self, text: &[u8], at: usize, end: usize) -> Option<Span> {
        let regex = self.groups.get_or_init(|| searcher(&self.text).ok()).as_ref()?;
        if regex.captures_len() < 2 {
            return None;
        }
        let mut captures = regex.create_captures();
        // Nothing behind the match is seen: it may have ended where the text did when it was tried.
        let input = Input::new(text.get(..end)?).span(at..end).anchored(Anchored::Yes);
        regex.search_captures(&input, &mut captures);
        (1..regex.captures_len()).find_map(|group| captures.get_group(group))
    }
}
