//! Access rules of callers: addresses and parameters.

use std::net::{IpAddr, SocketAddr};

use config::Config;
use http::request::Parts;

use crate::auth::parameter_rules;
use crate::error::Refusal;
use crate::host::PeerIp;
use crate::request::parse::ParsedRequest;

use super::caller::Caller;

/// The caller's address: from the trusted proxy's header if the configuration names one, else from
/// the host.
pub fn client_ip(config: &Config, parts: &Parts) -> Option<IpAddr> {
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

/// Checks the address rules for all callers. Runs before everything else.
pub fn check_global_ip(config: &Config, address: Option<IpAddr>) -> Result<(), Refusal> {
    let admitted = config.auth.ip_access.allows(address);
    if admitted { Ok(()) } else { Err(Refusal::AddressNotAllowed) }
}

/// Checks the address rules of a caller.
pub fn check_caller_ip(caller: &Caller<'_>, address: Option<IpAddr>) -> Result<(), Refusal> {
    let admitted = caller.permissions().all(|permissions| permissions.ip_access.allows(address));
    if admitted { Ok(()) } else { Err(Refusal::AddressNotAllowed) }
}

/// Checks a request's parameters against the caller's rules.
pub fn check_parameters(caller: &Caller<'_>, request: &ParsedRequest) -> Result<(), Refusal> {
    let bounds = caller.permissions().flat_map(|permissions| &permissions.parameters);
    parameter_rules::check_parameters(request.body(), bounds).map_err(|found| {
        Refusal::ParameterNotAllowed { param: found.path, expected: found.expected }
    })
}
