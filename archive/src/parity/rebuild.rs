//! Making the lost pieces of a group again: as many columns at a time as fit in memory, of as many pieces and recovery pieces
//! as the group has pieces.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use super::code::{COLUMN_UNIT, Decoder, Part, Shape};
use super::mender::{Known, Mender, is_loss};
use super::{pieces, threads};
use crate::format::parity::PieceHasher;
use crate::medium::Medium;
use crate::{Error, Progress};

/// Memory for pieces that are read and pieces that are made again of them, in bytes.
const TILE_BYTES: usize = 12 << 20;

/// Takes rebuilt bytes: piece, first byte in it, bytes.
pub(super) type Sink<'a> = &'a mut dyn FnMut(u32, u64, &[u8]) -> Result<(), Error>;

/// How it came out.
pub(super) enum Rebuilt {
    /// All hashes are right.
    Right,
    /// What was made has not the hash that it should have.
    Wrong,
    /// Something that was good a moment ago cannot be read: which piece, or recovery piece, by its number in the index.
    Lost(Part),
}

/// Columns that are at hand, and where they are read: file, place of the piece, and its number in the index. Zeros stand
/// nowhere.
struct Source<'a> {
    part: Part,
    from: Option<(&'a dyn Medium, Range<u64>, Part)>,
}

/// Makes the pieces of a group that are known to be lost; of everything else enough has to be known to be good.
pub(super) fn rebuild(
    mender: &Mender,
    group: u32,
    sink: Sink<'_>,
    progress: &dyn Progress,
) -> Result<Rebuilt, Error> {
    let (index, shape) = (&mender.index, mender.shape());
    let lost: Vec<u32> = mender.lost_of(group).collect();
    let sources = sources(mender, group, lost.len());
    let (threads, column_bytes) = shape.decoding();
    let mut decoders: Vec<Decoder> = std::iter::repeat_with(Decoder::default).take(threads).collect();
    let unit = (shape.pieces + lost.len()) * COLUMN_UNIT;
    let tile = (TILE_BYTES / unit).max(1) * COLUMN_UNIT;
    let piece_bytes = index.grid.piece_bytes();
    let mut hashers = vec![PieceHasher::default(); lost.len()];
    let (mut read, mut made, mut whole) = (Vec::new(), Vec::new(), Vec::new());
    let mut at = 0;
    while at < piece_bytes {
        progress.go_on()?;
        let width = tile.min(usize::try_from(piece_bytes - at).unwrap_or(usize::MAX));
        read.resize(shape.pieces * width, 0);
        if let Some(part) = read_columns(&sources, at, width, &mut read, threads)? {
            return Ok(Rebuilt::Lost(part));
        }
        made.resize(lost.len() * width, 0);
        decode(&mut decoders, shape, &sources, &read, (width, column_bytes), &mut made)?;
        for (number, (&piece, hasher)) in lost.iter().zip(&mut hashers).enumerate() {
            whole.clear();
            for run in made.chunks(lost.len() * column_bytes) {
                let columns = run.len() / lost.len();
                whole.extend_from_slice(&run[number * columns..][..columns]);
            }
            hasher.update(&whole);
            sink(piece, at, &whole)?;
        }
        at += width as u64;
    }
    let mut made = lost.iter().zip(hashers);
    let is_right = made.all(|(&piece, hasher)| hasher.finish() == index.pieces[piece as usize]);
    Ok(if is_right { Rebuilt::Right } else { Rebuilt::Wrong })
}

/// As many columns as a group has pieces: those that are right, zeros where it is a piece short, and recovery pieces for the
/// lost ones.
fn sources(mender: &Mender, group: u32, lost: usize) -> Vec<Source<'_>> {
    let grid = &mender.index.grid;
    let pieces = (0..).zip(grid.pieces_of(group)).filter_map(|(index, piece)| {
        let Known::Good(copy) = mender.pieces[piece as usize] else { return None };
        let place = grid.place(piece);
        let file = &*mender.archive[place.file][copy];
        let from = Some((file, place.range, Part::Piece(piece as usize)));
        Some(Source { part: Part::Piece(index), from })
    });
    let zeros = grid.pieces_of(group).count()..grid.group_pieces() as usize;
    let zeros = zeros.map(|index| Source { part: Part::Piece(index), from: None });
    let recovery = mender.good_recovery_of(group).take(lost).map(|(piece, copy)| {
        let row = piece / grid.groups();
        let (file, start) = grid.recovery_place(row, group);
        let place = start..start + grid.piece_bytes();
        let from = Some((&*mender.parity[file][copy], place, Part::Recovery(piece as usize)));
        Source { part: Part::Recovery(row as usize), from }
    });
    pieces.chain(zeros).chain(recovery).collect()
}

/// Reads these columns of all sources, or says which of them cannot be read.
fn read_columns(
    sources: &[Source<'_>],
    at: u64,
    width: usize,
    out: &mut [u8],
    threads: usize,
) -> Result<Option<Part>, Error> {
    let failed = Mutex::new(None);
    let jobs = sources.iter().zip(out.chunks_exact_mut(width));
    threads::each(&mut vec![(); threads], jobs, |(), (source, buffer)| {
        let Some((file, place, whose)) = &source.from else {
            buffer.fill(0);
            return Ok(());
        };
        match pieces::read(*file, place, at, buffer) {
            Err(error) if is_loss(&error) => {
                *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(*whose);
                Ok(())
            }
            read => read,
        }
    })?;
    Ok(failed.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Fills `made`, run of columns by run of columns, and in each lost piece by lost piece.
fn decode(
    decoders: &mut [Decoder],
    shape: Shape,
    sources: &[Source<'_>],
    read: &[u8],
    (width, column_bytes): (usize, usize),
    made: &mut [u8],
) -> Result<(), Error> {
    let lost = made.len() / width;
    let runs = (0..width).step_by(column_bytes).map(|start| start..width.min(start + column_bytes));
    let jobs = runs.zip(made.chunks_mut(lost * column_bytes));
    threads::each(decoders, jobs, |decoder, (columns, out)| {
        let at_hand = sources.iter().zip(read.chunks_exact(width));
        let at_hand = at_hand.map(|(source, bytes)| (source.part, &bytes[columns.clone()]));
        decoder.decode(shape, at_hand, columns.len(), out)
    })
}
