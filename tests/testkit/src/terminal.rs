//! A terminal for a test to type into and read from: one program in a private tmux server.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::wait_until;

/// How long a text may take to appear, which may be after a whole bake.
const LIMIT: Duration = Duration::from_secs(300);

/// No status line: the screen is the program's own.
const CONFIG: &str = "set -g status off\n\
                      set -g default-terminal screen-256color\nset -g history-limit 10000\n";

/// Runs a program, and then writes its status to a file, but not before the terminal has answered
/// a status request (ECMA-48, DSR): it has read everything by then. When a session ends, tmux discards
/// what it has not read, so the shell stays as long as there is a terminal. Signals of the terminal are
/// for the program alone.
const WRAPPER: &str = r#"trap : INT QUIT TERM HUP
file=$1; shift; "$@"; status=$?
stty -echo -icanon; printf '\033[5n'; dd bs=1 count=4 >/dev/null 2>&1
[ ! -t 0 ] || { echo "$status" >"$file"; exec sleep 1000; }"#;

/// A program in a terminal; killed when dropped.
pub struct Terminal {
    socket: PathBuf,
}

impl Terminal {
    /// Starts `program` with the arguments, folder and environment that it has; sockets are made in
    /// the home of `sandbox`.
    pub(crate) fn start(sandbox: &Path, program: &Command, (columns, lines): (u16, u16)) -> Self {
        // Each terminal has its own server: two may run at once in one sandbox.
        let place = tempfile::Builder::new()
            .prefix("tmux-")
            .tempdir_in(sandbox.join("home"));
        let place = place.expect("the sandbox is writable").keep();
        let config = place.join("config");
        std::fs::write(&config, CONFIG).expect("the folder was just made");
        let terminal = Terminal {
            socket: place.join("socket"),
        };
        let output = Command::new("tmux")
            .env_clear()
            .envs(
                program
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .arg("-S")
            .arg(&terminal.socket)
            .arg("-f")
            .arg(config)
            .args(["new-session", "-d", "-s", "t", "-x", &columns.to_string()])
            .args(["-y", &lines.to_string(), "-c"])
            .arg(program.get_current_dir().expect("every run has a folder"))
            .args(["--", "sh", "-c", WRAPPER, "sh"])
            .arg(place.join("status"))
            .arg(program.get_program())
            .args(program.get_args())
            .output()
            .expect("tmux is missing: run `sh fixtures/setup.sh`");
        assert!(output.status.success(), "tmux: {output:?}");
        terminal
    }

    /// Types keys, in tmux's names: `Enter`, `C-c`, `y`; other words are typed as they are.
    pub fn send_keys(&self, keys: &[&str]) {
        self.tmux("send-keys", keys);
    }

    /// What is on the screen, without spaces at the ends of lines.
    pub fn screen(&self) -> String {
        self.tmux("capture-pane", &["-p"])
    }

    /// The lines that were written, unwrapped.
    pub fn lines(&self) -> Vec<String> {
        let text = self.tmux("capture-pane", &["-p", "-J"]);
        text.lines()
            .map(|line| line.trim_end().to_owned())
            .collect()
    }

    /// The screen with colours and attributes, as escape sequences.
    pub fn screen_with_colours(&self) -> String {
        self.tmux("capture-pane", &["-p", "-e"])
    }

    /// Waits until the screen shows `text` and returns the screen.
    pub fn wait_for(&self, text: &str) -> String {
        let mut screen = String::new();
        let found = wait_until(LIMIT, || {
            screen = self.screen();
            screen.contains(text)
        });
        assert!(found, "{text:?} does not appear on the screen:\n{screen}");
        screen
    }

    /// Changes the size of the terminal.
    pub fn resize(&self, columns: u16, lines: u16) {
        let (columns, lines) = (columns.to_string(), lines.to_string());
        self.tmux("resize-window", &["-x", &columns, "-y", &lines]);
    }

    /// Waits for the program's exit and returns its exit code, or 128 plus the signal that ended it.
    pub fn exit_code(&self) -> i32 {
        let ended = wait_until(LIMIT, || self.status().is_some());
        assert!(ended, "the program does not end:\n{}", self.screen());
        self.status().expect("it was just there")
    }

    fn status(&self) -> Option<i32> {
        let text = std::fs::read_to_string(self.socket.with_file_name("status")).ok()?;
        text.strip_suffix('\n')?.parse().ok()
    }

    fn tmux(&self, command: &str, arguments: &[&str]) -> String {
        let output = Command::new("tmux")
            .arg("-S")
            .arg(&self.socket)
            .args([command, "-t", "t"])
            .args(arguments)
            .output()
            .expect("it was there before");
        assert!(output.status.success(), "tmux {command}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = Command::new("tmux")
            .arg("-S")
            .arg(&self.socket)
            .arg("kill-server")
            .output();
        let gone = || std::os::unix::net::UnixStream::connect(&self.socket).is_err();
        wait_until(Duration::from_secs(5), gone);
        let _ = std::fs::remove_dir_all(self.socket.parent().expect("it is in a folder"));
    }
}
