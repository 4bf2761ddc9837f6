//! A `.dkr.conf` never changes what dkr itself writes into a Dockerfile, nor adds to it anything
//! but its own instructions.

use std::cell::Cell;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::image::dkr_conf::{Allow, parse};
use crate::image::dockerfile::Dockerfile;

/// The instructions that BuildKit reads, each on one line, by a second implementation of its rules
/// (frontend/dockerfile/parser): comments and empty lines are dropped, a line that ends in an odd
/// `\` continues on the next.
fn instructions(dockerfile: &str) -> Vec<String> {
    let mut joined: Vec<String> = Vec::new();
    let mut continued = false;
    for line in dockerfile.lines() {
        let start = line.trim_start();
        if start.starts_with('#') || start.is_empty() {
            continue;
        }
        let bare = line.trim_end_matches([' ', '\t']);
        let goes_on = bare.ends_with('\\') && !bare.ends_with("\\\\");
        let part = if goes_on {
            &bare[..bare.len() - 1]
        } else {
            line
        };
        match joined.last_mut() {
            Some(last) if continued => last.push_str(part),
            _ => joined.push(part.trim_start().to_owned()),
        }
        continued = goes_on;
    }
    joined
}

fn keyword(instruction: &str) -> String {
    let word = instruction.split_whitespace().next().unwrap_or_default();
    word.to_uppercase()
}

/// The keywords that the Dockerfile of `conf` must have.
fn expected(conf: &DkrConf) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let own = |found: &mut Vec<String>, words: &str| {
        found.extend(words.split(' ').map(str::to_owned));
    };
    let section = |found: &mut Vec<String>, name| {
        let Some(section) = conf.section(name) else {
            return;
        };
        let declared = ARGUMENTS.iter().filter(|name| section.mentions(name));
        declared.for_each(|_| found.push("ARG".to_owned()));
        let theirs = section.instructions.iter().map(|i| i.keyword.clone());
        let theirs: Vec<String> = theirs.collect();
        found.extend(theirs.iter().cloned());
        own(found, "USER SHELL");
        if theirs.iter().any(|keyword| keyword == "WORKDIR") {
            own(found, "WORKDIR");
        }
    };
    own(&mut found, "FROM USER SHELL WORKDIR ENV RUN");
    section(&mut found, SectionName::PrePackages);
    if !conf.packages.is_empty() {
        own(&mut found, "RUN");
    }
    section(&mut found, SectionName::PreClone);
    own(&mut found, "WORKDIR RUN");
    section(&mut found, SectionName::PostClone);
    if conf.section(SectionName::PostClone).is_some() {
        own(&mut found, "RUN");
    }
    own(&mut found, "ARG ENV ARG ENV ENTRYPOINT CMD");
    found
}

/// Bodies of sections: mostly whole instructions, with what could make one of them swallow the
/// next, or end early.
fn body() -> impl Strategy<Value = String> {
    let common = prop::sample::select(vec!["RUN ", "ENV A=", "ARG ", "WORKDIR /", "LABEL x="]);
    let any = prop::sample::select(vec![
        "RUN ",
        "run\t",
        "ENV A=",
        "ARG ",
        "WORKDIR /",
        "LABEL x=",
        "USER ",
        "SHELL [\"a\"] ",
        "# ",
        "FROM ",
        "CMD ",
        "ONBUILD ",
    ]);
    let keyword = prop_oneof![3 => common, 1 => any];
    let odd = "[a-z$HOST_ADR=/'\"#\\[\\]<>& -]{0,10}[a-z]";
    let rest = prop_oneof![3 => "[a-z]{1,10}", 1 => odd];
    let end = prop::sample::select(vec![
        "",
        "",
        "",
        " ",
        " \\\n  && x",
        "\\\n# c\n\n x",
        "\\\\",
        " \\",
        "\r",
        " <<EOF",
    ]);
    let line = (keyword, rest, end).prop_map(|(a, b, c)| format!("{a}{b}{c}\n"));
    prop::collection::vec(line, 0..5).prop_map(|lines| lines.concat())
}

#[test]
fn a_dockerfile_has_dkrs_own_instructions_and_those_of_the_file_and_no_others() {
    let config = Config {
        source_file: Some(file!()),
        ..Config::default()
    };
    let cases = config.cases;
    let mut runner = TestRunner::new(config);
    let packages = prop::collection::vec("[a-z][a-z0-9+.-]{0,8}", 0..4);
    let accepted = Cell::new(0);
    let ran = runner.run(
        &(packages, body(), body(), body()),
        |(packages, a, b, c)| {
            let packages = packages.join(" ");
            let text = format!(
                "packages = {packages}\n[pre_packages]\n{a}[pre_clone]\n{b}[post_clone]\n{c}"
            );
            let Ok(conf) = parse(text.as_bytes(), &Allow::default()) else {
                return Ok(());
            };
            accepted.set(accepted.get() + 1);
            let spec = build_spec(&conf, "x:1");
            let file = Dockerfile::create(&spec);
            let found = instructions(file.text());
            let keywords: Vec<String> = found.iter().map(|line| keyword(line)).collect();
            prop_assert_eq!(keywords, expected(&conf), "{}", file.text());

            // What dkr writes without the sections is there unchanged, in that order.
            let bare = BuildSpec {
                pre_packages: None,
                pre_clone: None,
                post_clone: None,
                ..spec
            };
            let bare = instructions(Dockerfile::create(&bare).text());
            let mut rest = found.iter();
            for constant in &bare {
                prop_assert!(
                    rest.any(|line| line == constant),
                    "{} {}",
                    constant,
                    file.text()
                );
            }
            Ok(())
        },
    );
    ran.unwrap();
    assert!(
        accepted.get() >= cases / 6,
        "only {} files are valid",
        accepted.get()
    );
}
