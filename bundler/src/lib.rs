//! The vendor's side: resolve, fetch, sign, pack.
