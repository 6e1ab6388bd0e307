//! Edits: what a fuzzer's bytes change in an archive, and where on the way of its making.

/// A step in the making of an archive. What was made of it before it was changed is made again afterwards: hashes, lengths
/// and signatures are right, so that whatever refuses the lie is the last that stands in its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// What a frame of the data holds.
    Plain,
    /// A frame of the data.
    Frame,
    /// The contents.
    Contents,
    /// The blob list of a release.
    List,
    /// The refs of a release.
    Refs,
    /// The statement of a release.
    Statement,
    /// The tar members of the front.
    Front,
    /// A page of the front.
    Page,
    /// The packing.
    Packing,
    /// The tar members of the head, when all is signed.
    Head,
    /// The head's area, when its checksum is made.
    Area,
    /// Everything behind the head, when all is signed.
    Rest,
}

impl Step {
    const ALL: [Self; 12] = [
        Self::Plain,
        Self::Frame,
        Self::Contents,
        Self::List,
        Self::Refs,
        Self::Statement,
        Self::Front,
        Self::Page,
        Self::Packing,
        Self::Head,
        Self::Area,
        Self::Rest,
    ];
}

/// Other bytes in the place of some. As a fuzzer writes it: step, which of those, position (2), how many bytes go, how many
/// come, those bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Edit {
    pub(super) step: Step,
    /// Which one, where the step is made several times.
    pub(super) which: u8,
    pub(super) position: u16,
    /// How many bytes go; [`u8::MAX`] means all that are left.
    pub(super) gone: u8,
    pub(super) come: Vec<u8>,
}

impl Edit {
    const HEADER_LEN: usize = 6;

    /// Takes an edit off the front of a fuzzer's bytes.
    fn take(bytes: &mut &[u8]) -> Option<Self> {
        let (&[step, which, low, high, gone, come], rest) =
            bytes.split_first_chunk::<{ Self::HEADER_LEN }>()?;
        let (come, rest) = rest.split_at(rest.len().min(come.into()));
        *bytes = rest;
        let step = Step::ALL[usize::from(step) % Step::ALL.len()];
        Some(Self { step, which, position: u16::from_le_bytes([low, high]), gone, come: come.to_owned() })
    }

    /// As a fuzzer would write it.
    pub(super) fn encode(&self) -> Vec<u8> {
        let step = Step::ALL.iter().position(|step| *step == self.step).and_then(|at| u8::try_from(at).ok());
        let [low, high] = self.position.to_le_bytes();
        let come = u8::try_from(self.come.len()).expect("an edit is short");
        let header = [step.expect("there are few steps"), self.which, low, high, self.gone, come];
        [&header[..], &self.come].concat()
    }
}

/// The edits of a fuzzer's bytes.
#[derive(Debug, Default)]
pub(super) struct Edits(Vec<Edit>);

impl Edits {
    pub(super) fn parse(mut bytes: &[u8]) -> Self {
        Self(std::iter::from_fn(|| Edit::take(&mut bytes)).collect())
    }

    /// Makes the edits of a step on the `number`th of `count` of its makings; says whether that changed anything.
    pub(super) fn change(&self, step: Step, (number, count): (usize, usize), bytes: &mut Vec<u8>) -> bool {
        let before = bytes.clone();
        let here = |edit: &&Edit| edit.step == step && usize::from(edit.which) % count == number;
        for edit in self.0.iter().filter(here) {
            let start = usize::from(edit.position) % (bytes.len() + 1);
            let left = bytes.len() - start;
            let gone = if edit.gone == u8::MAX { left } else { left.min(edit.gone.into()) };
            bytes.splice(start..start + gone, edit.come.iter().copied());
        }
        *bytes != before
    }
}
