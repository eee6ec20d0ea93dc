//! Where the models are, unless the command line says.

use std::path::{Path, PathBuf};

use anyhow::bail;

/// The folder that holds `screen` and `deep`: as given, else `models` here, beside the program or
/// in the checkout that the program was built from.
///
/// # Errors
/// There is none.
pub(crate) fn folder(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(given) = given {
        return Ok(given.to_owned());
    }
    let beside = std::env::current_exe()
        .ok()
        .and_then(|exe| Some(exe.parent()?.parent()?.join("share/tidegate/models")));
    let built_from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
    let mut places = [Some("models".into()), beside, Some(built_from)]
        .into_iter()
        .flatten();
    match places.find(|place: &PathBuf| place.join("screen/manifest.toml").is_file()) {
        Some(place) => Ok(place),
        None => bail!("there is no models folder here: name it with --models DIR"),
    }
}
