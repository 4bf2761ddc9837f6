//! The process environment as a value, so that code that reads it can be tested.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// A copy of environment variables.
#[derive(Debug, Clone, Default)]
pub struct Env(BTreeMap<OsString, OsString>);

impl Env {
    /// The environment of this process.
    pub fn of_process() -> Self {
        Env(std::env::vars_os().collect())
    }

    /// The value of `name`, if it is set, not empty and valid UTF-8.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.os(name).and_then(OsStr::to_str)
    }

    /// The value of `name` as a path, if it is set and not empty.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.os(name).map(PathBuf::from)
    }

    /// The user's home directory (`HOME`).
    pub fn home(&self) -> Option<PathBuf> {
        self.path("HOME")
    }

    /// The directory for state that outlives a command: `$XDG_STATE_HOME/dkr`, by default in
    /// `~/.local/state`.
    pub fn state_dir(&self) -> Option<PathBuf> {
        self.own_dir("XDG_STATE_HOME", ".local/state")
    }

    /// The directory for what can be recreated: `$XDG_CACHE_HOME/dkr`, by default in `~/.cache`.
    pub fn cache_dir(&self) -> Option<PathBuf> {
        self.own_dir("XDG_CACHE_HOME", ".cache")
    }

    /// Ignores relative paths, as the XDG Base Directory Specification requires.
    fn own_dir(&self, variable: &str, default: &str) -> Option<PathBuf> {
        let named = self.path(variable).filter(|path| path.is_absolute());
        let home = self.home().filter(|path| path.is_absolute());
        let base = named.or_else(|| home.map(|home| home.join(default)));
        base.map(|base| base.join("dkr"))
    }

    fn os(&self, name: &str) -> Option<&OsStr> {
        let value = self.0.get(OsStr::new(name))?;
        (!value.is_empty()).then_some(value.as_os_str())
    }
}

impl<K: Into<OsString>, V: Into<OsString>> FromIterator<(K, V)> for Env {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        let pairs = variables.into_iter();
        Env(pairs.map(|(k, v)| (k.into(), v.into())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_counts_as_unset() {
        let env = Env::from_iter([("A", "1"), ("B", "")]);
        assert_eq!(env.get("A"), Some("1"));
        assert_eq!(env.get("B"), None);
        assert_eq!(env.home(), None);
    }

    #[test]
    fn own_directories_are_where_the_specification_has_them() {
        let folders = |variables: &[(&str, &str)]| {
            let env = Env::from_iter(variables.iter().copied());
            (env.state_dir(), env.cache_dir())
        };
        let at = |path: &str| Some(PathBuf::from(path));
        let home = ("HOME", "/home/me");
        let own = (at("/home/me/.local/state/dkr"), at("/home/me/.cache/dkr"));
        assert_eq!(folders(&[home]), own);
        assert_eq!(folders(&[home, ("XDG_CACHE_HOME", "relative")]), own);
        let named = [("XDG_STATE_HOME", "/s"), ("XDG_CACHE_HOME", "/c")];
        assert_eq!(folders(&named), (at("/s/dkr"), at("/c/dkr")));
        assert_eq!(folders(&[("HOME", "x")]), (None, None));
    }
}
