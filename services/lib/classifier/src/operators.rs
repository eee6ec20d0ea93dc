//! What the screen model spends its time in, as operators of our own: sums of rows of a table, by
//! token and by pair of neighbours. ONNX Runtime would copy all the rows before it adds them up.
//!
//! A model file defines both as functions in the domain `tidegate` (`models/train/graph.py` and
//! `pairs.py`), so that it says the same in any other runtime.

use std::sync::{Mutex, PoisonError};

use ort::operator::{
    ComputeContext, Kernel, KernelContext, Operator, OperatorDomain, OperatorInput, OperatorOutput,
};
use ort::value::{PrimitiveTensorElementType, TensorElementType, ValueRef};

/// Opens a session that has the operators. ONNX Runtime notes their domain when it meets it first, and
/// fails where two threads make it do so at once: the first session is opened alone.
pub(crate) fn with_domain<T>(
    open: impl FnOnce(OperatorDomain) -> ort::Result<T>,
) -> ort::Result<T> {
    static IS_KNOWN: Mutex<bool> = Mutex::new(false);
    let domain = OperatorDomain::new("tidegate")?.add(RowSum)?.add(PairSum)?;
    let mut is_known = IS_KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if *is_known {
        drop(is_known);
        return open(domain);
    }
    let opened = open(domain);
    *is_known = opened.is_ok();
    opened
}

/// `RowSum(ids [batch, tokens], table [rows, width]) -> [batch, width]`: for each text the sum of
/// its tokens' rows.
struct RowSum;

/// `PairSum(ids [batch, tokens], table [rows, width], pieces, rows) -> [batch, width]`: for each
/// text the sum of the rows `second * (first + pieces) % rows` of its pairs of neighbours.
struct PairSum;

/// Both at work; holds the rows that one text picks.
#[derive(Default)]
struct Picked(Vec<u32>);

impl Operator for RowSum {
    type Kernel<'attr> = Box<dyn Kernel>;

    fn name(&self) -> &str {
        "RowSum"
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        [TensorElementType::Int32, TensorElementType::Float32].map(OperatorInput::required)
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(TensorElementType::Float32)]
    }

    fn create_kernel<'attr>(&self, _: &KernelContext<'attr>) -> ort::Result<Box<dyn Kernel>> {
        let mut picked = Picked::default();
        Ok(Box::new(move |context: &ComputeContext| {
            // A negative id becomes a row that no table has.
            let rows =
                |ids: &[i32], rows: &mut Vec<u32>| rows.extend(ids.iter().map(|&id| id as u32));
            picked.sum::<f32>(context, rows)
        }))
    }
}

impl Operator for PairSum {
    type Kernel<'attr> = Box<dyn Kernel>;

    fn name(&self) -> &str {
        "PairSum"
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        let [number, cell] = [TensorElementType::Int32, TensorElementType::Int8];
        [number, cell, number, number].map(OperatorInput::required)
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(TensorElementType::Float32)]
    }

    fn create_kernel<'attr>(&self, _: &KernelContext<'attr>) -> ort::Result<Box<dyn Kernel>> {
        let mut picked = Picked::default();
        Ok(Box::new(move |context: &ComputeContext| {
            let [pieces, modulus] = [number(context, 2)?, number(context, 3)?];
            let row = |pair: &[i32; 2]| {
                let [first, second] = pair.map(|id| id as u32);
                second.wrapping_mul(first.wrapping_add(pieces)) % modulus
            };
            let rows = |ids: &[i32], rows: &mut Vec<u32>| rows.extend(ids.array_windows().map(row));
            picked.sum::<i8>(context, rows)
        }))
    }
}

fn input(context: &ComputeContext, at: usize) -> ort::Result<ValueRef<'_>> {
    let input = context.input(at)?;
    input.ok_or_else(|| ort::Error::new(format!("input {at} is missing")))
}

/// The only number of an input, which must be above 0.
fn number(context: &ComputeContext, at: usize) -> ort::Result<u32> {
    let input = input(context, at)?;
    match input.try_extract_tensor::<i32>()?.1 {
        [number] if *number > 0 => Ok(number.unsigned_abs()),
        _ => Err(ort::Error::new(format!(
            "input {at} must be one number above 0"
        ))),
    }
}

impl Picked {
    /// Sums, for each text of input 0, the rows of input 1 that `pick` names.
    fn sum<T: PrimitiveTensorElementType + Copy + Into<f32>>(
        &mut self,
        context: &ComputeContext,
        pick: impl Fn(&[i32], &mut Vec<u32>),
    ) -> ort::Result<()> {
        let [ids, table] = [input(context, 0)?, input(context, 1)?];
        let (shape, ids) = ids.try_extract_tensor::<i32>()?;
        let (form, table) = table.try_extract_tensor::<T>()?;
        let (&[texts, tokens], &[_, width]) = (&shape[..], &form[..]) else {
            return Err(ort::Error::new("ids and table must have two dimensions"));
        };
        let Some(mut sums) = context.output(0, [texts, width])? else {
            return Ok(());
        };
        let (_, sums) = sums.try_extract_tensor_mut::<f32>()?;
        let (tokens, width) = (
            tokens.unsigned_abs() as usize,
            width.unsigned_abs() as usize,
        );
        sums.fill(0.0);
        if tokens == 0 || width == 0 {
            return Ok(());
        }
        for (ids, sum) in ids.chunks_exact(tokens).zip(sums.chunks_exact_mut(width)) {
            self.0.clear();
            pick(ids, &mut self.0);
            if !add_rows(&self.0, table, sum) {
                return Err(ort::Error::new("an id is beyond the table"));
            }
        }
        Ok(())
    }
}

/// Columns that are summed at a time, so that their sums stay in registers.
const BLOCK: usize = 16;

/// Adds the rows at `picked` of a table as wide as `sum`; `false` where it has no such row.
fn add_rows<T: Copy + Into<f32>>(picked: &[u32], table: &[T], sum: &mut [f32]) -> bool {
    let width = sum.len();
    let rows = table.len() / width;
    if picked.iter().any(|&row| row as usize >= rows) {
        return false;
    }
    let (blocks, rest) = sum.as_chunks_mut::<BLOCK>();
    for (number, block) in blocks.iter_mut().enumerate() {
        let mut sums = *block;
        for &row in picked {
            let begin = row as usize * width + number * BLOCK;
            if let Some(cells) = table[begin..].first_chunk::<BLOCK>() {
                for (sum, &cell) in sums.iter_mut().zip(cells) {
                    *sum += cell.into();
                }
            }
        }
        *block = sums;
    }
    let done = width - rest.len();
    for &row in picked {
        let cells = &table[row as usize * width + done..];
        for (sum, &cell) in rest.iter_mut().zip(cells) {
            *sum += cell.into();
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_summed_column_by_column_in_blocks_and_beyond() {
        for width in [1, 15, 16, 17, 40] {
            let table: Vec<f32> = (0..3 * width).map(|cell| cell as f32).collect();
            let mut sum = vec![0.5; width];
            assert!(add_rows(&[2, 0, 2], &table, &mut sum));
            let expected: Vec<f32> = (0..width)
                .map(|column| 0.5 + (3 * column + 4 * width) as f32)
                .collect();
            assert_eq!(sum, expected);
        }
    }

    #[test]
    fn a_row_that_the_table_lacks_is_an_error_and_changes_nothing() {
        let mut sum = [0.0; 4];
        assert!(!add_rows(&[0, 2], &[1_i8; 8], &mut sum));
        assert!(!add_rows(&[u32::MAX], &[1_i8; 8], &mut sum));
        assert_eq!(sum, [0.0; 4]);
    }
}
