//! The caller's address.

use std::net::{IpAddr, SocketAddr};

use config::Config;
use http::request::Parts;

use crate::host::PeerIp;

/// The caller's address: from the trusted proxy's header if the configuration names one, else from
/// the host.
pub(crate) fn client_ip(config: &Config, parts: &Parts) -> Option<IpAddr> {
    match &config.server.client_ip_header {
        // A proxy appends the address that it sees; anyone may have written what stands before it.
        Some(name) => {
            let last = parts.headers.get_all(name).iter().next_back()?.to_str().ok()?;
            let last = last.rsplit(',').next()?.trim();
            // Some proxies (Azure's, for one) add the port.
            let with_port = || last.parse().map(|socket: SocketAddr| socket.ip());
            last.parse().or_else(|_| with_port()).ok()
        }
        None => parts.extensions.get::<PeerIp>().map(|peer| peer.0),
    }
}
