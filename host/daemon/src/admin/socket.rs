//! The socket's place in the file system, and who may connect.
//!
//! A socket that is made first and closed off afterwards can be connected to in between. So it is made in a
//! directory of its own that only the host may enter, gets its group and mode there, and is moved to its name when it
//! is ready; the move also replaces what a host that was killed has left behind. A name that is taken by something
//! else than a socket, or by a socket on which somebody listens, is left alone.
//!
//! It is made before the fence is raised, which lets no socket be bound, and gets its name when there is somebody to
//! answer: until then nobody can connect.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use cap_std::fs::Dir;
use rustix::fs::{AtFlags, Gid, chownat};

use crate::disk::set_mode;

/// Where it is made.
const PRIVATE: &str = ".admin-socket";
const NEW: &str = "new";
/// Its name until it serves: beside the one that it gets, so that it is only renamed.
const READY: &str = ".admin-socket.ready";

/// A socket, as the operator wants it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Socket {
    /// Its name in its directory.
    pub name: String,
    /// Who may connect, as of `chmod`.
    pub mode: u32,
    /// Its group's id; the process's own where there is none.
    pub group: Option<u32>,
}

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The name is something else's.
    #[error("{0} is there and is not a socket; remove it or set another `socket` under [admin]")]
    NotASocket(String),
    /// Another process answers there.
    #[error("another process listens on {0}; is a second hotshoed running?")]
    InUse(String),
    /// The operating system says no.
    #[error("the admin socket {name} cannot be {action}: {source}")]
    System {
        /// Its name.
        name: String,
        /// What was to be done.
        action: &'static str,
        /// Why not.
        source: io::Error,
    },
}

/// A socket that is made and waits for its name.
#[derive(Debug)]
pub struct Waiting {
    listener: UnixListener,
    directory: Dir,
    name: String,
}

impl Waiting {
    /// Gives it its name: from now on whoever may connect finds it. To be called within a Tokio runtime.
    pub(super) fn open(self) -> Result<tokio::net::UnixListener, SocketError> {
        let Waiting { listener, directory, name } = self;
        let name = name.as_str();
        let failed =
            |action| move |source: io::Error| SocketError::System { name: name.to_owned(), action, source };
        let opened = tokio::net::UnixListener::from_std(listener).map_err(failed("listened on"))?;
        directory.rename(READY, &directory, name).map_err(failed("put in its place"))?;
        Ok(opened)
    }
}

/// Makes the socket.
///
/// # Errors
/// When there can be no such socket in this directory; see [`SocketError`].
pub fn listen(directory: &Dir, socket: &Socket) -> Result<Waiting, SocketError> {
    let name = socket.name.as_str();
    let failed =
        |action| move |source: io::Error| SocketError::System { name: name.to_owned(), action, source };
    free(directory, name)?;
    let private = private(directory).map_err(failed("made"))?;
    let listener = UnixListener::bind(path(&private, NEW)).map_err(failed("made"))?;
    listener.set_nonblocking(true).map_err(failed("made"))?;
    if let Some(group) = socket.group {
        let group = Gid::from_raw(group);
        chownat(&private, NEW, None, Some(group), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| failed("given to its group")(error.into()))?;
    }
    set_mode(&private, NEW, socket.mode).map_err(failed("given its mode"))?;
    private.rename(NEW, directory, READY).map_err(failed("made ready"))?;
    let _ = directory.remove_dir(PRIVATE);
    let directory = directory.try_clone().map_err(failed("made ready"))?;
    Ok(Waiting { listener, directory, name: name.to_owned() })
}

/// Whether the name may be taken.
fn free(directory: &Dir, name: &str) -> Result<(), SocketError> {
    let Ok(metadata) = directory.symlink_metadata(name) else { return Ok(()) };
    let file_type = metadata.file_type();
    if !cap_std::fs::FileTypeExt::is_socket(&file_type) {
        return Err(SocketError::NotASocket(name.to_owned()));
    }
    match std::os::unix::net::UnixStream::connect(path(directory, name)) {
        Ok(_) => Err(SocketError::InUse(name.to_owned())),
        Err(_) => Ok(()),
    }
}

/// An empty directory that only the host may enter.
fn private(directory: &Dir) -> io::Result<Dir> {
    match directory.create_dir(PRIVATE) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // What is opened is looked at: it may be an earlier life's, and is not followed were it a link.
    if !directory.symlink_metadata(PRIVATE)?.is_dir() {
        return Err(io::Error::other(format!("{PRIVATE} is not a directory")));
    }
    let private = directory.open_dir(PRIVATE)?;
    set_mode(&private, ".", 0o700)?;
    match private.remove_file(NEW) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(private),
    }
}

/// A path for the system's call that takes no directory handle; also shorter than the 107 bytes that it takes.
fn path(directory: &Dir, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{name}", directory.as_fd().as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};

    use cap_std::ambient_authority;

    use super::*;

    fn place() -> (tempfile::TempDir, Dir) {
        let place = tempfile::tempdir().unwrap();
        let dir = Dir::open_ambient_dir(place.path(), ambient_authority()).unwrap();
        (place, dir)
    }

    fn socket(mode: u32) -> Socket {
        Socket { name: "admin.sock".into(), mode, group: Some(rustix::process::getgid().as_raw()) }
    }

    #[tokio::test]
    async fn it_has_its_mode_and_group_and_nothing_else_is_left() {
        let (place, dir) = place();
        let waiting = listen(&dir, &socket(0o620)).unwrap();
        assert!(!place.path().join("admin.sock").exists(), "nobody answers yet");
        let listener = waiting.open().unwrap();
        let made = std::fs::metadata(place.path().join("admin.sock")).unwrap();
        assert!(made.file_type().is_socket());
        assert_eq!((made.mode() & 0o7777, made.gid()), (0o620, rustix::process::getgid().as_raw()));
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
        let connected = tokio::net::UnixStream::connect(place.path().join("admin.sock")).await;
        assert!(connected.is_ok());
        drop(listener);
    }

    #[tokio::test]
    async fn a_dead_socket_is_replaced_and_a_live_one_is_not() {
        let (place, dir) = place();
        let first = listen(&dir, &socket(0o600)).unwrap().open().unwrap();
        assert!(matches!(listen(&dir, &socket(0o600)), Err(SocketError::InUse(_))));
        drop(first);
        let second = listen(&dir, &socket(0o600)).unwrap().open().unwrap();
        tokio::net::UnixStream::connect(place.path().join("admin.sock")).await.unwrap();
        drop(second);
    }

    #[tokio::test]
    async fn what_is_no_socket_stays_as_it_is() {
        let (place, dir) = place();
        std::fs::write(place.path().join("admin.sock"), "mine").unwrap();
        assert!(matches!(listen(&dir, &socket(0o600)), Err(SocketError::NotASocket(_))));
        std::fs::remove_file(place.path().join("admin.sock")).unwrap();
        std::os::unix::fs::symlink("/tmp", place.path().join(PRIVATE)).unwrap();
        assert!(matches!(listen(&dir, &socket(0o600)), Err(SocketError::System { .. })));
    }
}
