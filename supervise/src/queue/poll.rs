//! Looks at the files of what is undecided, every [`guard::look::LOOK`]: answers are found by looking, for file events are lost on
//! some shared file systems.

use contract::ProposalId;
use guard::file::Seen;
use guard::look::Look;

use super::{Queue, Standing, now};

/// Looks on behalf of everyone who waits.
#[derive(Debug)]
pub struct Poller(pub Queue);

/// What the files of one proposal looked like.
#[derive(Debug, Default)]
pub(super) struct Looked {
    proposal: Seen,
    response: Seen,
    state: Seen,
}

impl Look for Poller {
    fn look(&mut self) {
        let ids: Vec<ProposalId> = self.0.0.live.lock().by_id.keys().cloned().collect();
        for id in ids {
            if self.0.may_have_changed(&id) {
                self.0.look_at(&id);
            }
        }
    }

    fn reload(&mut self) {
        self.look();
    }
}

impl Queue {
    fn may_have_changed(&self, id: &ProposalId) -> bool {
        let files = self.files();
        let (proposal, response, state) = (
            files.proposal_path(id),
            files.response_path(id),
            files.state_path(id),
        );
        let mut live = self.0.live.lock();
        let Some(undecided) = live.by_id.get_mut(id) else {
            return false;
        };
        let looked = &mut undecided.looked;
        // Each is looked at, so that none is seen as changed for ever.
        let changed = [
            response.exists() && looked.response.may_have_changed(&response),
            state.exists() && looked.state.may_have_changed(&state),
            looked.proposal.may_have_changed(&proposal),
        ];
        changed.contains(&true)
    }

    /// Reads what has become of an undecided proposal, tells who waits for it, and forgets it once it is decided.
    pub(super) fn look_at(&self, id: &ProposalId) {
        let known = self
            .0
            .live
            .lock()
            .by_id
            .get(id)
            .map(|undecided| (undecided.sha256.clone(), undecided.asked_at));
        let Some((sha256, asked_at)) = known else { return };
        let mut standing = Standing::read(self.files(), id, &sha256, asked_at);
        if !standing.status.is_final() && !self.is_intact(id, &sha256) {
            let why = "its file was changed or removed after it was asked";
            tracing::error!("{id} is withdrawn: {why}");
            if let Err(error) = self.write_withdrawal(id, why) {
                tracing::error!("{id}: {error}");
            }
            // What the launcher does with the changed file it does not do for this ask.
            standing = Standing::withdrawn(now(), why.to_owned());
        }
        let mut live = self.0.live.lock();
        let Some(undecided) = live.by_id.get(id) else {
            return;
        };
        let is_final = standing.status.is_final();
        undecided.standing.send_if_modified(|told| {
            let differs = *told != standing;
            *told = standing;
            differs
        });
        if is_final {
            live.remove(id);
        }
    }

    fn is_intact(&self, id: &ProposalId, sha256: &contract::Sha256Hex) -> bool {
        match self.files().proposal_sha256(id) {
            Ok(found) => found.as_ref() == Some(sha256),
            // It cannot be read now; that says nothing about what it holds.
            Err(super::BrokenFile::Io(error)) => {
                tracing::warn!("{id}: {error}");
                true
            }
            Err(_) => false,
        }
    }
}
