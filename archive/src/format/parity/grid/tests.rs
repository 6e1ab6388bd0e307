//! Every byte has its piece, every piece its group, whatever the lengths.

use proptest::prelude::*;

use super::*;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

fn plan(lengths: &[u64], amount: &str, most: Option<u64>) -> Grid {
    let amount = amount.parse().unwrap();
    Grid::plan(Digest::of(b"set"), 176, lengths.to_vec(), amount, most).unwrap()
}

#[test]
fn grids_grow_with_the_archive() {
    // Length, amount, bytes of a piece; pieces, groups, recovery pieces of a group.
    let cases: [(u64, &str, u64, [u32; 3]); 6] = [
        (177, "10%", 4096, [1, 1, 1]),
        (300_000, "10%", 4096, [74, 1, 8]),
        (512 * MIB, "10%", 4096, [1 << 17, 293, 45]),
        (512 * MIB + 1, "10%", 8192, [(1 << 16) + 1, 147, 45]),
        (100 * GIB, "10%", MIB, [102_400, 229, 45]),
        (1 << 50, "1%", 1 << 33, [1 << 17, 293, 5]),
    ];
    for (length, amount, piece, counts) in cases {
        let grid = plan(&[length], amount, None);
        assert_eq!(grid.piece_bytes(), piece, "{length}");
        assert_eq!([grid.pieces(), grid.groups(), grid.recovery()], counts, "{length}");
        assert!(grid.group_pieces() <= GROUP_PIECES);
        assert!(piece <= longest_piece(&[length]), "{length}");
    }
}

#[test]
fn no_piece_is_longer_than_the_longest_file() {
    for (longest, most) in [(1, 4096), (4097, 8192), (GIB, GIB), (1 << 50, 16 * GIB)] {
        assert_eq!(longest_piece(&[1, longest, 1]), most, "{longest}");
        let read = |piece_bytes| {
            let lengths = vec![longest];
            let pieces = count_pieces(&lengths, piece_bytes).unwrap();
            let (set, groups) = (Digest::of(b"set"), pieces.div_ceil(MAX_GROUP_PIECES));
            let (header_bytes, recovery, rows) = (0, 1, vec![1]);
            Grid::from_index(Parts {
                set,
                header_bytes,
                piece_bytes,
                pieces,
                lengths,
                groups,
                recovery,
                rows,
            })
        };
        assert!(read(most).is_ok(), "{longest}");
        for more in [2 * most, 1 << 50] {
            assert_eq!(read(more), Err("its pieces have a size that is not allowed"), "{longest}");
        }
    }
    // The most that our own writer can need: the longest archive in as many files as there may be.
    let mut lengths = vec![177; 998];
    lengths.push((1 << 50) - 998 * 177);
    assert_eq!(plan(&lengths, "1%", None).piece_bytes(), MAX_PIECE_BYTES);
}

#[test]
fn a_count_is_enough_for_any_so_many_files() {
    let lengths = [4 * GIB, 4 * GIB, 4 * GIB, GIB];
    for lost in 1..=4_usize {
        let grid = plan(&lengths, &lost.to_string(), None);
        let worst = (0..grid.groups()).map(|group| {
            let in_file = |file: usize| {
                let all = grid.pieces_of_file(file);
                u32::try_from(grid.pieces_of(group).filter(|p| all.contains(p)).count()).unwrap()
            };
            (0..lost).map(in_file).sum::<u32>()
        });
        let worst = worst.max().unwrap();
        assert!(grid.recovery() >= worst, "{lost}: {} for {worst}", grid.recovery());
        assert!(grid.recovery() <= worst + 4, "{lost}: {} for {worst}", grid.recovery());
    }
    assert_eq!(plan(&lengths, "4", None).recovery(), plan(&lengths, "100%", None).recovery());
}

#[test]
fn no_parity_file_is_longer_than_it_may_be() {
    let lengths = [4 * GIB - 1; 25];
    let grid = plan(&lengths, "10%", Some(4 * GIB - 1));
    assert_eq!(grid.recovery(), 45);
    assert!(grid.parity_lengths().all(|length| length < 4 * GIB), "{:?}", grid.rows());
    assert_eq!(grid.rows(), [15, 15, 15]);
    let at_once = plan(&lengths, "10%", None);
    assert_eq!(at_once.rows(), [45]);
    let row = grid.piece_bytes() * u64::from(grid.groups());
    for most in [0, row, row + 2 * grid.index_bytes() - 1] {
        let amount = "10%".parse().unwrap();
        let refused = Grid::plan(Digest::of(b"set"), 176, lengths.to_vec(), amount, Some(most));
        assert!(matches!(refused, Err(Error::ParityTooLarge { .. })), "{most}");
    }
    let tight = plan(&lengths, "10%", Some(row + 2 * grid.index_bytes()));
    assert_eq!(tight.rows(), [1; 45]);
}

#[test]
fn files_that_cannot_be_are_refused() {
    let many = vec![200; 1000];
    let cases: [&[u64]; 5] = [&[], &[0], &[176], &[(1 << 50) + 1], &many];
    for lengths in cases {
        let amount = "1".parse().unwrap();
        assert!(Grid::plan(Digest::of(b""), 176, lengths.to_vec(), amount, None).is_err(), "{lengths:?}");
    }
}

#[test]
fn files_begin_with_nothing_or_with_a_header() {
    let cases: [(u64, &[u64], bool); 6] = [
        (0, &[1000], true),
        (176, &[1000], true),
        (176, &[1000, 2000], true),
        (0, &[1000, 2000], false),
        (1, &[1000], false),
        (177, &[1000, 2000], false),
    ];
    for (header_bytes, lengths, is_right) in cases {
        assert_eq!(check_lengths(header_bytes, lengths).is_ok(), is_right, "{header_bytes} {lengths:?}");
    }
}

proptest! {
    #[test]
    fn every_byte_is_in_one_piece(lengths in proptest::collection::vec(177..40_000_u64, 1..6), percent in 1..100) {
        let grid = plan(&lengths, &format!("{percent}%"), None);
        let mut next = (0, 0);
        for piece in 0..grid.pieces() {
            let PiecePlace { file, range } = grid.place(piece);
            if file != next.0 {
                prop_assert_eq!((file, next.1), (next.0 + 1, lengths[next.0]));
                next = (file, 0);
            }
            prop_assert_eq!(range.start, next.1);
            prop_assert!(range.end - range.start <= grid.piece_bytes());
            prop_assert_eq!(grid.pieces_under(file, &range), piece..piece + 1);
            let in_archive = grid.archive_range(piece);
            let without_header = range.start.max(176)..range.end.max(176);
            let expected = if in_archive.is_empty() { vec![] } else { vec![(file, without_header)] };
            prop_assert_eq!(grid.stretches(&in_archive), expected);
            next.1 = range.end;
        }
        prop_assert_eq!(next, (lengths.len() - 1, lengths[lengths.len() - 1]));
        let mut seen = vec![0; grid.pieces() as usize];
        for group in 0..grid.groups() {
            for (index, piece) in (0..).zip(grid.pieces_of(group)) {
                prop_assert_eq!(grid.group_of(piece), (group, index));
                prop_assert!(index < grid.group_pieces());
                seen[piece as usize] += 1;
            }
        }
        prop_assert!(seen.iter().all(|&times| times == 1));
    }

    #[test]
    fn stretches_are_the_whole_archive(lengths in proptest::collection::vec(177..5000_u64, 1..6), a in 0..30_000_u64, b in 0..30_000_u64) {
        let grid = plan(&lengths, "10%", None);
        let total = grid.archive_bytes();
        let range = a.min(b).min(total)..a.max(b).min(total);
        let found = grid.stretches(&range);
        let sum: u64 = found.iter().map(|(_, part)| part.end - part.start).sum();
        prop_assert_eq!(sum, range.end - range.start);
        for (file, part) in found {
            prop_assert!(part.start >= 176 && part.end <= lengths[file]);
        }
    }
}
