//! Texts and vectors that `embed.py` wrote.

use std::fs;
use std::path::Path;

/// Two questions, and whether one answer serves both.
pub(crate) struct Pair {
    /// The data set.
    pub(crate) set: String,
    pub(crate) category: String,
    pub(crate) is_same: bool,
    pub(crate) kept: Asked,
    pub(crate) asked: Asked,
}

/// A question with its embedding.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) text: String,
    pub(crate) embedding: Vec<f32>,
}

/// A question with the name of its intent.
pub(crate) struct Labeled {
    pub(crate) intent: String,
    pub(crate) asked: Asked,
}

pub(crate) fn read_pairs(directory: &Path) -> Vec<Pair> {
    let rows = read_rows(directory, "pairs").expect("embed.py wrote the pairs");
    let pair = |two: &[(Vec<String>, Vec<f32>)]| {
        let side = |(fields, embedding): &(Vec<String>, Vec<f32>)| Asked {
            text: fields[3].clone(),
            embedding: embedding.clone(),
        };
        let [set, category, is_same] = [0, 1, 2].map(|at| two[0].0[at].clone());
        Pair {
            set,
            category,
            is_same: is_same == "same",
            kept: side(&two[0]),
            asked: side(&two[1]),
        }
    };
    rows.chunks_exact(2).map(pair).collect()
}

pub(crate) fn read_stream(directory: &Path) -> Option<Vec<Labeled>> {
    let rows = read_rows(directory, "stream")?;
    let labeled = |(fields, embedding): (Vec<String>, Vec<f32>)| Labeled {
        intent: fields[0].clone(),
        asked: Asked { text: fields[1].clone(), embedding },
    };
    Some(rows.into_iter().map(labeled).collect())
}

/// Lines of a table with their vectors. `None` if there is no such table.
fn read_rows(directory: &Path, name: &str) -> Option<Vec<(Vec<String>, Vec<f32>)>> {
    let text = fs::read_to_string(directory.join(format!("{name}.tsv"))).ok()?;
    let bytes =
        fs::read(directory.join(format!("{name}.f32"))).expect("vectors are beside their texts");
    let (number, _) = bytes.as_chunks::<4>();
    let numbers: Vec<f32> = number.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let lines: Vec<&str> = text.lines().collect();
    let dimensions = numbers.len() / lines.len().max(1);
    let fields = lines.iter().map(|line| line.split('\t').map(str::to_owned).collect());
    Some(fields.zip(numbers.chunks_exact(dimensions).map(<[f32]>::to_vec)).collect())
}
