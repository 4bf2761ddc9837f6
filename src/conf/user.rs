//! The user's own settings and where each comes from.
//!
//! Precedence: flag, `DKR_*` variable, `$XDG_CONFIG_HOME/dkr/dkr.conf`, default. Each setting is
//! declared once, in [`key`]; commands ask for it by [`Key`] with the flag they were given.
//! Nothing here comes from a repository.

mod key;
mod value;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

pub use key::{Key, Kind};
pub use value::{Allowance, Source, Valued};

use super::dkr_conf::Allow;
use super::lines::{File, assignment, decode, one_of, repeated, shown, unknown};
use crate::env::Env;
use crate::error::{Error, Result};

/// The user's settings: the environment and the user's configuration file.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    env: Env,
    path: PathBuf,
    file: BTreeMap<Key, (String, usize)>,
}

impl Settings {
    /// Reads the user's configuration; a file that does not exist sets nothing.
    ///
    /// # Errors
    /// If the file cannot be read, or a line of it is not a known key with a value it can have.
    pub fn load(env: &Env) -> Result<Self> {
        let Some(path) = path(env) else {
            return Self::parse(env, Path::new(""), b"");
        };
        match std::fs::read(&path) {
            Ok(bytes) => Self::parse(env, &path, &bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::parse(env, &path, b""),
            Err(error) => {
                let path = path.display();
                let message = format!("cannot read the user configuration `{path}`");
                Err(Error::failed(message).because(error))
            }
        }
    }

    /// The settings of `env` and of a configuration file `path` with the content `bytes`.
    ///
    /// # Errors
    /// As [`Settings::load`].
    pub fn parse(env: &Env, path: &Path, bytes: &[u8]) -> Result<Self> {
        let mut settings = Settings {
            env: env.clone(),
            path: path.to_owned(),
            file: BTreeMap::new(),
        };
        for (index, line) in decode(bytes, File::User)?.split('\n').enumerate() {
            let number = index + 1;
            let Some(pair) = assignment(line, number, File::User)? else {
                continue;
            };
            let place = format!("in {}, line {number}", File::User);
            let Some(key) = Key::of_name(&pair.key) else {
                let names: Vec<&str> = Key::ALL.iter().map(|key| key.name()).collect();
                return Err(unknown("key", &pair.key, &place, &names));
            };
            if let Some((_, first)) = settings.file.insert(key, (pair.value, number)) {
                return Err(repeated(key.name(), File::User, number, first));
            }
        }
        for key in settings.file.keys() {
            settings.check_line(*key)?;
        }
        Ok(settings)
    }

    /// The file that the settings were read from; it need not exist.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The value of any setting as text, unchecked, for listings.
    ///
    /// # Errors
    /// If its variable is not valid UTF-8.
    pub fn text(&self, key: Key, flag: Option<&str>) -> Result<Option<Valued<String>>> {
        if let Some(value) = flag {
            return Ok(Some(Valued {
                value: value.to_owned(),
                source: Source::Flag,
            }));
        }
        self.below_flag(key)
    }

    /// The value of any setting without a flag, checked, as text.
    ///
    /// # Errors
    /// If the setting has a value that it cannot have.
    pub fn effective(&self, key: Key) -> Result<Option<Valued<String>>> {
        if key.kind() == Kind::Path {
            let path = self.path_of(key, None)?;
            return Ok(path.map(|path| {
                let text = path.value.to_string_lossy().into_owned();
                path.with(text)
            }));
        }
        self.check(key)?;
        self.text(key, None)
    }

    fn below_flag(&self, key: Key) -> Result<Option<Valued<String>>> {
        let variable = key.variable();
        let valued = |value: &str, source| {
            let value = value.to_owned();
            Ok(Some(Valued { value, source }))
        };
        if let Some(value) = self.env.get(&variable) {
            return valued(value, Source::Variable);
        }
        if let Some(path) = self.env.path(&variable) {
            let value = path.to_string_lossy();
            return Err(invalid(key, &value, &Source::Variable, "text in UTF-8"));
        }
        match (self.line_of(key), key.default()) {
            (Some(value), _) => Ok(Some(value)),
            (None, Some(default)) => valued(default, Source::Default),
            (None, None) => Ok(None),
        }
    }

    fn line_of(&self, key: Key) -> Option<Valued<String>> {
        let (value, line) = self.file.get(&key)?;
        Some(Valued {
            value: value.clone(),
            source: Source::File {
                path: self.path.clone(),
                line: *line,
            },
        })
    }

    /// The value of a setting of kind [`Kind::Text`].
    ///
    /// # Errors
    /// If the value is empty.
    pub fn string(&self, key: Key, flag: Option<&str>) -> Result<Option<Valued<String>>> {
        let Some(found) = self.text(key, flag)? else {
            return Ok(None);
        };
        if found.value.is_empty() {
            return Err(invalid(key, "", &found.source, "a value"));
        }
        Ok(Some(found))
    }

    /// The value of a setting of kind [`Kind::Text`] as `parse` reads it, which expects what
    /// `expected` says.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn parsed<T>(
        &self,
        key: Key,
        flag: Option<&str>,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(found) = self.text(key, flag)? else {
            return Ok(None);
        };
        let value = parse(&found.value);
        let value = value.ok_or_else(|| invalid(key, &found.value, &found.source, expected));
        value.map(Some)
    }

    /// The value of a setting of kind [`Kind::Number`].
    ///
    /// # Errors
    /// If it is not a number in the setting's range.
    pub fn number(&self, key: Key, flag: Option<u64>) -> Result<Option<Valued<u64>>> {
        let Kind::Number { min, max } = key.kind() else {
            return Err(wrong_kind(key));
        };
        let flag = flag.map(|number| number.to_string());
        let Some(found) = self.text(key, flag.as_deref())? else {
            return Ok(None);
        };
        match found.value.parse() {
            Ok(number) if (min..=max).contains(&number) => Ok(Some(found.with(number))),
            _ => {
                let expected = match max {
                    u64::MAX => format!("a number from {min}"),
                    _ => format!("a number from {min} to {max}"),
                };
                Err(invalid(key, &found.value, &found.source, &expected))
            }
        }
    }

    /// The value of a setting of kind [`Kind::Flag`]; `flag` is whether it was given.
    ///
    /// # Errors
    /// If a variable or the file has anything but `true` or `false` (or 1, 0, yes, no, on, off).
    pub fn flag(&self, key: Key, flag: bool) -> Result<Valued<bool>> {
        let Some(found) = self.text(key, flag.then_some("true"))? else {
            return Ok(Valued {
                value: false,
                source: Source::Default,
            });
        };
        match switch(&found.value) {
            Some(value) => Ok(found.with(value)),
            None => Err(invalid(key, &found.value, &found.source, &one_of(SWITCH))),
        }
    }

    /// The value of a setting of kind [`Kind::Choice`], one of its words.
    ///
    /// # Errors
    /// If it is another word.
    pub fn choice(&self, key: Key, flag: Option<&str>) -> Result<Option<Valued<&'static str>>> {
        let Kind::Choice(words) = key.kind() else {
            return Err(wrong_kind(key));
        };
        let Some(found) = self.text(key, flag)? else {
            return Ok(None);
        };
        match words.iter().find(|word| **word == found.value) {
            Some(word) => Ok(Some(found.with(*word))),
            None => Err(invalid(key, &found.value, &found.source, &one_of(words))),
        }
    }

    /// The value of a setting of kind [`Kind::Path`]. In the file, `~/` is the home directory.
    ///
    /// # Errors
    /// If the file has a relative path, which would mean another file in each directory.
    pub fn path_of(&self, key: Key, flag: Option<&Path>) -> Result<Option<Valued<PathBuf>>> {
        // Paths of flags and variables need not be UTF-8, and the shell has expanded them.
        let given = flag.map(|path| (path.to_owned(), Source::Flag));
        let variable = || Some((self.env.path(&key.variable())?, Source::Variable));
        if let Some((value, source)) = given.or_else(variable) {
            return Ok(Some(Valued { value, source }));
        }
        let Some(found) = self.line_of(key) else {
            return Ok(None);
        };
        match self.absolute(&found.value) {
            Some(path) => Ok(Some(found.with(path))),
            None => Err(invalid(key, &found.value, &found.source, ABSOLUTE)),
        }
    }

    /// The value of a setting of kind [`Kind::Allowance`]; `flag` is whether it was given.
    ///
    /// # Errors
    /// If the file has neither `true`, `false` nor absolute paths, or the variable has anything
    /// but `true` or `false`.
    pub fn allowance(&self, key: Key, flag: bool) -> Result<Valued<Allowance>> {
        let Some(found) = self.text(key, flag.then_some("true"))? else {
            return Ok(Valued {
                value: Allowance::Nothing,
                source: Source::Default,
            });
        };
        let in_file = matches!(found.source, Source::File { .. });
        let paths = || {
            let paths = found.value.split_whitespace();
            paths.map(|path| self.absolute(path)).collect::<Option<_>>()
        };
        let value = match switch(&found.value) {
            Some(true) => Allowance::Everything,
            Some(false) => Allowance::Nothing,
            None => match in_file.then(paths).flatten() {
                Some(paths) => Allowance::Paths(paths),
                None => {
                    let mut expected = one_of(SWITCH);
                    if in_file {
                        expected.push_str(", or absolute paths");
                    }
                    return Err(invalid(key, &found.value, &found.source, &expected));
                }
            },
        };
        Ok(found.with(value))
    }

    /// What the user permits a repository's `.dkr.conf`; the arguments are whether
    /// `--allow-ssh-mounts` and `--allow-host-volumes` were given.
    ///
    /// # Errors
    /// If one of the two settings has a value that it cannot have.
    pub fn allow(&self, ssh_mounts: bool, host_volumes: bool) -> Result<Allow> {
        let ssh_mounts = self.flag(Key::AllowSshMounts, ssh_mounts)?.value;
        let host = self.allowance(Key::AllowHostVolumes, host_volumes)?.value;
        Ok(Allow {
            ssh_mounts,
            host_volumes: host == Allowance::Everything,
            host_paths: match host {
                Allowance::Paths(paths) => paths,
                Allowance::Nothing | Allowance::Everything => Vec::new(),
            },
        })
    }

    /// Checks a value of the file even if a variable stands above it: a mistake in it should
    /// not wait for the day that the variable is gone.
    fn check_line(&self, key: Key) -> Result<()> {
        let file_only = Settings {
            env: self
                .env
                .path("HOME")
                .map(|home| ("HOME", home))
                .into_iter()
                .collect(),
            ..self.clone()
        };
        file_only.check(key)
    }

    fn check(&self, key: Key) -> Result<()> {
        match key.kind() {
            Kind::Text => self.string(key, None).map(drop),
            Kind::Number { .. } => self.number(key, None).map(drop),
            Kind::Flag => self.flag(key, false).map(drop),
            Kind::Choice(_) => self.choice(key, None).map(drop),
            Kind::Path => self.path_of(key, None).map(drop),
            Kind::Allowance => self.allowance(key, false).map(drop),
        }
    }

    fn absolute(&self, path: &str) -> Option<PathBuf> {
        match path.strip_prefix("~/") {
            Some(rest) => Some(self.env.home()?.join(rest)),
            None => path.starts_with('/').then(|| PathBuf::from(path)),
        }
    }
}

const ABSOLUTE: &str = "an absolute path or one that begins with `~/`";
const SWITCH: &[&str] = &["true", "false"];

fn switch(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// The user's configuration file. A relative `XDG_CONFIG_HOME` is ignored, as the XDG Base
/// Directory Specification demands.
fn path(env: &Env) -> Option<PathBuf> {
    let xdg = env
        .path("XDG_CONFIG_HOME")
        .filter(|path| path.is_absolute());
    let directory = xdg.or_else(|| Some(env.home()?.join(".config")))?;
    Some(directory.join("dkr/dkr.conf"))
}

fn invalid(key: Key, value: &str, source: &Source, expected: &str) -> Error {
    let name = key.name();
    let whose = match source {
        Source::Flag => format!("`{}`", key.flag()),
        Source::Variable => format!("`{name}` in the variable `{}`", key.variable()),
        Source::File { line, .. } => format!("`{name}` in {}, line {line}", File::User),
        Source::Default => format!("`{name}`"),
    };
    let value = shown(value);
    Error::usage(format!(
        "invalid value `{value}` for {whose}: expected {expected}"
    ))
}

fn wrong_kind(key: Key) -> Error {
    Error::bug(format!(
        "`{}` is not read as the kind it is declared as",
        key.name()
    ))
}

#[cfg(test)]
mod tests;
