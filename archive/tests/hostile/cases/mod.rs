//! What is tried, and the code with which it is refused.

mod chained;
mod data;
mod front;
mod head;
mod needs;
mod tables;
mod trust;

use sealift_archive::format::contents::Contents;
use serde_json::Value;

use crate::forge::{DataFrame, FrontPage, HONEST, Keys, Lies};
use crate::tar_member::Member;

/// A lie, and the answer to it.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// The number of the error code; 0 if there is nothing to refuse.
    pub(crate) code: u16,
    pub(crate) lies: Lies,
}

/// All of them.
pub(crate) fn all() -> impl Iterator<Item = &'static Case> {
    const NOTHING: &[Case] = &[Case { name: "honest", code: 0, lies: HONEST }];
    [
        NOTHING,
        head::CASES,
        trust::CASES,
        needs::CASES,
        front::CASES,
        tables::CASES,
        data::CASES,
        chained::CASES,
    ]
    .into_iter()
    .flatten()
}

const fn file(name: &'static str, code: u16, file: fn(&mut Vec<u8>)) -> Case {
    Case { name, code, lies: Lies { file, ..HONEST } }
}

const fn area(name: &'static str, code: u16, area: fn(&mut Vec<u8>)) -> Case {
    Case { name, code, lies: Lies { area, ..HONEST } }
}

const fn head(name: &'static str, code: u16, head: fn(&Keys, &mut Vec<Member>)) -> Case {
    Case { name, code, lies: Lies { head, ..HONEST } }
}

const fn packing(name: &'static str, code: u16, packing: fn(&mut Value)) -> Case {
    Case { name, code, lies: Lies { packing, ..HONEST } }
}

const fn packing_text(name: &'static str, code: u16, packing_text: fn(&mut String)) -> Case {
    Case { name, code, lies: Lies { packing_text, ..HONEST } }
}

const fn statement(name: &'static str, code: u16, statement: fn(&mut Value)) -> Case {
    Case { name, code, lies: Lies { statement, ..HONEST } }
}

const fn blob_list(name: &'static str, code: u16, blob_list: fn(&mut String)) -> Case {
    Case { name, code, lies: Lies { blob_list, ..HONEST } }
}

const fn pages(name: &'static str, code: u16, pages: fn(&mut Vec<FrontPage>)) -> Case {
    Case { name, code, lies: Lies { pages, ..HONEST } }
}

const fn front(name: &'static str, code: u16, front: fn(&mut Vec<Member>)) -> Case {
    Case { name, code, lies: Lies { front, ..HONEST } }
}

const fn contents(name: &'static str, code: u16, contents: fn(&mut Contents)) -> Case {
    Case { name, code, lies: Lies { contents, ..HONEST } }
}

const fn table(name: &'static str, code: u16, table: fn(&mut Vec<u8>)) -> Case {
    Case { name, code, lies: Lies { table, ..HONEST } }
}

const fn frames(name: &'static str, code: u16, frames: fn(&mut Vec<DataFrame>)) -> Case {
    Case { name, code, lies: Lies { frames, ..HONEST } }
}

const fn plain(name: &'static str, code: u16, plain: fn(&mut Vec<Vec<u8>>)) -> Case {
    Case { name, code, lies: Lies { plain, ..HONEST } }
}
