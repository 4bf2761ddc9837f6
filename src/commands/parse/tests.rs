//! Every command has examples, and the examples parse.

use super::*;

/// The command lines under `Examples:`.
fn examples(help: &str) -> Vec<String> {
    let part = help.split("Examples:\n").nth(1).unwrap_or_default();
    let lines = part.lines().take_while(|line| !line.is_empty());
    // The description is beside the command, or below it and indented further.
    let typed = lines.filter_map(|line| line.strip_prefix("  ").filter(|l| !l.starts_with(' ')));
    let typed = typed.map(|line| line.split("  ").next().unwrap_or_default().to_owned());
    typed.collect()
}

/// The dkr commands in a shell command line, each as its words.
fn runs(line: &str) -> Vec<Vec<String>> {
    let mut runs = Vec::new();
    let mut line = line.to_owned();
    while let Some((before, rest)) = line.clone().split_once("$(") {
        let (inner, after) = rest.split_once(')').expect("it ends");
        runs.extend(self::runs(inner));
        line = format!("{before}word{after}");
    }
    for part in line.split(['|', '>']) {
        let words = shlex::split(part).expect("its quotes end");
        let is_variable = |word: &&String| word.contains('=') && !word.starts_with('-');
        let words: Vec<String> = words.iter().skip_while(is_variable).cloned().collect();
        if words.first().is_some_and(|word| word == "dkr") {
            runs.push(words);
        }
    }
    runs
}

/// The full name of the command that these words run.
fn command_of(words: &[String]) -> String {
    let parsed = description().try_get_matches_from(words);
    let parsed = parsed.unwrap_or_else(|error| panic!("`{}`: {error}", words.join(" ")));
    parsed.subcommand_name().unwrap_or_default().to_owned()
}

#[test]
fn every_command_has_examples_of_itself_that_parse() {
    let whole = description();
    let commands = whole.get_subcommands();
    let mut count = 0;
    for command in commands {
        let name = command.get_name();
        let help = command.clone().render_long_help().to_string();
        let lines = examples(&help);
        let runs: Vec<_> = lines.iter().flat_map(|line| runs(line)).collect();
        let of_itself = runs.iter().filter(|words| command_of(words) == name);
        assert!(
            of_itself.count() > 0,
            "`{name}` has no example of itself: {help}"
        );
        let flags = command.get_arguments().filter(|flag| !flag.is_hide_set());
        for flag in flags {
            assert!(
                flag.get_help().is_some(),
                "`{name}` does not say what {flag} is for"
            );
        }
        count += 1;
    }
    assert_eq!(count, 19);
}

#[test]
fn the_first_help_shows_the_way_from_a_repository_to_a_container() {
    let help = description().render_long_help().to_string();
    let runs: Vec<_> = examples(&help).iter().flat_map(|line| runs(line)).collect();
    let commands: Vec<String> = runs.iter().map(|words| command_of(words)).collect();
    for name in ["create-image", "start-image", "update-image"] {
        assert!(
            commands.iter().any(|command| command == name),
            "{commands:?}"
        );
    }
}

#[test]
fn an_example_that_is_wrong_is_seen() {
    let line = "DKR_STALE=fail dkr rm $(dkr ps -q) | git apply";
    assert_eq!(
        runs(line),
        [vec!["dkr", "ps", "-q"], vec!["dkr", "rm", "word"]]
    );
    let words = ["dkr", "ps", "--jsn"].map(str::to_owned);
    assert!(std::panic::catch_unwind(|| command_of(&words)).is_err());
}
