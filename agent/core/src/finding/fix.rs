//! What to do about it: one sentence for the server's side and one for the client's, with the
//! names of their own settings.

use alloc::borrow::Cow;
use alloc::vec;
use alloc::vec::Vec;

use super::Kind;

/// How a protocol's common software is told to encrypt.
struct Advice {
    protocol: &'static str,
    /// The beginning of the server's name; empty for any.
    server_name: &'static str,
    server: &'static str,
    client: &'static str,
}

const fn any(protocol: &'static str, server: &'static str, client: &'static str) -> Advice {
    Advice { protocol, server_name: "", server, client }
}

const fn named(
    protocol: &'static str,
    server_name: &'static str,
    server: &'static str,
    client: &'static str,
) -> Advice {
    Advice { protocol, server_name, server, client }
}

const HTTP_CLIENT: &str = "Client: ask for https:// and keep certificate checks on.";

/// The first that fits is taken, so names stand before any.
#[rustfmt::skip]
const ADVICE: &[Advice] = &[
    named("http", "nginx", "nginx: `listen … ssl` with ssl_certificate and ssl_certificate_key, and redirect or close the port without.", HTTP_CLIENT),
    named("http", "apache2", "Apache: SSLEngine on with SSLCertificateFile in a VirtualHost of its own port.", HTTP_CLIENT),
    named("http", "httpd", "Apache: SSLEngine on with SSLCertificateFile in a VirtualHost of its own port.", HTTP_CLIENT),
    named("http", "haproxy", "HAProxy: `bind … ssl crt FILE`, and `ssl verify required` on the servers behind it.", HTTP_CLIENT),
    named("http", "caddy", "Caddy: give the site its host name without http:// in front, and it fetches a certificate itself.", HTTP_CLIENT),
    named("http", "prometheus", "Prometheus: tls_server_config in the file of --web.config.file.", "Client: https:// in its URL; a scrape takes `scheme: https` and tls_config."),
    named("http", "grafana", "Grafana: protocol = https with cert_file and cert_key under [server].", HTTP_CLIENT),
    named("http", "elasticsearch", "Elasticsearch: xpack.security.http.ssl.enabled: true.", HTTP_CLIENT),
    named("http", "etcd", "etcd: --cert-file, --key-file and --client-cert-auth, with https:// in --listen-client-urls.", "Client: https:// endpoints with --cacert, --cert and --key."),
    any("http", "Server: listen with TLS, or stand behind a proxy on the same host that does.", HTTP_CLIENT),
    any("http2", "Server: listen with TLS instead of HTTP/2 in the clear (h2c).", HTTP_CLIENT),
    any("grpc", "Server: give the gRPC server TLS credentials instead of insecure ones.", "Client: dial with TLS channel credentials instead of insecure ones."),
    any("http-connect", "Proxy: offer its own port over TLS.", "Client: name the proxy with https:// where it supports that."),
    any("postgresql", "PostgreSQL: ssl = on with ssl_cert_file and ssl_key_file, and hostssl instead of host in pg_hba.conf.", "Client: sslmode=verify-full with sslrootcert."),
    named("mysql", "mariadb", "MariaDB: require_secure_transport = ON with ssl_cert and ssl_key.", "Client: --ssl-verify-server-cert, or sslMode=verify-full."),
    any("mysql", "MySQL: require_secure_transport = ON with ssl_cert and ssl_key.", "Client: --ssl-mode=VERIFY_IDENTITY."),
    any("redis", "Redis: tls-port with tls-cert-file and tls-key-file, and port 0 to close the one without.", "Client: rediss:// in its URL, or --tls with --cacert."),
    any("mongodb", "MongoDB: net.tls.mode: requireTLS with net.tls.certificateKeyFile.", "Client: tls=true and tlsCAFile in its connection string."),
    any("cassandra", "Cassandra: client_encryption_options with enabled: true and optional: false.", "Client: switch on SSL in the driver and check the host name."),
    any("memcached", "memcached: -Z with -o ssl_chain_cert and ssl_key.", "Client: switch on TLS in the library, or reach it through a local TLS proxy."),
    any("kafka", "Kafka: a listener of SSL or SASL_SSL in listeners, and none of PLAINTEXT.", "Client: security.protocol=SSL or SASL_SSL with ssl.truststore.location."),
    named("amqp", "qpid", "Qpid: a port that requires TLS, with a key store.", "Client: amqps:// in its URL."),
    any("amqp", "RabbitMQ: listeners.ssl.default with ssl_options, and listeners.tcp = none.", "Client: amqps:// in its URL, with certificate checks on."),
    any("mqtt", "mosquitto: a listener with certfile and keyfile, and no listener without.", "Client: mqtts:// or --cafile, and check the server's name."),
    any("nats", "NATS: a tls block with cert_file and key_file, which makes TLS required.", "Client: tls:// in its URL."),
    any("stomp", "Broker: a STOMP listener over TLS instead of the one without.", "Client: stomp+ssl, and check the server's certificate."),
    any("openwire", "ActiveMQ: a transportConnector with ssl:// instead of tcp://.", "Client: ssl:// in its broker URL."),
    any("zookeeper", "ZooKeeper: secureClientPort with a key store, and no clientPort.", "Client: zookeeper.client.secure=true with a trust store."),
    any("elasticsearch", "Elasticsearch: xpack.security.transport.ssl.enabled: true with verification_mode: full.", "Every node needs the same setting and a certificate of its own."),
    any("ldap", "OpenLDAP: TLSCertificateFile and TLSCertificateKeyFile, and `security tls=1` to refuse what is not encrypted.", "Client: ldaps://, or StartTLS required (ldap_start_tls, -ZZ), with TLS_REQCERT demand."),
    named("smtp", "postfix", "Postfix: smtpd_tls_security_level = encrypt for submission, may for the Internet, with smtpd_tls_auth_only = yes.", "Client: require STARTTLS, or use port 465; Postfix: smtp_tls_security_level = verify or dane."),
    named("smtp", "master", "Postfix: smtpd_tls_security_level = encrypt for submission, may for the Internet, with smtpd_tls_auth_only = yes.", "Client: require STARTTLS, or use port 465; Postfix: smtp_tls_security_level = verify or dane."),
    named("smtp", "exim", "Exim: tls_advertise_hosts = * with tls_certificate, and auth_advertise_hosts only where $tls_in_cipher is set.", "Client: require STARTTLS, or use port 465; Exim: hosts_require_tls."),
    any("smtp", "Server: offer STARTTLS, and no AUTH before it.", "Client: require STARTTLS instead of trying it, or use port 465."),
    named("imap", "dovecot", "Dovecot: ssl = required and disable_plaintext_auth = yes.", "Client: port 993, or STARTTLS required."),
    any("imap", "Server: refuse logins before STARTTLS, or offer port 993 only.", "Client: port 993, or STARTTLS required."),
    named("pop3", "dovecot", "Dovecot: ssl = required and disable_plaintext_auth = yes.", "Client: port 995, or STLS required."),
    any("pop3", "Server: refuse logins before STLS, or offer port 995 only.", "Client: port 995, or STLS required."),
    named("ftp", "vsftpd", "vsftpd: ssl_enable=YES, force_local_logins_ssl=YES and force_local_data_ssl=YES.", "Client: FTPS with explicit TLS required; SFTP needs no second port."),
    any("ftp", "Server: require AUTH TLS for logins and data, or offer SFTP instead.", "Client: FTPS with explicit TLS required; SFTP needs no second port."),
    any("ftp-data", "Server: require PROT P, so that data is encrypted like the control connection.", "Client: send PROT P, which most do when TLS is required."),
    any("xmpp", "Server: require encryption of clients and of other servers (Prosody: c2s_require_encryption, s2s_require_encryption).", "Client: require STARTTLS, or direct TLS."),
    any("irc", "Server: listen with TLS (port 6697) and close the port without.", "Client: connect with TLS and check the certificate."),
    any("rdp", "Server: require security layer TLS and Network Level Authentication.", "Client: refuse servers without them."),
    any("rfb", "Server: VeNCrypt with X.509, or a tunnel.", "Client: connect through SSH, or with VeNCrypt."),
    any("telnet", "Server: replace telnet by SSH.", "Client: use ssh."),
    any("rsync", "Server: close the rsync daemon's port and let clients come through SSH.", "Client: rsync -e ssh, or rsync-ssl."),
    any("git", "Server: serve repositories over SSH or HTTPS instead of git://.", "Client: change the remote's URL to ssh:// or https://."),
    any("syslog", "rsyslog: imtcp with StreamDriver.Mode=\"1\" and StreamDriver.AuthMode=\"x509/name\" (RFC 5425).", "rsyslog: omfwd over TCP with StreamDriverMode=\"1\" and a permitted peer."),
    any("snmp", "Agent: SNMPv3 users with authPriv, and no community.", "Manager: SNMPv3 with authPriv."),
    any("sip", "Server: a TLS transport, and SRTP for media.", "Client: sips: or transport=tls, and SRTP required."),
    any("rtp", "Both ends: SRTP, with keys from DTLS or over an encrypted signalling.", "Client: require SRTP."),
    any("rtsp", "Server: RTSP over TLS (rtsps).", "Client: rtsps:// in its URL."),
    any("coap", "Server: CoAP over DTLS (coaps).", "Client: coaps:// in its URL."),
    any("tftp", "Server: serve what is not public over HTTPS instead.", "Client: fetch over HTTPS."),
    any("radius", "Server: RADIUS over TLS (RFC 6614), or inside a tunnel.", "Client: RadSec, with the server's certificate checked."),
    any("sunrpc", "NFS: export with xprtsec=tls or mtls and run tlshd, or sec=krb5p.", "Client: mount with xprtsec=mtls, or sec=krb5p."),
    any("smb", "Samba: server smb encrypt = required.", "Client: SMB3 with encryption required (mount option seal)."),
    any("tds", "SQL Server: Force Encryption, with a certificate that clients trust.", "Client: Encrypt=Strict or Mandatory, and TrustServerCertificate=False."),
    any("oracle-tns", "Oracle: a TCPS listener with a wallet, or sqlnet.encryption_server = required.", "Client: TCPS in its connect descriptor, and SSL_SERVER_DN_MATCH=yes."),
    any("thrift", "Server: a TLS server socket instead of the plain one.", "Client: a TLS socket, with the server's name checked."),
    any("fastcgi", "Server: listen on a unix socket, or on the same host only: FastCGI has no encryption.", "Client: connect by the unix socket, or through a tunnel."),
    any("ajp", "Tomcat: replace the AJP connector by an HTTPS one.", "Proxy: proxy to https:// instead of ajp://."),
    any("zabbix", "Zabbix: TLSAccept=cert or psk with its files.", "Zabbix: TLSConnect=cert or psk with its files."),
    any("ceph", "Ceph: ms_cluster_mode, ms_service_mode and ms_client_mode = secure.", "Client: ms_client_mode = secure, or mount with ms_mode=secure."),
    any("zmtp", "ZeroMQ: CURVE, with ZMQ_CURVE_SERVER and a secret key.", "Client: CURVE, with the server's public key."),
    any("pulsar", "Pulsar: brokerServicePortTls with its certificate, and no brokerServicePort.", "Client: pulsar+ssl:// in its URL."),
    any("bgp", "Router: TCP-AO protects the session from forgery; carry it through IPsec to hide it.", "Peer: the same key on both ends."),
];

const GENERIC: [&str; 2] = [
    "Server: switch on TLS in its own settings, or listen on loopback behind a TLS proxy.",
    "Client: ask for TLS and check the server's certificate; where neither can, use a tunnel.",
];

/// What to do about this kind of finding at this server: never more than one sentence for each end.
pub(super) fn sentences(kind: Kind, protocol: &str, server: &str) -> Vec<Cow<'static, str>> {
    let sentences = match kind {
        Kind::WeakTls => [
            "Server: offer TLS 1.2 and 1.3 only, with ECDHE and AEAD suites (nginx: ssl_protocols and ssl_ciphers; OpenSSL's MinProtocol).",
            "Client: where it offers nothing better, update it first.",
        ],
        Kind::OneWayTls => [
            "Server: ask for client certificates and refuse who has none (nginx: ssl_verify_client on; PostgreSQL: clientcert=verify-full).",
            "Client: give it a certificate and key of its own.",
        ],
        Kind::CertificateExpiring => [
            "Server: renew the certificate and reload; then see why it was not renewed by itself.",
            "Client: keep certificate checks on, so that it notices.",
        ],
        Kind::CertificateSelfSigned => [
            "Server: use a certificate of a CA that its clients know.",
            "Client: until then trust this one certificate alone, and check it.",
        ],
        Kind::AuthInClear | Kind::CredentialsInClear => {
            let [server, client] = advice(protocol, server);
            return vec![
                Cow::Borrowed(server),
                Cow::Borrowed(client),
                Cow::Borrowed(match kind {
                    Kind::CredentialsInClear => {
                        "Then change the secret: whoever was on the way has it."
                    }
                    _ => "A weak password can be found by trying from what was sent: make it long.",
                }),
            ];
        }
        Kind::Downgrade | Kind::UpgradeRefused | Kind::PlaintextHop => advice(protocol, server),
    };
    sentences.map(Cow::Borrowed).into()
}

fn advice(protocol: &str, server: &str) -> [&'static str; 2] {
    let fits =
        |advice: &&Advice| advice.protocol == protocol && server.starts_with(advice.server_name);
    ADVICE.iter().find(fits).map_or(GENERIC, |advice| [advice.server, advice.client])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_software_has_its_own_settings() {
        let check = |protocol: &str, server: &str, settings: [&str; 2]| {
            let found = sentences(Kind::PlaintextHop, protocol, server);
            assert_eq!(found.len(), 2, "{protocol}");
            for (sentence, setting) in found.iter().zip(settings) {
                assert!(sentence.contains(setting), "{protocol} {server}: {sentence}");
            }
        };
        check("http", "nginx.service", ["ssl_certificate", "https://"]);
        check("http", "anything", ["proxy", "https://"]);
        check("postgresql", "postgresql@15-main.service", ["ssl = on", "sslmode=verify-full"]);
        check("mysql", "mysqld", ["require_secure_transport", "VERIFY_IDENTITY"]);
        check("mysql", "mariadb.service", ["MariaDB", "verify"]);
        check("redis", "10.0.0.9", ["tls-port", "rediss://"]);
        check("smtp", "postfix.service", ["smtpd_tls_security_level", "STARTTLS"]);
        check("ldap", "slapd", ["TLSCertificateFile", "ldaps://"]);
        check("amqp", "rabbitmq-server.service", ["listeners.ssl", "amqps://"]);
        check("mqtt", "mosquitto", ["mosquitto", "mqtts://"]);
        check("memcached", "memcached", ["-Z", "TLS"]);
        check("mongodb", "mongod", ["requireTLS", "tls=true"]);
        check("kafka", "java", ["SASL_SSL", "security.protocol"]);
        check("grpc", "app", ["TLS credentials", "TLS channel"]);
        check("never-heard-of", "", ["TLS", "tunnel"]);
    }

    #[test]
    fn every_kind_says_something_for_both_ends() {
        for kind in Kind::ALL {
            for protocol in ["http", "redis", "unknown"] {
                let found = sentences(kind, protocol, "server");
                assert!(found.len() >= 2, "{kind:?}");
                assert!(found.iter().all(|sentence| sentence.ends_with('.')), "{kind:?}");
            }
        }
    }

    #[test]
    fn no_advice_is_out_of_reach() {
        for (at, advice) in ADVICE.iter().enumerate() {
            let hides = |earlier: &&Advice| {
                earlier.protocol == advice.protocol
                    && advice.server_name.starts_with(earlier.server_name)
            };
            assert!(!ADVICE[..at].iter().any(|earlier| hides(&earlier)), "{}", advice.server);
        }
    }
}
