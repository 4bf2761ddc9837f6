//! A new container's move to the newest commit, where something else than `[post_clone]` keeps it from
//! that: the cause is named in git's words, and all is as the image holds it.

use super::entrypoint::in_image;

/// Commits that a half-done move would show: files that change, go, come, and change places with folders.
const COMMITS: &str = r#"
user rm -q --cached README
rm /srv/user/README
mkdir /srv/user/folder && echo x >/srv/user/folder/x
echo x >/srv/user/place
commit a one
printf '*.f filter=f\n' >/srv/user/.gitattributes
echo one >/srv/user/m.f
commit z one
inside pull -q --no-tags
inside update-ref refs/dkr/baked HEAD
rm -r /srv/user/folder && echo x >/srv/user/folder
rm /srv/user/place && mkdir /srv/user/place && echo x >/srv/user/place/x
mkdir -p /srv/user/b/new && echo two >/srv/user/b/new/file
echo two >/srv/user/m.f
user rm -q other
commit a two
commit z last
held() { find . -path ./.git -prune -o -print | sort; cat a z m.f folder/x place; git status --short; git rev-parse HEAD; git stash list; }
"#;

/// What the start says, but for its last line, where `left` was in the image; it must leave all as it was.
fn fails(left: &str) -> String {
    in_image(&format!(
        "{COMMITS}
{left}
held >/outside/before
start true
held >/outside/after
diff /outside/before /outside/after
[ ! -e .git/dkr-kept ]
sed '$d' /outside/messages
git symbolic-ref HEAD
"
    ))
}

fn warning(cause: &str) -> String {
    format!(
        "warning: cannot move to `host/main` ({cause}): continuing from the baked commit\n\
         refs/heads/work\n"
    )
}

#[test]
fn a_lock_in_the_image_is_named() {
    let cause = "fatal: Unable to create '/workspace/.git/index.lock': File exists.";
    for left in [
        "touch .git/index.lock",
        "echo changed >>a; touch .git/index.lock",
        "git commit -q --allow-empty -m mine; touch .git/index.lock",
    ] {
        assert_eq!(fails(left), warning(cause), "{left}");
    }
}

#[test]
fn a_ref_that_cannot_be_moved_takes_files_and_index_back() {
    let printed = fails("git checkout -q -b work; touch .git/refs/heads/work.lock");
    let cause = "Unable to create '/workspace/.git/refs/heads/work.lock': File exists.";
    assert!(printed.contains(cause), "{printed}");
}

#[test]
fn an_object_that_is_missing_is_named_and_what_was_changed_before_is_put_back() {
    // It is known what the tip is, so that nothing is fetched.
    let printed = fails(
        "git fetch -q --no-tags
export DKR_TIP=$(git rev-parse host/main)
git update-ref refs/remotes/host/main HEAD
lost=$(git rev-parse $DKR_TIP:z)
rm .git/objects/$(echo $lost | sed 's|..|&/|')",
    );
    // `cannot read object`, and in older versions `unable to read sha1 file`.
    assert!(
        printed.contains("(error: ") && printed.contains(" read "),
        "{printed}"
    );
}

#[test]
fn a_filter_that_fails_is_named_and_what_it_made_before_is_put_back() {
    for left in [
        "",
        // Changes are set aside and put back on the way.
        "echo changed >>a; echo changed >new; git add new",
        "echo changed >>m.f",
        "echo changed >>m.f; git add m.f; echo more >>m.f",
        "echo changed >>m.f; git commit -qam mine",
    ] {
        let printed = fails(&format!(
            "git config filter.f.clean 'sed s/real/one/'
git config filter.f.smudge 'sed s/one/real/'
rm m.f && git checkout -q m.f && grep -q real m.f
git config filter.f.smudge 'exit 1'
git config filter.f.required true
{left}"
        ));
        let cause = "error: external filter 'exit 1' failed 1";
        assert_eq!(printed, warning(cause), "{left}");
    }
}

#[test]
fn a_full_disk_is_told_in_gits_words() {
    let printed = in_image(&format!(
        "{COMMITS}
head -c 8000000 /dev/urandom >/srv/user/large
user add -A && user commit -qm large && user push -q /srv/host.git main
mkdir /small && mount -t tmpfs -o size=12m tmpfs /small
cp -a /workspace/. /small && mount --move /small /workspace
cd /workspace
held >/outside/before
start true
held >/outside/after
diff /outside/before /outside/after
sed '$d' /outside/messages
"
    ));
    assert!(
        printed.contains("continuing from the baked commit"),
        "{printed}"
    );
}

#[test]
fn what_cannot_be_set_aside_stays_as_it_is() {
    let printed = fails("echo x >n; git add -N n; echo changed >>a; echo mine >>z; git add z");
    assert_eq!(
        printed,
        warning("error: Entry 'n' not uptodate. Cannot merge.")
    );
}
