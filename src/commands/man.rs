//! `dkr man`: writes the manual pages, for packaging dkr (`dist/build.sh`).
//!
//! The program does this itself, as no other one knows its command line.

use std::fs;
use std::io;
use std::path::Path;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::parse::{DATE, description};
use crate::error::{Error, Result};

/// The heading of the examples in a help text.
const EXAMPLES: &str = "Examples:\n";

/// Runs the command: a page for dkr and one for each command that its help lists, in `folder`.
///
/// # Errors
/// When a page cannot be written.
pub fn run(folder: &Path) -> Result<()> {
    let mut dkr = description()
        .disable_help_subcommand(true)
        .subcommand_help_heading("COMMANDS")
        .subcommand_value_name("COMMAND");
    dkr.build();
    fs::create_dir_all(folder).map_err(|e| failure(folder).source(e))?;
    let commands = dkr.get_subcommands();
    for command in commands.chain([&dkr]) {
        let name = command
            .get_display_name()
            .unwrap_or_else(|| command.get_name());
        let path = folder.join(format!("{name}.1"));
        let page = page(command, name).map_err(|e| failure(&path).source(e))?;
        fs::write(&path, page).map_err(|e| failure(&path).source(e))?;
    }
    Ok(())
}

fn failure(path: &Path) -> Error {
    Error::failed(format!("cannot write `{}`", path.display()))
}

/// The page of a command: the sections that clap provides, and the examples at the end of its help, line by
/// line.
fn page(command: &Command, name: &str) -> io::Result<Vec<u8>> {
    let man = Man::new(command.clone())
        .title(name.to_uppercase())
        .date(DATE)
        .source(concat!("dkr ", env!("CARGO_PKG_VERSION")))
        .manual("User Commands");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    let aliases: Vec<&str> = command.get_visible_aliases().collect();
    let mut own = Roff::default();
    if !aliases.is_empty() {
        own.control("PP", []);
        own.text([roman(format!("Also called {}.", aliases.join(", ")))]);
    }
    own.to_writer(&mut page)?;
    man.render_options_section(&mut page)?;
    let is_whole = command.has_subcommands();
    if is_whole {
        man.render_subcommands_section(&mut page)?;
    }
    let end = command.get_after_help().map(ToString::to_string);
    ending(&end.unwrap_or_default(), is_whole).to_writer(&mut page)?;
    Ok(page)
}

/// The examples, the text of the help after them, and references.
fn ending(after_help: &str, is_whole: bool) -> Roff {
    let mut roff = Roff::default();
    let rest = after_help.strip_prefix(EXAMPLES).unwrap_or(after_help);
    let (examples, rest) = rest.split_once("\n\n").unwrap_or((rest, ""));
    roff.control("SH", ["EXAMPLES"]).control("nf", []);
    for line in examples.lines() {
        roff.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
    }
    roff.control("fi", []);
    for paragraph in rest.split("\n\n").filter(|paragraph| !paragraph.is_empty()) {
        roff.control("PP", []);
        roff.text([roman(paragraph)]);
    }
    roff.control("SH", ["SEE ALSO"]);
    roff.text([roman(if is_whole {
        "git(1), ssh-agent(1)"
    } else {
        "dkr(1)"
    })]);
    roff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_the_examples_line_by_line() {
        let after_help = "Examples:\n  dkr ls   all\n  .x \\ y\n\nMore,\nof it.";
        let ending = ending(after_help, false).to_roff();
        assert_eq!(
            ending,
            ".SH EXAMPLES\n.nf\ndkr ls   all\n\\&.x \\\\ y\n.fi\n.PP\nMore,\nof it.\n.SH \"SEE ALSO\"\ndkr(1)\n"
        );
    }
}
