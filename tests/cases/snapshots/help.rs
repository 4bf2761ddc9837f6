//! `--help` of dkr and of each of its commands.

use super::Transcript;
use crate::support::Sandbox;

#[test]
fn of_dkr_and_each_command() {
    let t = Sandbox::new();
    let mut transcript = Transcript::new(&t);
    let help = transcript.run(transcript.dkr(&["--help"])).stdout;
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    // A name stands two columns in; what is further in is a text.
    let names = commands
        .lines()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|name| !name.is_empty() && *name != "help");
    for name in names {
        transcript.run(transcript.dkr(&[name, "--help"]));
    }
    transcript.check("help");
}

#[test]
fn without_a_command_and_of_the_version() {
    let t = Sandbox::new();
    let mut transcript = Transcript::new(&t);
    for arguments in [&[][..], &["--version"], &["help", "nothing"]] {
        transcript.run(transcript.dkr(arguments));
    }
    transcript.check("help-otherwise");
}
