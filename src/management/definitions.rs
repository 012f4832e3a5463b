//! Definitions: everything declared as one document.

use serde_json::Value;

use super::answer::{Answer, Answered, Failure};
use super::call::Call;
use super::dry_run;
use super::import::{By, import, import_vhost, read};
use super::parameters::cluster_name;
use super::route::{Access, Route};
use crate::broker::Broker;
use crate::metadata::definitions::{self, Writer};

/// What can be done with definitions.
pub static ROUTES: &[Route] = &[
    Route::get(
        "/definitions",
        Access::Administrator,
        "Everything declared; download=NAME saves it under a name.",
        all,
    ),
    Route::get(
        "/all-configuration",
        Access::Administrator,
        "An older name of /definitions.",
        all,
    ),
    Route::get(
        "/definitions/{vhost}",
        Access::Administrator,
        "What is declared in a vhost.",
        |call| {
            let cluster_name = cluster_name(&call.broker);
            let writer = writer(&call.broker, &cluster_name);
            let document = call.in_vhost(|vhost| definitions::export_vhost(vhost, &writer));
            let document = document.map_err(|_| Failure::bad("vhost_not_found"))?;
            given(call, document)
        },
    ),
    Route::post(
        "/definitions",
        Access::Administrator,
        "Declares what the document says; a form's part 'file' is one too.",
        |call| Box::pin(post_all(call)),
    ),
    Route::post(
        "/all-configuration",
        Access::Administrator,
        "An older name of /definitions.",
        |call| Box::pin(post_all(call)),
    ),
    Route::post(
        "/definitions/{vhost}",
        Access::Administrator,
        "Declares in a vhost what the document says.",
        |call| {
            Box::pin(async move {
                let vhost = call.declared_vhost()?;
                let given = Given::of(&call)?;
                import_vhost(&call.broker, &given.document, &vhost, &call.caller.name).await?;
                Ok(given.done())
            })
        },
    ),
];

async fn post_all(call: Call) -> Answered {
    let given = Given::of(&call)?;
    let by = By {
        user: &call.caller.name,
        owns_vhosts: !call.caller.rights.is_operator(),
    };
    if call.query.is_true("dry_run") {
        let cluster_name = cluster_name(&call.broker);
        let catalogue = call.broker.catalogue();
        let asked = read(&call.broker, &catalogue, &given.document, by);
        let asked = asked.map_err(|error| Failure::bad(error.to_string()))?;
        let writer = writer(&call.broker, &cluster_name);
        return Ok(Answer::Json(dry_run::would_change(
            &catalogue,
            &asked,
            &given.document,
            &writer,
        )));
    }
    import(&call.broker, &given.document, by).await?;
    Ok(given.done())
}

/// What stands in the body of a request: a document, or a form with one as the part `file`.
struct Given {
    document: Value,
    /// Where the form wants its reader to go on.
    redirect: Option<String>,
}

impl Given {
    fn of(call: &Call) -> Result<Self, Failure> {
        let parse = |bytes| serde_json::from_slice(bytes).map_err(|_| Failure::bad("failed_to_parse_json"));
        let Some(form) = call.form() else {
            return Ok(Self {
                document: parse(call.body())?,
                redirect: None,
            });
        };
        let form = form?;
        let redirect = form.part("redirect").map(String::from_utf8_lossy);
        Ok(Self {
            document: parse(form.part("file").unwrap_or_default())?,
            redirect: redirect.map(|page| page.into_owned()),
        })
    }

    fn done(self) -> Answer {
        match self.redirect {
            Some(page) => Answer::SeeOther(page),
            None => Answer::Done,
        }
    }
}

fn writer<'a>(broker: &'a Broker, cluster_name: &'a str) -> Writer<'a> {
    let config = broker.config();
    Writer {
        version: &config.product.version,
        product_name: &config.product.product_name,
        product_version: &config.product.product_version,
        cluster_name,
        default_queue_type: &config.queues.default_type,
    }
}

fn all(call: &Call) -> Answered {
    let cluster_name = cluster_name(&call.broker);
    let document = definitions::export(&call.broker.catalogue(), &writer(&call.broker, &cluster_name));
    given(call, document)
}

fn given(call: &Call, value: Value) -> Answered {
    Ok(match call.query.get("download") {
        Some(name) if !name.is_empty() => Answer::Download {
            name: name.to_owned(),
            value,
        },
        _ => Answer::Json(value),
    })
}
