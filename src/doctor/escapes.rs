//! Versions of the engine's components with known container or build escapes (pure).

use super::Check;
use crate::git::GitVersion;

/// The oldest git that runs no code of a malicious repository when it clones it.
pub const SAFE_GIT: GitVersion = GitVersion {
    major: 2,
    minor: 45,
    patch: 1,
};
/// The vulnerabilities that it fixed.
pub const GIT: &str = "CVE-2024-32002 and others, before 2.45.1";

/// runc: fixed in 1.2.8, 1.3.3 and 1.4.0-rc.3.
const RUNC: &str = "CVE-2025-31133, CVE-2025-52565 and CVE-2025-52881, before 1.2.8 and 1.3.3";
/// BuildKit: fixed in 0.12.5, which Engine 24.0.9 and 25.0.2 have.
const BUILDKIT: &str = "CVE-2024-23651, CVE-2024-23652 and CVE-2024-23653, before BuildKit 0.12.5";
const HINT: &str = "update it; a distribution may have backported the fix under the same version";

/// The first three numbers of a version, and the number of its release candidate, if it is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    numbers: (u32, u32, u32),
    candidate: Option<u32>,
}

impl Version {
    /// Reads `1.1.5+ds1`, `v28.5.2`, `1.4.0-rc.2`.
    fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.'));
        let (numbers, rest) = text.split_at(end.unwrap_or(text.len()));
        let mut numbers = numbers.split('.').map(str::parse);
        let mut next = || numbers.next().unwrap_or(Ok(0)).ok();
        let numbers = (next()?, next()?, next()?);
        let candidate = rest.strip_prefix("-rc.").or(rest.strip_prefix("-rc"));
        let candidate = candidate.and_then(|rest| {
            let digits = rest
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(rest.len());
            rest[..digits].parse().ok()
        });
        Some(Version { numbers, candidate })
    }
}

/// Checks the versions of the engine and of its components.
pub fn check(engine: &str, components: &[(String, String)]) -> Vec<Check> {
    let mut checks = Vec::new();
    if let Some(version) = Version::parse(engine) {
        if version.numbers < (28, 5, 2) {
            let found = format!(
                "Docker Engine {engine} is older than 28.5.2, which fixed container escapes"
            );
            checks.push(Check::warn("escapes", found, HINT));
        }
        let fixed = version.numbers >= (25, 0, 2)
            || (version.numbers >= (24, 0, 9) && version.numbers < (25, 0, 0));
        if !fixed {
            let found = format!(
                "BuildKit of Docker Engine {engine} is vulnerable to build escape ({BUILDKIT})"
            );
            checks.push(Check::warn("escapes", found, HINT));
        }
    }
    let runc = components.iter().find(|(name, _)| name == "runc");
    if let Some((_, text)) = runc
        && Version::parse(text).is_some_and(is_old_runc)
    {
        let found = format!("runc {text} is vulnerable to container escape ({RUNC})");
        checks.push(Check::warn("escapes", found, HINT));
    }
    if checks.is_empty() {
        checks.push(Check::ok("escapes", "none known in these versions"));
    }
    checks
}

fn is_old_runc(version: Version) -> bool {
    match version.numbers {
        (1, 4, 0) => version.candidate.is_some_and(|candidate| candidate < 3),
        (1, 3, patch) => patch < 3,
        numbers => numbers < (1, 2, 8),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    #[test]
    fn versions_are_read_as_they_are_printed() {
        let read = |text| Version::parse(text).map(|version| (version.numbers, version.candidate));
        assert_eq!(read("1.1.5+ds1"), Some(((1, 1, 5), None)));
        assert_eq!(read("v28.5.2"), Some(((28, 5, 2), None)));
        assert_eq!(read("20.10.24+dfsg1"), Some(((20, 10, 24), None)));
        assert_eq!(read("1.4.0-rc.2+dev"), Some(((1, 4, 0), Some(2))));
        assert_eq!(read("27.0"), Some(((27, 0, 0), None)));
        assert_eq!(read("dev"), None);
        assert_eq!(read(""), None);
    }

    #[test]
    fn each_part_is_judged_by_its_own_version() {
        let found = |engine, runc: &str| {
            let components = [("runc".to_owned(), runc.to_owned())];
            let checks = check(engine, &components).into_iter();
            let warned = checks.filter(|check| check.status == Status::Warn);
            warned.map(|check| check.message).collect::<Vec<_>>()
        };
        for runc in ["1.2.8", "1.3.3", "1.4.0-rc.3", "1.4.0", "2.0.0", "unknown"] {
            assert_eq!(found("28.5.2", runc), [""; 0], "{runc}");
        }
        for runc in ["1.1.5+ds1", "1.2.7", "1.3.2", "1.4.0-rc.2", "1.0.0-rc93"] {
            assert!(found("29.0.0", runc)[0].contains(runc), "{runc}");
        }
        assert_eq!(found("28.5.1", "1.3.3").len(), 1);
        assert_eq!(found("25.0.2", "1.3.3").len(), 1);
        for engine in ["20.10.24+dfsg1", "24.0.8", "25.0.1"] {
            assert_eq!(found(engine, "1.3.3").len(), 2, "{engine}");
        }
        assert_eq!(found("24.0.9", "1.3.3").len(), 1);
    }
}
