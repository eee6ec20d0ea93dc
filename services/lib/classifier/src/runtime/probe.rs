//! Asks a file whether it is an ONNX Runtime that is new enough, without starting it.

use std::ffi::CStr;
use std::path::Path;

use super::{OLDEST_MINOR, RuntimeError, RuntimeInfo};

/// Opens the library at `path`, reads its version and closes it again.
pub fn probe(path: &Path) -> Result<RuntimeInfo, RuntimeError> {
    // `dlopen` looks a bare name up in the system's folders; a path is meant here.
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    if !path.is_file() {
        return Err(RuntimeError::Missing { path });
    }
    // SAFETY: opening a library runs its initialisers. The path was named by the operator or comes
    // from a checksummed wheel; ONNX Runtime's initialisers have no preconditions.
    let library = match unsafe { libloading::Library::new(&path) } {
        Ok(library) => library,
        Err(error) => {
            return Err(RuntimeError::NotALibrary {
                reason: one_line(&error.to_string()),
                path,
            });
        }
    };
    let Some(version) = version_of(&library) else {
        return Err(RuntimeError::NotOnnxRuntime { path });
    };
    if !is_new_enough(&version) {
        return Err(RuntimeError::TooOld { path, version });
    }
    Ok(RuntimeInfo { path, version })
}

fn version_of(library: &libloading::Library) -> Option<String> {
    type GetBase = unsafe extern "C" fn() -> *const ort::sys::OrtApiBase;
    // SAFETY: the symbol has this type in every release of ONNX Runtime; the table and the version
    // string that it returns are static. A foreign library has no such symbol.
    unsafe {
        let get: libloading::Symbol<'_, GetBase> = library.get(b"OrtGetApiBase\0").ok()?;
        let base = get();
        if base.is_null() {
            return None;
        }
        let version = ((*base).GetVersionString)();
        if version.is_null() {
            return None;
        }
        CStr::from_ptr(version).to_str().ok().map(str::to_owned)
    }
}

fn is_new_enough(version: &str) -> bool {
    let mut parts = version.split('.').map(str::parse::<u32>);
    match (parts.next(), parts.next()) {
        (Some(Ok(1)), Some(Ok(minor))) => minor >= OLDEST_MINOR,
        (Some(Ok(major)), Some(Ok(_))) => major > 1,
        _ => false,
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_new_enough_from_the_oldest_supported_minor_on() {
        assert!(is_new_enough(&format!("1.{OLDEST_MINOR}.0")));
        assert!(is_new_enough("1.99.1"));
        assert!(!is_new_enough(&format!("1.{}.9", OLDEST_MINOR - 1)));
        assert!(!is_new_enough("nonsense"));
    }

    #[test]
    fn a_missing_file_is_an_error_that_names_it_and_what_to_set() {
        let error = probe(Path::new("/nowhere/libonnxruntime.so")).unwrap_err();
        assert!(matches!(error, RuntimeError::Missing { .. }));
        let message = error.to_string();
        assert!(message.contains("/nowhere/libonnxruntime.so"));
        assert!(message.contains("ORT_DYLIB_PATH"));
        assert!(!message.contains('\n'));
    }

    #[test]
    fn a_file_that_is_not_a_library_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("libonnxruntime.so");
        std::fs::write(&path, b"plain words").unwrap();
        assert!(matches!(
            probe(&path),
            Err(RuntimeError::NotALibrary { .. })
        ));
    }

    #[test]
    fn a_library_without_the_entry_point_is_not_onnx_runtime() {
        let libc = ["/lib/x86_64-linux-gnu/libm.so.6", "/lib64/libm.so.6"]
            .into_iter()
            .map(Path::new)
            .find(|path| path.is_file());
        if let Some(path) = libc {
            assert!(matches!(
                probe(path),
                Err(RuntimeError::NotOnnxRuntime { .. })
            ));
        }
    }
}
