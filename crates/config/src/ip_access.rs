//! IP access lists and CIDR blocks (RFC 4632; RFC 4291, 2.3).

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// A block of addresses: `10.0.0.0/8`, `2001:db8::/32`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CidrBlock {
    network: u128,
    mask: u128,
}

impl CidrBlock {
    /// Whether the block contains an address. An IPv4-mapped IPv6 address (`::ffff:10.0.0.1`) counts as IPv4,
    /// since it depends on a host's socket which of the two it reports.
    pub fn contains(&self, address: IpAddr) -> bool {
        to_bits(address) & self.mask == self.network
    }
}

impl FromStr for CidrBlock {
    type Err = InvalidCidr;

    fn from_str(text: &str) -> Result<Self, InvalidCidr> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address = address.parse::<IpAddr>().map_err(|_| InvalidCidr)?;
        let max = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            None => max,
            // `parse` accepts a "+", which CIDR does not.
            Some(length) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
                length.parse::<u32>().ok().filter(|length| *length <= max).ok_or(InvalidCidr)?
            }
            Some(_) => return Err(InvalidCidr),
        };
        let mask = u128::MAX.checked_shl(max - length).unwrap_or(0);
        Ok(Self { network: to_bits(address) & mask, mask })
    }
}

/// The text is neither an address nor a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidCidr;

fn to_bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
    .to_bits()
}

/// Allowed and denied IP addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IpAccessList {
    /// Allowed blocks. Empty for all.
    pub allow: Vec<CidrBlock>,
    /// Denied blocks; they override `allow`.
    pub deny: Vec<CidrBlock>,
}

impl IpAccessList {
    /// Whether a caller from this address is allowed. An unknown address is denied unless both lists are
    /// empty.
    pub fn allows(&self, address: Option<IpAddr>) -> bool {
        match address {
            Some(address) => {
                !self.deny.iter().any(|block| block.contains(address))
                    && (self.allow.is_empty()
                        || self.allow.iter().any(|block| block.contains(address)))
            }
            None => self.allow.is_empty() && self.deny.is_empty(),
        }
    }
}

/// Converts an IPv4-mapped IPv6 address to IPv4; returns any other unchanged.
pub fn to_canonical(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(six) => Ipv6Addr::to_ipv4_mapped(&six).map_or(address, IpAddr::V4),
    }
}

#[cfg(test)]
mod tests {
    use super::{CidrBlock, InvalidCidr, IpAccessList};

    #[track_caller]
    fn assert_contains(block: &str, address: &str, expected: bool) {
        let block: CidrBlock = block.parse().expect("a block");
        assert_eq!(block.contains(address.parse().expect("an address")), expected, "{address}");
    }

    #[test]
    fn cidr_block_contains_only_its_addresses() {
        assert_contains("10.0.0.0/8", "10.255.0.1", true);
        assert_contains("10.0.0.0/8", "11.0.0.1", false);
        assert_contains("10.1.2.3/8", "10.9.9.9", true);
        assert_contains("0.0.0.0/0", "203.0.113.9", true);
        assert_contains("0.0.0.0/0", "2001:db8::1", false);
        assert_contains("::/0", "203.0.113.9", true);
        assert_contains("192.0.2.7", "192.0.2.7", true);
        assert_contains("192.0.2.7", "::ffff:192.0.2.7", true);
        assert_contains("2001:db8::/32", "2001:db8:ffff::1", true);
        assert_contains("2001:db8::/33", "2001:db8:8000::1", false);
        for wrong in ["", "10.0.0", "10.0.0.0/33", "10.0.0.0/+8", "10.0.0.0/", "::/129", "a/8"] {
            assert_eq!(wrong.parse::<CidrBlock>(), Err(InvalidCidr), "{wrong}");
        }
    }

    #[test]
    fn ip_access_denied_address_overrides_allow() {
        let blocks = |texts: &[&str]| {
            texts.iter().map(|text| text.parse().expect("a block")).collect::<Vec<CidrBlock>>()
        };
        let lists = IpAccessList { allow: blocks(&["10.0.0.0/8"]), deny: blocks(&["10.0.0.1"]) };
        assert!(lists.allows("10.0.0.2".parse().ok()));
        assert!(!lists.allows("10.0.0.1".parse().ok()));
        assert!(!lists.allows("192.0.2.1".parse().ok()));
        assert!(!lists.allows(None));
        assert!(IpAccessList::default().allows(None));
        let only_denied = IpAccessList { allow: Vec::new(), ..lists };
        assert!(only_denied.allows("192.0.2.1".parse().ok()));
    }
}
