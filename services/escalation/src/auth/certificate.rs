//! Who a client's certificate names. That it is genuine was settled by the TLS handshake.

use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::settings::CertificateName;

/// The agent's id in a certificate (DER), if it holds exactly one of the kind that is looked for:
/// of two names, each would be somebody else's choice.
pub(crate) fn agent(der: &[u8], kind: CertificateName) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let name = match kind {
        CertificateName::Subject => only(
            certificate
                .subject()
                .iter_common_name()
                .filter_map(|name| name.as_str().ok()),
        )?,
        CertificateName::Dns => {
            let name = only(names(&certificate).filter_map(|name| match name {
                GeneralName::DNSName(name) => Some(*name),
                _ => None,
            }))?;
            name.split('.').next()?
        }
        CertificateName::Uri => {
            let name = only(names(&certificate).filter_map(|name| match name {
                GeneralName::URI(name) => Some(*name),
                _ => None,
            }))?;
            name.rsplit('/').next()?
        }
    };
    Some(name.to_owned())
}

fn names<'c>(certificate: &'c X509Certificate<'_>) -> impl Iterator<Item = &'c GeneralName<'c>> {
    let found = certificate.subject_alternative_name().ok().flatten();
    found
        .into_iter()
        .flat_map(|extension| extension.value.general_names.iter())
}

fn only<'a>(mut names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let first = names.next()?;
    names.next().is_none().then_some(first)
}
