//! Work that git does not show, or shows on files that the image held (`assets/work.sh`), run by this
//! machine's shell and git as the entrypoint's own tests are. Whatever is not seen would go with the
//! container, and what is saved is compared with what there is.

use super::entrypoint::in_image;

/// An image with some files, one of them untracked, and a folder that is ignored.
const IMAGE: &str = r#"
commit a.txt one; commit b.txt one; mkdir /srv/user/c; commit c/d.txt one; commit .gitignore ignored
git fetch -q; git reset -q --hard host/main; git update-ref refs/dkr/baked HEAD
echo old >old.txt; mkdir ignored; sleep 1; start true
touch -r a.txt /outside/time
"#;

/// What the container holds after `script`: the counts of the report that are not zero, and what would be
/// saved of files and of the index.
fn seen(script: &str) -> String {
    in_image(&format!(
        r#"{IMAGE}
{{ {script}; }} >/dev/null 2>&1
"$lib/work.sh" take c >/outside/taken
grep -E '^(changed|untracked|nested|staged|stash|raw|unsaved|operation)' /outside/taken | grep -v ' 0$' |
    sed -E 's/ [0-9a-f]{{40}}/ ID/' || :
unset GIT_DIR GIT_ATTR_SOURCE
for id in $(sed -n -E 's/^(wip|staged [0-9]+) //p' /outside/taken); do
    GIT_INDEX_FILE=/none git -c diff.orderFile= diff-tree -r --name-status "$id^" "$id"
done"#
    ))
    .replace('\t', " ")
}

#[track_caller]
fn check(script: &str, expected: &[&str]) {
    let expected: String = expected.iter().flat_map(|line| [line, "\n"]).collect();
    assert_eq!(seen(script), expected, "{script}");
}

#[test]
fn marks_of_the_index_hide_nothing() {
    for mark in ["skip-worktree", "assume-unchanged"] {
        let marked = format!("git update-index --{mark} a.txt");
        check(
            &format!("{marked}; echo mine >a.txt"),
            &["changed 1", "M a.txt"],
        );
        check(&format!("{marked}; rm a.txt"), &["changed 1", "D a.txt"]);
        check(&marked, &[]);
    }
    check(
        "git config core.ignoreStat true; git checkout -q HEAD~; git checkout -q work; echo two >a.txt",
        &["changed 1", "M a.txt"],
    );
}

#[test]
fn neither_times_nor_settings_hide_a_change() {
    let back = "touch -r /outside/time a.txt";
    check(
        &format!("echo two >a.txt; {back}"),
        &["changed 1", "M a.txt"],
    );
    check(
        "touch -r old.txt /outside/old; echo odl >old.txt; touch -r /outside/old old.txt",
        &["untracked 1", "A old.txt"],
    );
    check(
        "git config core.fileMode false; chmod +x a.txt",
        &["changed 1", "M a.txt"],
    );
    check(
        "git config status.showUntrackedFiles no; git config diff.orderFile /none; echo x >new",
        &["untracked 1", "A new"],
    );
    check(
        "printf '#!/bin/sh\\nprintf \"1\\\\0\"\\n' >/outside/monitor; chmod +x /outside/monitor
         git config core.fsmonitor /outside/monitor; git config core.untrackedCache true; git status
         echo two >a.txt; echo x >new",
        &["untracked 1", "changed 1", "M a.txt", "A new"],
    );
}

#[test]
fn a_removal_from_the_index_alone_is_work() {
    let staged = &["staged 1 ID", "D a.txt"][..];
    check("git rm -q --cached a.txt", staged);
    check(
        "echo a.txt >.git/info/exclude; git rm -q --cached a.txt",
        staged,
    );
    check(
        "git rm -q --cached a.txt; echo two >a.txt",
        &["changed 1", "staged 1 ID", "D a.txt", "M a.txt"],
    );
    check(
        "git update-index --chmod=+x a.txt",
        &["staged 1 ID", "M a.txt"],
    );
    check("git rm -q a.txt", &["changed 1", "D a.txt"]);
}

#[test]
fn what_is_ignored_and_yet_work_is_seen() {
    check("echo x >ignored/file", &[]);
    check(
        "echo x >ignored/file; git add -f ignored/file",
        &["changed 1", "A ignored/file"],
    );
    check(
        "echo x >ignored/file; git add -f ignored/file; rm ignored/file",
        &["staged 1 ID", "A ignored/file"],
    );
    let nested = &["untracked 1", "nested 1"][..];
    check(
        "git init -q ignored/in; git -C ignored/in commit -q --allow-empty -m x",
        nested,
    );
    check("git init -q ignored/in; echo x >ignored/in/file", nested);
    check(
        "git init -q ignored/deep/er; echo x >ignored/deep/er/x",
        nested,
    );
    check("git clone -q /srv/host.git ignored/clone", &[]);
    check(
        "git clone -q /srv/host.git ignored/clone; git -C ignored/clone rm -q --cached a.txt",
        nested,
    );
    check(
        "git clone -q /srv/host.git ignored/clone
         (cd ignored/clone; git update-index --skip-worktree a.txt; echo mine >a.txt)",
        nested,
    );
}

#[test]
fn whatever_a_nested_repository_holds_is_seen() {
    let nested = &["untracked 1", "nested 1"][..];
    for (script, expected) in [
        ("true", &[][..]),
        ("git fetch -q; git pull -q; git gc -q; git tag -l", &[]),
        ("git checkout -q -b x; git commit -q --allow-empty -m x; git push -q origin x", &[]),
        ("git checkout -q -b x; git commit -q --allow-empty -m x; git checkout -q main; git pull -q . x", nested),
        (
            "git checkout -q --detach; git commit -q --allow-empty -m x; git tag x; git checkout -q main
             git pack-refs --all",
            nested,
        ),
        ("git notes add -m x", nested),
        ("git commit -q --allow-empty -m x; : >.git/HEAD", nested),
        ("echo x >>a.txt; GIT_SEQUENCE_EDITOR='echo break >' git rebase -q -i --autostash HEAD", nested),
        ("git worktree add -q --detach /outside/other", nested),
        ("echo x >>a.txt; git stash -q", nested),
    ] {
        let script = format!("git clone -q /srv/host.git ignored/n; (cd ignored/n; {script})");
        check(&script, expected);
    }
    check(
        "git tag v9; git push -q host v9; git clone -q --depth 1 --branch v9 file:///srv/host.git ignored/n",
        &[],
    );
    // The git directory of a submodule that is not checked out, or in whose place another one is.
    let submodule = "git init -q --bare -b main /srv/sub.git; git clone -q /srv/sub.git /srv/sub
        git -C /srv/sub commit -q --allow-empty -m one; git -C /srv/sub push -q origin HEAD:main
        git -c protocol.file.allow=always submodule -q add --name objects /srv/sub.git sub
        git -C sub commit -q --allow-empty -m own";
    let left = &[
        "untracked 1",
        "changed 2",
        "nested 1",
        "A .gitmodules",
        "A sub",
    ][..];
    check(&format!("{submodule}; git submodule deinit -f sub"), left);
    check(
        &format!("{submodule}; rm -rf sub; git clone -q /srv/sub.git sub"),
        left,
    );
    // One repository's filters are not another one's.
    check(
        "git clone -q /srv/host.git ignored/n; cd ignored/n; git config filter.x.clean 'sleep 1000'
         git config filter.x.required true; echo '* filter=x' >.git/info/attributes; touch a.txt; cd /workspace",
        &[],
    );
}

#[test]
fn what_leads_git_elsewhere_hides_nothing() {
    check(
        "mkdir /opt/w; git --work-tree=/opt/w checkout -f HEAD -- .; git config core.worktree /opt/w
         echo x >new; echo x >a.txt",
        &["untracked 1", "changed 1", "M a.txt", "A new"],
    );
    check(
        "git config core.bare true; echo x >a.txt",
        &["changed 1", "M a.txt"],
    );
    for variable in [
        "CDPATH=.:/",
        "TMPDIR=/nonexistent",
        "GIT_AUTHOR_DATE=x",
        "GIT_ATTR_SOURCE=none",
        "GIT_DEFAULT_HASH=sha256",
        "GIT_DIR=/nonexistent",
    ] {
        check(
            &format!(
                "git clone -q /srv/host.git ignored/n; echo x >.gitattributes; export {variable}"
            ),
            &["untracked 1", "A .gitattributes"],
        );
    }
    check(
        "git config user.name '<>'; echo x >a.txt",
        &["changed 1", "M a.txt"],
    );
}

#[test]
fn what_was_rewritten_or_joined_to_the_hosts_history_is_work() {
    let commits = |script: &str| {
        in_image(&format!(
            "{IMAGE}\n{{ {script}; }} >/dev/null 2>&1\n\"$lib/work.sh\" report | grep ^commits"
        ))
    };
    let rewritten = "git filter-branch --msg-filter 'cat; echo changed' -- --all";
    assert_ne!(commits(rewritten), "commits 0\n");
    let joined = "git checkout -q --orphan old; git commit -q -m one; git commit -q --allow-empty -m two
        echo \"$(git rev-list --max-parents=0 host/main) $(git rev-parse old)\" >.git/info/grafts; git checkout -q work";
    assert_eq!(commits(joined), "commits 2\n");
    let dated = "GIT_COMMITTER_DATE='@4200000000 +0000' git commit -q --allow-empty -m x; git rm -q --cached a.txt";
    assert_eq!(commits(dated), "commits 1\n");
}

#[test]
fn a_worktree_in_whatever_state_costs_nothing_else() {
    let made = "git worktree add -q /outside/o; echo y >new";
    check(
        &format!("{made}; rm /outside/o/.git"),
        &["untracked 1", "unsaved /outside/o", "A new"],
    );
    check(
        &format!("{made}; rm -r /outside/o; echo garbage >.git/worktrees/o/index"),
        &[
            "untracked 1",
            "unsaved /workspace/.git/worktrees/o/index",
            "A new",
        ],
    );
    check(
        "git worktree add -q wt; rm -r wt; git init -q wt; git -C wt commit -q --allow-empty -m x",
        &["untracked 1", "nested 1"],
    );
    check(
        "git worktree add -q /outside/o; echo x >/outside/o/x; git -C /outside/o add x
         git -C /outside/o update-index --split-index; rm -r /outside/o",
        &["staged 1 ID", "A x"],
    );
}

#[test]
fn whatever_post_clone_left_is_no_work() {
    for left in [
        "git worktree add -q --detach /outside/other; git -C /outside/other commit -q --allow-empty -m x",
        "ln -s gone link; ln -s . here",
        "git bisect start; git checkout -q -b x; echo x >a.txt; git commit -qam x; git checkout -q main
         echo y >a.txt; git commit -qam y; git merge x || true",
        "mkdir -p vendor/x; echo 'gitdir: ../../none' >vendor/x/.git; mkdir 'git~1'; echo x >'git~1/x'",
        r"git init -q 'ignored/a\nb'; git clone -q /srv/host.git in; cd in; git commit -q --allow-empty -m x
         git worktree add -q /outside/x; echo x >>a.txt; git stash -q; cd ..",
        "mkfifo pipe; rm b.txt; mkfifo b.txt; echo '*.bin filter=x' >.git/info/attributes
         git config filter.x.clean false; git config filter.x.required true; echo a >a.bin",
        "echo z >>a.txt; git stash -q; git init -q in; git config --global safe.directory /workspace
         chown -R 1000:1000 /workspace",
    ] {
        let image = IMAGE.replace("sleep 1; start true", &format!("{{ {left}; }} >/dev/null 2>&1; sleep 1; start true"));
        let reported = in_image(&format!(
            "{image}\n\"$lib/work.sh\" report tree | grep -v -e '^[dhbf]' -e '^ahead' -e ' 0$' || :"
        ));
        assert_eq!(reported, "", "{left}");
    }
}

#[test]
fn files_of_the_image_that_moved_are_work() {
    check("mv old.txt new.txt", &["untracked 1", "A new.txt"]);
    check(
        "mv c moved",
        &["untracked 1", "changed 1", "D c/d.txt", "A moved/d.txt"],
    );
    check("echo more >>old.txt", &["untracked 1", "A old.txt"]);
    check("chmod +x old.txt", &["untracked 1", "A old.txt"]);
    // What nobody has committed and somebody removes, as `make clean` does, is no work.
    check("rm old.txt", &[]);
}

#[test]
fn files_folders_and_links_take_the_place_of_each_other() {
    check(
        "rm -r c; echo x >c; rm a.txt; mkdir a.txt; echo y >a.txt/f",
        &[
            "untracked 2",
            "changed 2",
            "D a.txt",
            "A a.txt/f",
            "A c",
            "D c/d.txt",
        ],
    );
    check(
        "mv c cc; ln -s cc c",
        &["untracked 2", "changed 1", "A c", "D c/d.txt", "A cc/d.txt"],
    );
    check("rm a.txt; ln -s b.txt a.txt", &["changed 1", "T a.txt"]);
    check(
        "echo x >\"$(printf 'l\\nine')\"; echo y >'a \"b\\'",
        &["untracked 2", r#"A "a \"b\\""#, r#"A "l\nine""#],
    );
}

#[test]
fn a_sparse_checkout_removes_nothing_and_hides_nothing() {
    check("git sparse-checkout set --cone c", &[]);
    check(
        "git sparse-checkout set --cone c; echo x >c/d.txt",
        &["changed 1", "M c/d.txt"],
    );
    let rest = "git sparse-checkout set --no-cone /c/";
    check(&format!("{rest}; echo x >a.txt"), &["changed 1", "M a.txt"]);
    check(&format!("{rest}; rm c/d.txt"), &["changed 1", "D c/d.txt"]);
    check(
        &format!("{rest}; git rm -q --sparse --cached a.txt; git rm -q --sparse b.txt"),
        &["staged 2 ID", "D a.txt", "D b.txt"],
    );
}

#[test]
fn an_index_in_whatever_state_loses_nothing() {
    let edit = "echo x >a.txt";
    let edited = &["changed 1", "M a.txt"][..];
    check(&format!("echo garbage >.git/index; {edit}"), edited);
    check(&format!("rm .git/index; {edit}"), edited);
    check(
        "git update-index --split-index; echo x >a.txt; git add a.txt; echo y >b.txt",
        &["changed 2", "M a.txt", "M b.txt"],
    );
    check("echo x >new; git add -N new", &["changed 1", "A new"]);
    check(
        "git update-index --add --cacheinfo 100644,1234567890123456789012345678901234567890,gone; echo x >new",
        &["untracked 1", "unsaved /workspace/gone", "A new"],
    );
    let stages = r#"theirs=$(echo theirs | git hash-object -w --stdin); ours=$(git rev-parse HEAD:a.txt)
        printf '0 %040d\ta.txt\n100644 %s 1\ta.txt\n100644 %s 2\ta.txt\n100644 %s 3\ta.txt\n' \
            0 "$ours" "$ours" "$theirs" | git update-index --index-info"#;
    check(
        stages,
        &[
            "staged 1 ID",
            "D a.txt",
            "A a.txt.BASE",
            "A a.txt.LOCAL",
            "A a.txt.REMOTE",
        ],
    );
    // A merge says where they come from.
    check(
        &format!("{stages}; git rev-parse HEAD >.git/MERGE_HEAD"),
        &["operation merge"],
    );
    check(
        "git worktree add -q /outside/other; echo x >/outside/other/new; git -C /outside/other add new
         rm -r /outside/other",
        &["staged 1 ID", "A new"],
    );
}

#[test]
fn the_stash_is_work_whatever_its_dates_and_logs() {
    let stash = "echo x >>a.txt; git stash -q";
    let old = "export GIT_COMMITTER_DATE=2001-01-01T00:00:00Z GIT_AUTHOR_DATE=2001-01-01T00:00:00Z";
    check(&format!("{old}; {stash}"), &["stash ID"]);
    check(&format!("{stash}; rm .git/logs/refs/stash"), &["stash ID"]);
}

#[test]
fn what_the_image_held_is_known_by_what_it_is_and_not_by_its_times() {
    // As where a driver copies each file when a container is made, or a layer came through an archive.
    let copied = "sleep 1; cp -r /workspace /outside/copy; rm -r /workspace/*; cp -r /outside/copy/. /workspace
        cd /workspace";
    check(copied, &[]);
    check(
        &format!("{copied}; echo x >>old.txt; echo y >a.txt"),
        &["untracked 1", "changed 1", "M a.txt", "A old.txt"],
    );
}

#[test]
fn what_cannot_be_looked_at_is_no_empty_report() {
    let failed = in_image(&format!(
        r#"{IMAGE}
mkdir /bin-of-ours
for tool in sh git cat cp cut date grep head mkdir mktemp mv rm sed sort comm cksum stat tr wc xargs; do
    ln -s "$(command -v $tool)" /bin-of-ours
done
! PATH=/bin-of-ours "$lib/work.sh" report 2>&1
mkdir /small; mount -t tmpfs -o size=60k small /small
TMPDIR=/small "$lib/work.sh" report 2>&1 | tail -n 1"#
    ));
    let (no_find, no_room) = failed.split_once('\n').unwrap();
    assert_eq!(no_find, "cannot search for repositories in /workspace");
    assert!(
        no_room.starts_with("no space left for temporary files in /small"),
        "{failed}"
    );
}
