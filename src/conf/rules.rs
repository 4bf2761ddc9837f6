//! What an instruction in a raw section of `.dkr.conf` may say.
//!
//! Called by the parser for each instruction. A raw section is untrusted: it may run what it
//! likes inside the image, but it neither ends dkr's build stage, nor reads dkr's build context,
//! nor reaches the user's keys, networks or devices.

use super::lines::{one_of, shown};
use super::raw_section::{Instruction, SectionName};
use super::statement::{Statement, has_heredoc, keyword};
use crate::error::{Error, Result, suggestion};

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

/// Why an instruction is refused: what is wrong with it, and what to do instead.
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

/// Refuses `instruction` if it may not stand in the raw section `section`.
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
            "not every engine knows them; continue lines with `\\` instead",
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
        let instead = format!("the key `{key}` stands above the first section");
        return Refusal::new(what, instead);
    }
    let allowed = KEYWORDS.iter().copied();
    let allowed = allowed.filter(|known| !matches!(*known, "FROM" | "ENTRYPOINT" | "CMD"));
    match suggestion(name, allowed) {
        Some(near) => Refusal::new(what, format!("did you mean `{near}`?")),
        None => Refusal::new(what, "expected an instruction of a Dockerfile"),
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
    // The prefixes are case-sensitive for BuildKit, and a variable could become anything.
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
mod tests {
    use super::*;

    fn judge(text: &str, ssh_mounts: bool) -> Result<()> {
        let instruction = Instruction {
            keyword: keyword(text).to_ascii_uppercase(),
            line: 7,
            text: text.to_owned(),
        };
        check(SectionName::PostClone, &instruction, ssh_mounts)
    }

    #[track_caller]
    fn refused(text: &str) -> String {
        judge(text, false).expect_err(text).message
    }

    #[test]
    fn ordinary_instructions_pass() {
        for text in [
            "RUN cd /workspace && ./setup.sh",
            "RUN [\"a\", \"--mount=type=ssh\"]",
            "RUN echo --mount=type=ssh",
            "RUN --mount=type=cache,target=/root/.cache id",
            "RUN --mount=type=tmpfs,target=/x --network=none id",
            "RUN --mount=from=golang:1.22,target=/go go version",
            "COPY --from=golang:1.22 --chown=0:0 /usr/local/go /usr/local/go",
            "ADD https://example.com/x.tgz /opt/",
            "ADD --checksum=sha256:00 https://example.com/$V.tgz /opt/",
            "ADD [\"https://example.com/a b\", \"/opt/\"]",
            "ADD git://example.com/x.git /opt/x",
            "ENV A=1",
            "env A 1",
            "ARG BRANCH",
            "SHELL [\"/bin/bash\", \"-c\"]",
            "USER x",
            "HEALTHCHECK CMD true",
            "ONBUILD RUN id",
            "VOLUME /x",
        ] {
            assert_eq!(judge(text, false), Ok(()), "{text}");
        }
    }

    #[test]
    fn a_second_stage_or_another_entrypoint_is_refused() {
        assert_eq!(
            refused("from x"),
            "`FROM` is not allowed in [post_clone], line 7 of `.dkr.conf`: \
             the base image is set by the key `base_image`"
        );
        for text in ["FROM", "ENTRYPOINT [\"x\"]", "cmd x", "ONBUILD CMD x"] {
            assert!(refused(text).contains("is not allowed in [post_clone], line 7"));
        }
    }

    #[test]
    fn the_build_context_is_out_of_reach() {
        for text in [
            "COPY . /x",
            "COPY --from= a /x",
            "COPY --from=$X a /x",
            "COPY --from=x --from= a /x",
            "COPY --chown=x a /x",
            "COPY a --from=x /y",
            "ADD . /x",
            "ADD x.tgz https://example.com/a /x",
            "ADD $URL /x",
            "ADD [\"a\", \"/x\"]",
            "ADD HTTPS://example.com/a /x",
            "ADD git@example.com:a/b.git /x",
            "ADD ssh://example.com/b.git /x",
            "ADD https://example.com/a",
            "RUN --mount=target=/x id",
            "RUN --mount=type=bind,source=.,target=/x id",
            "RUN --mount=type=bind,from=,target=/x id",
            "RUN --mount=type=cache,type=bind,target=/x id",
            "ONBUILD COPY . /x",
        ] {
            assert!(refused(text).contains("build context"), "{text}");
        }
    }

    #[test]
    fn ssh_and_secret_mounts_need_the_users_leave() {
        for text in [
            "RUN --mount=type=ssh id",
            "RUN --mount=type=secret,id=x id",
            "run --mount=id=x,type=ssh id",
            "RUN --mount=type=SSH id",
            "RUN --mount='type=ssh' id",
            "RUN --mount=\"id=x,type=ssh\" id",
            "RUN --mount=\\\"type=ssh\\\" id",
            "RUN --mo'un't=type=s\\sh id",
            "RUN --mount=TYPE=ssh id",
            "RUN --mount=type=cache,target=/x --mount=type=ssh id",
            "RUN --mount=type=cache,target=/à--mount=type=ssh id",
            "RUN --mount=type=ssh,type=cache id",
            "RUN\t--mount=type=ssh\tid",
            "ONBUILD RUN --mount=type=ssh id",
        ] {
            assert!(refused(text).contains("`--allow-ssh-mounts`"), "{text}");
            assert_eq!(judge(text, true), Ok(()), "{text}");
        }
        let text = "ADD git@example.com:a/b.git /x";
        assert_eq!(judge(text, true), Ok(()));
    }

    #[test]
    fn what_only_looks_harmless_is_refused_even_with_leave() {
        for text in [
            "RUN --mount=type=$X id",
            "RUN --mount=type=${X:-ssh} id",
            "RUN --mount=type=npipe id",
            "RUN --mount id",
            "RUN --security=insecure id",
            "RUN --network=host id",
            "RUN --device=x id",
            "RUN cat <<EOF",
            "COPY --from=x <<EOF /y",
            "ONBUILD RUN cat <<EOF",
            "ONBUILD ONBUILD RUN id",
            "ONBUILD --x RUN id",
            "ONBUILD",
            "RUN\u{a0}--mount=type=ssh id",
        ] {
            judge(text, true).expect_err(text);
        }
    }

    #[test]
    fn an_unknown_instruction_gets_the_nearest_known_one() {
        assert_eq!(
            refused("RUNN id"),
            "unknown instruction `RUNN` in [post_clone], line 7 of `.dkr.conf`: \
             did you mean `RUN`?"
        );
        assert!(
            refused("packages = x").ends_with("the key `packages` stands above the first section")
        );
        assert!(refused("#!").contains("unknown instruction"));
        assert!(refused("]]] x").ends_with("expected an instruction of a Dockerfile"));
    }
}
