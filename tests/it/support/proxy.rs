//! A TCP proxy between a service and its database that cuts connections around a COMMIT.
//!
//! In: an upstream address. Out: an address to connect to. Bytes pass unchanged until a cut that
//! was asked for: before the next COMMIT reaches the server, or after the server has answered
//! it and before that answer reaches the client. One that records keeps all that clients send.
//! Silenced, it takes connections and passes nothing, as a database that hangs. Ends with the
//! value.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rowlift::shutdown::Tasks;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

/// The end of a simple query of which COMMIT is the last statement.
const COMMIT: &[u8] = b"COMMIT\0";
/// The end of the server's answer to a statement that ended its transaction.
const READY: &[u8] = b"Z\0\0\0\x05I";

/// A running proxy.
#[derive(Debug)]
pub(crate) struct Proxy {
    addr: SocketAddr,
    cuts: Arc<Cuts>,
    silenced: CancellationToken,
    _stop: DropGuard,
}

/// Cuts that were asked for and made, and what has passed.
#[derive(Debug, Default)]
struct Cuts {
    requests_wanted: AtomicUsize,
    replies_wanted: AtomicUsize,
    made: AtomicUsize,
    /// What clients have sent, by connection; `None`: it is not kept.
    sent: Option<Mutex<Vec<Vec<u8>>>>,
}

impl Proxy {
    /// Before this server.
    pub(crate) async fn start(upstream: SocketAddr) -> Proxy {
        Proxy::start_with(upstream, Cuts::default()).await
    }

    /// The same, and keeps what clients send.
    pub(crate) async fn recording(upstream: SocketAddr) -> Proxy {
        let cuts = Cuts {
            sent: Some(Mutex::default()),
            ..Cuts::default()
        };
        Proxy::start_with(upstream, cuts).await
    }

    async fn start_with(upstream: SocketAddr, cuts: Cuts) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let cuts = Arc::new(cuts);
        let stop = CancellationToken::new();
        let silenced = CancellationToken::new();
        let tasks = Tasks::new();
        let accept = {
            let (tasks, stop, cuts) = (tasks.clone(), stop.clone(), Arc::clone(&cuts));
            let silenced = silenced.clone();
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    let (stop, cuts) = (stop.clone(), Arc::clone(&cuts));
                    let silenced = silenced.clone();
                    tasks.spawn(async move {
                        let pass = pass(client, upstream, &cuts, &silenced);
                        stop.run_until_cancelled(pass).await;
                    });
                }
            }
        };
        let stopped = stop.clone();
        tasks.spawn(async move { stopped.run_until_cancelled(accept).await });
        Proxy {
            addr,
            cuts,
            silenced,
            _stop: stop.drop_guard(),
        }
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Cuts the next `n` connections that send a COMMIT, before the server sees it.
    pub(crate) fn cut_commits(&self, n: usize) {
        self.cuts.requests_wanted.store(n, Ordering::SeqCst);
    }

    /// Cuts the next `n` connections that send a COMMIT, once the server has answered it.
    pub(crate) fn cut_replies(&self, n: usize) {
        self.cuts.replies_wanted.store(n, Ordering::SeqCst);
    }

    /// What clients have sent since the last time, as text, by connection. Those that have sent
    /// nothing are left out.
    ///
    /// # Panics
    /// If it does not record.
    pub(crate) fn take_sent(&self) -> Vec<String> {
        let mut sent = self
            .cuts
            .sent
            .as_ref()
            .expect("a proxy that records")
            .lock()
            .unwrap();
        let texts = sent
            .iter_mut()
            .map(|bytes| String::from_utf8_lossy(&std::mem::take(bytes)).into_owned());
        texts.filter(|text| !text.is_empty()).collect()
    }

    /// Passes nothing any more, and closes nothing.
    pub(crate) fn silence(&self) {
        self.silenced.cancel();
    }

    /// Connections that were cut.
    pub(crate) fn n_cut(&self) -> usize {
        self.cuts.made.load(Ordering::SeqCst)
    }
}

impl Cuts {
    /// The number of a new connection.
    fn connection(&self) -> usize {
        let Some(sent) = &self.sent else { return 0 };
        let mut sent = sent.lock().unwrap();
        sent.push(Vec::new());
        sent.len() - 1
    }

    fn record(&self, connection: usize, piece: &[u8]) {
        if let Some(sent) = &self.sent {
            sent.lock().unwrap()[connection].extend_from_slice(piece);
        }
    }
}

/// Takes one of the cuts that are wanted.
fn take(wanted: &AtomicUsize) -> bool {
    let less_one = |n: usize| n.checked_sub(1);
    wanted
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, less_one)
        .is_ok()
}

/// Passes bytes until a side closes or a cut is made; dropping both sockets closes them.
async fn pass(
    mut client: TcpStream,
    upstream: SocketAddr,
    cuts: &Cuts,
    silenced: &CancellationToken,
) -> Option<()> {
    let mut server = TcpStream::connect(upstream).await.ok()?;
    client.set_nodelay(true).ok()?;
    server.set_nodelay(true).ok()?;
    let (mut from_client, mut from_server) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    // The end of what the client has sent, in case a COMMIT comes in two pieces.
    let mut sent: Vec<u8> = Vec::new();
    let connection = cuts.connection();
    loop {
        // A read that is dropped has taken nothing.
        tokio::select! {
            () = silenced.cancelled() => return std::future::pending().await,
            n = client.read(&mut from_client) => {
                let piece = from_client.get(..n.ok()?).filter(|piece| !piece.is_empty())?;
                cuts.record(connection, piece);
                sent.extend_from_slice(piece);
                let commits = sent.windows(COMMIT.len()).any(|bytes| bytes == COMMIT);
                sent.drain(..sent.len().saturating_sub(COMMIT.len() - 1));
                if commits && take(&cuts.requests_wanted) {
                    cuts.made.fetch_add(1, Ordering::SeqCst);
                    return None;
                }
                server.write_all(piece).await.ok()?;
                if commits && take(&cuts.replies_wanted) {
                    swallow_answer(&mut server).await?;
                    cuts.made.fetch_add(1, Ordering::SeqCst);
                    return None;
                }
            }
            n = server.read(&mut from_server) => {
                let piece = from_server.get(..n.ok()?).filter(|piece| !piece.is_empty())?;
                client.write_all(piece).await.ok()?;
            }
        }
    }
}

/// Reads until the server has answered and its transaction has ended.
async fn swallow_answer(server: &mut TcpStream) -> Option<()> {
    let mut answer = Vec::new();
    while !answer.ends_with(READY) {
        let n = server.read_buf(&mut answer).await.ok()?;
        if n == 0 {
            return None;
        }
    }
    Some(())
}
