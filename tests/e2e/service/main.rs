//! The registry as a service of a node: over TLS, to clients that were told by `sealift-registry config`, from this node, from
//! allowed networks and from elsewhere; to the other nodes of a cluster; and the units that it runs by.

mod access;
mod clients;
mod node;
mod peers;
mod units;
