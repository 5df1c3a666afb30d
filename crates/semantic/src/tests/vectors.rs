//! Rounding and search of vectors.

use proptest::prelude::*;

use crate::{MAX_DIMENSIONS, Vector, VectorError, VectorTable};

fn exact_cosine(left: &[f32], right: &[f32]) -> f64 {
    let dot = |l: &[f32], r: &[f32]| {
        l.iter().zip(r).map(|(l, r)| f64::from(*l) * f64::from(*r)).sum::<f64>()
    };
    dot(left, right) / (dot(left, left) * dot(right, right)).sqrt()
}

#[test]
fn numbers_that_are_no_embedding_are_refused() {
    let quantize = |embedding: &[f32]| Vector::quantize(embedding).map(|_| ());
    assert_eq!(quantize(&[]), Err(VectorError::Empty));
    assert_eq!(quantize(&[0.0, 0.0]), Err(VectorError::Zero));
    assert_eq!(quantize(&[1.0, f32::NAN]), Err(VectorError::NotFinite));
    assert_eq!(quantize(&[f32::INFINITY, 1.0]), Err(VectorError::NotFinite));
    assert_eq!(quantize(&vec![1.0; MAX_DIMENSIONS + 1]), Err(VectorError::TooLong));
    assert_eq!(quantize(&vec![1.0; MAX_DIMENSIONS]), Ok(()));
    assert_eq!(quantize(&[f32::MAX, f32::MIN_POSITIVE]), Ok(()));
    assert_eq!(quantize(&[f32::MIN_POSITIVE, 1e-45]), Ok(()));
}

#[test]
fn largest_products_do_not_overflow() {
    let one = Vector::from_components(vec![-128; MAX_DIMENSIONS].into()).expect("a vector");
    let mut table = VectorTable::new(MAX_DIMENSIONS);
    assert!(table.push(&one));
    let found = table.nearest(&one, 0.0, 1);
    assert!((found[0].1 - 1.0).abs() < 1e-6, "{found:?}");
}

#[test]
fn vector_of_another_dimension_is_neither_kept_nor_found() {
    let vector = |numbers: &[f32]| Vector::quantize(numbers).expect("an embedding");
    let mut table = VectorTable::new(2);
    assert!(!table.push(&vector(&[1.0, 2.0, 3.0])));
    assert!(table.push(&vector(&[1.0, 2.0])));
    assert_eq!(table.nearest(&vector(&[1.0, 2.0, 3.0]), -1.0, 4), []);
    assert_eq!(table.nearest(&vector(&[1.0, 2.0]), -1.0, 0), []);
    assert_eq!(table.len(), 1);
}

proptest! {
    #[test]
    fn cosine_of_rounded_vectors_is_near_the_exact_one(
        pair in prop::collection::vec((-1.0_f32..1.0, -1.0_f32..1.0), 64..400)
    ) {
        let (left, right): (Vec<f32>, Vec<f32>) = pair.into_iter().unzip();
        let mut table = VectorTable::new(left.len());
        table.push(&Vector::quantize(&left).expect("an embedding"));
        let found = table.nearest(&Vector::quantize(&right).expect("an embedding"), -1.0, 1);
        prop_assert!((f64::from(found[0].1) - exact_cosine(&left, &right)).abs() < 0.01);
    }

    #[test]
    fn nearest_are_those_of_a_full_sort(
        rows in prop::collection::vec(prop::collection::vec(-127_i8..=127, 37), 1..40),
        query in prop::collection::vec(1_i8..=127, 37),
        removed in prop::collection::vec(0_usize..40, 0..10),
        floor in -1.0_f32..1.0,
    ) {
        let vector = |components: &[i8]| Vector::from_components(components.into()).ok();
        let query = vector(&query).expect("no component is zero");
        let mut table = VectorTable::new(37);
        let mut model: Vec<Vector> = rows.iter().filter_map(|row| vector(row)).collect();
        for row in &model {
            prop_assert!(table.push(row));
        }
        for row in removed {
            table.swap_remove(row);
            if row < model.len() {
                model.swap_remove(row);
            }
        }
        prop_assert_eq!(table.len(), model.len());
        let alone = |row: &Vector| {
            let mut one = VectorTable::new(37);
            one.push(row);
            one.nearest(&query, -2.0, 1)[0].1
        };
        let mut all: Vec<f32> = model.iter().map(alone).filter(|score| *score >= floor).collect();
        all.sort_by(|left, right| right.total_cmp(left));
        all.truncate(4);
        let found: Vec<f32> = table.nearest(&query, floor, 4).into_iter().map(|(_, score)| score).collect();
        prop_assert_eq!(found, all);
    }
}
