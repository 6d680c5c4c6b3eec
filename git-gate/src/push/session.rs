//! Pushes under way, and the socket where their hooks ask.
//!
//! A session lives from the start of `git receive-pack` to its end. It goes through its states in one direction: opened, judged,
//! forwarded. A hook that asks for anything out of turn, or for a ref that was not judged, is told no.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;
use git2::Oid;
use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

use super::judge::{self, Case};
use super::settle::{self, Brought};
use super::{forward, refusal};
use crate::events::Events;
use crate::git::Git;
use crate::hook::message::{Answer, Kind, Question, RefResult, Update};
use crate::push::scan::Scans;
use crate::repository::{FRESH, Receiving, Turn};
use crate::table::{Remote, Table};

/// The longest question, in bytes.
const LONGEST: u64 = 48 << 20;

/// Everything that a push needs.
pub struct Pushes {
    git: Arc<Git>,
    table: Arc<ArcSwap<Table>>,
    scans: Arc<Scans>,
    events: Events,
    sessions: Mutex<HashMap<String, Arc<Session>>>,
}

/// One push.
pub struct Session {
    remote: Arc<Remote>,
    state: Mutex<State>,
    abandoned: Arc<AtomicBool>,
}

enum State {
    Opened,
    Busy,
    Judged(Judged),
    Over,
}

/// A push that was let out of quarantine.
struct Judged {
    updates: Vec<Update>,
    brought: Brought,
    /// Where the upstream's refs were.
    tips: Vec<Oid>,
    turn: Turn,
}

/// Ends a session when it is dropped: with `git receive-pack`.
pub struct Open {
    pushes: Arc<Pushes>,
    /// Its name, for the hooks.
    pub name: String,
    _receiving: Receiving,
}

// === impl Pushes ===

impl Pushes {
    /// Ready for sessions.
    pub fn new(git: Arc<Git>, table: Arc<ArcSwap<Table>>, scans: Arc<Scans>, events: Events) -> Arc<Self> {
        Arc::new(Self {
            git,
            table,
            scans,
            events,
            sessions: Mutex::new(HashMap::new()),
        })
    }

    /// Opens a session for a push to `remote`.
    pub fn open(self: &Arc<Self>, remote: Arc<Remote>) -> Open {
        let name: String = rand::random::<[u8; 16]>()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let receiving = remote.repository.receiving();
        let session = Session {
            remote,
            state: Mutex::new(State::Opened),
            abandoned: Arc::new(AtomicBool::new(false)),
        };
        self.sessions.lock().insert(name.clone(), Arc::new(session));
        Open {
            pushes: Arc::clone(self),
            name,
            _receiving: receiving,
        }
    }

    /// Answers hooks, until the listener is dropped with its task.
    pub async fn answer_hooks(self: Arc<Self>, listener: UnixListener) {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    tokio::spawn(Arc::clone(&self).answer(stream));
                }
                Err(error) => {
                    tracing::error!("a hook cannot be answered: {error}");
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
            }
        }
    }

    /// One hook. Nothing is answered to a question that cannot be read: the hook takes that for a no.
    async fn answer(self: Arc<Self>, stream: UnixStream) {
        let asked = Instant::now();
        let (from, mut to) = stream.into_split();
        let mut line = Vec::new();
        let read = BufReader::new(from.take(LONGEST))
            .read_until(b'\n', &mut line)
            .await;
        let question: Question = match read.map(|_| serde_json::from_slice(&line)) {
            Ok(Ok(question)) => question,
            _ => return,
        };
        drop(line);
        let Some(session) = self.sessions.lock().get(&question.session).cloned() else {
            return;
        };
        let answer = match question.kind {
            Kind::PreReceive => self.judge(&session, question, asked, &mut to).await,
            Kind::ProcReceive => self.forward(session, question, &mut to).await,
        };
        if let Some(answer) = answer {
            write(&mut to, &answer).await;
        }
    }

    async fn judge(
        &self,
        session: &Session,
        question: Question,
        asked: Instant,
        to: &mut OwnedWriteHalf,
    ) -> Option<Answer> {
        let opened = std::mem::replace(&mut *session.state.lock(), State::Busy);
        if !matches!(opened, State::Opened) {
            return None;
        }
        let remote = Arc::clone(&session.remote);
        let quarantine = question.quarantine.clone();
        if quarantine
            .as_ref()
            .is_some_and(|quarantine| !lies_in(quarantine, remote.repository.directory()))
        {
            return None;
        }
        let turn = remote.repository.turn().await;
        let table = self.table.load_full();
        if table
            .remote(&remote.route)
            .is_none_or(|now| now.settings != remote.settings)
        {
            let text = format!(
                "\ngit-gate: what may go to {} was changed while this push came in; push again\n",
                remote.route
            );
            write(to, &Answer::Say { text }).await;
            return Some(Answer::Verdict { accept: false });
        }
        if let Err(why) = remote
            .repository
            .refresh(&self.git, &remote.settings, FRESH)
            .await
        {
            let text = format!(
                "\ngit-gate: {} cannot be reached, so nothing was pushed: {why}\n",
                remote.route
            );
            write(to, &Answer::Say { text }).await;
            self.events.unreachable(&remote, "receive-pack");
            return Some(Answer::Verdict { accept: false });
        }
        let case = Case {
            remote: Arc::clone(&remote),
            table,
            scans: Arc::clone(&self.scans),
            quarantine,
            updates: question.updates,
            abandoned: Arc::clone(&session.abandoned),
        };
        let judged = tokio::task::spawn_blocking(move || {
            let judgement = judge::judge(&case);
            (judgement, case)
        });
        let (judgement, case) = judged.await.ok()?;
        let text = refusal::text(&judgement, &remote.route);
        if !text.is_empty() {
            write(to, &Answer::Say { text }).await;
        }
        // What cannot be logged does not go out.
        let logged = self.events.judged(&case, &judgement, asked.elapsed()).await;
        let accept = logged && judgement.accepts() && self.let_out(session, case, turn);
        Some(Answer::Verdict { accept })
    }

    /// Writes down what leaves quarantine now, so that it can be taken back.
    fn let_out(&self, session: &Session, case: Case, turn: Turn) -> bool {
        let repository = &case.remote.repository;
        let prepared = settle::brought(repository.directory(), case.quarantine.as_ref().map(Path::new))
            .and_then(|brought| {
                repository.mark_unsettled()?;
                let tips = repository.tips().map_err(std::io::Error::other)?;
                Ok((brought, tips.into_iter().map(|(_, id)| id).collect()))
            });
        match prepared {
            Ok((brought, tips)) => {
                let mut state = session.state.lock();
                if session.abandoned.load(Ordering::Relaxed) {
                    // git is gone, and its quarantine with it.
                    drop(state);
                    if let Err(error) = repository.mark_settled() {
                        tracing::warn!("the next start makes the mirror anew: {error}");
                    }
                    return false;
                }
                *state = State::Judged(Judged {
                    updates: case.updates,
                    brought,
                    tips,
                    turn,
                });
                true
            }
            Err(error) => {
                tracing::error!("a push cannot be let out of quarantine: {error}");
                false
            }
        }
    }

    /// Forwards in a task of its own: a client that goes away does not leave the upstream half told.
    async fn forward(
        self: Arc<Self>,
        session: Arc<Session>,
        question: Question,
        to: &mut OwnedWriteHalf,
    ) -> Option<Answer> {
        let state = std::mem::replace(&mut *session.state.lock(), State::Over);
        let State::Judged(judged) = state else {
            return None;
        };
        if question.updates.is_empty()
            || !question
                .updates
                .iter()
                .all(|update| judged.updates.contains(update))
        {
            *session.state.lock() = State::Judged(judged);
            return None;
        }
        let (say, mut said) = mpsc::unbounded_channel();
        let remote = Arc::clone(&session.remote);
        let forwarding =
            tokio::spawn(async move { self.forward_and_settle(&remote, judged, question, say).await });
        while let Some(text) = said.recv().await {
            write(to, &Answer::Say { text }).await;
        }
        let results = forwarding.await.ok()?;
        Some(Answer::Results { results })
    }

    async fn forward_and_settle(
        &self,
        remote: &Arc<Remote>,
        judged: Judged,
        question: Question,
        say: mpsc::UnboundedSender<String>,
    ) -> Vec<RefResult> {
        let began = Instant::now();
        let forwarded = forward::forward(&self.git, remote, &question.updates, question.atomic, &say).await;
        let results = forwarded.results;
        self.events
            .forwarded(remote, &question.updates, &results, began.elapsed())
            .await;
        let taken = |update: &&Update| {
            results
                .iter()
                .any(|result| result.reference == update.reference && result.refused.is_none())
        };
        let moved: Vec<(String, Option<Oid>)> = question
            .updates
            .iter()
            .filter(taken)
            .map(|update| {
                let new = update.ids().and_then(|(_, new)| new);
                (update.reference.clone(), new)
            })
            .collect();
        if moved.len() < question.updates.len() {
            // Why it was refused may be that the upstream is not where the mirror says.
            remote.repository.is_stale_now();
        }
        if let Err(error) = remote.repository.record(&moved).await {
            // The upstream has it; the mirror learns of it when it asks next.
            tracing::warn!("the mirror of {} is behind: {error}", remote.route);
            remote.repository.is_stale_now();
        }
        settle(remote, judged, moved.iter().filter_map(|(_, id)| *id).collect()).await;
        results
    }

    fn close(&self, name: &str) {
        let Some(session) = self.sessions.lock().remove(name) else {
            return;
        };
        session.abandoned.store(true, Ordering::Relaxed);
        let state = std::mem::replace(&mut *session.state.lock(), State::Over);
        if let State::Judged(judged) = state {
            // Let out and never forwarded: git failed in between.
            let remote = Arc::clone(&session.remote);
            tokio::spawn(async move { settle(&remote, judged, Vec::new()).await });
        }
    }
}

/// Takes back what the upstream did not take, and gives the turn to the next push.
async fn settle(remote: &Arc<Remote>, judged: Judged, accepted: Vec<Oid>) {
    let remote = Arc::clone(remote);
    let settled = tokio::task::spawn_blocking(move || {
        let directory = remote.repository.directory();
        let all = judged
            .updates
            .iter()
            .filter(|update| update.ids().is_some_and(|(_, new)| new.is_some()));
        let removed = if accepted.is_empty() {
            judged.brought.remove(directory)
        } else if accepted.len() < all.count() {
            judged
                .brought
                .remove_unaccepted(directory, &accepted, &judged.tips)
        } else {
            Ok(())
        };
        let settled = removed.and_then(|()| remote.repository.mark_settled());
        drop(judged.turn);
        settled
    });
    if let Ok(Err(error)) = settled.await {
        tracing::error!(
            "what the upstream refused could not be removed; the next start makes the mirror anew: {error}"
        );
    }
}

/// git makes its quarantine inside the repository.
fn lies_in(quarantine: &str, repository: &Path) -> bool {
    let objects = repository.join("objects");
    let real = |path: &Path| fs_err::canonicalize(path).ok();
    match (real(Path::new(quarantine)), real(&objects)) {
        (Some(quarantine), Some(objects)) => quarantine != objects && quarantine.starts_with(objects),
        _ => false,
    }
}

/// A hook that is gone cannot be told anything; what it would have been told is decided all the same.
async fn write(to: &mut OwnedWriteHalf, answer: &Answer) {
    if let Ok(mut line) = serde_json::to_vec(answer) {
        line.push(b'\n');
        let _ = to.write_all(&line).await;
    }
}

// === impl Open ===

impl Drop for Open {
    fn drop(&mut self) {
        self.pushes.close(&self.name);
    }
}
