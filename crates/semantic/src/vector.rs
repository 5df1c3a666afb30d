//! Embeddings in eight bits for each component.

/// Components of the longest embedding.
pub const MAX_DIMENSIONS: usize = 4_096;
/// The largest absolute value of a component.
const LARGEST: f32 = 127.0;

/// An embedding. Only its direction counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Vector {
    components: Box<[i8]>,
    /// Euclidean length of the components; never zero.
    length: f32,
}

/// A reason for which numbers are no embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VectorError {
    /// No components.
    Empty,
    /// More than [`MAX_DIMENSIONS`].
    TooLong,
    /// An infinite component, or one that is not a number.
    NotFinite,
    /// All components are zero.
    Zero,
}

impl Vector {
    /// Rounds an embedding to eight bits for each component.
    pub fn quantize(embedding: &[f32]) -> Result<Self, VectorError> {
        if embedding.iter().any(|component| !component.is_finite()) {
            return Err(VectorError::NotFinite);
        }
        let largest = embedding.iter().fold(0.0_f32, |largest, c| largest.max(c.abs()));
        if embedding.len() <= MAX_DIMENSIONS && !embedding.is_empty() && largest == 0.0 {
            return Err(VectorError::Zero);
        }
        // A division first: the quotient of the largest number and the smallest one is infinite.
        let component = |c: &f32| (c / largest * LARGEST).round() as i8;
        Self::from_components(embedding.iter().map(component).collect())
    }

    /// Takes components that [`Vector::components`] returned.
    pub fn from_components(components: Box<[i8]>) -> Result<Self, VectorError> {
        if components.is_empty() {
            return Err(VectorError::Empty);
        }
        if components.len() > MAX_DIMENSIONS {
            return Err(VectorError::TooLong);
        }
        let length = (dot(&components, &components) as f32).sqrt();
        if length == 0.0 {
            return Err(VectorError::Zero);
        }
        Ok(Self { components, length })
    }

    /// The components.
    pub fn components(&self) -> &[i8] {
        &self.components
    }
}

/// Vectors of equal dimension, one after another in memory.
#[derive(Clone, Debug, Default)]
pub struct VectorTable {
    dimensions: usize,
    components: Vec<i8>,
    lengths: Vec<f32>,
}

impl VectorTable {
    /// Makes an empty table.
    pub fn new(dimensions: usize) -> Self {
        Self { dimensions, ..Self::default() }
    }

    /// Number of vectors.
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Whether the table has no vectors.
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// Appends a vector. Returns whether it has the dimension of the table.
    pub fn push(&mut self, vector: &Vector) -> bool {
        let fits = vector.components.len() == self.dimensions;
        if fits {
            self.components.extend_from_slice(&vector.components);
            self.lengths.push(vector.length);
        }
        fits
    }

    /// Removes a vector: the last one takes its place.
    pub fn swap_remove(&mut self, row: usize) {
        let Some(last) = self.lengths.len().checked_sub(1).filter(|last| row <= *last) else {
            return;
        };
        let dimensions = self.dimensions;
        self.components.copy_within(last * dimensions.., row * dimensions);
        self.components.truncate(last * dimensions);
        self.lengths.swap_remove(row);
    }

    /// A vector of the table.
    pub fn get(&self, row: usize) -> Option<Vector> {
        let start = row.checked_mul(self.dimensions)?;
        let components = self.components.get(start..start + self.dimensions)?;
        Some(Vector { components: components.into(), length: *self.lengths.get(row)? })
    }

    /// The rows of the nearest vectors with their cosines: the best first, at most `count`, none below
    /// `floor`. None if the dimension differs.
    pub fn nearest(&self, query: &Vector, floor: f32, count: usize) -> Vec<(usize, f32)> {
        let mut best: Vec<(usize, f32)> = Vec::with_capacity(count + 1);
        if query.components.len() != self.dimensions || count == 0 {
            return best;
        }
        let mut least = floor;
        let rows = self.components.chunks_exact(self.dimensions).zip(&self.lengths);
        for (row, (components, length)) in rows.enumerate() {
            let cosine = dot(components, &query.components) as f32 / (length * query.length);
            if cosine < least {
                continue;
            }
            let place = best.partition_point(|(_, other)| *other >= cosine);
            best.insert(place, (row, cosine));
            best.truncate(count);
            if best.len() == count {
                least = best[count - 1].1;
            }
        }
        best
    }
}

/// The scalar product of two equally long rows. Products of two components fit in 16 bits, their sum over
/// [`MAX_DIMENSIONS`] in 32. The compiler makes vector instructions of this form alone.
fn dot(left: &[i8], right: &[i8]) -> i32 {
    left.iter().zip(right).map(|(l, r)| i32::from(i16::from(*l) * i16::from(*r))).sum()
}
