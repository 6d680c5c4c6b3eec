//! Listeners on the host: the oracle of every "nothing gets out" test is what *they* saw.

use parking_lot::Mutex;
use std::io::Read as _;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// TCP and UDP over IPv4 and IPv6, one port each, on every address of the host.
pub struct Listeners {
    tcp: SocketAddr,
    udp: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
}

impl Listeners {
    /// Listens on ports that the kernel picks, dual-stack where there is IPv6.
    pub fn open() -> anyhow::Result<Self> {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let tcp = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0))
            .or_else(|_| TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)))?;
        let udp = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))
            .or_else(|_| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)))?;
        let listeners = Self {
            tcp: tcp.local_addr()?,
            udp: udp.local_addr()?,
            seen: Arc::clone(&seen),
            stop: Arc::clone(&stop),
        };
        accept(tcp, Arc::clone(&seen), Arc::clone(&stop))?;
        receive(udp, seen, stop)?;
        Ok(listeners)
    }

    /// The TCP port.
    pub fn tcp_port(&self) -> u16 {
        self.tcp.port()
    }

    /// The UDP port.
    pub fn udp_port(&self) -> u16 {
        self.udp.port()
    }

    /// What arrived so far: `tcp <peer> <first bytes>` and `udp <peer> <bytes>`.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().clone()
    }

    /// Waits until something that holds this text has arrived, for at most five seconds.
    pub fn wait_for(&self, text: &str) -> bool {
        for _ in 0..500 {
            if self.seen().iter().any(|line| line.contains(text)) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn accept(listener: TcpListener, seen: Arc<Mutex<Vec<String>>>, stop: Arc<AtomicBool>) -> anyhow::Result<()> {
    listener.set_nonblocking(true)?;
    std::thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            let Ok((mut stream, peer)) = listener.accept() else {
                std::thread::sleep(Duration::from_millis(5));
                continue;
            };
            let seen = Arc::clone(&seen);
            std::thread::spawn(move || {
                seen.lock().push(format!("tcp {peer}"));
                let mut bytes = [0; 512];
                let _ = stream.set_nonblocking(false);
                let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
                if let Ok(read) = stream.read(&mut bytes) {
                    let text = String::from_utf8_lossy(bytes.get(..read).unwrap_or_default()).into_owned();
                    seen.lock().push(format!("tcp {peer} {text}"));
                }
            });
        }
    });
    Ok(())
}

fn receive(socket: UdpSocket, seen: Arc<Mutex<Vec<String>>>, stop: Arc<AtomicBool>) -> anyhow::Result<()> {
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    std::thread::spawn(move || {
        let mut bytes = [0; 2048];
        while !stop.load(Ordering::Relaxed) {
            if let Ok((read, peer)) = socket.recv_from(&mut bytes) {
                let text = String::from_utf8_lossy(bytes.get(..read).unwrap_or_default()).into_owned();
                seen.lock().push(format!("udp {peer} {text}"));
            }
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn what_arrives_is_seen() {
        let listeners = Listeners::open().unwrap();
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", listeners.tcp_port())).unwrap();
        stream.write_all(b"over tcp").unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket
            .send_to(b"over udp", ("127.0.0.1", listeners.udp_port()))
            .unwrap();
        assert!(listeners.wait_for("over tcp") && listeners.wait_for("over udp"));
    }
}
