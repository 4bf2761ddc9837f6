//! SSH as the user has it: keys, agents, certificates, host keys and `~/.ssh/config`, and what is told
//! where one of them does not fit. `dkr doctor` goes as far as a build does before it begins.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use super::create_image::two_commits;
use super::doctor::{checks, find, status};
use super::forward_agent::UserAgent;
use crate::support::{Invocation, KeyKind, Sandbox, Sshd, processes_mentioning, wait_until};

/// `127.0.0.1` in a form that dkr does not take for this machine: the host key of such a server must be
/// known.
const STRANGER: &str = "::ffff:127.0.0.1";

fn doctor(t: &Sandbox, arguments: &[&str]) -> Invocation {
    let arguments = [&["doctor", "--json"], arguments].concat();
    t.dkr(arguments).env("DKR_TRANSPORT", "ssh")
}

/// The check that failed, which has to be the only one, and of that name.
fn failed(doctor: Invocation, name: &str) -> Value {
    let output = doctor.failure(1);
    let all = checks(&output);
    let mut bad = all.iter().filter(|(_, check)| check["status"] == "fail");
    assert_eq!(
        bad.next().map(|(name, _)| name.as_str()),
        Some(name),
        "{output}"
    );
    assert_eq!(bad.next(), None, "{output}");
    find(&all, name).clone()
}

/// What a check says, and what is to be done.
fn said(check: &Value) -> [&str; 2] {
    ["message", "hint"].map(|field| check[field].as_str().unwrap_or_default())
}

fn keygen(t: &Sandbox, arguments: &[&str]) {
    t.command("ssh-keygen", arguments).success();
}

/// Makes an authority and lets it sign the public key in the file; its own public key.
fn certify(t: &Sandbox, public: &Path, arguments: &[&str]) -> String {
    let authority = t.path().join("authority");
    let path = authority.to_str().unwrap();
    keygen(t, &["-q", "-t", "ecdsa", "-N", "", "-f", path]);
    let sign = ["-q", "-s", path, "-I", "id", "-V", "+1h"];
    keygen(t, &[&sign, arguments, &[public.to_str().unwrap()]].concat());
    fs::read_to_string(authority.with_extension("pub")).unwrap()
}

/// A second server that lets `key` in, and on which `options` are in force for it.
fn second_server(t: &Sandbox, key: &Path, options: &str) -> Sshd {
    let sshd = t.another_sshd("second", KeyKind::Ed25519);
    let public = fs::read_to_string(key.with_extension("pub")).unwrap();
    sshd.authorize(options, &public);
    sshd
}

#[test]
fn every_kind_of_key_logs_in_and_an_encrypted_one_with_its_passphrase() {
    let t = Sandbox::new();
    let kinds = [
        KeyKind::Ed25519,
        KeyKind::Rsa,
        KeyKind::RsaPem,
        KeyKind::RsaPkcs8,
        KeyKind::Ecdsa,
    ];
    let [right, wrong] = ["open ü sesame", "wrong"].map(|text| {
        let file = t.path().join(text);
        fs::write(&file, format!("{text}\n")).unwrap();
        file
    });
    for kind in kinds {
        let plain = t.key(kind, "");
        let output = doctor(&t, &["--ssh-key", plain.to_str().unwrap()]).success();
        let found = checks(&output);
        assert_eq!(status(&found, "ssh login"), "ok", "{output}");
        assert!(
            find(&found, "ssh host key")["message"]
                .as_str()
                .unwrap()
                .starts_with("ssh-ed25519")
        );

        let locked = t.key(kind, "open ü sesame");
        let with = |file: Option<&PathBuf>| {
            let doctor = doctor(&t, &["--ssh-key", locked.to_str().unwrap()]);
            match file {
                Some(file) => doctor.env("DKR_SSH_PASSPHRASE_FILE", file),
                None => doctor,
            }
        };
        with(Some(&right)).success();
        let refused = failed(with(Some(&wrong)), "ssh login");
        assert!(said(&refused)[0].ends_with("wrong` is wrong"), "{refused}");
        let refused = failed(with(None), "ssh login");
        assert!(
            said(&refused)[0].contains("no passphrase was given"),
            "{refused}"
        );
        assert!(
            said(&refused)[1].contains("DKR_SSH_PASSPHRASE_FILE"),
            "{refused}"
        );
    }
}

#[test]
fn an_account_that_runs_no_git_is_a_warning() {
    let t = Sandbox::new();
    let key = t.key(KeyKind::Ed25519, "");
    let sshd = second_server(&t, &key, "command=\"echo not available; exit 7\"");
    let port = sshd.port().to_string();
    let arguments = ["--ssh-key", key.to_str().unwrap(), "--ssh-port", &port];
    let login = |output| find(&checks(&output), "ssh login").clone();
    let warned = login(doctor(&t, &arguments).success());
    assert_eq!(warned["status"], "warn");
    assert!(
        said(&warned)[0].ends_with("status 7: not available"),
        "{warned}"
    );

    sshd.authorize_nobody();
    let public = fs::read_to_string(key.with_extension("pub")).unwrap();
    let end = t.path().join("end");
    let hang = format!("until [ -e {} ]; do sleep 0.1; done", end.display());
    sshd.authorize(&format!("command=\"{hang}\""), &public);
    let began = Instant::now();
    let warned = login(doctor(&t, &arguments).success());
    assert!(
        said(&warned)[0].ends_with("did not finish in time"),
        "{warned}"
    );
    assert!(began.elapsed() < Duration::from_secs(25));
    fs::write(end, "").unwrap();
}

#[test]
fn a_host_key_must_be_known_and_the_line_makes_it_so() {
    let t = Sandbox::new();
    let port = t.sshd().port();
    let known_hosts = t.home().join(".ssh/known_hosts");
    let line = format!("[{STRANGER}]:{port} {}", t.sshd().host_key());
    let strict = || doctor(&t, &["--ssh-host", STRANGER]);
    let unknown = failed(strict(), "ssh host key");
    let [message, hint] = said(&unknown);
    assert!(
        message.contains("SHA256:") && message.ends_with("is not known"),
        "{unknown}"
    );
    assert!(hint.contains(known_hosts.to_str().unwrap()), "{unknown}");
    assert!(hint.ends_with(&format!("\n{line}")), "{unknown}");

    fs::write(
        &known_hosts,
        format!("other.example {}\n{line}\n", t.sshd().host_key()),
    )
    .unwrap();
    strict().success();
    keygen(&t, &["-q", "-H", "-f", known_hosts.to_str().unwrap()]);
    strict().success();
    for names in ["*.1", STRANGER, "[*127.0.?.1]:*,!nobody"] {
        fs::write(&known_hosts, format!("{names} {}\n", t.sshd().host_key())).unwrap();
        strict().success();
    }
    fs::remove_file(&known_hosts).unwrap();
    fs::create_dir(&known_hosts).unwrap();
    let unreadable = failed(strict(), "ssh host key");
    assert!(
        said(&unreadable)[0].contains(known_hosts.to_str().unwrap()),
        "{unreadable}"
    );
}

#[test]
fn a_changed_or_revoked_host_key_is_refused_before_the_key_is_used() {
    let t = Sandbox::new();
    let port = t.sshd().port();
    let known_hosts = t.home().join(".ssh/known_hosts");
    let other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    let refused = |text: String| {
        fs::write(&known_hosts, text).unwrap();
        failed(doctor(&t, &["--ssh-host", STRANGER]), "ssh host key")
    };
    let changed = refused(format!("# mine\n[{STRANGER}]:{port} {other}\n"));
    let [message, hint] = said(&changed);
    assert!(message.contains("THE HOST KEY HAS CHANGED"), "{changed}");
    assert!(
        message.contains("known_hosts:2` holds another"),
        "{changed}"
    );
    assert_eq!(
        hint,
        format!("only if you know why, remove the old one: `ssh-keygen -R '[{STRANGER}]:{port}'`")
    );
    let own = t.sshd().host_key();
    let revoked = refused(format!("[{STRANGER}]:{port} {own}\n@revoked * {own}\n"));
    assert!(
        said(&revoked)[0].contains("its host key is revoked"),
        "{revoked}"
    );
    assert!(said(&revoked)[0].contains("known_hosts:2"), "{revoked}");
    let log = t.sshd().log();
    assert!(
        !log.contains("Accepted") && !log.contains("publickey"),
        "{log}"
    );
}

#[test]
fn what_is_no_ssh_server_is_told_within_seconds() {
    let t = Sandbox::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port().to_string();
    let arguments = ["--ssh-host", "127.0.0.1", "--ssh-port", &port];
    let began = Instant::now();
    let check = failed(doctor(&t, &arguments), "ssh server");
    assert!(began.elapsed() < Duration::from_secs(25));
    assert!(said(&check)[0].ends_with("no answer within 5 s"), "{check}");
    assert!(said(&check)[1].contains("--ssh-port"), "{check}");
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = silent.accept() {
            let _ = std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let check = failed(doctor(&t, &arguments), "ssh server");
    let place = format!("no SSH server answers on `127.0.0.1` port {port}: ");
    assert!(said(&check)[0].contains(&place), "{check}");
}

#[test]
fn an_authority_for_hosts_is_known_in_a_build_too() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    let key = t.key(KeyKind::Ed25519, "");
    let sshd = second_server(&t, &key, "");
    let host_key = t.path().join("second/host_key.pub");
    let authority = certify(&t, &host_key, &["-h", "-n", STRANGER]);
    let certificate = host_key.with_file_name("host_key-cert.pub");
    sshd.configure(&format!("HostCertificate {}", certificate.display()));
    let known = format!("@cert-authority [*.1]:{} {authority}", sshd.port());
    fs::write(t.home().join(".ssh/known_hosts"), known).unwrap();
    let port = sshd.port().to_string();
    let arguments = ["--ssh-key", key.to_str().unwrap(), "--ssh-host", STRANGER];
    let arguments = [&arguments[..], &["--ssh-port", &port]].concat();
    t.dkr([&["create-image"], &arguments[..]].concat())
        .in_dir(&repo)
        .success();
    assert_eq!(t.image(&repo, "main").run(["cat", "README"]), "hello\n");
}

#[test]
fn a_key_that_only_the_users_agent_has_bakes() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    let agent = UserAgent::start(&t);
    let key = t.home().join(".ssh/id_ed25519");
    fs::remove_file(&key).unwrap();
    let bake = |arguments: &[&str]| {
        let dkr = t.dkr([&["create-image"], arguments].concat());
        dkr.in_dir(&repo).env("SSH_AUTH_SOCK", &agent.socket)
    };
    let output = bake(&[]).success();
    output
        .stderr_has("using SSH: ")
        .stderr_has("accepts key `dkr-test` of your SSH agent");
    assert_eq!(t.image(&repo, "main").run(["cat", "README"]), "hello\n");
    let listed = || {
        let list = t
            .command("ssh-add", ["-L"])
            .env("SSH_AUTH_SOCK", &agent.socket);
        list.success().stdout
    };
    assert_eq!(listed().lines().count(), 1);

    // Its name is that of the file, of which the public half is left.
    repo.file("b", "b").commit("add b");
    bake(&["--ssh-key", key.to_str().unwrap()]).success();
    let public = key.with_extension("pub");
    let arguments = ["--json", "--ssh-key", public.to_str().unwrap()];
    let known = t.dkr([&["doctor"], &arguments[..]].concat());
    known.env("SSH_AUTH_SOCK", &agent.socket).success();
    let without = doctor(&t, &["--ssh-key", public.to_str().unwrap()]);
    let check = failed(without, "ssh login");
    assert!(said(&check)[0].contains("it is a public key"), "{check}");
    let nowhere = bake(&["--transport", "ssh"])
        .env_remove("SSH_AUTH_SOCK")
        .failure(3);
    nowhere.stderr_has("no SSH key in");
}

#[test]
fn an_encrypted_key_that_the_users_agent_has_needs_no_passphrase() {
    let t = Sandbox::new();
    let agent = UserAgent::start(&t);
    let key = t.home().join(".ssh/id_ed25519");
    let path = key.to_str().unwrap();
    keygen(&t, &["-q", "-p", "-P", "", "-N", "open sesame", "-f", path]);
    let check = failed(doctor(&t, &[]), "ssh login");
    assert!(
        said(&check)[0].contains("no passphrase was given"),
        "{check}"
    );
    doctor(&t, &[])
        .env("SSH_AUTH_SOCK", &agent.socket)
        .success();
}

#[test]
fn a_certificate_beside_the_key_lets_it_in() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    let key = t.path().join("certified");
    keygen(
        &t,
        &["-q", "-t", "ed25519", "-N", "", "-f", key.to_str().unwrap()],
    );
    let arguments = ["--ssh-key", key.to_str().unwrap()];
    failed(doctor(&t, &arguments), "ssh login");
    let user = t.command("id", ["-un"]).success().stdout;
    let public = key.with_extension("pub");
    let authority = certify(&t, &public, &["-n", user.trim()]);
    t.sshd().authorize("cert-authority", &authority);
    t.dkr([&["create-image"], &arguments[..]].concat())
        .in_dir(&repo)
        .success();
    assert_eq!(t.image(&repo, "main").run(["cat", "README"]), "hello\n");
}

#[test]
fn the_users_configuration_of_ssh_counts_below_everything_of_dkr() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    let key = t.path().join("configured");
    keygen(
        &t,
        &["-q", "-t", "ed25519", "-N", "", "-f", key.to_str().unwrap()],
    );
    let sshd = second_server(&t, &key, "");
    let user = t.command("id", ["-un"]).success().stdout;
    let known = t.path().join("known of box");
    let known = known.to_str().unwrap().replace(' ', "-");
    let config = format!(
        "Host box\n HostName {STRANGER}\n Port {}\n User {user} IdentityFile {}\n \
         HostKeyAlias key-of-box\n UserKnownHostsFile {known}\n\
         Host localhost\n Port {}\n IdentityFile {}\n",
        sshd.port(),
        key.display(),
        sshd.port(),
        key.display()
    );
    fs::write(t.home().join(".ssh/config"), config).unwrap();
    let without = |dkr: Invocation| dkr.env_remove("DKR_SSH_PORT");
    let unknown = failed(without(doctor(&t, &["--ssh-host", "box"])), "ssh host key");
    let line = format!("\nkey-of-box {}", sshd.host_key());
    assert!(said(&unknown)[1].ends_with(&line), "{unknown}");
    fs::write(&known, line.trim_start()).unwrap();
    let bake = t.dkr(["create-image", "--transport", "ssh", "--ssh-host", "box"]);
    without(bake.in_dir(&repo)).success();
    assert_eq!(t.image(&repo, "main").run(["cat", "README"]), "hello\n");

    // Without a host it is what the file says of localhost.
    without(doctor(&t, &[])).success();
    // The variable, which the sandbox sets, and the flag win.
    let default = t.home().join(".ssh/id_ed25519");
    doctor(&t, &["--ssh-key", default.to_str().unwrap()]).success();
    let refused = failed(doctor(&t, &[]), "ssh login");
    let place = format!(":{}`", t.sshd().port());
    assert!(said(&refused)[0].contains(&place), "{refused}");
    let refused = failed(
        without(doctor(&t, &["--ssh-user", "no-such-user"])),
        "ssh login",
    );
    assert!(said(&refused)[0].contains("`no-such-user@"), "{refused}");

    fs::write(t.home().join(".ssh/config"), "Nonsense yes\n").unwrap();
    let bad = failed(doctor(&t, &[]), "ssh key");
    assert!(said(&bad)[0].contains(".ssh/config"), "{bad}");
    let session = t.dkr(["create-image"]).in_dir(&repo).success();
    session.stderr_has("using the build session (cannot read your SSH configuration");
}

#[test]
fn a_program_that_is_missing_is_named_and_the_session_serves() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    let bin = t.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let all = std::env::var_os("PATH").unwrap();
    for entry in std::env::split_paths(&all)
        .filter_map(|at| fs::read_dir(at).ok())
        .flatten()
    {
        let entry = entry.unwrap();
        if entry.file_name() != "ssh-add" {
            // The first of a name is the one that counts.
            let _ = std::os::unix::fs::symlink(entry.path(), bin.join(entry.file_name()));
        }
    }
    let check = failed(doctor(&t, &[]).env("PATH", &bin), "ssh key");
    assert!(
        said(&check)[0].contains("cannot run the program `ssh-add`"),
        "{check}"
    );
    assert!(said(&check)[1].contains("openssh-client"), "{check}");
    let bake = |arguments: &[&str]| {
        let dkr = t.dkr([&["create-image"], arguments].concat());
        dkr.in_dir(&repo).env("PATH", &bin)
    };
    let refused = bake(&["--transport", "ssh"]).failure(1);
    refused.stderr_has("cannot run the program `ssh-add`");
    refused.stderr_has("hint: install the OpenSSH client");
    let output = bake(&[]).success();
    output.stderr_has("using the build session (cannot run the program `ssh-add`");
}

#[test]
fn the_agent_ends_with_a_dkr_that_is_killed() {
    let t = Sandbox::new();
    let key = t.key(KeyKind::Ed25519, "");
    let sshd = second_server(&t, &key, "command=\"exec sleep 30\"");
    let port = sshd.port().to_string();
    let arguments = ["--ssh-key", key.to_str().unwrap(), "--ssh-port", &port];
    let folders = || {
        let entries = fs::read_dir(t.path().join("run")).unwrap();
        entries.filter(|entry| {
            let name = entry.as_ref().unwrap().file_name();
            name.to_string_lossy().starts_with("dkr-ssh-")
        })
    };
    let agents = || {
        let all = processes_mentioning(t.path()).into_iter();
        all.filter(|(_, text)| text.contains("ssh-agent")).count()
    };
    let running = doctor(&t, &arguments).spawn();
    let is_there = || agents() > 0 && folders().count() == 1;
    assert!(wait_until(Duration::from_secs(60), is_there));
    running.signal(Signal::KILL);
    assert_eq!(running.wait().signal(), Some(9));
    let is_gone = || agents() == 0 && folders().count() == 0;
    assert!(wait_until(Duration::from_secs(10), is_gone), "{}", agents());
}
