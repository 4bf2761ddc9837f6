//! Where a user's secrets must not be: in layers, labels, history, logs, the environment of a step
//! or container, or the host's folders; and what a container without a key can read.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::cases::create_image::conf;
use crate::cases::start_image::hostname;
use crate::support::{Api, Invocation, KeyKind, Repo, Sandbox};

/// Runs in each build: what a step sees is in the image, where it is looked for.
const STEP: &str = "[post_clone]\nRUN { env; cat /proc/*/environ; ls -aR /run /root; } \
    >/step 2>/dev/null; true\n";
/// What is there to be found: in the repository, and so in layers and containers.
const CONTROL: &str = "a-needle-that-is-there";

/// A user with secrets wherever users have them.
struct User<'a> {
    t: &'a Sandbox,
    encrypted: PathBuf,
    plain: PathBuf,
    api_key: PathBuf,
    passphrase: PathBuf,
}

impl<'a> User<'a> {
    fn new(t: &'a Sandbox) -> Self {
        let passphrase = "canary-passphrase-7c1f";
        let file = |path: &str, text: &str| {
            let path = t.path().join(path);
            fs::write(&path, text).unwrap();
            path
        };
        let ssh = "Host canary-ssh-config-7c1f\n    ProxyCommand canary-ssh-config-7c1f\n";
        file("home/.ssh/config", ssh);
        User {
            t,
            encrypted: t.key(KeyKind::Ed25519, passphrase),
            plain: t.key(KeyKind::RsaPem, ""),
            api_key: file("api-key", "sk-ant-canary-7c1f\n"),
            passphrase: file("passphrase", &format!("{passphrase}\n")),
        }
    }

    fn dkr(&self, repo: &Repo, transport: &str, arguments: &[&str]) -> Invocation {
        let dkr = self.t.dkr(arguments).in_dir(repo);
        dkr.env("DKR_TRANSPORT", transport)
            .env("DKR_SSH_PASSPHRASE_FILE", &self.passphrase)
            .env("SSH_AUTH_SOCK", self.t.path().join("canary-agent-7c1f"))
            .env("ANTHROPIC_API_KEY", "canary-variable-7c1f")
            .env("GIT_AUTHOR_NAME", "canary-variable-7c1f")
    }

    /// What must not be found; of each key a line from its middle, which names nothing else.
    fn canaries(&self) -> Vec<String> {
        let keys = [
            &self.encrypted,
            &self.plain,
            &self.t.home().join(".ssh/id_ed25519"),
        ];
        let line = |key: &&PathBuf| {
            let text = fs::read_to_string(key).unwrap();
            text.lines().nth(2).unwrap().to_owned()
        };
        let mut canaries: Vec<String> = keys.iter().map(line).collect();
        let names = ["passphrase", "agent", "variable", "ssh-config"];
        canaries.extend(names.map(|name| format!("canary-{name}-7c1f")));
        canaries.push("sk-ant-canary-7c1f".to_owned());
        canaries
    }

    fn none_in(&self, place: &str, text: &str) {
        let canaries = self.canaries();
        let found = canaries.iter().find(|canary| text.contains(*canary));
        assert_eq!(found, None, "{place}");
    }

    /// The files below `folder` that hold a canary or the control.
    fn files_with_any(&self, folder: &Path) -> Vec<String> {
        let patterns = self.canaries().join("\n") + "\n" + CONTROL;
        let grep = ["-r", "-a", "-l", "-F", "-f", "-", "."];
        let found = self.t.command("grep", grep).in_dir(folder).stdin(patterns);
        let mut files: Vec<_> = found.run().stdout.lines().map(str::to_owned).collect();
        files.sort();
        files
    }
}

/// Everything that a user does, with what is found where; keys are given where SSH needs them.
fn whole_loop(transport: &str) {
    let t = Sandbox::new();
    let user = User::new(&t);
    let api = Api::of_machine();
    let repo = t.repo("linux").file(".dkr.conf", conf(STEP));
    repo.file("needle", CONTROL).commit("initial");
    let bake = |command: &'static str, key: &PathBuf| {
        let key = ["--ssh-key", key.to_str().unwrap()];
        let key = if transport == "ssh" { &key[..] } else { &[] };
        let dkr = user.dkr(&repo, transport, &[&[command], key].concat());
        user.none_in(command, &dkr.success().to_string());
    };
    bake("create-image", &user.encrypted);
    repo.file("more", transport).commit("more");
    bake("update-image", &user.plain);

    let name = t.unique("secrets");
    let path = ["start-image", ".", "main", "--name", &name];
    let key = ["--anthropic-key", user.api_key.to_str().unwrap()];
    // Patterns come by stdin, so that the search does not find itself. The one file that the user
    // asked for is passed over.
    let search = "git commit -q --allow-empty -m work && git push -q && \
        { cat >/dev/shm/patterns; cat /proc/[0-9]*/environ >/environments; } 2>/dev/null
        grep -r -a -l -F -f /dev/shm/patterns --exclude-dir=proc --exclude-dir=sys \
            --exclude-dir=shm --exclude=anthropic_key / >&2
        echo searched >&2; exec sleep 100";
    let start = [&path[..], &key, &["--", "sh", "-c", search]].concat();
    let start = user.dkr(&repo, transport, &start);
    let patterns = user.canaries().join("\n") + "\n" + CONTROL + "\n";
    let mut running = start.stdin(patterns).spawn();
    running.wait_for_stderr("searched");
    let inspected = api.get(&format!("/containers/{name}/json")).to_string();
    let logs = api.bytes(&format!("/containers/{name}/logs?stdout=1&stderr=1"));
    running.signal(Signal::TERM);
    let output = running.wait();
    user.none_in("inspect of the container", &inspected);
    user.none_in("its log", &String::from_utf8_lossy(&logs));
    user.none_in("start-image", &output.to_string());
    if transport == "session" {
        let found: Vec<_> = output
            .stderr
            .lines()
            .filter(|l| l.starts_with('/'))
            .collect();
        assert_eq!(found, ["/workspace/needle"], "{output}");
    }
    let pushed = format!("{}/{name}", hostname());
    assert_eq!(repo.output(["log", "--format=%s", "-1", &pushed]), "work");

    for image in t.images(&repo) {
        for path in ["json", "history"] {
            let told = api.get(&format!("/images/{}/{path}", image.id()));
            user.none_in(path, &told.to_string());
        }
    }
    // The newest image has the layers of all.
    let saved = t.path().join("saved");
    fs::create_dir(&saved).unwrap();
    let newest = t.image(&repo, "main");
    let layers = saved.join("layers.tar");
    fs::write(layers, api.bytes(&format!("/images/{}/get", newest.id()))).unwrap();
    let tar = t.command("tar", ["-xf", "layers.tar"]).in_dir(&saved);
    tar.success();
    fs::remove_file(saved.join("layers.tar")).unwrap();
    let with_any = user.files_with_any(&saved);
    assert_eq!(with_any.len(), 1, "only the control is there: {with_any:?}");
    fs::remove_dir_all(&saved).unwrap();

    // On the host everything is where the user put it, and nowhere else.
    let expected = [
        "./api-key",
        "./home/.ssh/config",
        "./home/.ssh/id_ed25519",
        "./key0",
        "./key1",
        "./passphrase",
        "./repos/linux/needle",
        // Keys of tests are made once: the server has the same one as the user.
        "./sshd/host_key",
    ];
    assert_eq!(user.files_with_any(t.path()), expected);
}

#[test]
fn over_ssh_no_secret_is_anywhere_but_where_the_user_put_it() {
    whole_loop("ssh");
}

#[test]
fn over_the_session_no_secret_is_in_the_container_either() {
    whole_loop("session");
}
