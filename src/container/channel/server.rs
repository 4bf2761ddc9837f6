//! The two sockets of a channel and the connections to them.
//!
//! A connection is one run of one fixed service. A client cannot choose a repository, an option or a
//! program.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::folder::{Channel, Folder};
use super::log::Log;
use crate::env::Env;
use crate::error::Result;
use crate::git::serve::{MAX_PUSH_BYTES, Program, PushPrefix, Service, ServiceLimits};

/// How many connections to one socket are answered at a time; others wait in the kernel's queue.
/// The limit is for each socket: a push asks the other socket what the host has.
pub(super) const MAX_CONNECTIONS: usize = 8;

/// How often to check whether a client is gone, as nothing else notices while git computes.
const HANG_UP_INTERVAL: Duration = Duration::from_millis(250);

/// The longest path that every system accepts as a socket's address (`sun_path`, unix(7)).
const MAX_SOCKET_PATH: usize = 100;

/// The bound sockets of a channel.
pub(super) struct Server {
    doors: Vec<(Service, UnixListener)>,
}

impl Server {
    /// Binds the sockets of `channel` in its folder and replaces older ones; none if it serves no
    /// repository.
    ///
    /// # Errors
    /// When the record is invalid, or a socket cannot be created.
    pub fn bind(folder: &Folder, channel: &Channel) -> Result<Self> {
        let Some(git_dir) = &channel.git_dir else {
            return Ok(Server { doors: Vec::new() });
        };
        let prefix = PushPrefix::parse(&channel.prefix)?;
        let programs = [
            Program::UploadPack {
                remotes: channel.remotes.clone(),
            },
            Program::ReceivePack {
                prefix,
                max_bytes: MAX_PUSH_BYTES,
            },
        ];
        let doors = programs.into_iter().map(|program| {
            let service = Service::new(git_dir, program)?;
            let listener = listen(folder, service.name());
            let listener = listener.map_err(|e| folder.failure("create a socket in", e))?;
            Ok((service, listener))
        });
        let doors = doors.collect::<Result<_>>()?;
        Ok(Server { doors })
    }

    /// Answers connections until `stop`, which also ends open ones.
    pub async fn run(
        self,
        env: &Env,
        limits: &ServiceLimits,
        log: &Arc<Log>,
        stop: &CancellationToken,
    ) {
        let mut doors = JoinSet::new();
        for (service, listener) in self.doors {
            let door = Door {
                service: Arc::new(service),
                env: Arc::new(env.clone()),
                limits: Arc::new(limits.clone()),
                log: log.clone(),
                stop: stop.clone(),
            };
            doors.spawn(async move { door.accept(&listener).await });
        }
        while doors.join_next().await.is_some() {}
    }
}

/// What answering a connection needs.
#[derive(Clone)]
struct Door {
    service: Arc<Service>,
    env: Arc<Env>,
    limits: Arc<ServiceLimits>,
    log: Arc<Log>,
    stop: CancellationToken,
}

impl Door {
    async fn accept(&self, listener: &UnixListener) {
        let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            let next = async {
                let permit = permits.clone().acquire_owned().await;
                (permit, listener.accept().await)
            };
            let (permit, accepted) = tokio::select! {
                next = next => next,
                () = self.stop.cancelled() => break,
            };
            match accepted {
                Ok((stream, _)) => {
                    let door = self.clone();
                    connections.spawn(async move {
                        door.answer(stream).await;
                        drop(permit);
                    });
                }
                Err(e) => {
                    self.log.line(&format!("cannot accept a connection: {e}"));
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
        while connections.join_next().await.is_some() {}
    }

    async fn answer(&self, stream: UnixStream) {
        let name = self.service.name();
        let watch = match Watch::on(&stream) {
            Ok(watch) => watch,
            Err(e) => {
                return self
                    .log
                    .line(&format!("{name}: cannot watch a client: {e}"));
            }
        };
        if watch.is_alone() {
            return;
        }
        let gone = async {
            tokio::select! {
                () = watch.until_alone() => {}
                () = self.stop.cancelled() => {}
            }
        };
        let answer = self.service.answer(stream, &self.env, &self.limits, gone);
        let line = match answer.await {
            Ok(traffic) => {
                let (received, sent) = (traffic.received, traffic.sent);
                let outcome = traffic.outcome;
                format!("{name}: {outcome:?}, {received} bytes in, {sent} bytes out")
            }
            Err(error) => format!("{name}: {error}"),
        };
        self.log.line(&line);
    }
}

/// Creates the socket `name` where the container sees it. It is created in the private folder and
/// moved, so that it never exists there with other permissions, and no symbolic link that a container
/// put in its place is followed.
fn listen(folder: &Folder, name: &str) -> io::Result<UnixListener> {
    let made = folder.root().join(name);
    let place = folder.mount_source().join(name);
    match fs::remove_file(&made) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let root = File::open(folder.root())?;
    let listener = UnixListener::bind(address(&root, folder.root(), name))?;
    fs::set_permissions(&made, Permissions::from_mode(0o666))?;
    fs::rename(&made, place)?;
    Ok(listener)
}

/// A path of the file `name` in the open folder `root` that is short enough for a socket's address.
fn address(root: &File, path: &Path, name: &str) -> PathBuf {
    let direct = path.join(name);
    if direct.as_os_str().as_bytes().len() <= MAX_SOCKET_PATH {
        return direct;
    }
    PathBuf::from(format!("/proc/self/fd/{}/{name}", root.as_raw_fd()))
}

/// A second handle of a connection, to check whether its client is still there while the first one is
/// busy.
struct Watch(StdUnixStream);

impl Watch {
    fn on(stream: &UnixStream) -> io::Result<Self> {
        let handle = stream.as_fd().try_clone_to_owned()?;
        Ok(Watch(handle.into()))
    }

    /// Whether the client has closed both directions; one that has closed only its sending side
    /// still waits for the answer. Writing nothing to such a socket fails (EPIPE, send(2)).
    fn is_alone(&self) -> bool {
        let written = (&self.0).write(&[]);
        written.is_err_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
    }

    async fn until_alone(&self) {
        while !self.is_alone() {
            sleep(HANG_UP_INTERVAL).await;
        }
    }
}

/// Removes the sockets of a channel that is no longer served.
pub(super) fn remove_sockets(folder: &Folder) -> Result<()> {
    for name in ["git-upload-pack", "git-receive-pack"] {
        match fs::remove_file(folder.mount_source().join(name)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(folder.failure("remove a socket from", e));
            }
            _ => {}
        }
    }
    Ok(())
}
