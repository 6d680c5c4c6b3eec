//! How fast the rule scanner is, beside others, on the files of folders:
//!
//! `cargo run --release -p secrets --example scan-tree -- [--setting source|traffic] [--list] [--json]
//! [--peer NAME=PROGRAM,ARGUMENT,…]… DIR…`
//!
//! Ours scans every file on one core, all decodings on. A peer is run once per folder, the folder as its last
//! argument, on as many cores as it likes; with `--peer betterleaks=betterleaks,dir,--exit-code=0,--no-banner` say.
//! Rates are MiB of files per second of wall time and per second of CPU time. `--list` prints findings by rule.

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use secrets::{Confidence, Options, RuleSet, Scanner, Setting};
use std::collections::BTreeMap;
use std::error::Error;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A file is scanned as a stream of pieces of this size, so that no file needs to be held whole.
const PIECE: usize = 1 << 20;

struct Wanted {
    setting: Setting,
    list: bool,
    json: bool,
    peers: Vec<(String, Vec<String>)>,
    folders: Vec<String>,
}

/// One scanner's row.
struct Row {
    name: String,
    bytes: u64,
    files: u64,
    wall: Duration,
    cpu: Duration,
    /// The most memory, in KiB.
    resident: i64,
    /// From nothing to the first answer.
    ready: Duration,
    blocking: u64,
    warning: u64,
}

#[allow(clippy::print_stdout, reason = "its purpose")]
fn main() -> Result<(), Box<dyn Error>> {
    let wanted = wanted()?;
    let started = Instant::now();
    let scanner = Scanner::new(RuleSet::built_in()?)?;
    scanner.scan(b"ready", &Options::new(wanted.setting))?;
    let ready = started.elapsed();

    let mut rows = vec![ours(&wanted, &scanner, ready)?];
    for (name, command) in &wanted.peers {
        rows.push(peer(name, command, &wanted.folders, rows.first())?);
    }
    if wanted.json {
        println!("[{}]", rows.iter().map(json).collect::<Vec<_>>().join(","));
    } else {
        println!(
            "scanner\tfiles\tMiB\twall s\tCPU s\tMiB/s\tMiB/s of CPU\tRSS MiB\tready ms\tblocking\twarning"
        );
        rows.iter().map(table).for_each(|row| println!("{row}"));
    }
    Ok(())
}

fn wanted() -> Result<Wanted, Box<dyn Error>> {
    let mut wanted = Wanted {
        setting: Setting::Source,
        list: false,
        json: false,
        peers: Vec::new(),
        folders: Vec::new(),
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--setting" => {
                wanted.setting = match arguments.next().as_deref() {
                    Some("source") => Setting::Source,
                    Some("traffic") => Setting::Traffic,
                    _ => return Err("--setting is source or traffic".into()),
                }
            }
            "--list" => wanted.list = true,
            "--json" => wanted.json = true,
            "--peer" => {
                let peer = arguments.next().unwrap_or_default();
                let (name, command) = peer.split_once('=').ok_or("--peer is NAME=PROGRAM,ARGUMENT,…")?;
                let command = command.split(',').map(str::to_owned).collect();
                wanted.peers.push((name.to_owned(), command));
            }
            _ => wanted.folders.push(argument),
        }
    }
    if wanted.folders.is_empty() {
        return Err("name a folder to scan".into());
    }
    Ok(wanted)
}

fn ours(wanted: &Wanted, scanner: &Scanner, ready: Duration) -> Result<Row, Box<dyn Error>> {
    let mut row = Row {
        name: "secrets (1 core)".to_owned(),
        bytes: 0,
        files: 0,
        wall: Duration::ZERO,
        cpu: Duration::ZERO,
        resident: 0,
        ready,
        blocking: 0,
        warning: 0,
    };
    let mut rules = BTreeMap::new();
    let mut buffer = vec![0; PIECE];
    let (started, before) = (Instant::now(), cpu(UsageWho::RUSAGE_SELF)?.0);
    for folder in &wanted.folders {
        scan(
            Path::new(folder),
            wanted,
            scanner,
            &mut buffer,
            &mut row,
            &mut rules,
        )?;
    }
    row.wall = started.elapsed();
    let (after, resident) = cpu(UsageWho::RUSAGE_SELF)?;
    row.cpu = after.saturating_sub(before);
    row.resident = resident;
    if wanted.list {
        list(&rules);
    }
    Ok(row)
}

#[allow(clippy::print_stdout, reason = "asked for")]
fn list(rules: &BTreeMap<(Confidence, String), Vec<String>>) {
    for ((confidence, rule), places) in rules {
        println!("{confidence:?} {rule}: {}", places.len());
        places.iter().take(40).for_each(|place| println!("    {place}"));
    }
}

fn scan(
    path: &Path,
    wanted: &Wanted,
    scanner: &Scanner,
    buffer: &mut [u8],
    row: &mut Row,
    rules: &mut BTreeMap<(Confidence, String), Vec<String>>,
) -> Result<(), Box<dyn Error>> {
    let kind = path.symlink_metadata()?.file_type();
    if kind.is_dir() {
        for entry in std::fs::read_dir(path)? {
            scan(&entry?.path(), wanted, scanner, buffer, row, rules)?;
        }
    }
    if !kind.is_file() {
        return Ok(());
    }
    let mut options = Options::new(wanted.setting);
    options.path = Some(path.to_string_lossy().as_ref().into());
    let mut stream = scanner.stream(&options);
    let mut findings = Vec::new();
    #[allow(
        clippy::disallowed_methods,
        reason = "an example without further dependencies"
    )]
    let mut file = std::fs::File::open(path)?;
    row.files += 1;
    let mut exceeded = false;
    loop {
        let read = file.read(buffer)?;
        if read == 0 {
            break;
        }
        row.bytes += read as u64;
        exceeded |= stream
            .push(buffer.get(..read).unwrap_or_default(), &mut findings)
            .is_err();
    }
    exceeded |= stream.finish(&mut findings).is_err();
    secrets::without_repeats(&mut findings);
    if exceeded {
        rules
            .entry((Confidence::High, "budget-exceeded".to_owned()))
            .or_default()
            .push(path.display().to_string());
    }
    for finding in findings {
        row.blocking += u64::from(finding.blocks());
        row.warning += u64::from(finding.confidence == Confidence::Medium);
        let place = format!(
            "{}:{}..{} {} [{}]",
            path.display(),
            finding.span.start,
            finding.span.end,
            finding.redacted(),
            finding.decoded
        );
        if wanted.list {
            rules
                .entry((finding.confidence, finding.rule.to_string()))
                .or_default()
                .push(place);
        }
    }
    Ok(())
}

/// Runs another scanner over the same files.
fn peer(
    name: &str,
    command: &[String],
    folders: &[String],
    ours: Option<&Row>,
) -> Result<Row, Box<dyn Error>> {
    let (program, arguments) = command.split_first().ok_or("a peer is a program")?;
    let (started, before) = (Instant::now(), cpu(UsageWho::RUSAGE_CHILDREN)?.0);
    for folder in folders {
        let status = Command::new(program)
            .args(arguments)
            .arg(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        if status.code().is_none() {
            return Err(format!("{name} did not end by itself").into());
        }
    }
    let wall = started.elapsed();
    let (after, resident) = cpu(UsageWho::RUSAGE_CHILDREN)?;
    Ok(Row {
        name: name.to_owned(),
        bytes: ours.map_or(0, |row| row.bytes),
        files: ours.map_or(0, |row| row.files),
        wall,
        cpu: after.saturating_sub(before),
        resident,
        ready: Duration::ZERO,
        blocking: 0,
        warning: 0,
    })
}

fn cpu(who: UsageWho) -> Result<(Duration, i64), Box<dyn Error>> {
    let usage = getrusage(who)?;
    let time = |value: TimeVal| {
        let seconds = u64::try_from(value.tv_sec()).unwrap_or(0);
        let micros = u64::try_from(value.tv_usec()).unwrap_or(0);
        Duration::from_secs(seconds) + Duration::from_micros(micros)
    };
    Ok((
        time(usage.user_time()) + time(usage.system_time()),
        usage.max_rss(),
    ))
}

#[allow(clippy::cast_precision_loss, reason = "sizes for people")]
fn rates(row: &Row) -> (f64, f64, f64, f64) {
    let size = row.bytes as f64 / f64::from(1 << 20);
    let resident = row.resident as f64 / 1024.0;
    (
        size,
        size / row.wall.as_secs_f64(),
        size / row.cpu.as_secs_f64(),
        resident,
    )
}

fn table(row: &Row) -> String {
    let (size, by_wall, by_cpu, resident) = rates(row);
    format!(
        "{}\t{}\t{size:.0}\t{:.2}\t{:.2}\t{by_wall:.0}\t{by_cpu:.0}\t{resident:.0}\t{:.1}\t{}\t{}",
        row.name,
        row.files,
        row.wall.as_secs_f64(),
        row.cpu.as_secs_f64(),
        row.ready.as_secs_f64() * 1e3,
        row.blocking,
        row.warning
    )
}

fn json(row: &Row) -> String {
    let (size, by_wall, by_cpu, resident) = rates(row);
    format!(
        r#"{{"scanner":"{}","files":{},"mib":{size:.1},"wall_s":{:.3},"cpu_s":{:.3},"mib_per_s":{by_wall:.1},"mib_per_cpu_s":{by_cpu:.1},"rss_mib":{resident:.1},"ready_ms":{:.2},"blocking":{},"warning":{}}}"#,
        row.name,
        row.files,
        row.wall.as_secs_f64(),
        row.cpu.as_secs_f64(),
        row.ready.as_secs_f64() * 1e3,
        row.blocking,
        row.warning
    )
}
