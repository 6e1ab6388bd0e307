//! Tests that cross crates or need real peers.
