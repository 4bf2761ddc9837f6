//! The machine's engine behind a socket that withholds one answer: the client then stays between two of
//! its steps for as long as the test wants.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::{Api, wait_until};

/// A stalling proxy of the engine.
pub struct StallingEngine {
    folder: TempDir,
    shared: Arc<Shared>,
}

struct Shared {
    engine: PathBuf,
    /// The number of the request that is not answered, from 0.
    stall: usize,
    /// The first lines of the requests so far.
    asked: Mutex<Vec<String>>,
    /// The request that was not answered, once the engine has answered it, and its client.
    stalled: Mutex<Option<(String, UnixStream)>>,
    /// Whether all requests are answered from now on.
    healed: AtomicBool,
}

impl StallingEngine {
    /// Answers all requests except the one with that number, from 0: the engine handles it, but the client
    /// gets no answer.
    pub fn at(stall: usize) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let listener = UnixListener::bind(folder.path().join("s")).expect("a new socket");
        let shared = Arc::new(Shared {
            engine: Api::of_machine().socket().to_owned(),
            stall,
            asked: Mutex::default(),
            stalled: Mutex::default(),
            healed: AtomicBool::new(false),
        });
        let serving = shared.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let shared = serving.clone();
                // A client that was killed breaks its connection.
                thread::spawn(move || shared.serve(client));
            }
        });
        StallingEngine { folder, shared }
    }

    /// The value of `DOCKER_HOST`.
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Waits until the engine has handled the withheld request and returns its first line, unless `ended`
    /// says that there is none.
    pub fn wait(&self, ended: impl Fn() -> bool) -> Option<String> {
        let stalled = || {
            let stalled = self.shared.stalled.lock().expect("no holder panics");
            stalled.as_ref().map(|(line, _)| line.clone())
        };
        let over = || stalled().is_some() || ended();
        assert!(
            wait_until(Duration::from_secs(120), over),
            "{:?}",
            self.asked()
        );
        stalled()
    }

    /// Closes the connection of the waiting client, and answers all requests from now on.
    pub fn heal(&self) {
        let stalled = self.shared.stalled.lock().expect("no holder panics");
        self.shared.healed.store(true, Ordering::SeqCst);
        if let Some((_, client)) = &*stalled {
            // It may have gone.
            let _ = client.shutdown(Shutdown::Both);
        }
    }

    /// The first lines of all requests.
    pub fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().expect("no holder panics").clone()
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("s")
    }
}

impl Shared {
    fn serve(&self, mut client: UnixStream) -> io::Result<()> {
        let head = head(&mut client)?;
        let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line).into_owned();
        let number = {
            let mut asked = self.asked.lock().expect("no holder panics");
            asked.push(line.clone());
            asked.len() - 1
        };
        let mut engine = UnixStream::connect(&self.engine)?;
        engine.write_all(&head)?;
        let (mut from_client, mut to_engine) = (client.try_clone()?, engine.try_clone()?);
        thread::spawn(move || {
            let _ = io::copy(&mut from_client, &mut to_engine);
            to_engine.shutdown(Shutdown::Write)
        });
        if number != self.stall {
            let _ = io::copy(&mut engine, &mut client);
            return client.shutdown(Shutdown::Both);
        }
        let mut byte = [0];
        engine.read_exact(&mut byte)?;
        {
            let mut stalled = self.stalled.lock().expect("no holder panics");
            if self.healed.load(Ordering::SeqCst) {
                return client.shutdown(Shutdown::Both);
            }
            *stalled = Some((line, client));
        }
        io::copy(&mut engine, &mut io::sink()).map(drop)
    }
}

/// All up to the empty line that ends the head of a request.
fn head(client: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(head)
}
