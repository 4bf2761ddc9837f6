//! Negotiates the version of the Docker API with an engine (pure).

use std::fmt;

use crate::error::{Error, Result};

/// A version of the Docker API, e.g. 1.41. Ordered by its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiVersion {
    pub major: u16,
    pub minor: u16,
}

/// The oldest version that dkr supports: that of Engine 20.10, the first whose BuildKit can bake an
/// image.
pub const OLDEST: ApiVersion = ApiVersion {
    major: 1,
    minor: 41,
};

/// The newest version that dkr supports: that of Engine 28.3 and later ones of 28. Newer engines
/// support it, too.
pub const NEWEST: ApiVersion = ApiVersion {
    major: 1,
    minor: 51,
};

impl ApiVersion {
    /// Parses `1.41`.
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

/// The versions of an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versions {
    /// The engine's own version, e.g. `20.10.24`.
    pub engine: String,
    /// The negotiated version of the API.
    pub api: ApiVersion,
}

/// Chooses the newest version that both sides support, from the engine's own version, and its newest and
/// oldest API version.
///
/// # Errors
/// When there is none; the message names the versions of both sides.
pub fn negotiate(engine: &str, newest: Option<&str>, oldest: Option<&str>) -> Result<Versions> {
    let attempt = format!("cannot use Docker Engine {engine}");
    let Some(theirs) = newest.and_then(ApiVersion::parse) else {
        let said = newest.unwrap_or_default();
        return Err(Error::failed(attempt)
            .cause(format!("its API version `{said}` is invalid"))
            .hint("`DOCKER_HOST` must be the address of a Docker Engine"));
    };
    if theirs < OLDEST {
        return Err(Error::failed(attempt)
            .cause(format!(
                "its API version is {theirs}, but dkr needs at least {OLDEST} (Engine 20.10)"
            ))
            .hint("update the engine, or name another one with `DOCKER_HOST`"));
    }
    let least = oldest.and_then(ApiVersion::parse).unwrap_or(OLDEST);
    if least > NEWEST {
        return Err(Error::failed(attempt)
            .cause(format!(
                "its oldest API version is {least}, but the newest that dkr supports is {NEWEST}"
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
