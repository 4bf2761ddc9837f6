//! Parsers of values that are not enumerated. Each returns what it expected, for the error message.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::text::one_of;

/// A parser of what `parse` accepts; `expected` describes that.
pub fn expecting<T>(
    expected: &'static str,
    parse: fn(&str) -> Option<T>,
) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| parse(text).ok_or_else(|| format!("expected {expected}"))
}

/// A parser of whole numbers.
pub fn number<T: TryFrom<u64>>(
    range: RangeInclusive<u64>,
) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| match (range.start(), range.end()) {
                (min, &u64::MAX) => format!("expected a number from {min}"),
                (min, max) => format!("expected a number from {min} to {max}"),
            })
    }
}

/// Parses any text that is not empty.
pub fn text(text: &str) -> Result<String, String> {
    expecting("a value", |text| {
        (!text.is_empty()).then(|| text.to_owned())
    })(text)
}

/// Parses the network of a container. Another container's is refused: the engine does not combine it with
/// a host name.
pub fn own_network(network: &str) -> Result<String, String> {
    const NETWORKS: &str = "`bridge`, `host`, `none` or the name of a network; `container:NAME` is not \
                            supported, because the container has its own host name";
    expecting(NETWORKS, |network| {
        let is_own = !network.is_empty() && !network.starts_with("container:");
        is_own.then(|| network.to_owned())
    })(network)
}

/// Parses `true` or `false`, or a synonym.
pub fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err(format!("expected {}", one_of(&["true", "false"]))),
    }
}

/// Which host paths a repository's `volumes` may name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum HostPaths {
    /// None.
    #[default]
    Nothing,
    /// Any.
    Everything,
    /// These and everything below them.
    These(Vec<PathBuf>),
}

/// Parses whether host paths are allowed at all, as a flag or a variable says it.
pub fn host_paths(text: &str) -> Result<HostPaths, String> {
    switch(text).map(|all| {
        if all {
            HostPaths::Everything
        } else {
            HostPaths::Nothing
        }
    })
}

/// Parses the same, or a list of paths, as a line of the user configuration says it.
pub fn listed_host_paths(text: &str, home: Option<&Path>) -> Result<HostPaths, String> {
    host_paths(text).or_else(|expected| {
        let paths = text.split_whitespace().map(|path| absolute(path, home));
        match paths.collect() {
            Ok(paths) => Ok(HostPaths::These(paths)),
            Err(_) => Err(format!("{expected}, or absolute paths")),
        }
    })
}

/// Parses a path in the user configuration. A relative one would mean another file in each directory.
pub fn absolute(text: &str, home: Option<&Path>) -> Result<PathBuf, String> {
    match (text.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => Ok(home.join(rest)),
        (None, _) if text.starts_with('/') => Ok(text.into()),
        _ => Err("expected an absolute path or one that begins with `~/`".to_owned()),
    }
}

/// Parses `12h`, `3d`, `2w`: a number and a unit.
pub fn age(text: &str) -> Result<Duration, String> {
    const UNITS: [(char, u64); 5] = [
        ('s', 1),
        ('m', 60),
        ('h', 3600),
        ('d', 86_400),
        ('w', 7 * 86_400),
    ];
    let read = || {
        let unit = text.chars().last()?;
        let (_, seconds) = UNITS.iter().find(|(name, _)| *name == unit)?;
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(*seconds).map(Duration::from_secs)
    };
    read().ok_or_else(|| "expected a number and a unit: 30m, 12h, 3d or 2w".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_a_number_and_a_unit() {
        assert_eq!(age("12h"), Ok(Duration::from_secs(12 * 3600)));
        assert_eq!(age("2w"), Ok(Duration::from_secs(14 * 86_400)));
        for text in [
            "",
            "3",
            "d",
            "-1d",
            "1.5d",
            "3 d",
            "1y",
            "1ü",
            "99999999999999999999w",
        ] {
            assert!(age(text).is_err(), "{text}");
        }
    }
}
