//! A chart: its files, its metadata, its subcharts, its values.

mod files;
mod ignore;
mod tree;
mod values;

pub use files::ChartFiles;
pub(super) use tree::Chart;
pub(super) use values::{coalesce, enable, merge, read_files};
