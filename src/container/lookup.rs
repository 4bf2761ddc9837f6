//! Which container a name means: a working branch, a prefix of it, or a prefix of an id (pure).

use crate::container::labels::{WORK_BRANCH, working_branch};
use crate::engine::ListedContainer;
use crate::error::{Error, Result, suggestion};
use crate::image::labels::REPO_PATH;

/// Shorter prefixes are not taken for ids: they could be words.
const SHORTEST_ID: usize = 4;

/// The container that `name` means: its working branch, its name, its id, or a unique prefix of
/// one of these.
///
/// # Errors
/// `NotFound` if there is none; `Usage` if `name` is ambiguous.
pub fn find<'a>(containers: &'a [ListedContainer], name: &str) -> Result<&'a ListedContainer> {
    let is = |container: &&ListedContainer| {
        [working_branch(container), &container.name, &container.id.0].contains(&name)
    };
    match *containers.iter().filter(is).collect::<Vec<_>>() {
        [] => {}
        [container] => return Ok(container),
        // Possible after a rename on the engine.
        ref several => {
            let names = several.iter().map(|c| format!("`{}`", c.id));
            let names: Vec<String> = names.collect();
            return Err(Error::usage(format!("the name `{name}` is ambiguous"))
                .cause(format!(
                    "the containers {} have this name",
                    names.join(" and ")
                ))
                .hint("use an id instead"));
        }
    }
    let is_id = name.len() >= SHORTEST_ID && name.bytes().all(|b| b.is_ascii_hexdigit());
    let begins = |container: &&ListedContainer| {
        !name.is_empty()
            && (working_branch(container).starts_with(name)
                || container.name.starts_with(name)
                || is_id && container.id.0.starts_with(name))
    };
    let found: Vec<_> = containers.iter().filter(begins).collect();
    match *found.as_slice() {
        [container] => Ok(container),
        [] => Err(none(containers, name)),
        _ => {
            let names = found.iter().map(|c| format!("`{}`", working_branch(c)));
            let names: Vec<String> = names.collect();
            Err(Error::usage(format!("the name `{name}` is ambiguous"))
                .cause(format!("it is a prefix of {}", names.join(", ")))
                .hint("use a longer prefix"))
        }
    }
}

/// The container that works on `branch`, of the repository at `repo_path` if given; or the one
/// that has the name that a container for this branch would get.
pub fn working_on<'a>(
    containers: &'a [ListedContainer],
    branch: &str,
    name: &str,
    repo_path: Option<&str>,
) -> Option<&'a ListedContainer> {
    let works = |container: &&ListedContainer| {
        let label = |name| container.labels.get(name).map(String::as_str);
        label(WORK_BRANCH) == Some(branch)
            && repo_path.is_none_or(|path| label(REPO_PATH) == Some(path))
    };
    let named = || containers.iter().find(|container| container.name == name);
    containers.iter().find(works).or_else(named)
}

/// The working branches of all containers of the repository at `repo_path`.
pub fn branches_of(containers: &[ListedContainer], repo_path: &str) -> Vec<String> {
    let of_repo = |container: &&ListedContainer| {
        container.labels.get(REPO_PATH).map(String::as_str) == Some(repo_path)
    };
    let all = containers.iter().filter(of_repo);
    all.filter_map(|container| container.labels.get(WORK_BRANCH).cloned())
        .collect()
}

fn none(containers: &[ListedContainer], name: &str) -> Error {
    let error = Error::not_found(format!("no dkr container named `{name}`"));
    let names = containers.iter().map(working_branch);
    match suggestion(name, names) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint("list containers with `dkr list-containers`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::containers::ContainerId;
    use crate::error::Kind;

    fn container(branch: &str, id: &str) -> ListedContainer {
        ListedContainer {
            id: ContainerId(id.repeat(10)),
            name: branch.replace('/', "-"),
            image: String::new(),
            labels: [(WORK_BRANCH, branch), (REPO_PATH, "/r")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            state: "running".to_owned(),
            command: String::new(),
            created: chrono::DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_branch_a_prefix_and_an_id_name_a_container() {
        let all = [
            container("fix/parser", "abcdef"),
            container("fix/parser-2", "abce11"),
            container("candid-sparrow", "fade22"),
        ];
        let found = |name: &str| find(&all, name).map(|c| working_branch(c).to_owned());
        for (name, branch) in [
            ("fix/parser", "fix/parser"),
            ("fix-parser", "fix/parser"),
            ("cand", "candid-sparrow"),
            ("c", "candid-sparrow"),
            ("fix/parser-", "fix/parser-2"),
            ("abcd", "fix/parser"),
            (&"fade22".repeat(10), "candid-sparrow"),
        ] {
            assert_eq!(found(name).as_deref(), Ok(branch), "{name}");
        }
        let error = found("fix").unwrap_err();
        assert_eq!(error.kind, Kind::Usage);
        assert_eq!(
            error.causes,
            ["it is a prefix of `fix/parser`, `fix/parser-2`"]
        );
        let error = found("candid-sparow").unwrap_err();
        assert_eq!(error.kind, Kind::NotFound);
        assert_eq!(error.hints, ["did you mean `candid-sparrow`?"]);
        let again = container("fix/parser", "bade33");
        let both = [all[0].clone(), again];
        let error = find(&both, "fix/parser").unwrap_err();
        assert_eq!(error.kind, Kind::Usage);
        let cause = "the containers `abcdefabcdef` and `bade33bade33` have this name";
        assert_eq!(error.causes, [cause]);
        for name in ["", "fad", "zzz"] {
            assert_eq!(found(name).unwrap_err().kind, Kind::NotFound, "{name}");
        }
    }
}
