//! What the host does all day, which the fence must let through.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};

use super::attacks::Attempt;
use super::place::{GRANTED, told};

pub(crate) const ALL: &[(&str, Attempt)] = &[
    ("to keep its state", || {
        fs::create_dir_all("state/jobs")?;
        fs::write("state/jobs/new", "job")?;
        fs::rename("state/jobs/new", "state/job")?;
        File::open("state")?.sync_all()?;
        fs::remove_file("state/job")
    }),
    ("to write the spare slot", || write_in_place("spare.img")),
    ("to write the boot loader's memory", || write_in_place("grubenv")),
    ("to read the running slot", || read("running.img")),
    ("to read a copy of a repository", || read("copies/stick")),
    ("to connect to where the policy lets it", || {
        TcpStream::connect(("127.0.0.1", u16::try_from(told(GRANTED)).unwrap())).map(drop)
    }),
    ("to look up names", || ("localhost", 8883).to_socket_addrs().map(drop)),
    ("threads", || std::thread::spawn(|| ()).join().map_err(|_| io::ErrorKind::Other.into())),
    ("random numbers and clocks", || {
        let _ = (std::time::SystemTime::now(), std::time::Instant::now());
        read("/dev/urandom")
    }),
    ("a runtime", || {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).map(drop)
        })
    }),
];

fn write_in_place(path: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    file.write_all(b"written")?;
    file.sync_all()
}

fn read(path: &str) -> io::Result<()> {
    File::open(path)?.read_exact(&mut [0])
}
