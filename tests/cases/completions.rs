//! `dkr completions`: the scripts, executed by the shells that they are for, which ask dkr.

use std::path::Path;
use std::time::{Duration, Instant};

use super::create_image::two_commits;
use super::stocked;
use crate::support::{FakeEngine, Repo, Sandbox};

/// A repository with refs, and an engine with its images and containers.
fn stocked_engine(t: &Sandbox) -> (Repo, FakeEngine) {
    let upstream = two_commits(t, "upstream").branch("devel", "main:0");
    let repo = two_commits(t, "linux")
        .branch("topic/one", "main:1")
        .branch("a;touch${IFS}canary", "main:1")
        .remote("space", &upstream);
    repo.git(["fetch", "-q", "space"]);
    repo.git(["tag", "v6.12"]);
    std::fs::create_dir(repo.path().join("my folder")).unwrap();
    std::fs::create_dir(repo.path().join("my folder/src")).unwrap();
    let engine = stocked::engine(t, &repo, &["main"], &["fix-parser", "candid-sparrow"]);
    (repo, engine)
}

/// What `program` prints when it has read `script`, with dkr's completions for `shell` in FILE, in a
/// repository with an engine.
fn executed(
    t: &Sandbox,
    (repo, engine): &(Repo, FakeEngine),
    shell: &str,
    program: &[&str],
    script: &str,
) -> String {
    let completions = t.dkr(["completions", shell]).success().stdout;
    let file = t.path().join("completions");
    std::fs::write(&file, completions).unwrap();
    let script = script.replace("FILE", file.to_str().unwrap());
    let arguments = [&program[1..], &["-c", &script]].concat();
    // The scripts ask the dkr that is on the PATH.
    let folder = Path::new(env!("CARGO_BIN_EXE_dkr")).parent().unwrap();
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", folder.display());
    let run = t.command(program[0], arguments).in_dir(repo);
    let run = run.env("PATH", path).env("DOCKER_HOST", engine.host());
    let output = run.limit(Duration::from_secs(60)).success();
    assert_eq!(output.stderr, "", "{output}");
    output.stdout
}

#[test]
fn bash_completes_words_and_what_the_engine_and_the_repository_have() {
    let t = Sandbox::new();
    let stocked = stocked_engine(&t);
    // As readline asks: with the line, and the part of its last word that is replaced.
    let lines = [
        (r"dkr creat", r"creat"),
        (r"dkr completions ", r""),
        (r"dkr list-images --js", r"--js"),
        (r"dkr start-image --stale ", r""),
        (r"dkr create-image --transport=s", r"s"),
        (r"dkr attach f", r"f"),
        (r"dkr rm fix-parser ", r""),
        (r"dkr inspect-image dkr:", r""),
        (r"dkr remove-image linux-", r"linux-"),
        (r"dkr create-image . t", r"t"),
        (r"dkr sc . space/", r"space/"),
        (r"dkr update-image . v", r"v"),
        (r"dkr ls my", r"my"),
        (r"dkr ls 'my f", r"my f"),
        (r"dkr ls my\ folder/", r"my\ folder/"),
        (r"dkr create-image . a", r"a"),
        (r"dkr exec fix-parser -- ", r""),
        (r"dkr start-image --cpus ", r""),
    ];
    let asked = lines.map(|(line, replaced)| format!("ask \"{line}\" \"{replaced}\"\n"));
    let script = format!(
        r#"source FILE
        ask() {{ COMP_LINE=$1; COMP_POINT=${{#1}}; _dkr dkr "$2" x; echo "${{COMPREPLY[*]}}"; }}
        {}"#,
        asked.concat()
    );
    let bash = ["bash", "--norc", "--noprofile"];
    let printed = executed(&t, &stocked, "bash", &bash, &script);
    let expected = [
        "create-image",
        "bash zsh fish",
        "--json",
        "ask update proceed fail",
        "ssh session",
        "fix-parser",
        "fix-parser candid-sparrow",
        "linux-main linux-main-000000",
        "linux-main linux-main-000000",
        "topic/one",
        "space/devel space/main",
        "v6.12",
        "my\\ folder/",
        "my folder/",
        "my\\ folder/src/",
        "a\\;touch\\$\\{IFS\\}canary",
        "",
        "",
    ];
    assert_eq!(printed.lines().collect::<Vec<_>>(), expected);
    let (_, engine) = stocked;
    assert!(
        engine
            .requests()
            .iter()
            .all(|request| request.method == "GET")
    );
}

/// What the words are after a TAB on a terminal is what counts: bash replaces less than a word after
/// a `:`, and takes what is inserted for its own.
#[test]
fn bash_inserts_whole_words_on_a_terminal() {
    let t = Sandbox::new();
    let stocked = stocked_engine(&t);
    let lines = [
        "dkr attach fi",
        "dkr inspect-image dkr:linux-main-",
        "dkr inspect-image linux-main-",
        "dkr ci --transport=ses",
        "dkr ci . a",
        "dkr ls my",
        r#"dkr ls "my f"#,
    ];
    let script = format!(
        r#"zmodload zsh/zpty
        TERM=xterm zpty b bash --norc --noprofile -i
        zpty -w b 'source FILE; dkr() {{ printf BEGIN; printf "<%s>" "$@"; echo END; }}; PS1=PRO""MPT'
        for line in '{}'; do
            zpty -r -m b out '*PROMPT*'
            zpty -n -w b "$line"$'\t\n'
            zpty -r -m b out '*BEGIN*END*' && print -r -- "${{${{out##*BEGIN}}%%END*}}"
        done
        zpty -d b"#,
        lines.join("' '")
    );
    let printed = executed(&t, &stocked, "bash", &["zsh", "-f"], &script);
    let expected = [
        "<attach><fix-parser>",
        "<inspect-image><dkr:linux-main-000000>",
        "<inspect-image><linux-main-000000>",
        "<ci><--transport=session>",
        "<ci><.><a;touch${IFS}canary>",
        "<ls><my folder/>",
        "<ls><my folder/>",
    ];
    assert_eq!(printed.lines().collect::<Vec<_>>(), expected);
    assert!(!stocked.0.path().join("canary").exists());
}

#[test]
fn fish_completes_words_and_what_the_engine_and_the_repository_have() {
    let t = Sandbox::new();
    let stocked = stocked_engine(&t);
    let lines = [
        "dkr creat",
        "dkr list-images --js",
        "dkr start-image --keep ",
        "dkr ci --transport=s",
        "dkr take f",
        "dkr inspect-image dkr:",
        "dkr create-image . t",
        "dkr start-image --cpus ",
    ];
    let asked = lines.map(|line| format!("complete -C '{line}'"));
    let script = format!("source FILE; {}", asked.join("; "));
    let printed = executed(&t, &stocked, "fish", &["fish", "--no-config"], &script);
    let words: Vec<&str> = printed
        .lines()
        .filter_map(|line| line.split('\t').next())
        .collect();
    let expected = [
        "create-image",
        "--json",
        "auto",
        "always",
        "never",
        "--transport=ssh",
        "--transport=session",
        "fix-parser",
        "dkr:linux-main",
        "dkr:linux-main-000000",
        "topic/one",
    ];
    assert_eq!(words, expected, "{printed}");
    assert!(printed.contains("fix-parser\tcreated, linux"), "{printed}");
}

/// zsh completes for a terminal only: a function tells what words it has made.
#[test]
fn zsh_completes_words_and_what_the_engine_and_the_repository_have() {
    let t = Sandbox::new();
    let stocked = stocked_engine(&t);
    let lines = [
        "dkr creat",
        "dkr list-images --js",
        "dkr start-image --stale pro",
        "dkr ci --transport=ses",
        "dkr attach fi",
        "dkr inspect-image dkr:linux-main-",
        "dkr ci . top",
        "dkr ci . a",
        "dkr ls my",
    ];
    let script = format!(
        r#"zmodload zsh/zpty
        TERM=xterm zpty z zsh -f -i
        zpty -w z 'autoload -U compinit; compinit -u -D; source FILE'
        zpty -w z 'dkr() {{ printf BEGIN; printf "<%s>" "$@"; echo END; }}; PS1=PRO""MPT'
        for line in '{}'; do
            zpty -r -m z out '*PROMPT*'
            zpty -n -w z "$line"$'\t\n'
            zpty -r -m z out '*BEGIN*END*' && print -r -- "${{${{out##*BEGIN}}%%END*}}"
        done
        zpty -d z"#,
        lines.join("' '")
    );
    let printed = executed(&t, &stocked, "zsh", &["zsh", "-f"], &script);
    let expected = [
        "<create-image>",
        "<list-images><--json>",
        "<start-image><--stale><proceed>",
        "<ci><--transport=session>",
        "<attach><fix-parser>",
        "<inspect-image><dkr:linux-main-000000>",
        "<ci><.><topic/one>",
        "<ci><.><a;touch${IFS}canary>",
        "<ls><my folder/>",
    ];
    assert_eq!(printed.lines().collect::<Vec<_>>(), expected);
    assert!(!stocked.0.path().join("canary").exists());
}

#[test]
fn an_engine_that_does_not_answer_offers_nothing_and_holds_nobody_up() {
    let t = Sandbox::new();
    let (repo, _) = stocked_engine(&t);
    let silent = t.path().join("silent.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&silent).unwrap();
    let hosts = [
        format!("unix://{}", silent.display()),
        "unix:///nonexistent".to_owned(),
        // It could ask for a password.
        "ssh://nowhere.invalid".to_owned(),
        "nonsense://x".to_owned(),
    ];
    for host in hosts {
        let began = Instant::now();
        let words = ["complete", "fish", "--", "dkr", "attach", ""];
        let asked = t
            .dkr(words)
            .in_dir(&repo)
            .env("DOCKER_HOST", &host)
            .success();
        assert_eq!((&*asked.stdout, &*asked.stderr), ("", ""), "{host}");
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{host}: {:?}",
            began.elapsed()
        );
        let refs = ["complete", "fish", "--", "dkr", "ci", ".", "top"];
        let asked = t
            .dkr(refs)
            .in_dir(&repo)
            .env("DOCKER_HOST", &host)
            .success();
        assert_eq!(asked.stdout, "topic/one\t\n");
    }
    std::fs::remove_file(&silent).unwrap();
    let nowhere = t
        .dkr(["complete", "fish", "--", "dkr", "ci", ".", ""])
        .in_dir(Path::new("/"));
    assert_eq!(nowhere.success().stdout, "");
}

#[test]
fn a_mistake_in_the_users_configuration_does_not_hinder_completion() {
    let t = Sandbox::new();
    let file = t.path().join("config/dkr/dkr.conf");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "nonsense\n").unwrap();
    let asked = t
        .dkr(["complete", "fish", "--", "dkr", "ui", "--drift", "b"])
        .success();
    assert_eq!((&*asked.stdout, &*asked.stderr), ("bake\t\n", ""));
}
