//! The certificates of the listeners that speak TLS, as their files have them.

use serde_json::{Value, json};

use super::answer::Answer;
use super::call::Call;
use super::route::{Access, Route};
use crate::pem;
use crate::small_file;

/// What can be asked of certificates.
pub static ROUTES: &[Route] = &[Route::get(
    "/certificates",
    Access::Monitoring,
    "Listeners of this node that speak TLS, with their certificates and those that clients' are checked with, in PEM.",
    |call| Ok(Answer::Json(listeners(call).into())),
)];

/// The largest file that is shown, in bytes: those of authorities hold many.
const MOST: u64 = 4 * 1024 * 1024;

fn listeners(call: &Call) -> Vec<Value> {
    let with_tls = call
        .endpoints
        .iter()
        .filter_map(|endpoint| Some((endpoint, endpoint.tls.as_ref()?)));
    let views = with_tls.map(|(endpoint, tls)| {
        let mut view = json!({
            "node": call.broker.node().name,
            "protocol": endpoint.protocol,
            "interface": endpoint.address.ip().to_string(),
            "port": endpoint.address.port(),
        });
        for certificate in tls.certificates() {
            let file = certificate.key.rsplit('.').next().unwrap_or_default();
            // A key may lie in the same file. Of several by name the first counts, which is for who names none.
            let text = small_file::read(&certificate.file, MOST).ok().flatten();
            if view.get(file).is_none() {
                view[file] = json!(text.map(|text| pem::certificates_in(&text)));
            }
        }
        view
    });
    views.collect()
}
