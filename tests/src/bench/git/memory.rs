//! What a process and all that it starts hold in memory, at most.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::bench::peer::status;

/// Between two looks: git's processes live for seconds here.
const PAUSE: Duration = Duration::from_millis(5);

/// In KiB, as the kernel counts resident memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Peak {
    /// The process itself.
    pub(super) own: u64,
    /// The largest of those that it started.
    pub(super) largest: u64,
    /// All of them together, at one time.
    pub(super) together: u64,
}

/// Looks on until it is ended.
pub(super) struct Watch {
    process: u32,
    ended: Arc<AtomicBool>,
    thread: JoinHandle<Peak>,
}

// === impl Watch ===

impl Watch {
    pub(super) fn start(process: u32) -> anyhow::Result<Self> {
        // The highest mark so far is forgotten (proc_pid_clear_refs(5)).
        fs_err::write(format!("/proc/{process}/clear_refs"), "5")?;
        let ended = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&ended);
        let thread = std::thread::spawn(move || {
            let mut peak = Peak::default();
            while !until.load(Ordering::Relaxed) {
                look(process, &mut peak);
                std::thread::sleep(PAUSE);
            }
            peak
        });
        Ok(Self {
            process,
            ended,
            thread,
        })
    }

    pub(super) fn end(self) -> Peak {
        self.ended.store(true, Ordering::Relaxed);
        let peak = self.thread.join().unwrap_or_default();
        Peak {
            own: status(self.process, "VmHWM:"),
            ..peak
        }
    }
}

fn look(process: u32, peak: &mut Peak) {
    let mut together = 0;
    for child in descendants(process) {
        peak.largest = peak.largest.max(status(child, "VmHWM:"));
        together += status(child, "VmRSS:");
    }
    peak.together = peak.together.max(together);
}

fn descendants(of: u32) -> Vec<u32> {
    let parent_of = |process: u32| -> Option<u32> {
        let stat = fs_err::read_to_string(format!("/proc/{process}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
    };
    let Ok(entries) = fs_err::read_dir("/proc") else {
        return Vec::new();
    };
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in entries.flatten() {
        let process = entry.file_name().to_str().and_then(|name| name.parse().ok());
        if let Some(process) = process
            && let Some(parent) = parent_of(process)
        {
            children.entry(parent).or_default().push(process);
        }
    }
    let mut found = children.remove(&of).unwrap_or_default();
    let mut at = 0;
    while let Some(parent) = found.get(at).copied() {
        found.extend(children.remove(&parent).unwrap_or_default());
        at += 1;
    }
    found
}
