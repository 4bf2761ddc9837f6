//! Engines that are not there, not to be used, too old, or elsewhere.

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use sha2::{Digest, Sha256};

use super::{one_error, refused};
use crate::cases::create_image::two_commits;
use crate::cases::stocked;
use crate::support::{Answer, FakeEngine, KeyKind, Running, Sandbox, wait_until, write_program};

#[test]
fn an_absent_engine_is_named_at_once() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    let socket = "unix:///nonexistent/docker.sock";
    for command in ["create-image", "list-images"] {
        let dkr = t.dkr([command]).in_dir(&repo).env("DOCKER_HOST", socket);
        let output = refused(&t, &repo, dkr, 1, &[socket, "hint: "]);
        assert!(output.took < Duration::from_secs(10), "{output}");
    }
    // What would be built can be shown without an engine.
    let dry = t.dkr(["create-image", "--dry-run"]).in_dir(&repo);
    let output = dry.env("DOCKER_HOST", socket).success();
    output.stderr_has("warning: ").stderr_has(socket);
}

#[test]
fn a_socket_that_may_not_be_used_is_told_from_one_that_is_not_there() {
    let t = Sandbox::new();
    let socket = t.path().join("closed.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    fs::set_permissions(&socket, Permissions::from_mode(0o000)).unwrap();
    // Root may do everything but for these capabilities.
    let drop = "-dac_override,-dac_read_search";
    let bounding = format!("--bounding-set={drop}");
    let inheritable = format!("--inh-caps={drop}");
    let dkr = env!("CARGO_BIN_EXE_dkr");
    let arguments = [&*bounding, &*inheritable, dkr, "list-images"];
    let host = format!("unix://{}", socket.display());
    let output = t.command("setpriv", arguments).env("DOCKER_HOST", &host);
    let output = output.failure(1);
    one_error(&output);
    output.stderr_has(&host).stderr_has("ermission denied");
    output.stderr_has("group `docker`");
    assert!(output.took < Duration::from_secs(10), "{output}");
    std::mem::drop(listener);
    fs::remove_file(socket).unwrap();
}

#[test]
fn an_engine_that_is_named_is_used_or_refused_but_never_another() {
    let t = Sandbox::new();
    let folder = t.path().join("docker");
    fs::create_dir(&folder).unwrap();
    for (variable, value, words) in [
        ("DOCKER_HOST", "npipe:////./pipe/docker_engine", "npipe"),
        ("DOCKER_HOST", "fd://", "fd"),
        ("DOCKER_HOST", "tcp://127.0.0.1:1", "tcp://127.0.0.1:1"),
        ("DOCKER_CONTEXT", "nowhere", "nowhere"),
    ] {
        let dkr = t.dkr(["list-images"]).env("DOCKER_CONFIG", &folder);
        let dkr = dkr.env_remove("DOCKER_HOST").env(variable, value);
        let output = dkr.run();
        assert!(matches!(output.code, Some(1..=3)), "{output}");
        one_error(&output);
        output.stderr_has(words);
    }
}

#[test]
fn an_engine_behind_ssh_is_reached_through_it_and_its_refusal_is_shown() {
    let t = Sandbox::new();
    let engine = FakeEngine::start(t.path())
        .route("GET /images/json", empty_list())
        .route("GET /containers/json", empty_list());
    let bin = t.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let ssh = |script: &str| {
        write_program(&bin.join("ssh"), &format!("#!/bin/sh\n{script}\n"));
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let dkr = t.dkr(["list-images", "--json"]).env("PATH", path);
        dkr.env("DOCKER_HOST", "ssh://me@far.example:2222")
    };
    let asked = t.path().join("asked");
    let script = format!(
        "echo \"$*\" >{}; exec socat -t 60 - UNIX-CONNECT:{}",
        asked.display(),
        engine.socket().display()
    );
    let output = ssh(&script).success();
    assert_eq!(output.stdout, "[]\n");
    assert!(!engine.requests().is_empty());
    let asked = fs::read_to_string(asked).unwrap();
    assert!(
        asked.contains("-l me -p 2222 -- far.example docker system dial-stdio"),
        "{asked}"
    );

    let output = ssh("echo 'me@far.example: Permission denied (publickey).' >&2; exit 255");
    let output = output.failure(1);
    one_error(&output);
    output.stderr_has("ssh://me@far.example:2222");
    output.stderr_has("Permission denied (publickey)");
}

#[test]
fn an_engine_behind_tls_is_checked_and_reached_through_a_context() {
    let t = Sandbox::new();
    let _engine = FakeEngine::start(t.path())
        .route("GET /images/json", empty_list())
        .route("GET /containers/json", empty_list());
    let certs = t.path().join("certs");
    let address = own_loopback();
    certificates(&certs, address);
    let (server, port) = tls_server(&t, &certs, address);
    let host = format!("tcp://{address}:{port}");

    let list = || t.dkr(["list-images", "--json"]);
    let by_variables = list().env("DOCKER_HOST", &host);
    let by_variables = by_variables.env("DOCKER_TLS_VERIFY", "1");
    let output = by_variables.env("DOCKER_CERT_PATH", &certs).success();
    assert_eq!(output.stdout, "[]\n");

    // The folder of a context has the hash of its name.
    let hash = Sha256::digest("far");
    let id: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let config = t.path().join("docker");
    let meta = json!({"Name": "far", "Metadata": {}, "Endpoints": {
        "docker": {"Host": host, "SkipTLSVerify": false}}});
    let place = config.join("contexts/meta").join(&id);
    fs::create_dir_all(&place).unwrap();
    fs::write(place.join("meta.json"), meta.to_string()).unwrap();
    let material = config.join("contexts/tls").join(&id).join("docker");
    fs::create_dir_all(&material).unwrap();
    for name in ["ca.pem", "cert.pem", "key.pem"] {
        fs::copy(certs.join(name), material.join(name)).unwrap();
    }
    let by_context = list()
        .env_remove("DOCKER_HOST")
        .env("DOCKER_CONTEXT", "far");
    let output = by_context.env("DOCKER_CONFIG", &config).success();
    assert_eq!(output.stdout, "[]\n");

    // An engine that another authority vouches for is not the one that was named.
    let others = t.path().join("others");
    certificates(&others, address);
    let unknown = list()
        .env("DOCKER_HOST", &host)
        .env("DOCKER_TLS_VERIFY", "1");
    let output = unknown.env("DOCKER_CERT_PATH", &others).failure(1);
    one_error(&output);
    output.stderr_has(&host).stderr_has("certificate");
    drop(server);
}

#[test]
fn an_engine_of_another_age_is_talked_to_or_refused_with_both_versions() {
    let t = Sandbox::new();
    let list = |newest: &str, oldest: &str| {
        let version = json!({"Version": "99.1", "ApiVersion": newest, "MinAPIVersion": oldest,
            "Os": "linux", "Arch": "amd64"});
        let engine = FakeEngine::start(t.path())
            .route("GET /version", Answer::Json(200, version.to_string()))
            .route("GET /images/json", empty_list())
            .route("GET /containers/json", empty_list());
        t.dkr(["list-images", "--json"])
            .env("DOCKER_HOST", engine.host())
            .run()
    };
    let newer = list("1.99", "1.40");
    assert_eq!((newer.code, &*newer.stdout), (Some(0), "[]\n"), "{newer}");
    for (newest, oldest, named) in [("1.24", "1.12", "1.24"), ("9.9", "9.1", "9.1")] {
        let output = list(newest, oldest);
        assert_eq!(output.code, Some(1), "{output}");
        one_error(&output);
        output
            .stderr_has("99.1")
            .stderr_has(named)
            .stderr_has("API");
    }
}

#[test]
fn an_image_that_goes_while_its_tag_is_mended_fails_no_command() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    let mut image = stocked::image(repo.path().to_str().unwrap(), "main", 0);
    let own = image["RepoTags"][1].clone();
    image["RepoTags"] = json!([own]);
    let tag = format!("POST /images/{}/tag", stocked::image_id(0));
    for (status, why) in [(404, "No such image"), (500, "no space left on device")] {
        let refusal = json!({"message": why}).to_string();
        let engine = stocked::engine(&t, &repo, &["main"], &[])
            .route(
                "GET /images/json",
                Answer::Json(200, json!([image]).to_string()),
            )
            .route(&tag, Answer::Json(status, refusal));
        let list = t
            .dkr(["list-images", "."])
            .env("DOCKER_HOST", engine.host())
            .in_dir(&repo)
            .success();
        assert!(list.stdout.contains(own.as_str().unwrap()), "{list}");
        let asked = engine.requests().iter().any(|r| r.path.contains("/tag?"));
        assert!(asked, "{:?}", engine.requests());
    }
}

#[test]
fn a_build_elsewhere_needs_an_address_of_this_machine() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    let engine = FakeEngine::start(t.path());
    let engine = engine.route("GET /info", Answer::Json(200, "{}".into()));
    let bin = t.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let script = format!(
        "#!/bin/sh\nexec socat -t 60 - UNIX-CONNECT:{}\n",
        engine.socket().display()
    );
    write_program(&bin.join("ssh"), &script);
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let dkr = t
        .dkr(["create-image", "--transport", "ssh"])
        .env("PATH", path);
    let dkr = dkr.env("DOCKER_HOST", "ssh://far.example").in_dir(&repo);
    refused(&t, &repo, dkr, 2, &["far.example", "--ssh-host"]);
}

#[test]
fn an_ssh_server_that_cannot_be_used_is_told_before_anything_is_built() {
    let t = Sandbox::new();
    let repo = two_commits(&t, "linux");
    let create = |arguments: &[&str]| {
        let arguments = [&["create-image", "--transport", "ssh"], arguments].concat();
        t.dkr(arguments).in_dir(&repo)
    };
    // Nothing listens there; a port that was just left may be another test's by now.
    let gone = create(&["--ssh-port", "1"]);
    let output = refused(&t, &repo, gone, 1, &[" port 1: ", "hint: "]);
    assert!(output.took < Duration::from_secs(15), "{output}");

    let strict = t.another_sshd("strict", KeyKind::Ed25519);
    let port = strict.port().to_string();
    let denied = create(&["--ssh-port", &port]);
    let output = refused(
        &t,
        &repo,
        denied,
        1,
        &["id_ed25519", &format!(":{port}"), "hint: "],
    );
    assert!(output.took < Duration::from_secs(15), "{output}");
    assert!(!output.stderr.contains("ssh-agent"), "{output}");
}

fn empty_list() -> Answer {
    Answer::Json(200, "[]".into())
}

/// An address of this machine where no other test listens: between the choice of a port and its use
/// nobody takes it.
fn own_loopback() -> Ipv4Addr {
    let [a, b, c] = rand::random();
    Ipv4Addr::new(127, a | 1, b, c | 1)
}

/// An authority, and a certificate of it for `address` that serves both sides.
fn certificates(folder: &Path, address: Ipv4Addr) {
    fs::create_dir(folder).unwrap();
    let openssl = |arguments: &str| {
        let output = Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(folder)
            .output()
            .expect("openssl is missing: run `sh fixtures/setup.sh`");
        assert!(output.status.success(), "openssl {arguments}: {output:?}");
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!(
        "req -x509 {key} -keyout ca-key.pem -out ca.pem -days 30 -subj /CN=authority"
    ));
    openssl(&format!(
        "req {key} -keyout key.pem -out request.pem -subj /CN=engine"
    ));
    let names = format!("subjectAltName=IP:{address}\n");
    fs::write(folder.join("names"), names).unwrap();
    openssl(
        "x509 -req -in request.pem -CA ca.pem -CAkey ca-key.pem -CAcreateserial -out cert.pem \
         -days 30 -extfile names",
    );
}

/// TLS in front of the fake engine of the sandbox, for clients with a certificate.
fn tls_server(t: &Sandbox, certs: &Path, address: Ipv4Addr) -> (Running, u16) {
    let port = TcpListener::bind((address, 0)).unwrap();
    let port = port.local_addr().unwrap().port();
    let folder = certs.display();
    let listen = format!(
        "OPENSSL-LISTEN:{port},bind={address},reuseaddr,fork,cert={folder}/cert.pem,\
         key={folder}/key.pem,cafile={folder}/ca.pem,verify=1"
    );
    let server = t.command("socat", [&*listen, "UNIX-CONNECT:fake-engine.sock"]);
    let server = server.in_dir(t.path()).spawn();
    let up = || TcpStream::connect((address, port)).is_ok();
    assert!(
        wait_until(Duration::from_secs(30), up),
        "socat does not listen"
    );
    (server, port)
}
