//! Lies about the releases that a file builds on.

use serde_json::{Value, json};

use super::{Case, packing};

/// Makes the file one that needs these releases: statement, product, sequence.
fn need(packing: &mut Value, releases: &[(&str, &str, u64)]) {
    let needed = |(statement, product, sequence): &(&str, &str, u64)| json!({"statement": statement, "product": product, "version": "0.9", "sequence": sequence});
    packing["needs"] = releases.iter().map(needed).collect();
}

const OTHER: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

pub(crate) const CASES: &[Case] = &[
    packing("needs-itself", 132, |packing| {
        let own = packing["statements"][0].as_str().unwrap().to_owned();
        need(packing, &[(&own, "acme", 3)]);
    }),
    packing("needs-itself-under-another-number", 132, |packing| {
        let own = packing["statements"][0].as_str().unwrap().to_owned();
        need(packing, &[(&own, "acme", 2)]);
    }),
    packing("needs-another-release-of-its-number", 132, |packing| need(packing, &[(OTHER, "acme", 3)])),
    packing("needs-another-product", 132, |packing| need(packing, &[(OTHER, "other", 2)])),
    packing("needs-one-release-twice", 132, |packing| {
        need(packing, &[(OTHER, "acme", 2), (OTHER, "acme", 2)]);
    }),
    packing("needs-a-product-that-leads-up", 106, |packing| need(packing, &[(OTHER, "../acme", 2)])),
    packing("needs-sequence-2-to-63", 106, |packing| need(packing, &[(OTHER, "acme", 1 << 63)])),
];
