//! Archives made piece by piece, with edits on the way.

use std::sync::LazyLock;

use sealift_archive::chain::{Chain, State};
use sealift_archive::format::contents::{Contents, Encoding, Entry, Frame};
use sealift_archive::format::head::Head;
use sealift_archive::format::packing::{NeededRelease, Packing, Page};
use sealift_archive::format::{FRONT_ALIGN, HEAD_BYTES, frame, member};
use sealift_archive::release::BlobListSummary;
use sealift_archive::trust::Signature;
use sealift_archive::{Blob, BlobList, Digest, Release, Sequence, Source as _, Statement};

use super::archives::{ARCHIVES, open};
use super::edits::{Edits, Step};
use super::head;
use super::vendor::VENDOR;

const LEVEL: i32 = 1;
/// Content of a front page: little, so that there are several.
const PAGE_BYTES: usize = 2 << 10;
/// Content of a frame, where frames are cut into several.
const CUT_BYTES: usize = 1 << 10;

/// What is edited: our writer's archives, and the first of them with blobs that lie in several frames.
pub(super) static BLUEPRINTS: LazyLock<[Blueprint; 4]> = LazyLock::new(|| {
    let [one, both, delta] = ARCHIVES.each_ref().map(|archive| Blueprint::of(archive));
    let cut = Blueprint::of(&ARCHIVES[0]).cut();
    [one, both, delta, cut]
});

/// An archive, taken apart.
pub(super) struct Blueprint {
    papers: Vec<Papers>,
    needs: Vec<NeededRelease>,
    blobs: Vec<(Blob, Encoding)>,
    frames: Vec<DataFrame>,
    /// The front's pages without edits: squeezing takes longer than everything else.
    pages: Vec<FrontPage>,
}

/// A file that was made with edits, and what the vendor signed of it.
pub(super) struct Forged {
    /// The head's area, then everything behind it.
    pub(super) file: Vec<u8>,
    /// Whether what stands behind the head is as the packing has it.
    pub(super) is_as_packed: bool,
    /// The packing and the statements that the vendor signed.
    pub(super) packing: Digest,
    pub(super) statements: Vec<Digest>,
}

impl Blueprint {
    fn of(archive: &[u8]) -> Self {
        let bundle = open(archive);
        let Contents { frames, entries } = bundle.contents();
        let frames = frames.iter().map(|record| {
            let start =
                usize::try_from(bundle.packing().data_offset + record.offset).expect("a small archive");
            DataFrame::read(&archive[start..start + record.length as usize])
        });
        let blueprint = Self {
            papers: bundle.releases().iter().map(Papers::of).collect(),
            needs: bundle.needs().to_vec(),
            blobs: entries.iter().map(|entry| (entry.blob, entry.encoding)).collect(),
            frames: frames.collect(),
            pages: Vec::new(),
        };
        blueprint.with_pages()
    }

    /// The same with its frames cut into small ones.
    fn cut(mut self) -> Self {
        self.frames = self.frames.iter().flat_map(DataFrame::cut).collect();
        self.with_pages()
    }

    fn with_pages(mut self) -> Self {
        let front = front(&self.papers, self.contents());
        self.pages = front.chunks(PAGE_BYTES).map(FrontPage::of).collect();
        self
    }

    /// Makes the archive with these edits.
    pub(super) fn forge(&self, edits: &Edits) -> Forged {
        let (contents, data) = self.data(edits);
        let count = self.papers.len();
        let papers =
            self.papers.iter().enumerate().map(|(number, papers)| papers.edited(edits, (number, count)));
        let papers: Vec<Papers> = papers.collect();
        let mut front = front(&papers, contents);
        if edits.change(Step::Front, (0, 1), &mut front) {
            front = head::with_right_sums(front);
        }
        let (records, pages) = self.pages(edits, &front);

        let tail = frame::stored(&[0; member::END_LEN]);
        let front_end = HEAD_BYTES + pages.len() as u64;
        let data_offset = (front_end + frame::MIN_FILLER).next_multiple_of(FRONT_ALIGN);
        let mut rest = [pages, frame::filler(data_offset - front_end), data, tail].concat();
        let statements: Vec<Digest> = papers.iter().map(|papers| papers.signature.document).collect();
        let length = HEAD_BYTES + rest.len() as u64;
        let mut packing = Packing::new(statements.clone(), length, data_offset, records);
        packing.needs.clone_from(&self.needs);
        let mut packing = packing.to_bytes();
        edits.change(Step::Packing, (0, 1), &mut packing);

        let is_as_packed = !edits.change(Step::Rest, (0, 1), &mut rest);
        let packing_digest = Digest::of(&packing);
        let file = [head_area(edits, packing, &papers), rest].concat();
        Forged { file, is_as_packed, packing: packing_digest, statements }
    }

    /// The contents without edits.
    pub(super) fn contents(&self) -> Vec<u8> {
        self.data(&Edits::default()).0
    }

    /// The contents, and the frames that they describe.
    fn data(&self, edits: &Edits) -> (Vec<u8>, Vec<u8>) {
        let entries = self.entries();
        let (mut frames, mut data): (Vec<Frame>, Vec<u8>) = (Vec::new(), Vec::new());
        let mut chain = Chain::default();
        for (number, honest) in self.frames.iter().enumerate() {
            let (plain, bytes) = honest.edited(edits, (number, self.frames.len()));
            let begun = entries.partition_point(|entry| entry.frame as usize <= number);
            let hash = match entries[..begun].last() {
                Some(entry) if entry.encoding == Encoding::Chained => {
                    link(&mut chain, entry, entry.frame as usize == number, &plain)
                }
                _ => *Digest::of(&bytes).as_raw(),
            };
            frames.push(Frame {
                offset: data.len() as u64,
                length: narrow(bytes.len()),
                plain_length: narrow(plain.len()),
                hash,
                last_blob: narrow(begun.saturating_sub(1)),
            });
            data.extend(bytes);
        }
        let mut contents = Contents { frames, entries }.encode().expect("a few records");
        edits.change(Step::Contents, (0, 1), &mut contents);
        (contents, data)
    }

    /// Where each blob lies, when their members fill the frames.
    fn entries(&self) -> Vec<Entry> {
        let (mut frame, mut frame_start, mut next) = (0, 0, 0);
        let place = |&(blob, encoding): &(Blob, Encoding)| {
            let start = next + member::HEADER_LEN;
            next += member::len(blob.size);
            // An empty blob lies where its header ends.
            while start - u64::from(blob.size == 0) >= frame_start + self.frames[frame].plain.len() as u64 {
                frame_start += self.frames[frame].plain.len() as u64;
                frame += 1;
            }
            let offset = u32::try_from(start - frame_start).expect("a small frame");
            Entry { blob, frame: narrow(frame), offset, encoding }
        };
        self.blobs.iter().map(place).collect()
    }

    /// The pages with this content, and what is said of them.
    fn pages(&self, edits: &Edits, front: &[u8]) -> (Vec<Page>, Vec<u8>) {
        let (mut records, mut bytes): (Vec<Page>, Vec<u8>) = (Vec::new(), Vec::new());
        let chunks = front.chunks(PAGE_BYTES);
        let count = chunks.len();
        for (number, plain) in chunks.enumerate() {
            let known = self.pages.get(number).filter(|page| page.plain == plain);
            let mut page = known.map_or_else(|| squeezed(plain), |page| page.bytes.clone());
            edits.change(Step::Page, (number, count), &mut page);
            records.push(Page {
                offset: HEAD_BYTES + bytes.len() as u64,
                length: page.len() as u64,
                plain_length: plain.len() as u64,
                digest: Digest::of(&page),
            });
            bytes.extend(page);
        }
        (records, bytes)
    }
}

/// The hash of a chained blob's next frame, whose content this is.
fn link(chain: &mut Chain, entry: &Entry, is_first: bool, plain: &[u8]) -> [u8; 32] {
    let mut content = plain;
    if is_first {
        *chain = Chain::default();
        content = plain.get(entry.offset as usize..).unwrap_or_default();
    }
    if entry.blob.size - chain.len() <= content.len() as u64 {
        return *entry.blob.digest.as_raw();
    }
    chain.update(content);
    chain.state().map_or([0; 32], State::to_raw)
}

/// What is written about a release.
#[derive(Clone)]
struct Papers {
    sequence: Sequence,
    statement: Vec<u8>,
    signature: Signature,
    list: Vec<u8>,
    refs: Vec<u8>,
}

impl Papers {
    fn of(release: &Release) -> Self {
        Self {
            sequence: release.statement.sequence,
            statement: release.statement_bytes.clone(),
            signature: VENDOR.sign(&release.statement_bytes),
            list: release.blob_list.to_text().into_bytes(),
            refs: release.refs_bytes.clone(),
        }
    }

    /// The same with edits, signed.
    fn edited(&self, edits: &Edits, place: (usize, usize)) -> Self {
        let Self { sequence, mut statement, mut signature, mut list, mut refs } = self.clone();
        let is_other_list = edits.change(Step::List, place, &mut list);
        let are_other_refs = edits.change(Step::Refs, place, &mut refs);
        if is_other_list || are_other_refs {
            let mut document = Statement::parse("release.json", &statement).expect("our own statement");
            document.refs = Blob::of(&refs);
            document.blob_list = match BlobList::parse("blobs", &list) {
                Ok(list) => BlobListSummary::of(&list),
                Err(_) => BlobListSummary { digest: Digest::of(&list), ..document.blob_list },
            };
            statement = document.to_bytes();
        }
        edits.change(Step::Statement, place, &mut statement);
        if statement != self.statement {
            signature = VENDOR.sign(&statement);
        }
        Self { sequence, statement, signature, list, refs }
    }
}

/// A frame of the data.
struct DataFrame {
    is_stored: bool,
    plain: Vec<u8>,
    bytes: Vec<u8>,
}

impl DataFrame {
    fn read(bytes: &[u8]) -> Self {
        let plain = zstd::decode_all(bytes).expect("our own frame");
        Self { is_stored: bytes == frame::stored(&plain), plain, bytes: bytes.to_owned() }
    }

    fn cut(&self) -> Vec<Self> {
        let frame = |plain: &[u8]| Self {
            is_stored: self.is_stored,
            plain: plain.to_owned(),
            bytes: self.pack(plain),
        };
        self.plain.chunks(CUT_BYTES).map(frame).collect()
    }

    fn pack(&self, plain: &[u8]) -> Vec<u8> {
        if self.is_stored { frame::stored(plain) } else { squeezed(plain) }
    }

    /// Content and bytes of the frame with edits.
    fn edited(&self, edits: &Edits, place: (usize, usize)) -> (Vec<u8>, Vec<u8>) {
        let mut plain = self.plain.clone();
        let is_other = edits.change(Step::Plain, place, &mut plain);
        let mut bytes = if is_other { self.pack(&plain) } else { self.bytes.clone() };
        edits.change(Step::Frame, place, &mut bytes);
        (plain, bytes)
    }
}

/// A front page.
struct FrontPage {
    plain: Vec<u8>,
    bytes: Vec<u8>,
}

impl FrontPage {
    fn of(plain: &[u8]) -> Self {
        Self { plain: plain.to_owned(), bytes: squeezed(plain) }
    }
}

/// The tar members of the front.
fn front(papers: &[Papers], contents: Vec<u8>) -> Vec<u8> {
    let of_release = |papers: &Papers| {
        let name = |name: &str| format!("releases/{}/{name}", papers.sequence);
        [(name("blobs"), papers.list.clone()), (name("refs.json"), papers.refs.clone())]
    };
    let members = papers.iter().flat_map(of_release).chain([("contents".to_owned(), contents)]);
    member::write_all(&members.collect::<Vec<_>>())
}

/// The head's area.
fn head_area(edits: &Edits, packing: Vec<u8>, papers: &[Papers]) -> Vec<u8> {
    let statements = papers.iter().map(|papers| papers.signature.clone());
    let head = Head {
        roots: VENDOR.roots(),
        signatures: statements.chain([VENDOR.root_signature.clone(), VENDOR.sign(&packing)]).collect(),
        statements: papers.iter().map(|papers| (papers.sequence, papers.statement.clone())).collect(),
        packing,
    };
    let Ok(mut area) = head.encode() else { return Vec::new() };
    let mut members = head::members(&area).expect("our own head");
    if edits.change(Step::Head, (0, 1), &mut members) {
        area = head::area(&head::with_right_sums(members));
    }
    edits.change(Step::Area, (0, 1), &mut area);
    area
}

/// A frame as an honest writer squeezes it.
fn squeezed(plain: &[u8]) -> Vec<u8> {
    let mut compressor = zstd::bulk::Compressor::new(LEVEL).expect("a level that zstd has");
    compressor.include_checksum(true).expect("zstd knows checksums");
    compressor.compress(plain).expect("memory for a small frame")
}

fn narrow(number: usize) -> u32 {
    u32::try_from(number).expect("a small archive")
}
