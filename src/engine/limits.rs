//! Resource limits of a container, with the syntax of `docker run` (pure).

use bollard::models::DeviceRequest;

use crate::error::{Error, Reason};

/// The limits of a container; `None` is unlimited.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// CPUs, in billionths.
    pub nano_cpus: Option<i64>,
    /// Memory, in bytes.
    pub memory: Option<i64>,
    /// The number of processes and threads.
    pub pids: Option<i64>,
    /// The GPUs it may use.
    pub gpus: Option<Gpus>,
}

/// A selection of GPUs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gpus {
    /// All.
    All,
    /// This many.
    Count(i64),
    /// Those with these ids.
    Devices(Vec<String>),
}

impl Gpus {
    /// What [`Gpus::parse`] accepts.
    pub const EXPECTED: &str = "`all`, a number, or `device=ID`";

    /// Parses `all`, a number, or `device=ID,ID`.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "all" {
            return Some(Gpus::All);
        }
        if let Some(ids) = text.strip_prefix("device=") {
            let ids: Vec<String> = ids.split(',').map(str::to_owned).collect();
            return (ids.iter().all(|id| !id.is_empty())).then_some(Gpus::Devices(ids));
        }
        text.parse()
            .ok()
            .filter(|count| *count > 0)
            .map(Gpus::Count)
    }

    /// The form that the engine takes; a count of -1 means all of them.
    pub(super) fn request(&self) -> DeviceRequest {
        let (count, ids) = match self {
            Gpus::All => (Some(-1), None),
            Gpus::Count(count) => (Some(*count), None),
            Gpus::Devices(ids) => (None, Some(ids.clone())),
        };
        DeviceRequest {
            count,
            device_ids: ids,
            capabilities: Some(vec![vec!["gpu".to_owned()]]),
            ..Default::default()
        }
    }
}

/// Adds a hint to the engine's refusal to start a container, if GPUs are the reason.
pub(super) fn explained(refusal: Error) -> Error {
    match refusal.reason {
        Some(Reason::NoGpuDriver) => refusal.hint(
            "install the NVIDIA Container Toolkit on the engine's machine, or omit `--gpus` \
             (setting `gpus`)",
        ),
        _ => refusal,
    }
}

/// What [`parse_cpus`] accepts; the engine's own minimum.
pub const CPUS: &str = "a number of at least 0.01, such as `1.5`";
/// What [`parse_memory`] accepts; the engine's own minimum.
pub const MEMORY: &str = "a size of at least 6m, such as `512m` or `8g`";
/// What [`parse_pids`] accepts.
pub const PIDS: &str = "a number, or -1 for no limit";

/// Parses a number of CPUs as billionths.
pub fn parse_cpus(text: &str) -> Option<i64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > 9 || whole.len() + part.len() == 0 {
        return None;
    }
    let whole: i64 = format!("0{whole}").parse().ok()?;
    let part: i64 = format!("{part:0<9}").parse().ok()?;
    let nano = whole.checked_mul(1_000_000_000)?.checked_add(part)?;
    (nano >= 10_000_000).then_some(nano)
}

/// Parses a number of bytes, optionally with the suffix `k`, `m`, `g` or `t`.
pub fn parse_memory(text: &str) -> Option<i64> {
    let lower = text.to_ascii_lowercase();
    let lower = lower.strip_suffix('b').unwrap_or(&lower);
    let units = [('k', 10), ('m', 20), ('g', 30), ('t', 40)];
    let unit = units.iter().find(|(unit, _)| lower.ends_with(*unit));
    let number = unit.map_or(Some(lower), |(unit, _)| lower.strip_suffix(*unit))?;
    if !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let factor = 1_i64 << unit.map_or(0, |(_, shift)| *shift);
    let bytes = number.parse::<i64>().ok()?.checked_mul(factor)?;
    (bytes >= 6 << 20).then_some(bytes)
}

/// Parses a number of processes.
pub fn parse_pids(text: &str) -> Option<i64> {
    let count = text.parse().ok()?;
    matches!(count, -1 | 1..).then_some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_docker_reads_them() {
        assert_eq!(parse_cpus("1.5"), Some(1_500_000_000));
        assert_eq!(parse_cpus(".5"), Some(500_000_000));
        assert_eq!(parse_cpus("16"), Some(16_000_000_000));
        assert_eq!(parse_memory("512m"), Some(512 << 20));
        assert_eq!(parse_memory("8G"), Some(8 << 30));
        assert_eq!(parse_memory("8gb"), Some(8 << 30));
        assert_eq!(parse_memory("6291456"), Some(6 << 20));
        assert_eq!(parse_pids("-1"), Some(-1));
        assert_eq!(Gpus::parse("all"), Some(Gpus::All));
        assert_eq!(Gpus::parse("2"), Some(Gpus::Count(2)));
        let two = Gpus::Devices(vec!["0".to_owned(), "GPU-3a".to_owned()]);
        assert_eq!(Gpus::parse("device=0,GPU-3a"), Some(two));
    }

    #[test]
    fn what_is_no_limit_is_refused() {
        for text in [
            "",
            "0",
            "-1",
            "1e3",
            "1.0000000001",
            "x",
            "99999999999",
            ".",
        ] {
            assert!(parse_cpus(text).is_none(), "{text}");
        }
        for text in ["", "g", "1", "-5m", "1.5g", "5mm", "99999999999t"] {
            assert!(parse_memory(text).is_none(), "{text}");
        }
        for text in ["", "0", "-2", "x"] {
            assert!(parse_pids(text).is_none(), "{text}");
        }
        for text in ["", "0", "device=", "device=a,,b", "some"] {
            assert!(Gpus::parse(text).is_none(), "{text}");
        }
    }
}
