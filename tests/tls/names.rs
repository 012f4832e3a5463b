//! Several certificates, of which clients see the one of the name that they ask for.

use std::net::TcpStream;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::configuration;
use crate::support::authority::{Authority, Papers};
use crate::support::*;

/// The certificate that is shown to who asks for that name, or why it is not believed.
fn shown(broker: &Broker, papers: &Papers, name: &str) -> Result<Vec<u8>, String> {
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_file_iter(&papers.cacertfile).expect("a file") {
        roots.add(authority.expect("a certificate")).expect("an authority");
    }
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let session = ClientConnection::new(Arc::new(config), name).expect("a session");
    let port = u16::try_from(broker.ports["amqps"][0].as_u64().expect("it listens")).expect("a port");
    let socket = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut stream = StreamOwned::new(session, socket);
    let (session, socket) = (&mut stream.conn, &mut stream.sock);
    session.complete_io(socket).map_err(|error| error.to_string())?;
    let certificates = session.peer_certificates().expect("it has shown some");
    Ok(certificates[0].to_vec())
}

fn certificate(papers: &Papers) -> Vec<u8> {
    CertificateDer::from_pem_file(&papers.certfile)
        .expect("a certificate")
        .to_vec()
}

#[test]
fn clients_see_the_certificate_of_the_name_they_ask_for_and_the_metrics_when_it_ends() {
    let (authority, directory) = (Authority::new("ours"), tempfile::tempdir().expect("a directory"));
    let issue = |file: &str, names: &[&str]| authority.issue_for(file, names, directory.path());
    let default = issue("default", &["localhost"]);
    let one = issue("one", &["one.example.com"]);
    let any = issue("any", &["*.any.example.com"]);
    let host = |name: &str, papers: &Papers| {
        [("certfile", &papers.certfile), ("keyfile", &papers.keyfile)]
            .map(|(leaf, file)| {
                format!(
                    "ssl_options.sni_hosts.{}.{leaf} = {}",
                    name.replace('.', "\\."),
                    file.display()
                )
            })
            .join("\n")
    };
    let lines = [host("One.example.com", &one), host("*.any.example.com", &any)];
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    let config = configuration(&default, &lines, directory.path());
    let broker = Broker::start_measured(&["--config", &config, "--amqps", "127.0.0.1:0"]);
    for (name, papers) in [
        ("localhost", &default),
        ("one.example.com", &one),
        ("ONE.example.com", &one),
        ("x.any.example.com", &any),
    ] {
        assert_eq!(shown(&broker, &default, name), Ok(certificate(papers)), "{name}");
    }
    // There it is the certificate of another name, which the client does not take.
    let refused = shown(&broker, &default, "other.example.com").expect_err("of another name");
    assert!(refused.contains("not valid for name"), "{refused}");
    let page = broker.metrics().get("/metrics").body;
    for (key, papers) in [
        ("ssl_options.certfile", &default),
        ("ssl_options.sni_hosts.one\\\\.example\\\\.com.certfile", &one),
    ] {
        let line = format!(
            "warren_certificate_expires_at_seconds{{key=\"{key}\",file=\"{}\"}} ",
            papers.certfile.display()
        );
        assert!(page.contains(&line), "{line}: {page}");
    }
}

#[test]
fn a_key_of_another_certificate_is_refused_at_the_start() {
    let (authority, directory) = (Authority::new("ours"), tempfile::tempdir().expect("a directory"));
    let issue = |file: &str| authority.issue_for(file, &["a.example.com"], directory.path());
    let (default, one, other) = (issue("default"), issue("one"), issue("other"));
    let name = "ssl_options.sni_hosts.a\\.example\\.com";
    let lines = [
        format!("{name}.certfile = {}", one.certfile.display()),
        format!("{name}.keyfile = {}", other.keyfile.display()),
    ];
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    let said = super::files::refusal(&default, &lines);
    assert!(said.contains("other-key.pem does not belong to"), "{said}");
    let said = super::files::refusal(&default, &lines[..1]);
    assert!(said.contains("sni_hosts") && said.contains("is not set"), "{said}");
}
