//! Keeps the process's memory, which holds credentials, out of core dumps and away from other processes of the same user.

use std::io;

use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Descriptors that no connection may take.
const OWN_FILES: u64 = 128;

/// No core dumps, and not dumpable: no ptrace, no reading of `/proc/<pid>/mem` or `environ` by the same user.
pub fn seal_memory() -> io::Result<()> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    prctl::set_dumpable(false)?;
    Ok(())
}

/// Lets this process open as many files as it is allowed to, and says how many that is.
pub fn raise_file_limit() -> io::Result<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(hard)
}

/// How many agent connections `files` descriptors are enough for, at most `wanted`: four for each (itself and upstream
/// connections), and some for the guard's own files, which a reload must always be able to open.
pub fn connections_within(files: u64, wanted: usize) -> usize {
    let enough_for = files.saturating_sub(OWN_FILES) / 4;
    usize::try_from(enough_for).map_or(wanted, |enough| enough.min(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_on_files_is_raised_and_bounds_the_connections() {
        let hard = getrlimit(Resource::RLIMIT_NOFILE).unwrap().1;
        setrlimit(Resource::RLIMIT_NOFILE, 512.min(hard), hard).unwrap();
        assert_eq!(raise_file_limit().unwrap(), hard);
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (hard, hard));
        assert_eq!(connections_within(1_048_576, 1024), 1024);
        assert_eq!(connections_within(1024, 1024), 224);
        assert_eq!(connections_within(64, 1024), 0);
    }

    #[test]
    fn a_sealed_process_is_not_dumped() {
        seal_memory().unwrap();
        assert_eq!(getrlimit(Resource::RLIMIT_CORE).unwrap(), (0, 0));
        assert!(!prctl::get_dumpable().unwrap());
    }
}
