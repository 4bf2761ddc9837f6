//! What a piece of work costs.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use crate::Result;

/// Ticks in a second in `/proc/stat` (proc(5), `USER_HZ`).
const TICKS: f64 = 100.0;
/// How often the memory of a process is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// What a piece of work cost.
#[derive(Clone, Copy, Default)]
pub struct Cost {
    /// Seconds on the wall.
    pub wall: f64,
    /// Seconds of all processors of the machine.
    pub cpu: f64,
    /// Bytes that the engine's disk has more.
    pub disk: f64,
}

/// Measures from its start to [`Meter::stop`].
pub struct Meter {
    disk: PathBuf,
    used: f64,
    cpu: f64,
    began: Instant,
}

impl Meter {
    /// Begins; `disk` is a folder on the engine's disk.
    pub fn start(disk: &Path) -> Result<Self> {
        go_on()?;
        let used = disk_used(disk)?;
        Ok(Meter {
            disk: disk.to_owned(),
            used,
            cpu: machine_cpu()?,
            began: Instant::now(),
        })
    }

    pub fn stop(self) -> Result<Cost> {
        let wall = self.began.elapsed().as_secs_f64();
        Ok(Cost {
            wall,
            cpu: machine_cpu()? - self.cpu,
            disk: disk_used(&self.disk)? - self.used,
        })
    }
}

fn machine_cpu() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().unwrap_or_default();
    let fields = line.split_whitespace().skip(1);
    let ticks: Vec<f64> = fields.map(str::parse).collect::<Result<_, _>>()?;
    // user, nice, system, then idle and iowait, then irq and softirq.
    let busy = [0, 1, 2, 5, 6].iter().filter_map(|at| ticks.get(*at));
    Ok(busy.sum::<f64>() / TICKS)
}

fn disk_used(folder: &Path) -> Result<f64> {
    let mut df = Command::new("df");
    let output = df.args(["-B1", "--output=used"]).arg(folder).output()?;
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().last().unwrap_or_default().trim().parse()?)
}

/// A program that ended.
pub struct Ended {
    pub stdout: String,
    pub stderr: String,
    /// Seconds from its start to its end.
    pub wall: f64,
    /// The clock when it was started and when it had ended (seconds since 1970).
    pub clocks: (f64, f64),
    /// The most memory that it held (bytes): `VmHWM` of proc(5).
    pub memory: f64,
}

/// Set when the user interrupts the benchmark.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Lets nothing begin any more.
pub fn interrupt() {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// Fails once the user has interrupted the benchmark.
pub fn go_on() -> Result<()> {
    let interrupted = INTERRUPTED.load(Ordering::Relaxed);
    (!interrupted).then_some(()).ok_or("interrupted".into())
}

/// Runs a program to its end.
///
/// # Errors
/// When it fails, with what it wrote to stderr.
pub fn run(mut command: Command) -> Result<Ended> {
    go_on()?;
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let (clock, began) = (now(), Instant::now());
    let mut child = command.spawn()?;
    let watch = Watch::start(child.id());
    let mut errors = child.stderr.take().ok_or("no stderr")?;
    let reading = std::thread::spawn(move || {
        let mut text = Vec::new();
        let _ = errors.read_to_end(&mut text);
        text
    });
    let mut stdout = String::new();
    let mut output = child.stdout.take().ok_or("no stdout")?;
    output.read_to_string(&mut stdout)?;
    let status = child.wait()?;
    let wall = began.elapsed().as_secs_f64();
    let clocks = (clock, now());
    let memory = watch.stop();
    let stderr = reading.join().unwrap_or_default();
    let stderr = String::from_utf8_lossy(&stderr).into_owned();
    if !status.success() {
        return Err(format!("{command:?} ended with {status}: {stderr}").into());
    }
    Ok(Ended {
        stdout,
        stderr,
        wall,
        clocks,
        memory,
    })
}

/// Seconds since 1970.
pub fn now() -> f64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

/// Looks at the memory of a process while it runs; that of one that ended is not told any more.
struct Watch {
    ended: Arc<AtomicBool>,
    most: Arc<Mutex<f64>>,
}

impl Watch {
    fn start(pid: u32) -> Self {
        let watch = Watch {
            ended: Arc::default(),
            most: Arc::default(),
        };
        let (ended, most) = (watch.ended.clone(), watch.most.clone());
        std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                if let (Some(bytes), Ok(mut most)) = (high_water(pid), most.lock()) {
                    *most = most.max(bytes);
                }
                std::thread::sleep(LOOK);
            }
        });
        watch
    }

    fn stop(self) -> f64 {
        self.ended.store(true, Ordering::Relaxed);
        self.most.lock().map(|most| *most).unwrap_or_default()
    }
}

fn high_water(pid: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024.0)
}
