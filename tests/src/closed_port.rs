//! A port that refuses every connection.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpSocket;

/// A port of the loopback device that is bound and never listens. While this value exists, the
/// system refuses connections to the port, and no other process can use it.
#[derive(Debug)]
pub struct ClosedPort {
    _socket: TcpSocket,
    address: SocketAddr,
}

impl ClosedPort {
    /// Reserves a port of the system's choice.
    pub fn reserve() -> anyhow::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let address = socket.local_addr()?;
        Ok(Self { _socket: socket, address })
    }

    /// Base URL of the port.
    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream};

    use super::ClosedPort;

    #[test]
    fn closed_port_refuses_connections_and_cannot_be_taken() {
        let closed = ClosedPort::reserve().expect("a free port");
        let refused = TcpStream::connect(closed.address).expect_err("the port does not listen");
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        let taken = TcpListener::bind(closed.address).expect_err("the port is reserved");
        assert_eq!(taken.kind(), ErrorKind::AddrInUse);
    }
}
