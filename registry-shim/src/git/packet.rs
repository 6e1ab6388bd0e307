//! Packets, the unit of Git's protocols (git's gitprotocol-common.adoc): four hexadecimal digits that give the length,
//! themselves included, and the payload. Lengths below four stand for themselves: flush, delimiter, end.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Characters of the length at the start of a packet.
pub(crate) const LENGTH_BYTES: usize = 4;
/// Largest packet, length included, in bytes.
const MAX_PACKET_BYTES: usize = 65_520;

/// Reads one packet, length included. Nothing comes if there is none or it is cut short.
pub(crate) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let mut packet = vec![0; LENGTH_BYTES];
    if !fill(from, &mut packet).await? {
        return Ok(None);
    }
    let Some(length) = parse_length(&packet) else { return Ok(None) };
    packet.resize(length, 0);
    Ok(fill(from, &mut packet[LENGTH_BYTES..]).await?.then_some(packet))
}

/// Whether these bytes are whole packets and nothing else.
pub(crate) fn are_whole(mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match bytes.get(..LENGTH_BYTES).and_then(parse_length).and_then(|length| bytes.get(length..)) {
            Some(rest) => bytes = rest,
            None => return false,
        }
    }
    true
}

/// Whether an answer begins with the packet by which a server tells a client why there is none.
pub(crate) fn is_refusal(answer: &[u8]) -> bool {
    answer.get(LENGTH_BYTES..).is_some_and(|payload| payload.starts_with(b"ERR "))
}

async fn fill(from: &mut (impl AsyncRead + Unpin), buffer: &mut [u8]) -> io::Result<bool> {
    match from.read_exact(buffer).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// How many bytes belong to a packet that starts with these digits.
fn parse_length(digits: &[u8]) -> Option<usize> {
    // `from_str_radix` would take a sign.
    let text = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()))?;
    match usize::from_str_radix(text, 16).ok()? {
        0..=2 => Some(LENGTH_BYTES),
        length @ LENGTH_BYTES..=MAX_PACKET_BYTES => Some(length),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_packet_is_read_and_no_more() {
        let large = format!("{MAX_PACKET_BYTES:04x}{}", "x".repeat(MAX_PACKET_BYTES - LENGTH_BYTES));
        let cases = [
            ("000eversion 2\n0000", Some("000eversion 2\n"), "0000"),
            ("0000000eversion 2\n", Some("0000"), "000eversion 2\n"),
            ("0001rest", Some("0001"), "rest"),
            ("0004rest", Some("0004"), "rest"),
            (&large, Some(large.as_str()), ""),
            ("", None, ""),
            ("00", None, ""),
            ("000eversion", None, ""),
            ("0003", None, ""),
            ("+004", None, ""),
            ("fff1x", None, "x"),
            ("ERR nothing", None, "nothing"),
        ];
        for (sent, expected, left) in cases {
            let mut reader = sent.as_bytes();
            let got = read(&mut reader).await.unwrap();
            assert_eq!(got.as_deref(), expected.map(str::as_bytes), "{sent:.20}");
            assert_eq!(reader, left.as_bytes(), "{sent:.20}");
        }
    }

    #[test]
    fn a_request_is_packets_to_its_end() {
        let good = ["", "0000", "0001", "0002", "0004", "0005a0000", "0009done\n", "000Adeepen0000"];
        for bytes in good {
            assert!(are_whole(bytes.as_bytes()), "{bytes}");
        }
        for bytes in ["0", "0003", "0009done", "0009done\n0", "0000x", "zzzz", "-001", "fff1"] {
            assert!(!are_whole(bytes.as_bytes()), "{bytes}");
        }
    }

    #[test]
    fn a_refusal_is_recognised() {
        for (answer, expected) in
            [("0029ERR upload-pack: not our ref", true), ("0008NAK\n", false), ("", false)]
        {
            assert_eq!(is_refusal(answer.as_bytes()), expected, "{answer}");
        }
    }
}
