//! Finding out what a REF argument names, without the network.
//!
//! The rules: without REF, the branch that HEAD is on; `remote/branch` is a remote's branch only if it
//! begins with the name of a remote (the longest that matches); everything else is a branch, a tag, or
//! the id of a commit. `refs/heads/…`, `refs/tags/…` and `refs/remotes/…` are explicit.

use git2::{ErrorCode, ObjectType, Reference};

use super::{Located, RemoteBranch, Repository, TargetKind, refspec};
use crate::error::{Error, Result, quoted, suggestion};

const HEADS: &str = "refs/heads/";
const TAGS: &str = "refs/tags/";
const REMOTES: &str = "refs/remotes/";

/// The shortest abbreviation of an id that git accepts (`core.abbrev` in git-config(1)).
const MIN_ABBREVIATION: usize = 4;

impl Repository {
    /// Finds what `spec` names; without it (or with `HEAD`), the branch that the opened worktree is on,
    /// or its commit if HEAD is detached.
    ///
    /// # Errors
    /// `NotFound` if nothing has that name, with the nearest name as a hint; `Usage` if a branch
    /// and a tag have it, or more than one commit begins with that id; it fails if it is not a
    /// commit or if HEAD's branch has no commit yet.
    pub fn locate(&self, spec: Option<&str>) -> Result<Located> {
        let mut located = match spec {
            None | Some("HEAD") => self.locate_head()?,
            Some(spec) => self.locate_name(spec)?,
        };
        if let Some(spec) = spec {
            spec.clone_into(&mut located.branch_from);
        }
        Ok(located)
    }

    /// The local branch that `located` hides, if it is a remote's branch and a local one has the
    /// same name: its full name, which is unambiguous.
    pub fn hidden_branch(&self, located: &Located) -> Option<String> {
        located.remote_branch()?;
        let local = format!("{HEADS}{}", located.branch_from);
        self.ref_exists(&local).then_some(local)
    }

    fn locate_head(&self) -> Result<Located> {
        let failed = |cause: &str| {
            Error::failed(format!("cannot read HEAD of `{}`", self.root())).cause(cause)
        };
        let head = self
            .inner
            .find_reference("HEAD")
            .map_err(|e| failed(e.message()))?;
        let Some(target) = head.symbolic_target_bytes() else {
            let commit = self.read_ref("HEAD")?;
            return Ok(located(
                &commit.to_string(),
                commit.to_string(),
                TargetKind::Commit,
            ));
        };
        let target = std::str::from_utf8(target)
            .map_err(|_| failed("the name of its branch is not valid UTF-8"))?;
        if !Reference::is_valid_name(target) {
            return Err(failed(&format!("`{target}` is not a valid ref name")));
        }
        if !self.ref_exists(target) {
            let branch = target.strip_prefix(HEADS).unwrap_or(target);
            return Err(Error::not_found(format!(
                "cannot use the branch `{branch}` of `{}`: it has no commit yet",
                self.root()
            ))
            .hint("make a commit with `git commit`, or name another branch"));
        }
        self.locate_name(target)
    }

    fn locate_name(&self, spec: &str) -> Result<Located> {
        if let Some(branch) = spec.strip_prefix(HEADS) {
            return self.locate_full(spec, branch, TargetKind::Branch);
        }
        if let Some(tag) = spec.strip_prefix(TAGS) {
            return self.locate_full(spec, tag, TargetKind::Tag);
        }
        let remotes = self.remote_names();
        if let Some(name) = spec.strip_prefix(REMOTES) {
            let (remote, branch) =
                split_remote(name, &remotes).ok_or_else(|| self.missing(spec, &remotes))?;
            return self.locate_remote(remote, branch);
        }
        if let Some((remote, branch)) = split_remote(spec, &remotes) {
            return self.locate_remote(remote, branch);
        }
        let (branch, tag) = (format!("{HEADS}{spec}"), format!("{TAGS}{spec}"));
        // As in git, a full id is an id even if a branch has that name.
        if spec.len() == 40
            && let Some(found) = self.locate_commit(spec)?
        {
            return Ok(found);
        }
        match (self.ref_exists(&branch), self.ref_exists(&tag)) {
            (true, true) => Err(Error::usage(format!(
                "`{spec}` is both a branch and a tag of `{}`",
                self.root()
            ))
            .hint(format!("name one of them in full: `{branch}` or `{tag}`"))),
            (true, false) => Ok(located(spec, branch, TargetKind::Branch)),
            (false, true) => Ok(located(spec, tag, TargetKind::Tag)),
            (false, false) => match self.locate_commit(spec)? {
                Some(found) => Ok(found),
                None => Err(self.missing(spec, &remotes)),
            },
        }
    }

    fn locate_full(&self, full: &str, short: &str, kind: TargetKind) -> Result<Located> {
        if self.ref_exists(full) {
            return Ok(located(short, full.to_owned(), kind));
        }
        Err(self.missing(full, &self.remote_names()))
    }

    fn locate_remote(&self, remote: &str, branch: &str) -> Result<Located> {
        let failed = |cause: &str| {
            Error::failed(format!(
                "cannot use the remote `{remote}` of `{}`",
                self.root()
            ))
            .cause(cause)
        };
        let opened = self
            .inner
            .find_remote(remote)
            .map_err(|e| failed(e.message()))?;
        let refspecs = opened.fetch_refspecs().map_err(|e| failed(e.message()))?;
        let refspecs: Vec<&str> = refspecs.iter().filter_map(|s| s.ok().flatten()).collect();
        let track =
            |branch: &str| refspec::map(refspecs.iter().copied(), &format!("{HEADS}{branch}"));

        let mut branch = branch.to_owned();
        if branch == "HEAD" {
            // `origin/HEAD` is not a branch of the remote but a local record of its default branch.
            let default = self.default_branch_of(remote, &refspecs);
            branch = default.ok_or_else(|| {
                failed("its default branch is not known").hint(format!(
                    "name the branch, or run `git remote set-head {} --auto`",
                    quoted(remote)
                ))
            })?;
        }
        let tracking_ref = track(&branch).ok_or_else(|| {
            failed(&format!(
                "its `fetch` setting does not cover the branch `{branch}`"
            ))
            .hint(format!(
                "run `git remote set-branches --add {} {}`",
                quoted(remote),
                quoted(&branch)
            ))
        })?;
        if !tracking_ref.starts_with(REMOTES) {
            // Fetching would move the user's own branches or tags.
            return Err(failed(&format!(
                "it is fetched into `{tracking_ref}`, not below `{REMOTES}`"
            ))
            .hint(format!(
                "run `git fetch {}` yourself, and name `{tracking_ref}`",
                quoted(remote)
            )));
        }
        Ok(located(
            &branch.clone(),
            tracking_ref.clone(),
            TargetKind::RemoteBranch(RemoteBranch {
                remote: remote.to_owned(),
                branch,
                tracking_ref,
            }),
        ))
    }

    /// The branch of `remote` that `refs/remotes/<remote>/HEAD` points to.
    fn default_branch_of(&self, remote: &str, refspecs: &[&str]) -> Option<String> {
        let head = self
            .inner
            .find_reference(&format!("{REMOTES}{remote}/HEAD"))
            .ok()?;
        let target = head.symbolic_target().ok().flatten()?;
        let branch = target.strip_prefix(&format!("{REMOTES}{remote}/"))?;
        let tracked = refspec::map(refspecs.iter().copied(), &format!("{HEADS}{branch}"))?;
        (tracked == target).then(|| branch.to_owned())
    }

    /// The commit whose id is or begins with `spec`, if it could be one.
    fn locate_commit(&self, spec: &str) -> Result<Option<Located>> {
        let is_id = (MIN_ABBREVIATION..=40).contains(&spec.len())
            && spec.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_id {
            return Ok(None);
        }
        let failed = |cause: &str| {
            Error::usage(format!("cannot use `{spec}` in `{}`", self.root())).cause(cause)
        };
        let found = git2::Oid::from_str(spec)
            .and_then(|prefix| self.inner.odb()?.exists_prefix(prefix, spec.len()));
        let object = match found {
            Ok(id) => self.inner.find_object(id, None),
            Err(e) if e.code() == ErrorCode::NotFound => return Ok(None),
            // Another object may have the same prefix; the commit is meant.
            Err(e) if e.code() == ErrorCode::Ambiguous => self
                .inner
                .find_commit_by_prefix(spec)
                .map(git2::Commit::into_object),
            Err(e) => Err(e),
        };
        let object = object.map_err(|e| match e.code() {
            ErrorCode::Ambiguous => failed("more than one object has an id that begins with it")
                .hint("give more digits of the commit's id"),
            _ => failed(e.message()),
        })?;
        let commit = object
            .peel(ObjectType::Commit)
            .map_err(|_| failed("it is not a commit"))?;
        let id = commit.id().to_string();
        Ok(Some(located(&id.clone(), id, TargetKind::Commit)))
    }

    /// The error for a `spec` that names nothing.
    fn missing(&self, spec: &str, remotes: &[String]) -> Error {
        let error = Error::not_found(format!(
            "cannot find `{spec}` in `{}`: no branch, tag, remote branch or commit has this name",
            self.root()
        ));
        if spec.contains(['~', '^', ':']) || spec.contains("@{") {
            return error.hint(format!(
                "revision expressions are not supported: use the id that `git rev-parse {}` prints",
                quoted(spec)
            ));
        }
        let mut known = Vec::new();
        for prefix in [HEADS, REMOTES, TAGS] {
            let names = self.short_names(prefix).unwrap_or_default();
            if spec.starts_with("refs/") {
                known.extend(names.iter().map(|name| format!("{prefix}{name}")));
            } else {
                known.extend(names);
            }
        }
        if let Some(near) = suggestion(spec, known.iter().map(String::as_str)) {
            return error.hint(format!("did you mean `{near}`?"));
        }
        if spec.contains('/') && !remotes.is_empty() {
            return error.hint(format!("the remotes are `{}`", remotes.join("`, `")));
        }
        error.hint("`git branch --all` and `git tag` list the names")
    }
}

fn located(branch: &str, ref_name: String, kind: TargetKind) -> Located {
    Located {
        branch: branch.to_owned(),
        branch_from: branch.to_owned(),
        ref_name,
        kind,
    }
}

/// Splits `remote/branch` at the longest of `remotes` that it begins with.
fn split_remote<'a>(name: &'a str, remotes: &[String]) -> Option<(&'a str, &'a str)> {
    let lengths = remotes.iter().filter_map(|remote| {
        let branch = name.strip_prefix(remote.as_str())?.strip_prefix('/')?;
        (!branch.is_empty()).then_some(remote.len())
    });
    let longest = lengths.max()?;
    Some((&name[..longest], &name[longest + 1..]))
}

#[cfg(test)]
mod tests;
