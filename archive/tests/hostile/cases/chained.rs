//! Lies about chained blobs: the first blob lies in three frames, a block of it in each.

use sealift_archive::format::frame;

use super::Case;
use crate::forge::{DataFrame, HONEST, Lies, squeezed};

const CHAINED: Lies = Lies { chained: true, ..HONEST };

/// Changes the content of a frame and nothing that is said of it.
fn change(frame: &mut DataFrame, change: impl FnOnce(&mut Vec<u8>)) {
    let mut plain = frame::decode_stored(&frame.bytes).unwrap();
    change(&mut plain);
    frame.bytes = frame::stored(&plain);
}

/// Says of each frame what is said of another one.
fn rotate(frames: &mut [DataFrame]) {
    let states: Vec<_> = frames.iter().map(|frame| frame.state).collect();
    for (frame, state) in frames[..3].iter_mut().zip([states[1], states[0], states[2]]) {
        frame.state = state;
    }
}

pub(crate) const CASES: &[Case] = &[
    Case { name: "chained", code: 0, lies: CHAINED },
    Case {
        name: "chain-leads-to-another-blob",
        code: 176,
        lies: Lies { frames: |frames| frames[2].state.as_mut().unwrap()[0] ^= 1, ..CHAINED },
    },
    Case {
        name: "chain-of-squeezed-frames",
        code: 176,
        lies: Lies {
            frames: |frames| frames[1].bytes = squeezed(&frame::decode_stored(&frames[1].bytes).unwrap()),
            ..CHAINED
        },
    },
    Case {
        name: "chain-ends-in-the-next-blobs-frame",
        code: 176,
        lies: Lies { contents: |c| c.entries[1].encoding = c.entries[0].encoding, ..CHAINED },
    },
    Case {
        name: "chain-with-a-wrong-state",
        code: 112,
        lies: Lies { frames: |frames| frames[1].state.as_mut().unwrap()[0] ^= 1, ..CHAINED },
    },
    Case {
        name: "chain-in-another-order",
        code: 112,
        lies: Lies { frames: |frames| rotate(frames), ..CHAINED },
    },
    Case {
        name: "chain-does-not-begin-at-the-beginning",
        code: 112,
        lies: Lies { frames: |frames| frames[0].state.as_mut().unwrap()[0] ^= 1, ..CHAINED },
    },
    Case {
        name: "chained-blob-is-another-one",
        code: 112,
        lies: Lies { frames: |frames| change(&mut frames[2], |plain| plain[0] ^= 1), ..CHAINED },
    },
    Case {
        name: "chained-blob-leads-up",
        code: 112,
        lies: Lies {
            frames: |frames| change(&mut frames[0], |plain| plain[..5].copy_from_slice(b"../..")),
            ..CHAINED
        },
    },
    Case {
        name: "padding-of-a-chained-blob-hides-bytes",
        code: 112,
        lies: Lies {
            frames: |frames| change(&mut frames[2], |plain| *plain.last_mut().unwrap() = 1),
            ..CHAINED
        },
    },
];
