//! Writes commits to a repository with `receive-pack`, hardened as for a container's push: dkr itself is
//! the client and chooses the refs, and only the pack comes from elsewhere.
//!
//! Format: gitprotocol-pack, "Reference Update Request and Packfile Transfer" and "Report Status".

use std::collections::{BTreeMap, BTreeSet};

use git2::Reference;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{Program, Service, ServiceLimits};
use crate::env::Env;
use crate::error::{Error, Reason, Result};
use crate::git::CommitId;

/// The protocol's id for a ref that does not exist.
const NOTHING: &str = "0000000000000000000000000000000000000000";

/// A ref to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefUpdate {
    /// Its full name.
    pub name: String,
    /// The commit to write.
    pub commit: String,
}

impl Service {
    /// Writes refs whose objects come in `pack`: all of them or none. The service must be one of
    /// [`Program::Deliver`] for these refs.
    ///
    /// # Errors
    /// When git cannot be run, the pack is broken or incomplete, or a ref cannot be written: the
    /// causes are git's own messages.
    pub async fn deliver(
        &self,
        updates: &[RefUpdate],
        pack: impl AsyncRead + Unpin,
        env: &Env,
    ) -> Result<()> {
        self.permits(updates)?;
        let git_dir = self.git_dir.display();
        let failed = || Error::failed(format!("cannot write commits to `{git_dir}`"));
        let grace = ServiceLimits::default().grace;
        let (mut process, (input, mut output, mut errors)) = self.start(env, grace).await?;
        let mut words = String::new();
        let talk = async {
            let talked = talk(updates, pack, input, &mut output).await;
            // Its last output must not block it.
            tokio::io::copy(&mut output, &mut tokio::io::sink()).await?;
            talked
        };
        let (talked, _) = tokio::join!(talk, errors.read_to_string(&mut words));
        let status = match talked {
            Ok(_) => process.wait().await,
            Err(_) => process.end().await,
        };
        let mut error = failed();
        error.causes = words.lines().map(str::to_owned).collect();
        match talked {
            Ok(refusals)
                if refusals.is_empty() && status.is_some_and(|status| status.success()) =>
            {
                return Ok(());
            }
            Ok(refusals) => error.causes.extend(refusals),
            Err(e) if error.causes.is_empty() => error = error.source(e),
            // It has ended and reported why.
            Err(_) => {}
        }
        let reason = reason(&error.causes);
        Err(error.reason(reason))
    }

    /// git itself is shown more refs than those that may be written, and takes a line apart as it
    /// comes.
    fn permits(&self, updates: &[RefUpdate]) -> Result<()> {
        let named: BTreeSet<&String> = match &self.program {
            Program::Deliver { refs, .. } => refs.iter().collect(),
            _ => BTreeSet::new(),
        };
        let permitted = |update: &&RefUpdate| {
            let is_commit = update.commit.parse::<CommitId>().is_ok();
            is_commit && named.contains(&update.name) && Reference::is_valid_name(&update.name)
        };
        match updates.iter().find(|update| !permitted(update)) {
            None => Ok(()),
            Some(RefUpdate { name, commit }) => {
                let (name, commit) = (name.escape_debug(), commit.escape_debug());
                let message = format!("cannot write the ref `{name}` at `{commit}`");
                Err(Error::bug(message))
            }
        }
    }
}

/// Why git wrote nothing, from its messages: one about a ref takes precedence over one about an object.
fn reason(words: &[String]) -> Option<Reason> {
    let says = |sign: &str| words.iter().any(|line| line.contains(sign));
    if says("non-fast-forward") {
        Some(Reason::NonFastForward)
    } else if says("checked out") {
        Some(Reason::CheckedOut)
    } else if says("cannot lock ref") {
        None
    } else {
        let signs = ["object", "unpack", "fsck"];
        signs.into_iter().any(says).then_some(Reason::BadObject)
    }
}

/// The whole conversation; returns what git refuses.
async fn talk(
    updates: &[RefUpdate],
    mut pack: impl AsyncRead + Unpin,
    mut input: impl AsyncWrite + Unpin,
    output: &mut (impl AsyncRead + Unpin),
) -> std::io::Result<Vec<String>> {
    let mut old = BTreeMap::new();
    while let Some(line) = packet(output).await? {
        let line = line.split('\0').next().unwrap_or_default();
        if let Some((id, name)) = line.trim_end().split_once(' ') {
            old.insert(name.to_owned(), id.to_owned());
        }
    }
    for (index, update) in updates.iter().enumerate() {
        let before = old.get(&update.name).map_or(NOTHING, String::as_str);
        let mut line = format!("{before} {} {}", update.commit, update.name);
        if index == 0 {
            line.push_str("\0 report-status atomic quiet");
        }
        let line = format!("{:04x}{line}", line.len() + 4);
        input.write_all(line.as_bytes()).await?;
    }
    input.write_all(b"0000").await?;
    tokio::io::copy(&mut pack, &mut input).await?;
    input.shutdown().await?;
    drop(input);

    let mut refusals = Vec::new();
    while let Some(line) = packet(output).await? {
        let line = line.trim_end();
        match line.split_once(' ') {
            Some(("unpack", "ok") | ("ok", _)) => {}
            Some(("unpack", reason)) => refusals.push(format!("git says: {reason}")),
            Some(("ng", reason)) => refusals.push(reason.to_owned()),
            _ => refusals.push(line.to_owned()),
        }
    }
    Ok(refusals)
}

/// The next packet; `None` at the end of a list.
async fn packet(source: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Option<String>> {
    let mut length = [0; 4];
    source.read_exact(&mut length).await?;
    let malformed = || std::io::Error::other("unexpected answer from git");
    let length = std::str::from_utf8(&length).map_err(|_| malformed())?;
    match usize::from_str_radix(length, 16).map_err(|_| malformed())? {
        0 => Ok(None),
        length @ 4.. => {
            let mut line = vec![0; length - 4];
            source.read_exact(&mut line).await?;
            Ok(Some(String::from_utf8_lossy(&line).into_owned()))
        }
        _ => Err(malformed()),
    }
}
