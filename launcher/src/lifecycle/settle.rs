//! What is known of a bottle, and what follows from it. Pure: everything is handed in.

use super::lock::Launcher;
use serde::Serialize;

/// What a bottle is, as `bottle list` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BottleState {
    /// It is being brought up.
    Starting,
    /// The agent's container runs, and whoever has to answer for it does.
    Running,
    /// Its launcher has died, or its containers have ended by themselves.
    Crashed,
    /// Nothing runs; its state directory is kept, and `bottle resume` can bring it up again.
    Preserved,
    /// Nothing runs; only a state directory is left.
    Stopped,
    /// Its state directory cannot be read, so nothing is known of it and nothing is done to it but on the operator's word.
    Damaged,
    /// The engine has something of it, and it has no state directory: whether it is in use is not known, and nothing is done to it but on
    /// the operator's word. No launcher leaves one so (a state directory comes first and goes last); its folder was deleted, or is away.
    Orphaned,
}

impl BottleState {
    /// One word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Crashed => "crashed",
            Self::Preserved => "preserved",
            Self::Stopped => "stopped",
            Self::Damaged => "damaged",
            Self::Orphaned => "orphaned",
        }
    }

    /// Whether its state directory says nothing about it, so that only the operator can say whether it is to be ended.
    pub fn is_unjudged(self) -> bool {
        matches!(self, Self::Damaged | Self::Orphaned)
    }
}

/// What can be seen of a bottle without asking anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evidence {
    /// It has a state directory.
    pub has_folder: bool,
    /// Somebody holds its lock.
    pub being_changed: bool,
    /// Who answers for it.
    pub launcher: Launcher,
    /// It has been up once: `.ready` is there.
    pub was_ready: bool,
    /// `.preserve` is there.
    pub preserve: bool,
    /// The agent's container runs.
    pub agent_runs: bool,
    /// There is any container, network or volume.
    pub has_resources: bool,
}

/// What it is.
pub fn state_of(evidence: Evidence) -> BottleState {
    let Evidence {
        has_folder,
        being_changed,
        launcher,
        was_ready,
        preserve,
        agent_runs,
        has_resources,
    } = evidence;
    match launcher {
        _ if !has_folder => BottleState::Orphaned,
        Launcher::Dead => BottleState::Crashed,
        Launcher::Alive if !was_ready => BottleState::Starting,
        Launcher::Alive | Launcher::None if agent_runs => BottleState::Running,
        // Somebody is taking it down, or brings it up.
        _ if being_changed => {
            if was_ready {
                BottleState::Stopped
            } else {
                BottleState::Starting
            }
        }
        Launcher::Alive => BottleState::Running,
        Launcher::None if has_resources => BottleState::Crashed,
        Launcher::None if preserve => BottleState::Preserved,
        Launcher::None => BottleState::Stopped,
    }
}

/// Why a bottle is taken down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Its start failed, or was broken off.
    FailedStart,
    /// Its session ended, or somebody stopped it.
    End,
    /// The same, and its state directory shall be kept.
    EndAndKeep,
    /// Its launcher died, or its containers ended by themselves.
    Crash {
        /// It had been up: there may be work in it.
        was_ready: bool,
    },
}

/// Whether its state directory is kept, and `.preserve` set.
pub fn keeps_state(cause: Cause, preserve: bool) -> bool {
    match cause {
        Cause::FailedStart => false,
        Cause::End => preserve,
        Cause::EndAndKeep => true,
        Cause::Crash { was_ready } => was_ready || preserve,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UP: Evidence = Evidence {
        has_folder: true,
        being_changed: false,
        launcher: Launcher::Alive,
        was_ready: true,
        preserve: false,
        agent_runs: true,
        has_resources: true,
    };
    const GONE: Evidence = Evidence {
        has_folder: true,
        being_changed: false,
        launcher: Launcher::None,
        was_ready: true,
        preserve: false,
        agent_runs: false,
        has_resources: false,
    };

    #[test]
    fn a_bottle_whose_launcher_has_died_is_crashed_though_it_runs() {
        let died = Evidence {
            launcher: Launcher::Dead,
            ..UP
        };
        assert_eq!(state_of(UP), BottleState::Running);
        assert_eq!(state_of(died), BottleState::Crashed);
    }

    #[test]
    fn containers_without_a_state_directory_are_orphaned_and_not_taken_for_what_a_crash_left() {
        let orphaned = Evidence {
            has_folder: false,
            launcher: Launcher::None,
            was_ready: false,
            ..UP
        };
        assert_eq!(state_of(orphaned), BottleState::Orphaned);
    }

    #[test]
    fn a_detached_bottle_runs_until_its_containers_end() {
        let detached = Evidence {
            launcher: Launcher::None,
            ..UP
        };
        assert_eq!(state_of(detached), BottleState::Running);
        let ended = Evidence {
            agent_runs: false,
            ..detached
        };
        assert_eq!(state_of(ended), BottleState::Crashed);
    }

    #[test]
    fn a_bottle_is_starting_until_it_was_ready() {
        let starting = Evidence {
            being_changed: true,
            was_ready: false,
            ..UP
        };
        assert_eq!(state_of(starting), BottleState::Starting);
        let early = Evidence {
            agent_runs: false,
            has_resources: false,
            ..starting
        };
        assert_eq!(state_of(early), BottleState::Starting);
    }

    #[test]
    fn what_is_left_of_a_bottle_says_whether_it_is_kept() {
        assert_eq!(state_of(GONE), BottleState::Stopped);
        let kept = Evidence {
            preserve: true,
            ..GONE
        };
        assert_eq!(state_of(kept), BottleState::Preserved);
        let being_stopped = Evidence {
            being_changed: true,
            ..GONE
        };
        assert_eq!(state_of(being_stopped), BottleState::Stopped);
    }

    #[test]
    fn a_failed_start_leaves_nothing_and_a_crash_keeps_what_may_hold_work() {
        assert!(!keeps_state(Cause::FailedStart, true));
        assert!(!keeps_state(Cause::Crash { was_ready: false }, false));
        assert!(keeps_state(Cause::Crash { was_ready: true }, false));
        assert!(!keeps_state(Cause::End, false));
        assert!(keeps_state(Cause::End, true));
        assert!(keeps_state(Cause::EndAndKeep, false));
    }
}
