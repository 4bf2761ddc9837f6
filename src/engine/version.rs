//! Which version of the Docker API is spoken with an engine (pure).

use std::fmt;

use crate::error::{Error, Result};

/// A version of the Docker API, e.g. 1.41. Ordered as versions are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiVersion {
    /// The first number.
    pub major: u16,
    /// The second number.
    pub minor: u16,
}

/// The oldest version that dkr speaks: that of Engine 20.10, the first whose BuildKit can do what
/// a bake needs.
pub const OLDEST: ApiVersion = ApiVersion {
    major: 1,
    minor: 41,
};

/// The newest version that dkr knows: that of Engine 28.3 and later ones of 28. Newer engines
/// still speak it.
pub const NEWEST: ApiVersion = ApiVersion {
    major: 1,
    minor: 51,
};

impl ApiVersion {
    /// Reads `1.41`.
    pub fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once('.')?;
        Some(ApiVersion {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
        })
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// What an engine is and how it is spoken with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versions {
    /// The engine's own version, e.g. `20.10.24`.
    pub engine: String,
    /// The version of the API in which dkr and the engine speak.
    pub api: ApiVersion,
}

/// Chooses the newest version that both sides know, from what the engine says of itself: its own
/// version, its newest and its oldest API version.
///
/// # Errors
/// When there is none; the message says both sides' versions.
pub fn negotiate(engine: &str, newest: Option<&str>, oldest: Option<&str>) -> Result<Versions> {
    let attempt = format!("cannot speak with Docker Engine {engine}");
    let Some(theirs) = newest.and_then(ApiVersion::parse) else {
        let said = newest.unwrap_or_default();
        return Err(Error::failed(attempt)
            .cause(format!("it says that its API version is `{said}`"))
            .hint("`DOCKER_HOST` must name a Docker Engine"));
    };
    if theirs < OLDEST {
        return Err(Error::failed(attempt)
            .cause(format!(
                "its API version is {theirs}, dkr needs {OLDEST} (Engine 20.10)"
            ))
            .hint("update the engine, or name another one with `DOCKER_HOST`"));
    }
    let least = oldest.and_then(ApiVersion::parse).unwrap_or(OLDEST);
    if least > NEWEST {
        return Err(Error::failed(attempt)
            .cause(format!(
                "its oldest API version is {least}, the newest that dkr knows {NEWEST}"
            ))
            .hint("update dkr, or name another engine with `DOCKER_HOST`"));
    }
    Ok(Versions {
        engine: engine.to_owned(),
        api: theirs.min(NEWEST),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_common_version_is_spoken() {
        let api = |newest, oldest| {
            negotiate("e", Some(newest), oldest)
                .unwrap()
                .api
                .to_string()
        };
        assert_eq!(api("1.41", Some("1.12")), "1.41");
        assert_eq!(api("1.47", Some("1.24")), "1.47");
        assert_eq!(api("1.51", None), "1.51");
        assert_eq!(api("1.53", Some("1.44")), "1.51");
        assert_eq!(api("2.0", Some("1.44")), "1.51");
    }

    #[test]
    fn an_engine_outside_of_the_range_is_told_with_both_versions() {
        let old = negotiate("19.03.15", Some("1.40"), Some("1.12"))
            .unwrap_err()
            .to_string();
        for part in [
            "Docker Engine 19.03.15",
            "version is 1.40",
            "1.41 (Engine 20.10)",
        ] {
            assert!(old.contains(part), "{old}");
        }
        let far = negotiate("40.0", Some("1.80"), Some("1.60"))
            .unwrap_err()
            .to_string();
        assert!(
            far.contains("oldest API version is 1.60") && far.contains("1.51"),
            "{far}"
        );
    }

    #[test]
    fn what_is_no_engine_is_told() {
        for newest in [None, Some(""), Some("1"), Some("x.y"), Some("1.99999999")] {
            assert!(negotiate("", newest, None).is_err());
        }
    }
}
