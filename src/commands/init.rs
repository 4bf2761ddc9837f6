//! `dkr init`: writes a commented `.dkr.conf` to start from.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};

use crate::app::Context;
use crate::bake::source::CONF_FILE;
use crate::error::{Error, Result};
use crate::git::Repository;
use crate::image::dkr_conf::TEMPLATE;

pub(super) const EXAMPLES: &str = "Examples:
  dkr init                   in the current repository
  dkr init ~/src/linux       in another one

Every line of the file is a comment: it has no effect until you edit and commit it.";

/// Arguments of `init`.
#[derive(Debug, Clone, Args)]
pub struct InitArgs {
    /// Path of a repository [default: the current directory's]
    #[arg(value_hint = ValueHint::DirPath)]
    pub path: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// When there is no work tree, or the file exists or cannot be written.
pub fn run(cx: &Context, args: &InitArgs) -> Result<()> {
    let repo = Repository::discover(args.path.as_deref().unwrap_or(Path::new(".")))?;
    let Some(folder) = repo.work_tree() else {
        let error = Error::usage(format!("cannot write `{CONF_FILE}` in `{}`", repo.root()));
        return Err(error
            .cause("it is a bare repository without a work tree")
            .hint("run `dkr init` in a work tree or a clone, then commit and push the file"));
    };
    let path = folder.join(CONF_FILE);
    write_new(&path)?;
    cx.ui.data(&format!("{}\n", path.display()))?;
    cx.ui
        .hint("edit and commit it, then run `dkr create-image` (images are baked from commits)");
    Ok(())
}

/// Writes the template, unless something with that name exists.
fn write_new(path: &Path) -> Result<()> {
    let attempt = || Error::failed(format!("cannot write `{}`", path.display()));
    let opened = OpenOptions::new().write(true).create_new(true).open(path);
    let mut file = opened.map_err(|e| match e.kind() {
        ErrorKind::AlreadyExists => attempt()
            .cause("it already exists")
            .hint("see its effect with `dkr create-image --dry-run`"),
        _ => attempt().source(e),
    })?;
    file.write_all(TEMPLATE.as_bytes())
        .map_err(|e| attempt().source(e))
}
