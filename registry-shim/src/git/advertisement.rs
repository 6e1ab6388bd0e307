//! The first packet of what `git upload-pack` advertises (git's gitprotocol-common.adoc, gitprotocol-pack.adoc).
//!
//! In protocol version 0 it carries the capabilities. Three of them are taken away, because go-git (and so Flux)
//! asks for what is offered and then cannot follow: `multi_ack` and `multi_ack_detailed`, whose continued negotiation
//! it does not speak, and `thin-pack`, whose packs it cannot complete. Git itself does well without them.
//! Version 2 has none of them and passes unchanged.

use super::packet::LENGTH_BYTES;

/// The first packets of a smart HTTP advertisement: service announcement and flush.
const SERVICE: &[u8] = b"001e# service=git-upload-pack\n0000";
/// What a version 2 advertisement starts with; it has no service announcement.
const VERSION_2: &[u8] = b"version 2";

const WITHHELD: [&[u8]; 3] = [b"multi_ack", b"multi_ack_detailed", b"thin-pack"];

/// What a client gets in place of this first packet.
pub(crate) fn rewrite_first(packet: &[u8]) -> Vec<u8> {
    let payload = &packet[LENGTH_BYTES.min(packet.len())..];
    if payload.starts_with(VERSION_2) {
        return packet.to_owned();
    }
    let mut out = SERVICE.to_owned();
    let Some(nul) = payload.iter().position(|&b| b == 0) else {
        out.extend_from_slice(packet);
        return out;
    };
    let (first_ref, capabilities) = payload.split_at(nul + 1);
    let text = capabilities.strip_suffix(b"\n").unwrap_or(capabilities);
    let kept: Vec<&[u8]> = text.split(|&b| b == b' ').filter(|word| !WITHHELD.contains(word)).collect();
    let kept = kept.join(&b' ');
    let length = LENGTH_BYTES + first_ref.len() + kept.len() + 1;
    out.extend_from_slice(format!("{length:04x}").as_bytes());
    out.extend_from_slice(first_ref);
    out.extend_from_slice(&kept);
    out.push(b'\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const OID: &str = "95d09f2b10159347eece71399a7e2e907ea3df4f";

    fn packet(payload: &str) -> String {
        format!("{:04x}{payload}", payload.len() + LENGTH_BYTES)
    }

    #[test]
    fn three_capabilities_are_withheld_and_nothing_else() {
        let service = std::str::from_utf8(SERVICE).unwrap();
        let v0 = |capabilities: &str| packet(&format!("{OID} HEAD\0{capabilities}\n"));
        let cases = [
            (
                v0(
                    "multi_ack thin-pack side-band side-band-64k ofs-delta multi_ack_detailed symref=HEAD:refs/heads/main",
                ),
                format!("{service}{}", v0("side-band side-band-64k ofs-delta symref=HEAD:refs/heads/main")),
            ),
            (v0("ofs-delta thin-pack"), format!("{service}{}", v0("ofs-delta"))),
            (v0("multi_ack"), format!("{service}{}", v0(""))),
            // Words that only look alike stay.
            (
                v0("multi_ack_x agent=thin-pack no-thin-pack"),
                format!("{service}{}", v0("multi_ack_x agent=thin-pack no-thin-pack")),
            ),
            (packet(&format!("{OID} HEAD\n")), format!("{service}{}", packet(&format!("{OID} HEAD\n")))),
            ("0000".to_owned(), format!("{service}0000")),
            (packet("version 2\n"), packet("version 2\n")),
        ];
        for (sent, expected) in cases {
            let got = String::from_utf8(rewrite_first(sent.as_bytes())).unwrap();
            assert_eq!(got, expected, "{sent:?}");
        }
    }
}
