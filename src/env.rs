//! The process environment as a value, so that whatever reads it can be tested.

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

    /// Where dkr keeps what outlives a command: `$XDG_STATE_HOME/dkr`, by default in `~/.local/state`
    /// (XDG Base Directory Specification, which says that relative paths are to be ignored).
    pub fn state_dir(&self) -> Option<PathBuf> {
        let named = self
            .path("XDG_STATE_HOME")
            .filter(|path| path.is_absolute());
        let home = self.home().filter(|path| path.is_absolute());
        let state = named.or_else(|| home.map(|home| home.join(".local/state")));
        state.map(|state| state.join("dkr"))
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
    fn the_state_is_below_an_absolute_path() {
        let state = |pairs: &[(&str, &str)]| Env::from_iter(pairs.iter().copied()).state_dir();
        let home = ("HOME", "/h");
        assert_eq!(
            state(&[("XDG_STATE_HOME", "/s"), home]),
            Some("/s/dkr".into())
        );
        let below_home = Some("/h/.local/state/dkr".into());
        assert_eq!(state(&[("XDG_STATE_HOME", "s"), home]), below_home);
        assert_eq!(state(&[("HOME", "h")]), None);
    }
}
