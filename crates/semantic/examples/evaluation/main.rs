//! Evaluation of the semantic cache, for `cargo xtask eval cache`: tables of served and wrong answers, of a
//! stream of questions, of the bound, and of the time of a look-up.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::disallowed_macros,
    reason = "a program that measures and prints"
)]

mod bound;
mod cost;
mod data;
mod pairs;
mod share;
mod stream;

use std::path::PathBuf;

fn main() {
    let directory = std::env::args_os().nth(1).map(PathBuf::from);
    let directory = directory.expect("the first argument is the directory of the vectors");
    let pairs = data::read_pairs(&directory);
    println!("{}", pairs::tables(&pairs));
    if let Some(questions) = data::read_stream(&directory) {
        println!("{}", stream::table(&questions));
    }
    println!("{}", bound::table());
    println!("{}", cost::table(&pairs));
}
