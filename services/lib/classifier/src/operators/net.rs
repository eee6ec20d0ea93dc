//! The screen model's arithmetic, on tables laid out so that a token costs two or three lines of cache.
//!
//! For each text: the mean of its pieces' vectors, weighted by head; one hidden layer with a linear path
//! beside it; and what is known by heart of pieces and of pairs of neighbours.

use multiversion::multiversion;

/// Dimensions of a vector, and of the hidden layer.
const DIM: usize = 64;
/// Groups of dimensions, each with a weight of its own for every piece.
const HEADS: usize = 4;
const _: () = assert!(HEADS == DIM / BLOCK, "a block is a group");
/// Numbers that are added up at a time, so that their sums stay in registers.
const BLOCK: usize = 16;
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
    vector: [[i8; BLOCK]; DIM / BLOCK],
    beside: [i8; BLOCK],
    scale: f32,
}

/// Columns by label, then zeros.
type Row<T> = [T; BLOCK];

/// The model, ready to run.
pub(super) struct Net {
    pieces: Vec<Piece>,
    pairs: Vec<Row<i8>>,
    single_scale: Row<f32>,
    pair_scale: Row<f32>,
    up: [Vec<Row<f32>>; DIM / BLOCK],
    up_bias: [Row<f32>; DIM / BLOCK],
    down: Vec<Row<f32>>,
    down_bias: Row<f32>,
    direct: Vec<Row<f32>>,
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
        let wide = |matrix: &Matrix<f32>| -> Vec<Row<f32>> { matrix.rows().map(placed).collect() };
        let block = |matrix: &Matrix<f32>, number: usize| -> Vec<Row<f32>> {
            matrix.rows().map(|row| row.as_chunks().0[number]).collect()
        };
        let piece = |((cells, said), scale): ((&[i8], &[i8]), &f32)| {
            let (vector, weights) = cells.split_at(DIM);
            let mut beside = placed(said);
            beside[BLOCK - HEADS..].copy_from_slice(weights);
            Piece {
                vector: std::array::from_fn(|number| vector.as_chunks().0[number]),
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
            up: std::array::from_fn(|number| block(&learned.up, number)),
            up_bias: std::array::from_fn(|number| learned.up_bias.cells.as_chunks().0[number]),
            down: wide(&learned.down),
            down_bias: placed(&learned.down_bias.cells),
            direct: wide(&learned.direct),
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
    fn text(&self, ids: &[i32], pairs: &[u32], logits: &mut [f32]) {
        let pieces = || ids.iter().map(|&id| &self.pieces[id as usize]);
        let mut mean = [[0.0; BLOCK]; DIM / BLOCK];
        for (number, block) in mean.iter_mut().enumerate() {
            let mut sums = [0.0; BLOCK];
            for piece in pieces() {
                for (sum, &cell) in sums.iter_mut().zip(&piece.vector[number]) {
                    *sum += f32::from(cell) * piece.scale;
                }
            }
            *block = sums;
        }
        let mut beside = [0.0; BLOCK];
        for piece in pieces() {
            for (column, (sum, &cell)) in beside.iter_mut().zip(&piece.beside).enumerate() {
                let is_weight = column >= BLOCK - HEADS;
                *sum += f32::from(cell) * if is_weight { piece.scale } else { 1.0 };
            }
        }
        for (block, weight) in mean.iter_mut().zip(&beside[BLOCK - HEADS..]) {
            let share = 1.0 / (weight + SMALLEST);
            block.iter_mut().for_each(|cell| *cell *= share);
        }
        let mut by_pair = [0_i32; BLOCK];
        for &row in pairs {
            for (sum, &cell) in by_pair.iter_mut().zip(&self.pairs[row as usize]) {
                *sum += i32::from(cell);
            }
        }

        let mean = mean.as_flattened();
        let mut said = product(mean, &self.direct, self.down_bias);
        for (number, (up, bias)) in self.up.iter().zip(&self.up_bias).enumerate() {
            let hidden = product(mean, up, *bias).map(|cell| cell.max(0.0));
            said = product(&hidden, &self.down[number * BLOCK..], said);
        }
        let share = 1.0 / (2.0 * beside[self.labels] - 1.0).max(1.0).sqrt();
        for column in 0..BLOCK {
            let single = beside[column] * self.single_scale[column];
            said[column] += (single + by_pair[column] as f32 * self.pair_scale[column]) * share;
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

/// `start` and, for each of `x`, so many times a row.
#[inline(always)]
fn product(x: &[f32], rows: &[Row<f32>], start: Row<f32>) -> Row<f32> {
    let mut sums = start;
    for (&x, row) in x.iter().zip(rows) {
        for (sum, &cell) in sums.iter_mut().zip(row) {
            *sum += x * cell;
        }
    }
    sums
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

// Twice as fast with wider registers, which not every machine has.
#[multiversion(targets("x86_64+avx2"))]
fn run(net: &Net, ids: &[i32], tokens: usize, logits: &mut [f32]) {
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
        net.text(ids, &pairs, logits);
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
