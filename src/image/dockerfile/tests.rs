//! Tests of the whole text, and of mapping a step back to its origin.

use super::*;

fn section(name: &str, text: &str, first_line: usize) -> Section {
    Section {
        name: name.into(),
        text: text.into(),
        instructions: vec![(first_line, text.trim().replace("\\\n", ""))],
        arguments: vec![],
    }
}

fn spec() -> BuildSpec {
    BuildSpec {
        from: "fedora:43".into(),
        on_objects: false,
        packages: vec!["clang".into(), "cmake".into()],
        pre_packages: Some(section("pre_packages", "RUN curl x\n", 6)),
        pre_clone: Some(section("pre_clone", "RUN mkdir -p /opt/toolchain\n", 9)),
        post_clone: Some(section(
            "post_clone",
            "RUN cd /workspace && \\\n  ./setup.sh",
            12,
        )),
    }
}

#[test]
fn the_whole_text() {
    let expected = r#"FROM fedora:43
USER root
SHELL ["/bin/sh", "-c"]
WORKDIR /
ENV LANG=C.UTF-8
RUN --mount=type=bind,source=tools,target=/run/dkr sh /run/dkr/install-packages.sh git tmux openssh-client socat
RUN curl x
USER root
SHELL ["/bin/sh", "-c"]
RUN --mount=type=bind,source=tools,target=/run/dkr sh /run/dkr/install-packages.sh clang cmake
RUN mkdir -p /opt/toolchain
USER root
SHELL ["/bin/sh", "-c"]
WORKDIR /workspace
RUN --mount=type=bind,source=source,target=/run/dkr --mount=type=bind,source=runtime,target=/run/dkr-runtime --mount=type=ssh,id=dkr,target=/run/dkr-agent.sock . /run/dkr/environment.sh && env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 SSH_AUTH_SOCK=/run/dkr-agent.sock sh /run/dkr/clone.sh
RUN cd /workspace && \
  ./setup.sh
USER root
SHELL ["/bin/sh", "-c"]
RUN --mount=type=bind,source=source,target=/run/dkr --mount=type=bind,source=runtime,target=/run/dkr-runtime . /run/dkr/environment.sh && env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 sh /run/dkr/baseline.sh
ARG DKR_BRANCH
ENV DKR_BRANCH="$DKR_BRANCH"
ARG DKR_REF
ENV DKR_REF="$DKR_REF"
ENTRYPOINT ["/usr/local/lib/dkr/entrypoint.sh"]
CMD []
"#;
    assert_eq!(Dockerfile::create(&spec()).text(), expected);
}

#[test]
fn an_object_image_holds_what_every_branch_image_needs_first() {
    let objects = Dockerfile::objects("fedora:43");
    let text = objects.text();
    assert!(text.starts_with("FROM fedora:43\nUSER root\n"));
    assert!(text.contains("install-packages.sh git tmux openssh-client socat tar\n"));
    assert!(text.ends_with(" /run/dkr/objects.sh\n"));
    assert!(
        objects
            .fetching_step()
            .is_some_and(|step| text.contains(step))
    );

    let from = "dkr:linux-objects-abcdef";
    let more = Dockerfile::more_objects(from);
    assert_eq!(more.text().lines().count(), 2);
    let spec = BuildSpec {
        from: from.into(),
        on_objects: true,
        ..spec()
    };
    let branch = Dockerfile::create(&spec);
    assert!(branch.text().starts_with(&format!("FROM {from}\n")));
    assert!(!branch.text().contains("socat"));
    let step = branch.fetching_step().expect("it may have to fetch");
    assert!(step.ends_with("/run/dkr/clone.sh"));
}

#[test]
fn a_vertex_leads_back_to_the_line_of_the_section() {
    let file = Dockerfile::create(&spec());
    let step = file.step("[ 9/12] RUN cd /workspace &&   ./setup.sh");
    let origin = StepOrigin::Section {
        name: "post_clone".into(),
        line: 12,
    };
    assert_eq!(step.map(|step| &step.origin), Some(&origin));
    assert_eq!(file.step("[internal] load build context"), None);
    assert_eq!(file.step("exporting to image"), None);
}

#[test]
fn an_update_builds_on_the_branch_image() {
    let mut spec = spec();
    spec.from = "dkr:linux-main-abcdef".into();
    let file = Dockerfile::update(&spec);
    assert!(file.text().starts_with("FROM dkr:linux-main-abcdef\n"));
    assert!(!file.text().contains("curl x") && !file.text().contains("ENTRYPOINT"));
    assert!(file.text().contains("install-packages.sh clang cmake\n"));
    assert!(
        file.fetching_step()
            .expect("it fetches")
            .ends_with("/run/dkr/update.sh")
    );
    // The section may have set them.
    let end =
        "ARG DKR_BRANCH\nENV DKR_BRANCH=\"$DKR_BRANCH\"\nARG DKR_REF\nENV DKR_REF=\"$DKR_REF\"\n";
    assert!(file.text().ends_with(end), "{}", file.text());
    assert_eq!(file.layers(), 4);
    spec.packages.clear();
    spec.post_clone = None;
    assert_eq!(Dockerfile::update(&spec).layers(), 1);
}

#[test]
fn a_directory_that_a_section_changes_is_restored() {
    let mut spec = spec();
    spec.post_clone = Some(section("post_clone", "workdir /tmp\n", 12));
    let file = Dockerfile::create(&spec);
    let text = file.text();
    assert!(
        text.contains("workdir /tmp\nUSER root\nSHELL [\"/bin/sh\", \"-c\"]\nWORKDIR /workspace\n")
    );
}

#[test]
fn arguments_are_declared_where_they_are_mentioned() {
    let mut spec = spec();
    let section = spec.post_clone.as_mut().expect("set above");
    section.arguments = vec!["HOST_ADDR"];
    let file = Dockerfile::create(&spec);
    assert!(file.text().contains("\nARG HOST_ADDR\nRUN cd /workspace"));
}
