//! The documentation: its generated parts are up to date, its links lead somewhere, the README is
//! short, and the commands, flags and settings that it names exist. Needs no engine.

mod generated;
mod names;
pub(super) mod program;

use std::fs;
use std::path::{Path, PathBuf};

/// The README is read in one sitting.
const README_LINES: usize = 200;

#[test]
fn the_readme_is_short() {
    let lines = read(&root().join("README.md")).lines().count();
    assert!(lines <= README_LINES, "README.md has {lines} lines");
}

#[test]
fn every_link_leads_somewhere() {
    let mut broken = Vec::new();
    for page in pages() {
        for target in links(&prose(&read(&page))) {
            if let Err(why) = follow(&page, &target) {
                broken.push(format!("{}: `{target}` {why}", short(&page)));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn broken_links_are_seen() {
    assert_eq!(slug("## `.dkr.conf` and *more*, v1"), "dkrconf-and-more-v1");
    let text = "[a](x.md#y) `[b](no)`\n```\n[c](no)\n```\n![d](z.svg)\n";
    assert_eq!(links(&prose(text)), ["x.md#y", "z.svg"]);
    assert_eq!(code("a `b c` d\n```\n$ e\n```\n"), ["$ e", "b c"]);
    let page = root().join("README.md");
    assert!(follow(&page, "LICENSE").is_ok());
    for broken in ["no.md", "#no-such-heading", "docs/json.md#no", "/docs"] {
        assert!(follow(&page, broken).is_err(), "{broken}");
    }
}

/// Every page of the documentation.
fn pages() -> Vec<PathBuf> {
    let mut pages: Vec<PathBuf> = [".", ".github", "benches", "docs", "docs/dev"]
        .iter()
        .flat_map(|folder| fs::read_dir(root().join(folder)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    pages.sort();
    assert!(pages.len() > 15, "the pages are not where they should be");
    pages
}

/// A page without its code.
fn prose(text: &str) -> String {
    let mut prose = String::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            let outside = line.split('`').step_by(2);
            prose += &outside.collect::<Vec<_>>().join("``");
            prose.push('\n');
        }
    }
    prose
}

/// The pieces of code of a page: its spans, and the lines of its blocks. What is generated is the
/// program's own.
fn code(text: &str) -> Vec<String> {
    let mut code = Vec::new();
    let mut outside = String::new();
    let (mut fenced, mut generated) = (false, false);
    for line in text.lines() {
        match line {
            _ if line.starts_with("<!-- generated") => generated = true,
            "<!-- end -->" => generated = false,
            _ if generated => {}
            _ if line.starts_with("```") => fenced = !fenced,
            _ if fenced => code.push(line.to_owned()),
            _ => outside += &format!("{line}\n"),
        }
    }
    // A span may go on in the next line.
    let spans = outside.split('`').skip(1).step_by(2);
    code.extend(spans.map(|span| span.replace('\n', " ")));
    code
}

/// The targets of a page's links.
fn links(prose: &str) -> Vec<String> {
    let rest = prose.split("](").skip(1);
    rest.filter_map(|rest| Some(rest.split_once(')')?.0.to_owned()))
        .collect()
}

/// Why a link in `page` leads nowhere, if it does. Other sites are not asked.
fn follow(page: &Path, target: &str) -> Result<(), &'static str> {
    if target.starts_with("https://") {
        return Ok(());
    }
    if target.starts_with('/') || target.contains("://") {
        return Err("is not relative");
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let file = match file {
        "" => page.to_owned(),
        _ => page.parent().unwrap().join(file),
    };
    if !file.exists() {
        return Err("is no file");
    }
    if anchor.is_empty() {
        return Ok(());
    }
    let text = read(&file);
    let mut headings = text.lines().filter(|line| line.starts_with('#'));
    match headings.any(|heading| slug(heading) == anchor) {
        true => Ok(()),
        false => Err("names no heading"),
    }
}

/// The anchor of a heading, as GitHub makes it.
fn slug(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn short(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap_or(path)
        .display()
        .to_string()
}
