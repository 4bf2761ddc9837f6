//! Files that git cannot add as it is configured to: the rest is saved, and they are saved as they are or
//! named (`assets/work.sh`), run by this machine's shell and git as the entrypoint's own tests are.

use super::entrypoint::in_image;

/// What is saved as it is or not at all after `script`, and what each saved file holds, in a line each.
fn saved(script: &str) -> String {
    in_image(&format!(
        r#"
sleep 1; start true
{{ {script}; }} >/dev/null 2>&1
"$lib/work.sh" report tree 2>/dev/null >/outside/report
"$lib/work.sh" take c 2>/dev/null >/outside/taken
[ "$(grep ^tree /outside/report)" = "$(grep ^tree /outside/taken)" ] || echo "another tree"
grep -E '^(raw|unsaved)' /outside/taken || :
id=$(sed -n 's/^wip //p' /outside/taken)
git diff-tree -r --name-only --no-commit-id "$id" 2>/dev/null | while IFS= read -r path; do
    echo "$path: $(git cat-file blob "$id:$path" | tr '\n' ' ')"
done"#
    ))
}

#[track_caller]
fn check(script: &str, expected: &[&str]) {
    let expected: String = expected.iter().flat_map(|line| [line, "\n"]).collect();
    assert_eq!(saved(script), expected, "{script}");
}

/// Makes `*.bin` go through a filter.
fn filter(name: &str, clean: &str, required: bool) -> String {
    format!(
        "echo '*.bin filter={name}' >.git/info/attributes; git config filter.{name}.clean '{clean}'
         git config filter.{name}.required {required}"
    )
}

#[test]
fn a_file_whose_filter_fails_is_saved_as_it_is() {
    let fails = filter("bad", "exit 1", true);
    check(
        &format!("{fails}; echo 1 >1.bin; echo 2 >2.bin; echo x >new"),
        &[
            "raw /workspace/1.bin",
            "raw /workspace/2.bin",
            "1.bin: 1 ",
            "2.bin: 2 ",
            "new: x ",
        ],
    );
    // git itself does so where the filter is not required.
    let may_fail = filter("bad", "exit 1", false);
    check(&format!("{may_fail}; echo 1 >1.bin"), &["1.bin: 1 "]);
    let sometimes = filter("some", "sed s/x/y/; ! grep -q bad %f", true);
    check(
        &format!("{sometimes}; echo x >1.bin; echo bad x >2.bin; echo x >3.bin"),
        &[
            "raw /workspace/2.bin",
            "1.bin: y ",
            "2.bin: bad x ",
            "3.bin: y ",
        ],
    );
    let missing =
        "echo '*.bin filter=x' >.git/info/attributes; git config filter.x.process no-such-program
        git config filter.x.clean no-such-program; git config filter.x.required true";
    check(
        &format!("{missing}; echo 1 >1.bin; echo x >other"),
        &["raw /workspace/1.bin", "1.bin: 1 ", "other: x "],
    );
}

#[test]
fn a_committed_file_whose_filter_fails_now_is_saved_as_it_is() {
    let fails = filter("bad", "exit 1", true).replace("*.bin", "*");
    check(
        &format!("{fails}; echo x >other; touch README"),
        &["raw /workspace/other", "other: x "],
    );
}

#[test]
fn a_filter_without_end_is_given_up() {
    let hangs = filter("hangs", "sleep 1000", true);
    check(
        &format!(
            "{hangs}; echo 1 >1.bin; echo x >new; sed -i s/^filter_time=20/filter_time=1/ \"$lib/save.sh\""
        ),
        &["raw /workspace/1.bin", "1.bin: 1 ", "new: x "],
    );
}

#[test]
fn what_a_filter_would_keep_elsewhere_is_saved_whole() {
    let lfs = filter(
        "lfs",
        "echo version https://git-lfs.github.com/spec/v1; echo oid; cat >/dev/null",
        true,
    );
    check(
        &format!(
            "{lfs}; echo content >1.bin; printf 'version https://git-lfs.github.com/spec/v1\\noid\\n' >2.bin"
        ),
        &[
            "raw /workspace/1.bin",
            "1.bin: content ",
            "2.bin: version https://git-lfs.github.com/spec/v1 oid ",
        ],
    );
    check(
        &format!(
            "{}; echo one >' a.bin'; echo two >'b.bin '",
            lfs.replace("*.bin", "*bin*")
        ),
        &[
            "raw /workspace/ a.bin",
            "raw /workspace/b.bin ",
            " a.bin: one ",
            "b.bin : two ",
        ],
    );
    let annex = filter(
        "annex",
        "echo /annex/objects/SHA256-x; cat >/dev/null",
        false,
    );
    check(
        &format!("{annex}; echo content >1.bin"),
        &["raw /workspace/1.bin", "1.bin: content "],
    );
}

#[test]
fn what_git_lfs_keeps_for_commits_is_named() {
    let named = in_image(
        r#"
sleep 1; start true
printf '%s\n' '#!/bin/sh' 'cat >/outside/content; id=$(sha256sum </outside/content); id=${id%% *}' \
    'folder=.git/lfs/objects/$(echo $id | cut -c1-2)/$(echo $id | cut -c3-4); mkdir -p $folder' \
    'cp /outside/content $folder/$id; echo version https://git-lfs.github.com/spec/v1' \
    'echo oid sha256:$id; echo size 1' >/outside/clean
chmod +x /outside/clean; git config filter.lfs.clean /outside/clean
echo '*.bin filter=lfs' >.gitattributes; echo precious >big.bin; git add .; git commit -qm large
"$lib/work.sh" report | grep ^unsaved | sed 's|/objects/.*/|/objects/|'; printf precious'\n' | sha256sum | cut -d' ' -f1"#,
    );
    let (file, id) = named.split_once('\n').unwrap();
    assert_eq!(
        file,
        format!("unsaved /workspace/.git/lfs/objects/{}", id.trim_end())
    );
}

#[test]
fn what_cannot_be_converted_is_saved_as_it_is() {
    check(
        "echo '*.u working-tree-encoding=UTF-16' >.git/info/attributes; printf a >1.u; echo x >new",
        &["raw /workspace/1.u", "1.u: a", "new: x "],
    );
    check(
        "git config core.autocrlf true; git config core.safecrlf true; printf 'a\\r\\nb\\n' >mixed",
        &["mixed: a b "],
    );
}

#[test]
fn what_git_or_the_host_would_refuse_is_named_and_the_rest_is_saved() {
    check(
        "mkdir .GIT; echo x >.GIT/x; echo x >'git~1'; echo x >new",
        &[
            "unsaved /workspace/.GIT/x",
            "unsaved /workspace/git~1",
            "new: x ",
        ],
    );
    let odd =
        "printf '[submodule \"../x\"]\\n\\tpath = p\\n\\turl = -x\\n' >.gitmodules; echo x >new";
    check(odd, &["unsaved /workspace/.gitmodules", "new: x "]);
    check(
        "ln -s a .gitmodules; echo x >new",
        &["unsaved /workspace/.gitmodules", "new: x "],
    );
    check(
        "mkdir d; head -c 3000 /dev/zero | tr '\\0' a >d/.gitattributes; echo x >new",
        &["unsaved /workspace/d/.gitattributes", "new: x "],
    );
    check(
        "mkdir ' d' 'q\"'; for d in ' d' 'q\"'; do head -c 3000 /dev/zero | tr '\\0' a >\"$d/.gitattributes\"; done
         printf '[submodule \"../x\"]\\n\\tpath = p\\n\\turl = x\\n' >'gitmod~1'; echo x >new",
        &[
            "unsaved /workspace/ d/.gitattributes",
            r#"unsaved /workspace/"q\"/.gitattributes""#,
            "unsaved /workspace/gitmod~1",
            "new: x ",
        ],
    );
    check(
        "rm README; mkfifo README; mkdir 'git~1'; echo x >\"git~1/$(printf 'a\\nb')\"; echo x >new",
        &[
            r#"unsaved /workspace/"git~1/a\nb""#,
            "unsaved /workspace/README",
            "new: x ",
        ],
    );
    // Of things that are no files git knows nothing.
    check("mkfifo pipe; mknod null c 1 3; echo x >new", &["new: x "]);
}

#[test]
fn one_of_many_files_costs_the_others_little() {
    let some = filter("some", "! grep -qx bad %f && cat", true);
    let printed = saved(&format!(
        "{some}; for i in $(seq 1 200); do echo \"$i\" >\"$i.bin\"; done; echo bad >77.bin; echo bad >'1 1.bin'"
    ));
    assert!(
        printed.starts_with("raw /workspace/1 1.bin\nraw /workspace/77.bin\n1 1.bin: bad \n"),
        "{printed}"
    );
    assert_eq!(printed.lines().count(), 2 + 201);
}
