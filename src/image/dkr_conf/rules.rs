//! What an instruction in a raw section of `.dkr.conf` may contain.
//!
//! Called by the parser for each instruction. A raw section is untrusted: it may run
//! anything inside the image, but it neither ends dkr's build stage, nor reads dkr's build context,
//! nor reaches the user's keys, networks or devices.

use super::raw_section::{Instruction, SectionName};
use super::statement::{Statement, has_heredoc, keyword};
use crate::error::{Error, Result, suggestion};
use crate::text::{one_of, shown};

/// The instructions of a Dockerfile
/// (<https://docs.docker.com/reference/dockerfile/#overview>).
const KEYWORDS: &[&str] = &[
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// The keys of `.dkr.conf`, which are sometimes written below a header.
const KEYS: &[&str] = &["base_image", "packages", "volumes"];

/// Why an instruction is rejected: what is wrong with it, and what to do instead.
struct Refusal {
    what: String,
    instead: String,
}

impl Refusal {
    fn new(what: impl Into<String>, instead: impl Into<String>) -> Self {
        Refusal {
            what: what.into(),
            instead: instead.into(),
        }
    }
}

/// Rejects `instruction` if it is not allowed in the raw section `section`.
pub(super) fn check(
    section: SectionName,
    instruction: &Instruction,
    ssh_mounts: bool,
) -> Result<()> {
    check_text(&instruction.text, ssh_mounts).map_err(|Refusal { what, instead }| {
        let line = instruction.line;
        Error::usage(format!(
            "{what} in [{section}], line {line} of `.dkr.conf`: {instead}"
        ))
    })
}

fn check_text(text: &str, ssh_mounts: bool) -> std::result::Result<(), Refusal> {
    if has_heredoc(text) {
        return Err(Refusal::new(
            "here-document",
            "not every engine supports them; continue lines with `\\` instead",
        ));
    }
    let name = keyword(text).to_ascii_uppercase();
    let statement = Statement::of(text);
    match name.as_str() {
        "FROM" => Err(Refusal::new(
            "`FROM` is not allowed",
            "the base image is set by the key `base_image`",
        )),
        "ENTRYPOINT" | "CMD" => Err(Refusal::new(
            format!("`{name}` is not allowed"),
            "dkr sets the image's entrypoint, and the command is given at start",
        )),
        "COPY" => check_copy(&statement),
        "ADD" => check_add(&statement, ssh_mounts),
        "RUN" => check_run(&statement, ssh_mounts),
        "LABEL" => check_label(&statement),
        "ONBUILD" => check_onbuild(&statement, ssh_mounts),
        known if KEYWORDS.contains(&known) => Ok(()),
        _ => Err(unknown_keyword(text, &name)),
    }
}

fn unknown_keyword(text: &str, name: &str) -> Refusal {
    let what = format!("unknown instruction `{}`", shown(keyword(text)));
    let lower = name.to_ascii_lowercase();
    let key = lower.split(['=', ':']).next().unwrap_or_default();
    if KEYS.contains(&key) {
        let instead = format!("the key `{key}` belongs above the first section");
        return Refusal::new(what, instead);
    }
    let allowed = KEYWORDS.iter().copied();
    let allowed = allowed.filter(|known| !matches!(*known, "FROM" | "ENTRYPOINT" | "CMD"));
    match suggestion(name, allowed) {
        Some(near) => Refusal::new(what, format!("did you mean `{near}`?")),
        None => Refusal::new(what, "expected a Dockerfile instruction"),
    }
}

fn check_copy(statement: &Statement) -> std::result::Result<(), Refusal> {
    let sources: Vec<&str> = values(&statement.flags, "--from").collect();
    let named = |source: &&str| !source.is_empty() && !source.contains('$');
    if !sources.is_empty() && sources.iter().all(named) {
        return Ok(());
    }
    Err(Refusal::new(
        "`COPY` from the build context is not allowed",
        "the repository is not in it; `COPY --from=IMAGE` is allowed, and [post_clone] finds \
         the files in `/workspace`",
    ))
}

fn check_add(statement: &Statement, ssh_mounts: bool) -> std::result::Result<(), Refusal> {
    // The prefixes are case-sensitive for BuildKit, and a variable could expand to anything.
    let remote = |source: &String| {
        let over_ssh = source.starts_with("ssh://") || source.starts_with("git@");
        ["http://", "https://", "git://"]
            .iter()
            .any(|prefix| source.starts_with(prefix))
            || ssh_mounts && over_ssh
    };
    match statement.words().split_last() {
        Some((_target, sources)) if !sources.is_empty() && sources.iter().all(remote) => Ok(()),
        _ => Err(Refusal::new(
            "`ADD` from the build context is not allowed",
            "each source must begin with `https://`, `http://` or `git://`",
        )),
    }
}

fn check_onbuild(statement: &Statement, ssh_mounts: bool) -> std::result::Result<(), Refusal> {
    let nested = keyword(&statement.arguments).eq_ignore_ascii_case("ONBUILD");
    if nested || statement.arguments.is_empty() || !statement.flags.is_empty() {
        return Err(Refusal::new(
            "invalid `ONBUILD`",
            "expected one instruction after it",
        ));
    }
    check_text(&statement.arguments, ssh_mounts)
}

/// dkr trusts the labels of its images.
fn check_label(statement: &Statement) -> std::result::Result<(), Refusal> {
    for name in statement.names() {
        let refused = |instead| {
            let what = format!("`LABEL {}` is not allowed", shown(&name));
            Err(Refusal::new(what, instead))
        };
        if name.contains('$') {
            return refused("a variable could expand to a reserved label such as `dkr.type`");
        }
        if name.to_ascii_lowercase().starts_with("dkr.") {
            return refused("labels that begin with `dkr.` are reserved");
        }
    }
    Ok(())
}

fn check_run(statement: &Statement, ssh_mounts: bool) -> std::result::Result<(), Refusal> {
    for flag in &statement.flags {
        match flag.split_once('=') {
            Some(("--mount", mount)) => check_mount(mount, ssh_mounts)?,
            Some(("--network", "default" | "none")) | Some(("--security", "sandbox")) => {}
            _ => {
                return Err(Refusal::new(
                    format!("`RUN {}` is not allowed", shown(flag)),
                    "expected `--mount=…`, `--network=default` or `--network=none`",
                ));
            }
        }
    }
    Ok(())
}

/// Checks the value of `--mount`, a line of CSV with `key=value` fields.
///
/// Quotes are dropped before the fields are split: that finds at least the fields that BuildKit
/// finds, in each of its two CSV readers.
fn check_mount(mount: &str, ssh_mounts: bool) -> std::result::Result<(), Refusal> {
    let mount = mount.replace('"', "");
    let field = |name: &'static str| {
        let pairs = mount.split(',').filter_map(|field| field.split_once('='));
        pairs.filter_map(move |(key, value)| key.trim().eq_ignore_ascii_case(name).then_some(value))
    };
    for kind in field("type") {
        let kind = kind.trim().to_ascii_lowercase();
        match kind.as_str() {
            "bind" | "cache" | "tmpfs" => {}
            "ssh" | "secret" if ssh_mounts => {}
            "ssh" | "secret" => {
                return Err(Refusal::new(
                    format!("`--mount=type={kind}` is not allowed"),
                    "such a step could sign with your key; `--allow-ssh-mounts` allows it",
                ));
            }
            other => {
                let expected = one_of(&["bind", "cache", "tmpfs"]);
                return Err(Refusal::new(
                    format!("`--mount=type={}` is not allowed", shown(other)),
                    format!("expected the type {expected}"),
                ));
            }
        }
    }
    let binds = field("type")
        .next_back()
        .is_none_or(|kind| kind.trim().eq_ignore_ascii_case("bind"));
    let named = |source: &str| !source.trim().is_empty() && !source.contains('$');
    if binds && !(field("from").count() > 0 && field("from").all(named)) {
        return Err(Refusal::new(
            "`--mount=type=bind` of the build context is not allowed",
            "the repository is not in it; `--mount=type=bind,from=IMAGE,…` is allowed",
        ));
    }
    Ok(())
}

/// The values of the flag `name`.
fn values<'a>(flags: &'a [String], name: &'a str) -> impl Iterator<Item = &'a str> {
    let pairs = flags.iter().filter_map(|flag| flag.split_once('='));
    pairs.filter_map(move |(flag, value)| (flag == name).then_some(value))
}

#[cfg(test)]
mod tests;
