//! The screen model as an operator of our own: one pass over a text where ONNX Runtime makes thirty over a batch.
//!
//! A model file defines it as a function in the domain `tidegate` (`models/train/screen.py`), so that
//! it says the same in any other runtime.

use std::sync::{Mutex, PoisonError};

use ort::operator::{
    ComputeContext, Kernel, KernelContext, Operator, OperatorDomain, OperatorInput, OperatorOutput,
};
use ort::value::{DynTensorValueType, PrimitiveTensorElementType, TensorElementType};

use self::net::{Learned, Matrix, Net};

mod net;

/// Opens a session that has the operator. ONNX Runtime notes its domain when it meets it first, and
/// fails where two threads make it do so at once: the first session is opened alone.
pub(crate) fn with_domain<T>(
    open: impl FnOnce(OperatorDomain) -> ort::Result<T>,
) -> ort::Result<T> {
    static IS_KNOWN: Mutex<bool> = Mutex::new(false);
    let domain = OperatorDomain::new("tidegate")?.add(Screen)?;
    let mut is_known = IS_KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if *is_known {
        drop(is_known);
        return open(domain);
    }
    let opened = open(domain);
    *is_known = opened.is_ok();
    opened
}

/// `Screen(ids [batch, tokens], …what was learned) -> logits [batch, labels]`; [`Learned`] has the other inputs in order.
struct Screen;

impl Operator for Screen {
    type Kernel<'attr> = Box<dyn Kernel>;

    fn name(&self) -> &'static str {
        "Screen"
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        use TensorElementType::{Float32 as Real, Int8 as Byte, Int32 as Id};
        let learned = [
            Byte, Real, Byte, Real, Byte, Real, Real, Real, Real, Real, Real,
        ];
        [Id].into_iter().chain(learned).map(OperatorInput::required)
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(TensorElementType::Float32)]
    }

    fn create_kernel<'attr>(&self, context: &KernelContext<'attr>) -> ort::Result<Box<dyn Kernel>> {
        let net = learned(context)?;
        Ok(Box::new(move |context: &ComputeContext| {
            let ids = context.input(0)?.ok_or_else(|| error("ids are missing"))?;
            let (shape, ids) = ids.try_extract_tensor::<i32>()?;
            let [texts, tokens] = shape[..] else {
                return Err(error("ids must have two dimensions"));
            };
            let labels = net.labels() as i64;
            let Some(mut logits) = context.output(0, [texts, labels])? else {
                return Ok(());
            };
            let (_, logits) = logits.try_extract_tensor_mut::<f32>()?;
            let tokens = tokens.unsigned_abs() as usize;
            match net.run(ids, tokens, logits) {
                true => Ok(()),
                false => Err(error("an id is beyond the table")),
            }
        }))
    }
}

fn error(what: &str) -> ort::Error {
    ort::Error::new(format!("operator Screen: {what}"))
}

fn learned(context: &KernelContext) -> ort::Result<Net> {
    /// The input at `at`, whatever happens to it while the session lives.
    fn input<T: PrimitiveTensorElementType + Copy>(
        context: &KernelContext,
        at: usize,
    ) -> ort::Result<Matrix<T>> {
        let value = context.constant_input::<DynTensorValueType>(at)?;
        let (shape, cells) = value.try_extract_tensor::<T>()?;
        let columns = shape.last().map_or(1, |&last| last.unsigned_abs() as usize);
        Ok(Matrix {
            cells: cells.to_vec(),
            columns,
        })
    }
    let learned = Learned {
        table: input(context, 1)?,
        scale: input(context, 2)?,
        single: input(context, 3)?,
        single_scale: input(context, 4)?,
        double: input(context, 5)?,
        double_scale: input(context, 6)?,
        up: input(context, 7)?,
        up_bias: input(context, 8)?,
        down: input(context, 9)?,
        down_bias: input(context, 10)?,
        direct: input(context, 11)?,
    };
    Net::new(&learned).map_err(|what| error(&what))
}
