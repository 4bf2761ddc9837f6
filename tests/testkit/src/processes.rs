//! Processes in `/proc`: the descendants of a process, and those that mention a folder.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::wait_until;

/// The processes that descend from process `pid`, without it.
pub fn descendants(pid: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = all().filter_map(|p| Some((p, parent(p)?))).collect();
    let mut found = vec![pid];
    let mut next = 0;
    while next < found.len() {
        let above = found[next];
        found.extend(parents.iter().filter(|(_, p)| *p == above).map(|(c, _)| c));
        next += 1;
    }
    found.split_off(1)
}

/// The processes whose command line, environment or working directory names `folder`, described
/// for a person.
pub fn mentioning(folder: &Path) -> Vec<(u32, String)> {
    let needle = folder.as_os_str().as_encoded_bytes();
    let mentions = |bytes: &[u8]| bytes.windows(needle.len()).any(|part| part == needle);
    all()
        .filter(|pid| *pid != std::process::id() && is_alive(*pid))
        .filter_map(|pid| {
            let read = |name| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
            let command = read("cmdline");
            let here = fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
            let found =
                mentions(&command) || mentions(&read("environ")) || here.starts_with(folder);
            let words = String::from_utf8_lossy(&command).replace('\0', " ");
            found.then(|| (pid, format!("process {pid}: {words}")))
        })
        .collect()
}

/// Sends `signal` to a process, which may have exited.
pub fn send(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// Terminates processes, and kills them after `grace`.
pub fn end(pids: &[u32], grace: Duration) {
    pids.iter().for_each(|pid| send(*pid, Signal::TERM));
    if !wait_until(grace, || !pids.iter().any(|pid| is_alive(*pid))) {
        pids.iter().for_each(|pid| send(*pid, Signal::KILL));
        wait_until(Duration::from_secs(5), || {
            !pids.iter().any(|pid| is_alive(*pid))
        });
    }
}

/// Whether a process exists and is not a zombie.
pub fn is_alive(pid: u32) -> bool {
    status_field(pid, 0).is_some_and(|state| state != "Z" && state != "X")
}

fn all() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").expect("/proc is there");
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

fn parent(pid: u32) -> Option<u32> {
    status_field(pid, 1)?.parse().ok()
}

/// A field of `/proc/PID/stat` after the command's name, which may contain spaces and parentheses.
fn status_field(pid: u32, index: usize) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    fields.split_whitespace().nth(index).map(str::to_owned)
}
