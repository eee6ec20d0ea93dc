//! Settings: every mistake in one run, and defaults that are safe.

use tidegate_chassis::settings::{Sources, effective, load};
use tidegate_escalation::settings::Settings;

#[test]
fn the_defaults_are_right_and_open_nothing_to_other_machines() {
    let settings: Settings = load(&Sources::none()).unwrap();
    assert!(settings.server.listen.ip().is_loopback());
}

#[test]
fn every_mistake_is_reported_in_one_run() {
    let sources = [
        "store.url=mysql://host/cases",
        "store.readers=0",
        "store.keep_chat=1h",
        "store.sweep_every=2h",
        "server.listen=0.0.0.0:50051",
        "server.deadline=1ms",
        "server.leave_wait=1h",
        "tls.key=/nowhere/key.pem",
        "tls.client_ca=/nowhere/ca.pem",
        "auth.bootstrap_token=hunter2",
        "auth.certificate=email",
        "auth.jwt.jwks_file=/nowhere/keys.json",
        "auth.jwt.algorithms=[\"HS256\"]",
        "auth.jwt.leeway=1h",
        "limits.in_flight=0",
        "limits.message_bytes=10",
        "watch.poll=1ms",
        "model.mode=enormous",
        "servre.listen=1",
    ]
    .into_iter()
    .fold(Sources::none(), Sources::set);
    let errors = load::<Settings>(&sources).unwrap_err();
    let lines: Vec<String> = errors.lines().collect();
    let text = lines.join("\n");
    for key in [
        "store.url: must begin with sqlite: or postgres://",
        "store.readers:",
        "store.keep_chat:",
        "store.sweep_every:",
        "server.deadline:",
        "server.leave_wait:",
        "tls.certificate: is required: tls.certificate and tls.key go together",
        "tls.certificate: is required to listen on 0.0.0.0:50051",
        "tls.key: /nowhere/key.pem cannot be read",
        "tls.client_ca: needs tls.certificate",
        "auth.bootstrap_token:",
        "auth.certificate:",
        "auth.jwt.issuer: is required",
        "auth.jwt.audience: is required",
        "auth.jwt.algorithms: may hold RS256, PS256, ES256, ES384 and EdDSA, not HS256",
        "auth.jwt.leeway:",
        "limits.in_flight:",
        "limits.message_bytes:",
        "watch.poll:",
        "model.mode:",
        "servre",
    ] {
        assert!(text.contains(key), "{key} is not in\n{text}");
    }
    assert!(!text.contains("hunter2"), "a secret is shown");
}

#[test]
fn printed_settings_hide_the_stores_address_and_the_bootstrap_token() {
    let token = tidegate_escalation::auth::token::generate().unwrap();
    let sources = Sources::none()
        .set("store.url=postgres://ana:hunter2@db/cases")
        .set(format!("auth.bootstrap_token={token}"));
    let shown = effective(&load::<Settings>(&sources).unwrap()).unwrap();
    assert!(
        !shown.contains("hunter2") && !shown.contains(&token),
        "{shown}"
    );
}
