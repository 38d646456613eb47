//! A plain HTTP server of a few files that fails as it is told, and keeps count.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

/// What goes wrong, each at an offset of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The connection ends there, once.
    Close(u64),
    /// The connection is reset there, once.
    Reset(u64),
    /// Nothing more is sent there, once.
    Stall(u64),
    /// The byte there is wrong, every time.
    Corrupt(u64),
    /// There are no ranges.
    NoRanges,
}

/// One request as it was answered.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    pub(crate) path: String,
    pub(crate) range: Option<String>,
    pub(crate) sent: u64,
}

#[derive(Default)]
struct Shared {
    files: Mutex<HashMap<String, Arc<Vec<u8>>>>,
    faults: Mutex<Vec<(String, Fault)>>,
    served: Mutex<Vec<Served>>,
    stalled: Notify,
}

pub(crate) struct Server {
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

impl Server {
    pub(crate) async fn start(files: &[(&str, &[u8])]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        let server = Self { port, shared: Arc::clone(&shared) };
        files.iter().for_each(|(path, bytes)| server.put(path, bytes));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    let _ = serve(stream, &shared).await;
                });
            }
        });
        server
    }

    pub(crate) fn put(&self, path: &str, bytes: &[u8]) {
        self.shared.files.lock().unwrap().insert(path.to_owned(), Arc::new(bytes.to_vec()));
    }

    pub(crate) fn fault(&self, path: &str, fault: Fault) {
        self.shared.faults.lock().unwrap().push((path.to_owned(), fault));
    }

    pub(crate) fn served(&self, path: &str) -> Vec<Served> {
        self.shared.served.lock().unwrap().iter().filter(|served| served.path == path).cloned().collect()
    }

    /// Bytes of bodies that were sent of a file.
    pub(crate) fn sent(&self, path: &str) -> u64 {
        self.served(path).iter().map(|served| served.sent).sum()
    }

    pub(crate) fn url(&self, path: &str) -> url::Url {
        format!("http://127.0.0.1:{}{path}", self.port).parse().unwrap()
    }

    /// Waits until an answer has come to a [`Fault::Stall`].
    pub(crate) async fn stalled(&self) {
        self.shared.stalled.notified().await;
    }
}

impl Shared {
    /// The first fault of this file in these bytes that happens once; it will not happen again.
    fn due(&self, path: &str, from: u64, to: u64) -> Option<(u64, Fault)> {
        let mut faults = self.faults.lock().unwrap();
        let at = |fault: &Fault| match fault {
            Fault::Close(at) | Fault::Reset(at) | Fault::Stall(at) => Some(*at),
            _ => None,
        };
        let due = faults.iter().enumerate().filter(|(_, (other, _))| other == path);
        let due = due.filter_map(|(index, (_, fault))| Some((at(fault)?, index)));
        let (at, index) = due.filter(|(at, _)| (from..to).contains(at)).min()?;
        Some((at, faults.remove(index).1))
    }

    fn corrupt(&self, path: &str, from: u64, bytes: &mut [u8]) {
        for (other, fault) in self.faults.lock().unwrap().iter() {
            if let Fault::Corrupt(at) = fault
                && other == path
                && let Some(byte) = at.checked_sub(from).and_then(|at| bytes.get_mut(at as usize))
            {
                *byte ^= 0xff;
            }
        }
    }

    fn has(&self, path: &str, fault: &Fault) -> bool {
        self.faults.lock().unwrap().iter().any(|(other, it)| other == path && it == fault)
    }

    fn count(&self, request: usize, sent: u64) {
        self.served.lock().unwrap()[request].sent += sent;
    }
}

async fn serve(stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some((path, range)) = read(&mut stream).await? {
        let request = {
            let mut served = shared.served.lock().unwrap();
            served.push(Served { path: path.clone(), range: range.clone(), sent: 0 });
            served.len() - 1
        };
        let Some(file) = shared.files.lock().unwrap().get(&path).cloned() else {
            stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await?;
            continue;
        };
        let total = file.len() as u64;
        let asked = range.filter(|_| !shared.has(&path, &Fault::NoRanges)).and_then(|range| {
            let (from, to) = range.strip_prefix("bytes=")?.split_once('-')?;
            let to = if to.is_empty() { total } else { to.parse::<u64>().ok()? + 1 };
            Some((from.parse::<u64>().ok()?, to.min(total)))
        });
        let (mut at, end) = asked.unwrap_or((0, total));
        let status = match asked {
            Some(_) => format!("206 Partial Content\r\nContent-Range: bytes {at}-{}/{total}", end - 1),
            None => "200 OK".to_owned(),
        };
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nETag: \"v\"\r\n\r\n", end - at);
        stream.write_all(head.as_bytes()).await?;
        while at < end {
            let next = end.min(at + 64 * 1024);
            let due = shared.due(&path, at, next);
            let stop = due.as_ref().map_or(next, |(stop, _)| *stop);
            let mut piece = file[at as usize..stop as usize].to_vec();
            shared.corrupt(&path, at, &mut piece);
            stream.write_all(&piece).await?;
            shared.count(request, stop - at);
            at = stop;
            match due {
                None => {}
                Some((_, Fault::Stall(_))) => {
                    shared.stalled.notify_one();
                    return std::future::pending().await;
                }
                Some((_, Fault::Reset(_))) => {
                    stream.get_ref().set_zero_linger()?;
                    return Ok(());
                }
                Some(_) => return Ok(()),
            }
        }
    }
    Ok(())
}

/// The path and the range of the next request.
async fn read(stream: &mut BufReader<TcpStream>) -> std::io::Result<Option<(String, Option<String>)>> {
    let (mut path, mut range) = (String::new(), None);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        let line = line.trim_end();
        match line.split_once(": ") {
            _ if line.is_empty() => return Ok(Some((path, range))),
            None => path = line.split(' ').nth(1).unwrap_or_default().to_owned(),
            Some((name, value)) if name.eq_ignore_ascii_case("range") => range = Some(value.to_owned()),
            Some(_) => {}
        }
    }
}
