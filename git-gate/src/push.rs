//! A push, from the moment `git receive-pack` starts to the upstream's answer.
//!
//! The front opens a session and names it to git; git's hooks come back with that name. `pre-receive` has the push judged;
//! `proc-receive` has what was judged, and only that, forwarded. From judgement to the end no other push is judged in that
//! repository, so what was compared with the mirror is what is forwarded.

pub mod findings;
pub mod forward;
pub mod judge;
pub mod porcelain;
pub mod refusal;
pub mod scan;
pub mod session;
pub mod settle;
pub mod walk;
