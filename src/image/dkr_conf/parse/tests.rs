//! Tests of the parser of `.dkr.conf`.

use proptest::prelude::*;

use super::*;

const EXAMPLE: &str = include_str!("../../../../fixtures/design-example.dkr.conf");

fn conf(text: &str) -> DkrConf {
    parse(text.as_bytes(), &Allow::default()).unwrap()
}

#[track_caller]
fn refused(text: &str) -> String {
    let error = parse(text.as_bytes(), &Allow::default()).expect_err(text);
    assert_eq!(error.kind, crate::error::Kind::Usage);
    error.to_string()
}

#[test]
fn the_example_comes_back_as_written() {
    let conf = conf(EXAMPLE);
    assert_eq!(conf.base_image, "ubuntu:24.04");
    assert_eq!(conf.packages, ["bazel", "clang", "cmake"]);
    assert_eq!(
        conf.volumes,
        [Volume::parse("bazel-cache:/bazel-cache").unwrap()]
    );
    let sections: Vec<_> = conf.sections().collect();
    assert_eq!(sections.len(), 3);
    let run = "RUN apt-get update && apt-get install -y curl gnupg && curl -fsSL \
               https://example.com/key.gpg | gpg --dearmor > /usr/share/keyrings/example.gpg";
    assert_eq!(sections[0].name, SectionName::PrePackages);
    assert_eq!(sections[0].text, format!("{run}\n\n"));
    assert_eq!(sections[0].first_line, 6);
    assert_eq!(sections[0].instructions[0].text, run);
    assert_eq!(sections[1].text, "RUN mkdir -p /opt/toolchain\n\n");
    assert_eq!(sections[2].text, "RUN cd /workspace && ./setup.sh\n");
    let instruction = &sections[2].instructions[0];
    assert_eq!(
        (instruction.keyword.as_str(), instruction.line),
        ("RUN", 12)
    );
}

#[test]
fn a_file_that_says_nothing_means_the_defaults() {
    for text in [
        "",
        "\n\n",
        "\u{feff}# a\r\n; b\r\n",
        "packages =\nvolumes =\n",
    ] {
        assert_eq!(conf(text), DkrConf::default());
    }
    assert_eq!(DkrConf::default().base_image, "fedora:43");
}

#[test]
fn a_raw_section_keeps_what_an_ini_parser_would_eat() {
    let body = "\n ; x\n";
    assert!(refused(&format!("[pre_clone]{body}")).contains("unknown instruction `;`"));
    let body =
        "# [post_clone]\n\nRUN a=1; b='2' \\\n# c\n[post_clone]\nENV X=\"a\\nb\" \\\n  [x]\n\n";
    let text = format!("[pre_clone]\n{body}[post_clone]\nRUN id");
    let conf = conf(&text);
    let section = conf.section(SectionName::PreClone).unwrap();
    assert_eq!(section.text, body);
    assert_eq!(section.instructions.len(), 2);
    assert_eq!(section.instructions[0].text, "RUN a=1; b='2' [post_clone]");
    assert_eq!(section.instructions[1].line, 7);
    assert_eq!(conf.section(SectionName::PostClone).unwrap().text, "RUN id");
    assert_eq!(conf.section(SectionName::PrePackages), None);
}

#[test]
fn line_ends_of_windows_and_a_byte_order_mark_change_nothing() {
    let windows = format!("\u{feff}{}", EXAMPLE.replace('\n', "\r\n"));
    assert_eq!(conf(&windows), conf(EXAMPLE));
}

#[test]
fn a_mistyped_name_gets_the_nearest_one() {
    assert_eq!(
        refused("\npakages = x"),
        "error: unknown key `pakages` in `.dkr.conf`, line 2: expected `base_image`, `packages` \
         or `volumes`\nhint: did you mean `packages`?"
    );
    for text in ["[post_clon]", "[pre_clone]\nRUN id\n[post_clon]\nRUN id"] {
        let message = refused(text);
        assert!(message.contains("unknown section `[post_clon]` in `.dkr.conf`, line "));
        assert!(
            message.ends_with("hint: did you mean `[post_clone]`?"),
            "{message}"
        );
    }
    let message = refused("[pre_clone]\n [post_clone]");
    assert!(message.contains("header `[post_clone]` in `.dkr.conf`, line 2: expected it alone"));
    let message = refused("[pre_clone]\nRUN id\npackages = x");
    assert!(message.contains("line 3 of `.dkr.conf`: the key `packages` belongs above"));
}

#[test]
fn nothing_stands_twice() {
    assert_eq!(
        refused("packages = a\n\npackages = b"),
        "error: duplicate key `packages` in `.dkr.conf`, line 3 (first on line 1)"
    );
    assert_eq!(
        refused("[pre_clone]\n[post_clone]\n[pre_clone]"),
        "error: duplicate section `[pre_clone]` in `.dkr.conf`, line 3 (first on line 1)"
    );
    assert!(refused("volumes = aa:/x bb:/x").contains("one volume for `/x`"));
}

#[test]
fn a_base_image_is_a_reference_and_nothing_else() {
    for value in [
        "",
        "--platform=x fedora",
        "$VAR",
        "x RUN id",
        "# syntax=evil/f",
        "# escape=`",
    ] {
        let message = refused(&format!("# c\nbase_image = {value}\n"));
        let expected = format!("invalid value `{value}` for `base_image` in `.dkr.conf`, line 2");
        assert!(message.contains(&expected), "{message}");
    }
}

#[test]
fn a_value_holds_no_line_end_and_no_nul() {
    for text in [
        "base_image = x\rRUN id\n",
        "base_image = x\0\n",
        "base_image = x\r",
    ] {
        assert!(refused(text).contains("for `base_image` in `.dkr.conf`, line 1"));
    }
    let message = refused("[pre_clone]\nRUN a\rFROM b\n");
    assert!(
        message.contains("line 2: it contains a carriage return"),
        "{message}"
    );
    assert!(refused("[pre_clone]\nRUN a\0\n").contains("line 2: it contains a NUL"));
}

#[test]
fn packages_are_names_that_no_shell_or_package_manager_misreads() {
    let names =
        "g++ libfoo:amd64 foo=1:2.3+b-1~deb12 @development-tools foo.x86_64 extra/foo foo@edge";
    assert_eq!(
        conf(&format!("packages = {names} g++")).packages.join(" "),
        names
    );
    for name in [
        "-y",
        "foo-",
        "$(id)",
        "a;b",
        "`id`",
        "a*",
        "a\\",
        "@",
        "#",
        "perl(Foo)",
        "ü",
    ] {
        let message = refused(&format!("packages = ok {name}"));
        assert!(
            message.contains(&format!("invalid value `{name}` for `packages`")),
            "{message}"
        );
    }
}

#[test]
fn a_host_path_needs_the_users_leave() {
    let text = b"volumes = /srv/data/x:/x".as_slice();
    let message = refused("volumes = /srv/data/x:/x");
    assert_eq!(
        message,
        "error: the host path in `/srv/data/x:/x` for `volumes` in `.dkr.conf`, line 1 is not \
         allowed\nhint: if you trust this repository, allow it with `--allow-host-volumes`\n\
         hint: to mount it yourself, use `-v /srv/data/x:/x` with `dkr start-image`"
    );
    let any = Allow {
        host_volumes: true,
        ..Allow::default()
    };
    assert_eq!(parse(text, &any).unwrap().volumes.len(), 1);
    let listed = Allow {
        host_paths: vec!["/srv/data".into()],
        ..Allow::default()
    };
    assert_eq!(parse(text, &listed).unwrap().volumes.len(), 1);
    for text in [
        "volumes = /srv/database:/x",
        "volumes = /srv/data/../etc:/x",
    ] {
        assert!(parse(text.as_bytes(), &listed).is_err());
    }
}

#[test]
fn an_instruction_without_its_end_is_refused() {
    for text in ["RUN a \\", "RUN a \\\n", "RUN a \\\n\n# c\n", "\\\n"] {
        let message = refused(&format!("[pre_clone]\n{text}"));
        assert!(
            message.contains("[pre_clone] in `.dkr.conf`, line 2 ends in `\\`"),
            "{message}"
        );
    }
    let message = refused("[pre_clone]\nRUN a \\\n\n[post_clone]\nRUN b");
    assert!(
        message.contains("line 4 would continue the instruction of line 2"),
        "{message}"
    );
}

#[test]
fn a_line_that_buildkit_could_not_read_is_refused() {
    let text = format!("[pre_clone]\nRUN {}", "x".repeat(70_000));
    assert!(refused(&text).contains("line 2: it has 70004 bytes"));
}

#[test]
fn a_refused_instruction_is_named_with_its_section_and_line() {
    let message = refused("[pre_clone]\nRUN id \\\n  && id\nFROM x");
    assert!(message.contains("`FROM` is not allowed in [pre_clone], line 4 of `.dkr.conf`"));
    let text = b"[pre_clone]\nRUN --mount=type=ssh id";
    assert!(parse(text, &Allow::default()).is_err());
    let allow = Allow {
        ssh_mounts: true,
        ..Allow::default()
    };
    assert!(parse(text, &allow).is_ok());
}

/// The keywords that BuildKit's parser finds in `text`, by a second implementation of its rules: lines
/// without comments, joined as long as they end in an odd `\`.
fn keywords(text: &str) -> Vec<String> {
    let mut joined: Vec<String> = Vec::new();
    let mut continued = false;
    for line in text.lines() {
        let start = line.trim_start();
        if start.starts_with('#') || start.is_empty() {
            continue;
        }
        let bare = line.trim_end_matches([' ', '\t']);
        let ends_open = bare.ends_with('\\') && !bare.ends_with("\\\\");
        let part = if ends_open {
            &bare[..bare.len() - 1]
        } else {
            line
        };
        match joined.last_mut() {
            Some(last) if continued => last.push_str(part),
            _ => joined.push(part.trim_start().to_owned()),
        }
        continued = ends_open;
    }
    let first = |line: &String| line.split_whitespace().next().unwrap_or("").to_uppercase();
    joined.iter().map(first).collect()
}

/// Lines that are likely to confuse a parser.
fn line() -> impl Strategy<Value = String> {
    let keyword = prop::sample::select(vec![
        "RUN",
        "run",
        "FROM",
        "fr\\\nom",
        "CMD",
        "ENTRYPOINT",
        "COPY",
        "ADD",
        "ENV",
        "ONBUILD",
        "#",
        "\\",
        "",
        " ",
        "\t",
        "[pre_clone]",
        "[post_clone]",
        "[x]",
        "[",
        "\u{a0}",
        "\u{feff}",
    ]);
    let rest = prop::sample::select(vec![
        "",
        "x",
        "a=b",
        "--from=x",
        "--mount=type=ssh",
        "--mount=type=cache,target=/à",
        "CMD x",
        "<<EOF",
        "EOF",
        "'",
        "\"",
        "# c",
        "https://e.com/x /y",
        "$X",
        "\\\\",
        "[\"a\"]",
    ]);
    let end = prop::sample::select(vec!["", " ", "\\", " \\", "\\ ", "\\\\", "\\\n", "\\\n#\n"]);
    let blank = prop::sample::select(vec!["", " ", "\t", "\u{a0}"]);
    (keyword, blank, rest, end).prop_map(|(a, b, c, d)| format!("{a}{b}{c}{d}"))
}

proptest! {
    #[test]
    fn no_bytes_cause_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes, &Allow::default());
    }

    #[test]
    fn no_text_causes_a_panic(text in "[\\PC\n\r\0\\[\\]=\\\\$<'\"]{0,200}") {
        let _ = parse(text.as_bytes(), &Allow::default());
        let _ = parse(format!("[pre_clone]\n{text}").as_bytes(), &Allow::default());
        let _ = parse(format!("[pre_clone]\nRUN {text}").as_bytes(), &Allow::default());
        let _ = parse(format!("[pre_clone]\nADD {text}").as_bytes(), &Allow::default());
        let _ = parse(format!("volumes = {text}").as_bytes(), &Allow::default());
    }

    #[test]
    fn an_accepted_raw_section_is_verbatim_and_holds_no_forbidden_keyword(
        lines in prop::collection::vec(line(), 0..8),
    ) {
        let body = lines.join("\n") + "\n";
        let text = format!("base_image = x:1\n[pre_packages]\n{body}");
        if let Ok(conf) = parse(text.as_bytes(), &Allow::default()) {
            let sections: Vec<&RawSection> = conf.sections().collect();
            let in_file_order = {
                let mut sections = sections.clone();
                sections.sort_by_key(|section| section.first_line);
                sections
            };
            let mut again = String::from("base_image = x:1\n");
            for section in in_file_order {
                again.push_str(&format!("[{}]\n{}", section.name, section.text));
                let found = keywords(&section.text);
                let known: Vec<&str> =
                    section.instructions.iter().map(|i| i.keyword.as_str()).collect();
                prop_assert_eq!(&found, &known);
                for keyword in ["FROM", "CMD", "ENTRYPOINT"] {
                    prop_assert!(!found.iter().any(|found| found == keyword));
                }
            }
            prop_assert_eq!(again, text);
        }
    }

    #[test]
    fn ordinary_commands_are_accepted_verbatim(
        commands in prop::collection::vec("[a-zA-Z0-9_./=;#'\" |&$()-]{1,40}[a-z]", 1..8),
    ) {
        let body: String = commands.iter().map(|command| format!("RUN : {command}\n")).collect();
        let text = format!("[post_clone]\n{body}");
        let conf = parse(text.as_bytes(), &Allow::default()).unwrap();
        let section = conf.section(SectionName::PostClone).unwrap();
        prop_assert_eq!(&section.text, &body);
        prop_assert_eq!(section.instructions.len(), commands.len());
    }
}
