//! Tests with shell scripts that play `ssh`.

use super::*;

/// A stand-in for `ssh`; `$*` are its arguments.
fn stand_in(script: &str) -> Ssh {
    let mut ssh = Ssh::new(Some("me"), "-oX", Some(22), Some("/a'b")).unwrap();
    // There is no shared connection.
    let script = format!("case $* in *'-O check'*) exit 255 ;; esac; {script}");
    ssh.program = ["sh", "-c", &script, "ssh"].map(str::to_owned).to_vec();
    ssh
}

async fn read(ssh: &Ssh) -> String {
    let mut connection = ssh.dial().await.unwrap();
    connection.write_all(b"hello ").await.unwrap();
    connection.shutdown().await.unwrap();
    let mut text = String::new();
    connection.read_to_string(&mut text).await.unwrap();
    text
}

async fn refusal(script: &str) -> String {
    let ssh = stand_in(script);
    let refused = timeout(Duration::from_secs(30), ssh.dial()).await.unwrap();
    refused.err().expect("`ssh` failed").to_string()
}

#[tokio::test]
async fn the_host_can_be_no_option_and_the_path_no_command() {
    let words = r#"case $* in *dial-stdio) printf '%s|' "$@"; cat ;; *) echo HTTP/1.0 ;; esac"#;
    let text = read(&stand_in(words)).await;
    let words = "-l|me|-p|22|--|-oX|docker|--host='unix:///a'\\''b'|system|dial-stdio|hello ";
    assert!(text.ends_with(words), "{text}");
    assert!(text.contains("BatchMode=yes"), "{text}");
}

#[tokio::test]
async fn a_socket_is_led_and_held_without_a_name() {
    let led = r#"while [ "$1" != -L ]; do shift; done; here=${2%%:*}
        socat "UNIX-LISTEN:$here,fork" SYSTEM:'printf HTTP/; cat' & socat=$!
        until [ -e "$here" ]; do sleep 0.01; done
        echo; cat >/dev/null; kill "$socat""#;
    let ssh = stand_in(led);
    assert!(read(&ssh).await.starts_with("HTTP/"));
    let Way::Tunnel(tunnel) = &*ssh.way.lock().await else {
        panic!("no tunnel");
    };
    let socket = format!("/proc/self/fd/{}", tunnel.socket.as_raw_fd());
    let place = std::fs::read_link(socket).unwrap();
    assert!(place.to_string_lossy().ends_with(" (deleted)"), "{place:?}");
}

#[tokio::test]
async fn a_failing_ssh_says_why() {
    let text = refusal("seq 9999 >&2; echo 'Permission denied.\n' >&2; exit 255").await;
    assert_eq!(text, "9999; Permission denied");
    assert!(refusal("exit 3").await.starts_with("`ssh` exited"));
    // A process that it leaves behind keeps standard error open.
    let text = refusal("echo refused >&2; sleep 60 >/dev/null & exit 255").await;
    assert_eq!(text, "refused");
}

#[tokio::test]
async fn a_complaint_is_told_once() {
    let ssh = stand_in("echo; echo no such container >&2; cat >/dev/null");
    assert_eq!(read(&ssh).await, "\n");
    let told = ssh.complaint().await;
    assert_eq!(told.as_deref(), Some("no such container"));
    assert_eq!(ssh.complaint().await, None);
}

#[test]
fn a_server_gets_no_variable_of_the_users() {
    assert!(is_plain("/run/user/1000/docker.sock"));
    for path in ["", "docker.sock", "/run/${SECRET}", "/run/%h"] {
        assert!(!is_plain(path), "{path}");
    }
    assert_eq!(escaped(r"/a:b\c"), r"/a\:b\\c");
}
