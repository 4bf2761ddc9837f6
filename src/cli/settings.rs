//! The user's settings: `DKR_*` variables and the lines of the user configuration.
//!
//! A setting is an argument of the command line that [`SETTINGS`] names. Before the command line is
//! parsed, its default is replaced by its variable, or else by its line. So clap parses all of them the
//! same way, and a flag wins. clap's own `env` is not used: it treats a variable like a flag, so that
//! `--rm` would conflict with `DKR_KEEP`, and an empty variable like a value.
//!
//! Nothing here comes from a repository.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind as Fault};
use clap::{Arg, ArgMatches, Args, Command};

use super::user_file::{self, Line};
use super::values::{absolute, listed_host_paths, number};
use crate::env::Env;
use crate::error::{Error, Result, suggestion};
use crate::text::{one_of, shown};

/// Every setting and its purpose, in the order in which `show-config` lists them. The name determines flag
/// and variable: `ssh_port` is `--ssh-port` and `DKR_SSH_PORT`.
#[rustfmt::skip]
pub const SETTINGS: [(&str, &str); 23] = [
    ("ssh_key", "private key for the host's SSH server"),
    ("ssh_user", "user on the host's SSH server"),
    ("ssh_host", "address of the host's SSH server, as seen from a build"),
    ("ssh_port", "port of the host's SSH server"),
    ("ssh_passphrase_file", "file with the private key's passphrase"),
    ("progress", "how to show progress"),
    ("dry_run", "show what would be built or removed, without doing it"),
    ("no_cache", "build without the engine's build cache"),
    ("allow_ssh_mounts", "allow `--mount=type=ssh` and `secret` in `.dkr.conf`"),
    ("allow_host_volumes", "allow host paths in `volumes` of `.dkr.conf`"),
    ("max_behind", "commits that an image may be behind before it is stale"),
    ("stale", "what to do with a stale image"),
    ("drift", "what to do if a change of `.dkr.conf` needs a rebuild"),
    ("network", "network of a container"),
    ("transport", "how a build or a container reaches the repository"),
    ("clone", "how a build copies the repository"),
    ("build_network", "network of the build steps"),
    ("cpus", "CPUs that a container may use"),
    ("memory", "memory that a container may use"),
    ("pids_limit", "processes that a container may have"),
    ("gpus", "GPUs that a container may use"),
    ("keep", "whether to keep a container that has ended"),
    ("container_timeout", "seconds to wait for an answer from a container"),
];

/// Settings whose values are paths, which need not be UTF-8.
const PATHS: [&str; 2] = ["ssh_key", "ssh_passphrase_file"];

/// The setting that has no flag.
#[derive(Debug, Args)]
struct ContainerTimeout {
    #[arg(long, default_value = "60", value_parser = number::<u64>(1..=86_400))]
    container_timeout: u64,
}

/// Where the value of a setting comes from, if no flag gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Its variable.
    Variable,
    /// The line of the user configuration with this number, counted from 1.
    Line(usize),
    /// Nothing sets it.
    Default,
}

/// A setting as `show-config` shows it.
#[derive(Debug)]
pub struct Setting {
    /// Its name in the user configuration.
    pub key: &'static str,
    /// Its value; `None` if that depends on other things.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: Source,
    /// Its purpose.
    pub about: &'static str,
}

/// The environment and the user configuration.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The arguments that declare the settings.
    declared: Command,
    env: Env,
    path: PathBuf,
    /// The values that the file sets, with their lines.
    lines: BTreeMap<&'static str, (OsString, usize)>,
}

impl Settings {
    /// Reads the user configuration for the command line `whole`; a file that does not exist sets
    /// nothing.
    ///
    /// # Errors
    /// If the file cannot be read, or a line is not a known key with a valid value.
    pub fn load(whole: &Command, env: &Env) -> Result<Self> {
        let path = path(env).unwrap_or_default();
        match std::fs::read(&path) {
            Ok(bytes) => Self::parse(whole, env, &path, &bytes),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Self::parse(whole, env, &path, b"")
            }
            Err(error) => {
                let path = path.display();
                let message = format!("cannot read the user configuration `{path}`");
                Err(Error::failed(message).source(error))
            }
        }
    }

    /// The settings of `env` and of a configuration file `path` with the content `bytes`.
    ///
    /// # Errors
    /// As [`Settings::load`].
    pub fn parse(whole: &Command, env: &Env, path: &Path, bytes: &[u8]) -> Result<Self> {
        let home = env.home();
        let mut lines: BTreeMap<_, (OsString, usize)> = BTreeMap::new();
        for line in user_file::lines(bytes)? {
            let number = line.number;
            let key = known(&line)?;
            // Unlike on a command line, paths relative to the current directory are not allowed here.
            let value = if PATHS.contains(&key) {
                absolute(&line.value, home.as_deref())
                    .map_err(|expected| invalid(&line.value, &whose_line(key, number), &expected))?
                    .into()
            } else {
                line.value.into()
            };
            if let Some((_, first)) = lines.insert(key, (value, number)) {
                return Err(Error::usage(format!(
                    "duplicate key `{key}` in the user configuration, line {number} (first on line \
                     {first})"
                )));
            }
        }
        // Checks values that a variable overrides, too: a mistake should not appear only once it is unset.
        let file_alone = Settings {
            declared: declared(whole),
            env: home.map(|home| ("HOME", home)).into_iter().collect(),
            path: path.to_owned(),
            lines,
        };
        file_alone.read(file_alone.declared.clone())?;
        Ok(Settings {
            env: env.clone(),
            ..file_alone
        })
    }

    /// The settings of `env` alone.
    pub fn of_variables(whole: &Command, env: &Env) -> Self {
        Settings {
            declared: declared(whole),
            env: env.clone(),
            ..Settings::default()
        }
    }

    /// The file of the user configuration; it need not exist.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every setting.
    ///
    /// # Errors
    /// If one of them has an invalid value.
    pub fn all(&self) -> Result<Vec<Setting>> {
        let matches = self.read(self.declared.clone())?;
        let value = |key| {
            let value = matches.get_raw(key)?.next()?;
            Some(value.to_string_lossy().into_owned())
        };
        let setting = |(key, about)| Setting {
            key,
            value: value(key),
            source: self.set(key).map_or(Source::Default, |(_, source)| source),
            about,
        };
        Ok(SETTINGS.map(setting).into())
    }

    /// How long to wait for an answer from a container.
    ///
    /// # Errors
    /// If the setting has an invalid value.
    pub fn container_timeout(&self) -> Result<Duration> {
        let read = self.without_flags::<ContainerTimeout>()?;
        Ok(Duration::from_secs(read.container_timeout))
    }

    /// Arguments as a command line without any flag would set them, for a command that lacks these flags.
    ///
    /// # Errors
    /// If one of them has an invalid value.
    pub fn without_flags<A: Args>(&self) -> Result<A> {
        let mut matches = self.read(A::augment_args(Command::new("dkr")))?;
        A::from_arg_matches_mut(&mut matches).map_err(|e| unexpected(&e))
    }

    fn read(&self, command: Command) -> Result<ArgMatches> {
        let command = self.as_defaults(command).no_binary_name(true);
        command
            .try_get_matches_from([""; 0])
            .map_err(|e| self.explain(&e).unwrap_or_else(|| unexpected(&e)))
    }

    /// `command` with the values of variables and the file as the defaults of its arguments.
    pub fn as_defaults(&self, command: Command) -> Command {
        let command = command.mut_args(|arg| match self.set(arg.get_id().as_str()) {
            Some((value, Source::Line(_))) => self.as_line(arg).default_value(value),
            Some((value, _)) => arg.default_value(value),
            None => arg,
        });
        command.mut_subcommands(|command| self.as_defaults(command))
    }

    /// The value of a setting that a variable or the file sets, and which of them.
    fn set(&self, key: &str) -> Option<(OsString, Source)> {
        SETTINGS.iter().find(|(known, _)| *known == key)?;
        if let Some(value) = self.env.path(&variable(key)) {
            return Some((value.into(), Source::Variable));
        }
        let (value, line) = self.lines.get(key)?;
        Some((value.clone(), Source::Line(*line)))
    }

    /// The argument as a line of the file may set it: only there, host paths can be listed.
    fn as_line(&self, arg: Arg) -> Arg {
        if arg.get_id() != "allow_host_volumes" {
            return arg;
        }
        let home = self.env.home();
        arg.value_parser(move |text: &str| listed_host_paths(text, home.as_deref()))
    }

    /// The error for an invalid value of an argument, in dkr's words; `None` if clap's own message is
    /// to be shown.
    pub fn explain(&self, error: &clap::Error) -> Option<Error> {
        let text = |kind| match error.get(kind) {
            Some(ContextValue::String(text)) => Some(text.as_str()),
            _ => None,
        };
        let words = match error.get(ContextKind::ValidValue) {
            Some(ContextValue::Strings(words)) => words.iter().map(String::as_str).collect(),
            _ => Vec::new(),
        };
        let (flag, value, expected) = match error.kind() {
            Fault::InvalidValue | Fault::ValueValidation => {
                let source = std::error::Error::source(error).map(ToString::to_string);
                let expected = source.unwrap_or_else(|| format!("expected {}", one_of(&words)));
                let flag = text(ContextKind::InvalidArg)?.split(' ').next()?;
                (
                    flag.to_owned(),
                    text(ContextKind::InvalidValue)?.to_owned(),
                    expected,
                )
            }
            Fault::InvalidUtf8 => {
                let (key, value) = self.garbled()?;
                (flag(key), value, "expected text in UTF-8".to_owned())
            }
            _ => return None,
        };
        let key = flag.trim_start_matches('-').replace('-', "_");
        let set = self
            .set(&key)
            .filter(|(set, _)| set.to_string_lossy() == value);
        let whose = match set {
            Some((_, Source::Variable)) => {
                format!("`{key}` in the variable `{}`", variable(&key))
            }
            Some((_, Source::Line(line))) => whose_line(&key, line),
            // clap itself reports that there is no value at all.
            _ if value.is_empty() && error.kind() == Fault::InvalidValue => return None,
            _ => format!("`{flag}`"),
        };
        let error = invalid(&value, &whose, &expected);
        Some(match suggestion(&value, words) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error,
        })
    }

    /// The first setting whose variable should be UTF-8 text and is not.
    fn garbled(&self) -> Option<(&'static str, String)> {
        let texts = SETTINGS.iter().filter(|(key, _)| !PATHS.contains(key));
        texts.into_iter().find_map(|(key, _)| {
            let value = self.env.path(&variable(key))?;
            let is_garbled = value.to_str().is_none();
            is_garbled.then(|| (*key, value.to_string_lossy().into_owned()))
        })
    }
}

/// The argument; if it is a setting, with its variable and key added to the help.
pub fn documented(arg: Arg) -> Arg {
    let key = arg.get_id().as_str().to_owned();
    if !SETTINGS.iter().any(|(known, _)| *known == key) {
        return arg;
    }
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let names = format!("[env: {}] [key: {key}]", variable(&key));
    let takes_value = arg.get_action().takes_values();
    // The help itself explains each possible value.
    arg.help(format!("{help} {names}"))
        .hide_possible_values(takes_value)
}

/// The arguments of `whole` that declare the settings.
pub fn declared(whole: &Command) -> Command {
    let timeout = ContainerTimeout::augment_args(Command::new("dkr"));
    let commands: Vec<&Command> = whole.get_subcommands().chain([whole]).collect();
    let declared = SETTINGS.iter().filter_map(|(key, _)| {
        let mut arguments = commands.iter().flat_map(|command| command.get_arguments());
        arguments.find(|arg| arg.get_id() == key).cloned()
    });
    timeout.args(declared)
}

/// The setting that a line sets.
fn known(line: &Line) -> Result<&'static str> {
    let keys = SETTINGS.map(|(key, _)| key);
    if let Some(key) = keys.into_iter().find(|key| *key == line.key) {
        return Ok(key);
    }
    let (name, number, expected) = (shown(&line.key), line.number, one_of(&keys));
    let error = Error::usage(format!(
        "unknown key `{name}` in the user configuration, line {number}: expected {expected}"
    ));
    Err(match suggestion(&line.key, keys) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error,
    })
}

fn invalid(value: &str, whose: &str, expected: &str) -> Error {
    let value = shown(value);
    Error::usage(format!("invalid value `{value}` for {whose}: {expected}"))
}

fn whose_line(key: &str, line: usize) -> String {
    format!("`{key}` in the user configuration, line {line}")
}

/// The environment variable of a setting.
pub fn variable(key: &str) -> String {
    format!("DKR_{}", key.to_ascii_uppercase())
}

/// The flag of a setting.
pub fn flag(key: &str) -> String {
    format!("--{}", key.replace('_', "-"))
}

fn unexpected(error: &clap::Error) -> Error {
    Error::bug("cannot read the settings").source(error)
}

/// The file of the user configuration. A relative `XDG_CONFIG_HOME` is ignored, as the XDG Base
/// Directory Specification requires.
fn path(env: &Env) -> Option<PathBuf> {
    let xdg = env
        .path("XDG_CONFIG_HOME")
        .filter(|path| path.is_absolute());
    let directory = xdg.or_else(|| Some(env.home()?.join(".config")))?;
    Some(directory.join("dkr/dkr.conf"))
}
