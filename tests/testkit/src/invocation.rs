//! One run of a program in the sandbox: its arguments, folder, environment and input; its output
//! and exit status. A run that takes too long is killed.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{self, Command, ExitStatus};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::{Running, Terminal, processes};

/// How long the child processes of a killed program may keep running.
const GRACE: Duration = Duration::from_secs(5);

/// A program to run.
#[derive(Debug)]
#[must_use]
pub struct Invocation {
    command: Command,
    sandbox: PathBuf,
    input: Vec<u8>,
    limit: Duration,
}

impl Invocation {
    /// `program` with `arguments` in the folder of a sandbox, with exactly `environment`.
    pub fn new<A: AsRef<OsStr>>(
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = A>,
        sandbox: &Path,
        environment: &[(String, String)],
    ) -> Self {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(sandbox)
            .env_clear()
            .envs(environment.iter().cloned())
            .process_group(0);
        Invocation {
            command,
            sandbox: sandbox.to_owned(),
            input: Vec::new(),
            limit: Duration::from_secs(300),
        }
    }

    /// Runs it in `folder`.
    pub fn in_dir(mut self, folder: impl AsRef<Path>) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Sets a variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Unsets a variable.
    pub fn env_remove(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Its standard input, which is not a terminal.
    pub fn stdin(mut self, input: impl AsRef<[u8]>) -> Self {
        self.input = input.as_ref().to_owned();
        self
    }

    /// How long it may take (300 s).
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs it to its end.
    pub fn run(self) -> Output {
        let (line, limit, started) = (self.line(), self.limit, Instant::now());
        let _watched = self.watch();
        let ended = assert_cmd::Command::from_std(self.command)
            .write_stdin(self.input)
            .timeout(limit)
            .output()
            .unwrap_or_else(|error| panic!("cannot run {line}: {error}"));
        let output = Output::new(line, ended, started.elapsed());
        let in_time = output.took < limit || output.signal() != Some(Signal::KILL.as_raw());
        assert!(in_time, "this has not ended: {output}");
        assert!(
            output.took < limit + GRACE,
            "a child held the output open: {output}"
        );
        output
    }

    /// Runs it; it must succeed.
    pub fn success(self) -> Output {
        let output = self.run();
        assert_eq!(output.code, Some(0), "this should succeed: {output}");
        output
    }

    /// Runs it; it must exit with `code`.
    pub fn failure(self, code: i32) -> Output {
        let output = self.run();
        assert_eq!(output.code, Some(code), "this should exit {code}: {output}");
        output
    }

    /// Starts it and returns.
    pub fn spawn(self) -> Running {
        let line = self.line();
        Running::start(self.command, line, self.input, self.limit)
    }

    /// The command itself, for a program that is measured while it runs.
    pub fn into_command(self) -> Command {
        self.command
    }

    /// Starts it in a terminal of that many columns and lines.
    pub fn terminal(self, columns: u16, lines: u16) -> Terminal {
        Terminal::start(&self.sandbox, &self.command, (columns, lines))
    }

    /// Ends child processes that keep running after the program was killed: the end of its output comes
    /// only when none holds it open any more. Dropped at the end of the run.
    fn watch(&self) -> mpsc::Sender<()> {
        let (watched, run) = mpsc::channel();
        let (sandbox, limit) = (self.sandbox.clone(), self.limit + GRACE);
        std::thread::spawn(move || {
            if run.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                let left = processes::mentioning(&sandbox).into_iter();
                let left: Vec<u32> = left.map(|(pid, _)| pid).collect();
                processes::end(&left, Duration::ZERO);
            }
        });
        watched
    }

    fn line(&self) -> String {
        let program = Path::new(self.command.get_program());
        let name = program.file_name().unwrap_or_default();
        let words: Vec<_> = std::iter::once(name)
            .chain(self.command.get_args())
            .map(|word| word.to_string_lossy())
            .collect();
        words.join(" ")
    }
}

/// The output of a program that has exited.
#[derive(Debug, Clone)]
pub struct Output {
    line: String,
    status: ExitStatus,
    /// The exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Standard output as text.
    pub stdout: String,
    /// Standard output as bytes.
    pub stdout_bytes: Vec<u8>,
    /// Standard error as text.
    pub stderr: String,
    /// How long it ran.
    pub took: Duration,
}

impl Output {
    pub(crate) fn new(line: String, ended: process::Output, took: Duration) -> Self {
        Output {
            line,
            status: ended.status,
            code: ended.status.code(),
            stdout: String::from_utf8_lossy(&ended.stdout).into_owned(),
            stdout_bytes: ended.stdout,
            stderr: String::from_utf8_lossy(&ended.stderr).into_owned(),
            took,
        }
    }

    /// The command line, with the program's name instead of its path.
    pub fn line(&self) -> &str {
        &self.line
    }

    /// The signal that ended it.
    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }

    /// Standard error must contain `text`.
    pub fn stderr_has(&self, text: &str) -> &Self {
        assert!(
            self.stderr.contains(text),
            "standard error should hold {text:?}: {self}"
        );
        self
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "`{}` ({}, {:?})", self.line, self.status, self.took)?;
        writeln!(f, "--- stdout\n{}", self.stdout.trim_end())?;
        writeln!(f, "--- stderr\n{}", self.stderr.trim_end())
    }
}
