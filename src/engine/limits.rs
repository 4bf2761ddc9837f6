//! What a container may use of the machine, in the words of `docker run` (pure).

use bollard::models::DeviceRequest;

use crate::error::{Error, Reason};

/// The limits of a container; what is not said is not limited.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// Billionths of a processor's time.
    pub nano_cpus: Option<i64>,
    /// Bytes of memory.
    pub memory: Option<i64>,
    /// Processes and threads.
    pub pids: Option<i64>,
    /// Which graphics processors it has.
    pub gpus: Option<Gpus>,
}

/// Graphics processors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gpus {
    /// All.
    All,
    /// So many.
    Count(i64),
    /// Those with these ids.
    Devices(Vec<String>),
}

impl Gpus {
    /// What [`Gpus::parse`] reads.
    pub const EXPECTED: &str = "`all`, a number, or `device=ID`";

    /// Reads `all`, a number, or `device=ID,ID`.
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

    /// As the engine takes it; a count of -1 is all of them.
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

/// The engine's refusal to start a container, with what helps if it has no graphics processors.
pub(super) fn explained(refusal: Error) -> Error {
    match refusal.reason {
        Some(Reason::NoGpuDriver) => refusal.hint(
            "`--gpus` needs the NVIDIA Container Toolkit on the engine's machine: install it, or \
             leave `--gpus` (the setting `gpus`) out",
        ),
        _ => refusal,
    }
}

/// What [`parse_cpus`] reads; an engine takes no less.
pub const CPUS: &str = "a number from 0.01, such as `1.5`";
/// What [`parse_memory`] reads; an engine takes no less.
pub const MEMORY: &str = "an amount from 6m, such as `512m` or `8g`";
/// What [`parse_pids`] reads.
pub const PIDS: &str = "a number, or -1 for no limit";

/// Reads a number of processors as billionths.
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

/// Reads a number of bytes, or one with `k`, `m`, `g` or `t` behind it.
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

/// Reads a number of processes.
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
