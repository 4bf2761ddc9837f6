//! `dkr completions`: the scripts, executed by the shells that they are for.

use crate::support::Sandbox;

/// What `program` prints when it has read `script`, with dkr's completions for it in a file.
fn executed(program: &str, shell: &str, flags: &[&str], script: &str) -> String {
    let t = Sandbox::new();
    let completions = t.dkr(["completions", shell]).success().stdout;
    let file = t.path().join("completions");
    std::fs::write(&file, completions).unwrap();
    let script = script.replace("FILE", file.to_str().unwrap());
    let arguments = [flags, &["-c", &script]].concat();
    let limit = std::time::Duration::from_secs(60);
    t.command(program, arguments).limit(limit).success().stdout
}

#[test]
fn bash_completes_commands_and_flags() {
    let script = r#"
        source FILE
        ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
                _dkr dkr "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
                echo "${COMPREPLY[*]}"; }
        complete -p dkr
        ask dkr creat
        ask dkr completions ""
        ask dkr list-images --js"#;
    let printed = executed("bash", "bash", &["--norc", "--noprofile"], script);
    let lines: Vec<&str> = printed.lines().collect();
    assert!(
        lines[0].contains("_dkr") && lines[0].ends_with(" dkr"),
        "{printed}"
    );
    assert_eq!(lines[1], "create-image");
    for word in ["bash", "zsh", "fish"] {
        assert!(lines[2].split(' ').any(|found| found == word), "{printed}");
    }
    assert_eq!(lines[3], "--json");
}

#[test]
fn fish_completes_commands_and_flags() {
    let script = "source FILE; complete -C 'dkr creat'; complete -C 'dkr list-images --js'";
    let printed = executed("fish", "fish", &["--no-config"], script);
    let words: Vec<&str> = printed
        .lines()
        .filter_map(|line| line.split('\t').next())
        .collect();
    assert_eq!(words, ["create-image", "--json"], "{printed}");
}

/// zsh completes for a terminal only, so the words that it would offer are caught on their way.
#[test]
fn zsh_completes_commands_and_flags() {
    let script = r#"
        zmodload zsh/zpty
        TERM=xterm zpty z zsh -f -i
        zpty -w z 'PS1=; autoload -U compinit; compinit -u -D; source FILE; compdef _dkr dkr; print REA''DY'
        zpty -r -m z out $'*READY\r*'
        zpty -n -w z $'dkr creat\t'
        zpty -r -m z out '*create-image*' && print -r -- "command found"
        zpty -n -w z $'\C-udkr list-images --js\t'
        zpty -r -m z out '*--json*' && print -r -- "flag found"
        zpty -d z"#;
    let printed = executed("zsh", "zsh", &["-f"], script);
    assert_eq!(printed, "command found\nflag found\n");
}
