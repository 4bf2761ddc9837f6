//! Instructions as an attacker writes them, and as everybody does.

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
fn no_label_of_dkrs_own_can_be_set() {
    for text in [
        "LABEL dkr.type=base",
        "label\tdkr.created_at=2099-01-01T00:00:00Z",
        "LABEL a=b dkr.keep=never",
        "LABEL a=\"b c\" \"dkr.keep\"=never",
        "LABEL a='b \\' dkr.keep=never",
        "LABEL a=b\\  dkr.keep=never",
        "LABEL 'dkr.keep'=never",
        "LABEL d'k'r.keep=never",
        "LABEL d\\kr.keep=never",
        "LABEL dkr.repo_path /r",
        "LABEL \"dkr.repo_path\" /r=x",
        "LABEL DKR.Type=base",
        "LABEL $NAME=base",
        "LABEL a=b ${X:-dkr.type}=base",
        "LABEL d${X}kr.type base",
        "ONBUILD LABEL dkr.type=base",
    ] {
        let refused = refused(text);
        assert!(refused.starts_with("`LABEL "), "{text}: {refused}");
        assert!(refused.contains("not allowed in [post_clone], line 7"));
    }
    for text in [
        "LABEL org.opencontainers.image.vendor=me",
        "LABEL a=dkr.type=base b=$HOME",
        "LABEL a=\"b dkr.type=base\" c='d dkr.type=base'",
        "LABEL a=b\\ dkr.type=base",
        "LABEL description about dkr.type",
        "LABEL dkrx.y=1",
        "LABEL",
    ] {
        assert_eq!(judge(text, false), Ok(()), "{text}");
    }
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
        refused("packages = x").ends_with("the key `packages` belongs above the first section")
    );
    assert!(refused("#!").contains("unknown instruction"));
    assert!(refused("]]] x").ends_with("expected a Dockerfile instruction"));
}
