//! Runs one ONNX graph on one thread, in batches padded to few different shapes.

use std::path::Path;

use ort::operator::OperatorDomain;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::{Outlet, TensorElementType, TensorRef, ValueType};
use tidegate_core::labels::Label;

use crate::error::{ClassifyError, LoadError};
use crate::labels::Row;
use crate::manifest::Manifest;
use crate::tokens::{Window, Windows};
use crate::{operators, runtime};

/// Token ids in the width that the graph asks for.
enum Ids {
    I32(Vec<i32>),
    I64(Vec<i64>),
}

/// An ONNX Runtime session and its input buffers.
pub(crate) struct Session {
    inner: ort::session::Session,
    model: String,
    ids: Ids,
    /// Ones and zeros beside the ids, for a graph that asks for them.
    mask: Option<Vec<i64>>,
    /// Whether the mask is the graph's first input.
    mask_first: bool,
    output: usize,
    pad: i32,
    specials: Option<(i32, i32)>,
}

fn one_line(error: &impl ToString) -> String {
    error
        .to_string()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

impl Session {
    /// Loads a graph from the bytes of a file; `path` is only named in errors.
    pub(crate) fn new(bytes: &[u8], path: &Path, manifest: &Manifest) -> Result<Self, LoadError> {
        let environment = runtime::environment()?;
        let inner = open(environment, bytes).map_err(|reason| LoadError::Model {
            path: path.to_path_buf(),
            reason,
        })?;
        let found = interface(inner.inputs(), inner.outputs(), manifest);
        let (wide, mask_first, output) = found.map_err(|mistakes| LoadError::Interface {
            path: path.to_path_buf(),
            mistakes,
        })?;
        Ok(Self {
            inner,
            model: manifest.name.clone(),
            ids: if wide {
                Ids::I64(Vec::new())
            } else {
                Ids::I32(Vec::new())
            },
            mask: manifest.model.attention_mask.as_ref().map(|_| Vec::new()),
            mask_first,
            output,
            pad: manifest.tokenizer.pad_id,
            specials: manifest.tokenizer.specials,
        })
    }

    /// How many tokens a window has once start and end token are around it; at least one.
    pub(crate) fn length(&self, window: Window) -> usize {
        let specials = if self.specials.is_some() { 2 } else { 0 };
        (window.len as usize + specials).max(1)
    }

    /// Runs the windows numbered in `entries`, padded to `length` tokens, and hands each window's
    /// number and logits to `take`.
    pub(crate) fn run(
        &mut self,
        windows: &Windows,
        entries: &[u32],
        length: usize,
        mut take: impl FnMut(u32, &Row),
    ) -> Result<(), ClassifyError> {
        let rows = entries.iter().map(|&entry| windows.all()[entry as usize]);
        let (pad, specials) = (self.pad, self.specials);
        match &mut self.ids {
            Ids::I32(out) => fill(out, windows, rows, length, pad, specials, |id| id),
            Ids::I64(out) => fill(out, windows, rows, length, pad, specials, i64::from),
        }
        if let Some(mut mask) = self.mask.take() {
            mask.clear();
            for &entry in entries {
                let used = self.length(windows.all()[entry as usize]);
                mask.resize(mask.len() + used, 1);
                mask.resize(mask.len() + length - used, 0);
            }
            self.mask = Some(mask);
        }
        self.infer(entries, length, &mut take)
    }

    fn infer(
        &mut self,
        entries: &[u32],
        length: usize,
        take: &mut impl FnMut(u32, &Row),
    ) -> Result<(), ClassifyError> {
        let failed = |model: &str, error: ort::Error| ClassifyError::Run {
            model: model.to_owned(),
            reason: one_line(&error),
        };
        let shape = [entries.len(), length];
        let model = self.model.as_str();
        let ids = match &self.ids {
            Ids::I32(ids) => {
                TensorRef::from_array_view((shape, ids.as_slice())).map(TensorRef::into_dyn)
            }
            Ids::I64(ids) => {
                TensorRef::from_array_view((shape, ids.as_slice())).map(TensorRef::into_dyn)
            }
        }
        .map_err(|error| failed(model, error))?;
        let outputs = match &self.mask {
            None => self.inner.run(ort::inputs![ids]),
            Some(mask) => {
                let mask = TensorRef::from_array_view((shape, mask.as_slice()))
                    .map_err(|error| failed(model, error))?;
                if self.mask_first {
                    self.inner.run(ort::inputs![mask, ids])
                } else {
                    self.inner.run(ort::inputs![ids, mask])
                }
            }
        }
        .map_err(|error| failed(model, error))?;
        let (found, logits) = outputs[self.output]
            .try_extract_tensor::<f32>()
            .map_err(|error| failed(model, error))?;
        let (rows, rest) = logits.as_chunks::<{ Label::COUNT }>();
        if rows.len() != entries.len() || !rest.is_empty() {
            return Err(ClassifyError::Shape {
                model: model.to_owned(),
                rows: entries.len(),
                found: found.to_vec(),
            });
        }
        if !logits.iter().all(|logit| logit.is_finite()) {
            return Err(ClassifyError::NotFinite {
                model: model.to_owned(),
            });
        }
        for (&entry, row) in entries.iter().zip(rows) {
            take(entry, row);
        }
        Ok(())
    }
}

fn open(
    environment: &ort::environment::Environment,
    bytes: &[u8],
) -> Result<ort::session::Session, String> {
    let build = |operators: OperatorDomain| -> ort::Result<ort::session::Session> {
        ort::session::Session::builder(environment)?
            .with_log_level(ort::logging::LogLevel::Error)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_operators(operators)?
            // A lane is one thread; spinning helpers would take time from the cluster's client.
            .with_intra_threads(1)?
            .with_inter_threads(1)?
            .with_intra_op_spinning(false)?
            .with_inter_op_spinning(false)?
            // Shapes vary, and a plan for each of them would only take memory.
            .with_memory_pattern(false)?
            // The fused form of this is slower on processors than its two parts, by a third of an
            // encoder's whole time.
            .with_disabled_optimizers("SkipLayerNormFusion")?
            // The arena keeps the most that any shape needed. Without it each run asks the system for
            // its megabytes again, which takes a fourth of the screen model's time.
            .with_execution_providers([ort::ep::CPU::default()
                .with_arena_allocator(true)
                .build()
                .error_on_failure()])?
            .commit_from_memory(bytes)
    };
    operators::with_domain(build).map_err(|error| one_line(&error))
}

/// Compares a graph's inputs and outputs with the manifest. Gives whether ids are 64 bits wide,
/// whether the mask comes first, and which output holds the logits.
fn interface(
    inputs: &[Outlet],
    outputs: &[Outlet],
    manifest: &Manifest,
) -> Result<(bool, bool, usize), Vec<String>> {
    let mut mistakes = Vec::new();
    let part = &manifest.model;
    let kind = |outlet: &Outlet| match outlet.dtype() {
        ValueType::Tensor { ty, .. } => Some(*ty),
        _ => None,
    };
    let mut find = |name: &str, kinds: &[TensorElementType]| {
        let at = inputs.iter().position(|input| input.name() == name);
        match at {
            None => mistakes.push(format!("it has no input `{name}`")),
            Some(at) if !kind(&inputs[at]).is_some_and(|kind| kinds.contains(&kind)) => {
                mistakes.push(format!("its input `{name}` must be a tensor of {kinds:?}"));
            }
            Some(_) => {}
        }
        at
    };
    let ids = find(
        &part.input_ids,
        &[TensorElementType::Int32, TensorElementType::Int64],
    );
    let mask = part
        .attention_mask
        .as_ref()
        .map(|name| find(name, &[TensorElementType::Int64]));
    let expected = 1 + usize::from(mask.is_some());
    if inputs.len() != expected {
        mistakes.push(format!(
            "it has {} inputs where the manifest names {expected}",
            inputs.len()
        ));
    }
    let output = outputs
        .iter()
        .position(|output| output.name() == part.output);
    match output.map(|at| (outputs[at].name(), outputs[at].dtype())) {
        None => mistakes.push(format!("it has no output `{}`", part.output)),
        Some((_, ValueType::Tensor { ty, shape, .. }))
            if *ty == TensorElementType::Float32
                && shape.len() == 2
                && (shape[1] == Label::COUNT as i64 || shape[1] < 0) => {}
        Some((name, _)) => mistakes.push(format!(
            "its output `{name}` must be a float tensor of shape [batch, 10]"
        )),
    }
    match (ids, output) {
        (Some(ids), Some(output)) if mistakes.is_empty() => Ok((
            kind(&inputs[ids]) == Some(TensorElementType::Int64),
            ids == 1,
            output,
        )),
        _ => Err(mistakes),
    }
}

/// Writes rows of `length` ids: start token, tokens, end token, padding.
fn fill<T: Copy>(
    out: &mut Vec<T>,
    windows: &Windows,
    rows: impl ExactSizeIterator<Item = Window>,
    length: usize,
    pad: i32,
    specials: Option<(i32, i32)>,
    wide: impl Fn(i32) -> T,
) {
    out.clear();
    out.reserve(rows.len() * length);
    for window in rows {
        let end = out.len() + length;
        if let Some((start, _)) = specials {
            out.push(wide(start));
        }
        out.extend(windows.ids(window).iter().map(|&id| wide(id)));
        if let Some((_, stop)) = specials {
            out.push(wide(stop));
        }
        out.resize(end, wide(pad));
    }
}
