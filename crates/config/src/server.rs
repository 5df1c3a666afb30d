//! `[server]` as parsed.

use http::HeaderName;

/// `[server]`
#[derive(Debug)]
pub struct Server {
    /// The longest request body, in bytes.
    pub max_body: usize,
    /// The header in which a trusted proxy in front of the gateway sends the caller's IP address. `None` if
    /// the host provides the address.
    pub client_ip_header: Option<HeaderName>,
    /// Origins whose pages may call from a browser (CORS).
    pub origins: Origins,
    /// Whether a new instance waits for the store before it serves requests: until then it does not know
    /// which version is in force.
    pub waits_for_store: bool,
}

/// Origins whose pages may call from a browser (CORS).
#[derive(Debug)]
pub enum Origins {
    /// Every origin.
    All,
    /// These origins, as browsers write them.
    Some(Vec<String>),
}
