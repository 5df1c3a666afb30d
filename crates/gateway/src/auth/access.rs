//! Whether a caller may call from where it is, and ask for what it asks.

use std::net::{IpAddr, SocketAddr};

use config::Config;
use http::request::Parts;

use crate::auth::parameter_rules;
use crate::error::Refusal;
use crate::host::PeerIp;
use crate::request::parse::ParsedRequest;

use super::caller::Caller;

/// Where a request comes from: by the word of the proxy before the gateway, where the configuration
/// trusts one, else by the host's.
pub fn client_ip(config: &Config, parts: &Parts) -> Option<IpAddr> {
    match &config.server.client_ip_header {
        // A proxy adds whom it saw at the end; what is before that, anybody may have written.
        Some(name) => {
            let last = parts.headers.get_all(name).iter().next_back()?.to_str().ok()?;
            let last = last.rsplit(',').next()?.trim();
            // Some proxies (Azure's, for one) tell the port too.
            let with_port = || last.parse().map(|socket: SocketAddr| socket.ip());
            last.parse().or_else(|_| with_port()).ok()
        }
        None => parts.extensions.get::<PeerIp>().map(|peer| peer.0),
    }
}

/// Makes sure that anybody may call from an address. Asked before anything else is done.
pub fn check_global_ip(config: &Config, address: Option<IpAddr>) -> Result<(), Refusal> {
    let admitted = config.auth.ip_access.allows(address);
    if admitted { Ok(()) } else { Err(Refusal::AddressNotAllowed) }
}

/// Makes sure that this caller may call from an address.
pub fn check_caller_ip(caller: &Caller<'_>, address: Option<IpAddr>) -> Result<(), Refusal> {
    let admitted = caller.permissions().all(|permissions| permissions.ip_access.allows(address));
    if admitted { Ok(()) } else { Err(Refusal::AddressNotAllowed) }
}

/// Makes sure that a request's parameters are within what its caller may use.
pub fn check_parameters(caller: &Caller<'_>, request: &ParsedRequest) -> Result<(), Refusal> {
    let bounds = caller.permissions().flat_map(|permissions| &permissions.parameters);
    parameter_rules::check_parameters(request.body(), bounds).map_err(|found| {
        Refusal::ParameterNotAllowed { param: found.path, expected: found.expected }
    })
}
