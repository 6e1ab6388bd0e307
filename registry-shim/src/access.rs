//! Who may connect, decided when a connection is accepted and before a byte of it is read.
//!
//! This machine always may. So may the networks that the operator allows: pods, and other nodes. Whoever comes from
//! anywhere else shows a client certificate, if any would do ([`crate::tls`]), or is not talked to.

use std::net::IpAddr;

use ipnet::IpNet;

/// How a client is received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reception {
    /// It need not say who it is.
    Open,
    /// It has to show a certificate.
    Verified,
    /// Nobody answers it.
    None,
}

/// Who may connect.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    allowed: Vec<IpNet>,
    can_verify: bool,
}

impl Access {
    /// Lets in this machine, `allowed`, and, if `can_verify` certificates, whoever has a good one.
    pub(crate) fn new(allowed: Vec<IpNet>, can_verify: bool) -> Self {
        Self { allowed, can_verify }
    }

    /// How the client at `peer` is received, who has connected to our own address `local`.
    pub(crate) fn receive(&self, peer: IpAddr, local: IpAddr) -> Reception {
        // A listener for both families sees IPv4 addresses written as IPv6 (RFC 4291, section 2.5.5.2).
        let (peer, local) = (peer.to_canonical(), local.to_canonical());
        // Nobody else can: what we answer to an address of this machine never leaves it, so no handshake comes about. What
        // claims to come from one is dropped besides: all of it in IPv4 (`martian source`), `::1` and IPv4 written as IPv6.
        let is_this_machine = peer.is_loopback() || peer == local;
        if is_this_machine || self.allowed.iter().any(|network| network.contains(&peer)) {
            Reception::Open
        } else if self.can_verify {
            Reception::Verified
        } else {
            Reception::None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_client_comes_from_decides() {
        use Reception::{None, Open, Verified};

        let networks: Vec<IpNet> =
            ["10.42.0.0/16", "fd00:42::/56", "192.0.2.7/32"].map(|n| n.parse().unwrap()).into();
        // Client, our address, received without and with TLS.
        let cases = [
            ("127.0.0.1", "127.0.0.1", Open, Open),
            ("127.8.9.10", "127.0.0.1", Open, Open),
            ("::1", "::1", Open, Open),
            ("::ffff:127.0.0.1", "::ffff:127.0.0.1", Open, Open),
            // A pod on the node's network, or what the node masks.
            ("10.0.0.5", "10.0.0.5", Open, Open),
            ("10.42.3.4", "10.0.0.5", Open, Open),
            ("::ffff:10.42.3.4", "::ffff:10.0.0.5", Open, Open),
            ("10.43.0.1", "10.0.0.5", None, Verified),
            ("fd00:42::9", "fd00::5", Open, Open),
            ("fd00:43::9", "fd00::5", None, Verified),
            ("192.0.2.7", "10.0.0.5", Open, Open),
            ("192.0.2.8", "10.0.0.5", None, Verified),
            ("::ffff:192.0.2.8", "::ffff:10.0.0.5", None, Verified),
            // IPv4 in another dress is not an allowed address.
            ("2002:a2a:304::1", "fd00::5", None, Verified),
            ("0.0.0.0", "10.0.0.5", None, Verified),
        ];
        for (peer, local, without, with) in cases {
            for (can_verify, expected) in [(false, without), (true, with)] {
                let access = Access::new(networks.clone(), can_verify);
                let received = access.receive(peer.parse().unwrap(), local.parse().unwrap());
                assert_eq!(received, expected, "{peer} to {local}, TLS: {can_verify}");
            }
        }
    }
}
