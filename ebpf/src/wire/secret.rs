//! Authentication that others can read: its kind, never its bytes.

use super::coded::coded;

/// Defines the kinds with their codes, names and whether the secret itself is readable.
macro_rules! secrets {
    ($($(#[$doc:meta])* $variant:ident = $code:literal $name:literal $readable:literal,)*) => {
        coded! {
            /// How a client authenticated itself in the clear, in the words of its protocol. Codes
            /// are part of the contract of kernel and agent.
            Secret { $($(#[$doc])* $variant = $code $name,)* }
        }

        impl Secret {
            /// Whether the secret itself is readable. Of the others only a proof of it is.
            pub const fn is_readable(self) -> bool {
                match self {
                    $(Self::$variant => $readable,)*
                }
            }
        }
    };
}

secrets! {
    /// None was seen.
    None = 0 "none" false,
    /// HTTP's Basic scheme (RFC 7617).
    HttpBasic = 1 "HTTP Basic" true,
    /// HTTP's Bearer scheme (RFC 6750).
    HttpBearer = 2 "HTTP Bearer" true,
    /// HTTP's Digest scheme (RFC 7616).
    HttpDigest = 3 "HTTP Digest" false,
    /// HTTP's Negotiate or NTLM scheme (RFC 4559).
    HttpNegotiate = 4 "HTTP Negotiate" false,
    /// FTP's `PASS` (RFC 959, section 4.1.1).
    FtpPassword = 5 "FTP PASS" true,
    /// POP3's `PASS` (RFC 1939, section 7).
    Pop3Password = 6 "POP3 PASS" true,
    /// POP3's `APOP` (RFC 1939, section 7).
    Pop3Apop = 7 "POP3 APOP" false,
    /// IMAP's `LOGIN` (RFC 9051, section 6.2.3).
    ImapLogin = 8 "IMAP LOGIN" true,
    /// SASL's PLAIN (RFC 4616), or the LOGIN of mail servers.
    SaslPlain = 9 "SASL PLAIN" true,
    /// SASL's CRAM-MD5, DIGEST-MD5 or SCRAM (RFC 5802).
    SaslChallenge = 10 "SASL challenge and response" false,
    /// SASL's GSSAPI or GSS-SPNEGO (RFC 4752), or NTLM.
    SaslGssapi = 11 "SASL GSSAPI" false,
    /// LDAP's simple bind with a password (RFC 4513, section 5.1.3).
    LdapSimple = 12 "LDAP simple bind" true,
    /// Redis' `AUTH`, or `HELLO` with it.
    RedisAuth = 13 "Redis AUTH" true,
    /// PostgreSQL's cleartext password.
    PostgresqlPassword = 14 "PostgreSQL cleartext password" true,
    /// PostgreSQL's MD5 password.
    PostgresqlMd5 = 15 "PostgreSQL MD5 password" false,
    /// PostgreSQL's SASL, which is SCRAM.
    PostgresqlScram = 16 "PostgreSQL SCRAM" false,
    /// PostgreSQL's GSSAPI or SSPI.
    PostgresqlGss = 17 "PostgreSQL GSSAPI" false,
    /// MySQL's mysql_clear_password.
    MysqlClear = 18 "MySQL cleartext password" true,
    /// MySQL's mysql_native_password.
    MysqlNative = 19 "MySQL native password" false,
    /// MySQL's caching_sha2_password, sha256_password or another that seals.
    MysqlSha2 = 20 "MySQL SHA-2 password" false,
    /// A password in MQTT's CONNECT (MQTT 3.1.1, section 3.1).
    MqttPassword = 21 "MQTT password" true,
    /// A password of SOCKS 5 (RFC 1929).
    SocksPassword = 22 "SOCKS password" true,
    /// IRC's `PASS` (RFC 1459, section 4.1.1).
    IrcPassword = 23 "IRC PASS" true,
    /// NATS' CONNECT with a password or token.
    NatsPassword = 24 "NATS password" true,
    /// STOMP's passcode.
    StompPassword = 25 "STOMP passcode" true,
    /// SASL's OAUTHBEARER or XOAUTH2 (RFC 7628).
    SaslBearer = 26 "SASL bearer token" true,
    /// NNTP's `AUTHINFO PASS` (RFC 4643, section 2.3).
    NntpPassword = 27 "NNTP AUTHINFO PASS" true,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_are_one_to_one() {
        for (i, secret) in Secret::ALL.iter().enumerate() {
            assert_eq!(*secret as usize, i, "codes leave no gap");
            assert_eq!(Secret::from_code(*secret as u8), Some(*secret));
            let is_same = |other: &&Secret| other.name() == secret.name();
            assert_eq!(Secret::ALL.iter().filter(is_same).count(), 1, "{}", secret.name());
        }
        assert!(!Secret::None.is_readable());
    }
}
