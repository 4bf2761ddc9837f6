//! `dkr complete`: the completions of a command line, for the shell's completion script (see
//! `assets/completion.*`).
//!
//! It changes nothing, asks nothing, and reports no errors. Its output goes to the user's command line, so
//! names with control characters are left out, and words for bash, which inserts them verbatim, are quoted.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Arg, Args, Command, ValueHint};
use clap_complete::engine::{
    ArgValueCompleter, CompletionCandidate, PathCompleter, ValueCompleter, complete,
};
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use super::completions::Shell;
use super::parse::description;
use crate::app::Context;
use crate::bake::images::list;
use crate::cli::Offer;
use crate::container::Containers;
use crate::container::labels::working_branch;
use crate::engine::Engine;
use crate::engine::context::named_engine;
use crate::engine::endpoint::Endpoint;
use crate::env::Env;
use crate::error::{Error, Result};
use crate::git::{CommitId, Repository};
use crate::image::labels::REPO_NAME;

/// Arguments of `complete`.
#[derive(Debug, Clone, Args)]
pub struct CompleteArgs {
    /// The shell
    pub shell: Shell,
    /// The words of the command line up to the cursor; for bash the line itself, and the part of its last
    /// word that bash will replace
    #[arg(last = true)]
    pub words: Vec<OsString>,
}

/// How long to wait for an engine: the user waits at the prompt.
const PATIENCE: Duration = Duration::from_millis(800);

/// A completion, and its description.
type Named = (String, String);

/// Runs the command.
///
/// # Errors
/// When standard output cannot be written.
pub fn run(cx: &Context, args: &CompleteArgs) -> Result<()> {
    let (words, last, replaced) = match (args.shell, &*args.words) {
        (Shell::Bash, [line, replaced]) => {
            let (words, last) = split(line.to_str().unwrap_or_default());
            (words, last, replaced.to_str().unwrap_or_default())
        }
        (_, words) => (words.to_vec(), "", ""),
    };
    let in_quotes = last.strip_prefix(['\'', '"']);
    let kept = in_quotes.unwrap_or(last).strip_suffix(replaced);
    let kept = kept.unwrap_or_default();
    let lines = fitting(words, &cx.env)
        .into_iter()
        .filter_map(|named| match args.shell {
            Shell::Bash => for_bash(&named.0, last)?
                .strip_prefix(kept)
                .map(str::to_owned),
            Shell::Zsh => Some(for_zsh(&named)),
            Shell::Fish => Some(format!("{}\t{}", named.0, named.1)),
        });
    let lines: String = lines.map(|line| line + "\n").collect();
    cx.ui.data(&lines)
}

/// The completions of the last of `words`. Flags only where one has been started, as they would get in the
/// way of names.
fn fitting(words: Vec<OsString>, env: &Env) -> Vec<Named> {
    let Some((last, before)) = words.split_last() else {
        return Vec::new();
    };
    // A command for a container follows.
    if before.iter().any(|word| word == "--") {
        return Vec::new();
    }
    let is_flag = last.to_string_lossy().starts_with('-');
    let repo = repository_in(before);
    let mut command = description().mut_subcommands(|command| {
        let command = under_one_name(command);
        command.mut_args(|arg| offering(arg, &repo, env))
    });
    let here = std::env::current_dir().ok();
    let index = before.len();
    let found = complete(&mut command, words, index, here.as_deref()).unwrap_or_default();
    let named = found.iter().filter_map(|candidate| {
        let help = candidate.get_help().map(ToString::to_string);
        let help = help.unwrap_or_default().replace(char::is_control, " ");
        Some((candidate.get_value().to_str()?.to_owned(), help))
    });
    named
        .filter(|(value, _)| is_flag || !value.starts_with('-'))
        .filter(|(value, _)| !value.contains(char::is_control))
        .collect()
}

/// The command with hidden aliases, which are offered only once one of them is being typed.
fn under_one_name(command: Command) -> Command {
    let short: Vec<String> = command.get_visible_aliases().map(str::to_owned).collect();
    command.visible_alias(None).aliases(short)
}

/// The repository that the words name, as far as they can be parsed yet.
fn repository_in(words: &[OsString]) -> PathBuf {
    let read = description()
        .ignore_errors(true)
        .try_get_matches_from(words);
    let named = read.ok().and_then(|matches| {
        let (_, matches) = matches.subcommand()?;
        let mut positions = ["repo", "image"].into_iter();
        positions.find_map(|id| matches.try_get_one::<PathBuf>(id).ok()?.cloned())
    });
    named.unwrap_or_else(|| PathBuf::from("."))
}

fn offering(arg: Arg, repo: &Path, env: &Env) -> Arg {
    let Some(offer) = arg.get::<Offer>().copied() else {
        return arg;
    };
    let takes_folder = arg.get_value_hint() == ValueHint::DirPath;
    let (repo, env) = (repo.to_owned(), env.clone());
    arg.add(ArgValueCompleter::new(move |typed: &OsStr| {
        let names = offered(offer, &repo, &env);
        let mut fitting = begun_by(typed, names);
        if takes_folder {
            fitting.extend(PathCompleter::dir().complete(typed));
        }
        fitting
    }))
}

/// Those of `names` that begin as `typed` does; a tag need not have its `dkr:`.
fn begun_by(typed: &OsStr, names: Vec<Named>) -> Vec<CompletionCandidate> {
    let Some(typed) = typed.to_str() else {
        return Vec::new();
    };
    let begun = |(name, about): Named| {
        let short = name.strip_prefix("dkr:").unwrap_or(&name);
        let name = [name.as_str(), short]
            .into_iter()
            .find(|name| name.starts_with(typed))?;
        Some(CompletionCandidate::new(name).help(Some(about.into())))
    };
    names.into_iter().filter_map(begun).collect()
}

fn offered(offer: Offer, repo: &Path, env: &Env) -> Vec<Named> {
    let found = match offer {
        Offer::Images => within_patience(images(env)),
        Offer::Containers => within_patience(containers(env)),
        Offer::Refs => refs(repo),
        Offer::Words(words) => Ok(words
            .iter()
            .map(|word| ((*word).to_owned(), String::new()))
            .collect()),
    };
    found.unwrap_or_default()
}

fn within_patience(names: impl Future<Output = Result<Vec<Named>>>) -> Result<Vec<Named>> {
    let in_time = async {
        let late = |_| Error::failed("the engine did not answer in time");
        tokio::time::timeout(PATIENCE, names).await.map_err(late)?
    };
    block_in_place(|| Handle::current().block_on(in_time))
}

/// The engine, unless it is reached over SSH, which may prompt the user.
async fn engine(env: &Env) -> Result<Engine> {
    match named_engine(env)?.endpoint {
        Endpoint::Ssh { .. } => Err(Error::failed("the engine is reached over SSH")),
        _ => Engine::connect(env).await,
    }
}

/// The tags of dkr's images.
async fn images(env: &Env) -> Result<Vec<Named>> {
    let images = list(&engine(env).await?).await?.own.into_iter();
    let tags = images.flat_map(|image| {
        let labels = image.labels;
        let commit: Option<CommitId> = labels.commit.parse().ok();
        let commit = commit.map(|commit| format!(" at {}", commit.short()));
        let about = labels.branch_from + &commit.unwrap_or_default();
        image.tags.into_iter().map(move |tag| (tag, about.clone()))
    });
    Ok(tags.collect())
}

/// The working branches of dkr's containers. Nothing that a killed dkr left over is repaired here.
async fn containers(env: &Env) -> Result<Vec<Named>> {
    let engine = engine(env).await?;
    let (images, all) = tokio::try_join!(list(&engine), engine.containers())?;
    let own = Containers::tell_apart(all, &images.own, env).own;
    let named = own.iter().map(|container| {
        let repo = container.labels.get(REPO_NAME).map_or("", String::as_str);
        let about = format!("{}, {repo}", container.state);
        (working_branch(container).to_owned(), about)
    });
    Ok(named.collect())
}

fn refs(repo: &Path) -> Result<Vec<Named>> {
    let names = Repository::discover(repo)?.ref_names()?.into_iter();
    Ok(names.map(|name| (name, String::new())).collect())
}

/// The words of a line of bash, without their quotes, and the last one as typed. A line that ends in a blank
/// has one more, empty word.
fn split(line: &str) -> (Vec<OsString>, &str) {
    let (mut words, mut word, mut start) = (Vec::new(), String::new(), 0);
    let mut quote = None;
    let mut characters = line.char_indices();
    while let Some((at, c)) = characters.next() {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            (None | Some('"'), '\\') => word.extend(characters.next().map(|(_, c)| c)),
            (None, ' ' | '\t' | '\n') => {
                if start < at {
                    words.push(std::mem::take(&mut word).into());
                }
                start = at + 1;
            }
            _ => word.push(c),
        }
    }
    words.push(word.into());
    (words, &line[start..])
}

/// A word quoted for bash, in place of `typed`. `~` is not escaped, as it begins a path. Within quotes that
/// the user has opened, only words that need no escape there are inserted.
fn for_bash(word: &str, typed: &str) -> Option<String> {
    let is_plain = |c: char| c.is_alphanumeric() || "_-./:=@%+,~".contains(c);
    if typed.starts_with(['\'', '"']) {
        let fits = word.chars().all(|c| is_plain(c) || c == ' ');
        return fits.then(|| word.to_owned());
    }
    let mut escaped = String::new();
    for c in word.chars() {
        if !is_plain(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    Some(escaped)
}

/// `value:what it is`, as `_describe` of zsh takes it.
fn for_zsh((value, about): &Named) -> String {
    let value = value.replace('\\', "\\\\").replace(':', "\\:");
    match about.as_str() {
        "" => value,
        about => format!("{value}:{about}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(words: &[&str]) -> Vec<String> {
        let words = words.iter().map(OsString::from).collect();
        let found = fitting(words, &Env::default()).into_iter();
        found.map(|(value, _)| value).collect()
    }

    #[test]
    fn every_choice_is_offered_by_its_words_and_never_by_files() {
        for (flag, command, words) in [
            ("--transport", "create-image", "auto ssh session"),
            ("--transport", "sc", "auto ssh session"),
            ("--clone", "ci", "full packs"),
            ("--build-network", "update-image", "default host none"),
            ("--drift", "ui", "ask bake ignore fail"),
            ("--stale", "si", "ask update proceed fail"),
            ("--keep", "start-container", "auto always never"),
            ("--network", "start-image", "bridge host none"),
            ("--gpus", "start-image", "all"),
            ("--progress", "list-images", "auto plain tty quiet"),
            ("--cpus", "start-image", ""),
            ("--ssh-user", "start-image", ""),
        ] {
            let words: Vec<&str> = words.split_whitespace().collect();
            assert_eq!(values(&["dkr", command, flag, ""]), words, "{flag}");
            let joined = values(&["dkr", command, &format!("{flag}=")]);
            let expected = words.iter().map(|word| format!("{flag}={word}"));
            assert_eq!(joined, expected.collect::<Vec<_>>());
        }
        assert_eq!(values(&["dkr", "--progress", "t"]), ["tty"]);
        assert_eq!(values(&["dkr", "completions", ""]), ["bash", "zsh", "fish"]);
    }

    #[test]
    fn flags_are_offered_where_one_has_begun() {
        assert_eq!(values(&["dkr", "list-images", "--js"]), ["--json"]);
        assert_eq!(values(&["dkr", "show-config", ""]), [""; 0]);
        assert_eq!(values(&["dkr", "creat"]), ["create-image"]);
        let first = values(&["dkr", ""]);
        let first: Vec<&str> = first.iter().map(String::as_str).collect();
        assert!(first.contains(&"start-image"), "{first:?}");
        for left_out in ["si", "start-container", "sc"] {
            assert!(!first.contains(&left_out), "{first:?}");
        }
        for internal in ["complete", "channel-server", "man"] {
            assert!(!first.contains(&internal), "{first:?}");
            let begun = values(&["dkr", &internal[..internal.len() - 1]]);
            assert!(!begun.contains(&internal.to_owned()), "{begun:?}");
        }
        assert_eq!(values(&["dkr", "start-c"]), ["start-container"]);
        assert_eq!(values(&["dkr", "exec", "x", "--", ""]), [""; 0]);
        assert_eq!(values(&[]), [""; 0]);
    }

    #[test]
    fn a_line_of_bash_is_split_as_bash_does() {
        let split = |line| {
            let (words, last) = split(line);
            let words: Vec<_> = words
                .into_iter()
                .map(|w| w.into_string().unwrap())
                .collect();
            (words.join("|"), last)
        };
        assert_eq!(split("dkr ls"), ("dkr|ls".to_owned(), "ls"));
        assert_eq!(split("dkr  ls "), ("dkr|ls|".to_owned(), ""));
        assert_eq!(split("dkr a\\ b 'c d"), ("dkr|a b|c d".to_owned(), "'c d"));
        assert_eq!(split("dkr \"a\\\"b\" ''"), ("dkr|a\"b|".to_owned(), "''"));
        assert_eq!(split(""), (String::new(), ""));
        assert_eq!(split("dkr x\\"), ("dkr|x".to_owned(), "x\\"));
    }

    #[test]
    fn what_a_shell_could_take_for_its_own_is_quoted() {
        let escaped = |word| for_bash(word, "").unwrap();
        assert_eq!(escaped("space/fix-1.2"), "space/fix-1.2");
        assert_eq!(escaped("$(id);`x`'a b"), "\\$\\(id\\)\\;\\`x\\`\\'a\\ b");
        assert_eq!(for_bash("my folder/", "'my").as_deref(), Some("my folder/"));
        assert_eq!(for_bash("a'$(id)", "\"a"), None);
        let named = |value: &str, about: &str| (value.to_owned(), about.to_owned());
        assert_eq!(for_zsh(&named("dkr:a\\", "b: c")), "dkr\\:a\\\\:b: c");
    }

    #[test]
    fn a_tag_is_found_without_its_beginning() {
        let names = || vec![("dkr:linux-main".to_owned(), String::new())];
        let found = |typed: &str| {
            let found = begun_by(OsStr::new(typed), names()).into_iter();
            found.map(|c| c.get_value().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(found(""), ["dkr:linux-main"]);
        assert_eq!(found("dkr:l"), ["dkr:linux-main"]);
        assert_eq!(found("lin"), ["linux-main"]);
        assert!(found("main").is_empty());
    }
}
