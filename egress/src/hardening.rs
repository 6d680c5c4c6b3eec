//! Keeps the process's memory, which holds credentials, out of core dumps and away from other processes of the same user.

use std::io;

use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};

/// No core dumps, and not dumpable: no ptrace, no reading of `/proc/<pid>/mem` or `environ` by the same user.
pub fn seal_memory() -> io::Result<()> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    prctl::set_dumpable(false)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::resource::getrlimit;

    #[test]
    fn a_sealed_process_is_not_dumped() {
        seal_memory().unwrap();
        assert_eq!(getrlimit(Resource::RLIMIT_CORE).unwrap(), (0, 0));
        assert!(!prctl::get_dumpable().unwrap());
    }
}
