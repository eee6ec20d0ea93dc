//! The screen model's arithmetic, on tables laid out so that a token costs two or three lines of cache.
//!
//! For each text: the mean of its pieces' vectors, weighted by head; one hidden layer with a linear path
//! beside it; and what is known by heart of pieces and of pairs of neighbours.

use multiversion::{multiversion, target::match_target};

/// Dimensions of a vector, and of the hidden layer.
const DIM: usize = 64;
/// Groups of dimensions, each with a weight of its own for every piece.
const HEADS: usize = 4;
const _: () = assert!(HEADS == BLOCKS, "a block is a group");
/// Numbers that are added up side by side.
const BLOCK: usize = 16;
/// Blocks of a vector, and of the hidden layer.
const BLOCKS: usize = DIM / BLOCK;
/// Keeps a text of pieces without weight from dividing by zero; as in training.
const SMALLEST: f32 = 1e-4;

/// Numbers row by row.
pub(super) struct Matrix<T> {
    pub(super) cells: Vec<T>,
    pub(super) columns: usize,
}

/// What a model file holds, as the function's inputs.
pub(super) struct Learned {
    /// `[pieces, DIM + HEADS]`: vectors, each group times its weight, and the weights.
    pub(super) table: Matrix<i8>,
    /// `[pieces, 1]`
    pub(super) scale: Matrix<f32>,
    /// `[pieces, labels + 1]`: what a piece says by heart, and a one to count it by. Piece 0 is padding: all zeros.
    pub(super) single: Matrix<i8>,
    /// `[1, labels + 1]`
    pub(super) single_scale: Matrix<f32>,
    /// `[rows, labels]`: what a pair of neighbours says; pairs that end in padding are in row 0.
    pub(super) double: Matrix<i8>,
    /// `[1, labels]`
    pub(super) double_scale: Matrix<f32>,
    /// `[DIM, DIM]`
    pub(super) up: Matrix<f32>,
    /// `[DIM]`
    pub(super) up_bias: Matrix<f32>,
    /// `[DIM, labels]`
    pub(super) down: Matrix<f32>,
    /// `[labels]`
    pub(super) down_bias: Matrix<f32>,
    /// `[DIM, labels]`
    pub(super) direct: Matrix<f32>,
}

/// All that is looked up for a piece: two lines of cache. `beside` has what it says by heart, then the one, and at its end the
/// weights.
#[repr(C, align(32))]
#[derive(Clone, Copy)]
struct Piece {
    vector: [[i8; BLOCK]; BLOCKS],
    beside: [i8; BLOCK],
    scale: f32,
}

/// Columns by label, then zeros.
type Row<T> = [T; BLOCK];

/// Rows that each fill one line of the processor's cache.
#[repr(align(64))]
#[derive(Clone, Copy)]
struct Lines<const N: usize>([Row<f32>; N]);

/// The model, ready to run.
pub(super) struct Net {
    pieces: Vec<Piece>,
    pairs: Vec<Row<i8>>,
    single_scale: Row<f32>,
    pair_scale: Row<f32>,
    /// For each dimension, what it adds to the hidden layer, and straight to the logits.
    inner: Vec<Lines<{ BLOCKS + 1 }>>,
    inner_bias: Lines<{ BLOCKS + 1 }>,
    /// What the first of each block of the hidden layer adds to the logits, then the second, and so on.
    down: Vec<Lines<BLOCKS>>,
    labels: usize,
}

impl Net {
    /// # Errors
    /// Says which input is not as this operator needs it.
    pub(super) fn new(learned: &Learned) -> Result<Self, String> {
        let labels = learned.double.columns;
        let pieces = learned.table.cells.len() / (DIM + HEADS);
        let pairs = learned.double.cells.len() / labels.max(1);
        if HEADS + labels + 1 > BLOCK || pieces == 0 || u32::try_from(pairs).is_err() || pairs == 0
        {
            let most = BLOCK - HEADS - 1;
            return Err(format!(
                "1 to {most} labels, pieces and pairs are needed; found {labels}, {pieces}, {pairs}"
            ));
        }
        let bytes = [
            ("table", &learned.table, pieces, DIM + HEADS),
            ("single", &learned.single, pieces, labels + 1),
            ("double", &learned.double, pairs, labels),
        ];
        let reals = [
            ("scale", &learned.scale, pieces, 1),
            ("single_scale", &learned.single_scale, 1, labels + 1),
            ("double_scale", &learned.double_scale, 1, labels),
            ("up", &learned.up, DIM, DIM),
            ("up_bias", &learned.up_bias, 1, DIM),
            ("down", &learned.down, DIM, labels),
            ("down_bias", &learned.down_bias, 1, labels),
            ("direct", &learned.direct, DIM, labels),
        ];
        for (name, matrix, rows, columns) in bytes {
            matrix.must_be(name, rows, columns)?;
        }
        for (name, matrix, rows, columns) in reals {
            matrix.must_be(name, rows, columns)?;
        }
        let inner = |(up, direct): (&[f32], &[f32])| {
            let [a, b, c, d] = blocks(up);
            Lines([a, b, c, d, placed(direct)])
        };
        let down: Vec<Row<f32>> = learned.down.rows().map(placed).collect();
        let piece = |((cells, said), scale): ((&[i8], &[i8]), &f32)| {
            let (vector, weights) = cells.split_at(DIM);
            let mut beside = placed(said);
            beside[BLOCK - HEADS..].copy_from_slice(weights);
            Piece {
                vector: blocks(vector),
                beside,
                scale: *scale,
            }
        };
        let rows = learned.table.rows().zip(learned.single.rows());
        Ok(Self {
            pieces: rows.zip(&learned.scale.cells).map(piece).collect(),
            pairs: learned.double.rows().map(placed).collect(),
            single_scale: placed(&learned.single_scale.cells),
            pair_scale: placed(&learned.double_scale.cells),
            inner: learned
                .up
                .rows()
                .zip(learned.direct.rows())
                .map(inner)
                .collect(),
            inner_bias: inner((&learned.up_bias.cells, &learned.down_bias.cells)),
            down: (0..BLOCK)
                .map(|at| Lines(std::array::from_fn(|block| down[block * BLOCK + at])))
                .collect(),
            labels,
        })
    }

    /// How many logits a text has.
    pub(super) fn labels(&self) -> usize {
        self.labels
    }

    /// Writes the logits of the texts in `ids`, each of so many `tokens`, zeros at its end for padding; `false` where an id
    /// is beyond the table.
    pub(super) fn run(&self, ids: &[i32], tokens: usize, logits: &mut [f32]) -> bool {
        // A negative id becomes one that no table has.
        if ids
            .iter()
            .any(|&id| id as u32 as usize >= self.pieces.len())
        {
            return false;
        }
        run(self, ids, tokens, logits);
        true
    }

    /// A text without its padding, whose rows are on their way to the cache; `pairs` are replaced by its own.
    #[inline(always)]
    fn prepared<'a>(&self, ids: &'a [i32], pairs: &mut Vec<u32>) -> &'a [i32] {
        let used = ids
            .iter()
            .rposition(|&id| id != 0)
            .map_or(0, |last| last + 1);
        let ids = &ids[..used];
        let modulus = self.pairs.len() as u32;
        let pair = |&[first, second]: &[i32; 2]| {
            let [first, second] = [first, second].map(|id| id as u32);
            second.wrapping_mul(first.wrapping_add(self.pieces.len() as u32)) % modulus
        };
        pairs.clear();
        pairs.extend(ids.array_windows().map(pair));
        for &id in ids {
            let piece = &self.pieces[id as usize];
            fetch(&piece.vector);
            fetch(&piece.beside);
        }
        pairs
            .iter()
            .for_each(|&row| fetch(&self.pairs[row as usize]));
        ids
    }

    #[inline(always)]
    fn text<const FUSED: bool>(&self, ids: &[i32], pairs: &[u32], logits: &mut [f32]) {
        let mut mean = [[0.0; BLOCK]; BLOCKS];
        let (mut weights, mut single) = ([0.0; BLOCK], [0.0; BLOCK]);
        for &id in ids {
            let piece = &self.pieces[id as usize];
            for (sums, cells) in mean.iter_mut().zip(&piece.vector) {
                add::<FUSED>(sums, piece.scale, &cells.map(f32::from));
            }
            let cells = piece.beside.map(f32::from);
            add::<FUSED>(&mut weights, piece.scale, &cells);
            add::<FUSED>(&mut single, 1.0, &cells);
        }
        for (block, weight) in mean.iter_mut().zip(&weights[BLOCK - HEADS..]) {
            let share = 1.0 / (weight + SMALLEST);
            block.iter_mut().for_each(|cell| *cell *= share);
        }
        let mut by_pair = [0_i32; BLOCK];
        for &row in pairs {
            for (sum, &cell) in by_pair.iter_mut().zip(&self.pairs[row as usize]) {
                *sum += i32::from(cell);
            }
        }

        // Sums that do not wait for each other: a processor adds to ten at the same time.
        let Lines(mut inner) = self.inner_bias;
        for (&x, rows) in mean.as_flattened().iter().zip(&self.inner) {
            for (sums, row) in inner.iter_mut().zip(&rows.0) {
                add::<FUSED>(sums, x, row);
            }
        }
        let [hidden @ .., mut said] = inner;
        let mut parts = [[0.0; BLOCK]; BLOCKS];
        for (at, rows) in self.down.iter().enumerate() {
            for ((sums, row), hidden) in parts.iter_mut().zip(&rows.0).zip(&hidden) {
                add::<FUSED>(sums, hidden[at].max(0.0), row);
            }
        }
        let share = 1.0 / (2.0 * single[self.labels] - 1.0).max(1.0).sqrt();
        for column in 0..BLOCK {
            let single = single[column] * self.single_scale[column];
            let pair = by_pair[column] as f32 * self.pair_scale[column];
            said[column] +=
                parts.iter().map(|part| part[column]).sum::<f32>() + (single + pair) * share;
        }
        logits.copy_from_slice(&said[..self.labels]);
    }
}

impl<T> Matrix<T> {
    fn rows(&self) -> impl Iterator<Item = &[T]> {
        self.cells.chunks_exact(self.columns)
    }

    fn must_be(&self, name: &str, rows: usize, columns: usize) -> Result<(), String> {
        if (self.cells.len(), self.columns) == (rows * columns, columns) {
            return Ok(());
        }
        let found = self.cells.len() / self.columns.max(1);
        Err(format!(
            "{name} must be {rows} x {columns}, and is {found} x {}",
            self.columns
        ))
    }
}

/// A row, and zeros up to a block.
fn placed<T: Copy + Default>(cells: &[T]) -> Row<T> {
    let mut row = [T::default(); BLOCK];
    row[..cells.len()].copy_from_slice(cells);
    row
}

/// A vector's numbers, block by block.
fn blocks<T: Copy>(cells: &[T]) -> [Row<T>; BLOCKS] {
    std::array::from_fn(|at| cells.as_chunks().0[at])
}

/// Adds a row, times a number, to sums; in one operation where the processor has one for that.
#[inline(always)]
fn add<const FUSED: bool>(sums: &mut Row<f32>, x: f32, row: &Row<f32>) {
    for (sum, &cell) in sums.iter_mut().zip(row) {
        *sum = if FUSED {
            x.mul_add(cell, *sum)
        } else {
            *sum + x * cell
        };
    }
}

/// Has a row on its way to the cache, where the processor can be asked for that.
#[inline(always)]
fn fetch<T>(row: &T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint about an address; nothing is read.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(row).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = row;
}

// Much faster with wider registers, which not every machine has.
#[multiversion(targets("x86_64+avx2+fma"))]
fn run(net: &Net, ids: &[i32], tokens: usize, logits: &mut [f32]) {
    const FUSED: bool = match_target! { "x86_64+fma" => true, _ => false };
    // A text of no tokens is padding alone.
    let texts = logits.len() / net.labels;
    let all = |text: usize| {
        if text < texts {
            &ids[text * tokens..][..tokens]
        } else {
            &[]
        }
    };
    let (mut pairs, mut next_pairs) = (Vec::new(), Vec::new());
    let mut next = net.prepared(all(0), &mut next_pairs);
    for (text, logits) in logits.chunks_exact_mut(net.labels).enumerate() {
        let ids = next;
        std::mem::swap(&mut pairs, &mut next_pairs);
        next = net.prepared(all(text + 1), &mut next_pairs);
        net.text::<FUSED>(ids, &pairs, logits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABELS: usize = 3;
    const PIECES: usize = 7;
    const PAIRS: usize = 5;

    /// Numbers that differ from cell to cell.
    fn cells<T>(rows: usize, columns: usize, cell: impl Fn(usize) -> T) -> Matrix<T> {
        Matrix {
            cells: (0..rows * columns).map(cell).collect(),
            columns,
        }
    }

    fn learned() -> Learned {
        let byte = |seed: usize| move |at: usize| ((at * 37 + seed) % 101) as i8 - 50;
        let real = |seed: usize| move |at: usize| ((at * 29 + seed) % 83) as f32 / 83.0 - 0.4;
        let mut table = cells(PIECES, DIM + HEADS, byte(1));
        for row in table.cells.chunks_exact_mut(DIM + HEADS) {
            row[DIM..]
                .iter_mut()
                .for_each(|weight| *weight = weight.abs());
        }
        table.cells[..DIM + HEADS].fill(0);
        let mut single = cells(PIECES, LABELS + 1, byte(2));
        single
            .cells
            .chunks_exact_mut(LABELS + 1)
            .for_each(|row| row[LABELS] = 1);
        single.cells[..=LABELS].fill(0);
        let mut double = cells(PAIRS, LABELS, byte(3));
        double.cells[..LABELS].fill(0);
        let mut single_scale = cells(1, LABELS + 1, |at| 0.01 * (at + 1) as f32);
        single_scale.cells[LABELS] = 1.0;
        Learned {
            table,
            scale: cells(PIECES, 1, |at| 0.01 * (at + 1) as f32),
            single,
            single_scale,
            double,
            double_scale: cells(1, LABELS, |at| 0.02 * (at + 1) as f32),
            up: cells(DIM, DIM, real(4)),
            up_bias: cells(1, DIM, real(5)),
            down: cells(DIM, LABELS, real(6)),
            down_bias: cells(1, LABELS, real(7)),
            direct: cells(DIM, LABELS, real(8)),
        }
    }

    /// The definition, one number at a time.
    fn defined(l: &Learned, ids: &[usize]) -> Vec<f64> {
        let get = |m: &Matrix<f32>, row: usize, column: usize| {
            f64::from(m.cells[row * m.columns + column])
        };
        let byte = |m: &Matrix<i8>, row: usize, column: usize| {
            f64::from(m.cells[row * m.columns + column])
        };
        let total = |column: usize| -> f64 {
            ids.iter()
                .map(|&id| byte(&l.table, id, column) * get(&l.scale, id, 0))
                .sum()
        };
        let group = DIM / HEADS;
        let mean: Vec<f64> = (0..DIM)
            .map(|at| total(at) / (total(DIM + at / group) + 1e-4))
            .collect();
        let hidden: Vec<f64> = (0..DIM)
            .map(|to| {
                let sum: f64 = (0..DIM).map(|from| mean[from] * get(&l.up, from, to)).sum();
                (sum + get(&l.up_bias, 0, to)).max(0.0)
            })
            .collect();
        let count = ids.iter().filter(|&&id| id != 0).count() as f64;
        (0..LABELS)
            .map(|label| {
                let network: f64 = (0..DIM)
                    .map(|from| {
                        mean[from] * get(&l.direct, from, label)
                            + hidden[from] * get(&l.down, from, label)
                    })
                    .sum();
                let single: f64 = ids.iter().map(|&id| byte(&l.single, id, label)).sum();
                let double: f64 = ids
                    .windows(2)
                    .map(|pair| byte(&l.double, pair[1] * (pair[0] + PIECES) % PAIRS, label))
                    .sum();
                let said = single * get(&l.single_scale, 0, label)
                    + double * get(&l.double_scale, 0, label);
                network + get(&l.down_bias, 0, label) + said / (2.0 * count - 1.0).max(1.0).sqrt()
            })
            .collect()
    }

    #[test]
    fn a_texts_logits_are_as_the_model_defines_them_whatever_is_beside_it() {
        let learned = learned();
        let net = Net::new(&learned).unwrap();
        let ids = [3, 6, 0, 0, 1, 2, 5, 4, 0, 0, 0, 0];
        let mut logits = [0.0; 3 * LABELS];
        assert!(net.run(&ids, 4, &mut logits));
        for (ids, found) in ids.chunks(4).zip(logits.chunks(LABELS)) {
            let ids: Vec<usize> = ids.iter().map(|&id| id as usize).collect();
            for (found, defined) in found.iter().zip(defined(&learned, &ids)) {
                assert!(
                    (f64::from(*found) - defined).abs() < 1e-4,
                    "{found} for {defined}"
                );
            }
        }
        assert_ne!(logits[..LABELS], logits[LABELS..2 * LABELS]);
    }

    #[test]
    fn an_id_that_the_table_lacks_is_refused() {
        let net = Net::new(&learned()).unwrap();
        let mut logits = [0.0; LABELS];
        assert!(net.run(&[1, PIECES as i32 - 1], 2, &mut logits));
        assert!(!net.run(&[1, PIECES as i32], 2, &mut logits));
        assert!(!net.run(&[-1, 1], 2, &mut logits));
    }

    #[test]
    fn a_batch_without_tokens_has_the_logits_of_an_empty_text() {
        let net = Net::new(&learned()).unwrap();
        let (mut none, mut padding) = ([0.0; LABELS], [1.0; LABELS]);
        assert!(net.run(&[], 0, &mut none) && net.run(&[0], 1, &mut padding));
        assert_eq!(none, padding);
    }

    #[test]
    fn an_input_of_another_shape_is_named() {
        let mut other = learned();
        other.up = cells(DIM, DIM / 2, |_| 0.0);
        let error = Net::new(&other).err().unwrap();
        assert_eq!(error, "up must be 64 x 64, and is 64 x 32");
        other = learned();
        other.double = cells(PAIRS, BLOCK, |_| 0);
        assert!(Net::new(&other).err().unwrap().contains("found 16"));
    }

    #[test]
    fn a_piece_takes_two_lines_of_cache() {
        assert_eq!(size_of::<Piece>(), 96);
    }
}
